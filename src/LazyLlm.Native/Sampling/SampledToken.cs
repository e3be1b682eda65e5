namespace LazyLlm.Native.Sampling;

/// <summary>A token that a sampler chose.</summary>
/// <param name="Id">The token.</param>
/// <param name="LogProbability">
/// Natural logarithm of the probability that the model itself gave it: log-softmax of the logits as they came, before
/// penalty, temperature and filters. So it says the same at any setting.
/// </param>
public readonly record struct SampledToken(int Id, float LogProbability);
