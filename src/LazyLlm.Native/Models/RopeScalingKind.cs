namespace LazyLlm.Native.Models;

/// <summary>How a model stretches its rotary positions beyond the length it was first trained on.</summary>
public enum RopeScalingKind
{
    /// <summary>Positions as they are.</summary>
    None,

    /// <summary>Every position divided by a factor.</summary>
    Linear,

    /// <summary>Llama 3: low frequencies divided by a factor, high ones kept, a smooth step between.</summary>
    Llama3,
}
