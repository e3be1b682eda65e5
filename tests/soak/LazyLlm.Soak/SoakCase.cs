using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Scheduling;

namespace LazyLlm.Soak;

/// <summary>A request and its right answer, which a session of its own gave.</summary>
internal sealed record SoakCase(GenerationRequest Request, string Schedule, int[] Tokens, string[] Pieces)
{
    private static readonly string[] Schedules = ["none", "none", "{1/3}:0.1;recent=8", "{1/3}:0.3", "{1/3}:0.6,{2/3}:0.3", "{1/2}:0.5;revive=no", "paper"];

    /// <summary>The whole answer.</summary>
    public string Text => string.Concat(Pieces);

    /// <summary>Draws requests of many kinds, and answers each alone.</summary>
    /// <param name="engine">The model.</param>
    /// <param name="count">How many.</param>
    /// <param name="longest">The longest prompt, in tokens.</param>
    /// <param name="mostTokens">The longest answer.</param>
    /// <param name="seed">Equal seeds give equal cases.</param>
    public static SoakCase[] Draw(LlamaEngine engine, int count, int longest, int mostTokens, int seed)
    {
        var random = new Random(seed);
        int layers = engine.Config.LayerCount;
        return [.. Enumerable.Range(0, count).Select(_ =>
        {
            string schedule = Schedules[random.Next(Schedules.Length)]
                .Replace("{1/3}", $"{layers / 3}", StringComparison.Ordinal)
                .Replace("{1/2}", $"{layers / 2}", StringComparison.Ordinal)
                .Replace("{2/3}", $"{layers * 2 / 3}", StringComparison.Ordinal);
            int length = 1 + random.Next(1 + (random.Next(4) == 0 ? longest : longest / 8));

            // One of three documents for all, so that callers share beginnings.
            var document = new Random(random.Next(3));
            int shared = random.Next(3) == 0 && length > 20 ? 16 : 0;
            int[] tokens = [.. Enumerable.Range(0, length).Select(i => i == 0 ? engine.Config.BeginToken ?? 1 : (i < 16 ? document : random).Next(3, engine.Config.VocabularySize))];
            var request = new GenerationRequest
            {
                Tokens = tokens,
                Schedule = PruningSchedule.Parse(schedule),
                SharedPrefix = shared,
                Sampling = new SamplingOptions
                {
                    Temperature = random.Next(2),
                    Seed = (ulong)random.Next(1000),
                    MaxTokens = 1 + random.Next(mostTokens),
                    IgnoreEndTokens = true,
                },
            };
            GeneratedToken[] answer = Alone(engine, request);
            return new SoakCase(request, schedule, [.. answer.Select(t => t.Id)], [.. answer.Select(t => t.Text)]);
        })];
    }

    private static GeneratedToken[] Alone(LlamaEngine engine, GenerationRequest request)
    {
        using Session session = engine.CreateSession(request.Schedule);
        if (request.SharedPrefix > 0)
        {
            session.Step(request.Tokens.Span[..request.SharedPrefix]);
        }

        session.Append(request.Tokens.Span[request.SharedPrefix..]);
        return [.. session.GenerateAsync(request.Sampling).ToBlockingEnumerable()];
    }
}
