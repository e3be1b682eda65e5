using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Scheduling;
using LazyLlm.Server.Http;
using LazyLlm.Server.Protocol;

namespace LazyLlm.Server.Generation;

/// <summary>Checks requests and makes them what the scheduler takes. Errors name the field.</summary>
internal sealed class RequestReader(ServedModel model)
{
    /// <summary>What OpenAI's API gives a completion that asks for no number.</summary>
    private const int DefaultCompletionTokens = 16;

    private readonly PromptReader _prompts = new(model.Tokenizer, model.Template);

    public GenerationPlan Read(CompletionRequest request, long arrival)
    {
        CheckCommon(request);
        SamplingOptions sampling = Sampling(request, MaxTokens("max_tokens", request.MaxTokens, DefaultCompletionTokens), []);
        PruningSchedule schedule = Schedule(request);
        List<(int[] Tokens, string? Text)> prompts = _prompts.ReadPrompts(request.Prompt, model.Options.ChoiceLimit);
        int answersEach = CountChoices(prompts.Count, request.N) / prompts.Count;
        var requests = new List<GenerationRequest>();
        var echoes = new List<string>();
        foreach ((int[] tokens, string? text) in prompts)
        {
            requests.AddRange(Requests(answersEach, tokens, schedule, sampling, request.SharedPrefix ?? 0, arrival, "text_completion"));
            echoes.AddRange(Enumerable.Repeat(request.Echo == true ? text ?? model.Tokenizer.Decode(tokens) : "", answersEach));
        }

        return Plan(request, [.. requests], [.. echoes], prompts.Sum(prompt => prompt.Tokens.Length));
    }

    public GenerationPlan Read(ChatRequest request, long arrival)
    {
        CheckCommon(request);
        int maxTokens = request.MaxCompletionTokens is int most
            ? MaxTokens("max_completion_tokens", most, most)
            : MaxTokens("max_tokens", request.MaxTokens, model.Options.MaxTokensLimit);
        SamplingOptions sampling = Sampling(request, maxTokens, model.Template.StopStrings);
        PruningSchedule schedule = Schedule(request);
        int answers = CountChoices(1, request.N);
        (int[] tokens, int systemPrefix) = _prompts.ReadChat(request.Messages);
        GenerationRequest[] requests = [.. Requests(answers, tokens, schedule, sampling, request.SharedPrefix ?? systemPrefix, arrival, "chat")];
        return Plan(request, requests, [.. Enumerable.Repeat("", answers)], tokens.Length);
    }

    private static GenerationPlan Plan(GenerationFields request, GenerationRequest[] requests, string[] echoes, int promptTokens) =>
        new(requests, echoes, request.Stream == true, request.StreamOptions?.IncludeUsage == true, promptTokens);

    private void CheckCommon(GenerationFields request)
    {
        if (request.Model is string name && name != model.Name)
        {
            throw ApiException.NoSuchModel(name, model.Name);
        }

        UnsupportedFields.Refuse(request.Others);
    }

    private int CountChoices(int prompts, int? n)
    {
        if (n is < 1)
        {
            throw ApiException.Invalid("n", $"found {n}, expected 1 or more.");
        }

        long count = (long)prompts * (n ?? 1);
        return count <= model.Options.ChoiceLimit
            ? (int)count
            : throw PromptReader.TooManyAnswers(n > 1 ? "n" : "prompt", count, model.Options.ChoiceLimit);
    }

    private int MaxTokens(string field, int? given, int otherwise)
    {
        int limit = model.Options.MaxTokensLimit;
        if (given is < 1 || given > limit)
        {
            throw ApiException.Invalid(field, $"found {given}, expected 1 to {limit}, the server's limit.");
        }

        return given ?? Math.Min(otherwise, limit);
    }

    private static SamplingOptions Sampling(GenerationFields request, int maxTokens, IReadOnlyList<string> templateStops)
    {
        var sampling = new SamplingOptions
        {
            Temperature = request.Temperature ?? 0,
            TopP = request.TopP ?? 1,
            // Other servers write "all" as -1.
            TopK = request.TopK is -1 ? 0 : request.TopK ?? 0,
            MinP = request.MinP ?? 0,
            RepetitionPenalty = request.RepetitionPenalty ?? 1,
            Seed = request.Seed is long seed ? unchecked((ulong)seed) : null,
            MaxTokens = maxTokens,
            IgnoreEndTokens = request.IgnoreEos == true,
            StopStrings = JsonValues.TextOrTexts(request.Stop, "stop"),
        };
        sampling.Validate();
        return templateStops.Count == 0 ? sampling : sampling with { StopStrings = [.. sampling.StopStrings, .. templateStops] };
    }

    private PruningSchedule Schedule(GenerationFields request)
    {
        if (request.Pruning is null)
        {
            return model.Options.Pruning;
        }

        PruningSchedule schedule = PruningSchedule.Parse(request.Pruning);
        schedule.PlanFor(model.Engine.Config.LayerCount);
        return schedule;
    }

    /// <summary>Answers to one prompt: where they are drawn they differ, and the first is that of a request for one.</summary>
    private IEnumerable<GenerationRequest> Requests(int count, int[] tokens, PruningSchedule schedule, SamplingOptions sampling, int sharedPrefix, long arrival, string operation)
    {
        for (uint i = 0; i < count; i++)
        {
            yield return new GenerationRequest
            {
                Tokens = tokens,
                Schedule = schedule,
                Sampling = sampling.Seed is ulong seed ? sampling with { Seed = unchecked(seed + i) } : sampling,
                SharedPrefix = sharedPrefix,
                Arrival = arrival,
                Operation = operation,
                Model = model.Name,
            };
        }
    }
}
