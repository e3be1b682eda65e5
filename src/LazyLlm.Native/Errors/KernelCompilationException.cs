namespace LazyLlm.Native.Errors;

/// <summary>A kernel did not compile.</summary>
public sealed class KernelCompilationException : DeviceException
{
    /// <summary>Creates the error.</summary>
    /// <param name="kernel">The source file and its variant.</param>
    /// <param name="problem">What failed and what to do.</param>
    /// <param name="log">The compiler's whole log.</param>
    /// <param name="location">File and line of the first error, if the log names one.</param>
    public KernelCompilationException(string kernel, string problem, string log, string? location)
        : base($"{(location is null ? string.Empty : location + ": ")}{kernel} did not compile: {problem}{(log.Length == 0 ? string.Empty : Environment.NewLine + log)}")
    {
        Kernel = kernel;
        Log = log;
        Location = location;
    }

    /// <summary>The source file and its variant.</summary>
    public string Kernel { get; }

    /// <summary>The compiler's whole log.</summary>
    public string Log { get; }

    /// <summary>File and line of the first error, e.g. <c>gemm.cu(17)</c>; null if the log names none.</summary>
    public string? Location { get; }
}
