using LazyLlm.Server.Http;
using LazyLlm.Server.Protocol;
using Microsoft.AspNetCore.Http;

namespace LazyLlm.Server.Generation;

/// <summary>Chat answers.</summary>
internal sealed class ChatForm(string model) : AnswerForm("chatcmpl", model)
{
    private const string ChunkObject = "chat.completion.chunk";

    public override void WriteOpening(EventStream stream, int index) => Write(stream, [new ChatChunkChoice(index, new ChatDelta("assistant", ""))]);

    public override void WriteText(EventStream stream, int index, string text) => Write(stream, [new ChatChunkChoice(index, new ChatDelta(Content: text))]);

    public override void WriteFinish(EventStream stream, int index, string reason, Timings timings) =>
        Write(stream, [new ChatChunkChoice(index, new ChatDelta(), reason)], timings: timings);

    public override void WriteUsage(EventStream stream, Usage usage) => Write(stream, [], usage);

    public override Task WriteWholeAsync(HttpResponse response, (string Text, string Reason)[] choices, Usage usage, Timings timings)
    {
        ChatChoice[] list = [.. choices.Select((choice, i) => new ChatChoice(i, new ChatAnswer("assistant", choice.Text), choice.Reason))];
        return response.WriteJsonAsync(200, new ChatResponse(Id, "chat.completion", Created, Model, list, usage, timings), ProtocolJson.Wire.ChatResponse);
    }

    private void Write(EventStream stream, ChatChunkChoice[] choices, Usage? usage = null, Timings? timings = null) =>
        stream.Write(new ChatChunk(Id, ChunkObject, Created, Model, choices, usage, timings), ProtocolJson.Wire.ChatChunk);
}
