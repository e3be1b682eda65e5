namespace LazyLlm.Native.Backends.Cuda.Compilation;

/// <summary>A source file and the macros that choose its variant: what is compiled to one module.</summary>
public sealed class KernelProgram : IEquatable<KernelProgram>
{
    /// <summary>Names a variant.</summary>
    /// <param name="source">The file, e.g. <c>gemm.cu</c>.</param>
    /// <param name="defines">Macros as <c>NAME</c> or <c>NAME=VALUE</c>, in order.</param>
    public KernelProgram(string source, params IReadOnlyList<string> defines)
    {
        ArgumentNullException.ThrowIfNull(defines);
        Source = source;
        Defines = defines;
        Name = defines.Count == 0 ? source : $"{source}[{string.Join(",", defines)}]";
    }

    /// <summary>The source file.</summary>
    public string Source { get; }

    /// <summary>The macros, in order.</summary>
    public IReadOnlyList<string> Defines { get; }

    /// <summary>File and macros in one text, e.g. <c>gemm.cu[BLOCK_M=128]</c>.</summary>
    public string Name { get; }

    /// <inheritdoc/>
    public bool Equals(KernelProgram? other) => other is not null && Name == other.Name;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as KernelProgram);

    /// <inheritdoc/>
    public override int GetHashCode() => Name.GetHashCode(StringComparison.Ordinal);

    /// <inheritdoc/>
    public override string ToString() => Name;
}
