namespace LazyLlm.Native.Errors;

/// <summary>A file of an evaluation (records, prompts, limits, results) is missing, damaged or not of the expected form.</summary>
public sealed class DataFormatException : LazyLlmException
{
    /// <summary>Creates the error.</summary>
    /// <param name="path">The file at fault.</param>
    /// <param name="line">The line at fault, from 1; 0 where the file as a whole is meant.</param>
    /// <param name="problem">What was found, what was expected and what to do.</param>
    /// <param name="innerException">The cause, where another exception reported it.</param>
    public DataFormatException(string path, int line, string problem, Exception? innerException = null)
        : base(line > 0 ? $"{path}, line {line}: {problem}" : $"{path}: {problem}", innerException)
    {
        Path = path;
        Line = line;
    }

    /// <summary>The file at fault.</summary>
    public string Path { get; }

    /// <summary>The line at fault, from 1; 0 where the file as a whole is meant.</summary>
    public int Line { get; }
}
