using System.Numerics.Tensors;
using LazyLlm.Native.Errors;

namespace LazyLlm.Native.Inference;

public sealed partial class Session
{
    /// <summary>
    /// Takes tokens in one step and tells how likely the model held each of them: for perplexity and self-information.
    /// </summary>
    /// <param name="tokens">New tokens.</param>
    /// <param name="cancellation">Checked between layers. A cancelled step leaves the session as it was.</param>
    /// <returns>Per token the natural logarithm of its probability given all before it; 0 for a session's first token.</returns>
    /// <exception cref="InvalidOptionException">There are no tokens, or tokens are pending, or the schedule prunes: pruned rows reach no logits.</exception>
    /// <exception cref="ContextLengthException">The tokens do not fit.</exception>
    public float[] ScoreTokens(ReadOnlySpan<int> tokens, CancellationToken cancellation = default)
    {
        _engine.Require(tokens);
        if (Plan.Stages.Length > 1)
        {
            throw new InvalidOptionException("pruning schedule", $"'{Schedule}' leaves rows without logits; score tokens in a session of the schedule 'none'.");
        }

        Enter();
        try
        {
            if (tokens.IsEmpty || _pending.Count > 0)
            {
                throw new InvalidOptionException("tokens", $"{tokens.Length} tokens to score behind {_pending.Count} pending ones, expected one at least and none pending.");
            }

            _generation++;
            int[] scored = tokens.ToArray();
            float[] logProbabilities = new float[scored.Length];
            if (Length > 0 && _logits.Length > 0)
            {
                logProbabilities[0] = LogProbability(_logits, scored[0]);
            }

            ForwardPass pass = _engine.RentPass();
            try
            {
                pass.RowLogits = (row, logits) =>
                {
                    if (row + 1 < scored.Length)
                    {
                        logProbabilities[row + 1] = LogProbability(logits, scored[row + 1]);
                    }
                };
                pass.Begin();
                pass.Add(_sequence, scored);
                Finish(pass, scored.Length, cancellation);
            }
            finally
            {
                pass.RowLogits = null;
                _engine.ReturnPass(pass);
            }

            return logProbabilities;
        }
        finally
        {
            Exit();
        }
    }

    private static float LogProbability(ReadOnlySpan<float> logits, int token)
    {
        float highest = TensorPrimitives.Max(logits);
        double sum = 0;
        foreach (float logit in logits)
        {
            sum += Math.Exp(logit - highest);
        }

        return (float)(logits[token] - highest - Math.Log(sum));
    }
}
