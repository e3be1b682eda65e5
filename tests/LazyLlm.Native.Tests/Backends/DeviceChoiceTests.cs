using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Tests.Backends.Cuda;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Backends;

/// <summary>Which device serves, and what is said where it is not the best one.</summary>
[Collection(EnvironmentTests.Name)]
public sealed class DeviceChoiceTests : IDisposable
{
    private static readonly string Model = RepositoryFiles.Golden("models", "tiny-mha");

    public DeviceChoiceTests() => CudaTestDevice.RequireStandIn();

    public void Dispose() => CudaTestDevice.Reset();

    [Fact]
    public async Task A_GPU_that_serves_is_taken_without_a_word()
    {
        using LlamaEngine engine = await Load("auto");
        Assert.Contains("Stand-in", engine.DeviceName, StringComparison.Ordinal);
        Assert.Empty(engine.Notes);
    }

    [Fact]
    public async Task A_GPU_that_cannot_serve_gives_way_to_the_CPU_and_the_engine_says_why()
    {
        CudaTestDevice.Set("total_memory", "1000000");
        using LlamaEngine engine = await Load("auto");
        Assert.DoesNotContain("Stand-in", engine.DeviceName, StringComparison.Ordinal);
        Assert.StartsWith("The CPU is used, because the GPU cannot serve this model. Not enough memory for the model", Assert.Single(engine.Notes), StringComparison.Ordinal);
        await Assert.ThrowsAsync<DeviceMemoryException>(() => Load("cuda"));
    }

    [Fact]
    public async Task No_GPU_is_nothing_to_speak_of()
    {
        CudaTestDevice.Set("devices", "0");
        using LlamaEngine engine = await Load("auto");
        Assert.Empty(engine.Notes);
        await Assert.ThrowsAsync<CudaException>(() => Load("cuda"));
    }

    [Fact]
    public async Task Kernels_that_cannot_be_kept_are_mentioned_once()
    {
        string? before = Environment.GetEnvironmentVariable(KernelCache.FolderVariable);
        using var scratch = new ScratchFolder();
        string inTheWay = Path.Combine(scratch.Path, "file");
        await File.WriteAllTextAsync(inTheWay, "in the way", TestContext.Current.CancellationToken);
        try
        {
            Environment.SetEnvironmentVariable(KernelCache.FolderVariable, inTheWay);
            using LlamaEngine engine = await Load("cuda");
            string note = Assert.Single(engine.Notes);
            Assert.StartsWith("Kernels are compiled anew in every process", note, StringComparison.Ordinal);
            Assert.Contains(inTheWay, note, StringComparison.Ordinal);
        }
        finally
        {
            Environment.SetEnvironmentVariable(KernelCache.FolderVariable, before);
        }
    }

    private static Task<LlamaEngine> Load(string device) =>
        LlamaEngine.LoadAsync(Model, new EngineOptions { Device = device }, cancellation: TestContext.Current.CancellationToken);
}
