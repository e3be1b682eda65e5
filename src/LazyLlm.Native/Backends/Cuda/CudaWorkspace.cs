using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Kernels;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>
/// The rows of a pass on the GPU, scratch memory, logits, and the recording of a stage that may be under way. Rows keep
/// their addresses as they grow.
/// </summary>
internal sealed class CudaWorkspace : IWorkspace
{
    // Addresses cost nothing; a pass over more rows than this takes new ones, and recorded stages are recorded anew.
    private const int LeastReservedRows = 1 << 16;

    private static long s_identities;

    private readonly CudaOperations _operations;
    private readonly DeviceShape _shape;
    private readonly CudaStream _recorder;
    private readonly List<PinnedBuffer> _readLogits = [];
    private readonly int _logitStride;
    private GrowableDeviceBuffer[] _rows = [];
    private int _reservedRows;
    private GrowableDeviceBuffer _logits = null!;
    private GrowableDeviceBuffer _scratch = null!;
    private CudaRecording? _recording;

    /// <summary>Reserves addresses; takes no memory yet.</summary>
    public CudaWorkspace(CudaOperations operations)
    {
        const long mostLogits = 1 << 12;
        const long mostScratch = 1L << 32;
        _operations = operations;
        _shape = operations.Shape;
        _logitStride = DeviceShape.RoundUp(_shape.Config.VocabularySize);
        CudaContext context = operations.Context;
        try
        {
            _recorder = new CudaStream(context);
            _logits = new GrowableDeviceBuffer(context, mostLogits * _logitStride * sizeof(float), "logits");
            _scratch = new GrowableDeviceBuffer(context, mostScratch, "scratch memory of a pass");
            Token = new DeviceBuffer(context, sizeof(int), "a token");
            ReadToken = new PinnedBuffer(context, sizeof(int), "a token");
            Done = new CudaEvent(context);
            ReserveAddresses(LeastReservedRows);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Changes when addresses do; no other workspace has the same.</summary>
    public long Identity { get; private set; }

    /// <summary>Where the operations of this workspace go: the engine's stream, or the recorder.</summary>
    public CudaStream Stream => _recording is null ? _operations.Stream : _recorder;

    /// <summary>Residual rows, float32.</summary>
    public ulong Residual => _rows[0].Pointer;

    /// <summary>Normed rows.</summary>
    public ulong Normed => _rows[1].Pointer;

    /// <summary>QKV rows.</summary>
    public ulong QueryKeyValue => _rows[2].Pointer;

    /// <summary>Attention rows.</summary>
    public ulong Attention => _rows[3].Pointer;

    /// <summary>Activation rows.</summary>
    public ulong Activation => _rows[4].Pointer;

    /// <summary>A token id on the device.</summary>
    public DeviceBuffer Token { get; } = null!;

    /// <summary>A token id on the host.</summary>
    public PinnedBuffer ReadToken { get; } = null!;

    /// <summary>Marks that what was asked for has been read back.</summary>
    public CudaEvent Done { get; } = null!;

    /// <summary>Rows of the sequences of this stage, in order.</summary>
    public List<RowRange> Sequences { get; } = [];

    /// <summary>Sequences whose rows the first norm of the stage still has to gather.</summary>
    public List<(CudaSequence Sequence, RowRange Rows)> PendingGathers { get; } = [];

    /// <summary>Gains of a norm that the next product of one row does by itself; 0 for none.</summary>
    public ulong PendingNorm { get; set; }

    /// <summary>Whether Q, K and V of one sequence are still to be computed, by what turns them.</summary>
    public bool PendingQueryKeyValue { get; set; }

    /// <summary>Whether the rows are each sequence's last one alone.</summary>
    public bool IsLastRows { get; private set; }

    /// <inheritdoc/>
    public long AllocatedBytes => _rows.Sum(r => r.Bytes) + _logits.Bytes + _scratch.Bytes + Token.Bytes;

    /// <inheritdoc/>
    public void Reserve(int rows)
    {
        Abandon();
        if (rows > _reservedRows)
        {
            ReserveAddresses(Math.Max(rows, 2 * _reservedRows));
        }

        for (int i = 0; i < _rows.Length; i++)
        {
            _rows[i].EnsureCapacity((rows + LinearKernels.SpareRows) * RowBytes(i));
        }
    }

    /// <summary>Address of the logits of sequence <paramref name="index"/> of the pass.</summary>
    public ulong Logits(int index)
    {
        _logits.EnsureCapacity((index + 1L) * _logitStride * sizeof(float));
        return _logits.Pointer + ((ulong)index * (ulong)_logitStride * sizeof(float));
    }

    /// <summary>Host memory for the logits of sequence <paramref name="index"/>.</summary>
    public PinnedBuffer LogitsOnHost(int index)
    {
        while (_readLogits.Count <= index)
        {
            _readLogits.Add(new PinnedBuffer(_operations.Context, (long)_shape.Config.VocabularySize * sizeof(float), "logits"));
        }

        return _readLogits[index];
    }

    /// <summary>At least <paramref name="bytes"/> bytes for one operation's use; what stood there is lost when it grows.</summary>
    /// <exception cref="DeviceMemoryException">More is asked for than addresses are reserved for.</exception>
    public ulong Scratch(long bytes)
    {
        if (bytes > _scratch.MaxBytes)
        {
            throw new DeviceMemoryException("scratch memory of a pass", bytes, _scratch.MaxBytes, "Take a shorter prompt.");
        }

        _scratch.EnsureCapacity(bytes);
        return _scratch.Pointer;
    }

    /// <summary>The rows of a launch: as the caller says, or, while recording, as the device says at replay.</summary>
    public RowCount Count(int rows) => _recording is not { } recording ? RowCount.Of(rows)
        : IsLastRows ? RowCount.Exactly(rows, recording.Sequence.State)
        : RowCount.AtMost(recording.Shape.Rows, recording.Sequence.State);

    /// <summary>|T| as launches are sized for it: a power of two, the same whether the stage is recorded or not.</summary>
    public static int TokenBucket(int tokenCount) => (int)System.Numerics.BitOperations.RoundUpToPowerOf2((uint)Math.Max(1, tokenCount));

    /// <summary>Starts recording what is issued for this workspace.</summary>
    public void BeginRecording(CudaSequence sequence, in StageShape shape) =>
        _recording = new CudaRecording(_recorder, sequence, shape);

    /// <summary>Ends a recording, if one is under way.</summary>
    /// <returns>The recorded stage, ready to run; null if nothing was recorded.</returns>
    public CudaGraphExec? EndRecording()
    {
        if (_recording is not { } recording)
        {
            return null;
        }

        _recording = null;
        return recording.Finish();
    }

    /// <summary>Forgets what an unfinished stage left behind.</summary>
    public void Abandon()
    {
        _recording?.Dispose();
        _recording = null;
        Sequences.Clear();
        PendingGathers.Clear();
        PendingNorm = 0;
        PendingQueryKeyValue = false;
        IsLastRows = false;
    }

    /// <summary>From here on row <paramref name="index"/> is the last of the <paramref name="index"/>-th sequence, and all that it has.</summary>
    public void KeepLastRow(int index)
    {
        if (index == 0)
        {
            Sequences.Clear();
        }

        Sequences.Add(new RowRange(index, 1));
        IsLastRows = true;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _recording?.Dispose();
        foreach (CudaResource? resource in _rows.AsEnumerable<CudaResource?>().Concat(_readLogits).Concat([_logits, _scratch, Token, ReadToken, Done, _recorder]))
        {
            resource?.Dispose();
        }
    }

    private long RowBytes(int index) => index switch
    {
        0 => (long)_shape.Hidden * sizeof(float),
        1 => (long)_shape.Hidden * _shape.ElementSize,
        2 => (long)_shape.QueryKeyValueWidth * _shape.ElementSize,
        3 => (long)_shape.QueryWidth * _shape.ElementSize,
        _ => (long)_shape.Intermediate * _shape.ElementSize,
    };

    private void ReserveAddresses(int rows)
    {
        string[] names = ["residual rows", "normed rows", "QKV rows", "attention rows", "activation rows"];
        GrowableDeviceBuffer[] old = _rows;
        var reserved = new GrowableDeviceBuffer[names.Length];
        try
        {
            for (int i = 0; i < names.Length; i++)
            {
                reserved[i] = new GrowableDeviceBuffer(_operations.Context, (rows + LinearKernels.SpareRows) * RowBytes(i), names[i]);
            }
        }
        catch
        {
            foreach (GrowableDeviceBuffer? buffer in reserved)
            {
                buffer?.Dispose();
            }

            throw;
        }

        _rows = reserved;
        _reservedRows = rows;
        Identity = Interlocked.Increment(ref s_identities);
        foreach (GrowableDeviceBuffer buffer in old)
        {
            buffer.Dispose();
        }
    }
}
