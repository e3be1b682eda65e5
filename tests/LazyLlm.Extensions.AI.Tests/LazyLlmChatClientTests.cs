using LazyLlm.Extensions.AI;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Sampling;
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

    [Theory]
    [InlineData("none")]
    [InlineData("4:0.3")]
    public async Task A_system_message_is_computed_once_and_changes_no_answer(string pruning)
    {
        ChatMessage[] chat = [new(ChatRole.System, string.Concat(Enumerable.Repeat("Hugo keeps the ring in the cellar. The old fox sleeps near the mill. ", 4))), new(ChatRole.User, Question)];
        var options = new ChatOptions { MaxOutputTokens = 6, AdditionalProperties = new() { ["pruning"] = pruning } };
        ChatResponse first = await _client.GetResponseAsync(chat, options);
        ChatResponse second = await _client.GetResponseAsync(chat, options);
        Assert.Equal(0, first.Usage!.CachedInputTokenCount);
        Assert.InRange(second.Usage!.CachedInputTokenCount!.Value, 32, second.Usage.InputTokenCount!.Value - 1);
        Assert.Equal(first.Text, second.Text);
        Assert.Equal(0, (await _client.GetResponseAsync(Question, options)).Usage!.CachedInputTokenCount);
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

        // Dropped without being disposed, in a client that holds two tokens for a slow reader.
        using var client = new LazyLlmChatClient(_engine, scheduling: new SchedulerOptions { UnreadLimit = 2 });
        await ReadOneAsync(client);
        for (int i = 0; i < 1_000 && client.GetService<Scheduler>()!.Status.Running > 0; i++)
        {
            GC.Collect();
            await Task.Delay(1, TestContext.Current.CancellationToken);
        }

        Assert.Equal(0, client.GetService<Scheduler>()!.Status.Running);

        static async Task ReadOneAsync(LazyLlmChatClient client) =>
            Assert.True(await client.GetStreamingResponseAsync(Question).GetAsyncEnumerator().MoveNextAsync());
    }

    [Fact]
    public async Task Options_are_left_as_they_are_and_what_is_not_supported_is_said()
    {
        var options = new ChatOptions { MaxOutputTokens = 1, StopSequences = ["x"], Instructions = "Be short." };
        await _client.GetResponseAsync(Question, options);
        Assert.Equal(["x"], options.StopSequences);
        Assert.Null(options.AdditionalProperties);
        await Assert.ThrowsAsync<InvalidOptionException>(() => _client.GetResponseAsync(Question, new ChatOptions { AdditionalProperties = new() { ["pruning"] = 3 } }));
        await Assert.ThrowsAsync<InvalidOptionException>(() => _client.GetResponseAsync([new ChatMessage(ChatRole.User, [new DataContent(new byte[3], "image/png")])]));
        await Assert.ThrowsAsync<ContextLengthException>(() => _client.GetResponseAsync(string.Concat(Enumerable.Repeat(Question, 200))));
    }

    public static TheoryData<string, ChatOptions> Unsupported => new()
    {
        { nameof(ChatOptions.Tools), new ChatOptions { Tools = [AIFunctionFactory.Create(() => 1, "one")] } },
        { nameof(ChatOptions.ToolMode), new ChatOptions { ToolMode = ChatToolMode.RequireAny } },
        { nameof(ChatOptions.ResponseFormat), new ChatOptions { ResponseFormat = ChatResponseFormat.Json } },
        { nameof(ChatOptions.ConversationId), new ChatOptions { ConversationId = "c" } },
        { nameof(ChatOptions.ModelId), new ChatOptions { ModelId = "another" } },
        { nameof(ChatOptions.FrequencyPenalty), new ChatOptions { FrequencyPenalty = 1 } },
        { nameof(ChatOptions.PresencePenalty), new ChatOptions { PresencePenalty = -1 } },
        { nameof(ChatOptions.Reasoning), new ChatOptions { Reasoning = new ReasoningOptions { Effort = ReasoningEffort.High } } },
    };

    [Theory]
    [MemberData(nameof(Unsupported), DisableDiscoveryEnumeration = true)]
    public async Task What_is_not_supported_is_refused_by_name(string name, ChatOptions options)
    {
        InvalidOptionException error = await Assert.ThrowsAsync<InvalidOptionException>(() => _client.GetResponseAsync(Question, options));
        Assert.StartsWith(name, error.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<InvalidOptionException>(() => _client.GetStreamingResponseAsync(Question, options).ToChatResponseAsync());
    }

    [Fact]
    public async Task What_asks_for_nothing_is_taken()
    {
        var options = new ChatOptions
        {
            MaxOutputTokens = 1,
            ModelId = "demo",
            Tools = [],
            ToolMode = ChatToolMode.Auto,
            ResponseFormat = ChatResponseFormat.Text,
            FrequencyPenalty = 0,
            PresencePenalty = 0,
            Reasoning = new ReasoningOptions { Effort = ReasoningEffort.None },
        };
        Assert.NotEmpty((await _client.GetResponseAsync(Question, options)).Text);
    }

    [Fact]
    public async Task Sampling_of_the_engines_own_kind_sets_what_the_options_have_no_field_for()
    {
        var options = new ChatOptions { MaxOutputTokens = 3, RawRepresentationFactory = _ => new SamplingOptions { MaxTokens = 9, Temperature = 1, Seed = 3, TopK = 1 } };
        ChatResponse greedy = await _client.GetResponseAsync(Question, new ChatOptions { MaxOutputTokens = 3 });
        Assert.Equal(greedy.Text, (await _client.GetResponseAsync(Question, options)).Text);
        options.RawRepresentationFactory = _ => new SamplingOptions { Temperature = -1 };
        await Assert.ThrowsAsync<InvalidOptionException>(() => _client.GetResponseAsync(Question, options));
    }

    [Fact]
    public async Task Null_messages_are_refused_and_metrics_say_chat()
    {
        Assert.Throws<ArgumentNullException>(() => { _client.GetStreamingResponseAsync((IEnumerable<ChatMessage>)null!); });
        await Assert.ThrowsAsync<ArgumentNullException>(() => _client.GetResponseAsync((IEnumerable<ChatMessage>)null!));
        await Assert.ThrowsAsync<InvalidOptionException>(() => _client.GetResponseAsync([null!]));
        await Assert.ThrowsAsync<InvalidOptionException>(() => _client.GetResponseAsync([]));
        string? operation = null;
        _client.GetService<Scheduler>()!.Ended += answer => operation = answer.Request.Operation;
        await _client.GetResponseAsync(Question, new ChatOptions { MaxOutputTokens = 1 });
        Assert.Equal("chat", operation);
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
