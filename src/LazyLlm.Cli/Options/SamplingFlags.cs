using System.CommandLine;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Sampling;

namespace LazyLlm.Cli.Options;

/// <summary>The options that say how tokens are chosen and when an answer ends. Greedy by default.</summary>
internal sealed class SamplingFlags(int defaultMaxTokens)
{
    private readonly Option<int> _maxTokens = new("--max-tokens", "-n") { Description = "The most tokens to generate.", HelpName = "N", DefaultValueFactory = _ => defaultMaxTokens };

    private readonly Option<float> _temperature = new("--temperature", "-t") { Description = "0 takes the most probable token; higher draws more freely.", HelpName = "T" };

    private readonly Option<int> _topK = new("--top-k") { Description = "Draw from this many of the most probable tokens; 0 for all.", HelpName = "K" };

    private readonly Option<float> _topP = new("--top-p") { Description = "Draw from the fewest tokens that reach this probability.", HelpName = "P", DefaultValueFactory = _ => 1 };

    private readonly Option<float> _minP = new("--min-p") { Description = "Draw from tokens with this fraction of the best one's probability.", HelpName = "P" };

    private readonly Option<float> _penalty = new("--repetition-penalty") { Description = "Make tokens of the last --repetition-window less likely; 1 changes nothing.", HelpName = "R", DefaultValueFactory = _ => 1 };

    private readonly Option<int> _window = new("--repetition-window") { Description = "Tokens that the repetition penalty looks back on.", HelpName = "N", DefaultValueFactory = _ => 64 };

    private readonly Option<ulong?> _seed = new("--seed") { Description = "Make what is drawn repeatable.", HelpName = "N" };

    private readonly Option<string[]> _stop = new("--stop") { Description = "End the answer where this text comes up; may be given several times.", HelpName = "TEXT" };

    private readonly Option<bool> _ignoreEnd = new("--ignore-end") { Description = "Go on past the model's end tokens." };

    private readonly Option<bool> _advised = new("--advised") { Description = "Sample as the model's makers advise (generation_config.json); what the command line says goes before it." };

    /// <summary>Adds the options to a command.</summary>
    public void AddTo(Command command)
    {
        command.Options.Add(_maxTokens);
        command.Options.Add(_temperature);
        command.Options.Add(_topK);
        command.Options.Add(_topP);
        command.Options.Add(_minP);
        command.Options.Add(_penalty);
        command.Options.Add(_window);
        command.Options.Add(_seed);
        command.Options.Add(_stop);
        command.Options.Add(_ignoreEnd);
        command.Options.Add(_advised);
    }

    /// <summary>Reads and checks the options.</summary>
    /// <exception cref="Native.Errors.InvalidOptionException">A value is out of range.</exception>
    public SamplingOptions Read(ParseResult arguments)
    {
        var options = new SamplingOptions
        {
            MaxTokens = arguments.GetValue(_maxTokens),
            Temperature = arguments.GetValue(_temperature),
            TopK = arguments.GetValue(_topK),
            TopP = arguments.GetValue(_topP),
            MinP = arguments.GetValue(_minP),
            RepetitionPenalty = arguments.GetValue(_penalty),
            RepetitionWindow = arguments.GetValue(_window),
            Seed = arguments.GetValue(_seed),
            StopStrings = arguments.GetValue(_stop) ?? [],
            IgnoreEndTokens = arguments.GetValue(_ignoreEnd),
        };
        options.Validate();
        return options;
    }

    /// <summary>What was read, with the model's advice where it is wanted and the command line is silent.</summary>
    public SamplingOptions Advise(ParseResult arguments, SamplingOptions read, LlamaEngine engine)
    {
        if (!arguments.GetValue(_advised))
        {
            return read;
        }

        SamplingOptions advised = engine.AdvisedSampling;
        return read with
        {
            MaxTokens = Choose(_maxTokens, read.MaxTokens, advised.MaxTokens ?? read.MaxTokens),
            Temperature = Choose(_temperature, read.Temperature, advised.Temperature),
            TopK = Choose(_topK, read.TopK, advised.TopK),
            TopP = Choose(_topP, read.TopP, advised.TopP),
            MinP = Choose(_minP, read.MinP, advised.MinP),
            RepetitionPenalty = Choose(_penalty, read.RepetitionPenalty, advised.RepetitionPenalty),
            RepetitionWindow = Choose(_window, read.RepetitionWindow, advised.RepetitionWindow),
        };

        T Choose<T>(Option option, T given, T otherwise) => arguments.GetResult(option) is { Implicit: false } ? given : otherwise;
    }
}
