using System.Text;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Tokenizers;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Tokenizers;

public class SentencePieceModelTests
{
    private static readonly byte[] Small = SentencePieceFile.With(("a", -1), ("b", -2), ("ab", -3)).ToBytes();

    public static TheoryData<string, byte[]> Refused => new()
    {
        { "found no pieces", [] },
        { "damaged", Encoding.ASCII.GetBytes("this is not a protobuf file at all") },
        { "damaged", new byte[1000] },
        { "Unigram", new SentencePieceFile { ModelType = 1 }.Standard().ToBytes() },
        { "Word", new SentencePieceFile { ModelType = 3 }.Standard().ToBytes() },
        { "number -7", new SentencePieceFile { ModelType = -7 }.Standard().ToBytes() },
        { "nmt_nfkc", new SentencePieceFile { Normalizer = "nmt_nfkc" }.Standard().ToBytes() },
        { "normalizer_spec", new SentencePieceFile { NormalizerRules = [1, 2] }.Standard().ToBytes() },
        { "denormalizer_spec", new SentencePieceFile { DenormalizerRules = [1] }.Standard().ToBytes() },
        { "remove_extra_whitespaces", new SentencePieceFile { RemovesExtraSpaces = true }.Standard().ToBytes() },
        { "escape_whitespaces", new SentencePieceFile { EscapesSpaces = false }.Standard().ToBytes() },
        { "treat_whitespace_as_suffix", new SentencePieceFile { SuffixesSpaces = true }.Standard().ToBytes() },
        { "<0x-1>", new SentencePieceFile().Standard().Add("<0x-1>", 0, SentencePieceFile.Byte).ToBytes() },
        { "<0xZZ>", new SentencePieceFile().Standard().Add("<0xZZ>", 0, SentencePieceFile.Byte).ToBytes() },
        { "<0x100>", new SentencePieceFile().Standard().Add("<0x100>", 0, SentencePieceFile.Byte).ToBytes() },
        { "repeats piece 68", new SentencePieceFile().Standard().Add("<0x41>", 0, SentencePieceFile.Byte).ToBytes() },
        { "byte_fallback is off", new SentencePieceFile { ByteFallback = false }.Standard().Add("<0x41>", 0, SentencePieceFile.Byte).ToBytes() },
        { "<0x00> is missing", new SentencePieceFile().Add("<unk>", 0, SentencePieceFile.Unknown).Add("<s>", 0, SentencePieceFile.Control).ToBytes() },
        { "<unk>", new SentencePieceFile { ByteFallback = false }.Add("<s>", 0, SentencePieceFile.Control).ToBytes() },
        { "both the unknown", new SentencePieceFile().Standard().Add("<unk2>", 0, SentencePieceFile.Unknown).ToBytes() },
        { "'<s>'", new SentencePieceFile { ByteFallback = false }.Add("<unk>", 0, SentencePieceFile.Unknown).ToBytes() },
        { "'<s>'", new SentencePieceFile { ByteFallback = false }.Add("<unk>", 0, SentencePieceFile.Unknown).Add("<s>").ToBytes() },
        { "repeats piece 259", SentencePieceFile.With(("a", -1), ("a", -2)).ToBytes() },
        { "0 bytes", SentencePieceFile.With(("", -1)).ToBytes() },
        { "600 bytes", SentencePieceFile.With((new string('x', 600), -1)).ToBytes() },
        { "NaN", SentencePieceFile.With(("a", float.NaN)).ToBytes() },
        { "type 9", new SentencePieceFile().Standard().Add("x", 0, 9).ToBytes() },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public void A_bad_file_is_refused_with_its_name_and_what_is_wrong(string expected, byte[] content)
    {
        ModelFormatException? error = Load(content);
        Assert.NotNull(error);
        Assert.EndsWith(".model", error.Path);
        Assert.Contains(error.Path, error.Message);
        Assert.Contains(expected, error.Message);
    }

    [Fact]
    public void A_missing_file_and_a_folder_are_refused()
    {
        Assert.Throws<ModelFormatException>(() => SentencePieceTokenizer.Load(Path.Combine(RepositoryFiles.Demo, "absent.model")));
        Assert.Throws<ModelFormatException>(() => SentencePieceTokenizer.Load(RepositoryFiles.Demo));
    }

    [Fact]
    public void Every_truncation_is_a_typed_error_or_a_whole_tokenizer()
    {
        Assert.Null(Load(Small));
        int refused = Enumerable.Range(0, Small.Length).Count(length => Load(Small[..length]) is not null);
        // Cut inside a piece it is damaged, cut between pieces the normalizer is missing: only the last section can go.
        Assert.InRange(refused, Small.Length - 4, Small.Length);
    }

    [Fact]
    public void Every_mutation_is_a_typed_error_or_a_working_tokenizer()
    {
        var random = new Random(20240714);
        for (int i = 0; i < 4_000; i++)
        {
            byte[] bytes = [.. Small];
            for (int flips = random.Next(1, 4); flips > 0; flips--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }

            Load(bytes);
        }
    }

    // The error of a file, or null for a tokenizer, which must then also encode and decode.
    private static ModelFormatException? Load(byte[] content)
    {
        try
        {
            SentencePieceTokenizer tokenizer = TestTokenizers.LoadFrom(".model", content, SentencePieceTokenizer.Load);
            tokenizer.Decode(tokenizer.Encode("ab é <s>"));
            return null;
        }
        catch (ModelFormatException error)
        {
            return error;
        }
    }
}
