namespace LazyLlm.Native.Models;

/// <summary>What a weight is for. Shapes are rows x columns; H hidden size, I intermediate size, V vocabulary.</summary>
public enum WeightRole
{
    /// <summary>Token embedding, V x H.</summary>
    Embedding,

    /// <summary>RMSNorm before the attention, 1 x H.</summary>
    AttentionNorm,

    /// <summary>Query projection, query width x H.</summary>
    Query,

    /// <summary>Key projection, K/V width x H.</summary>
    Key,

    /// <summary>Value projection, K/V width x H.</summary>
    Value,

    /// <summary>Attention output projection, H x query width.</summary>
    AttentionOutput,

    /// <summary>RMSNorm before the MLP, 1 x H.</summary>
    MlpNorm,

    /// <summary>MLP gate projection, I x H.</summary>
    Gate,

    /// <summary>MLP up projection, I x H.</summary>
    Up,

    /// <summary>MLP down projection, H x I.</summary>
    Down,

    /// <summary>RMSNorm before the output head, 1 x H.</summary>
    FinalNorm,

    /// <summary>Output head, V x H; the embedding itself where the model ties them.</summary>
    OutputHead,
}
