using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>How many rows a kernel works on: the mirror of <c>RowCount</c> in step.cuh.</summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly struct RowCount
{
    private readonly ulong _state;
    private readonly int _limit;
    private readonly int _isExact;

    private RowCount(ulong state, int limit, bool isExact = false)
    {
        _state = state;
        _limit = limit;
        _isExact = isExact ? 1 : 0;
    }

    /// <summary>The count, or the most that it may be: what grids are sized for.</summary>
    public int Limit => _limit;

    /// <summary>Whether the host knows the count.</summary>
    public bool IsKnown => _state == 0 || _isExact != 0;

    /// <summary>A count that the host knows.</summary>
    public static RowCount Of(int rows) => new(0, rows);

    /// <summary>A count that the host knows, where the kernel reads |T| from a <see cref="StepState"/>.</summary>
    public static RowCount Exactly(int rows, ulong state) => new(state, rows, isExact: true);

    /// <summary>A count that the kernel reads from a <see cref="StepState"/>.</summary>
    public static RowCount AtMost(int limit, ulong state) => new(state, limit);
}
