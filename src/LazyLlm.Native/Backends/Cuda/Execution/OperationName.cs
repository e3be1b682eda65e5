using LazyLlm.Native.Interop.Nvtx;

namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>The name of an operation in errors and in profiles. Create each once, as a static: a profiler is told of it then.</summary>
internal sealed class OperationName
{
    /// <summary>Creates a name.</summary>
    /// <param name="text">Lower case with underscores, e.g. <c>attend_gathered</c>.</param>
    public OperationName(string text)
    {
        Text = text;
        NvtxString = NvtxDomain.IsEnabled ? NvtxDomain.Register(text) : 0;
    }

    /// <summary>The name.</summary>
    public string Text { get; }

    internal nint NvtxString { get; }

    /// <inheritdoc/>
    public override string ToString() => Text;
}
