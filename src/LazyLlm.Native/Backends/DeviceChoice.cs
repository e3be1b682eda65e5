using System.Globalization;
using LazyLlm.Native.Backends.Cpu;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends;

/// <summary>Puts a model on the device that the options name.</summary>
internal static class DeviceChoice
{
    /// <summary>Loads the weights.</summary>
    /// <param name="weights">The model.</param>
    /// <param name="options">Device, number format and threads; the context length is set.</param>
    /// <param name="progress">Told as weights arrive on the device.</param>
    /// <param name="cancellation">Checked between pieces of weights.</param>
    /// <exception cref="InvalidOptionException">The device's name is none of those known.</exception>
    /// <exception cref="DeviceException">The device cannot serve the model.</exception>
    public static IOperations Load(ModelWeights weights, EngineOptions options, IProgress<LoadProgress>? progress, CancellationToken cancellation)
    {
        int contextLength = options.ContextLength ?? weights.Config.ContextLength;
        if (options.Threads is < 1)
        {
            throw new InvalidOptionException("threads", $"found {options.Threads}, expected 1 or more.");
        }

        switch (options.Device)
        {
            case "cpu":
                return CpuOperations.Load(weights, contextLength, progress, cancellation, options.Threads ?? 0);
            case "auto":
                try
                {
                    return CudaOperations.Load(weights, Cuda(0), progress, cancellation);
                }
                catch (DeviceException)
                {
                    // No GPU, or none that can serve the model: here that is no error. Asking for cuda says what is wrong.
                    return CpuOperations.Load(weights, contextLength, progress, cancellation, options.Threads ?? 0);
                }

            case "cuda":
                return CudaOperations.Load(weights, Cuda(0), progress, cancellation);
            case string name when name.StartsWith("cuda:", StringComparison.Ordinal) && int.TryParse(name.AsSpan(5), NumberStyles.None, CultureInfo.InvariantCulture, out int number):
                return CudaOperations.Load(weights, Cuda(number), progress, cancellation);
            default:
                throw new InvalidOptionException("device", $"found '{options.Device}', expected 'auto', 'cpu', 'cuda' or 'cuda:N'.");
        }

        CudaOptions Cuda(int number) => new()
        {
            Ordinal = number,
            ContextLength = contextLength,
            Storage = options.Precision switch
            {
                Precision.BFloat16 => TensorType.BFloat16,
                Precision.Float16 => TensorType.Float16,
                Precision.Float32 => TensorType.Float32,
                _ => null,
            },
        };
    }
}
