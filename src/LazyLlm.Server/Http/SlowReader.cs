using Microsoft.AspNetCore.Http;

namespace LazyLlm.Server.Http;

/// <summary>
/// Bounds how long a client may leave a full buffer unread: meanwhile its request holds a place and memory that others
/// wait for. (Kestrel's own limit counts all bytes at its least rate, which allows an hour for a few megabytes.)
/// </summary>
internal static class SlowReader
{
    /// <summary>Closes the connection unless the watch is disposed within its time.</summary>
    public static Timer Watch(HttpContext context, TimeSpan limit) =>
        new(static context => ((HttpContext)context!).Abort(), context, limit, Timeout.InfiniteTimeSpan);
}
