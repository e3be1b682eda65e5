namespace LazyLlm.Native.Tokenizers;

/// <summary>What a piece of a SentencePiece model is for; the values are those of the file.</summary>
internal enum SentencePieceKind
{
    /// <summary>Ordinary text.</summary>
    Normal = 1,

    /// <summary>Stands for characters that the model has no piece for.</summary>
    Unknown = 2,

    /// <summary>A control token: never found in text, never shown.</summary>
    Control = 3,

    /// <summary>Text that is always one token.</summary>
    UserDefined = 4,

    /// <summary>Takes part in merges but is split again in the result.</summary>
    Unused = 5,

    /// <summary>One byte of a character that has no piece (<c>&lt;0x00&gt;</c> to <c>&lt;0xFF&gt;</c>).</summary>
    Byte = 6,
}
