namespace LazyLlm.Cli;

/// <summary>What the process returns; scripts may rely on these.</summary>
internal static class ExitCode
{
    public const int Success = 0;

    /// <summary>The engine refused or failed: a damaged model, a prompt that is too long, a file that cannot be written.</summary>
    public const int Failure = 1;

    /// <summary>The command line is wrong: an unknown option, a missing one, a value out of range.</summary>
    public const int Usage = 2;

    /// <summary>The device, its driver or its compiler refused, or there is not enough memory on it.</summary>
    public const int Device = 3;

    /// <summary>The device failed for good while serving; only a new process can go on.</summary>
    public const int Fault = 4;

    /// <summary>A fault of the program itself; its stack trace is on standard error.</summary>
    public const int Internal = 70;

    /// <summary>Stopped by Ctrl+C or SIGTERM.</summary>
    public const int Cancelled = 130;
}
