namespace LazyLlm.Native.Backends.Cuda.Compilation;

/// <summary>A file of the kernel cache.</summary>
/// <param name="Path">The file.</param>
/// <param name="Name">The program in it; null if the file is damaged.</param>
/// <param name="Target">The architecture, e.g. <c>sm_90</c>; null if the file is damaged.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Written">When it was written.</param>
public sealed record KernelCacheEntry(string Path, string? Name, string? Target, long Bytes, DateTime Written);
