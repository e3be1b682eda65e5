namespace LazyLlm.Native.Tokenizers;

/// <summary>Who says a message of a chat.</summary>
public enum ChatRole
{
    /// <summary>Instructions for the whole chat; only as its first message.</summary>
    System,

    /// <summary>The person who asks.</summary>
    User,

    /// <summary>The model.</summary>
    Assistant,
}
