using LazyLlm.Extensions.AI;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Scheduling;
using Microsoft.Extensions.AI;

namespace LazyLlm.Extensions.AI.Tests;

public sealed class LazyLlmChatClientTests : IAsyncLifetime
{
    private const string Question = "Mira keeps the lamp in the attic. Question: Where does Mira keep the lamp? Answer:";

    private LlamaEngine _engine = null!;
    private LazyLlmChatClient _client = null!;

    public async ValueTask InitializeAsync()
    {
        _engine = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, new EngineOptions { Device = "cpu" });
        _client = new LazyLlmChatClient(_engine);
    }

    public ValueTask DisposeAsync()
    {
        _client.Dispose();
        _engine.Dispose();
        return ValueTask.CompletedTask;
    }

    [Theory]
    [InlineData("none")]
    [InlineData("4:0.3")]
    public async Task Streaming_gives_the_same_text_usage_and_reason_as_one_response(string pruning)
    {
        var options = new ChatOptions { MaxOutputTokens = 12, Temperature = 1.2f, Seed = 5, AdditionalProperties = new() { ["pruning"] = pruning } };
        ChatResponse whole = await _client.GetResponseAsync(Question, options);
        ChatResponse streamed = await _client.GetStreamingResponseAsync(Question, options).ToChatResponseAsync();
        Assert.NotEmpty(whole.Text);
        Assert.Equal(whole.Text, streamed.Text);
        Assert.Equal((whole.FinishReason, whole.Usage!.TotalTokenCount), (streamed.FinishReason, streamed.Usage!.TotalTokenCount));
        Assert.Equal(whole.Usage.InputTokenCount + whole.Usage.OutputTokenCount, whole.Usage.TotalTokenCount);
        var statistics = Assert.IsType<RunStatistics>(whole.AdditionalProperties![LazyLlmChatClient.StatisticsProperty]);
        Assert.Equal(pruning == "none", statistics.ComputedShare == 1);
        Assert.Equal("demo", whole.ModelId);
    }

    [Fact]
    public async Task The_clients_sampling_holds_where_a_request_is_silent()
    {
        using var client = new LazyLlmChatClient(_engine, sampling: _engine.AdvisedSampling);
        // models/demo advises 4 tokens.
        Assert.Equal(4, (await client.GetResponseAsync(Question)).Usage!.OutputTokenCount);
        Assert.Equal(2, (await client.GetResponseAsync(Question, new ChatOptions { MaxOutputTokens = 2 })).Usage!.OutputTokenCount);
        Assert.Throws<InvalidOptionException>(() => new LazyLlmChatClient(_engine, sampling: new() { Temperature = -1 }));
    }

    [Fact]
    public async Task Finish_reasons_are_length_and_stop()
    {
        Assert.Equal(ChatFinishReason.Length, (await _client.GetResponseAsync(Question, new ChatOptions { MaxOutputTokens = 1 })).FinishReason);
        string text = (await _client.GetResponseAsync(Question, new ChatOptions { MaxOutputTokens = 6 })).Text;
        ChatResponse stopped = await _client.GetResponseAsync(Question, new ChatOptions { MaxOutputTokens = 6, StopSequences = [text[^2..]] });
        Assert.Equal(ChatFinishReason.Stop, stopped.FinishReason);
        Assert.StartsWith(stopped.Text, text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Many_threads_get_what_each_gets_alone()
    {
        ChatOptions[] options = [.. Enumerable.Range(0, 8).Select(i => new ChatOptions { MaxOutputTokens = 4 + i, Temperature = 1, Seed = i })];
        var alone = new List<string>();
        foreach (ChatOptions option in options)
        {
            alone.Add((await _client.GetResponseAsync(Question, option)).Text);
        }

        ChatResponse[] together = await Task.WhenAll(options.Select(o => Task.Run(() => _client.GetResponseAsync(Question, o))));
        Assert.Equal(alone, together.Select(r => r.Text));
    }

    [Fact]
    public async Task Cancelling_ends_the_stream_with_an_exception_and_frees_the_request()
    {
        using var cancellation = new CancellationTokenSource();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () =>
        {
            await foreach (ChatResponseUpdate update in _client.GetStreamingResponseAsync(Question, null, cancellation.Token))
            {
                await cancellation.CancelAsync();
            }
        });
        SchedulerStatus status = _client.GetService<Scheduler>()!.Status;
        Assert.Equal((0, 0, 0L), (status.Running, status.Waiting, status.MemoryInUse));
    }

    [Fact]
    public async Task An_abandoned_stream_frees_its_request()
    {
        await foreach (ChatResponseUpdate update in _client.GetStreamingResponseAsync(Question))
        {
            break;
        }

        Assert.Equal(0, _client.GetService<Scheduler>()!.Status.Running);
    }

    [Fact]
    public async Task Options_are_left_as_they_are_and_what_is_not_supported_is_said()
    {
        var options = new ChatOptions { MaxOutputTokens = 1, StopSequences = ["x"], Instructions = "Be short." };
        await _client.GetResponseAsync(Question, options);
        Assert.Equal(["x"], options.StopSequences);
        Assert.Null(options.AdditionalProperties);
        await Assert.ThrowsAsync<InvalidOptionException>(() => _client.GetResponseAsync(Question, new ChatOptions { ResponseFormat = ChatResponseFormat.Json }));
        await Assert.ThrowsAsync<InvalidOptionException>(() => _client.GetResponseAsync(Question, new ChatOptions { AdditionalProperties = new() { ["pruning"] = 3 } }));
        await Assert.ThrowsAsync<InvalidOptionException>(() => _client.GetResponseAsync([new ChatMessage(ChatRole.User, [new DataContent(new byte[3], "image/png")])]));
        await Assert.ThrowsAsync<ContextLengthException>(() => _client.GetResponseAsync(string.Concat(Enumerable.Repeat(Question, 200))));
    }

    [Fact]
    public async Task Services_are_given_out_by_type_and_an_owned_engine_is_disposed()
    {
        Assert.Same(_client, _client.GetService<IChatClient>());
        Assert.Same(_engine, _client.GetService<LlamaEngine>());
        Assert.Equal("lazyllm", _client.GetService<ChatClientMetadata>()!.ProviderName);
        Assert.Null(_client.GetService(typeof(LlamaEngine), "key"));

        LlamaEngine owned = await LlamaEngine.LoadAsync(RepositoryFiles.Demo, new EngineOptions { Device = "cpu" });
        new LazyLlmChatClient(owned, ownsEngine: true).Dispose();
        Assert.Throws<ObjectDisposedException>(() => owned.CreateSession());
        new LazyLlmChatClient(_engine).Dispose();
        _engine.CreateSession().Dispose();
    }
}
