namespace LazyLlm.Cli;

/// <summary>The command line asks for what cannot be: the message is the whole line to show.</summary>
internal sealed class UsageException(string message) : Exception(message);
