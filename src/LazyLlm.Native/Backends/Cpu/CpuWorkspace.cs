using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>The float32 rows of a pass on the CPU. Rows that products read lie <see cref="RowLayout"/>'s stride apart.</summary>
internal sealed unsafe class CpuWorkspace(ModelConfig config) : IWorkspace
{
    private readonly FloatBuffer _residual = new();
    private readonly FloatBuffer _normed = new();
    private readonly FloatBuffer _queryKeyValue = new();
    private readonly FloatBuffer _attention = new();
    private readonly FloatBuffer _activation = new();
    private readonly FloatBuffer _last = new();
    private readonly List<int> _awaited = [];
    private int _rows;
    private int _logitRows;
    private float[] _logits = [];

    /// <summary>Residual stream, rows of the hidden size side by side.</summary>
    public float* Residual => _residual.Pointer;

    /// <summary>RMSNorm's output.</summary>
    public float* Normed => _normed.Pointer;

    /// <summary>Floats from one normed row to the next.</summary>
    public nint NormedStride { get; } = RowLayout.Stride(config.HiddenSize);

    /// <summary>Rows of query heads, key heads and value heads, side by side.</summary>
    public float* QueryKeyValue => _queryKeyValue.Pointer;

    /// <summary>Width of a QKV row.</summary>
    public int QueryKeyValueWidth { get; } = config.QueryWidth + (2 * config.KeyValueWidth);

    /// <summary>Attention output.</summary>
    public float* Attention => _attention.Pointer;

    /// <summary>Floats from one attention row to the next.</summary>
    public nint AttentionStride { get; } = RowLayout.Stride(config.QueryWidth);

    /// <summary>silu(gate) · up.</summary>
    public float* Activation => _activation.Pointer;

    /// <summary>Floats from one activation row to the next.</summary>
    public nint ActivationStride { get; } = RowLayout.Stride(config.IntermediateSize);

    /// <inheritdoc/>
    public long AllocatedBytes =>
        _residual.AllocatedBytes + _normed.AllocatedBytes + _queryKeyValue.AllocatedBytes + _attention.AllocatedBytes
        + _activation.AllocatedBytes + _last.AllocatedBytes + ((long)_logits.Length * sizeof(float));

    /// <inheritdoc/>
    public void Reserve(int rows)
    {
        if (rows <= _rows)
        {
            return;
        }

        // Should memory run out on the way, nothing counts as reserved.
        _rows = 0;
        long whole = (long)rows + RowLayout.Padding;
        _residual.Reserve(whole * config.HiddenSize);
        _normed.Reserve(whole * NormedStride);
        _queryKeyValue.Reserve(whole * QueryKeyValueWidth);
        _attention.Reserve(whole * AttentionStride);
        _activation.Reserve(whole * ActivationStride);
        _rows = rows;
    }

    /// <summary>
    /// Where the normed last row of the <paramref name="index"/>-th sequence goes: logits are computed when one of them is
    /// asked for, those of all sequences in one product, so that the output head is read once.
    /// </summary>
    public float* AwaitLogits(int index)
    {
        if (index >= _logitRows)
        {
            int rows = index + 1;
            _last.Grow(((long)rows + RowLayout.Padding) * NormedStride);
            Array.Resize(ref _logits, rows * config.VocabularySize);
            _logitRows = rows;
        }

        if (!_awaited.Contains(index))
        {
            _awaited.Add(index);
        }

        return LastRow(index);
    }

    /// <summary>Takes a run of neighbouring sequences whose logits are still to be computed.</summary>
    /// <returns>False if there are none.</returns>
    public bool TakeAwaited(out int first, out int count)
    {
        first = 0;
        count = 0;
        if (_awaited.Count == 0)
        {
            return false;
        }

        first = _awaited[0];
        while (count < _awaited.Count && _awaited[count] == first + count)
        {
            count++;
        }

        _awaited.RemoveRange(0, count);
        return true;
    }

    /// <summary>The normed last row of a sequence.</summary>
    public float* LastRow(int index) => _last.Pointer + (index * NormedStride);

    /// <summary>The logits of the <paramref name="index"/>-th sequence of the pass, and of those behind it.</summary>
    public Span<float> Logits(int index) => _logits.AsSpan(index * config.VocabularySize);

    /// <inheritdoc/>
    public void Dispose()
    {
        _residual.Dispose();
        _normed.Dispose();
        _queryKeyValue.Dispose();
        _attention.Dispose();
        _activation.Dispose();
        _last.Dispose();
    }
}
