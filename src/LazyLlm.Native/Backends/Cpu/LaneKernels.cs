using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>The kernels over one register width.</summary>
internal sealed unsafe class LaneKernels<TLanes, TVector>(CpuInstructionSet instructionSet) : CpuKernels
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    /// <inheritdoc/>
    public override CpuInstructionSet InstructionSet => instructionSet;

    /// <inheritdoc/>
    public override int PanelWidth => PanelPacking<TLanes, TVector>.Width;

    /// <inheritdoc/>
    public override void PackPanel(TensorType type, byte** rows, int depth, byte* panel)
    {
        if (type == TensorType.Float32)
        {
            PanelPacking<TLanes, TVector>.Pack((float**)rows, depth, (float*)panel);
        }
        else
        {
            PanelPacking<TLanes, TVector>.Pack((ushort**)rows, depth, (ushort*)panel);
        }
    }

    /// <inheritdoc/>
    public override void Multiply(WorkerPool pool, TensorType type, in ProductArguments arguments)
    {
        switch (type)
        {
            case TensorType.Float32:
                PanelProduct<TLanes, TVector, Float32Format<TLanes, TVector>>.Run(pool, arguments);
                break;
            case TensorType.Float16:
                PanelProduct<TLanes, TVector, Float16Format<TLanes, TVector>>.Run(pool, arguments);
                break;
            default:
                PanelProduct<TLanes, TVector, BFloat16Format<TLanes, TVector>>.Run(pool, arguments);
                break;
        }
    }

    /// <inheritdoc/>
    public override void Norm(WorkerPool pool, in NormArguments arguments)
    {
        var job = new RowNorm<TLanes, TVector>(arguments);
        pool.Run(in job, TasksOf(arguments.Rows, RowNorm<TLanes, TVector>.TaskRows), 2L * arguments.Rows * arguments.Width);
    }

    /// <inheritdoc/>
    public override void RopeToCache(WorkerPool pool, in RopeArguments arguments)
    {
        var job = new RowRope<TLanes, TVector>(arguments);
        pool.Run(in job, TasksOf(arguments.Rows, RowRope<TLanes, TVector>.TaskRows), 2L * arguments.Rows * arguments.Stride);
    }

    /// <inheritdoc/>
    public override void Attend(WorkerPool pool, in AttentionArguments arguments)
    {
        // With fewer than about 12 queries per key, packing K and V costs more than register tiles save.
        if (arguments.Rows == 1 || arguments.Rows * arguments.Group < 12)
        {
            StreamedAttention<TLanes, TVector>.Run(pool, arguments);
        }
        else
        {
            BlockedAttention<TLanes, TVector>.Run(pool, arguments);
        }
    }

    /// <inheritdoc/>
    public override void Score(WorkerPool pool, in AttentionArguments arguments, float* importance, bool accumulate) =>
        ImportanceScore<TLanes, TVector>.Run(pool, arguments, importance, accumulate);

    private static int TasksOf(int rows, int taskRows) => (rows + taskRows - 1) / taskRows;
}
