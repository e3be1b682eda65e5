using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Parameters of <c>lazyllm_embed</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct EmbedArgs
{
    /// <summary>Tokens that one launch takes.</summary>
    public const int MaxTokens = 512;

    public ulong Table;
    public ulong Aux;
    public int Width;
    public int First;
    public TokenIds Tokens;

    [InlineArray(MaxTokens)]
    public struct TokenIds
    {
        private int _token;
    }
}
