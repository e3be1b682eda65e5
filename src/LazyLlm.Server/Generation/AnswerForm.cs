using LazyLlm.Server.Http;
using LazyLlm.Server.Protocol;

namespace LazyLlm.Server.Generation;

/// <summary>How the answers of one request look on the wire.</summary>
internal abstract class AnswerForm(string idPrefix, string model)
{
    protected string Id { get; } = $"{idPrefix}-{Guid.NewGuid():N}";

    protected long Created { get; } = DateTimeOffset.UtcNow.ToUnixTimeSeconds();

    protected string Model { get; } = model;

    /// <summary>Opens one choice of a stream.</summary>
    public abstract void WriteOpening(EventStream stream, int index);

    /// <summary>A piece of one choice's text.</summary>
    public abstract void WriteText(EventStream stream, int index, string text);

    /// <summary>The end of one choice.</summary>
    public abstract void WriteFinish(EventStream stream, int index, string reason, Timings timings);

    /// <summary>The token counts of all choices, after the last one.</summary>
    public abstract void WriteUsage(EventStream stream, Usage usage);

    /// <summary>A whole answer.</summary>
    public abstract Task WriteWholeAsync(Microsoft.AspNetCore.Http.HttpResponse response, (string Text, string Reason)[] choices, Usage usage, Timings timings);
}
