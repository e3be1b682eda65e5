using System.CommandLine;
using System.Text;
using LazyLlm.Cli.Options;
using LazyLlm.Cli.Output;
using LazyLlm.Cli.Tracing;
using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;

namespace LazyLlm.Cli.Commands;

/// <summary><c>lazyllm compare</c>: the same prompt under several schedules.</summary>
internal sealed class CompareCommand
{
    private readonly ModelFlags _model = new();
    private readonly PromptFlags _prompt = new();
    private readonly SamplingFlags _sampling = new(defaultMaxTokens: 32);
    private readonly Option<string[]> _prune = new("--prune", "-p")
    {
        Description = "A pruning schedule to compare with the dense model; may be given several times. 'paper' and 'fast' by default.",
        HelpName = "SCHEDULE",
    };

    private readonly Option<bool> _noWarmUp = new("--no-warm-up") { Description = "Skip the run of the prompt that is not timed; the first schedule's time then includes compiling the code." };
    private readonly Option<bool> _json = new("--json") { Description = "Write answers and figures as JSON." };

    private CompareCommand()
    {
    }

    public static Command Create(Terminal terminal)
    {
        var compare = new CompareCommand();
        var command = new Command("compare", "Answer the same prompt under several schedules: answers, times, work, memory.") { compare._prune, compare._noWarmUp, compare._json };
        compare._prompt.AddTo(command);
        compare._model.AddTo(command);
        compare._sampling.AddTo(command);
        command.SetAction((arguments, cancellation) => compare.RunAsync(arguments, terminal, cancellation));
        return command;
    }

    private async Task<int> RunAsync(ParseResult arguments, Terminal terminal, CancellationToken cancellation)
    {
        string[] named = arguments.GetValue(_prune) is { Length: > 0 } given ? given : ["paper", "fast"];
        PruningSchedule[] schedules = [.. named.Select(PruningSchedule.Parse).Prepend(PruningSchedule.None).Distinct()];
        SamplingOptions sampling = _sampling.Read(arguments);
        Prompt prompt = _prompt.Read(arguments, terminal);
        var notes = new Notes(terminal, arguments);
        using LlamaEngine engine = await _model.LoadAsync(arguments, notes, cancellation).ConfigureAwait(false);
        int[] tokens = prompt.Encode(engine);
        foreach (PruningSchedule schedule in schedules)
        {
            // A schedule that does not fit the model is told of before the others have run.
            schedule.PlanFor(engine.Config.LayerCount);
        }

        using Notes.PrefillBar? bar = notes.CreatePrefillBar();
        if (!arguments.GetValue(_noWarmUp))
        {
            foreach (PruningSchedule schedule in schedules)
            {
                await AnswerAsync(engine, schedule, tokens, sampling with { MaxTokens = 2 }, bar, cancellation).ConfigureAwait(false);
            }
        }

        var answers = new List<Answered>();
        foreach (PruningSchedule schedule in schedules)
        {
            answers.Add(await AnswerAsync(engine, schedule, tokens, sampling, bar, cancellation).ConfigureAwait(false));
        }

        if (arguments.GetValue(_json))
        {
            JsonText.Write(terminal.Out, json => WriteJson(json, engine, tokens, answers));
        }
        else
        {
            WriteTable(terminal.Out, answers);
        }

        foreach (PruningSchedule schedule in notes.IsQuiet ? [] : schedules.Where(schedule => !schedule.Equals(PruningSchedule.None)))
        {
            PruningTrace trace = PruningTrace.Record(engine, schedule, tokens, 1, bar, cancellation);
            notes.Write($"\n{schedule}");
            notes.Draw(console => SurvivalMap.Draw(console, trace));
        }

        return ExitCode.Success;
    }

    private static async Task<Answered> AnswerAsync(LlamaEngine engine, PruningSchedule schedule, int[] tokens, SamplingOptions sampling, IProgress<PrefillProgress>? progress, CancellationToken cancellation)
    {
        using Session session = engine.CreateSession(schedule);
        session.PrefillProgress = progress;
        session.Append(tokens);
        RunStatistics? prefill = null;
        var text = new StringBuilder();
        var ids = new List<int>();
        await foreach (GeneratedToken token in session.GenerateAsync(sampling, cancellation).ConfigureAwait(false))
        {
            prefill ??= session.Statistics;
            text.Append(token.Text);
            ids.Add(token.Id);
        }

        return new Answered(schedule, engine.Tokenizer is null ? string.Join(',', ids) : text.ToString(), [.. ids], prefill!, session.Statistics);
    }

    private static void WriteTable(TextWriter output, List<Answered> answers)
    {
        RunStatistics dense = answers[0].Prefill;
        var table = new TextTable();
        table.Add("schedule", "first token", "speed-up", "pairs", "K/V", "Aux", "per token");
        table.AddRule();
        foreach (Answered answer in answers)
        {
            table.Add(
                Clip(answer.Schedule.ToString(), 24),
                Units.Time(answer.Prefill.TimeToFirstToken),
                Units.Ratio(dense.TimeToFirstToken / answer.Prefill.TimeToFirstToken),
                Units.Share(answer.Prefill.ComputedShare),
                Units.Bytes(answer.Prefill.KeyValueBytes),
                answer.Prefill.Stages.Length == 1 ? "-" : Units.Bytes(answer.Prefill.AuxBytes),
                answer.Whole.GeneratedTokens < 2 ? "-" : Units.Time(answer.Whole.TimePerOutputToken));
        }

        table.WriteTo(output);
        output.WriteLine();
        output.WriteLine($"{Units.Count(dense.PromptTokens)} prompt tokens. Pairs: (token, layer) pairs of the prompt computed, against dense.");
        foreach (Answered answer in answers)
        {
            output.WriteLine();
            output.WriteLine($"[{answer.Schedule}]{(answer.Ids.AsSpan().SequenceEqual(answers[0].Ids) && answer != answers[0] ? " the same as dense" : "")}");
            output.WriteLine(answer.Text.Trim());
        }
    }

    private static void WriteJson(System.Text.Json.Utf8JsonWriter json, LlamaEngine engine, int[] tokens, List<Answered> answers)
    {
        json.WriteString("device", engine.DeviceName);
        json.WriteNumber("prompt_tokens", tokens.Length);
        json.WriteStartArray("runs");
        foreach (Answered answer in answers)
        {
            json.WriteStartObject();
            json.WriteString("schedule", answer.Schedule.ToString());
            json.WriteString("text", answer.Text);
            json.WriteNumbers("token_ids", answer.Ids);
            json.WriteBoolean("same_as_dense", answer.Ids.AsSpan().SequenceEqual(answers[0].Ids));
            json.WriteNumber("speed_up", Math.Round(answers[0].Prefill.TimeToFirstToken / answer.Prefill.TimeToFirstToken, 4));
            json.WriteStatistics("prefill", answer.Prefill);
            json.WriteStatistics("statistics", answer.Whole);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static string Clip(string text, int length) => text.Length > length ? $"{text[..(length - 1)]}…" : text;

    /// <summary>One schedule's answer, the figures when its first token came, and those of the whole.</summary>
    private sealed record Answered(PruningSchedule Schedule, string Text, int[] Ids, RunStatistics Prefill, RunStatistics Whole);
}
