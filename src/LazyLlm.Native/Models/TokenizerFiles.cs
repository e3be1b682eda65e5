using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Models;

/// <summary>The files of a model folder that say how text becomes tokens: paths of those that exist.</summary>
public sealed record TokenizerFiles
{
    /// <summary>SentencePiece model: <c>tokenizer.model</c>.</summary>
    public string? SentencePiece { get; init; }

    /// <summary>Hugging Face tokenizer: <c>tokenizer.json</c>.</summary>
    public string? TokenizerJson { get; init; }

    /// <summary>Settings beside either: <c>tokenizer_config.json</c>.</summary>
    public string? TokenizerConfig { get; init; }

    /// <summary>Names of control tokens: <c>special_tokens_map.json</c>.</summary>
    public string? SpecialTokensMap { get; init; }

    /// <summary>Byte-pair ranks: every <c>*.tiktoken</c>, by name.</summary>
    public IReadOnlyList<string> Ranks { get; init; } = [];

    /// <summary>Looks for the files in a folder; opens none.</summary>
    /// <exception cref="ModelFormatException">The folder may not be listed.</exception>
    internal static TokenizerFiles Find(string folder)
    {
        return new TokenizerFiles
        {
            SentencePiece = IfExists("tokenizer.model"),
            TokenizerJson = IfExists("tokenizer.json"),
            TokenizerConfig = IfExists("tokenizer_config.json"),
            SpecialTokensMap = IfExists("special_tokens_map.json"),
            Ranks = FindRanks(folder),
        };

        string? IfExists(string name)
        {
            string path = Path.Combine(folder, name);
            return Path.Exists(path) ? path : null;
        }
    }

    private static string[] FindRanks(string folder)
    {
        try
        {
            return [.. Directory.EnumerateFiles(folder, "*.tiktoken").Order(StringComparer.Ordinal)];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelFormatException(folder, $"cannot be listed: {e.Message}", e);
        }
    }
}
