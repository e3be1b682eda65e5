namespace LazyLlm.Native.Inference;

/// <summary>Why a generation ended.</summary>
public enum FinishReason
{
    /// <summary>It goes on.</summary>
    None,

    /// <summary>The model ended the text, or a stop token or stop string came.</summary>
    Stop,

    /// <summary>The most tokens asked for were generated.</summary>
    Length,

    /// <summary>The context is full.</summary>
    Context,
}
