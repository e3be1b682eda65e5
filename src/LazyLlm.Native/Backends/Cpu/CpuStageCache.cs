namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// K and V of one stage's layers in float32, for computed positions only: slots in order of arrival,
/// <c>slotOf[position]</c> and <c>positionOf[slot]</c>. Grows with what is computed.
/// </summary>
internal sealed unsafe class CpuStageCache : IDisposable
{
    private readonly int _firstLayer;
    private readonly int _width;
    private readonly FloatBuffer[] _keys;
    private readonly FloatBuffer[] _values;
    private int[] _slotOf = [];
    private int[] _positionOf = [];

    /// <summary>Creates an empty cache of a stage.</summary>
    /// <param name="firstLayer">The stage's first layer.</param>
    /// <param name="layerCount">Its layers.</param>
    /// <param name="width">K/V heads x head size.</param>
    public CpuStageCache(int firstLayer, int layerCount, int width)
        : this(firstLayer, width, NewBuffers(layerCount), NewBuffers(layerCount))
    {
    }

    private CpuStageCache(int firstLayer, int width, FloatBuffer[] keys, FloatBuffer[] values)
    {
        _firstLayer = firstLayer;
        _width = width;
        _keys = keys;
        _values = values;
    }

    /// <summary>Slots in use.</summary>
    public int Count { get; private set; }

    /// <summary>Layers of the stage.</summary>
    public int LayerCount => _keys.Length;

    /// <summary>Bytes reserved.</summary>
    public long AllocatedBytes => ((long)_positionOf.Length * _width * 2 * _keys.Length * sizeof(float)) + (((long)_slotOf.Length + _positionOf.Length) * sizeof(int));

    /// <summary>K rows of <paramref name="layer"/> by slot.</summary>
    public float* Keys(int layer) => _keys[layer - _firstLayer].Pointer;

    /// <summary>V rows of <paramref name="layer"/> by slot.</summary>
    public float* Values(int layer) => _values[layer - _firstLayer].Pointer;

    /// <summary>The slot of <paramref name="position"/>, or -1 where the stage has not computed it.</summary>
    public int SlotOf(int position) => position < _slotOf.Length ? _slotOf[position] : -1;

    /// <summary>Makes room for <paramref name="count"/> more slots, and for positions below <paramref name="length"/>.</summary>
    public void Reserve(int count, int length)
    {
        if (length > _slotOf.Length)
        {
            int before = _slotOf.Length;
            Array.Resize(ref _slotOf, Growth.Next(before, length));
            _slotOf.AsSpan(before).Fill(-1);
        }

        if (Count + count > _positionOf.Length)
        {
            int size = Growth.Next(_positionOf.Length, Count + count);
            for (int i = 0; i < _keys.Length; i++)
            {
                _keys[i].Grow((long)size * _width);
                _values[i].Grow((long)size * _width);
            }

            Array.Resize(ref _positionOf, size);
        }
    }

    /// <summary>Gives <paramref name="position"/> the next slot, for which there is room.</summary>
    public int Add(int position)
    {
        int slot = Count++;
        _slotOf[position] = slot;
        _positionOf[slot] = position;
        return slot;
    }

    /// <summary>Forgets the slots from <paramref name="count"/> on.</summary>
    public void Truncate(int count)
    {
        for (int slot = count; slot < Count; slot++)
        {
            _slotOf[_positionOf[slot]] = -1;
        }

        Count = count;
    }

    /// <summary>An independent copy without growth reserve.</summary>
    public CpuStageCache Clone() => new(_firstLayer, _width, Copies(_keys), Copies(_values))
    {
        _slotOf = [.. _slotOf],
        _positionOf = _positionOf[..Count],
        Count = Count,
    };

    /// <inheritdoc/>
    public void Dispose()
    {
        for (int i = 0; i < _keys.Length; i++)
        {
            _keys[i].Dispose();
            _values[i].Dispose();
        }
    }

    private static FloatBuffer[] NewBuffers(int count)
    {
        var buffers = new FloatBuffer[count];
        for (int i = 0; i < count; i++)
        {
            buffers[i] = new FloatBuffer();
        }

        return buffers;
    }

    private FloatBuffer[] Copies(FloatBuffer[] buffers)
    {
        var copies = new FloatBuffer[buffers.Length];
        for (int i = 0; i < buffers.Length; i++)
        {
            copies[i] = buffers[i].Copy((long)Count * _width);
        }

        return copies;
    }
}
