using System.Diagnostics;

namespace LazyLlm.Cli.Output;

/// <summary>
/// One line at the bottom of a terminal that is drawn over as work goes on and wiped when it ends. Work that is done
/// within moments draws nothing. Safe to use from several threads.
/// </summary>
internal sealed class ProgressLine(Terminal terminal) : IDisposable
{
    private const int BarWidth = 24;
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(400);
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(80);

    private readonly Lock _lock = new();
    private long _start = Stopwatch.GetTimestamp();
    private long _drawn;
    private bool _isVisible;

    /// <summary>Draws how far the work is.</summary>
    public void Show(string what, long done, long total, string detail)
    {
        lock (_lock)
        {
            if (Stopwatch.GetElapsedTime(_start) < Patience || (_isVisible && Stopwatch.GetElapsedTime(_drawn) < Interval))
            {
                return;
            }

            double share = total > 0 ? Math.Clamp((double)done / total, 0, 1) : 0;
            int filled = (int)Math.Round(share * BarWidth);
            string text = $"{what} {new string('█', filled)}{new string('░', BarWidth - filled)} {share,4:P0}  {detail}";
            terminal.Error.Write($"\r\e[K{text[..Math.Min(text.Length, terminal.Width - 1)]}");
            _drawn = Stopwatch.GetTimestamp();
            _isVisible = true;
        }
    }

    /// <summary>Wipes the line; the next work starts its time anew.</summary>
    public void Clear()
    {
        lock (_lock)
        {
            if (_isVisible)
            {
                terminal.Error.Write("\r\e[K");
            }

            _isVisible = false;
            _start = Stopwatch.GetTimestamp();
        }
    }

    public void Dispose() => Clear();
}
