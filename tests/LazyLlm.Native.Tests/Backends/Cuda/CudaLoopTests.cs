using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda;

/// <summary>The layer loop over the CUDA backend: what must hold bit for bit.</summary>
public sealed class CudaLoopTests
{
    private const int Capacity = 256;

    private static readonly int[] Prompt = [.. Enumerable.Range(0, 45).Select(i => (i * 37 % 150) + 3)];

    [Fact]
    public void Keep_of_one_is_the_dense_model_bit_for_bit_in_float16()
    {
        using CudaOperations operations = Load(TensorType.Float16);
        Assert.Equal(Run(operations, PruningSchedule.None), Run(operations, PruningSchedule.Parse("1:1,3:1,5:1")));
    }

    [Theory]
    [InlineData("none")]
    [InlineData("2:0.6,4:0.3")]
    [InlineData("2:0.6,4:0.3;mass=0.9")]
    [InlineData("2:0.5;revive=no")]
    public void A_sequence_gets_the_same_bits_alone_replayed_and_in_company(string schedule)
    {
        using CudaOperations operations = Load(TensorType.BFloat16);
        PruningSchedule parsed = PruningSchedule.Parse(schedule);
        float[][] alone = Run(operations, parsed);

        // Passes of several sequences are not recorded, and their products run over the rows of all.
        using var pass = new ForwardPass(operations, operations.Shape.Config.HiddenSize);
        using Sequence first = Create(operations, parsed);
        using Sequence second = Create(operations, parsed);
        for (int step = 0; step < alone.Length; step++)
        {
            int[] tokens = Tokens(step);
            pass.Begin();
            pass.Add(second, [.. tokens.Reverse(), .. step % 2 == 0 ? Prompt[..20] : []]);
            pass.Add(first, tokens);
            while (pass.Advance())
            {
            }

            Assert.Equal(alone[step], pass.Logits(1).ToArray());
        }
    }

    [Fact]
    public void An_unfinished_step_leaves_no_trace()
    {
        PruningSchedule schedule = PruningSchedule.Parse("2:0.6,4:0.3");
        using CudaOperations operations = Load(TensorType.Float32);
        float[][] expected = Run(operations, schedule);
        using var pass = new ForwardPass(operations, operations.Shape.Config.HiddenSize);
        using Sequence sequence = Create(operations, schedule);
        for (int step = 0; step < expected.Length; step++)
        {
            // Stop after every number of layers that a step can have run, and try again. Revived rows stay, so the
            // first step alone is compared bit for bit after it.
            for (int layers = 0; step == 0 && layers < operations.Shape.Config.LayerCount; layers++)
            {
                pass.Begin();
                pass.Add(sequence, Tokens(step));
                for (int i = 0; i < layers && pass.Advance(); i++)
                {
                }

                pass.Rollback();
            }

            pass.Begin();
            pass.Add(sequence, Tokens(step));
            while (pass.Advance())
            {
            }

            Assert.Equal(expected[step], pass.Logits().ToArray());
        }
    }

    [Fact]
    public void A_stage_abandoned_while_it_is_recorded_runs_again()
    {
        using CudaOperations operations = Load(TensorType.BFloat16);
        float[][] expected = Run(operations, PruningSchedule.None);
        using var pass = new ForwardPass(operations, operations.Shape.Config.HiddenSize);
        using Sequence sequence = Create(operations, PruningSchedule.None);
        for (int step = 0; step < expected.Length; step++)
        {
            for (int attempt = 0; attempt < 2; attempt++)
            {
                pass.Begin();
                pass.Add(sequence, Tokens(step));
                bool isAbandoned = attempt == 0 && step > 1;
                for (int layers = 0; pass.Advance() && !(isAbandoned && layers == 1); layers++)
                {
                }

                if (!isAbandoned)
                {
                    break;
                }

                pass.Rollback();
            }

            Assert.Equal(expected[step], pass.Logits().ToArray());
        }
    }

    [Fact]
    public void A_fork_and_its_origin_go_on_independently()
    {
        PruningSchedule schedule = PruningSchedule.Parse("2:0.6,4:0.3");
        using CudaOperations operations = Load(TensorType.BFloat16);
        float[][] expected = Run(operations, schedule);
        using var pass = new ForwardPass(operations, operations.Shape.Config.HiddenSize);
        using Sequence origin = Create(operations, schedule);
        Step(pass, origin, Tokens(0));
        using Sequence fork = origin.Fork();
        Step(pass, origin, [7, 8, 9]);
        for (int step = 1; step < expected.Length; step++)
        {
            Assert.Equal(expected[step], Step(pass, fork, Tokens(step)));
        }

        origin.Reset();
        Assert.Equal(expected[0], Step(pass, origin, Tokens(0)));
    }

    [Fact]
    public void A_session_that_ends_does_not_spoil_anothers_recording()
    {
        using CudaOperations operations = Load(TensorType.BFloat16);
        float[][] expected = Run(operations, PruningSchedule.None);
        using var pass = new ForwardPass(operations, operations.Shape.Config.HiddenSize);
        using Sequence sequence = Create(operations, PruningSchedule.None);
        for (int step = 0; step < expected.Length; step++)
        {
            Sequence other = Create(operations, PruningSchedule.None);
            Step(pass, other, [5]);
            pass.Begin();
            pass.Add(sequence, Tokens(step));
            bool isDisposed = false;
            while (pass.Advance())
            {
                if (!isDisposed)
                {
                    other.Dispose();
                    isDisposed = true;
                }
            }

            other.Dispose();
            Assert.Equal(expected[step], pass.Logits().ToArray());
        }
    }

    [Fact]
    public void Pruned_positions_take_no_memory_for_k_and_v()
    {
        using CudaOperations operations = Load(TensorType.BFloat16);
        using var pass = new ForwardPass(operations, operations.Shape.Config.HiddenSize);
        using Sequence sequence = Create(operations, PruningSchedule.Parse("2:0.2"));
        Step(pass, sequence, Prompt);
        long perTokenAndLayer = sequence.Memory.KeyValueBytesPerTokenAndLayer;
        Assert.Equal(2 * 64 * 2, perTokenAndLayer);
        Assert.Equal(((45 * 2) + (9 * 4)) * perTokenAndLayer, sequence.Memory.KeyValueBytes);
    }

    [Fact]
    public void The_best_token_is_found_on_the_device()
    {
        using CudaOperations operations = Load(TensorType.Float32);
        using var workspace = operations.CreateWorkspace();
        using var memory = operations.CreateSequence(PruningSchedule.None.PlanFor(6), Capacity);
        workspace.Reserve(1);
        operations.Embed(memory, 0, [11]);
        operations.TakeAll(memory, 0, 1);
        operations.GatherRows(memory, workspace, new(0, 1));
        operations.Logits(workspace, 0, 0);
        float[] logits = operations.ReadLogits(workspace, 0).ToArray();
        Assert.Equal(Array.IndexOf(logits, logits.Max()), operations.ArgMax(workspace, 0));
    }

    private static string Model => RepositoryFiles.Golden("models", "tiny-mha");

    private static CudaOperations Load(TensorType storage)
    {
        CudaTestDevice.Require();
        using ModelFolder folder = ModelFolder.Open(Model);
        return CudaOperations.Load(
            folder.Weights,
            new CudaOptions { ContextLength = Capacity, Storage = storage, Compiler = CudaTestDevice.Compiler },
            null,
            TestContext.Current.CancellationToken);
    }

    private static Sequence Create(CudaOperations operations, PruningSchedule schedule)
    {
        StagePlan plan = schedule.PlanFor(operations.Shape.Config.LayerCount);
        return new Sequence(operations.CreateSequence(plan, Capacity), plan, Capacity);
    }

    /// <summary>A prompt, then single tokens, then a short turn, then tokens again.</summary>
    private static int[] Tokens(int step) => step switch
    {
        0 => Prompt,
        5 => [20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120],
        _ => [(step * 31 % 150) + 3],
    };

    private static float[][] Run(CudaOperations operations, PruningSchedule schedule)
    {
        using var pass = new ForwardPass(operations, operations.Shape.Config.HiddenSize);
        using Sequence sequence = Create(operations, schedule);
        return [.. Enumerable.Range(0, 9).Select(step => Step(pass, sequence, Tokens(step)))];
    }

    private static float[] Step(ForwardPass pass, Sequence sequence, int[] tokens)
    {
        pass.Begin();
        pass.Add(sequence, tokens);
        while (pass.Advance())
        {
        }

        return pass.Logits().ToArray();
    }
}
