using System.Text.RegularExpressions;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Interop.Cuda;
using LazyLlm.Native.Models;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Execution;

/// <summary>What the driver says that compiled kernels take, whatever the compiler's log says.</summary>
public partial class KernelResourcesTests(ITestOutputHelper output)
{
    public static MatrixTheoryData<TensorType, (int HeadSize, int HeadsPerKeyValueHead)> Variants => new(
        [TensorType.BFloat16, TensorType.Float16, TensorType.Float32],
        [(64, 1), (64, 8), (128, 1), (128, 4), (128, 8)]);

    [Theory]
    [MemberData(nameof(Variants))]
    public void No_kernel_has_local_memory(TensorType storage, (int HeadSize, int HeadsPerKeyValueHead) heads)
    {
        Assert.SkipUnless(CudaTestDevice.IsGpu, "The stand-in has no registers that could run out.");
        using CudaContext context = CudaTestDevice.Open();
        using var library = new KernelLibrary(context, CudaTestDevice.Compiler);
        var shape = new DeviceShape(KernelBench.Config(4096, 11008, 32, 32 / heads.HeadsPerKeyValueHead, heads.HeadSize), storage);
        int kernels = 0;
        var spilling = new List<string>();
        foreach (KernelProgram program in CudaOperations.Programs(shape, context.Device.ComputeCapability))
        {
            foreach (Match declaration in Declaration().Matches(KernelSources.Embedded[program.Source].Text))
            {
                if (Find(library, program, declaration.Groups["name"].Value) is { } kernel)
                {
                    kernels++;
                    output.WriteLine($"{kernel.Name} {program.Name}: {kernel.Resources}");
                    if (kernel.Resources.LocalBytes > 0)
                    {
                        spilling.Add($"{kernel.Name} of {program.Name}: {kernel.Resources.LocalBytes} bytes");
                    }
                }
            }
        }

        Assert.True(kernels >= 20, $"Only {kernels} kernels were found.");
        Assert.Empty(spilling);
    }

    // A kernel may be declared for some storage formats only.
    private static Kernel? Find(KernelLibrary library, KernelProgram program, string name)
    {
        try
        {
            return library.Get(program, name);
        }
        catch (CudaException e) when (e.Code == (int)CuResult.NotFound)
        {
            return null;
        }
    }

    [GeneratedRegex(@"LAZYLLM_KERNEL\((?<name>\w+)")]
    private static partial Regex Declaration();
}
