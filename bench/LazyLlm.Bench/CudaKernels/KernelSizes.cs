namespace LazyLlm.Bench.CudaKernels;

/// <summary>The sizes that the kernels are measured at.</summary>
/// <param name="CopyBytes">Of the copy that gives the floor.</param>
/// <param name="ProductRows">Rows of the matrix products.</param>
/// <param name="Prompts">Prompt lengths of the dense attention.</param>
/// <param name="Contexts">Positions that one row attends to or is scored over.</param>
/// <param name="GatheredRows">Rows of the gathered attention that are more than one.</param>
/// <param name="Selections">Positions that a selection chooses from.</param>
/// <param name="RowCounts">Rows of what works row by row.</param>
/// <param name="Repetitions">Runs of each, of which the median counts.</param>
/// <param name="Launches">Launches that are timed together where one is too short.</param>
internal sealed record KernelSizes(
    long CopyBytes,
    int[] ProductRows,
    int[] Prompts,
    int[] Contexts,
    int[] GatheredRows,
    int[] Selections,
    int[] RowCounts,
    int Repetitions,
    int Launches)
{
    /// <summary>Those of the documented results: powers of two, and the row counts of the schedule <c>paper</c> at 4,096 tokens.</summary>
    public static KernelSizes Full { get; } = new(
        1L << 30,
        [1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 65, 128, 256, 512, 1024, 1434, 1971, 2048, 2868, 4096, 8192],
        [1024, 1434, 1971, 2048, 2868, 4096, 8192, 32768],
        [1405, 4096, 8192, 32768],
        [8, 16, 64, 256, 1024],
        [1024, 4096, 8192, 32768],
        [1, 64, 512, 4096, 8192, 32768],
        25,
        500);

    /// <summary>A few of them, for a first look.</summary>
    public static KernelSizes Quick { get; } = new(
        1L << 30, [1, 4, 8, 64, 512, 1434, 4096], [1434, 4096], [1405, 4096], [8, 256], [4096, 32768], [1, 4096, 8192], 15, 500);

    /// <summary>For seeing that everything runs, where there is no GPU.</summary>
    public static KernelSizes Tiny { get; } = new(1L << 20, [1, 5, 20, 70], [33, 70], [40, 130], [3, 20], [100, 8200], [1, 40], 3, 20);

    /// <summary>The sizes of a name.</summary>
    /// <exception cref="ArgumentException">There are none of this name.</exception>
    public static KernelSizes Find(string name) => name switch
    {
        "full" => Full,
        "quick" => Quick,
        "tiny" => Tiny,
        _ => throw new ArgumentException($"--sizes: found '{name}', expected full, quick or tiny."),
    };
}
