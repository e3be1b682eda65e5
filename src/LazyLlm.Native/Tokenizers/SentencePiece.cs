namespace LazyLlm.Native.Tokenizers;

/// <summary>One entry of a SentencePiece vocabulary.</summary>
/// <param name="Text">UTF-8, with U+2581 for a space.</param>
/// <param name="Score">Merges to a higher score happen first.</param>
/// <param name="Kind">What it is for.</param>
internal readonly record struct SentencePiece(byte[] Text, float Score, SentencePieceKind Kind);
