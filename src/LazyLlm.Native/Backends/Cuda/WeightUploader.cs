using System.Buffers;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>
/// Brings weights to the GPU through a ring of pinned buffers: while some are on their way, others are filled from the file, several
/// at a time, since one processor copies slower than a GPU's bus. Converts to the storage format and pads rows and columns with
/// zeros on the way. Everything has been sent after <see cref="Finish"/>.
/// </summary>
internal sealed class WeightUploader : IDisposable
{
    /// <summary>Rows of gate, then of up, that follow each other in the weights of SwiGLU.</summary>
    public const int AlternatingRows = 8;

    private const int SlotBytes = 2 << 20;
    private const int MostFillers = 16;

    // Buffers that the copy engine works on while the others are filled.
    private const int SlotsOnTheirWay = 3;

    private readonly CudaStream _stream;
    private readonly TensorType _storage;
    private readonly long _totalBytes;
    private readonly IProgress<LoadProgress>? _progress;
    private readonly CancellationToken _cancellation;
    private readonly int _fillers = Math.Clamp(Environment.ProcessorCount - 1, 1, MostFillers);
    private readonly Slot[] _slots;
    private long _slotBytes;
    private long _taken;
    private long _sent;
    private long _bytesRead;

    public WeightUploader(CudaStream stream, TensorType storage, long totalBytes, IProgress<LoadProgress>? progress, CancellationToken cancellation)
    {
        _stream = stream;
        _storage = storage;
        _totalBytes = totalBytes;
        _progress = progress;
        _cancellation = cancellation;
        _slots = new Slot[_fillers + SlotsOnTheirWay];
        _slotBytes = Math.Min(SlotBytes, Math.Max(1 << 16, totalBytes));
        try
        {
            for (int i = 0; i < _slots.Length; i++)
            {
                _slots[i] = new Slot(new PinnedBuffer(stream.Context, _slotBytes, "staging of weights"));
                _slots[i].Arrived = new CudaEvent(stream.Context);
            }
        }
        catch
        {
            Dispose();
            throw;
        }
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
            for (int i = 0; i < count; i += AlternatingRows)
            {
                int group = (row + i) / AlternatingRows;
                ReadRows(group % 2 == 0 ? first : second, group / 2 * AlternatingRows, AlternatingRows, columns, _storage, to[..groupBytes]);
                to = to[groupBytes..];
            }
        });
    }

    /// <summary>A vector of gains, in float32.</summary>
    public void UploadNorm(ulong target, WeightTensor source, int columns) =>
        UploadRows(target, 1, columns, TensorType.Float32, 1, (row, count, to) => ReadRows(source, row, count, columns, TensorType.Float32, to));

    /// <summary>Numbers as they are.</summary>
    public void Upload(ulong target, ReadOnlySpan<float> numbers)
    {
        int piece = (int)(_slotBytes / sizeof(float));
        while (!numbers.IsEmpty)
        {
            int count = Math.Min(piece, numbers.Length);
            Slot slot = TakeSlot(target, (long)count * sizeof(float));
            numbers[..count].CopyTo(slot.Buffer.AsSpan<float>(0, count));
            target += (ulong)count * sizeof(float);
            numbers = numbers[count..];
        }
    }

    /// <summary>Waits until everything has arrived.</summary>
    public void Finish()
    {
        SendAll();
        _stream.Synchronize();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        // After a failure some slots may still be filled, and copies may still be reading others.
        for (; _sent < _taken; _sent++)
        {
            _slots[_sent % _slots.Length].Filled.ContinueWith(static _ => { }, TaskScheduler.Default).Wait();
        }

        try
        {
            _stream.Synchronize();
        }
        catch (DeviceException)
        {
            // The failure that led here, or the next call to the device, says what is wrong; the slots go in any case.
        }

        foreach (Slot? slot in _slots)
        {
            slot?.Arrived?.Dispose();
            slot?.Buffer.Dispose();
        }
    }

    private delegate void RowReader(int firstRow, int count, Span<byte> target);

    private void UploadRows(ulong target, int rows, int columns, TensorType type, int unit, RowReader read)
    {
        int rowBytes = columns * TensorConversion.SizeOf(type);
        int rowsPerSlot = (int)(_slotBytes / rowBytes) / unit * unit;
        if (rowsPerSlot == 0)
        {
            ReplaceSlots((long)rowBytes * unit);
            rowsPerSlot = unit;
        }

        for (int row = 0; row < rows; row += rowsPerSlot)
        {
            _cancellation.ThrowIfCancellationRequested();
            int first = row;
            int count = Math.Min(rowsPerSlot, rows - row);
            Slot slot = TakeSlot(target + ((ulong)row * (ulong)rowBytes), (long)count * rowBytes);
            slot.Filled = Task.Run(() => read(first, count, slot.Buffer.AsSpan<byte>(0, count * rowBytes)), CancellationToken.None);
        }
    }

    private void ReadRows(WeightTensor source, int row, int count, int columns, TensorType type, Span<byte> target)
    {
        int present = Math.Clamp(source.Rows - row, 0, count);
        int sourceBytes = source.Columns * source.ElementSize;
        int targetBytes = columns * TensorConversion.SizeOf(type);
        Interlocked.Add(ref _bytesRead, (long)present * sourceBytes);
        target[(present * targetBytes)..].Clear();
        if (present == 0)
        {
            return;
        }

        if (source.Type == type && source.Columns == columns)
        {
            source.Read((long)row * sourceBytes, target[..(present * targetBytes)]);
            return;
        }

        byte[] scratch = ArrayPool<byte>.Shared.Rent(present * sourceBytes);
        source.Read((long)row * sourceBytes, scratch.AsSpan(0, present * sourceBytes));
        int filled = source.Columns * TensorConversion.SizeOf(type);
        for (int i = 0; i < present; i++)
        {
            Span<byte> to = target.Slice(i * targetBytes, targetBytes);
            TensorConversion.Convert(scratch.AsSpan(i * sourceBytes, sourceBytes), source.Type, to[..filled], type);
            to[filled..].Clear();
        }

        ArrayPool<byte>.Shared.Return(scratch);
    }

    /// <summary>The next buffer, free to be filled; before that, sends the one that has been filled the longest if enough are.</summary>
    private Slot TakeSlot(ulong target, long bytes)
    {
        if (_taken - _sent == _fillers)
        {
            SendOldest();
        }

        Slot slot = _slots[_taken % _slots.Length];
        slot.Arrived!.Synchronize();
        slot.Target = target;
        slot.Bytes = bytes;
        slot.Filled = Task.CompletedTask;
        _taken++;
        return slot;
    }

    private void SendOldest()
    {
        Slot slot = _slots[_sent % _slots.Length];
        slot.Filled.GetAwaiter().GetResult();
        _sent++;
        _stream.Upload(slot.Target, slot.Buffer, 0, slot.Bytes);
        slot.Arrived!.Record(_stream);
        _progress?.Report(new LoadProgress(Interlocked.Read(ref _bytesRead), _totalBytes));
    }

    private void SendAll()
    {
        while (_sent < _taken)
        {
            SendOldest();
        }
    }

    private void ReplaceSlots(long bytes)
    {
        SendAll();
        foreach (Slot slot in _slots)
        {
            slot.Arrived!.Synchronize();
            slot.Buffer.Dispose();
            slot.Buffer = new PinnedBuffer(_stream.Context, bytes, "staging of weights");
        }

        _slotBytes = bytes;
    }

    /// <summary>A pinned buffer, what fills it, and where it goes.</summary>
    private sealed class Slot(PinnedBuffer buffer)
    {
        public PinnedBuffer Buffer { get; set; } = buffer;

        public CudaEvent? Arrived { get; set; }

        public Task Filled { get; set; } = Task.CompletedTask;

        public ulong Target { get; set; }

        public long Bytes { get; set; }
    }
}
