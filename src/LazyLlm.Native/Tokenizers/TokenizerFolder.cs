using System.Text.Json;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Tokenizers;

/// <summary>Finds out which tokenizer a model folder has.</summary>
public static class TokenizerFolder
{
    private const int LargestConfig = 16 << 20;

    /// <summary>Loads the tokenizer of a model folder, or the one that the user names.</summary>
    /// <remarks>
    /// In this order: <paramref name="tokenizerPath"/> (<c>*.model</c> is SentencePiece, <c>*.tiktoken</c> GPT-2's ranks
    /// for XGen); <c>tokenizer.model</c>; a <c>*.tiktoken</c> file in the folder. Nothing else of the folder is read
    /// except <c>tokenizer_config.json</c>, whose <c>tokenizer_class</c> tells an XGen model without a ranks file.
    /// </remarks>
    /// <param name="modelFolder">The model folder.</param>
    /// <param name="tokenizerPath">A tokenizer file to use instead of the folder's own.</param>
    /// <returns>The tokenizer, or null for a folder without one, which can still be used by token ids.</returns>
    /// <exception cref="ModelFormatException">The tokenizer is damaged, not supported, or its ranks file is missing.</exception>
    public static TextTokenizer? Load(string modelFolder, string? tokenizerPath = null)
    {
        TextTokenizer? tokenizer = Load(modelFolder, tokenizerPath, out string? obstacle);
        return obstacle is null ? tokenizer : throw new ModelFormatException(modelFolder, obstacle);
    }

    /// <summary>As <see cref="Load(string, string?)"/>, for a host that may do without text.</summary>
    /// <param name="modelFolder">The model folder.</param>
    /// <param name="tokenizerPath">A tokenizer file to use instead of the folder's own.</param>
    /// <param name="obstacle">Why a tokenizer that the folder speaks of cannot be used: of a kind that is not supported, its file missing, or one of several.</param>
    /// <exception cref="ModelFormatException">The tokenizer is damaged.</exception>
    internal static TextTokenizer? Load(string modelFolder, string? tokenizerPath, out string? obstacle)
    {
        ArgumentNullException.ThrowIfNull(modelFolder);
        obstacle = null;
        if (tokenizerPath is not null)
        {
            return LoadFile(tokenizerPath);
        }

        if (!Directory.Exists(modelFolder))
        {
            throw new ModelFormatException(modelFolder, "no such model folder.");
        }

        TokenizerFiles files = TokenizerFiles.Find(modelFolder);
        if (files.SentencePiece is not null)
        {
            return SentencePieceTokenizer.Load(files.SentencePiece);
        }

        if (files.Ranks.Count == 1)
        {
            return XgenTokenizer.Load(files.Ranks[0]);
        }

        if (files.Ranks.Count > 1)
        {
            obstacle = $"found {files.Ranks.Count} ranks files ({string.Join(", ", files.Ranks.Select(Path.GetFileName))}), expected one; name the one to use.";
        }
        else if (files.TokenizerConfig is not null && IsXgen(files.TokenizerConfig))
        {
            obstacle = "the model uses XGen's tokenizer, which needs GPT-2's ranks file, and the folder has none. Put gpt2.tiktoken (a token in base64 and its rank per line, 50256 lines; the 'gpt2' encoding of tiktoken) into the folder, or name the file.";
        }
        else if (files.TokenizerJson is not null)
        {
            obstacle = "found tokenizer.json only, which is not supported; expected tokenizer.model (SentencePiece). Copy tokenizer.model from the model's source into the folder, or name the file.";
        }

        return null;
    }

    private static TextTokenizer LoadFile(string path) => Path.GetExtension(path) switch
    {
        ".model" => SentencePieceTokenizer.Load(path),
        ".tiktoken" => XgenTokenizer.Load(path),
        _ => throw new ModelFormatException(path, "the name tells no kind of tokenizer, expected *.model (SentencePiece) or *.tiktoken (GPT-2's ranks, for XGen)."),
    };

    private static bool IsXgen(string configPath)
    {
        using JsonDocument config = JsonFields.Parse(configPath, RegularFile.ReadAll(configPath, LargestConfig));
        return JsonFields.Of(configPath, config).Text("tokenizer_class") == "XgenTokenizer";
    }
}
