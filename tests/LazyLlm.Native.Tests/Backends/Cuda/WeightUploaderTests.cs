using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda;

public class WeightUploaderTests
{
    // Of a model without a size: the larger shapes take several, and the widest row takes more than one.
    private const int BufferBytes = 1 << 16;
    private const int Fillers = 5;

    private static readonly TimeSpan Long = TimeSpan.FromMinutes(1);

    public static MatrixTheoryData<TensorType, TensorType, (int Rows, int Columns)> Cases => new(
        [TensorType.Float32, TensorType.BFloat16, TensorType.Float16],
        [TensorType.Float32, TensorType.BFloat16],
        [(1, 1), (3, 37), (172, 64), (176, 65), (9, 20000)]);

    [Theory]
    [MemberData(nameof(Cases))]
    public void Matrices_arrive_converted_and_padded(TensorType file, TensorType storage, (int Rows, int Columns) size)
    {
        using var bench = new KernelBench(storage);
        var tensor = new WatchedTensor(file, size.Rows, size.Columns, 1);
        int rows = DeviceShape.RoundUp(size.Rows);
        int columns = DeviceShape.RoundUp(size.Columns);
        ulong target = bench.StoredFloats(rows * columns);
        using (var uploader = new WeightUploader(bench.Stream, storage, 0, null, default))
        {
            uploader.UploadMatrix(target, tensor, rows, columns);
            uploader.Finish();
        }

        Assert.Equal(bench.Rounded(tensor.Padded(rows, columns)), bench.ReadStored(target, rows * columns));
    }

    [Theory]
    [InlineData(172)]
    [InlineData(8)]
    [InlineData(1)]
    public void Gate_and_up_alternate_by_eight_rows(int rows)
    {
        const int columns = 40;
        using var bench = new KernelBench(TensorType.Float32);
        var gate = new WatchedTensor(TensorType.Float32, rows, columns, 1);
        var up = new WatchedTensor(TensorType.Float32, rows, columns, 2);
        int padded = DeviceShape.RoundUp(rows);
        ulong target = bench.Floats(2 * padded * columns);
        using (var uploader = new WeightUploader(bench.Stream, TensorType.Float32, 0, null, default))
        {
            uploader.UploadAlternating(target, gate, up, padded, columns);
            uploader.Finish();
        }

        Assert.Equal(Alternating(gate, up, padded, columns), bench.Read(target, 2 * padded * columns));
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 2)]
    [InlineData(3, Fillers)]
    [InlineData(4, 16)]
    public void Everything_is_read_once_and_arrives_whoever_brings_it(int seed, int fillers)
    {
        using var bench = new KernelBench(TensorType.BFloat16);
        var random = new Random(seed);
        var sources = new List<WatchedTensor>();
        var uploads = new List<Action<WeightUploader>>();
        var checks = new List<Action>();
        WatchedTensor Source(int rows, int columns)
        {
            sources.Add(new WatchedTensor(random.Next(2) == 0 ? TensorType.Float32 : TensorType.BFloat16, rows, columns, random.Next()));
            return sources[^1];
        }

        for (int i = 0; i < 24; i++)
        {
            // A row of one of them is more than a buffer, so that the buffers grow while others are on their way.
            int rows = i == 12 ? 5 : random.Next(1, 200);
            int columns = i == 12 ? BufferBytes : random.Next(1, 1500);
            int paddedRows = DeviceShape.RoundUp(rows);
            int paddedColumns = DeviceShape.RoundUp(columns);
            int padded = paddedRows * paddedColumns;
            WatchedTensor first = Source(rows, columns);
            if (i % 4 == 1)
            {
                WatchedTensor second = Source(rows, columns);
                ulong both = bench.StoredFloats(2 * padded);
                uploads.Add(uploader => uploader.UploadAlternating(both, first, second, paddedRows, paddedColumns));
                checks.Add(() => Assert.Equal(bench.Rounded(Alternating(first, second, paddedRows, paddedColumns)), bench.ReadStored(both, 2 * padded)));
                continue;
            }

            WatchedTensor gains = Source(1, columns);
            float[] numbers = bench.Numbers(random.Next(60_000));
            ulong matrix = bench.StoredFloats(padded);
            ulong norm = bench.Floats(paddedColumns);
            ulong table = bench.Floats(numbers.Length);
            uploads.Add(uploader => uploader.UploadMatrix(matrix, first, paddedRows, paddedColumns));
            uploads.Add(uploader => uploader.UploadNorm(norm, gains, paddedColumns));
            uploads.Add(uploader => uploader.Upload(table, numbers));
            checks.Add(() => Assert.Equal(bench.Rounded(first.Padded(paddedRows, paddedColumns)), bench.ReadStored(matrix, padded)));
            checks.Add(() => Assert.Equal(gains.Padded(1, paddedColumns), bench.Read(norm, paddedColumns)));
            checks.Add(() => Assert.Equal(numbers, bench.Read(table, numbers.Length)));
        }

        long before = bench.Context.Memory.PinnedBytesInUse;
        using (var uploader = new WeightUploader(bench.Stream, TensorType.BFloat16, 0, null, default, fillers))
        {
            uploads.ForEach(upload => upload(uploader));
            uploader.Finish();
        }

        Assert.All(checks, check => check());
        Assert.All(sources, source => Assert.Equal(source.ByteLength, source.BytesRead));
        Assert.Equal(before, bench.Context.Memory.PinnedBytesInUse);
    }

    [Fact]
    public void Several_fill_at_the_same_time_each_two_buffers_and_no_more()
    {
        const int pieces = 40;
        using var bench = new KernelBench(TensorType.Float32);
        using var together = new Barrier(Fillers);
        int waited = 0;
        var tensor = new WatchedTensor(TensorType.Float32, pieces, BufferBytes / sizeof(float), 1, _ =>
        {
            if (Interlocked.Increment(ref waited) <= Fillers)
            {
                Assert.True(together.SignalAndWait(Long), "They fill one after another.");
            }
        });
        long before = bench.Context.Memory.PinnedBytesInUse;
        using var uploader = new WeightUploader(bench.Stream, TensorType.Float32, 0, null, default, Fillers);
        ulong target = bench.Floats(pieces * tensor.Columns);
        uploader.UploadMatrix(target, tensor, pieces, tensor.Columns);
        uploader.Finish();
        Assert.Equal(pieces, tensor.Reads);
        Assert.InRange(bench.Context.Memory.PinnedBytesInUse - before, Fillers * BufferBytes, 2 * Fillers * BufferBytes);
    }

    [Fact]
    public void Progress_counts_the_files_bytes_and_cancellation_is_heard()
    {
        using var bench = new KernelBench(TensorType.BFloat16);
        var tensor = new WatchedTensor(TensorType.Float32, 800, 100, 1);
        var seen = new List<LoadProgress>();
        using var cancellation = new CancellationTokenSource();
        using var uploader = new WeightUploader(bench.Stream, TensorType.BFloat16, tensor.ByteLength, new Recorder(seen.Add), cancellation.Token);
        uploader.UploadMatrix(bench.StoredFloats(800 * 104), tensor, 800, 104);
        uploader.Finish();
        Assert.Equal(new LoadProgress(tensor.ByteLength, tensor.ByteLength), seen[^1]);
        cancellation.Cancel();
        Assert.Throws<OperationCanceledException>(() => uploader.UploadMatrix(bench.StoredFloats(800 * 104), tensor, 800, 104));
    }

    [Fact]
    public void Progress_never_goes_back_and_is_told_on_the_thread_that_waits()
    {
        const int pieces = 300;
        using var bench = new KernelBench(TensorType.Float32);
        using var told = new ManualResetEventSlim();
        Thread caller = Thread.CurrentThread;
        bool isPlanned = false;

        // The first piece waits for the caller to wait, the second half for a report of the first.
        var tensor = new WatchedTensor(TensorType.Float32, pieces, BufferBytes / sizeof(float), 1, offset =>
        {
            Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref isPlanned) && (offset > 0 || caller.ThreadState.HasFlag(ThreadState.WaitSleepJoin)), Long));
            Assert.True(offset < pieces / 2 * BufferBytes || told.Wait(Long), "No report came.");
        });
        var seen = new List<(long Bytes, int Thread)>();
        var progress = new Recorder(value =>
        {
            seen.Add((value.BytesRead, Environment.CurrentManagedThreadId));
            told.Set();
        });
        using var uploader = new WeightUploader(bench.Stream, TensorType.Float32, BufferBytes, progress, default, Fillers);
        uploader.UploadMatrix(bench.Floats(pieces * tensor.Columns), tensor, pieces, tensor.Columns);
        Volatile.Write(ref isPlanned, true);
        uploader.Finish();
        Assert.InRange(seen[0].Bytes, 1, tensor.ByteLength - 1);
        Assert.Equal(tensor.ByteLength, seen[^1].Bytes);
        Assert.Equal(seen.Select(s => s.Bytes).Order(), seen.Select(s => s.Bytes));
        Assert.All(seen, s => Assert.Equal(Environment.CurrentManagedThreadId, s.Thread));
    }

    [Fact]
    public void A_report_may_cancel()
    {
        const int pieces = 100;
        using var bench = new KernelBench(TensorType.Float32);
        using var cancellation = new CancellationTokenSource();
        CancellationToken cancelled = cancellation.Token;
        int row = BufferBytes;
        var tensor = new WatchedTensor(TensorType.Float32, pieces, row / sizeof(float), 1, offset => Assert.True(offset < pieces / 2 * row || cancelled.WaitHandle.WaitOne(Long), "No report came."));
        using var uploader = new WeightUploader(bench.Stream, TensorType.Float32, 0, new Recorder(_ => cancellation.Cancel()), cancelled, Fillers);
        uploader.UploadMatrix(bench.Floats(pieces * tensor.Columns), tensor, pieces, tensor.Columns);
        Assert.Throws<OperationCanceledException>(uploader.Finish);
        Assert.InRange(tensor.Reads, 1, (pieces / 2) + Fillers);
    }

    [Fact]
    public void Cancellation_that_comes_with_the_last_piece_is_told_too()
    {
        using var bench = new KernelBench(TensorType.Float32);
        using var cancellation = new CancellationTokenSource();
        var tensor = new WatchedTensor(TensorType.Float32, 1, 64, 1, _ => cancellation.Cancel());
        using var uploader = new WeightUploader(bench.Stream, TensorType.Float32, 0, null, cancellation.Token);
        uploader.UploadMatrix(bench.Floats(64), tensor, 1, 64);
        Assert.Throws<OperationCanceledException>(uploader.Finish);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(Fillers)]
    public void Cancellation_is_heard_by_each_before_its_next_piece(int fillers)
    {
        const int pieces = 200;
        using var bench = new KernelBench(TensorType.Float32);
        using var cancellation = new CancellationTokenSource();
        CancellationToken cancelled = cancellation.Token;
        int reads = 0;
        var tensor = new WatchedTensor(TensorType.Float32, pieces, BufferBytes / sizeof(float), 1, _ =>
        {
            int read = Interlocked.Increment(ref reads);
            if (read == pieces / 2)
            {
                cancellation.Cancel();
            }

            Assert.True(read <= pieces / 2 || cancelled.WaitHandle.WaitOne(Long));
        });
        long before = bench.Context.Memory.PinnedBytesInUse;
        using (var uploader = new WeightUploader(bench.Stream, TensorType.Float32, 0, null, cancelled, fillers))
        {
            var error = Assert.Throws<OperationCanceledException>(() =>
            {
                uploader.UploadMatrix(bench.Floats(pieces * tensor.Columns), tensor, pieces, tensor.Columns);
                uploader.Finish();
            });
            Assert.Equal(cancelled, error.CancellationToken);
        }

        // Each of the others may have looked just before.
        Assert.InRange(tensor.Reads, pieces / 2, (pieces / 2) + fillers - 1);
        Assert.Equal(before, bench.Context.Memory.PinnedBytesInUse);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(Fillers)]
    public void A_read_that_fails_in_the_middle_is_told_and_leaves_nothing(int fillers)
    {
        const int pieces = 200;
        using var bench = new KernelBench(TensorType.BFloat16);
        int columns = BufferBytes / sizeof(short);
        ulong target = bench.StoredFloats(pieces * columns);
        long before = bench.Context.Memory.PinnedBytesInUse;
        long broken = pieces / 4 * BufferBytes;
        WeightUploader? failing = null;
        int reads;
        var tensor = new WatchedTensor(TensorType.BFloat16, pieces, columns, 1, offset =>
        {
            if (offset == broken)
            {
                throw new ModelFormatException("model.safetensors", "cut off");
            }

            // So that the others do not come to the end while the failure is noted.
            Assert.True(offset < broken || SpinWait.SpinUntil(() => Record.Exception(() => failing!.Upload(0, ReadOnlyMemory<float>.Empty)) is ModelFormatException, Long));
        });
        using (var uploader = new WeightUploader(bench.Stream, TensorType.BFloat16, 0, null, default, fillers))
        {
            failing = uploader;
            var error = Assert.Throws<ModelFormatException>(() =>
            {
                uploader.UploadMatrix(target, tensor, pieces, columns);
                uploader.Finish();
            });
            Assert.Equal("model.safetensors: cut off", error.Message);

            // Each call says why.
            reads = tensor.Reads;
            Assert.Throws<ModelFormatException>(() => uploader.UploadMatrix(target, tensor, pieces, columns));
            Assert.Throws<ModelFormatException>(uploader.Finish);
        }

        // All have ended by now: nothing was taken any more but what was in hand.
        Assert.InRange(tensor.Reads, (pieces / 4) + 1, Math.Min(reads + fillers - 1, pieces - 1));
        Assert.Equal(before, bench.Context.Memory.PinnedBytesInUse);
    }

    [Fact]
    public void An_uploader_that_is_dropped_waits_for_what_is_being_filled_and_starts_nothing_more()
    {
        const int pieces = 50;
        using var bench = new KernelBench(TensorType.Float32);
        using var started = new CountdownEvent(Fillers);
        using var goOn = new ManualResetEventSlim();
        int ended = 0;
        var tensor = new WatchedTensor(TensorType.Float32, pieces, BufferBytes / sizeof(float), 1, _ =>
        {
            started.Signal();
            Assert.True(goOn.Wait(Long));
            Interlocked.Increment(ref ended);
        });
        long before = bench.Context.Memory.PinnedBytesInUse;
        var uploader = new WeightUploader(bench.Stream, TensorType.Float32, 0, null, default, Fillers);
        uploader.UploadMatrix(bench.Floats(pieces * tensor.Columns), tensor, pieces, tensor.Columns);
        Assert.True(started.Wait(Long));
        var dropping = new Thread(uploader.Dispose);
        dropping.Start();
        Assert.True(SpinWait.SpinUntil(() => Record.Exception(() => uploader.Upload(0, ReadOnlyMemory<float>.Empty)) is ObjectDisposedException, Long));
        Assert.False(dropping.Join(20));
        Assert.True(bench.Context.Memory.PinnedBytesInUse - before >= Fillers * BufferBytes);
        goOn.Set();
        Assert.True(dropping.Join(Long));
        Assert.Equal((Fillers, Fillers), (tensor.Reads, ended));
        Assert.Equal(before, bench.Context.Memory.PinnedBytesInUse);
        Assert.Throws<ObjectDisposedException>(() => uploader.UploadNorm(0, tensor, 8));
    }

    private static float[] Alternating(WatchedTensor first, WatchedTensor second, int rows, int columns) =>
    [
        .. Enumerable.Range(0, 2 * rows * columns).Select(i =>
        {
            int row = i / columns;
            return (row / 8 % 2 == 0 ? first : second).At((row / 16 * 8) + (row % 8), i % columns);
        }),
    ];

    private sealed class Recorder(Action<LoadProgress> told) : IProgress<LoadProgress>
    {
        public void Report(LoadProgress value) => told(value);
    }
}
