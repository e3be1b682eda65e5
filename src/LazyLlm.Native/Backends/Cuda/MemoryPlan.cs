using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>The device memory that a model and one dense session of a length will take, known before any is taken.</summary>
internal sealed class MemoryPlan
{
    // The context itself, modules, graphs, and what mapping rounds up to.
    private const long Reserve = 192L << 20;

    private readonly DeviceShape _shape;
    private readonly int _contextLength;

    private MemoryPlan(DeviceShape shape, int contextLength)
    {
        _shape = shape;
        _contextLength = contextLength;
    }

    /// <summary>Bytes of the weights, rotary table included.</summary>
    public long WeightBytes => CudaWeights.BytesFor(_shape, _contextLength);

    /// <summary>Bytes per position of a dense session whose prompt fills the context: K, V, Aux, lists, and the rows of its prefill.</summary>
    public long BytesPerPosition =>
        (_shape.KeyValueBytes * _shape.Config.LayerCount) + (12 * sizeof(int))
        + (2L * _shape.Hidden * sizeof(float))
        + ((long)_shape.ElementSize * (_shape.Hidden + _shape.QueryKeyValueWidth + _shape.QueryWidth + _shape.Intermediate));

    /// <summary>Bytes of everything.</summary>
    public long TotalBytes => WeightBytes + (BytesPerPosition * _contextLength) + Reserve;

    /// <summary>Plans a model and a session.</summary>
    public static MemoryPlan For(DeviceShape shape, int contextLength) => new(shape, contextLength);

    /// <summary>Refuses what does not fit.</summary>
    /// <param name="freeBytes">What the driver says is free.</param>
    /// <param name="device">The device's name.</param>
    /// <exception cref="DeviceMemoryException">It does not fit; the message says how much is missing and what would.</exception>
    public void Check(long freeBytes, string device)
    {
        if (TotalBytes > freeBytes)
        {
            throw new DeviceMemoryException(
                $"the model and a context of {_contextLength:N0} tokens on {device}",
                TotalBytes,
                freeBytes,
                Advice(freeBytes));
        }
    }

    private string Advice(long freeBytes)
    {
        long perPosition = BytesPerPosition + ((long)_shape.Config.HeadSize * sizeof(float));
        long left = freeBytes - Reserve - CudaWeights.BytesFor(_shape, 0);
        long fits = left / perPosition;
        if (left > 0 && fits > 0)
        {
            return $"A context of {fits:N0} tokens would fit.";
        }

        var half = new MemoryPlan(new DeviceShape(_shape.Config, TensorType.BFloat16), _contextLength);
        return _shape.Storage == TensorType.Float32 && half.TotalBytes <= freeBytes
            ? "In bf16 precision it would fit."
            : $"The weights take {WeightBytes:N0}, and {Reserve:N0} are left to the driver and the kernels: no context would fit. Free memory on this GPU, use a larger one, or run with the device cpu.";
    }
}
