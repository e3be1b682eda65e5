namespace LazyLlm.Evaluation;

/// <summary>The middle of some values: what a run that the machine's other work slowed down does not move.</summary>
public static class Median
{
    /// <summary>The middle value, or the mean of the two in the middle; not a number where there are none.</summary>
    public static double Of(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? double.NaN : (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
