using System.Text;
using System.Text.Unicode;
using Google.Protobuf;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Tokenizers;

/// <summary>
/// A <c>tokenizer.model</c> file: the fields of SentencePiece's ModelProto that change a result, each honoured or
/// refused by name. Only BPE models without text normalisation (all of the Llama family) are accepted.
/// </summary>
internal sealed class SentencePieceModel
{
    // Far above any vocabulary in use (Llama 2's file has half a megabyte), far below what would hurt.
    private const int LargestFile = 64 << 20;
    private const int MostPieces = 1_000_000;
    private const int LongestPiece = 512;

    // Tags of the protobuf wire format: (field number << 3) | wire type.
    private const uint BytesField = 2;
    private const uint VarintField = 0;
    private const uint FloatField = 5;

    private readonly string _path;

    private SentencePieceModel(string path) => _path = path;

    /// <summary>The vocabulary by id.</summary>
    public List<SentencePiece> Pieces { get; } = [];

    /// <summary>Id of the piece for unknown characters.</summary>
    public int UnknownToken { get; private set; } = -1;

    /// <summary>Id of the control token that opens a sequence.</summary>
    public int BeginToken { get; private set; } = -1;

    /// <summary>Id of the control token that ends a text, or -1.</summary>
    public int EndToken { get; private set; } = -1;

    /// <summary>Whether characters without a piece become their UTF-8 bytes (<c>byte_fallback</c>).</summary>
    public bool ByteFallback { get; private set; }

    /// <summary>Whether a space is put before a text (<c>add_dummy_prefix</c>).</summary>
    public bool AddsLeadingSpace { get; private set; } = true;

    /// <summary>The text shown for the unknown piece (<c>unk_surface</c>).</summary>
    public string UnknownText { get; private set; } = " \u2047 ";

    private int ModelType { get; set; } = 1;

    private bool RemovesExtraSpaces { get; set; } = true;

    private string BeginPiece { get; set; } = "<s>";

    private string EndPiece { get; set; } = "</s>";

    /// <summary>Reads and checks a file.</summary>
    /// <exception cref="ModelFormatException">The file is damaged or asks for something that is not supported.</exception>
    public static SentencePieceModel Read(string path)
    {
        byte[] file = RegularFile.ReadAll(path, LargestFile);
        var model = new SentencePieceModel(path);
        try
        {
            model.ReadModel(new CodedInputStream(file));
        }
        catch (Exception e) when (e is InvalidProtocolBufferException or InvalidOperationException)
        {
            throw model.Invalid($"the file is damaged or no SentencePiece model ({e.Message}) Copy it again from the model's source.", e);
        }

        model.CheckSettings();
        model.CheckPieces();
        return model;
    }

    /// <summary>The byte that a piece such as <c>&lt;0x0A&gt;</c> names, or -1.</summary>
    public static int ParseByte(ReadOnlySpan<byte> piece) =>
        piece.Length == 6 && piece.StartsWith("<0x"u8) && piece[5] == (byte)'>' && char.IsAsciiHexDigit((char)piece[3]) && char.IsAsciiHexDigit((char)piece[4])
            ? Convert.ToInt32(Encoding.ASCII.GetString(piece.Slice(3, 2)), 16)
            : -1;

    private void ReadModel(CodedInputStream input)
    {
        while (input.ReadTag() is var tag and not 0)
        {
            switch (tag)
            {
                case (1 << 3) | BytesField:
                    if (Pieces.Count == MostPieces)
                    {
                        throw Invalid($"found more than {MostPieces} pieces, the most that is supported.");
                    }

                    Pieces.Add(ReadPiece(Nested(input)));
                    break;
                case (2 << 3) | BytesField:
                    ReadTrainer(Nested(input));
                    break;
                case (3 << 3) | BytesField:
                    ReadNormalizer(Nested(input), "normalizer_spec");
                    break;
                case (5 << 3) | BytesField:
                    ReadDenormalizer(Nested(input));
                    break;
                default:
                    input.SkipLastField();
                    break;
            }
        }
    }

    private static CodedInputStream Nested(CodedInputStream input) => input.ReadBytes().CreateCodedInput();

    private SentencePiece ReadPiece(CodedInputStream input)
    {
        byte[] text = [];
        float score = 0;
        int kind = (int)SentencePieceKind.Normal;
        while (input.ReadTag() is var tag and not 0)
        {
            switch (tag)
            {
                case (1 << 3) | BytesField:
                    text = input.ReadBytes().ToByteArray();
                    break;
                case (2 << 3) | FloatField:
                    score = input.ReadFloat();
                    break;
                case (3 << 3) | VarintField:
                    kind = input.ReadInt32();
                    break;
                default:
                    input.SkipLastField();
                    break;
            }
        }

        if (kind is < (int)SentencePieceKind.Normal or > (int)SentencePieceKind.Byte)
        {
            throw Invalid($"piece {Pieces.Count} has type {kind}, expected 1 to 6.");
        }

        return new SentencePiece(text, score, (SentencePieceKind)kind);
    }

    private void ReadTrainer(CodedInputStream input)
    {
        while (input.ReadTag() is var tag and not 0)
        {
            switch (tag)
            {
                case (3 << 3) | VarintField:
                    ModelType = input.ReadInt32();
                    break;
                case (24 << 3) | VarintField:
                    if (input.ReadBool())
                    {
                        throw Invalid("treat_whitespace_as_suffix is true, which is not supported; expected false, as in Llama models.");
                    }

                    break;
                case (35 << 3) | VarintField:
                    ByteFallback = input.ReadBool();
                    break;
                case (44 << 3) | BytesField:
                    UnknownText = input.ReadString();
                    break;
                case (46 << 3) | BytesField:
                    BeginPiece = input.ReadString();
                    break;
                case (47 << 3) | BytesField:
                    EndPiece = input.ReadString();
                    break;
                default:
                    input.SkipLastField();
                    break;
            }
        }
    }

    private void ReadNormalizer(CodedInputStream input, string section)
    {
        string name = "";
        bool hasRules = false;
        while (input.ReadTag() is var tag and not 0)
        {
            switch (tag)
            {
                case (1 << 3) | BytesField:
                    name = input.ReadString();
                    break;
                case (2 << 3) | BytesField:
                    hasRules = input.ReadBytes().Length > 0;
                    break;
                case (3 << 3) | VarintField:
                    AddsLeadingSpace = input.ReadBool();
                    break;
                case (4 << 3) | VarintField:
                    RemovesExtraSpaces = input.ReadBool();
                    break;
                case (5 << 3) | VarintField:
                    if (!input.ReadBool())
                    {
                        throw Invalid("escape_whitespaces is false, which is not supported; expected true, as in Llama models.");
                    }

                    break;
                default:
                    input.SkipLastField();
                    break;
            }
        }

        if (hasRules || name is not ("identity" or ""))
        {
            throw Invalid($"{section} is '{name}', which is not supported; expected 'identity', as in Llama models.");
        }
    }

    private void ReadDenormalizer(CodedInputStream input)
    {
        while (input.ReadTag() is var tag and not 0)
        {
            if (tag == ((2 << 3) | BytesField) && input.ReadBytes().Length > 0)
            {
                throw Invalid("denormalizer_spec has rules, which is not supported; expected none, as in Llama models.");
            }

            if (tag != ((2 << 3) | BytesField))
            {
                input.SkipLastField();
            }
        }
    }

    private void CheckSettings()
    {
        if (Pieces.Count == 0)
        {
            throw Invalid("found no pieces; the file is damaged or no SentencePiece model. Copy it again from the model's source.");
        }

        if (ModelType != 2)
        {
            string name = ModelType switch { 1 => "Unigram", 3 => "Word", 4 => "Char", _ => $"number {ModelType}" };
            throw Invalid($"the model type is {name}, expected BPE, as in Llama models.");
        }

        if (RemovesExtraSpaces)
        {
            throw Invalid("remove_extra_whitespaces is true, which is not supported; expected false, as in Llama models.");
        }
    }

    private void CheckPieces()
    {
        var seen = new PieceTable(Pieces.Count);
        var bytesSeen = new bool[256];
        byte[] begin = Encoding.UTF8.GetBytes(BeginPiece);
        byte[] end = Encoding.UTF8.GetBytes(EndPiece);
        for (int id = 0; id < Pieces.Count; id++)
        {
            SentencePiece piece = Pieces[id];
            if (piece.Text.Length is 0 or > LongestPiece || !Utf8.IsValid(piece.Text))
            {
                throw Invalid($"piece {id} has {piece.Text.Length} bytes, expected UTF-8 of 1 to {LongestPiece} bytes.");
            }

            if (!float.IsFinite(piece.Score))
            {
                throw Invalid($"piece {id} '{Show(piece)}' has the score {piece.Score}, expected a finite number.");
            }

            if (!seen.TryAdd(piece.Text, id))
            {
                seen.TryGetId(piece.Text, out int first);
                throw Invalid($"piece {id} '{Show(piece)}' repeats piece {first}; every piece must be there once.");
            }

            switch (piece.Kind)
            {
                case SentencePieceKind.Unknown when UnknownToken >= 0:
                    throw Invalid($"pieces {UnknownToken} and {id} are both the unknown piece, expected one.");
                case SentencePieceKind.Unknown:
                    UnknownToken = id;
                    break;
                case SentencePieceKind.Control when piece.Text.AsSpan().SequenceEqual(begin):
                    BeginToken = id;
                    break;
                case SentencePieceKind.Control when piece.Text.AsSpan().SequenceEqual(end):
                    EndToken = id;
                    break;
                case SentencePieceKind.Byte:
                    CheckByte(id, bytesSeen);
                    break;
            }
        }

        if (UnknownToken < 0)
        {
            throw Invalid("found no piece of the type 'unknown' (<unk>), expected one.");
        }

        if (BeginToken < 0)
        {
            throw Invalid($"found no control piece '{BeginPiece}', which opens a sequence.");
        }

        if (ByteFallback && Array.IndexOf(bytesSeen, false) is >= 0 and int missing)
        {
            throw Invalid($"byte_fallback is on but the piece <0x{missing:X2}> is missing, expected all 256.");
        }
    }

    private void CheckByte(int id, bool[] bytesSeen)
    {
        int value = ParseByte(Pieces[id].Text);
        if (value < 0 || !ByteFallback)
        {
            throw Invalid(value < 0
                ? $"piece {id} '{Show(Pieces[id])}' is of the type 'byte', expected a name from <0x00> to <0xFF>."
                : $"piece {id} '{Show(Pieces[id])}' is of the type 'byte' although byte_fallback is off.");
        }

        bytesSeen[value] = true;
    }

    private static string Show(SentencePiece piece) => Encoding.UTF8.GetString(piece.Text.AsSpan(0, Math.Min(piece.Text.Length, 64)));

    private ModelFormatException Invalid(string problem, Exception? cause = null) => new(_path, problem, cause);
}
