namespace LazyLlm.Native.Errors;

/// <summary>A file of a model folder (weights, configuration, tokenizer) is missing, damaged or not supported.</summary>
public sealed class ModelFormatException : LazyLlmException
{
    /// <summary>Creates the error.</summary>
    /// <param name="path">The file or folder at fault.</param>
    /// <param name="problem">What was found, what was expected and what to do.</param>
    /// <param name="innerException">The cause, where another exception reported it.</param>
    public ModelFormatException(string path, string problem, Exception? innerException = null)
        : base($"{path}: {problem}", innerException)
    {
        Path = path;
    }

    /// <summary>The file or folder at fault.</summary>
    public string Path { get; }
}
