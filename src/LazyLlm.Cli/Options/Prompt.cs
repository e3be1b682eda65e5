using LazyLlm.Native.Inference;

namespace LazyLlm.Cli.Options;

/// <summary>A prompt as given: text, or token ids.</summary>
internal sealed record Prompt(string? Text, int[]? Ids)
{
    /// <summary>The prompt's tokens for a model.</summary>
    /// <exception cref="UsageException">There are none.</exception>
    /// <exception cref="Native.Errors.InvalidOptionException">The model has no tokenizer for a text.</exception>
    public int[] Encode(LlamaEngine engine)
    {
        if (Ids is not null)
        {
            return Ids;
        }

        int[] ids = engine.RequireTokenizer().Encode(Text!);
        return ids.Length > 0 ? ids : throw new UsageException("prompt: the text is empty, and the model has no begin token to start from; give at least one character.");
    }
}
