using System.Text.Json;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Sampling;

namespace LazyLlm.Native.Models;

/// <summary>
/// What the model's makers advise for generation: <c>generation_config.json</c>. Each property is null where the file,
/// or the field, is absent.
/// </summary>
public sealed record GenerationDefaults
{
    /// <summary>Whether tokens are drawn at random rather than taken by the highest logit (<c>do_sample</c>).</summary>
    public bool? Sample { get; init; }

    /// <summary>What logits are divided by (<c>temperature</c>); 0 or more.</summary>
    public double? Temperature { get; init; }

    /// <summary>Share of the probability that candidates must cover (<c>top_p</c>); from 0 to 1.</summary>
    public double? TopP { get; init; }

    /// <summary>Number of candidates (<c>top_k</c>); 0 for all.</summary>
    public int? TopK { get; init; }

    /// <summary>Least probability of a candidate, relative to the best one's (<c>min_p</c>); from 0 to 1.</summary>
    public double? MinP { get; init; }

    /// <summary>What the logits of tokens already seen are divided by if positive, multiplied by if negative (<c>repetition_penalty</c>).</summary>
    public double? RepetitionPenalty { get; init; }

    /// <summary>Tokens to generate at most (<c>max_new_tokens</c>).</summary>
    public int? MaxNewTokens { get; init; }

    /// <summary>Tokens that end a text (<c>eos_token_id</c>, one or many).</summary>
    public IReadOnlyList<int>? EndTokens { get; init; }

    /// <summary>The advice as options: greedy unless <see cref="Sample"/> is set, and what the file does not say stays off.</summary>
    /// <param name="contextLength">The longest context: the repetition penalty looks at all of it, as in Hugging Face Transformers.</param>
    public SamplingOptions ToSampling(int contextLength)
    {
        var options = new SamplingOptions
        {
            RepetitionPenalty = (float)(RepetitionPenalty ?? 1),
            RepetitionWindow = Math.Min(contextLength, SamplingOptions.LargestRepetitionWindow),
            MaxTokens = MaxNewTokens,
        };
        return Sample != true ? options : options with
        {
            Temperature = (float)(Temperature ?? 1),
            TopP = (float)(TopP ?? 1),
            TopK = TopK ?? 0,
            MinP = (float)(MinP ?? 0),
        };
    }

    /// <summary>Reads a <c>generation_config.json</c>; a file that is not there says nothing.</summary>
    /// <param name="path">The file.</param>
    /// <param name="vocabularySize">Number of tokens that the model knows.</param>
    /// <exception cref="ModelFormatException">The file cannot be read, or a field has a value that it cannot have.</exception>
    public static GenerationDefaults Read(string path, int vocabularySize) =>
        System.IO.Path.Exists(path)
            ? Parse(path, RegularFile.ReadAll(path, ModelConfigReader.MaxFileLength), vocabularySize)
            : new GenerationDefaults();

    internal static GenerationDefaults Parse(string path, ReadOnlyMemory<byte> json, int vocabularySize)
    {
        using JsonDocument document = JsonFields.Parse(path, json);
        JsonFields fields = JsonFields.Of(path, document);
        return new GenerationDefaults
        {
            Sample = fields.Flag("do_sample"),
            Temperature = fields.Number("temperature", 0, 1_000),
            TopP = fields.Number("top_p", 0, 1),
            TopK = fields.Integer("top_k", 0, int.MaxValue),
            MinP = fields.Number("min_p", 0, 1),
            RepetitionPenalty = fields.Number("repetition_penalty", double.Epsilon, 1_000),
            MaxNewTokens = fields.Integer("max_new_tokens", 1, int.MaxValue),
            EndTokens = fields.Tokens("eos_token_id", vocabularySize),
        };
    }
}
