using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Cli.Tests.Commands;

public class TraceCommandTests
{
    /// <summary>The oracle's cases that the repository holds.</summary>
    public static TheoryData<string> Cases { get; } = new(
        Directory.EnumerateFiles(RepositoryFiles.Golden("cases"), "*.json").Select(path => Path.GetFileNameWithoutExtension(path)!).Order());

    private static string TinyModel => RepositoryFiles.Golden("models", "tiny-mha");

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task A_trace_is_the_oracles(string name)
    {
        JsonElement golden = JsonDocument.Parse(File.ReadAllBytes(RepositoryFiles.Golden("cases", name + ".json"))).RootElement;
        string model = golden.GetProperty("model").GetString()!;
        string stages = string.Join(',', golden.GetProperty("stages").EnumerateArray().Select(stage => $"{stage[0]}:{stage[1]}"));
        using var scratch = new ScratchFolder();
        CommandRun run = await CommandRun.RunAsync(
            "trace", "--model", model == "demo" ? RepositoryFiles.Demo : RepositoryFiles.Golden("models", model),
            "--prompt-ids", string.Join(',', golden.GetProperty("prompt").EnumerateArray()),
            "--prune", stages.Length == 0 ? "none" : stages,
            "--steps", golden.GetProperty("steps").GetArrayLength().ToString(CultureInfo.InvariantCulture),
            "--device", "cpu", "--quiet", "--output", scratch["trace.json"]);

        run.Succeeded();
        Assert.Equal("", run.Out);
        JsonElement trace = JsonDocument.Parse(File.ReadAllBytes(scratch["trace.json"])).RootElement;
        Assert.Equal(model, trace.GetProperty("model").GetString());
        Assert.True(JsonElement.DeepEquals(golden.GetProperty("prompt"), trace.GetProperty("prompt")));
        Assert.True(JsonElement.DeepEquals(golden.GetProperty("stages"), trace.GetProperty("stages")));
        Assert.True(JsonElement.DeepEquals(golden.GetProperty("frontier"), trace.GetProperty("frontier")));
        Assert.Equal(golden.GetProperty("steps").GetArrayLength(), trace.GetProperty("steps").GetArrayLength());
        foreach ((JsonElement expected, JsonElement found) in golden.GetProperty("steps").EnumerateArray().Zip(trace.GetProperty("steps").EnumerateArray()))
        {
            Assert.True(JsonElement.DeepEquals(expected.GetProperty("kept"), found.GetProperty("kept")));
            Assert.True(JsonElement.DeepEquals(expected.GetProperty("computed"), found.GetProperty("computed")));
            Assert.Equal(expected.GetProperty("token").GetInt32(), found.GetProperty("token").GetInt32());
            double[] logits = [.. found.GetProperty("logits").EnumerateArray().Select(logit => logit.GetDouble())];
            double[] oracle = [.. expected.GetProperty("logits").EnumerateArray().Select(logit => logit.GetDouble())];
            Assert.Equal(oracle.Length, logits.Length);
            double tolerance = 1e-4 * oracle.Max(Math.Abs);
            Assert.All(logits.Zip(oracle), pair => Assert.InRange(pair.First, pair.Second - tolerance, pair.Second + tolerance));
        }
    }

    [Fact]
    public async Task The_oracles_fields_come_in_its_order_and_with_seven_digits()
    {
        CommandRun run = (await CommandRun.RunAsync("trace", "-m", TinyModel, "--prompt-ids", "1,17,9", "--prune", "3:0.5", "--steps", "2", "--json", "--quiet")).Succeeded();
        Assert.Equal(["model", "prompt", "stages", "steps", "frontier"], run.Json.EnumerateObject().Select(field => field.Name));
        Assert.Equal(["kept", "computed", "token", "logits"], run.Json.GetProperty("steps")[0].EnumerateObject().Select(field => field.Name));
        Assert.All(
            run.Json.GetProperty("steps")[0].GetProperty("logits").EnumerateArray(),
            logit => Assert.InRange(Regex.Replace(logit.GetRawText().Split('E')[0], @"^-?0?\.?0*|\.", "").Length, 1, 7));
    }

    [Fact]
    public async Task The_drawing_goes_to_standard_error_and_the_data_to_standard_output()
    {
        string[] args = ["trace", "-m", RepositoryFiles.Demo, "Mira keeps the lamp in the attic. Question: Where does Mira keep the lamp? Answer:", "--prune", "4:0.3", "--steps", "3", "--json"];
        CommandRun loud = (await CommandRun.RunAsync(args)).Succeeded();
        CommandRun quiet = (await CommandRun.RunAsync([.. args, "--quiet"])).Succeeded();
        Assert.Equal("", quiet.Error);
        Assert.True(JsonElement.DeepEquals(quiet.Json, loud.Json));
        Assert.Contains("layers 0-3", loud.Error);
        Assert.Contains("layers 4-11", loud.Error);
        Assert.DoesNotContain('\e', loud.Error);
        Assert.DoesNotContain(loud.ErrorLines, line => line.Length > 80);
    }

    [Fact]
    public async Task The_page_stands_alone_and_has_every_word()
    {
        const string Prompt = "Mira keeps the lamp in the attic. <b>Wörter</b> & \"quotes\" 🦊 </script>. Question: Where does Mira keep the lamp? Answer:";
        using var scratch = new ScratchFolder();
        (await CommandRun.RunAsync("trace", "-m", RepositoryFiles.Demo, Prompt, "--prune", "4:0.3", "--steps", "3", "--quiet", "--html", scratch["page.html"])).Succeeded();
        string page = File.ReadAllText(scratch["page.html"]);

        string text = page[page.IndexOf("<main", StringComparison.Ordinal)..page.IndexOf("</main>", StringComparison.Ordinal)];
        string shown = System.Net.WebUtility.HtmlDecode(Regex.Replace(text[(text.IndexOf('>', StringComparison.Ordinal) + 1)..], "<[^>]*>", ""));
        Assert.StartsWith("<s>" + Prompt, shown);
        Assert.DoesNotMatch(@"(?i)https?:|//|src\s*=|href\s*=|url\(|@import", Regex.Replace(page, "[^<>\"']*Hover over.*?</main>", "", RegexOptions.Singleline));
        Match data = Regex.Match(page, "<script id=\"data\" type=\"application/json\">(.*?)</script>", RegexOptions.Singleline);
        JsonElement steps = JsonDocument.Parse(data.Groups[1].Value).RootElement.GetProperty("steps");
        Assert.Equal(3, steps.GetArrayLength());
        int spans = Regex.Count(text, "<span");
        Assert.Equal(spans, steps[2].GetProperty("last").GetString()!.Length);
        Assert.Equal(2, Regex.Count(page, "</script>"));
    }

    [Theory]
    [InlineData("--prompt-ids 1,x", "'x'")]
    [InlineData("--prompt-ids 1,160", "160")]
    [InlineData("--prompt-ids 1,-1", "-1")]
    [InlineData("--prompt-ids 1 --steps 0", "--steps")]
    [InlineData("--prompt-ids 1 --steps many", "many")]
    [InlineData("--prompt-ids 1 --prune 3:2", "keep 2")]
    [InlineData("--prompt-ids 1 --prune 3:0", "keep 0")]
    [InlineData("--prompt-ids 1 --prune 3:-0.5", "keep -0.5")]
    [InlineData("--prompt-ids 1 --prune 3:NaN", "keep NaN")]
    [InlineData("--prompt-ids 1 --prune 0:0.5", "layer 0")]
    [InlineData("--prompt-ids 1 --prune 6:0.5", "layer 6")]
    [InlineData("--prompt-ids 1 --prune 3:0.5,3:0.4", "layer 3")]
    [InlineData("--prompt-ids 1 --prune 4:0.5,3:0.4", "layer 3")]
    [InlineData("--prompt-ids 1 --prune 3:0.4,4:0.5", "keep 0.5")]
    [InlineData("--prompt-ids 1 --prune sometimes", "sometimes")]
    [InlineData("--prompt-ids 1 --device toaster", "toaster")]
    [InlineData("--prompt-ids 1 --threads 0", "threads")]
    [InlineData("--prompt-ids 1 --context 4096", "4096")]
    [InlineData("words", "tokenizer")]
    [InlineData("", "prompt")]
    [InlineData("words --prompt-ids 1", "more than one")]
    public async Task What_cannot_be_is_a_usage_error(string args, string named)
    {
        CommandRun run = await CommandRun.RunAsync(["trace", "--model", TinyModel, .. args.Split(' ', StringSplitOptions.RemoveEmptyEntries)]);
        run.Refused(ExitCode.Usage, named);
    }

    [Fact]
    public async Task A_sequence_beyond_the_context_is_refused_before_any_work()
    {
        string ids = string.Join(',', Enumerable.Repeat(5, 2_046));
        CommandRun run = await CommandRun.RunAsync("trace", "--model", TinyModel, "--prompt-ids", ids, "--steps", "4");
        run.Refused(ExitCode.Failure, "2049", "2048");
    }

    [Fact]
    public async Task A_file_that_cannot_be_written_is_a_failure()
    {
        using var scratch = new ScratchFolder();
        CommandRun run = await CommandRun.RunAsync("trace", "--model", TinyModel, "--prompt-ids", "1,2", "--quiet", "--output", scratch["no/such/folder.json"]);
        run.Refused(ExitCode.Failure, "folder.json");
    }
}
