using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Backends.Cuda.Compilation;

/// <summary>Turns CUDA C++ into machine code. Safe from every thread.</summary>
internal interface IKernelToolchain
{
    /// <summary>Name and version, e.g. <c>NVRTC 13.0</c>: part of every cache key.</summary>
    string Signature { get; }

    /// <summary>Options that make the toolchain compile anew instead of remembering; empty if it does not remember.</summary>
    IReadOnlyList<string> FreshOptions { get; }

    /// <summary>Compiles a program.</summary>
    /// <param name="kernel">The program's name, for errors.</param>
    /// <param name="path">The source's path, for debug information.</param>
    /// <param name="source">The source.</param>
    /// <param name="headers">What it may include.</param>
    /// <param name="options">The options.</param>
    /// <param name="ptx">Whether to give PTX rather than a CUBIN.</param>
    /// <returns>The code and the log.</returns>
    /// <exception cref="KernelCompilationException">The source does not compile.</exception>
    /// <exception cref="DeviceException">The compiler itself failed.</exception>
    (byte[] Image, string Log) Compile(
        string kernel,
        string path,
        string source,
        IReadOnlyList<KernelSourceFile> headers,
        IReadOnlyList<string> options,
        bool ptx);
}
