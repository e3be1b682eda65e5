using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>The kernels of the CPU backend, compiled for one instruction set.</summary>
internal abstract unsafe class CpuKernels
{
    private const string Variable = "LAZYLLM_CPU_ISA";

    /// <summary>The instruction set.</summary>
    public abstract CpuInstructionSet InstructionSet { get; }

    /// <summary>Columns of a product that a weight panel holds.</summary>
    public abstract int PanelWidth { get; }

    /// <summary>The instruction sets that this machine runs, the best one last.</summary>
    public static IReadOnlyList<CpuInstructionSet> Supported { get; } = FindSupported();

    /// <summary>The kernels for <paramref name="instructionSet"/>, which must be among <see cref="Supported"/>.</summary>
    public static CpuKernels Create(CpuInstructionSet instructionSet) => instructionSet switch
    {
        CpuInstructionSet.Avx512 => new LaneKernels<Lanes512, Vector512<float>>(instructionSet),
        CpuInstructionSet.Avx2 => new LaneKernels<Lanes256, Vector256<float>>(instructionSet),
        _ => new LaneKernels<Lanes128, Vector128<float>>(instructionSet),
    };

    /// <summary>
    /// The kernels for the best instruction set of this machine, or for the one that the environment variable
    /// <c>LAZYLLM_CPU_ISA</c> names: <c>avx512</c>, <c>avx2</c> or <c>portable</c>.
    /// </summary>
    /// <exception cref="InvalidOptionException">The variable names no instruction set, or one that this machine lacks.</exception>
    public static CpuKernels CreateBest() => CreateByName(Environment.GetEnvironmentVariable(Variable));

    /// <summary>As <see cref="CreateBest"/>, with the variable's value given.</summary>
    /// <exception cref="InvalidOptionException">The name is of no instruction set, or of one that this machine lacks.</exception>
    public static CpuKernels CreateByName(string? name)
    {
        if (string.IsNullOrEmpty(name))
        {
            return Create(Supported[^1]);
        }

        foreach (CpuInstructionSet instructionSet in Supported)
        {
            if (name.Equals(instructionSet.ToString(), StringComparison.OrdinalIgnoreCase))
            {
                return Create(instructionSet);
            }
        }

        throw new InvalidOptionException(
            $"environment variable {Variable}", $"it is '{name}', expected one of those that this machine runs: {string.Join(", ", Supported)}.");
    }

    /// <summary>Lays <see cref="PanelWidth"/> rows of <paramref name="depth"/> numbers out as one panel.</summary>
    public abstract void PackPanel(TensorType type, byte** rows, int depth, byte* panel);

    /// <summary>A matrix product; see <see cref="ProductArguments"/>.</summary>
    public abstract void Multiply(WorkerPool pool, TensorType type, in ProductArguments arguments);

    /// <summary>RMSNorm of rows.</summary>
    public abstract void Norm(WorkerPool pool, in NormArguments arguments);

    /// <summary>QKV rows into the stage cache, rotated.</summary>
    public abstract void RopeToCache(WorkerPool pool, in RopeArguments arguments);

    /// <summary>Attention, dense and gathered alike: the slots say where K and V are.</summary>
    public abstract void Attend(WorkerPool pool, in AttentionArguments arguments);

    /// <summary>Importance over T; see <see cref="ImportanceScore{TLanes, TVector}"/>.</summary>
    public abstract void Score(WorkerPool pool, in AttentionArguments arguments, float* importance, bool accumulate);

    private static List<CpuInstructionSet> FindSupported()
    {
        List<CpuInstructionSet> supported = [CpuInstructionSet.Portable];
        if (Avx2.IsSupported && Fma.IsSupported)
        {
            supported.Add(CpuInstructionSet.Avx2);
            if (Avx512F.VL.IsSupported && Avx512BW.IsSupported && Avx512DQ.IsSupported)
            {
                supported.Add(CpuInstructionSet.Avx512);
            }
        }

        return supported;
    }
}
