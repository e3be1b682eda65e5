using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>The mirror of <c>ScoreArgs</c> in importance.cu.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ScoreArgs
{
    public AttentionArgs Attention;
    public ulong Importance;
    public int Queries;
    public int Accumulate;
}
