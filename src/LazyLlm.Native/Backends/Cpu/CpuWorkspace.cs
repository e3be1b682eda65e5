using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>The float32 rows of a pass on the CPU.</summary>
internal sealed class CpuWorkspace(ModelConfig config) : IWorkspace
{
    private int _rows;
    private float[][] _logits = [];

    /// <summary>Residual stream, rows x hidden size.</summary>
    public float[] Residual { get; private set; } = [];

    /// <summary>RMSNorm's output, rows x hidden size.</summary>
    public float[] Normed { get; private set; } = [];

    /// <summary>Rows x (query width + 2 · K/V width).</summary>
    public float[] QueryKeyValue { get; private set; } = [];

    /// <summary>Attention output, rows x query width.</summary>
    public float[] Attention { get; private set; } = [];

    /// <summary>silu(gate) · up, rows x intermediate size.</summary>
    public float[] Activation { get; private set; } = [];

    /// <summary>Width of a QKV row.</summary>
    public int QueryKeyValueWidth { get; } = config.QueryWidth + (2 * config.KeyValueWidth);

    /// <inheritdoc/>
    public long AllocatedBytes =>
        sizeof(float) * ((long)Residual.Length + Normed.Length + QueryKeyValue.Length + Attention.Length + Activation.Length + _logits.Sum(l => l.Length));

    /// <inheritdoc/>
    public void Reserve(int rows)
    {
        if (rows <= _rows)
        {
            return;
        }

        _rows = rows;
        Residual = new float[checked(rows * config.HiddenSize)];
        Normed = new float[checked(rows * config.HiddenSize)];
        QueryKeyValue = new float[checked(rows * QueryKeyValueWidth)];
        Attention = new float[checked(rows * config.QueryWidth)];
        Activation = new float[checked(rows * config.IntermediateSize)];
    }

    /// <summary>The logits of the <paramref name="index"/>-th sequence of the pass.</summary>
    public float[] Logits(int index)
    {
        while (index >= _logits.Length)
        {
            _logits = [.. _logits, new float[config.VocabularySize]];
        }

        return _logits[index];
    }

    /// <inheritdoc/>
    public void Dispose()
    {
    }
}
