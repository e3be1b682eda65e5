using System.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Scheduling;

namespace LazyLlm.Native.Diagnostics;

/// <summary>What one request tells meters and tracers on its way. Costs no memory while nobody listens.</summary>
internal readonly struct RequestTelemetry
{
    private const string Provider = "lazyllm";

    private static readonly ActivitySource Source = new(EngineMetrics.MeterName);

    private readonly Activity? _activity;
    private readonly GenerationRequest _request;
    private readonly string _model;

    /// <summary>Opens the request's span as a child of the caller's, if somebody listens.</summary>
    /// <param name="request">What was asked.</param>
    /// <param name="model">The model's name.</param>
    /// <param name="age">How long ago the request arrived.</param>
    public RequestTelemetry(GenerationRequest request, string model, TimeSpan age)
    {
        _request = request;
        _model = model;
        _activity = Source.HasListeners() ? Start(request, model, age) : null;
    }

    /// <summary>Counts a request that was not taken.</summary>
    public static void RecordRefusal(GenerationRequest request, string model, LazyLlmException error)
    {
        TagList tags = Tags(request, model);
        tags.Add("error.type", ErrorType(error));
        RequestMetrics.RecordEnd("refused", tags);
    }

    /// <summary>The request left the queue, and its prefill begins.</summary>
    public void Admit(TimeSpan queueTime, int reusedTokens)
    {
        RequestMetrics.RecordQueue(queueTime, Tags(_request, _model));
        RequestMetrics.RecordReuse(reusedTokens);
        if (_activity is not null)
        {
            _activity.SetTag("lazyllm.queue.duration", queueTime.TotalSeconds).SetTag("lazyllm.reused_tokens", reusedTokens);
            _activity.AddEvent(new ActivityEvent("lazyllm.prefill"));
        }
    }

    /// <summary>The prefill is over, and tokens follow one by one.</summary>
    public void BeginDecode() => _activity?.AddEvent(new ActivityEvent("lazyllm.decode"));

    /// <summary>The first token came.</summary>
    public void RecordFirstToken(TimeSpan time)
    {
        RequestMetrics.RecordFirstToken(time, Tags(_request, _model));
        _activity?.AddEvent(new ActivityEvent("lazyllm.first_token"));
    }

    /// <summary>The request is over.</summary>
    /// <param name="age">How long ago it arrived.</param>
    /// <param name="statistics">Its figures; null if it never ran.</param>
    /// <param name="finish">Why it finished; <see cref="FinishReason.None"/> where it did not.</param>
    /// <param name="failure">Why it did not.</param>
    public void End(TimeSpan age, RunStatistics? statistics, FinishReason finish, Exception? failure)
    {
        TagList tags = Tags(_request, _model);
        if (failure is null && statistics is { GeneratedTokens: > 1 })
        {
            RequestMetrics.RecordTimePerToken(statistics.TimePerOutputToken, tags);
        }

        string? errorType = failure is null ? null : ErrorType(failure);
        if (errorType is not null)
        {
            tags.Add("error.type", errorType);
        }

        RequestMetrics.RecordDuration(age, tags);
        RequestMetrics.RecordEnd(Outcome(finish, failure), tags);
        if (_activity is not null)
        {
            Stop(_activity, statistics, finish, errorType, failure);
        }
    }

    private static TagList Tags(GenerationRequest request, string model)
    {
        TagList tags = default;
        tags.Add("gen_ai.operation.name", request.Operation);
        tags.Add("gen_ai.provider.name", Provider);
        tags.Add("gen_ai.request.model", model);
        tags.Add("lazyllm.pruning", request.Schedule.IsDense ? "dense" : "pruned");
        return tags;
    }

    private static string Outcome(FinishReason finish, Exception? failure) => failure switch
    {
        null => FinishName(finish),
        OperationCanceledException => "cancelled",
        TimeLimitException => "timeout",
        _ => "failed",
    };

    private static string FinishName(FinishReason finish) => finish switch
    {
        FinishReason.Stop => "stop",
        FinishReason.Length => "length",
        FinishReason.Context => "context",
        _ => "none",
    };

    private static string ErrorType(Exception error) => error switch
    {
        OperationCanceledException => "cancelled",
        TimeLimitException => "timeout",
        _ => error.GetType().FullName!,
    };

    private static Activity? Start(GenerationRequest request, string model, TimeSpan age)
    {
        Activity? callers = Activity.Current;
        Activity? activity = Source.StartActivity(
            ActivityKind.Internal,
            tags:
            [
                new("gen_ai.operation.name", request.Operation),
                new("gen_ai.provider.name", Provider),
                new("gen_ai.request.model", model),
                new("lazyllm.pruning.schedule", request.Schedule.ToString()),
            ],
            startTime: DateTimeOffset.UtcNow - age,
            name: $"{request.Operation} {model}");

        // The span belongs to the request, not to what its caller does next.
        Activity.Current = callers;
        if (activity is { IsAllDataRequested: true })
        {
            activity.SetTag("gen_ai.usage.input_tokens", request.Tokens.Length);
            activity.SetTag("gen_ai.request.temperature", request.Sampling.Temperature);
            activity.SetTag("gen_ai.request.top_p", request.Sampling.TopP);
            if (request.Sampling.MaxTokens is int maxTokens)
            {
                activity.SetTag("gen_ai.request.max_tokens", maxTokens);
            }

            activity.AddEvent(new ActivityEvent("lazyllm.queue"));
        }

        return activity;
    }

    private static void Stop(Activity activity, RunStatistics? statistics, FinishReason finish, string? errorType, Exception? failure)
    {
        if (statistics is not null)
        {
            activity.SetTag("gen_ai.usage.output_tokens", statistics.GeneratedTokens);
            activity.SetTag("lazyllm.time_to_first_token", statistics.TimeToFirstToken.TotalSeconds);
            activity.SetTag("lazyllm.computed_share", statistics.ComputedShare);
            activity.SetTag("lazyllm.revived_positions", statistics.Stages.Sum(stage => stage.Revived));
        }

        if (failure is null)
        {
            activity.SetTag("gen_ai.response.finish_reasons", new[] { FinishName(finish) });
        }
        else
        {
            activity.SetTag("error.type", errorType);
            activity.SetStatus(ActivityStatusCode.Error, failure.Message);
        }

        // This is the scheduler's thread; stopping would leave the caller's span on it.
        Activity? current = Activity.Current;
        activity.Stop();
        Activity.Current = current;
    }
}
