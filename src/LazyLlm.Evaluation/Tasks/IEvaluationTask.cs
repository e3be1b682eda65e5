using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Evaluation.Tasks;

/// <summary>A set of prompts with answers: a dataset of LongBench, a file of the user's, or generated documents.</summary>
public interface IEvaluationTask
{
    /// <summary>The dataset's name in results.</summary>
    string Name { get; }

    /// <summary>The group whose score is the mean over its datasets.</summary>
    string Group { get; }

    /// <summary>Everything that the prompts and scores depend on, in words: results of another description do not mix.</summary>
    string Description { get; }

    /// <summary>Counts the items and checks that all can be read, before anything is computed.</summary>
    /// <exception cref="Native.Errors.DataFormatException">An item cannot be read; names file and line.</exception>
    int CountItems();

    /// <summary>The items in order, as long as the caller asks for them.</summary>
    IEnumerable<EvaluationItem> ReadItems(TextTokenizer tokenizer);
}
