using System.Runtime.CompilerServices;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>QKV rows to their places: Q is rotated where it stands, K is rotated into the stage cache, V is copied there.</summary>
internal unsafe struct RopeArguments
{
    /// <summary>Rows of query heads, key heads, value heads.</summary>
    public float* QueryKeyValue;

    /// <summary>Floats from one row to the next.</summary>
    public nint Stride;

    /// <summary>Rows.</summary>
    public int Rows;

    /// <summary>Position of each row.</summary>
    public int* Positions;

    /// <summary>Slot of each row.</summary>
    public int* Slots;

    /// <summary>K rows of the layer by slot.</summary>
    public float* Keys;

    /// <summary>V rows of the layer by slot.</summary>
    public float* Values;

    /// <summary>Floats from one slot to the next.</summary>
    public nint CacheStride;

    /// <summary>Cosines by position and pair.</summary>
    public float* Cosines;

    /// <summary>Sines by position and pair.</summary>
    public float* Sines;

    /// <summary>Query heads.</summary>
    public int HeadCount;

    /// <summary>Key and value heads.</summary>
    public int KeyValueHeadCount;

    /// <summary>Numbers of a head.</summary>
    public int HeadSize;
}

/// <summary><see cref="RopeArguments"/> on all threads; a task is a few rows.</summary>
internal unsafe struct RowRope<TLanes, TVector>(RopeArguments arguments) : IParallelJob
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    /// <summary>Rows of a task.</summary>
    public const int TaskRows = 16;

    /// <inheritdoc/>
    public readonly void Run(int task, FloatBuffer scratch)
    {
        int size = arguments.HeadSize;
        int pairs = size / 2;
        int end = Math.Min(arguments.Rows, (task + 1) * TaskRows);
        for (int row = task * TaskRows; row < end; row++)
        {
            float* head = arguments.QueryKeyValue + (row * arguments.Stride);
            float* cosines = arguments.Cosines + ((nint)arguments.Positions[row] * pairs);
            float* sines = arguments.Sines + ((nint)arguments.Positions[row] * pairs);
            for (int i = 0; i < arguments.HeadCount; i++, head += size)
            {
                RowArithmetic<TLanes, TVector>.Rotate(head, cosines, sines, head, pairs);
            }

            nint slot = arguments.Slots[row] * arguments.CacheStride;
            for (int i = 0; i < arguments.KeyValueHeadCount; i++, head += size)
            {
                RowArithmetic<TLanes, TVector>.Rotate(head, cosines, sines, arguments.Keys + slot + (i * size), pairs);
            }

            Unsafe.CopyBlock(arguments.Values + slot, head, (uint)(arguments.KeyValueHeadCount * size * sizeof(float)));
        }
    }
}
