namespace LazyLlm.Evaluation.Running;

/// <summary>A method's figures over a dataset or a group of datasets: one row of a table.</summary>
/// <param name="Scope">The dataset or group.</param>
/// <param name="Method">The method's name.</param>
/// <param name="Score">0 to 100: the mean over records, or over the datasets of a group.</param>
/// <param name="FirstTokenSpeedup">Time to first token of the dense model over the method's, median over the items; NaN without dense.</param>
/// <param name="GenerationSpeedup">The same for the whole generation.</param>
/// <param name="PromptShare">Share of the prompt's (token, layer) pairs computed up to the last token.</param>
/// <param name="PrefillShare">Share of them computed up to the first token, preparing the prompt included.</param>
/// <param name="FollowUpScore">0 to 100 over the follow-up questions; NaN where there are none.</param>
/// <param name="FollowUpSpeedup">Speed-up to first token of the follow-up turns; NaN where there are none.</param>
/// <param name="FollowUpShare">Pairs computed up to the end of the last follow-up turn, over those of the dense model; NaN where there are none.</param>
/// <param name="Runs">Results behind the row.</param>
public sealed record MethodScore(
    string Scope,
    string Method,
    double Score,
    double FirstTokenSpeedup,
    double GenerationSpeedup,
    double PromptShare,
    double PrefillShare,
    double FollowUpScore,
    double FollowUpSpeedup,
    double FollowUpShare,
    int Runs);
