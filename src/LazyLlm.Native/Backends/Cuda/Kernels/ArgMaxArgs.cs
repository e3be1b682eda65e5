using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Parameters of <c>lazyllm_argmax</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct ArgMaxArgs
{
    public ulong Logits;
    public ulong Token;
    public int Count;
    public int Reserved;
}
