using System.Security.Cryptography;
using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation.Running;

/// <summary>A digest of a model that changes with any of its weights, unlike its identity, which reads no weights.</summary>
public static class ModelDigest
{
    /// <summary>SHA-256, in hexadecimal, over <c>config.json</c> and the <c>*.safetensors</c> files in the order of their names.</summary>
    /// <exception cref="ModelFormatException">A file cannot be read.</exception>
    public static string Compute(string modelFolder, CancellationToken cancellation = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(modelFolder);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = new byte[1 << 20];
        string file = modelFolder;
        try
        {
            string[] weights = Directory.GetFiles(modelFolder, "*.safetensors");
            Array.Sort(weights, StringComparer.Ordinal);
            foreach (string part in weights.Prepend(Path.Combine(modelFolder, "config.json")))
            {
                file = part;
                using FileStream stream = File.OpenRead(part);
                while (stream.Read(buffer) is int read and > 0)
                {
                    cancellation.ThrowIfCancellationRequested();
                    hash.AppendData(buffer, 0, read);
                }
            }
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new ModelFormatException(file, $"cannot be read: {error.Message}", error);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
