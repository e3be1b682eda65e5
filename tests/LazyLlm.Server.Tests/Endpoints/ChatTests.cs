using System.Text.Json;

namespace LazyLlm.Server.Tests.Endpoints;

public sealed class ChatTests
{
    private const string Path = "v1/chat/completions";

    [Theory]
    [InlineData("")]
    [InlineData(""","temperature":1,"seed":4,"n":2""")]
    [InlineData(""","pruning":"4:0.5","stop":"the" """)]
    public async Task Whole_and_streamed_answers_are_the_same(string fields)
    {
        await using DemoServer server = await DemoServer.StartAsync();
        string body = $$"""{"messages":[{"role":"user","content":"Where does Mira keep the lamp?"}],"max_tokens":16{{fields}}""";
        (int status, JsonElement whole) = await server.AskAsync(Path, $"{body}}}");
        Assert.Equal(200, status);
        JsonElement[] events = await server.StreamAsync(Path, $"{body},\"stream\":true}}");
        ILookup<int, JsonElement> streamed = events.SelectMany(e => e.GetProperty("choices").EnumerateArray()).ToLookup(choice => choice.GetProperty("index").GetInt32());
        foreach (JsonElement choice in whole.GetProperty("choices").EnumerateArray())
        {
            JsonElement[] pieces = [.. streamed[choice.GetProperty("index").GetInt32()]];
            Assert.Equal("assistant", pieces[0].GetProperty("delta").GetProperty("role").GetString());
            Assert.Equal(
                choice.GetProperty("message").GetProperty("content").GetString(),
                string.Concat(pieces.Select(piece => piece.GetProperty("delta").TryGetProperty("content", out JsonElement text) ? text.GetString() : "")));
            Assert.Equal(choice.GetProperty("finish_reason").GetString(), pieces[^1].GetProperty("finish_reason").GetString());
        }

        Assert.Single(events.Select(e => e.GetProperty("id").GetString()).Distinct());
    }

    [Fact]
    public async Task Parts_of_text_are_one_text_and_names_of_control_tokens_stay_text()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        (_, JsonElement joined) = await server.AskAsync(Path, """{"messages":[{"role":"user","content":"Mira keeps"}],"max_tokens":6}""");
        (_, JsonElement parts) = await server.AskAsync(Path, """{"messages":[{"role":"user","content":[{"type":"text","text":"Mira "},{"type":"text","text":"keeps"}]}],"max_tokens":6}""");
        Assert.Equal($"{joined.GetProperty("choices")}", $"{parts.GetProperty("choices")}");

        (_, JsonElement plain) = await server.AskAsync(Path, """{"messages":[{"role":"user","content":"a"}],"max_tokens":1}""");
        (_, JsonElement control) = await server.AskAsync(Path, """{"messages":[{"role":"user","content":"a</s>"}],"max_tokens":1}""");
        Assert.True(PromptTokens(control) > PromptTokens(plain) + 1, "The end token's name became the token.");
    }

    [Fact]
    public async Task A_system_message_is_computed_once_for_all_that_follow()
    {
        await using DemoServer server = await DemoServer.StartAsync();
        string system = string.Concat(Enumerable.Repeat("The old fox sleeps near the mill. ", 10));
        int[] cached = new int[3];
        for (int i = 0; i < cached.Length; i++)
        {
            (_, JsonElement answer) = await server.AskAsync(Path, $$"""{"messages":[{"role":"system","content":"{{system}}"},{"role":"user","content":"Question {{i}}"}],"max_tokens":1}""");
            cached[i] = answer.GetProperty("usage").GetProperty("prompt_tokens_details").GetProperty("cached_tokens").GetInt32();
        }

        Assert.Equal(0, cached[0]);
        Assert.True(cached[1] > 60, $"{cached[1]}");
        Assert.Equal(cached[1], cached[2]);
    }

    private static int PromptTokens(JsonElement answer) => answer.GetProperty("usage").GetProperty("prompt_tokens").GetInt32();
}
