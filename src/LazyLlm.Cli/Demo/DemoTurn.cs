using LazyLlm.Cli.Tracing;
using LazyLlm.Native.Diagnostics;

namespace LazyLlm.Cli.Demo;

/// <summary>One question of a demo run and what came of it.</summary>
/// <param name="Answer">What the model wrote, without spaces around it.</param>
/// <param name="IsRight">Whether that answers the question.</param>
/// <param name="Prefill">The figures when the first token came: those of the prompt or turn, without the answer's own steps.</param>
/// <param name="Trace">What the stages saw in that step; null unless the run was traced.</param>
internal sealed record DemoTurn(string Answer, bool IsRight, RunStatistics Prefill, PruningTraceStep? Trace);
