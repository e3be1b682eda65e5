namespace LazyLlm.Native.Backends;

/// <summary>
/// The rows that a pass works on: residual (float32), normed, QKV, attention and activation rows, and logits.
/// Used by one pass at a time; grows to the largest row count seen.
/// </summary>
internal interface IWorkspace : IDisposable
{
    /// <summary>Makes room for <paramref name="rows"/> rows. Contents are lost when it has to grow.</summary>
    void Reserve(int rows);

    /// <summary>Bytes taken from the device.</summary>
    long AllocatedBytes { get; }
}
