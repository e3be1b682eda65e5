using System.Buffers;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>
/// Brings weights to the GPU, by threads that each fill a pinned buffer from the file, send it, and fill their other one while it is on
/// its way: one processor copies slower than a GPU's bus. No thread waits for another's buffer, so pieces arrive in any order; their
/// targets are disjoint. Converts to the storage format and pads rows and columns with zeros on the way. What is asked for is planned, and
/// done when the threads come to it: sources are read until <see cref="Finish"/> returns, or <see cref="Dispose"/>. It belongs to one
/// caller at a time, who leaves the stream alone meanwhile.
/// </summary>
internal sealed class WeightUploader : IDisposable
{
    /// <summary>Rows of gate, then of up, that follow each other in the weights of SwiGLU.</summary>
    public const int AlternatingRows = 8;

    private const int LargestBuffer = 2 << 20;
    private const int SmallestBuffer = 1 << 16;
    private const int MostFillers = 12;

    // Progress is worth waking the caller for no more often than this.
    private const int Reports = 256;

    private readonly CudaStream _stream;
    private readonly TensorType _storage;
    private readonly long _totalBytes;
    private readonly IProgress<LoadProgress>? _progress;
    private readonly CancellationToken _cancellation;
    private readonly int _mostFillers;

    // The caller's own.
    private readonly List<Thread> _fillers = [];
    private readonly List<StagingBuffer> _staging = [];
    private long _bufferBytes;

    // A copy and the mark behind it stand together in the stream.
    private readonly Lock _sending = new();

    // Guards what follows; pulsed when there is something to do, to report, or to end for.
    private readonly object _gate = new();
    private readonly Queue<Plan> _plans = [];
    private ExceptionDispatchInfo? _failure;
    private bool _isClosed;
    private long _piecesLeft;
    private long _bytesRead;
    private long _nextReport;

    /// <summary>Creates an uploader; threads and buffers come with the first pieces.</summary>
    /// <param name="stream">Where copies are enqueued.</param>
    /// <param name="storage">The format of matrices on the device.</param>
    /// <param name="totalBytes">Bytes of all sources, for progress; a small model gets small buffers.</param>
    /// <param name="progress">Told by <see cref="Finish"/>, on its caller's thread.</param>
    /// <param name="cancellation">Heard before each piece.</param>
    /// <param name="fillers">The most threads; null for what suits this machine.</param>
    public WeightUploader(
        CudaStream stream, TensorType storage, long totalBytes, IProgress<LoadProgress>? progress, CancellationToken cancellation, int? fillers = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(fillers ?? 1, 1);
        _stream = stream;
        _storage = storage;
        _totalBytes = totalBytes;
        _progress = progress;
        _cancellation = cancellation;
        _mostFillers = fillers ?? Math.Clamp(Environment.ProcessorCount - 1, 1, MostFillers);
        _bufferBytes = Math.Clamp(totalBytes, SmallestBuffer, LargestBuffer);
        _nextReport = progress is null ? long.MaxValue : 1;
    }

    /// <summary>A matrix, padded with zeros to <paramref name="rows"/> x <paramref name="columns"/>.</summary>
    public void UploadMatrix(ulong target, WeightTensor source, int rows, int columns) =>
        UploadRows(target, rows, columns, _storage, 1, (row, count, to) => ReadRows(source, row, count, columns, _storage, to));

    /// <summary>Two matrices of the same shape, 8 rows of the first and 8 of the second in turn, each padded to <paramref name="rows"/> x <paramref name="columns"/>.</summary>
    public void UploadAlternating(ulong target, WeightTensor first, WeightTensor second, int rows, int columns)
    {
        int groupBytes = AlternatingRows * columns * TensorConversion.SizeOf(_storage);
        UploadRows(target, 2 * rows, columns, _storage, 2 * AlternatingRows, (row, count, to) =>
        {
            long read = 0;
            for (int i = 0; i < count; i += AlternatingRows)
            {
                int group = (row + i) / AlternatingRows;
                read += ReadRows(group % 2 == 0 ? first : second, group / 2 * AlternatingRows, AlternatingRows, columns, _storage, to[..groupBytes]);
                to = to[groupBytes..];
            }

            return read;
        });
    }

    /// <summary>A vector of gains, in float32.</summary>
    public void UploadNorm(ulong target, WeightTensor source, int columns) =>
        UploadRows(target, 1, columns, TensorType.Float32, 1, (row, count, to) => ReadRows(source, row, count, columns, TensorType.Float32, to));

    /// <summary>Numbers as they are, which stay as they are until they have been sent.</summary>
    public void Upload(ulong target, ReadOnlyMemory<float> numbers) =>
        UploadRows(target, numbers.Length, 1, TensorType.Float32, 1, (row, count, to) =>
        {
            MemoryMarshal.AsBytes(numbers.Span.Slice(row, count)).CopyTo(to);
            return 0;
        });

    /// <summary>Waits until everything has arrived; reports progress meanwhile.</summary>
    /// <exception cref="Exception">What failed first; no piece has been started since.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public void Finish()
    {
        while (WaitForReport() is { } read)
        {
            _progress!.Report(new LoadProgress(read, _totalBytes));
        }

        _stream.Synchronize();
        _progress?.Report(new LoadProgress(_bytesRead, _totalBytes));
        _cancellation.ThrowIfCancellationRequested();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_isClosed)
            {
                return;
            }

            _isClosed = true;
            Monitor.PulseAll(_gate);
        }

        // After a failure some still fill their buffers.
        foreach (Thread filler in _fillers)
        {
            filler.Join();
        }

        try
        {
            // Copies may still be reading others.
            _stream.Synchronize();
        }
        catch (DeviceException)
        {
            // The failure that led here, or the next call to the device, says what is wrong; the buffers go in any case.
        }

        foreach (StagingBuffer staging in _staging)
        {
            staging.Dispose();
        }
    }

    /// <summary>Fills rows of the target from <paramref name="firstRow"/> on; returns how many bytes of the file that took.</summary>
    private delegate long RowReader(int firstRow, int count, Span<byte> target);

    private void UploadRows(ulong target, int rows, int columns, TensorType type, int unit, RowReader read)
    {
        _cancellation.ThrowIfCancellationRequested();
        int rowBytes = columns * TensorConversion.SizeOf(type);
        _bufferBytes = Math.Max(_bufferBytes, (long)rowBytes * unit);
        var plan = new Plan(target, rows, rowBytes, unit, _bufferBytes, read);
        long left;
        lock (_gate)
        {
            ObjectDisposedException.ThrowIf(_isClosed, this);
            _failure?.Throw();
            if (rows == 0)
            {
                return;
            }

            _plans.Enqueue(plan);
            _piecesLeft += plan.Pieces;
            left = _piecesLeft;
            Monitor.PulseAll(_gate);
        }

        while (_fillers.Count < Math.Min(_mostFillers, left))
        {
            StartFiller();
        }
    }

    private void StartFiller()
    {
        // Not of the thread pool: these wait for the device, and those of the pool compile kernels meanwhile.
        StagingBuffer[] own = [new StagingBuffer(_stream.Context), new StagingBuffer(_stream.Context)];
        var filler = new Thread(() => Work(own)) { IsBackground = true, Name = $"LazyLlm weights {_fillers.Count + 1}" };
        filler.Start();
        _fillers.Add(filler);
        _staging.AddRange(own);
    }

    /// <summary>A filler's life: pieces, each through the buffer that has been on its way for longer, until there is an end to it.</summary>
    private void Work(StagingBuffer[] own)
    {
        try
        {
            using OperationScope scope = OperationScope.Open(CudaWeights.Loading);
            for (int turn = 0; TakePiece() is { } piece; turn ^= 1)
            {
                _cancellation.ThrowIfCancellationRequested();
                long read = Bring(piece, own[turn]);
                lock (_gate)
                {
                    _bytesRead += read;
                    _piecesLeft--;
                    if (_piecesLeft == 0 || _bytesRead >= _nextReport)
                    {
                        Monitor.PulseAll(_gate);
                    }
                }
            }
        }
#pragma warning disable CA1031 // Whatever it is, Finish throws it to the caller; on this thread it would end the process.
        catch (Exception e)
#pragma warning restore CA1031
        {
            lock (_gate)
            {
                _failure ??= ExceptionDispatchInfo.Capture(e);
                Monitor.PulseAll(_gate);
            }
        }
    }

    /// <summary>Waits for a piece that nobody else has taken; null once there is a failure or an end.</summary>
    private Piece? TakePiece()
    {
        lock (_gate)
        {
            while (_failure is null && !_isClosed)
            {
                if (_plans.TryPeek(out Plan? plan))
                {
                    Piece piece = plan.Cut();
                    if (plan.Pieces == 0)
                    {
                        _plans.Dequeue();
                    }

                    return piece;
                }

                Monitor.Wait(_gate);
            }

            return null;
        }
    }

    private long Bring(Piece piece, StagingBuffer staging)
    {
        Plan plan = piece.Plan;
        int bytes = piece.Rows * plan.RowBytes;
        PinnedBuffer buffer = staging.Await(plan.BufferBytes);
        long read = plan.Read(piece.FirstRow, piece.Rows, buffer.AsSpan<byte>(0, bytes));
        lock (_sending)
        {
            _stream.Upload(plan.Target + ((ulong)piece.FirstRow * (ulong)plan.RowBytes), buffer, 0, bytes);
            staging.MarkSent(_stream);
        }

        return read;
    }

    /// <summary>Waits for as much as is worth a report; returns the bytes read so far, or null when all is sent.</summary>
    private long? WaitForReport()
    {
        lock (_gate)
        {
            while (_failure is null && _piecesLeft > 0 && _bytesRead < _nextReport)
            {
                Monitor.Wait(_gate);
            }

            _failure?.Throw();
            if (_piecesLeft == 0)
            {
                return null;
            }

            _nextReport = _bytesRead + Math.Max(1, _totalBytes / Reports);
            return _bytesRead;
        }
    }

    /// <summary>Reads, converts and pads rows; returns how many bytes of the file they are.</summary>
    private static long ReadRows(WeightTensor source, int row, int count, int columns, TensorType type, Span<byte> target)
    {
        int present = Math.Clamp(source.Rows - row, 0, count);
        int sourceBytes = source.Columns * source.ElementSize;
        int targetBytes = columns * TensorConversion.SizeOf(type);
        target[(present * targetBytes)..].Clear();
        if (present == 0)
        {
            return 0;
        }

        int bytes = present * sourceBytes;
        if (source.Type == type && source.Columns == columns)
        {
            source.Read((long)row * sourceBytes, target[..(present * targetBytes)]);
            return bytes;
        }

        byte[] scratch = ArrayPool<byte>.Shared.Rent(bytes);
        source.Read((long)row * sourceBytes, scratch.AsSpan(0, bytes));
        int filled = source.Columns * TensorConversion.SizeOf(type);
        for (int i = 0; i < present; i++)
        {
            Span<byte> to = target.Slice(i * targetBytes, targetBytes);
            TensorConversion.Convert(scratch.AsSpan(i * sourceBytes, sourceBytes), source.Type, to[..filled], type);
            to[filled..].Clear();
        }

        ArrayPool<byte>.Shared.Return(scratch);
        return bytes;
    }

    /// <summary>Rows that follow each other on the device, and which of them nobody has taken yet: the first come first.</summary>
    private sealed class Plan(ulong target, int rows, int rowBytes, int unit, long bufferBytes, RowReader read)
    {
        // As many units of rows as a buffer holds.
        private readonly int _rowsPerPiece = (int)(bufferBytes / rowBytes) / unit * unit;
        private int _next;

        public ulong Target => target;

        public int RowBytes => rowBytes;

        public long BufferBytes => bufferBytes;

        public RowReader Read => read;

        /// <summary>Pieces that nobody has taken yet.</summary>
        public int Pieces => (int)(((long)rows - _next + _rowsPerPiece - 1) / _rowsPerPiece);

        public Piece Cut()
        {
            var piece = new Piece(this, _next, Math.Min(_rowsPerPiece, rows - _next));
            _next += piece.Rows;
            return piece;
        }
    }

    /// <summary>Rows that go through a buffer at once.</summary>
    private readonly record struct Piece(Plan Plan, int FirstRow, int Rows);
}
