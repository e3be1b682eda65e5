using LazyLlm.Evaluation.Recall;
using LazyLlm.Evaluation.Running;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Evaluation.Tests;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Tokenizers;

[assembly: AssemblyFixture(typeof(DemoModel))]

namespace LazyLlm.Evaluation.Tests;

/// <summary>The embedded model on the CPU, loaded once for all tests.</summary>
public sealed class DemoModel : IAsyncLifetime
{
    public LlamaEngine Engine { get; private set; } = null!;

    public TextTokenizer Tokenizer { get; } = TokenizerFolder.Load(RepositoryFiles.Demo)!;

    public RecallTask Recall { get; } = RecallTask.Load(RepositoryFiles.Demo);

    public ItemRunner Items => new(Engine, Tokenizer, seed: 1);

    /// <summary>Short documents, so that a test takes little time.</summary>
    public RecallEvaluationTask Documents(int count, int length = 64) => new(Recall, new RecallDocumentOptions { TokenLength = length, Seed = 5 }, count);

    public async ValueTask InitializeAsync()
        => Engine = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, new EngineOptions { Device = "cpu" });

    public ValueTask DisposeAsync()
    {
        Engine.Dispose();
        return ValueTask.CompletedTask;
    }
}
