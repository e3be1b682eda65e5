namespace LazyLlm.Native.Inference;

/// <summary>How an engine is loaded.</summary>
public sealed record EngineOptions
{
    /// <summary><c>auto</c> (the first GPU that can serve, else the CPU), <c>cpu</c>, <c>cuda</c> or <c>cuda:N</c>.</summary>
    public string Device { get; init; } = "auto";

    /// <summary>Number format of weights and K/V on a GPU. The CPU keeps the checkpoint's and computes in float32.</summary>
    public Precision Precision { get; init; }

    /// <summary>Longest sequence, in tokens; at most what the model was made for, which is the default.</summary>
    public int? ContextLength { get; init; }

    /// <summary>Threads of the CPU backend; all cores by default.</summary>
    public int? Threads { get; init; }

    /// <summary>A tokenizer file in place of the one in the model folder (<c>tokenizer.model</c>, or tiktoken ranks).</summary>
    public string? TokenizerPath { get; init; }
}
