using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Text;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Scheduling;
using LazyLlm.Native.Tokenizers;
using Microsoft.Extensions.AI;
using ChatMessage = Microsoft.Extensions.AI.ChatMessage;
using ChatRole = Microsoft.Extensions.AI.ChatRole;
using EngineChatMessage = LazyLlm.Native.Tokenizers.ChatMessage;
using EngineChatRole = LazyLlm.Native.Tokenizers.ChatRole;

namespace LazyLlm.Extensions.AI;

/// <summary>
/// An <see cref="IChatClient"/> over an engine: conversations in the model's chat form, answers through a scheduler, so
/// that any number of threads may share it. Texts only; tools, response formats and what else it does not have are refused by
/// name. A <see cref="ChatOptions.RawRepresentationFactory"/> that returns <see cref="SamplingOptions"/> sets what
/// <see cref="ChatOptions"/> have no field for.
/// </summary>
public sealed class LazyLlmChatClient : IChatClient
{
    /// <summary>
    /// The key in <see cref="ChatOptions.AdditionalProperties"/> of a request's pruning schedule: a
    /// <see cref="PruningSchedule"/> or its text form.
    /// </summary>
    public const string PruningProperty = "pruning";

    /// <summary>The key in the final update's (or the response's) additional properties of the run's <see cref="RunStatistics"/>.</summary>
    public const string StatisticsProperty = "lazyllm.statistics";

    private readonly LlamaEngine _engine;
    private readonly TextTokenizer _tokenizer;
    private readonly ChatTemplate _template;
    private readonly Scheduler _scheduler;
    private readonly PruningSchedule _pruning;
    private readonly SamplingOptions _sampling;
    private readonly string _model;
    private readonly ChatClientMetadata _metadata;
    private readonly bool _ownsEngine;

    /// <summary>Creates a client with a scheduler of its own.</summary>
    /// <param name="engine">The model; its folder must have a tokenizer.</param>
    /// <param name="pruning">The schedule of requests that name none; the dense model where null.</param>
    /// <param name="scheduling">The scheduler's limits; defaults where null.</param>
    /// <param name="ownsEngine">Whether disposing the client disposes the engine.</param>
    /// <param name="sampling">
    /// What holds where a request's <see cref="ChatOptions"/> are silent: greedy where null; <see cref="LlamaEngine.AdvisedSampling"/>
    /// for what the model's makers advise.
    /// </param>
    /// <exception cref="InvalidOptionException">The model has no tokenizer, or the schedule does not fit it.</exception>
    public LazyLlmChatClient(LlamaEngine engine, PruningSchedule? pruning = null, SchedulerOptions? scheduling = null, bool ownsEngine = false, SamplingOptions? sampling = null)
    {
        ArgumentNullException.ThrowIfNull(engine);
        _engine = engine;
        _tokenizer = engine.RequireTokenizer();
        _template = ChatTemplate.For(_tokenizer);
        _pruning = pruning ?? PruningSchedule.None;
        _pruning.PlanFor(engine.Config.LayerCount);
        _sampling = sampling ?? new SamplingOptions();
        _sampling.Validate(engine.Config.VocabularySize);
        _model = engine.Folder.Name;
        _metadata = new ChatClientMetadata("lazyllm", null, _model);
        _scheduler = new Scheduler(engine, scheduling);
        _ownsEngine = ownsEngine;
    }

    /// <inheritdoc/>
    public async Task<ChatResponse> GetResponseAsync(IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        await using ScheduledAnswer answer = _scheduler.Submit(Request(messages, options), cancellationToken);
        var text = new StringBuilder();
        FinishReason finish = FinishReason.None;
        await foreach (GeneratedToken token in answer.ReadAllAsync(cancellationToken).ConfigureAwait(false))
        {
            text.Append(token.Text);
            finish = token.Finish;
        }

        string id = NewId();
        return new ChatResponse(new ChatMessage(ChatRole.Assistant, text.ToString()) { MessageId = id })
        {
            ResponseId = id,
            ModelId = _model,
            CreatedAt = DateTimeOffset.UtcNow,
            FinishReason = Reason(finish),
            Usage = Usage(answer),
            AdditionalProperties = new AdditionalPropertiesDictionary { [StatisticsProperty] = answer.Statistics },
        };
    }

    /// <inheritdoc/>
    public IAsyncEnumerable<ChatResponseUpdate> GetStreamingResponseAsync(IEnumerable<ChatMessage> messages, ChatOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);
        return StreamAsync(messages, options, cancellationToken);
    }

    /// <summary>This client, its metadata, engine, scheduler or tokenizer, by type.</summary>
    public object? GetService(Type serviceType, object? serviceKey = null)
    {
        ArgumentNullException.ThrowIfNull(serviceType);
        return serviceKey is not null ? null
            : new object[] { this, _metadata, _engine, _scheduler, _tokenizer }.FirstOrDefault(serviceType.IsInstanceOfType);
    }

    /// <summary>Cancels what runs, stops the scheduler, and disposes the engine where the client owns it.</summary>
    public void Dispose()
    {
        _scheduler.Dispose();
        if (_ownsEngine)
        {
            _engine.Dispose();
        }
    }

    private static string NewId() => $"chatcmpl-{Guid.NewGuid():N}";

    private static ChatFinishReason Reason(FinishReason finish) => finish == FinishReason.Stop ? ChatFinishReason.Stop : ChatFinishReason.Length;

    private static UsageDetails Usage(ScheduledAnswer answer) => new()
    {
        InputTokenCount = answer.Request.Tokens.Length,
        OutputTokenCount = answer.GeneratedTokens,
        TotalTokenCount = answer.Request.Tokens.Length + answer.GeneratedTokens,
        CachedInputTokenCount = answer.ReusedTokens,
    };

    private async IAsyncEnumerable<ChatResponseUpdate> StreamAsync(IEnumerable<ChatMessage> messages, ChatOptions? options, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using ScheduledAnswer answer = _scheduler.Submit(Request(messages, options), cancellationToken);
        string id = NewId();
        FinishReason finish = FinishReason.None;
        await foreach (GeneratedToken token in answer.ReadAllAsync(cancellationToken).ConfigureAwait(false))
        {
            finish = token.Finish;
            if (token.Text.Length > 0)
            {
                yield return Update([new TextContent(token.Text)]);
            }
        }

        ChatResponseUpdate last = Update([new UsageContent(Usage(answer))]);
        last.FinishReason = Reason(finish);
        last.AdditionalProperties = new AdditionalPropertiesDictionary { [StatisticsProperty] = answer.Statistics };
        yield return last;

        ChatResponseUpdate Update(IList<AIContent> contents) => new(ChatRole.Assistant, contents)
        {
            ResponseId = id,
            MessageId = id,
            ModelId = _model,
            CreatedAt = DateTimeOffset.UtcNow,
        };
    }

    private static EngineChatMessage Message(ChatMessage message, int index)
    {
        if (message is null)
        {
            throw new InvalidOptionException("messages", $"message {index} is null.");
        }

        if (message.Contents.FirstOrDefault(c => c is not TextContent) is AIContent other)
        {
            throw new InvalidOptionException("messages", $"found {other.GetType().Name}, expected TextContent alone: the model reads text.");
        }

        EngineChatRole role = message.Role == ChatRole.System ? EngineChatRole.System
            : message.Role == ChatRole.User ? EngineChatRole.User
            : message.Role == ChatRole.Assistant ? EngineChatRole.Assistant
            : throw new InvalidOptionException("messages", $"found the role '{message.Role}', expected system, user or assistant.");
        return new EngineChatMessage(role, message.Text);
    }

    private GenerationRequest Request(IEnumerable<ChatMessage> messages, ChatOptions? options)
    {
        ArgumentNullException.ThrowIfNull(messages);
        long arrival = Stopwatch.GetTimestamp();
        if (options is not null)
        {
            UnsupportedOptions.Refuse(options, _model);
        }

        EngineChatMessage[] chat = [.. messages.Select(Message)];
        if (options?.Instructions is { Length: > 0 } instructions)
        {
            chat = chat is [{ Role: EngineChatRole.System } system, ..]
                ? [system with { Text = $"{instructions}\n{system.Text}" }, .. chat[1..]]
                : [new EngineChatMessage(EngineChatRole.System, instructions), .. chat];
        }

        object? pruning = null;
        options?.AdditionalProperties?.TryGetValue(PruningProperty, out pruning);
        SamplingOptions sampling = options?.RawRepresentationFactory?.Invoke(this) as SamplingOptions ?? _sampling;
        int[] tokens = _template.Encode(_tokenizer, chat);
        return new GenerationRequest
        {
            Tokens = tokens,
            SharedPrefix = _template.SystemPrefix(_tokenizer, chat, tokens),
            Schedule = pruning switch
            {
                null => _pruning,
                PruningSchedule schedule => schedule,
                string text => PruningSchedule.Parse(text),
                _ => throw new InvalidOptionException(PruningProperty, $"found {pruning.GetType().Name}, expected a PruningSchedule or its text form."),
            },
            Sampling = sampling with
            {
                Temperature = options?.Temperature ?? sampling.Temperature,
                TopP = options?.TopP ?? sampling.TopP,
                TopK = options?.TopK ?? sampling.TopK,
                Seed = options?.Seed is long seed ? unchecked((ulong)seed) : sampling.Seed,
                MaxTokens = options?.MaxOutputTokens ?? sampling.MaxTokens,
                StopStrings = [.. _template.StopStrings, .. (IEnumerable<string>?)options?.StopSequences ?? sampling.StopStrings],
            },
            Arrival = arrival,
            Operation = "chat",
        };
    }
}
