using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Sampling;
using LazyLlm.Native.Tokenizers;

namespace LazyLlm.Native.CApi;

/// <summary>The calls on engines; see <c>lazyllm.h</c>.</summary>
internal static unsafe class EngineExports
{
    [UnmanagedCallersOnly(EntryPoint = "lazyllm_engine_open", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Open(byte* path, nuint pathLength, EngineOptionsLayout* options, nint* engine)
    {
        try
        {
            ProgressCallback.RefuseReentry();
            Arguments.RequireNotNull(engine, "engine");
            *engine = 0;
            string folder = Arguments.Text(path, pathLength, "path");
            if (folder.Length == 0)
            {
                CallException.Throw(ResultCode.InvalidArgument, "path is empty, expected a model folder.");
            }

            if (options is not null)
            {
                Arguments.RequireSize(&options->StructSize, sizeof(EngineOptionsLayout), "lazyllm_engine_options");
            }

            EngineOptionsLayout given = options is null ? default : *options;
            using var progress = new ProgressCallback(given.Progress, given.UserData);
            *engine = HandleTable.Add(LlamaEngine.LoadAsync(folder, Read(given), progress, progress.Cancellation).GetAwaiter().GetResult());
            return 0;
        }
        catch (Exception error)
        {
            return Failure.From(error);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_engine_close", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Close(nint engine)
    {
        try
        {
            ProgressCallback.RefuseReentry();
            HandleTable.Take<LlamaEngine>(engine).Dispose();
            return 0;
        }
        catch (Exception error)
        {
            return Failure.From(error);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_engine_describe", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Describe(nint engine, EngineInfoLayout* info)
    {
        try
        {
            ProgressCallback.RefuseReentry();
            LlamaEngine described = HandleTable.Get<LlamaEngine>(engine);
            Arguments.RequireSize((nuint*)info, sizeof(EngineInfoLayout), "lazyllm_engine_info");
            *info = new EngineInfoLayout
            {
                StructSize = info->StructSize,
                WeightBytes = described.WeightBytes,
                VocabularySize = described.Config.VocabularySize,
                HiddenSize = described.Config.HiddenSize,
                LayerCount = described.Config.LayerCount,
                ContextLength = described.ContextLength,
                HasTokenizer = described.Tokenizer is null ? 0 : 1,
            };
            return 0;
        }
        catch (Exception error)
        {
            return Failure.From(error);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_engine_advice", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Advise(nint engine, SamplingLayout* sampling)
    {
        try
        {
            ProgressCallback.RefuseReentry();
            LlamaEngine advised = HandleTable.Get<LlamaEngine>(engine);
            Arguments.RequireSize((nuint*)sampling, sizeof(SamplingLayout), "lazyllm_sampling");
            SamplingOptions advice = advised.AdvisedSampling;
            sampling->Temperature = advice.Temperature;
            sampling->TopK = advice.TopK;
            sampling->TopP = advice.TopP;
            sampling->MinP = advice.MinP;
            sampling->RepetitionPenalty = advice.RepetitionPenalty;
            sampling->RepetitionWindow = advice.RepetitionWindow;
            sampling->MaxTokens = advice.MaxTokens ?? 0;
            return 0;
        }
        catch (Exception error)
        {
            return Failure.From(error);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_tokenize", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Tokenize(nint engine, byte* text, nuint textLength, int continuation, int* tokens, nuint capacity, nuint* count)
    {
        try
        {
            ProgressCallback.RefuseReentry();
            Arguments.RequireNotNull(count, "count");
            TextTokenizer tokenizer = HandleTable.Get<LlamaEngine>(engine).RequireTokenizer();
            string words = Arguments.Text(text, textLength, "text");
            Arguments.Give(continuation != 0 ? tokenizer.EncodeContinuation(words) : tokenizer.Encode(words), tokens, capacity, count, "tokens");
            return 0;
        }
        catch (Exception error)
        {
            return Failure.From(error);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_detokenize", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Detokenize(nint engine, int* tokens, nuint count, int continuation, byte* text, nuint capacity, nuint* textLength)
    {
        try
        {
            ProgressCallback.RefuseReentry();
            Arguments.RequireNotNull(textLength, "text_length");
            LlamaEngine owner = HandleTable.Get<LlamaEngine>(engine);
            ReadOnlySpan<int> ids = Arguments.Tokens(tokens, count);
            owner.Require(ids);
            string words = owner.RequireTokenizer().Decode(ids, continuation != 0);
            Arguments.Give<byte>(Encoding.UTF8.GetBytes(words), text, capacity, textLength, "text");
            return 0;
        }
        catch (Exception error)
        {
            return Failure.From(error);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_session_open", CallConvs = [typeof(CallConvCdecl)])]
    public static nint OpenSession(nint engine, byte* schedule, nuint scheduleLength, nint* session)
    {
        try
        {
            ProgressCallback.RefuseReentry();
            Arguments.RequireNotNull(session, "session");
            *session = 0;
            LlamaEngine owner = HandleTable.Get<LlamaEngine>(engine);
            string text = Arguments.Text(schedule, scheduleLength, "schedule");
            *session = HandleTable.Add(new CallerSession(owner, owner.CreateSession(text.Length == 0 ? PruningSchedule.None : PruningSchedule.Parse(text))));
            return 0;
        }
        catch (Exception error)
        {
            return Failure.From(error);
        }
    }

    private static EngineOptions Read(in EngineOptionsLayout given)
    {
        Arguments.RequireZero(given.Reserved, "lazyllm_engine_options");
        string device = Arguments.Text(given.Device.Data, given.Device.Length, "device");
        string tokenizer = Arguments.Text(given.TokenizerPath.Data, given.TokenizerPath.Length, "tokenizer_path");
        if (!Enum.IsDefined((Precision)given.Precision))
        {
            CallException.Throw(ResultCode.InvalidArgument, $"precision: found {given.Precision}, expected a LAZYLLM_PRECISION.");
        }

        return new EngineOptions
        {
            Device = device.Length == 0 ? "auto" : device,
            TokenizerPath = tokenizer.Length == 0 ? null : tokenizer,
            Precision = (Precision)given.Precision,
            ContextLength = given.ContextLength == 0 ? null : given.ContextLength,
            Threads = given.Threads == 0 ? null : given.Threads,
        };
    }
}
