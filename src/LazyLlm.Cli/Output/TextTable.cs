using System.Text;

namespace LazyLlm.Cli.Output;

/// <summary>
/// A table in plain text: the first column to the left, the others to the right, so that it reads well in a terminal
/// and in a file alike.
/// </summary>
internal sealed class TextTable
{
    private const string Gap = "  ";
    private readonly List<string[]?> _rows = [];

    /// <summary>Adds a row; cells that are left out stay empty.</summary>
    public void Add(params string[] cells) => _rows.Add(cells);

    /// <summary>Adds a rule across the table.</summary>
    public void AddRule() => _rows.Add(null);

    /// <summary>Writes the table.</summary>
    public void WriteTo(TextWriter writer)
    {
        int columns = _rows.Max(row => row?.Length ?? 0);
        int[] widths = new int[columns];
        foreach (string[] row in _rows.OfType<string[]>())
        {
            // A cell that stands alone is a heading, which may reach over all columns.
            for (int i = 0; i < row.Length && row.Length > 1; i++)
            {
                widths[i] = Math.Max(widths[i], row[i].Length);
            }
        }

        int total = widths.Sum() + (Gap.Length * (columns - 1));
        foreach (string[]? row in _rows)
        {
            writer.WriteLine(row is null ? new string('─', total) : Line(row, widths));
        }
    }

    private static string Line(string[] row, int[] widths)
    {
        var line = new StringBuilder();
        for (int i = 0; i < row.Length; i++)
        {
            line.Append(i == 0 ? row[i].PadRight(widths[i]) : Gap + row[i].PadLeft(widths[i]));
        }

        return line.ToString().TrimEnd();
    }
}
