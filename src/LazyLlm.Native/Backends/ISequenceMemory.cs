namespace LazyLlm.Native.Backends;

/// <summary>
/// The device memory of one session: the Aux cache (one hidden row per position), a stage cache per stage (K and V of
/// its layers for computed positions only, with <c>slotOf[position]</c>), and the current step's token set T, compute
/// set C and importance. Grows with what is computed. Used by one caller at a time.
/// </summary>
internal interface ISequenceMemory : IDisposable
{
    /// <summary>Bytes of K and V of computed positions (what is in use, not what is reserved).</summary>
    long KeyValueBytes { get; }

    /// <summary>Bytes of the Aux cache in use.</summary>
    long AuxBytes { get; }

    /// <summary>Bytes of K and V that one position takes in one layer.</summary>
    long KeyValueBytesPerTokenAndLayer { get; }

    /// <summary>Bytes taken from the device, growth reserve included.</summary>
    long AllocatedBytes { get; }

    /// <summary>A copy that goes on independently: what a shared prompt prefix is forked from.</summary>
    ISequenceMemory Fork();

    /// <summary>Forgets every position; memory may be kept for reuse.</summary>
    void Reset();

    /// <summary>
    /// Undoes a step that did not finish: forgets the positions from <paramref name="length"/> on, and in each stage the slots
    /// from <paramref name="slotCounts"/>[stage] on, so that their positions count as not computed there.
    /// </summary>
    void Rollback(int length, ReadOnlySpan<int> slotCounts);

    /// <summary>Copies the positions of the current token set, ascending, for traces. Waits for the device.</summary>
    void ReadTokenSet(Span<int> positions);
}
