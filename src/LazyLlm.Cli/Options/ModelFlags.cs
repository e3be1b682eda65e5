using System.CommandLine;
using LazyLlm.Cli.Output;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Models;

namespace LazyLlm.Cli.Options;

/// <summary>The options that name a model and the device it runs on.</summary>
internal sealed class ModelFlags
{
    private readonly Option<string> _model = new("--model", "-m")
    {
        Description = "Model folder in the Hugging Face layout (config.json, model.safetensors, tokenizer.model).",
        HelpName = "DIR",
        Required = true,
    };

    private readonly Option<string> _device = new("--device")
    {
        Description = "'auto' (a GPU that can serve, else the CPU), 'cpu', 'cuda' or 'cuda:N'.",
        HelpName = "DEVICE",
        DefaultValueFactory = _ => "auto",
    };

    private readonly Option<Precision> _precision = new("--precision")
    {
        Description = "Number format of weights and K/V on a GPU.",
        HelpName = "auto|bfloat16|float16|float32",
        DefaultValueFactory = _ => Precision.Auto,
    };

    private readonly Option<int?> _threads = new("--threads") { Description = "Threads of the CPU backend; all cores by default.", HelpName = "N" };

    private readonly Option<int?> _context = new("--context") { Description = "Longest sequence in tokens; what the model was made for by default.", HelpName = "N" };

    private readonly Option<string?> _tokenizer = new("--tokenizer") { Description = "Tokenizer file (*.model or *.tiktoken) in place of the one in the model folder.", HelpName = "FILE" };

    /// <summary>Options of a command that needs <c>--model</c>, or one that has a model of its own to fall back on.</summary>
    public ModelFlags(bool isRequired = true)
    {
        _model.Required = isRequired;
    }

    /// <summary>Adds the options to a command.</summary>
    public void AddTo(Command command)
    {
        command.Options.Add(_model);
        command.Options.Add(_device);
        command.Options.Add(_precision);
        command.Options.Add(_threads);
        command.Options.Add(_context);
        command.Options.Add(_tokenizer);
    }

    /// <summary>The folder named, or null where the option may be left out and was.</summary>
    public string? Folder(ParseResult arguments) => arguments.GetValue(_model) switch
    {
        "" => throw new UsageException("--model: found an empty path, expected a model folder."),
        string folder => folder,
        null => null,
    };

    /// <summary>Loads the model.</summary>
    /// <param name="arguments">The command line.</param>
    /// <param name="folder">The folder to load where the command line names none.</param>
    /// <param name="notes">Shows the progress.</param>
    /// <param name="cancellation">Checked between pieces of weights.</param>
    public async Task<LlamaEngine> LoadAsync(ParseResult arguments, Notes notes, CancellationToken cancellation, string? folder = null)
    {
        LlamaEngine engine;
        using (Notes.LoadingBar? bar = notes.CreateLoadingBar())
        {
            engine = await LlamaEngine.LoadAsync(folder ?? Folder(arguments)!, Read(arguments), bar, cancellation).ConfigureAwait(false);
        }

        return Told(engine, notes);
    }

    /// <summary>Brings weights that come from no folder onto the device.</summary>
    public async Task<LlamaEngine> LoadAsync(ParseResult arguments, ModelWeights weights, Notes notes, CancellationToken cancellation)
    {
        LlamaEngine engine;
        using (Notes.LoadingBar? bar = notes.CreateLoadingBar())
        {
            engine = await LlamaEngine.LoadAsync(weights, Read(arguments), bar, cancellation).ConfigureAwait(false);
        }

        return Told(engine, notes);
    }

    /// <summary>The longest sequence asked for, or null.</summary>
    public int? Context(ParseResult arguments) => arguments.GetValue(_context);

    private static LlamaEngine Told(LlamaEngine engine, Notes notes)
    {
        foreach (string note in engine.Notes)
        {
            notes.Write($"lazyllm: {note.ReplaceLineEndings(" ")}");
        }

        return engine;
    }

    private EngineOptions Read(ParseResult arguments) => new()
    {
        Device = arguments.GetValue(_device)!,
        Precision = arguments.GetValue(_precision),
        Threads = arguments.GetValue(_threads),
        ContextLength = arguments.GetValue(_context),
        TokenizerPath = arguments.GetValue(_tokenizer),
    };
}
