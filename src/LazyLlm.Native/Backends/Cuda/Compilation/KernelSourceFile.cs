namespace LazyLlm.Native.Backends.Cuda.Compilation;

/// <summary>One file of CUDA C++.</summary>
/// <param name="Name">Its name, as <c>#include</c> gives it.</param>
/// <param name="Text">Its text.</param>
public sealed record KernelSourceFile(string Name, string Text);
