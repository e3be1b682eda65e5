using System.Buffers;
using System.Text.Json;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Scheduling;
using LazyLlm.Native.Tokenizers;
using LazyLlm.Server.Http;
using Microsoft.AspNetCore.Http;

namespace LazyLlm.Server.Monitor;

/// <summary>
/// Runs a prompt dense and then pruned, through the scheduler like any other request, and writes what comes as lines of
/// JSON. One after the other: side by side each would slow the other's first token.
/// </summary>
internal sealed class Comparison
{
    private const int StandardTokens = 32;
    private const int MostTokens = 1_024;

    // The first run of a process pays for what is compiled and read on first use: code, kernels, weights.
    private static int s_isWarm;

    private readonly ServedModel _model;
    private readonly (string Name, GenerationRequest Request)[] _runs;
    private readonly string[] _tokenTexts;

    /// <summary>Prepares the two runs.</summary>
    /// <exception cref="InvalidOptionException">Something that was asked for is not acceptable.</exception>
    public Comparison(ServedModel model, ComparisonRequest request)
    {
        TextTokenizer tokenizer = model.Tokenizer;
        if (string.IsNullOrEmpty(request.Prompt))
        {
            throw new InvalidOptionException("prompt", "found no text, expected some.");
        }

        int mostTokens = Math.Min(MostTokens, model.Options.MaxTokensLimit);
        int maxTokens = request.MaxTokens ?? Math.Min(StandardTokens, mostTokens);
        if (maxTokens < 1 || maxTokens > mostTokens)
        {
            throw new InvalidOptionException("tokens to generate", $"found {maxTokens}, expected 1 to {mostTokens}.");
        }

        PruningSchedule pruned = string.IsNullOrWhiteSpace(request.Pruning) ? model.Options.Pruning : PruningSchedule.Parse(request.Pruning);
        pruned.PlanFor(model.Engine.Config.LayerCount);
        ChatTemplate? template = request.Chat ? model.Template : null;
        int[] tokens = template is null ? tokenizer.Encode(request.Prompt) : template.Encode(tokenizer, [new ChatMessage(ChatRole.User, request.Prompt)]);
        var dense = new GenerationRequest
        {
            Tokens = tokens,
            Sampling = new SamplingOptions { MaxTokens = maxTokens, StopStrings = template?.StopStrings ?? [] },
            Tracing = true,
            Operation = request.Chat ? "chat" : "text_completion",
            Model = model.Name,
        };
        _model = model;
        _runs = [("dense", dense), ("pruned", dense with { Schedule = pruned })];
        _tokenTexts = tokenizer.SplitText(tokens);
    }

    /// <summary>Runs both. An error of the first before its first token is thrown; a later one is written.</summary>
    public async Task WriteAsync(HttpResponse response, CancellationToken cancellation)
    {
        bool isFirst = Interlocked.Exchange(ref s_isWarm, 1) == 0;
        foreach ((string name, GenerationRequest request) in isFirst ? [.. _runs.Select(run => ("warm", run.Request)), .. _runs] : _runs)
        {
            try
            {
                await using ScheduledAnswer answer = _model.Scheduler.Submit(request, cancellation);
                if (!response.HasStarted)
                {
                    response.ContentType = "application/x-ndjson";
                    response.Headers.CacheControl = "no-store";
                    await WriteLineAsync(response, new ComparisonEvent { Event = "prompt", Tokens = _tokenTexts }, cancellation);
                }

                if (name == "warm")
                {
                    await WriteLineAsync(response, new ComparisonEvent { Event = name }, cancellation);
                    await foreach (GeneratedToken _ in answer.ReadAllAsync(cancellation))
                    {
                    }

                    continue;
                }

                await WriteLineAsync(response, new ComparisonEvent { Event = "begin", Run = name, Schedule = request.Schedule.ToString() }, cancellation);
                await foreach (GeneratedToken token in answer.ReadAllAsync(cancellation))
                {
                    await WriteLineAsync(response, new ComparisonEvent { Event = "token", Run = name, Text = token.Text }, cancellation);
                }

                await WriteLineAsync(response, new ComparisonEvent { Event = "end", Run = name, Figures = ComparisonFigures.From(answer) }, cancellation);
            }
            catch (LazyLlmException error) when (response.HasStarted)
            {
                _model.NoteFault(error);
                await WriteLineAsync(response, new ComparisonEvent { Event = "error", Run = name, Message = error.Message }, cancellation);
                return;
            }
        }
    }

    private ValueTask WriteLineAsync(HttpResponse response, ComparisonEvent line, CancellationToken cancellation)
    {
        response.BodyWriter.Write(JsonSerializer.SerializeToUtf8Bytes(line, MonitorJson.Default.ComparisonEvent));
        response.BodyWriter.Write("\n"u8);
        return SlowReader.FlushAsync(response.HttpContext, _model.Options.ReaderTimeLimit, cancellation);
    }
}
