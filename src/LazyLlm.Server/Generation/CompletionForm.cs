using LazyLlm.Server.Http;
using LazyLlm.Server.Protocol;
using Microsoft.AspNetCore.Http;

namespace LazyLlm.Server.Generation;

/// <summary>Completions, which may begin with their prompt.</summary>
internal sealed class CompletionForm(string model, string[] echoes) : AnswerForm("cmpl", model)
{
    private const string ObjectName = "text_completion";

    public override void WriteOpening(EventStream stream, int index)
    {
        if (echoes[index].Length > 0)
        {
            WriteText(stream, index, echoes[index]);
        }
    }

    public override void WriteText(EventStream stream, int index, string text) => Write(stream, [new CompletionChoice(text, index)]);

    public override void WriteFinish(EventStream stream, int index, string reason, Timings timings) =>
        Write(stream, [new CompletionChoice("", index, reason)], timings: timings);

    public override void WriteUsage(EventStream stream, Usage usage) => Write(stream, [], usage);

    public override Task WriteWholeAsync(HttpResponse response, (string Text, string Reason)[] choices, Usage usage, Timings timings)
    {
        CompletionChoice[] list = [.. choices.Select((choice, i) => new CompletionChoice(echoes[i] + choice.Text, i, choice.Reason))];
        return response.WriteJsonAsync(200, new CompletionResponse(Id, ObjectName, Created, Model, list, usage, timings), ProtocolJson.Wire.CompletionResponse);
    }

    private void Write(EventStream stream, CompletionChoice[] choices, Usage? usage = null, Timings? timings = null) =>
        stream.Write(new CompletionResponse(Id, ObjectName, Created, Model, choices, usage, timings), ProtocolJson.Wire.CompletionResponse);
}
