namespace LazyLlm.Native.Pruning;

/// <summary>A run of consecutive layers that see the same token set.</summary>
/// <param name="Index">Place in the plan, from 0.</param>
/// <param name="FirstLayer">First layer (0-based).</param>
/// <param name="EndLayer">One past the last layer.</param>
/// <param name="Keep">Fraction of the whole context that the stage may see.</param>
public readonly record struct Stage(int Index, int FirstLayer, int EndLayer, double Keep)
{
    /// <summary>Layers of the stage.</summary>
    public int LayerCount => EndLayer - FirstLayer;
}
