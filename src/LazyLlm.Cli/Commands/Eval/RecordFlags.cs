using System.CommandLine;
using LazyLlm.Evaluation.LongBench;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;

namespace LazyLlm.Cli.Commands.Eval;

/// <summary>The options that shape prompts from files: conversation form, limit, number of records.</summary>
internal sealed class RecordFlags
{
    private readonly Option<string> _chat = new("--chat") { Description = "Conversation that prompts are put into, as LongBench does: plain, llama2 or xgen.", HelpName = "FORM", DefaultValueFactory = _ => ChatFormat.Plain.Name };

    private readonly Option<int?> _promptLimit = new("--prompt-limit") { Description = "Most tokens of a prompt before it is put into a conversation; longer ones lose their middle.", HelpName = "N" };

    private readonly Option<int?> _limit = new("--limit") { Description = "Most records of each file, the first ones.", HelpName = "N" };

    public void AddTo(Command command)
    {
        command.Options.Add(_chat);
        command.Options.Add(_promptLimit);
        command.Options.Add(_limit);
    }

    public ChatFormat Chat(ParseResult arguments) => ChatFormat.Named(arguments.GetValue(_chat)!);

    public int? PromptLimit(ParseResult arguments) => arguments.GetValue(_promptLimit);

    /// <summary>The prompt limit, or what the context leaves beside the generation and the conversation's own words.</summary>
    public int PromptLimit(ParseResult arguments, LlamaEngine engine, int maxNewTokens)
    {
        ChatFormat chat = Chat(arguments);
        int wrapping = engine.Tokenizer!.Encode(chat.Prefix + chat.Suffix).Length;
        return arguments.GetValue(_promptLimit) ?? engine.ContextLength - maxNewTokens - wrapping;
    }

    public int? Limit(ParseResult arguments) => arguments.GetValue(_limit) is int limit && limit < 1
        ? throw new InvalidOptionException(_limit.Name, $"found {limit}, expected 1 or more.")
        : arguments.GetValue(_limit);
}
