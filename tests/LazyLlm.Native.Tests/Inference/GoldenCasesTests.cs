using LazyLlm.Native.Inference;
using Xunit;

namespace LazyLlm.Native.Tests.Inference;

public class GoldenCasesTests
{
    public static TheoryData<string> Names => GoldenCase.Names;

    [Theory]
    [MemberData(nameof(Names))]
    public async Task The_cpu_gives_what_the_oracle_gives(string name)
    {
        GoldenCase golden = GoldenCase.Load(name);
        using LlamaEngine engine = await LlamaEngine.LoadAsync(
            golden.ModelFolder, new EngineOptions { Device = "cpu" }, cancellation: TestContext.Current.CancellationToken);
        golden.Check(engine, logitTolerance: 1e-4, gapTolerance: 1e-4);
    }
}
