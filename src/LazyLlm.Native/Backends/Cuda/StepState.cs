using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>Sizes of a sequence's step in the stage at hand, in device memory: the mirror of <c>StepState</c> in step.cuh.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct StepState
{
    /// <summary>|C|.</summary>
    public int Rows;

    /// <summary>|T|.</summary>
    public int TokenCount;

    /// <summary>Those of C that are older than the step.</summary>
    public int Revived;

    /// <summary>Slots of the stage in use, C's included.</summary>
    public int SlotCount;
}
