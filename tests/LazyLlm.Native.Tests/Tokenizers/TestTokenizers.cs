using System.Text;
using LazyLlm.Native.Tokenizers;
using LazyLlm.Testing;

namespace LazyLlm.Native.Tests.Tokenizers;

/// <summary>Tokenizers that every checkout can build, and files for them.</summary>
internal static class TestTokenizers
{
    public static SentencePieceTokenizer Demo { get; } = SentencePieceTokenizer.Load(Path.Combine(RepositoryFiles.Demo, "tokenizer.model"));

    /// <summary>XGen's tokenizer over made-up ranks: the single bytes, then pairs of bytes.</summary>
    public static XgenTokenizer MadeUpXgen { get; } = LoadFrom(".tiktoken", MadeUpRanks(), XgenTokenizer.Load);

    public static byte[] MadeUpRanks()
    {
        var lines = new StringBuilder();
        int rank = 0;
        for (int b = 0; b < 256; b++)
        {
            Add([(byte)b]);
        }

        for (int pair = 0; rank < 50256; pair++)
        {
            byte[] bytes = [(byte)pair, (byte)(pair >> 8)];
            if (bytes is not ([(byte)' ', (byte)' '] or [(byte)'\t', (byte)'\t']))
            {
                Add(bytes);
            }
        }

        return Encoding.ASCII.GetBytes(lines.ToString());

        void Add(byte[] token) => lines.Append(Convert.ToBase64String(token)).Append(' ').Append(rank++).Append('\n');
    }

    /// <summary>Loads a tokenizer from bytes by way of a file that is gone afterwards.</summary>
    public static T LoadFrom<T>(string extension, byte[] content, Func<string, T> load)
    {
        string path = Path.Combine(Path.GetTempPath(), $"lazyllm-{Guid.NewGuid():N}{extension}");
        try
        {
            File.WriteAllBytes(path, content);
            return load(path);
        }
        finally
        {
            File.Delete(path);
        }
    }

    public static SentencePieceTokenizer Load(SentencePieceFile file) => LoadFrom(".model", file.ToBytes(), SentencePieceTokenizer.Load);
}
