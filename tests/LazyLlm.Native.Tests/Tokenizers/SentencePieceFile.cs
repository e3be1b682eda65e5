using System.Text;
using Google.Protobuf;

namespace LazyLlm.Native.Tests.Tokenizers;

/// <summary>Writes small <c>tokenizer.model</c> files, good ones and bad ones.</summary>
internal sealed class SentencePieceFile
{
    public const int Normal = 1, Unknown = 2, Control = 3, UserDefined = 4, Unused = 5, Byte = 6;

    public List<(byte[] Text, float Score, int Kind)> Pieces { get; } = [];

    public int ModelType { get; init; } = 2;

    public bool ByteFallback { get; init; } = true;

    public string Normalizer { get; init; } = "identity";

    public byte[] NormalizerRules { get; init; } = [];

    public bool RemovesExtraSpaces { get; init; }

    public bool EscapesSpaces { get; init; } = true;

    public bool SuffixesSpaces { get; init; }

    public byte[] DenormalizerRules { get; init; } = [];

    /// <summary>Unknown, begin, end, and all bytes; then the given pieces with the same or given scores.</summary>
    public static SentencePieceFile With(params (string Text, float Score)[] pieces)
    {
        var file = new SentencePieceFile().Standard();
        foreach ((string text, float score) in pieces)
        {
            file.Add(text, score);
        }

        return file;
    }

    public SentencePieceFile Standard()
    {
        Add("<unk>", 0, Unknown);
        Add("<s>", 0, Control);
        Add("</s>", 0, Control);
        for (int b = 0; b < 256 && ByteFallback; b++)
        {
            Add($"<0x{b:X2}>", 0, Byte);
        }

        return this;
    }

    public SentencePieceFile Add(string text, float score = 0, int kind = Normal)
    {
        Pieces.Add((Encoding.UTF8.GetBytes(text), score, kind));
        return this;
    }

    public byte[] ToBytes() => Message(output =>
    {
        foreach ((byte[] text, float score, int kind) in Pieces)
        {
            Section(output, 1, piece =>
            {
                Bytes(piece, 1, text);
                piece.WriteTag(2, WireFormat.WireType.Fixed32);
                piece.WriteFloat(score);
                Number(piece, 3, kind);
            });
        }

        Section(output, 2, trainer =>
        {
            Number(trainer, 3, ModelType);
            Number(trainer, 24, SuffixesSpaces ? 1 : 0);
            Number(trainer, 35, ByteFallback ? 1 : 0);
            Number(trainer, 40, 0);
        });
        Section(output, 3, normalizer =>
        {
            Bytes(normalizer, 1, Encoding.UTF8.GetBytes(Normalizer));
            Bytes(normalizer, 2, NormalizerRules);
            Number(normalizer, 4, RemovesExtraSpaces ? 1 : 0);
            Number(normalizer, 5, EscapesSpaces ? 1 : 0);
        });
        Section(output, 5, denormalizer => Bytes(denormalizer, 2, DenormalizerRules));
    });

    private static byte[] Message(Action<CodedOutputStream> write)
    {
        using var memory = new MemoryStream();
        var output = new CodedOutputStream(memory);
        write(output);
        output.Flush();
        return memory.ToArray();
    }

    private static void Section(CodedOutputStream output, int field, Action<CodedOutputStream> write) => Bytes(output, field, Message(write));

    private static void Bytes(CodedOutputStream output, int field, byte[] value)
    {
        output.WriteTag(field, WireFormat.WireType.LengthDelimited);
        output.WriteBytes(ByteString.CopyFrom(value));
    }

    private static void Number(CodedOutputStream output, int field, int value)
    {
        output.WriteTag(field, WireFormat.WireType.Varint);
        output.WriteInt32(value);
    }
}
