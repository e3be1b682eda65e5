using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation.Running;

/// <summary>
/// A file of results, one JSON object per line, appended and flushed record by record. Its first line describes the
/// evaluation, and results of another description are refused. A line that a kill cut short is written anew. Apart from
/// the fields whose names end in <c>_ms</c>, an evaluation that was interrupted and gone on with leaves the same file.
/// </summary>
public sealed class ResultLog : IDisposable
{
    private const string Format = "lazyllm-evaluation-1";

    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly FileStream _file;

    private ResultLog(FileStream file, IReadOnlyList<EvaluationResult> results)
    {
        _file = file;
        Results = results;
    }

    /// <summary>The results that the file held when it was opened, in its order.</summary>
    public IReadOnlyList<EvaluationResult> Results { get; }

    /// <summary>Opens a file to go on with, or creates it.</summary>
    /// <param name="path">The file.</param>
    /// <param name="description">What the results depend on: model, tasks, methods, seed.</param>
    /// <exception cref="DataFormatException">The file is of another evaluation, or a line of it is damaged; nothing is lost.</exception>
    public static ResultLog Open(string path, string description)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var results = new List<EvaluationResult>();
        FileStream? file = null;
        try
        {
            file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read);
            byte[] content = new byte[file.Length];
            file.ReadExactly(content);
            int whole = content.AsSpan().LastIndexOf((byte)'\n') + 1;
            int line = 0;
            foreach (string text in Encoding.UTF8.GetString(content, 0, whole).Split('\n')[..^1])
            {
                line++;
                if (line == 1)
                {
                    JsonLines.Parse(path, line, text, root => CheckHeader(root, path, description));
                }
                else
                {
                    results.Add(JsonLines.Parse(path, line, text, root => ReadResult(root, path, line)));
                }
            }

            file.SetLength(whole);
            var log = new ResultLog(file, results);
            if (line == 0)
            {
                log.AppendLine(writer => WriteHeader(writer, description));
            }

            return log;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            file?.Dispose();
            throw new DataFormatException(path, 0, $"cannot be opened: {error.Message}", error);
        }
        catch
        {
            file?.Dispose();
            throw;
        }
    }

    /// <summary>Adds a result, which is on its way to the disk when the call returns.</summary>
    public void Append(EvaluationResult result)
    {
        ArgumentNullException.ThrowIfNull(result);
        AppendLine(writer => WriteResult(writer, result));
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static void WriteHeader(Utf8JsonWriter writer, string description)
    {
        writer.WriteString("format", Format);
        writer.WriteString("description", description);
    }

    private static bool CheckHeader(JsonElement root, string path, string description)
    {
        JsonLines.Require(
            root.ValueKind == JsonValueKind.Object && root.TryGetProperty("format", out JsonElement format) && format.ValueEquals(Format),
            path,
            1,
            $"is no result file of this program: its first line has no \"format\": \"{Format}\". Name another file.");
        string found = root.TryGetProperty("description", out JsonElement text) ? text.GetString() ?? "" : "";
        JsonLines.Require(
            found == description,
            path,
            1,
            $"holds results of another evaluation. Go on with the same options, or name another file. It was: {found}. Now: {description}.");
        return true;
    }

    private static void WriteResult(Utf8JsonWriter writer, EvaluationResult result)
    {
        writer.WriteString("group", result.Group);
        writer.WriteString("dataset", result.Dataset);
        writer.WriteNumber("index", result.Index);
        if (result.Id is not null)
        {
            writer.WriteString("id", result.Id);
        }

        writer.WriteString("method", result.Method);
        writer.WriteNumber("run", result.Run);
        writer.WriteString("prediction", result.Prediction);
        writer.WriteNumber("score", result.Score);
        writer.WriteNumber("prompt_tokens", result.PromptTokens);
        writer.WriteNumber("generated_tokens", result.GeneratedTokens);
        writer.WriteNumber("prompt_share", result.PromptShare);
        writer.WriteNumber("prefill_share", result.PrefillShare);
        if (result.FollowUps.Count > 0)
        {
            writer.WriteStartArray("follow_ups");
            foreach (FollowUpResult followUp in result.FollowUps)
            {
                writer.WriteStartObject();
                writer.WriteString("prediction", followUp.Prediction);
                writer.WriteNumber("score", followUp.Score);
                writer.WriteNumber("total_share", followUp.TotalShare);
                writer.WriteNumber("first_token_ms", followUp.FirstTokenMilliseconds);
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
        }

        writer.WriteNumber("first_token_ms", result.FirstTokenMilliseconds);
        writer.WriteNumber("total_ms", result.TotalMilliseconds);
    }

    private static EvaluationResult ReadResult(JsonElement root, string path, int line)
    {
        try
        {
            return new EvaluationResult
            {
                Group = root.GetProperty("group").GetString()!,
                Dataset = root.GetProperty("dataset").GetString()!,
                Index = root.GetProperty("index").GetInt32(),
                Id = root.TryGetProperty("id", out JsonElement id) ? id.GetString() : null,
                Method = root.GetProperty("method").GetString()!,
                Run = root.GetProperty("run").GetInt32(),
                Prediction = root.GetProperty("prediction").GetString()!,
                Score = root.GetProperty("score").GetDouble(),
                PromptTokens = root.GetProperty("prompt_tokens").GetInt32(),
                GeneratedTokens = root.GetProperty("generated_tokens").GetInt32(),
                PromptShare = root.GetProperty("prompt_share").GetDouble(),
                PrefillShare = root.GetProperty("prefill_share").GetDouble(),
                FollowUps = root.TryGetProperty("follow_ups", out JsonElement followUps) ? [.. followUps.EnumerateArray().Select(ReadFollowUp)] : [],
                FirstTokenMilliseconds = root.GetProperty("first_token_ms").GetDouble(),
                TotalMilliseconds = root.GetProperty("total_ms").GetDouble(),
            };
        }
        catch (Exception error) when (error is KeyNotFoundException or FormatException or InvalidOperationException)
        {
            throw new DataFormatException(path, line, $"is no result: {error.Message} Mend or delete this line and those after it; what stands before it is kept.", error);
        }
    }

    private static FollowUpResult ReadFollowUp(JsonElement root) => new(
        root.GetProperty("prediction").GetString()!,
        root.GetProperty("score").GetDouble(),
        root.GetProperty("total_share").GetDouble(),
        root.GetProperty("first_token_ms").GetDouble());

    private void AppendLine(Action<Utf8JsonWriter> write)
    {
        using var line = new MemoryStream();
        using (var writer = new Utf8JsonWriter(line, Options))
        {
            writer.WriteStartObject();
            write(writer);
            writer.WriteEndObject();
        }

        line.WriteByte((byte)'\n');
        _file.Write(line.GetBuffer(), 0, (int)line.Length);
        _file.Flush(flushToDisk: true);
    }
}
