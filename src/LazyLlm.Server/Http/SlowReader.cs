using System.IO.Pipelines;
using Microsoft.AspNetCore.Http;

namespace LazyLlm.Server.Http;

/// <summary>
/// Bounds how long a client may leave a full buffer unread: meanwhile its request holds a place and memory that others
/// wait for. (Kestrel's own limit counts all bytes at its least rate, which allows an hour for a few megabytes.)
/// </summary>
internal static class SlowReader
{
    /// <summary>Sends what was written to the response's body; waits while the reader is slow, and closes the connection of one that does not read.</summary>
    public static ValueTask FlushAsync(HttpContext context, TimeSpan limit, CancellationToken cancellation)
    {
        ValueTask<FlushResult> flush = context.Response.BodyWriter.FlushAsync(cancellation);
        if (!flush.IsCompletedSuccessfully)
        {
            return WaitAsync(context, limit, flush);
        }

        _ = flush.Result;
        return ValueTask.CompletedTask;
    }

    private static async ValueTask WaitAsync(HttpContext context, TimeSpan limit, ValueTask<FlushResult> flush)
    {
        using var watch = new Timer(static context => ((HttpContext)context!).Abort(), context, limit, Timeout.InfiniteTimeSpan);
        await flush.ConfigureAwait(false);
    }
}
