using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation.LongBench;

/// <summary>
/// How the benchmark turns a prompt into a conversation for a chat model, and cleans the reply. It is not the models'
/// own chat template: Llama 2 gets no spaces and no system prompt.
/// </summary>
public sealed class ChatFormat
{
    private readonly Func<string, string> _clean;

    private ChatFormat(string name, string prefix, string suffix, Func<string, string> clean)
    {
        Name = name;
        Prefix = prefix;
        Suffix = suffix;
        _clean = clean;
    }

    /// <summary>The prompt as it is.</summary>
    public static ChatFormat Plain { get; } = new("plain", "", "", reply => reply);

    /// <summary>Llama 2 chat.</summary>
    public static ChatFormat Llama2 { get; } = new("llama2", "[INST]", "[/INST]", reply => reply);

    /// <summary>XGen 7B 8K inst.</summary>
    public static ChatFormat Xgen { get; } = new(
        "xgen",
        "A chat between a curious human and an artificial intelligence assistant. "
            + "The assistant gives helpful, detailed, and polite answers to the human's questions.\n\n ### Human: ",
        "\n###",
        reply => PythonText.Strip(reply).Replace("Assistant:", "", StringComparison.Ordinal));

    /// <summary>All formats.</summary>
    public static IReadOnlyList<ChatFormat> All { get; } = [Plain, Llama2, Xgen];

    /// <summary>Name on the command line.</summary>
    public string Name { get; }

    /// <summary>What stands before a wrapped prompt.</summary>
    public string Prefix { get; }

    /// <summary>What stands behind a wrapped prompt.</summary>
    public string Suffix { get; }

    /// <summary>Finds a format by its name.</summary>
    /// <exception cref="InvalidOptionException">There is none of that name.</exception>
    public static ChatFormat Named(string name) => All.FirstOrDefault(format => format.Name == name)
        ?? throw new InvalidOptionException("chat", $"'{name}' is unknown, expected one of {string.Join(", ", All.Select(format => format.Name))}.");

    /// <summary>The reply as the benchmark keeps it; done for every dataset, wrapped or not.</summary>
    public string Clean(string reply) => _clean(reply);

    /// <inheritdoc/>
    public override string ToString() => Name;
}
