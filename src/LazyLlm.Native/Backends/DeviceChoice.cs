using LazyLlm.Native.Backends.Cpu;
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

        return options.Device switch
        {
            "auto" or "cpu" => CpuOperations.Load(weights, contextLength, progress, cancellation, options.Threads ?? 0),
            _ => throw new InvalidOptionException("device", $"found '{options.Device}', expected 'auto' or 'cpu'."),
        };
    }
}
