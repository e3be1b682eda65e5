using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Backends.Cuda.Kernels;

/// <summary>Launches embed.cu.</summary>
internal sealed class EmbedKernel(KernelLibrary library, DeviceShape shape)
{
    private const uint Threads = 128;

    private readonly Kernel _embed = library.Get(Program(shape), "lazyllm_embed");

    /// <summary>What it is compiled from.</summary>
    public static KernelProgram Program(DeviceShape shape) => KernelVariant.ForStorage("embed.cu", shape);

    /// <summary>aux[first + i] = row tokens[i] of table, widened.</summary>
    public void Launch(CudaStream stream, ulong table, ulong aux, int first, ReadOnlySpan<int> tokens)
    {
        var args = new EmbedArgs { Table = table, Aux = aux, Width = shape.Hidden, First = first };
        while (!tokens.IsEmpty)
        {
            int count = Math.Min(tokens.Length, EmbedArgs.MaxTokens);
            tokens[..count].CopyTo(args.Tokens);
            _embed.Launch(stream, new LaunchConfig((uint)count, Threads), args);
            tokens = tokens[count..];
            args.First += count;
        }
    }
}
