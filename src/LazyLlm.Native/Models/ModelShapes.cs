using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Models;

/// <summary>Shapes of known models by name, for tools that need a shape and no weights: benchmarks, kernel listings.</summary>
public static class ModelShapes
{
    /// <summary>Llama 2 7B.</summary>
    public static ModelConfig Llama2 { get; } = new()
    {
        HiddenSize = 4096,
        IntermediateSize = 11008,
        LayerCount = 32,
        HeadCount = 32,
        KeyValueHeadCount = 32,
        HeadSize = 128,
        VocabularySize = 32000,
        ContextLength = 4096,
        NormEpsilon = 1e-5,
        RopeTheta = 10000,
        TiedEmbeddings = false,
        DeclaredType = TensorType.BFloat16,
    };

    private static readonly (string Name, ModelConfig Config)[] Known =
    [
        ("llama-2-7b", Llama2),
        ("llama-2-13b", Llama2 with { HiddenSize = 5120, IntermediateSize = 13824, LayerCount = 40, HeadCount = 40, KeyValueHeadCount = 40 }),
        ("llama-2-70b", Llama2 with { HiddenSize = 8192, IntermediateSize = 28672, LayerCount = 80, HeadCount = 64, KeyValueHeadCount = 8 }),
        ("tinyllama-1.1b", Llama2 with { HiddenSize = 2048, IntermediateSize = 5632, LayerCount = 22, KeyValueHeadCount = 4, HeadSize = 64, ContextLength = 2048 }),
        ("tiny", Llama2 with { HiddenSize = 64, IntermediateSize = 176, LayerCount = 6, HeadCount = 4, KeyValueHeadCount = 2, HeadSize = 16, VocabularySize = 256 }),
    ];

    /// <summary>The names that <see cref="Find"/> takes; <c>tiny</c> is no published model, but one for trying things out.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. Known.Select(shape => shape.Name)];

    /// <summary>The shape of a name.</summary>
    /// <exception cref="InvalidOptionException">There is none of this name; the message lists them.</exception>
    public static ModelConfig Find(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        return Array.Find(Known, shape => shape.Name == name).Config
            ?? throw new InvalidOptionException("shape", $"found '{name}', expected one of {string.Join(", ", Names)}.");
    }
}
