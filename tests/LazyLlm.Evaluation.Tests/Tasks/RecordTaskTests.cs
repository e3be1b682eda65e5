using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using LazyLlm.Evaluation.LongBench;
using LazyLlm.Evaluation.Metrics;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Evaluation.Tests.Tasks;

public sealed class RecordTaskTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    // The prompts are the benchmark's and stay out of this repository; the digests (first 16 hexadecimal digits of
    // SHA-256) are of what Python's str.format and the benchmark's wrapping rules make of the record below.
    [Theory]
    [InlineData("narrativeqa", "0f698d6842fc1775", "7fa26990c6ce06c2", "3a0cc826fdd1ac9a")]
    [InlineData("qasper", "042d9e5f4bd812ad", "9952829aa71d040a", "4738ccdf1491d665")]
    [InlineData("multifieldqa_en", "a2be69a0b5456916", "2b7663c87eb843b7", "cdf92133ed850902")]
    [InlineData("hotpotqa", "9dd066e4b16d0dce", "198942c8c9e8ab71", "72be508a5ad73862")]
    [InlineData("2wikimqa", "9dd066e4b16d0dce", "198942c8c9e8ab71", "72be508a5ad73862")]
    [InlineData("musique", "9dd066e4b16d0dce", "198942c8c9e8ab71", "72be508a5ad73862")]
    [InlineData("gov_report", "d1687c90e72b8c96", "312c039165a2696d", "78562f181d1e9c00")]
    [InlineData("qmsum", "f1daf71b7cff2a7b", "9a0ecabc646bc07d", "8711ba2a8bd87fab")]
    [InlineData("multi_news", "ee74ee1a9add481c", "7d88bd25ddeb31bd", "13433c1c5ca614f0")]
    [InlineData("trec", "5c940868f531acb6", "5c940868f531acb6", "5c940868f531acb6")]
    [InlineData("triviaqa", "c715560c270c4d5e", "c715560c270c4d5e", "c715560c270c4d5e")]
    [InlineData("samsum", "07a8f039a5658e82", "07a8f039a5658e82", "07a8f039a5658e82")]
    [InlineData("passage_count", "b9e5b6e3e53f614a", "46750c0ae8fefbd3", "41f4b284d26d39fc")]
    [InlineData("passage_retrieval_en", "317bf4d361f5326f", "c205da3a08d053d0", "e4942ddd754964da")]
    [InlineData("lcc", "4c4efe1e4ada254f", "4c4efe1e4ada254f", "4c4efe1e4ada254f")]
    [InlineData("repobench-p", "ee817d3a133c20f6", "ee817d3a133c20f6", "ee817d3a133c20f6")]
    public void Golden_prompts_of_a_made_up_record_are_equal(string dataset, string plain, string llama2, string xgen)
    {
        LongBenchConfig config = LongBenchConfig.Load(RepositoryFiles.Shared("longbench"));
        WriteRecord(dataset, "Line one {context} {{x}}.\n\n\tLine two: 日本 \\n 50% %s {0}");
        foreach ((ChatFormat chat, string expected) in new[] { (ChatFormat.Plain, plain), (ChatFormat.Llama2, llama2), (ChatFormat.Xgen, xgen) })
        {
            EvaluationItem item = LongBench(dataset, config, chat, 100_000).ReadItems(DemoTokenizer()).Single();
            Assert.Equal(expected, Digest(item.Prompt.Text));
            Assert.Equal(config.GenerationLimitOf(LongBenchDataset.Named(dataset)), item.MaxNewTokens);
            Assert.Equal(dataset == "samsum", item.StopAtNewline);
            Assert.StartsWith("Line one {context}", item.Prompt.Document, StringComparison.Ordinal);
        }
    }

    // Made with the SentencePiece library itself: encode, cut, decode both halves, join, wrap, encode again.
    [Theory]
    [InlineData("hotpotqa", 3500, 15410, 3505, "4d41d849b289652b")]
    [InlineData("narrativeqa", 501, 15433, 505, "a9f229be0d841f7c")]
    [InlineData("repobench-p", 64, 15360, 64, "5ad292165cfd084b")]
    [InlineData("gov_report", 3500, 15377, 3505, "da47e6b3164d1f97")]
    public void A_long_prompt_loses_its_middle_by_the_tokens_of_Llama_2(string dataset, int promptLimit, int tokens, int tokensAfter, string expected)
    {
        SentencePieceTokenizer tokenizer = SentencePieceTokenizer.Load(RepositoryFiles.Shared("tokenizers", "llama2", "tokenizer.model"));
        LongBenchConfig config = LongBenchConfig.Load(RepositoryFiles.Shared("longbench"));
        WriteRecord(dataset, string.Join('\n', Enumerable.Range(0, 400).Select(i => $"Sentence {i * 7919 % 1000} of the “long” story:  über-{i} costs {i}€, naïve 😀 {{y}}.")));

        string whole = LongBench(dataset, config, ChatFormat.Plain, 100_000).ReadItems(tokenizer).Single().Prompt.Text;
        Assert.Equal(tokens, tokenizer.Encode(whole).Length);
        string cut = LongBench(dataset, config, ChatFormat.Llama2, promptLimit).ReadItems(tokenizer).Single().Prompt.Text;
        Assert.Equal(tokensAfter, tokenizer.Encode(cut).Length);
        Assert.Equal(expected, Digest(cut));
    }

    [Fact]
    public void A_task_of_the_users_own_asks_behind_the_document()
    {
        string path = _folder.Write("mine.jsonl", """
            {"input": "Why?", "context": "Because.", "answers": ["Because"]}

            {"input": "Who?", "context": "Nobody {input}.", "answers": ["nobody", "no one"], "_id": "b"}
            """);
        RecordTask task = RecordTask.FromFile(path, Metric.QaF1, 8, 1000);
        Assert.Equal(2, task.CountItems());
        EvaluationItem[] items = [.. task.ReadItems(DemoTokenizer())];
        Assert.Equal("Because.\n\nWhy?", items[0].Prompt.Text);
        Assert.Equal(new EvaluationPrompt("", "Nobody {input}.", "\n\nWho?"), items[1].Prompt);
        Assert.Equal(("mine", 1, "b", 8), (items[1].Dataset, items[1].Index, items[1].Id, items[1].MaxNewTokens));
        Assert.Equal(1, items[1].Score("No one!"));
        Assert.Equal(1, RecordTask.FromFile(path, Metric.QaF1, 8, 1000, limit: 1).CountItems());
    }

    [Theory]
    [InlineData("{", "not a JSON record")]
    [InlineData("7", "expected an object")]
    [InlineData("""{"context": "a", "answers": ["b"]}""", "'input'")]
    [InlineData("""{"input": "a", "context": "a"}""", "'answers'")]
    [InlineData("""{"input": "a", "context": "a", "answers": []}""", "'answers'")]
    [InlineData("""{"input": "a", "context": "a", "answers": ["a"], "all_classes": [2]}""", "'all_classes'")]
    [InlineData("""{"input": "a", "context": "\ud800", "answers": ["a"]}""", "not a JSON record")]
    public void A_malformed_line_is_named_by_file_and_line(string line, string expected)
    {
        string path = _folder.Write("broken.jsonl", $$"""
            {"input": "a", "context": "a", "answers": ["a"]}
            {{line}}
            """);
        DataFormatException error = Assert.Throws<DataFormatException>(() => RecordTask.FromFile(path, Metric.Count, 8, 1000).CountItems());
        Assert.Equal((path, 2), (error.Path, error.Line));
        Assert.Contains(expected, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_missing_file_is_named()
        => Assert.Contains("nowhere.jsonl", Assert.Throws<DataFormatException>(() => RecordTask.FromFile("/nowhere.jsonl", Metric.Count, 8, 1000).CountItems()).Message, StringComparison.Ordinal);

    [Fact]
    public void Few_shot_answers_are_scored_by_their_first_line()
    {
        LongBenchConfig config = OwnConfig("trec", "{context}{input}");
        _folder.Write("trec.jsonl", """{"input": "", "context": "", "answers": ["City"], "all_classes": ["City", "Date"]}""");
        EvaluationItem item = LongBench("trec", config, ChatFormat.Llama2, 1000).ReadItems(DemoTokenizer()).Single();
        Assert.Equal(1, item.Score("\n\nCity\nDate"));
        Assert.Equal(0.5, item.Score("City Date"));
    }

    [Fact]
    public void Xgen_replies_are_cleaned()
        => Assert.Equal(" yes Human", ChatFormat.Xgen.Clean("\n Assistant: yes Human\n"));

    [Theory]
    [InlineData("a {context", "brace")]
    [InlineData("a } b", "brace")]
    [InlineData("{context!r}", "brace")]
    [InlineData("{}", "brace")]
    [InlineData("{0.x}", "brace")]
    public void A_prompt_that_is_no_template_is_refused(string prompt, string expected)
        => Assert.Contains(expected, Assert.Throws<DataFormatException>(() => new PromptTemplate(prompt, "file.json")).Message, StringComparison.Ordinal);

    [Fact]
    public void Doubled_braces_are_single_ones_and_a_missing_field_is_named()
    {
        string path = _folder.Write("one.jsonl", """{"input": "i", "context": "c", "answers": ["a"], "length": 12}""");
        EvaluationRecord record = EvaluationRecord.ReadFile(path).Single();
        Assert.Equal("{c}12i", new PromptTemplate("{{{context}}}{length}{input}", "f").Format(record));
        DataFormatException error = Assert.Throws<DataFormatException>(() => new PromptTemplate("{language}", "f").Format(record));
        Assert.Equal((path, 1), (error.Path, error.Line));
    }

    [Fact]
    public void A_configuration_without_the_dataset_is_refused()
    {
        LongBenchConfig config = OwnConfig("trec", "{context}");
        Assert.Contains("qasper", Assert.Throws<DataFormatException>(() => config.TemplateOf(LongBenchDataset.Named("qasper"))).Message, StringComparison.Ordinal);
        Assert.Contains("dataset2prompt.json", Assert.Throws<DataFormatException>(() => LongBenchConfig.Load("/nowhere")).Message, StringComparison.Ordinal);
        Assert.Contains("mine", Assert.Throws<DataFormatException>(() => config.PromptLimitOf("mine")).Message, StringComparison.Ordinal);
    }

    private static SentencePieceTokenizer DemoTokenizer() => SentencePieceTokenizer.Load(Path.Combine(RepositoryFiles.Demo, "tokenizer.model"));

    private static string Digest(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..16];

    private LongBenchConfig OwnConfig(string dataset, string prompt)
    {
        _folder.Write("dataset2prompt.json", $$"""{"{{dataset}}": "{{prompt}}"}""");
        _folder.Write("dataset2maxlen.json", string.Create(CultureInfo.InvariantCulture, $$"""{"{{dataset}}": 5}"""));
        return LongBenchConfig.Load(_folder.Path);
    }

    private RecordTask LongBench(string dataset, LongBenchConfig config, ChatFormat chat, int promptLimit)
        => RecordTask.LongBench(LongBenchDataset.Named(dataset), _folder.Path, config, chat, promptLimit);

    private void WriteRecord(string dataset, string context)
        => _folder.Write($"{dataset}.jsonl", $$"""{"input": "Who {input} asked?\n\"Zoë\"", "context": "{{JsonEncodedText.Encode(context)}}", "answers": ["a"], "length": 7, "all_classes": null, "_id": "1"}""");
}
