namespace LazyLlm.Native.Backends;

/// <summary>The token set and the compute set of one stage in one step, by their sizes.</summary>
/// <param name="TokenCount">|T|: positions that the stage sees.</param>
/// <param name="Rows">|C|: those of T without K and V in this stage yet; the rows that are computed.</param>
/// <param name="Revived">Those of C that are older than this step.</param>
internal readonly record struct StepTokens(int TokenCount, int Rows, int Revived);
