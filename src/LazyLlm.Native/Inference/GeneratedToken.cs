namespace LazyLlm.Native.Inference;

/// <summary>One generated token.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Text">
/// The text that became final with it: whole characters only, without what may still turn out to be a stop string.
/// May be empty, and may hold text of earlier tokens. The texts of a generation together are its answer.
/// </param>
/// <param name="LogProbability">Natural logarithm of the probability that the model gave it.</param>
/// <param name="Finish">Why the generation ends with this token, or <see cref="FinishReason.None"/>.</param>
public readonly record struct GeneratedToken(int Id, string Text, float LogProbability, FinishReason Finish);
