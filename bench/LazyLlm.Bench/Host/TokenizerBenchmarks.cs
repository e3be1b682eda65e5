using BenchmarkDotNet.Attributes;
using LazyLlm.Evaluation.Recall;
using LazyLlm.Native.Tokenizers;
using LlamaTokenizer = Microsoft.ML.Tokenizers.LlamaTokenizer;

namespace LazyLlm.Bench.Host;

/// <summary>A document of the demo's kind to tokens, by its SentencePiece model; the baseline is Microsoft.ML.Tokenizers on the same text.</summary>
public class TokenizerBenchmarks
{
    private readonly List<int> _ids = [];
    private SentencePieceTokenizer _own = null!;
    private LlamaTokenizer _theirs = null!;
    private string _text = "";

    /// <summary>Tokens of the text.</summary>
    [Params(1_000, 8_000)]
    public int Tokens { get; set; }

    /// <summary>Loads both, and checks that they agree.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        string folder = Path.Combine(AppContext.BaseDirectory, "demo");
        string path = Path.Combine(folder, "tokenizer.model");
        _own = SentencePieceTokenizer.Load(path);
        using FileStream file = File.OpenRead(path);
        _theirs = LlamaTokenizer.Create(file, addBeginOfSentence: false);
        RecallTask task = RecallTask.Load(folder, sentence => _own.EncodeContinuation(" " + sentence).Length);
        _text = task.CreateDocument(new RecallDocumentOptions { TokenLength = Tokens, Seed = 1 }).Text;
        if (!Own().SequenceEqual(_theirs.EncodeToIds(_text)))
        {
            throw new InvalidOperationException("The two tokenizers give other ids for the text.");
        }
    }

    /// <summary>Theirs.</summary>
    [Benchmark(Baseline = true)]
    public int MicrosoftMLTokenizers() => _theirs.EncodeToIds(_text).Count;

    /// <summary>Ours.</summary>
    [Benchmark]
    public int Encode() => Own().Count;

    private List<int> Own()
    {
        _ids.Clear();
        _own.EncodeTo(_text, _ids);
        return _ids;
    }
}
