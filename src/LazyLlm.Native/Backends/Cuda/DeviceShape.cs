using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>
/// A model's widths on the device. Hidden and intermediate size are rounded up to multiples of 8 and filled with zeros,
/// which every operation keeps zero; so a row of a 16-bit format is a whole number of 16-byte pieces, and kernels know
/// no other widths.
/// </summary>
internal sealed class DeviceShape
{
    /// <summary>What every width is a multiple of.</summary>
    public const int Unit = 8;

    public DeviceShape(ModelConfig config, TensorType storage)
    {
        Config = config;
        Storage = storage;
        Hidden = RoundUp(config.HiddenSize);
        Intermediate = RoundUp(config.IntermediateSize);
    }

    /// <summary>The model's own numbers.</summary>
    public ModelConfig Config { get; }

    /// <summary>The format of weights, K/V and the rows between products.</summary>
    public TensorType Storage { get; }

    /// <summary>Bytes of a number of <see cref="Storage"/>.</summary>
    public int ElementSize => Storage == TensorType.Float32 ? 4 : 2;

    /// <summary>Width of residual, normed and Aux rows.</summary>
    public int Hidden { get; }

    /// <summary>Width of activation rows.</summary>
    public int Intermediate { get; }

    /// <summary>Width of Q in a QKV row, and of attention rows.</summary>
    public int QueryWidth => Config.QueryWidth;

    /// <summary>Width of K, and of V.</summary>
    public int KeyValueWidth => Config.KeyValueWidth;

    /// <summary>Width of QKV rows.</summary>
    public int QueryKeyValueWidth => QueryWidth + (2 * KeyValueWidth);

    /// <summary>Bytes of K and V of one position in one layer.</summary>
    public long KeyValueBytes => 2L * KeyValueWidth * ElementSize;

    /// <summary>Bytes of a layer's four matrices.</summary>
    public long LayerMatrixBytes =>
        ElementSize * (((long)Hidden * (QueryKeyValueWidth + QueryWidth)) + (3L * Intermediate * Hidden));

    /// <summary>Rounds up to the next multiple of 8.</summary>
    public static int RoundUp(int width) => checked((width + Unit - 1) / Unit * Unit);
}
