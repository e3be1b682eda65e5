using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using LazyLlm.Cli.Options;
using LazyLlm.Cli.Output;
using LazyLlm.Cli.Tracing;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Cli.Commands;

/// <summary><c>lazyllm inspect</c>: what a model folder holds, and the memory that it needs. Reads no weights.</summary>
internal sealed class InspectCommand
{
    private readonly Option<string> _model = new("--model", "-m") { Description = "Model folder in the Hugging Face layout.", HelpName = "DIR", Required = true };
    private readonly Option<int?> _length = new("--length") { Description = "Tokens of the prompt whose memory to show; the model's context by default.", HelpName = "TOKENS" };
    private readonly PruneFlag _prune = new("paper");
    private readonly Option<bool> _tensors = new("--tensors") { Description = "List every tensor." };
    private readonly Option<bool> _json = new("--json") { Description = "Write all of it, tensors included, as JSON." };

    private InspectCommand()
    {
    }

    public static Command Create(Terminal terminal)
    {
        var inspect = new InspectCommand();
        var command = new Command("inspect", "Show a model's shape, tensors, tokenizer and need of memory, without loading it.") { inspect._model, inspect._length, inspect._tensors, inspect._json };
        inspect._prune.AddTo(command);
        command.SetAction(arguments => inspect.Run(arguments, terminal));
        return command;
    }

    private int Run(ParseResult arguments, Terminal terminal)
    {
        PruningSchedule schedule = _prune.Read(arguments);
        string path = arguments.GetValue(_model)!;
        if (path.Length == 0)
        {
            throw new UsageException("--model: found an empty path, expected a model folder.");
        }

        using ModelFolder folder = ModelFolder.Open(path);
        int length = arguments.GetValue(_length) ?? folder.Config.ContextLength;
        if (length < 1)
        {
            throw new UsageException($"--length: found {length}, expected 1 token or more.");
        }

        var memory = new MemoryNeed(folder.Config, schedule.PlanFor(folder.Config.LayerCount), length);
        (TextTokenizer? tokenizer, string? problem) = OpenTokenizer(path);
        if (arguments.GetValue(_json))
        {
            JsonText.Write(terminal.Out, json => WriteJson(json, folder, tokenizer, problem, memory, schedule));
        }
        else
        {
            WriteText(terminal.Out, folder, tokenizer, problem, memory, schedule);
            if (arguments.GetValue(_tensors))
            {
                WriteTensors(terminal.Out, folder);
            }
        }

        return ExitCode.Success;
    }

    /// <summary>A tokenizer that cannot be used is a finding here, not a failure.</summary>
    private static (TextTokenizer? Tokenizer, string? Problem) OpenTokenizer(string path)
    {
        try
        {
            return (TokenizerFolder.Load(path), null);
        }
        catch (ModelFormatException error)
        {
            return (null, error.Message);
        }
    }

    private static void WriteText(TextWriter output, ModelFolder folder, TextTokenizer? tokenizer, string? problem, MemoryNeed memory, PruningSchedule schedule)
    {
        ModelConfig config = folder.Config;
        Line("folder", folder.Path);
        Line("identity", folder.Identity[..16]);
        Line("parameters", $"{Units.Count(folder.ParameterCount)} ({Units.Magnitude(folder.ParameterCount)})");
        Line("layers", $"{config.LayerCount}");
        Line("hidden size", $"{config.HiddenSize}, intermediate {config.IntermediateSize}");
        Line("heads", $"{config.HeadCount} of size {config.HeadSize}; {config.KeyValueHeadCount} for K and V{(config.KeyValueHeadCount < config.HeadCount ? " (GQA)" : "")}");
        Line("vocabulary", $"{Units.Count(config.VocabularySize)}{(config.TiedEmbeddings ? ", output head tied to the embedding" : "")}");
        Line("context", $"{Units.Count(config.ContextLength)} tokens");
        Line("RoPE", string.Create(CultureInfo.InvariantCulture, $"base {config.RopeTheta}, scaling {config.RopeScaling.Kind.ToString().ToLowerInvariant()}"));
        Line("RMSNorm epsilon", config.NormEpsilon.ToString(CultureInfo.InvariantCulture));
        Line("end tokens", folder.EndTokens.Count == 0 ? "none" : string.Join(", ", folder.EndTokens));
        Line("tokenizer", tokenizer is null ? problem ?? "none; prompts must be token ids" : $"{Path.GetFileName(tokenizer.Path)}, {Units.Count(tokenizer.VocabularySize)} tokens");
        string types = string.Join(", ", folder.Tensors.GroupBy(tensor => tensor.DataType).Select(group => $"{group.Count()} {group.Key}"));
        Line("tensors", $"{folder.Tensors.Count} ({types}){(folder.UnusedTensorCount > 0 ? $", {folder.UnusedTensorCount} unused" : "")}");
        Line("weights", Units.Bytes(folder.Weights.TotalBytes));
        output.WriteLine();
        output.WriteLine($"Memory of a session after a prompt of {Units.Count(memory.Length)} tokens, at most:");
        var table = new TextTable();
        table.Add("", "dense K/V", $"K/V under {schedule}", "and Aux cache");
        table.Add("16-bit K/V (GPU)", Units.Bytes(memory.DenseKeyValueBytes(2)), Units.Bytes(memory.KeyValueBytes(2)), Units.Bytes(memory.AuxBytes));
        table.Add("float32 K/V (CPU)", Units.Bytes(memory.DenseKeyValueBytes(4)), Units.Bytes(memory.KeyValueBytes(4)), Units.Bytes(memory.AuxBytes));
        table.WriteTo(output);
        output.WriteLine("Tokens generated later may revive pruned positions, which then take K/V too.");

        void Line(string name, string value) => output.WriteLine($"{name,-16} {value}");
    }

    private static void WriteTensors(TextWriter output, ModelFolder folder)
    {
        output.WriteLine();
        var table = new TextTable();
        foreach (TensorInfo tensor in folder.Tensors)
        {
            table.Add(PruningTrace.Printable(tensor.Name), tensor.DataType, $"[{string.Join(", ", tensor.Shape)}]", Units.Bytes(tensor.ByteLength), Path.GetFileName(tensor.File));
        }

        table.WriteTo(output);
    }

    private static void WriteJson(Utf8JsonWriter json, ModelFolder folder, TextTokenizer? tokenizer, string? problem, MemoryNeed memory, PruningSchedule schedule)
    {
        ModelConfig config = folder.Config;
        json.WriteString("folder", folder.Path);
        json.WriteString("identity", folder.Identity);
        json.WriteNumber("parameters", folder.ParameterCount);
        json.WriteNumber("layers", config.LayerCount);
        json.WriteNumber("hidden_size", config.HiddenSize);
        json.WriteNumber("intermediate_size", config.IntermediateSize);
        json.WriteNumber("heads", config.HeadCount);
        json.WriteNumber("kv_heads", config.KeyValueHeadCount);
        json.WriteNumber("head_size", config.HeadSize);
        json.WriteNumber("vocabulary_size", config.VocabularySize);
        json.WriteNumber("context_length", config.ContextLength);
        json.WriteNumber("rope_theta", config.RopeTheta);
        json.WriteString("rope_scaling", config.RopeScaling.Kind.ToString().ToLowerInvariant());
        json.WriteNumber("norm_epsilon", config.NormEpsilon);
        json.WriteBoolean("tied_embeddings", config.TiedEmbeddings);
        json.WriteNumbers("end_tokens", folder.EndTokens);
        json.WriteNumber("weight_bytes", folder.Weights.TotalBytes);
        json.WriteNumber("unused_tensors", folder.UnusedTensorCount);
        json.WriteStartObject("tokenizer");
        json.WriteString("file", tokenizer?.Path);
        json.WriteNumber("tokens", tokenizer?.VocabularySize ?? 0);
        json.WriteString("problem", problem);
        json.WriteEndObject();
        json.WriteStartObject("memory");
        json.WriteNumber("prompt_tokens", memory.Length);
        json.WriteString("schedule", schedule.ToString());
        json.WriteNumber("dense_kv_bytes_16bit", memory.DenseKeyValueBytes(2));
        json.WriteNumber("kv_bytes_16bit", memory.KeyValueBytes(2));
        json.WriteNumber("dense_kv_bytes_float32", memory.DenseKeyValueBytes(4));
        json.WriteNumber("kv_bytes_float32", memory.KeyValueBytes(4));
        json.WriteNumber("aux_bytes", memory.AuxBytes);
        json.WriteEndObject();
        json.WriteStartArray("tensors");
        foreach (TensorInfo tensor in folder.Tensors)
        {
            json.WriteStartObject();
            json.WriteString("name", tensor.Name);
            json.WriteString("type", tensor.DataType);
            json.WriteStartArray("shape");
            foreach (ulong size in tensor.Shape)
            {
                json.WriteNumberValue(size);
            }

            json.WriteEndArray();
            json.WriteNumber("bytes", tensor.ByteLength);
            json.WriteString("file", Path.GetFileName(tensor.File));
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    /// <summary>What a session's caches take after a prompt.</summary>
    private sealed class MemoryNeed(ModelConfig config, StagePlan plan, int length)
    {
        public int Length => length;

        /// <summary>One float32 row of the hidden size per position; the dense model needs none, but a session has it.</summary>
        public long AuxBytes => (long)length * config.HiddenSize * sizeof(float);

        public long DenseKeyValueBytes(int bytesPerNumber) => RowBytes(bytesPerNumber) * length * config.LayerCount;

        public long KeyValueBytes(int bytesPerNumber)
        {
            long rows = 0;
            int kept = length;
            foreach (Stage stage in plan.Stages)
            {
                kept = plan.KeepCount(stage, length, kept);
                rows += (long)kept * stage.LayerCount;
            }

            return RowBytes(bytesPerNumber) * rows;
        }

        private long RowBytes(int bytesPerNumber) => 2L * config.KeyValueWidth * bytesPerNumber;
    }
}
