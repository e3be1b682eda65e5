namespace LazyLlm.Native.Backends;

/// <summary>The rows of a workspace that belong to one sequence: its compute set, in ascending position order.</summary>
/// <param name="Start">First row.</param>
/// <param name="Count">Rows.</param>
internal readonly record struct RowRange(int Start, int Count)
{
    /// <summary>One past the last row.</summary>
    public int End => Start + Count;
}
