using System.Globalization;
using System.Text.RegularExpressions;

namespace LazyLlm.Native.Backends.Cuda.Compilation;

/// <summary>What the assembler says that a kernel uses.</summary>
/// <param name="Kernel">The kernel's name.</param>
/// <param name="Registers">Registers per thread.</param>
/// <param name="SharedBytes">Bytes of static shared memory per block.</param>
/// <param name="StackBytes">Bytes of stack per thread.</param>
/// <param name="SpillBytes">Bytes stored and loaded because registers ran out, 0 in a good kernel.</param>
public sealed partial record KernelUsage(string Kernel, int Registers, int SharedBytes, int StackBytes, int SpillBytes)
{
    /// <summary>Reads the assembler's part of a compiler log (option <c>-v</c> of ptxas).</summary>
    /// <param name="log">The log; other text in it is passed over.</param>
    public static IReadOnlyList<KernelUsage> Parse(string log)
    {
        var usages = new List<KernelUsage>();
        string? kernel = null;
        int stack = 0;
        int spill = 0;
        foreach (string line in log.Split('\n'))
        {
            if (EntryLine().Match(line) is { Success: true } entry)
            {
                kernel = entry.Groups["name"].Value;
                (stack, spill) = (0, 0);
            }
            else if (kernel is not null && StackLine().Match(line) is { Success: true } frame)
            {
                stack = Number(frame, "stack");
                spill = Number(frame, "stores") + Number(frame, "loads");
            }
            else if (kernel is not null && RegisterLine().Match(line) is { Success: true } used)
            {
                Match shared = SharedPart().Match(line);
                usages.Add(new KernelUsage(kernel, Number(used, "count"), shared.Success ? Number(shared, "bytes") : 0, stack, spill));
                kernel = null;
            }
        }

        return usages;
    }

    private static int Number(Match match, string group) => int.Parse(match.Groups[group].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture);

    [GeneratedRegex("Compiling entry function '(?<name>[^']+)'")]
    private static partial Regex EntryLine();

    [GeneratedRegex(@"(?<stack>\d+) bytes stack frame, (?<stores>\d+) bytes spill stores, (?<loads>\d+) bytes spill loads")]
    private static partial Regex StackLine();

    [GeneratedRegex(@"Used (?<count>\d+) registers")]
    private static partial Regex RegisterLine();

    [GeneratedRegex(@"(?<bytes>\d+)(\+\d+)? bytes smem")]
    private static partial Regex SharedPart();
}
