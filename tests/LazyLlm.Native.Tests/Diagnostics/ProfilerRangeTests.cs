using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;
using LazyLlm.Native.Tests.Backends.Cuda;
using Xunit;

namespace LazyLlm.Native.Tests.Diagnostics;

[Collection(EnvironmentTests.Name)]
public class ProfilerRangeTests
{
    private static readonly ModelConfig Shape = ModelShapes.Find("tiny") with { LayerCount = 2, ContextLength = 64 };

    [Fact]
    public async Task A_range_starts_and_stops_the_profiler_once_and_outlives_its_engine()
    {
        CudaTestDevice.RequireStandIn();
        (long starts, long stops) = (CudaTestDevice.Get("calls.profiler_start"), CudaTestDevice.Get("calls.profiler_stop"));
        LlamaEngine engine = await LlamaEngine.LoadAsync(new RandomWeights(Shape), new EngineOptions { Device = "cuda" }, cancellation: TestContext.Current.CancellationToken);
        ProfilerRange range = ProfilerRange.Open(engine);
        Assert.Equal((starts + 1, stops), (CudaTestDevice.Get("calls.profiler_start"), CudaTestDevice.Get("calls.profiler_stop")));
        using (Session session = engine.CreateSession())
        {
            session.Step([1, 2, 3], TestContext.Current.CancellationToken);
        }

        engine.Dispose();
        range.Dispose();
        range.Dispose();
        Assert.Equal((starts + 1, stops + 1), (CudaTestDevice.Get("calls.profiler_start"), CudaTestDevice.Get("calls.profiler_stop")));
    }

    [Fact]
    public async Task On_the_CPU_a_range_is_refused_and_the_engine_goes_on()
    {
        using LlamaEngine engine = await LlamaEngine.LoadAsync(new RandomWeights(Shape), new EngineOptions { Device = "cpu" }, cancellation: TestContext.Current.CancellationToken);
        InvalidOptionException refused = Assert.Throws<InvalidOptionException>(() => ProfilerRange.Open(engine));
        Assert.Contains("CPU", refused.Message);
        using Session session = engine.CreateSession();
        Assert.Equal(Shape.VocabularySize, session.Step([1, 2, 3], TestContext.Current.CancellationToken).Length);
    }
}
