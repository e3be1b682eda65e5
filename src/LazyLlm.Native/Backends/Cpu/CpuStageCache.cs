namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// K and V of one stage's layers in float32, for computed positions only: slots in order of arrival,
/// <c>slotOf[position]</c> and <c>positionOf[slot]</c>. Grows by half again when full.
/// </summary>
internal sealed class CpuStageCache
{
    private readonly int _firstLayer;
    private readonly int _width;
    private readonly float[][] _keys;
    private readonly float[][] _values;
    private int[] _slotOf = [];
    private int[] _positionOf = [];

    /// <summary>Creates an empty cache of a stage.</summary>
    /// <param name="firstLayer">The stage's first layer.</param>
    /// <param name="layerCount">Its layers.</param>
    /// <param name="width">K/V heads x head size.</param>
    public CpuStageCache(int firstLayer, int layerCount, int width)
    {
        _firstLayer = firstLayer;
        _width = width;
        _keys = new float[layerCount][];
        _values = new float[layerCount][];
        Array.Fill(_keys, []);
        Array.Fill(_values, []);
    }

    /// <summary>Slots in use.</summary>
    public int Count { get; private set; }

    /// <summary>Layers of the stage.</summary>
    public int LayerCount => _keys.Length;

    /// <summary>Bytes reserved.</summary>
    public long AllocatedBytes => ((long)_positionOf.Length * _width * 2 * _keys.Length * sizeof(float)) + ((long)_slotOf.Length + _positionOf.Length) * sizeof(int);

    /// <summary>K rows of <paramref name="layer"/> by slot.</summary>
    public float[] Keys(int layer) => _keys[layer - _firstLayer];

    /// <summary>V rows of <paramref name="layer"/> by slot.</summary>
    public float[] Values(int layer) => _values[layer - _firstLayer];

    /// <summary>The slot of <paramref name="position"/>, or -1 where the stage has not computed it.</summary>
    public int SlotOf(int position) => position < _slotOf.Length ? _slotOf[position] : -1;

    /// <summary>Gives <paramref name="position"/> the next slot.</summary>
    public int Add(int position)
    {
        if (position >= _slotOf.Length)
        {
            int before = _slotOf.Length;
            Array.Resize(ref _slotOf, Grown(position + 1));
            _slotOf.AsSpan(before).Fill(-1);
        }

        if (Count == _positionOf.Length)
        {
            Grow(Count + 1);
        }

        int slot = Count++;
        _slotOf[position] = slot;
        _positionOf[slot] = position;
        return slot;
    }

    /// <summary>Makes room for <paramref name="count"/> more slots at once.</summary>
    public void Reserve(int count)
    {
        if (Count + count > _positionOf.Length)
        {
            Grow(Count + count);
        }
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

    /// <summary>An independent copy.</summary>
    public CpuStageCache Clone()
    {
        var copy = new CpuStageCache(_firstLayer, _keys.Length, _width)
        {
            _slotOf = [.. _slotOf],
            _positionOf = [.. _positionOf],
            Count = Count,
        };
        for (int i = 0; i < _keys.Length; i++)
        {
            copy._keys[i] = [.. _keys[i]];
            copy._values[i] = [.. _values[i]];
        }

        return copy;
    }

    private static int Grown(int needed) => Math.Max(64, needed + (needed / 2));

    private void Grow(int needed)
    {
        // The first fill of a prompt is exact; only what comes token by token reserves ahead.
        int size = Count == 0 ? Math.Max(64, needed) : Grown(needed);
        Array.Resize(ref _positionOf, size);
        for (int i = 0; i < _keys.Length; i++)
        {
            Array.Resize(ref _keys[i], size * _width);
            Array.Resize(ref _values[i], size * _width);
        }
    }
}
