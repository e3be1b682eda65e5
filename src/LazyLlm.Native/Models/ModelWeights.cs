namespace LazyLlm.Native.Models;

/// <summary>
/// The weights of a Llama model by their role, each checked against the <see cref="ModelConfig"/>, readable piece by
/// piece with positioned reads. Safe for use by several threads at once. Reads no more than what is asked for.
/// </summary>
public abstract class ModelWeights : IDisposable
{
    /// <summary>The model's shape.</summary>
    public abstract ModelConfig Config { get; }

    /// <summary>Bytes of all weights as they stand in the files, each counted once.</summary>
    public abstract long TotalBytes { get; }

    /// <summary>The tensor that plays <paramref name="role"/> in <paramref name="layer"/> (ignored by roles outside the layers).</summary>
    public abstract WeightTensor this[WeightRole role, int layer = 0] { get; }

    /// <summary>What stands for the folder of weights that came from none.</summary>
    internal virtual string Source => "(no folder)";

    /// <summary>Closes the files.</summary>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Closes the files.</summary>
    protected virtual void Dispose(bool disposing)
    {
    }
}
