using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Sampling;

namespace LazyLlm.Native.CApi;

/// <summary>The calls on sessions; see <c>lazyllm.h</c>.</summary>
internal static unsafe class SessionExports
{
    /// <summary>What a call does with a session that it has entered.</summary>
    private delegate void Use(CallerSession session);

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_session_close", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Close(nint session)
    {
        try
        {
            CallerSession closed = HandleTable.Get<CallerSession>(session);
            closed.EnterLast();
            HandleTable.Remove(session);
            closed.Dispose();
            return 0;
        }
        catch (Exception error)
        {
            return Failure.From(error);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_session_fork", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Fork(nint session, nint* copy) => With(session, used =>
    {
        Arguments.RequireNotNull(copy, "copy");
        *copy = 0;
        *copy = HandleTable.Add(used.Fork());
    });

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_session_reset", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Reset(nint session) => With(session, used => used.Reset());

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_session_append_text", CallConvs = [typeof(CallConvCdecl)])]
    public static nint AppendText(nint session, byte* text, nuint textLength) =>
        With(session, used => used.Append(Arguments.Text(text, textLength, "text")));

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_session_append_tokens", CallConvs = [typeof(CallConvCdecl)])]
    public static nint AppendTokens(nint session, int* tokens, nuint count) =>
        With(session, used => used.Append(Arguments.Tokens(tokens, count)));

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_session_prefill", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Prefill(nint session, StepOptionsLayout* options) => With(session, used =>
    {
        using ProgressCallback? progress = ReadProgress(options);
        used.Prefill(progress);
    });

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_session_prefill_embeddings", CallConvs = [typeof(CallConvCdecl)])]
    public static nint PrefillEmbeddings(nint session, float* embeddings, nuint rows, StepOptionsLayout* options) => With(session, used =>
    {
        using ProgressCallback? progress = ReadProgress(options);
        Arguments.RequireNotNull(embeddings, "embeddings");
        if (rows == 0 || rows > (nuint)(int.MaxValue / used.HiddenSize))
        {
            CallException.Throw(ResultCode.InvalidArgument, $"rows: found {rows}, expected 1 or more and no more than the context holds.");
        }

        used.Prefill(new ReadOnlySpan<float>(embeddings, (int)rows * used.HiddenSize), progress);
    });

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_session_begin", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Begin(nint session, SamplingLayout* sampling) => With(session, used => used.Begin(ReadSampling(sampling)));

    // The one call per token: written out, without a closure.
    [UnmanagedCallersOnly(EntryPoint = "lazyllm_session_next", CallConvs = [typeof(CallConvCdecl)])]
    public static nint Next(nint session, StepOptionsLayout* options, TokenLayout* token, byte* text, nuint capacity)
    {
        try
        {
            CallerSession used = HandleTable.Get<CallerSession>(session);
            used.Enter();
            try
            {
                Arguments.RequireSize((nuint*)token, sizeof(TokenLayout), "lazyllm_token");
                using ProgressCallback? progress = ReadProgress(options);
                SampledToken next = used.Next(progress, out FinishReason finish, out ReadOnlySpan<byte> piece);
                token->Id = next.Id;
                token->Finish = (int)finish;
                token->LogProbability = next.LogProbability;
                token->Reserved = 0;
                Arguments.Give(piece, text, capacity, &token->TextLength, "text");
                used.Deliver();
                return 0;
            }
            finally
            {
                used.Exit();
            }
        }
        catch (Exception error)
        {
            return Failure.From(error);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_session_logits", CallConvs = [typeof(CallConvCdecl)])]
    public static nint ReadLogits(nint session, float* logits, nuint capacity, nuint* count) => With(session, used =>
    {
        Arguments.RequireNotNull(count, "count");
        if (used.Logits.IsEmpty)
        {
            CallException.Throw(ResultCode.State, "There are no logits before the first step; prefill a prompt first.");
        }

        Arguments.Give(used.Logits, logits, capacity, count, "logits");
    });

    [UnmanagedCallersOnly(EntryPoint = "lazyllm_session_statistics", CallConvs = [typeof(CallConvCdecl)])]
    public static nint ReadStatistics(nint session, StatisticsLayout* statistics) => With(session, used =>
    {
        Arguments.RequireSize((nuint*)statistics, sizeof(StatisticsLayout), "lazyllm_statistics");
        *statistics = used.ReadStatistics() with { StructSize = (nuint)sizeof(StatisticsLayout) };
    });

    private static nint With(nint session, Use use)
    {
        try
        {
            CallerSession used = HandleTable.Get<CallerSession>(session);
            used.Enter();
            try
            {
                use(used);
                return 0;
            }
            finally
            {
                used.Exit();
            }
        }
        catch (Exception error)
        {
            return Failure.From(error);
        }
    }

    private static ProgressCallback? ReadProgress(StepOptionsLayout* options)
    {
        if (options is null)
        {
            return null;
        }

        Arguments.RequireSize(&options->StructSize, sizeof(StepOptionsLayout), "lazyllm_step_options");
        return options->Progress is null ? null : new ProgressCallback(options->Progress, options->UserData);
    }

    private static SamplingOptions ReadSampling(SamplingLayout* sampling)
    {
        if (sampling is null)
        {
            return new SamplingOptions();
        }

        Arguments.RequireSize(&sampling->StructSize, sizeof(SamplingLayout), "lazyllm_sampling");
        Arguments.RequireZero(sampling->Reserved, "lazyllm_sampling");
        var stops = new string[Arguments.Count(sampling->StopStrings, sampling->StopStringCount, "stop_strings")];
        for (int i = 0; i < stops.Length; i++)
        {
            stops[i] = Arguments.Text(sampling->StopStrings[i].Data, sampling->StopStrings[i].Length, $"stop_strings[{i}]");
        }

        return new SamplingOptions
        {
            Temperature = sampling->Temperature,
            TopK = sampling->TopK,
            TopP = sampling->TopP == 0 ? 1 : sampling->TopP,
            MinP = sampling->MinP,
            RepetitionPenalty = sampling->RepetitionPenalty == 0 ? 1 : sampling->RepetitionPenalty,
            RepetitionWindow = sampling->RepetitionWindow == 0 ? 64 : sampling->RepetitionWindow,
            Seed = sampling->HasSeed != 0 ? sampling->Seed : null,
            MaxTokens = sampling->MaxTokens == 0 ? null : sampling->MaxTokens,
            StopStrings = stops,
            IgnoreEndTokens = sampling->IgnoreEndTokens != 0,
        };
    }
}
