using System.Diagnostics;
using System.Globalization;

namespace LazyLlm.Soak;

/// <summary>Samples a process's memory every second, and says whether it has stayed level.</summary>
internal sealed class MemoryWatch(ITraffic traffic)
{
    private readonly long _start = Stopwatch.GetTimestamp();
    private readonly List<(double Seconds, double Resident, double InUse)> _samples = [];

    /// <summary>Samples until it is told to stop.</summary>
    public async Task RunAsync(CancellationToken cancellation)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1));
        try
        {
            while (await timer.WaitForNextTickAsync(cancellation))
            {
                _samples.Add((Stopwatch.GetElapsedTime(_start).TotalSeconds, Resident(), await traffic.BytesInUseAsync() ?? 0));
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    /// <summary>
    /// Compares the first minute after a warm-up of one minute with the last minute; in a short run, the second quarter with
    /// the last.
    /// </summary>
    /// <param name="isLong">Whether the run was long enough for a verdict: a short one tells its figures alone.</param>
    /// <exception cref="SoakFailure">Memory has grown by more than a tenth and 16 MiB.</exception>
    public void Report(bool isLong)
    {
        double length = _samples.Count == 0 ? 0 : _samples[^1].Seconds;
        double window = Math.Min(60, length / 4);
        (double resident, double inUse) before = Middle(s => s >= window && s < 2 * window);
        (double resident, double inUse) after = Middle(s => s >= length - window);
        Console.WriteLine($"resident memory: {before.resident / 1e6:F1} MB from {window:F0} s on, {after.resident / 1e6:F1} MB in the last {window:F0} s, {_samples.Select(s => s.Resident).DefaultIfEmpty().Max() / 1e6:F1} MB at most");
        Console.WriteLine($"in use as told:  {before.inUse / 1e6:F1} MB, {after.inUse / 1e6:F1} MB");
        if (isLong && after.resident > (before.resident * 1.1) + (16 << 20))
        {
            throw new SoakFailure("Resident memory has grown.");
        }

        (double Resident, double InUse) Middle(Func<double, bool> isIn)
        {
            (double Seconds, double Resident, double InUse)[] part = [.. _samples.Where(s => isIn(s.Seconds))];
            return part.Length == 0 ? (0, 0) : (part.Select(s => s.Resident).Order().ElementAt(part.Length / 2), part.Select(s => s.InUse).Order().ElementAt(part.Length / 2));
        }
    }

    private long Resident()
    {
        // Process caches its figures per object, and another process's memory needs no more than this file.
        string status = $"/proc/{traffic.ProcessId}/status";
        if (!File.Exists(status))
        {
            using var process = Process.GetProcessById(traffic.ProcessId);
            return process.WorkingSet64;
        }

        string line = File.ReadLines(status).First(l => l.StartsWith("VmRSS:", StringComparison.Ordinal));
        return long.Parse(line["VmRSS:".Length..^"kB".Length], NumberStyles.AllowLeadingWhite | NumberStyles.AllowTrailingWhite, CultureInfo.InvariantCulture) * 1024;
    }
}
