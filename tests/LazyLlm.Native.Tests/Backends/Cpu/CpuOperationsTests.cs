using LazyLlm.Native.Backends.Cpu;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cpu;

public sealed class CpuOperationsTests : IDisposable
{
    private static readonly ModelConfig Shape = RandomModel.Shape(
        hiddenSize: 96, layerCount: 6, headCount: 6, keyValueHeadCount: 2, headSize: 16, intermediateSize: 200, vocabularySize: 333, type: TensorType.BFloat16);

    private static readonly PruningSchedule Schedule = PruningSchedule.Parse("2:0.5,4:0.25");

    private readonly ScratchFolder _scratch = new();
    private readonly ModelFolder _folder;

    public CpuOperationsTests()
    {
        RandomModel.Write(_scratch.Path, Shape);
        _folder = ModelFolder.Open(_scratch.Path);
    }

    public static TheoryData<string> InstructionSets => CpuKernelCases.InstructionSets;

    public void Dispose()
    {
        _folder.Dispose();
        _scratch.Dispose();
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void Decoding_allocates_nothing_once_warm(string set)
    {
        using CpuOperations operations = Load(set, 2);
        using var pass = new ForwardPass(operations, Shape.HiddenSize);
        using Sequence sequence = NewSequence(operations, Schedule);
        int[] prompt = Prompt(100, 1);
        int[] token = [7];
        void Run()
        {
            // The caches keep their room over a reset.
            sequence.Reset();
            Advance(prompt);
            for (int i = 0; i < 20; i++)
            {
                Advance(token);
            }
        }

        void Advance(int[] tokens)
        {
            pass.Begin();
            pass.Add(sequence, tokens);
            while (pass.Advance())
            {
            }
        }

        Run();
        long before = GC.GetAllocatedBytesForCurrentThread();
        Run();
        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void The_number_of_threads_changes_no_bit(string set)
    {
        using CpuOperations one = Load(set, 1);
        using CpuOperations three = Load(set, 3);
        Assert.Equal(Run(one), Run(three));

        static float[][] Run(CpuOperations operations)
        {
            using var pass = new ForwardPass(operations, Shape.HiddenSize);
            using Sequence sequence = NewSequence(operations, Schedule);
            return [Step(pass, (sequence, Prompt(150, 3)))[0], Step(pass, (sequence, Prompt(1, 4)))[0], Step(pass, (sequence, Prompt(20, 5)))[0]];
        }
    }

    [Theory]
    [MemberData(nameof(InstructionSets))]
    public void A_sequence_in_a_shared_pass_is_the_same_bits_as_alone(string set)
    {
        using CpuOperations operations = Load(set, 2);
        using var pass = new ForwardPass(operations, Shape.HiddenSize);
        using Sequence alone = NewSequence(operations, Schedule);
        float[][] expected = [Step(pass, (alone, Prompt(60, 6)))[0], Step(pass, (alone, Prompt(1, 7)))[0]];

        foreach (int company in new[] { 1, 9, 80 })
        {
            using Sequence first = NewSequence(operations, Schedule);
            using Sequence second = NewSequence(operations, Schedule);
            Assert.Equal(expected[0], Step(pass, (first, Prompt(company, 8)), (second, Prompt(60, 6)))[1]);
            Assert.Equal(expected[1], Step(pass, (second, Prompt(1, 7)), (first, Prompt(company, 9)))[0]);
        }
    }

    [Fact]
    public void Instruction_sets_agree_to_rounding()
    {
        float[][] logits = [.. CpuKernels.Supported.Select(set =>
        {
            using CpuOperations operations = Load(set.ToString(), 2);
            using var pass = new ForwardPass(operations, Shape.HiddenSize);
            using Sequence sequence = NewSequence(operations, PruningSchedule.None);
            return Step(pass, (sequence, Prompt(70, 10)))[0];
        })];
        Assert.All(logits, l => CpuKernelCases.AssertClose([.. logits[0].Select(x => (double)x)], l, 1e-5));
    }

    [Fact]
    public void Memory_grows_with_the_rows_that_were_computed()
    {
        using CpuOperations operations = Load(CpuKernels.Supported[^1].ToString(), 2);
        using var pass = new ForwardPass(operations, Shape.HiddenSize);
        using Sequence dense = NewSequence(operations, PruningSchedule.None);
        using Sequence pruned = NewSequence(operations, Schedule);
        Step(pass, (dense, Prompt(200, 11)));
        Step(pass, (pruned, Prompt(200, 11)));
        long perPair = dense.Memory.KeyValueBytesPerTokenAndLayer;
        Assert.Equal(2 * 2 * 16 * sizeof(float), perPair);
        Assert.Equal(200 * 6 * perPair, dense.Memory.KeyValueBytes);
        Assert.Equal(((200 * 2) + (100 * 2) + (50 * 2)) * perPair, pruned.Memory.KeyValueBytes);
        Assert.InRange(pruned.Memory.AllocatedBytes, pruned.Memory.KeyValueBytes + pruned.Memory.AuxBytes, dense.Memory.AllocatedBytes - (200 * perPair));
    }

    [Fact]
    public void A_fork_goes_on_as_the_original_would()
    {
        using CpuOperations operations = Load(CpuKernels.Supported[^1].ToString(), 2);
        using var pass = new ForwardPass(operations, Shape.HiddenSize);
        using Sequence original = NewSequence(operations, Schedule);
        Step(pass, (original, Prompt(90, 12)));
        using Sequence fork = original.Fork();
        float[] expected = Step(pass, (original, Prompt(5, 13)))[0];
        original.Reset();
        Step(pass, (original, Prompt(40, 14)));
        Assert.Equal(expected, Step(pass, (fork, Prompt(5, 13)))[0]);
    }

    [Fact]
    public void Loading_keeps_16_bit_weights_and_reports_every_byte()
    {
        var progress = new LastReport();
        using CpuOperations operations = CpuOperations.Load(_folder.Weights, 256, progress, TestContext.Current.CancellationToken, 2);
        Assert.Equal(_folder.Weights.TotalBytes, progress.Last.BytesRead);
        Assert.Equal(_folder.Weights.TotalBytes, progress.Last.BytesTotal);

        // Panels round rows up; these matrices are small.
        Assert.InRange(operations.WeightBytes, _folder.Weights.TotalBytes, _folder.Weights.TotalBytes * 1.2);
    }

    [Fact]
    public void Loading_can_be_cancelled()
    {
        using var cancellation = new CancellationTokenSource();
        cancellation.Cancel();
        Assert.Throws<OperationCanceledException>(() => CpuOperations.Load(_folder.Weights, 256, null, cancellation.Token));
    }

    [Fact]
    public void An_unknown_instruction_set_is_refused_by_name()
    {
        InvalidOptionException error = Assert.Throws<InvalidOptionException>(() => CpuKernels.CreateByName("sse9"));
        Assert.Contains("LAZYLLM_CPU_ISA", error.Message, StringComparison.Ordinal);
        Assert.Contains("sse9", error.Message, StringComparison.Ordinal);
        Assert.Contains("Portable", error.Message, StringComparison.Ordinal);
        Assert.Equal(CpuInstructionSet.Portable, CpuKernels.CreateByName("portable").InstructionSet);
        Assert.Equal(CpuKernels.Supported[^1], CpuKernels.CreateByName(null).InstructionSet);
    }

    private CpuOperations Load(string set, int threads) =>
        CpuOperations.Load(_folder.Weights, 512, null, CancellationToken.None, threads, CpuKernelCases.Kernels(set));

    private static Sequence NewSequence(CpuOperations operations, PruningSchedule schedule)
    {
        StagePlan plan = schedule.PlanFor(Shape.LayerCount);
        return new Sequence(operations.CreateSequence(plan, 512), plan, 512);
    }

    private static int[] Prompt(int length, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, length).Select(_ => random.Next(Shape.VocabularySize))];
    }

    private static float[][] Step(ForwardPass pass, params (Sequence Sequence, int[] Tokens)[] parts)
    {
        pass.Begin();
        foreach ((Sequence sequence, int[] tokens) in parts)
        {
            pass.Add(sequence, tokens);
        }

        while (pass.Advance())
        {
        }

        return [.. parts.Select((_, i) => pass.Logits(i).ToArray())];
    }

    private sealed class LastReport : IProgress<LoadProgress>
    {
        public LoadProgress Last { get; private set; }

        public void Report(LoadProgress value) => Last = value;
    }
}
