using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Evaluation.Methods;

/// <summary>
/// A way to answer with less computing: a change of the prompt before the model, a schedule inside it, or both. The
/// engine, the generation and the clock are the same for all.
/// </summary>
public interface IEvaluationMethod
{
    /// <summary>The family, as the paper calls it: <c>Random Token Drop</c>.</summary>
    string Family { get; }

    /// <summary>The family's name on the command line and this member's setting, unique in a run: <c>random 0.4</c>.</summary>
    string Name { get; }

    /// <summary>How often each item is run, with another seed each time; scores and times are means.</summary>
    int RunCount { get; }

    /// <summary>What the engine drops inside the model.</summary>
    PruningSchedule Schedule { get; }

    /// <summary>Share of the prompt's (token, layer) pairs that the prefill computes, what <see cref="Prepare"/> costs left out.</summary>
    /// <param name="layerCount">Layers of the model.</param>
    double PrefillShare(int layerCount);

    /// <summary>Makes the tokens that the model reads. Its time is part of the time to first token.</summary>
    /// <param name="prompt">The prompt.</param>
    /// <param name="engine">The model.</param>
    /// <param name="tokenizer">The model's tokenizer.</param>
    /// <param name="seed">Fixes every random choice.</param>
    /// <param name="cancellation">Checked where this takes long.</param>
    PreparedPrompt Prepare(EvaluationPrompt prompt, LlamaEngine engine, TextTokenizer tokenizer, ulong seed, CancellationToken cancellation);
}
