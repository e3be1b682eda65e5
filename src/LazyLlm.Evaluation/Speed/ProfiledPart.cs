namespace LazyLlm.Evaluation.Speed;

/// <summary>What of a measured run a GPU profiler is to collect.</summary>
public enum ProfiledPart
{
    /// <summary>Nothing: no range is opened.</summary>
    None,

    /// <summary>Prompts and the tokens after them.</summary>
    All,

    /// <summary>Prompts, up to their first token.</summary>
    Prefill,

    /// <summary>The tokens that count towards the time per token.</summary>
    Decode,
}
