using System.Diagnostics;
using System.Runtime.ExceptionServices;
using System.Text;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Scheduling;
using LazyLlm.Server.Http;
using LazyLlm.Server.Protocol;
using Microsoft.AspNetCore.Http;

namespace LazyLlm.Server.Generation;

/// <summary>
/// One request on its way through the scheduler and onto the wire. However it ends (done, refused, client gone, server
/// about to stop), none of its answers is left in the scheduler. The failure of one answer ends the others.
/// </summary>
internal sealed class GenerationRun : IDisposable
{
    private readonly HttpContext _context;
    private readonly ServedModel _model;
    private readonly ErrorResponses _errors;
    private readonly GenerationPlan _plan;
    private readonly AnswerForm _form;
    private readonly TimeSpan _prepared;
    private readonly List<ScheduledAnswer> _answers = [];
    private readonly CancellationTokenSource _ending;
    private Exception? _failure;

    public GenerationRun(HttpContext context, ServedModel model, ErrorResponses errors, GenerationPlan plan, AnswerForm form, long arrival)
    {
        _context = context;
        _model = model;
        _errors = errors;
        _plan = plan;
        _form = form;
        _prepared = Stopwatch.GetElapsedTime(arrival);
        _ending = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, model.StopNow);
    }

    public async Task ServeAsync()
    {
        try
        {
            foreach (GenerationRequest request in _plan.Requests)
            {
                _answers.Add(Submit(request));
            }

            await (_plan.Streams ? StreamAsync() : CollectAsync()).ConfigureAwait(false);
        }
        finally
        {
            foreach (ScheduledAnswer answer in _answers)
            {
                await answer.DisposeAsync().ConfigureAwait(false);
            }
        }
    }

    public void Dispose() => _ending.Dispose();

    private ScheduledAnswer Submit(GenerationRequest request)
    {
        try
        {
            return _model.Scheduler.Submit(request, _ending.Token);
        }
        catch (DeviceMemoryException memory)
        {
            // More than the whole budget: trying again is in vain, unlike where memory runs out on the way.
            throw new ApiException(400, ApiException.InvalidRequest, memory.Message, code: "exceeds_memory");
        }
    }

    private static string ReasonName(FinishReason finish) => finish == FinishReason.Stop ? "stop" : "length";

    private async Task CollectAsync()
    {
        StringBuilder[] texts = [.. _answers.Select(_ => new StringBuilder())];
        await ReadAllAsync((i, token) =>
        {
            texts[i].Append(token.Text);
            return ValueTask.CompletedTask;
        }).ConfigureAwait(false);
        (string, string)[] choices = [.. texts.Select((text, i) => (text.ToString(), ReasonName(_answers[i].Finish)))];
        await _form.WriteWholeAsync(_context.Response, choices, AnswerFigures.UsageOf(_plan, _answers), AnswerFigures.TimingsOf(_prepared, _answers)).ConfigureAwait(false);
    }

    private async Task StreamAsync()
    {
        using var stream = new EventStream(_context, _model.Options.ReaderTimeLimit);
        using var gate = new SemaphoreSlim(1);
        bool[] isOpen = new bool[_answers.Count];
        try
        {
            await ReadAllAsync(async (i, token) =>
            {
                await gate.WaitAsync().ConfigureAwait(false);
                try
                {
                    Write(stream, i, token, isOpening: !isOpen[i]);
                    isOpen[i] = true;
                    await stream.FlushAsync(_ending.Token).ConfigureAwait(false);
                }
                finally
                {
                    gate.Release();
                }
            }).ConfigureAwait(false);
            if (_plan.IncludesUsage)
            {
                _form.WriteUsage(stream, AnswerFigures.UsageOf(_plan, _answers));
            }

            stream.WriteDone();
            await stream.FlushAsync(_ending.Token).ConfigureAwait(false);
        }
#pragma warning disable CA1031 // The status has gone out: an error can only be told in the stream.
        catch (Exception error) when (stream.HasStarted && !_context.RequestAborted.IsCancellationRequested)
#pragma warning restore CA1031
        {
            stream.Write(_errors.Describe(error).Response, ProtocolJson.Wire.ErrorResponse);
            await stream.FlushAsync(_context.RequestAborted).ConfigureAwait(false);
        }
    }

    private void Write(EventStream stream, int index, GeneratedToken token, bool isOpening)
    {
        if (isOpening)
        {
            _form.WriteOpening(stream, index);
        }

        if (token.Text.Length > 0)
        {
            _form.WriteText(stream, index, token.Text);
        }

        if (token.Finish != FinishReason.None)
        {
            _form.WriteFinish(stream, index, ReasonName(token.Finish), AnswerFigures.TimingsOf(_prepared, [_answers[index]]));
        }
    }

    private async Task ReadAllAsync(Func<int, GeneratedToken, ValueTask> take)
    {
        await Task.WhenAll(_answers.Select((_, i) => ReadAsync(i, take))).ConfigureAwait(false);
        if (_failure is not null)
        {
            ExceptionDispatchInfo.Throw(_failure);
        }
    }

    private async Task ReadAsync(int index, Func<int, GeneratedToken, ValueTask> take)
    {
        try
        {
            await foreach (GeneratedToken token in _answers[index].ReadAllAsync().ConfigureAwait(false))
            {
                await take(index, token).ConfigureAwait(false);
            }
        }
#pragma warning disable CA1031 // Thrown on when all answers have ended.
        catch (Exception error)
#pragma warning restore CA1031
        {
            if (Interlocked.CompareExchange(ref _failure, error, null) is null)
            {
                await _ending.CancelAsync().ConfigureAwait(false);
            }
        }
    }
}
