namespace LazyLlm.Native.Models;

/// <summary>The <c>rope_scaling</c> of a <c>config.json</c>. Fields that the kind does not use are zero.</summary>
/// <param name="Kind">The rule.</param>
/// <param name="Factor">What positions (linear) or low frequencies (llama3) are divided by.</param>
/// <param name="LowFrequencyFactor">llama3: <c>low_freq_factor</c>.</param>
/// <param name="HighFrequencyFactor">llama3: <c>high_freq_factor</c>.</param>
/// <param name="OriginalContextLength">llama3: <c>original_max_position_embeddings</c>.</param>
public readonly record struct RopeScaling(
    RopeScalingKind Kind,
    double Factor = 0,
    double LowFrequencyFactor = 0,
    double HighFrequencyFactor = 0,
    int OriginalContextLength = 0);
