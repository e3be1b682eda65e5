using System.Globalization;
using LazyLlm.Native.Backends.Cpu;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Interop.Cuda;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends;

/// <summary>Puts a model on the device that the options name.</summary>
internal static class DeviceChoice
{
    /// <summary>Loads the weights.</summary>
    /// <param name="weights">The model.</param>
    /// <param name="options">Device, number format and threads; the context length is set.</param>
    /// <param name="notes">Receives what is not as it might be, in plain words.</param>
    /// <param name="progress">Told as weights arrive on the device.</param>
    /// <param name="cancellation">Checked between pieces of weights.</param>
    /// <exception cref="InvalidOptionException">The device's name is none of those known.</exception>
    /// <exception cref="DeviceException">The device cannot serve the model.</exception>
    public static IOperations Load(ModelWeights weights, EngineOptions options, List<string> notes, IProgress<LoadProgress>? progress, CancellationToken cancellation)
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
                    return Gpu(0);
                }
                catch (DeviceException error)
                {
                    // No GPU is nothing to speak of here; one that cannot serve the model is.
                    if (CudaLibraries.HasDriver && error is not CudaException { Code: (int)CuResult.NoDevice })
                    {
                        notes.Add($"The CPU is used, because the GPU cannot serve this model. {error.Message}");
                    }

                    return CpuOperations.Load(weights, contextLength, progress, cancellation, options.Threads ?? 0);
                }

            case "cuda":
                return Gpu(0);
            case string name when name.StartsWith("cuda:", StringComparison.Ordinal) && int.TryParse(name.AsSpan(5), NumberStyles.None, CultureInfo.InvariantCulture, out int number):
                return Gpu(number);
            default:
                throw new InvalidOptionException("device", $"found '{options.Device}', expected 'auto', 'cpu', 'cuda' or 'cuda:N'.");
        }

        CudaOperations Gpu(int number)
        {
            CudaSupport.CheckContext(contextLength);
            var cuda = new CudaOptions
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
            CudaOperations operations = CudaOperations.Load(weights, cuda, progress, cancellation);
            notes.AddRange(operations.Context.Notes);
            return operations;
        }
    }
}
