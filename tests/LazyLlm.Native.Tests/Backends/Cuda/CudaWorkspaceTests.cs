using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda;

public sealed class CudaWorkspaceTests
{
    [Fact]
    public void More_scratch_memory_than_there_are_addresses_is_refused_with_advice()
    {
        CudaTestDevice.Require();
        using ModelFolder folder = ModelFolder.Open(RepositoryFiles.Golden("models", "tiny-mha"));
        using CudaOperations operations = CudaOperations.Load(
            folder.Weights,
            new CudaOptions { ContextLength = 64, Compiler = CudaTestDevice.Compiler },
            null,
            TestContext.Current.CancellationToken);
        using var workspace = new CudaWorkspace(operations);
        ulong address = workspace.Scratch(1000);
        DeviceMemoryException error = Assert.Throws<DeviceMemoryException>(() => workspace.Scratch((1L << 32) + 1));
        Assert.Contains("shorter prompt", error.Message, StringComparison.Ordinal);
        Assert.Equal(address, workspace.Scratch(3000));
    }
}
