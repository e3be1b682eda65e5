using System.Runtime.CompilerServices;
using System.Text;

namespace LazyLlm.Native.Interop.Nvtx;

/// <summary>
/// Ranges for NVIDIA's profilers in the domain <c>LazyLlm</c>, without any library: a profiler names its own library in
/// <c>NVTX_INJECTION64_PATH</c>; the program loads it, calls its <c>InitializeInjectionNvtx2</c> with a function that
/// hands out tables of slots, and the profiler writes its functions into them (the handshake of NVTX 3's headers).
/// Without that variable nothing is loaded, and <see cref="IsEnabled"/> is a constant to the compiler.
/// </summary>
internal static class NvtxDomain
{
    private static readonly NvtxInjection? Tool = NvtxInjection.TryLoad(Environment.GetEnvironmentVariable("NVTX_INJECTION64_PATH"));
    private static readonly nint Domain = Tool?.CreateDomain("LazyLlm\0"u8) ?? 0;

    /// <summary>Whether a profiler listens.</summary>
    internal static readonly bool IsEnabled = Domain != 0;

    /// <summary>Gives a text to the profiler once, so that ranges need only its number; 0 if none listens.</summary>
    internal static nint Register(string text) => Tool?.RegisterString(Domain, Encoding.UTF8.GetBytes(text + '\0')) ?? 0;

    /// <summary>Opens a range on this thread.</summary>
    /// <param name="name">A registered text.</param>
    /// <param name="payload">A number shown with it, such as the layer; below 0 for none.</param>
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal static void Push(nint name, int payload) => Tool?.Push(Domain, name, payload);

    /// <summary>Closes this thread's last range.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal static void Pop() => Tool?.Pop(Domain);
}
