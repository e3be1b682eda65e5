using System.Text;
using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation.Tasks;

/// <summary>
/// A prompt with fields in braces, with the meaning that Python's <c>str.format</c> gives them: <c>{context}</c> is
/// replaced by the record's text as it is, <c>{{</c> and <c>}}</c> are single braces. Conversions, indices and format
/// specifications are refused, since the benchmark's prompts use none.
/// </summary>
public sealed class PromptTemplate
{
    private readonly List<(string Literal, string? Field)> _parts = [];
    private readonly string _source;

    /// <summary>Reads a template.</summary>
    /// <param name="text">The template.</param>
    /// <param name="source">The file it came from, for messages.</param>
    /// <exception cref="DataFormatException">A brace is not closed or not opened, or holds more than a field's name.</exception>
    public PromptTemplate(string text, string source)
    {
        ArgumentNullException.ThrowIfNull(text);
        _source = source;
        var literal = new StringBuilder();
        for (int i = 0; i < text.Length; i++)
        {
            char brace = text[i];
            if (brace is not ('{' or '}'))
            {
                literal.Append(brace);
            }
            else if (i + 1 < text.Length && text[i + 1] == brace)
            {
                literal.Append(brace);
                i++;
            }
            else
            {
                int close = text.IndexOf('}', i);
                string field = brace == '{' && close > i ? text[(i + 1)..close] : "";
                if (field.Length == 0 || !field.All(character => char.IsLetterOrDigit(character) || character == '_'))
                {
                    throw new DataFormatException(source, 0, $"the prompt '{Start(text)}' has a brace at character {i} that holds no plain field name; expected '{{context}}', '{{input}}' or doubled braces.");
                }

                _parts.Add((literal.ToString(), field));
                literal.Clear();
                i = close;
            }
        }

        _parts.Add((literal.ToString(), null));
    }

    /// <summary>The prompt of a record.</summary>
    /// <exception cref="DataFormatException">The record lacks a field that the template asks for.</exception>
    public string Format(EvaluationRecord record)
    {
        ArgumentNullException.ThrowIfNull(record);
        return FormatAround(record, null).Before;
    }

    /// <summary>
    /// The prompt of a record in the parts around its first <paramref name="field"/>: what stands before the field's
    /// text and what stands behind it. Without such a field (or with null) all of it stands before.
    /// </summary>
    /// <exception cref="DataFormatException">The record lacks a field that the template asks for.</exception>
    public (string Before, string Behind) FormatAround(EvaluationRecord record, string? field)
    {
        ArgumentNullException.ThrowIfNull(record);
        var before = new StringBuilder();
        StringBuilder? behind = null;
        foreach ((string literal, string? name) in _parts)
        {
            StringBuilder current = (behind ?? before).Append(literal);
            if (name is not null && name == field && behind is null)
            {
                behind = new StringBuilder();
            }
            else if (name is not null)
            {
                current.Append(record.Field(name)
                    ?? throw new DataFormatException(record.Path, record.Line, $"the prompt from {_source} asks for the field '{name}', which is missing or neither text nor number."));
            }
        }

        return (before.ToString(), behind?.ToString() ?? "");
    }

    private static string Start(string text) => text.Length <= 40 ? text : $"{text[..40]}...";
}
