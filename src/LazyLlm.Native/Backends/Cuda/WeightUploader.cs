using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Backends.Cuda.Memory;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>
/// Brings weights to the GPU through a ring of pinned buffers: while one is on its way, the next is filled from the
/// file. Converts to the storage format and pads rows and columns with zeros on the way.
/// </summary>
internal sealed class WeightUploader : IDisposable
{
    /// <summary>Rows of gate, then of up, that follow each other in the weights of SwiGLU.</summary>
    public const int AlternatingRows = 8;

    private const int SlotBytes = 8 << 20;
    private const int Slots = 3;

    private readonly CudaStream _stream;
    private readonly TensorType _storage;
    private readonly long _totalBytes;
    private readonly IProgress<LoadProgress>? _progress;
    private readonly CancellationToken _cancellation;
    private readonly PinnedBuffer[] _slots = new PinnedBuffer[Slots];
    private readonly CudaEvent[] _sent = new CudaEvent[Slots];
    private byte[] _scratch = [];
    private int _slot;
    private long _bytesRead;

    public WeightUploader(CudaStream stream, TensorType storage, long totalBytes, IProgress<LoadProgress>? progress, CancellationToken cancellation)
    {
        _stream = stream;
        _storage = storage;
        _totalBytes = totalBytes;
        _progress = progress;
        _cancellation = cancellation;
        try
        {
            long bytes = Math.Min(SlotBytes, Math.Max(1 << 16, totalBytes));
            for (int i = 0; i < Slots; i++)
            {
                _slots[i] = new PinnedBuffer(stream.Context, bytes, "staging of weights");
                _sent[i] = new CudaEvent(stream.Context);
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
        int piece = (int)(_slots[0].Bytes / sizeof(float));
        while (!numbers.IsEmpty)
        {
            int count = Math.Min(piece, numbers.Length);
            numbers[..count].CopyTo(NextSlot().AsSpan<float>(0, count));
            Send(target, (long)count * sizeof(float));
            target += (ulong)count * sizeof(float);
            numbers = numbers[count..];
        }
    }

    /// <summary>Waits until everything has arrived.</summary>
    public void Finish() => _stream.Synchronize();

    /// <inheritdoc/>
    public void Dispose()
    {
        // After a failure a copy may still be reading a slot.
        for (int i = 0; i < Slots; i++)
        {
            if (_sent[i] is { } sent && _stream.Context.Health.Cause is null)
            {
                sent.Synchronize();
            }
        }

        for (int i = 0; i < Slots; i++)
        {
            _sent[i]?.Dispose();
            _slots[i]?.Dispose();
        }
    }

    private delegate void RowReader(int firstRow, int count, Span<byte> target);

    private void UploadRows(ulong target, int rows, int columns, TensorType type, int unit, RowReader read)
    {
        int rowBytes = columns * TensorConversion.SizeOf(type);
        int rowsPerSlot = (int)(_slots[0].Bytes / rowBytes) / unit * unit;
        if (rowsPerSlot == 0)
        {
            ReplaceSlots((long)rowBytes * unit);
            rowsPerSlot = unit;
        }

        for (int row = 0; row < rows; row += rowsPerSlot)
        {
            _cancellation.ThrowIfCancellationRequested();
            int count = Math.Min(rowsPerSlot, rows - row);
            read(row, count, NextSlot().AsSpan<byte>(0, count * rowBytes));
            Send(target + ((ulong)row * (ulong)rowBytes), (long)count * rowBytes);
            _progress?.Report(new LoadProgress(_bytesRead, _totalBytes));
        }
    }

    private void ReadRows(WeightTensor source, int row, int count, int columns, TensorType type, Span<byte> target)
    {
        int present = Math.Clamp(source.Rows - row, 0, count);
        int sourceBytes = source.Columns * source.ElementSize;
        int targetBytes = columns * TensorConversion.SizeOf(type);
        _bytesRead += (long)present * sourceBytes;
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

        if (_scratch.Length < present * sourceBytes)
        {
            _scratch = new byte[present * sourceBytes];
        }

        source.Read((long)row * sourceBytes, _scratch.AsSpan(0, present * sourceBytes));
        int filled = source.Columns * TensorConversion.SizeOf(type);
        for (int i = 0; i < present; i++)
        {
            Span<byte> to = target.Slice(i * targetBytes, targetBytes);
            TensorConversion.Convert(_scratch.AsSpan(i * sourceBytes, sourceBytes), source.Type, to[..filled], type);
            to[filled..].Clear();
        }
    }

    private PinnedBuffer NextSlot()
    {
        _slot = (_slot + 1) % Slots;
        _sent[_slot].Synchronize();
        return _slots[_slot];
    }

    private void Send(ulong target, long bytes)
    {
        _stream.Upload(target, _slots[_slot], 0, bytes);
        _sent[_slot].Record(_stream);
    }

    private void ReplaceSlots(long bytes)
    {
        for (int i = 0; i < Slots; i++)
        {
            _sent[i].Synchronize();
            _slots[i].Dispose();
            _slots[i] = new PinnedBuffer(_stream.Context, bytes, "staging of weights");
        }
    }
}
