using LazyLlm.Native.Diagnostics;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Native.Scheduling;
using Xunit;

namespace LazyLlm.Native.Tests.Diagnostics;

/// <summary>Alone in the process: tests beside these would listen.</summary>
[Collection(EnvironmentTests.Name)]
public sealed class UnheardTelemetryTests
{
    [Fact]
    public void A_request_that_nobody_listens_to_costs_no_memory()
    {
        var request = new GenerationRequest { Tokens = new int[] { 1 }, Schedule = PruningSchedule.Paper };
        var statistics = new RunStatistics { GeneratedTokens = 3, TimePerOutputToken = TimeSpan.FromMilliseconds(1) };
        var refusal = new QueueFullException(1, 1);
        long least = long.MaxValue;
        for (int i = 0; i < 40; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            var telemetry = new RequestTelemetry(request, "model", TimeSpan.Zero);
            telemetry.Admit(TimeSpan.FromSeconds(1), 10);
            telemetry.RecordFirstToken(TimeSpan.FromSeconds(2));
            telemetry.BeginDecode();
            telemetry.End(TimeSpan.FromSeconds(3), statistics, FinishReason.Stop, null);
            telemetry.End(TimeSpan.FromSeconds(3), statistics, FinishReason.None, refusal);
            RequestTelemetry.RecordRefusal(request, "model", refusal);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }
}
