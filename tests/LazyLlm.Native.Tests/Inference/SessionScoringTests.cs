using LazyLlm.Native.Errors;
using LazyLlm.Native.Inference;
using LazyLlm.Native.Pruning;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Inference;

public sealed class SessionScoringTests
{
    private static readonly int[] Tokens = [1, 9, 4, 4, 30, 2, 17, 5];

    [Fact]
    public async Task Scores_are_the_log_probabilities_that_single_steps_give()
    {
        using LlamaEngine engine = await LoadAsync();
        using Session session = engine.CreateSession();
        float[] scores = session.ScoreTokens(Tokens, TestContext.Current.CancellationToken);
        using Session stepped = engine.CreateSession();
        Assert.Equal(0, scores[0]);
        for (int i = 0; i + 1 < Tokens.Length; i++)
        {
            double[] logits = [.. stepped.Step([Tokens[i]], TestContext.Current.CancellationToken).ToArray().Select(logit => (double)logit)];
            double expected = logits[Tokens[i + 1]] - Math.Log(logits.Sum(Math.Exp));
            Assert.Equal(expected, scores[i + 1], 1e-4);
        }

        // The session goes on from there: its next score follows from all that was scored.
        float next = session.ScoreTokens([7], TestContext.Current.CancellationToken)[0];
        double[] last = [.. stepped.Step([Tokens[^1]], TestContext.Current.CancellationToken).ToArray().Select(logit => (double)logit)];
        Assert.Equal(last[7] - Math.Log(last.Sum(Math.Exp)), next, 1e-4);
    }

    [Fact]
    public async Task A_pruned_session_and_pending_tokens_are_refused()
    {
        using LlamaEngine engine = await LoadAsync();
        using Session pruned = engine.CreateSession(PruningSchedule.Parse("2:0.5"));
        Assert.Throws<InvalidOptionException>(() => pruned.ScoreTokens(Tokens, TestContext.Current.CancellationToken));
        using Session session = engine.CreateSession();
        Assert.Throws<InvalidOptionException>(() => session.ScoreTokens([], TestContext.Current.CancellationToken));
        session.Append([3]);
        Assert.Throws<InvalidOptionException>(() => session.ScoreTokens(Tokens, TestContext.Current.CancellationToken));
    }

    private static Task<LlamaEngine> LoadAsync()
        => LlamaEngine.LoadAsync(RepositoryFiles.Golden("models", "tiny-mha"), new EngineOptions { Device = "cpu" }, null, TestContext.Current.CancellationToken);
}
