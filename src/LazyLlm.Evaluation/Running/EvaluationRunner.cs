using System.Diagnostics;
using LazyLlm.Evaluation.Methods;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Errors;

namespace LazyLlm.Evaluation.Running;

/// <summary>
/// Runs every item of some tasks under some methods, in a fixed order: dataset, item, method, run. The methods take turns
/// on each item, so that a change of the machine's load meets all of them.
/// </summary>
/// <param name="items">Runs one item.</param>
/// <param name="tasks">The tasks.</param>
/// <param name="methods">The methods; speed-ups are against one that is called <c>dense</c>.</param>
public sealed class EvaluationRunner(ItemRunner items, IReadOnlyList<IEvaluationTask> tasks, IReadOnlyList<IEvaluationMethod> methods)
{
    /// <summary>What the results depend on, besides the machine.</summary>
    /// <param name="modelDigest">Digest of the model's files.</param>
    public string Describe(string modelDigest) => string.Join(
        "; ",
        tasks.Select(task => task.Description)
            .Append($"methods {string.Join(" | ", methods.Select(method => $"{method.Name} x{method.RunCount}"))}")
            .Append($"seed {items.Seed}")
            .Append($"model {modelDigest}"));

    /// <summary>Runs what the log does not hold yet.</summary>
    /// <param name="log">Holds earlier results and receives new ones; null to keep them in memory alone.</param>
    /// <param name="progress">Told before each run.</param>
    /// <param name="cancellation">Checked within a layer; what was computed is in the log.</param>
    /// <returns>All results, in the fixed order.</returns>
    /// <exception cref="DataFormatException">An item cannot be read; found before anything is computed.</exception>
    /// <exception cref="InvalidOptionException">There is nothing to run, or two methods have one name.</exception>
    public IReadOnlyList<EvaluationResult> Run(ResultLog? log, IProgress<EvaluationProgress>? progress, CancellationToken cancellation)
    {
        if (methods.Count == 0 || tasks.Count == 0)
        {
            throw new InvalidOptionException("evaluation", "there is no task or no method to run; name one of each at least.");
        }

        if (methods.GroupBy(method => method.Name).FirstOrDefault(group => group.Count() > 1) is { } twice)
        {
            throw new InvalidOptionException("methods", $"'{twice.Key}' is named twice.");
        }

        var done = (log?.Results ?? []).ToDictionary(result => result.Key);
        int total = tasks.Sum(task => task.CountItems()) * methods.Sum(method => method.RunCount);
        var results = new List<EvaluationResult>(total);
        var clock = Stopwatch.StartNew();
        int fresh = 0;
        var warm = new HashSet<IEvaluationMethod>();
        foreach (IEvaluationTask task in tasks)
        {
            foreach (EvaluationItem item in task.ReadItems(items.Tokenizer))
            {
                foreach ((IEvaluationMethod method, int run) in methods.SelectMany(method => Enumerable.Range(0, method.RunCount).Select(run => (method, run))))
                {
                    if (done.TryGetValue((item.Dataset, item.Index, method.Name, run), out EvaluationResult? earlier))
                    {
                        results.Add(earlier);
                        continue;
                    }

                    TimeSpan? left = fresh == 0 ? null : clock.Elapsed / fresh * (total - results.Count);
                    progress?.Report(new EvaluationProgress(results.Count, total, $"{task.Name}, {method.Name}", left));
                    if (warm.Add(method))
                    {
                        // The first run of a method pays for code that is compiled and memory that grows.
                        items.Run(item with { FollowUps = [] }, task.Group, method, run, afterStep: null, cancellation);
                    }

                    EvaluationResult result = items.Run(item, task.Group, method, run, afterStep: null, cancellation);
                    log?.Append(result);
                    results.Add(result);
                    fresh++;
                }
            }
        }

        progress?.Report(new EvaluationProgress(results.Count, total, "done", TimeSpan.Zero));
        return results;
    }
}
