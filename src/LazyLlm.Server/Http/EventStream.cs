using System.IO.Pipelines;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;

namespace LazyLlm.Server.Http;

/// <summary>
/// Server-sent events of JSON. The response starts with the first event, so that until then an error can still be a status.
/// Kestrel's buffer bounds what a slow reader leaves unread: flushing waits for it then, for a time.
/// </summary>
internal sealed class EventStream(HttpContext context, TimeSpan readerTimeLimit) : IDisposable
{
    private readonly PipeWriter _body = context.Response.BodyWriter;
    private Utf8JsonWriter? _json;

    /// <summary>Whether an event was written.</summary>
    public bool HasStarted => _json is not null;

    /// <summary>Writes one event; it goes out with the next flush.</summary>
    public void Write<T>(T value, JsonTypeInfo<T> type)
    {
        if (_json is null)
        {
            HttpResponse response = context.Response;
            response.ContentType = "text/event-stream; charset=utf-8";
            response.Headers.CacheControl = "no-cache";
            // Tells a proxy in front not to hold events back.
            response.Headers["X-Accel-Buffering"] = "no";
            _json = new Utf8JsonWriter(_body, new JsonWriterOptions { Encoder = type.Options.Encoder, SkipValidation = true });
        }

        Write("data: "u8);
        _json.Reset(_body);
        JsonSerializer.Serialize(_json, value, type);
        _json.Flush();
        Write("\n\n"u8);
    }

    /// <summary>Writes the event that ends a stream well.</summary>
    public void WriteDone() => Write("data: [DONE]\n\n"u8);

    /// <summary>Sends what was written; waits while the reader is slow, and hangs up on one that does not read.</summary>
    public ValueTask FlushAsync(CancellationToken cancellation) => SlowReader.FlushAsync(context, readerTimeLimit, cancellation);

    public void Dispose() => _json?.Dispose();

    private void Write(ReadOnlySpan<byte> bytes)
    {
        bytes.CopyTo(_body.GetSpan(bytes.Length));
        _body.Advance(bytes.Length);
    }
}
