using LazyLlm.Evaluation.Running;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Evaluation.Sweep;

/// <summary>Measures the paper's Figures 5 to 7 on any model and tasks, and recommends a schedule.</summary>
public sealed class SweepRunner
{
    private readonly ItemRunner _items;
    private readonly IReadOnlyList<IEvaluationTask> _tasks;
    private readonly SweepOptions _options;
    private readonly SweepPlan _plan;
    private readonly EvaluationRunner _runner;

    /// <summary>Plans a sweep.</summary>
    /// <param name="items">Runs one item.</param>
    /// <param name="tasks">The tasks.</param>
    /// <param name="options">What to run and look for.</param>
    public SweepRunner(ItemRunner items, IReadOnlyList<IEvaluationTask> tasks, SweepOptions options)
    {
        ArgumentNullException.ThrowIfNull(items);
        ArgumentNullException.ThrowIfNull(tasks);
        ArgumentNullException.ThrowIfNull(options);
        _items = items;
        _tasks = tasks;
        _options = options;
        _plan = SweepPlan.Create(items.Engine.Config.LayerCount, options.Rule, options.Families, options.Layers);
        _runner = new EvaluationRunner(items, tasks, _plan.Methods);
    }

    /// <summary>What the results depend on, besides the machine.</summary>
    public string Describe(string modelDigest) => _runner.Describe(modelDigest);

    /// <summary>Runs what the log does not hold yet, and sums up.</summary>
    /// <exception cref="InvalidOptionException">There are fewer than two items, so none to calibrate on and another to report on.</exception>
    public SweepResult Run(ResultLog? log, IProgress<EvaluationProgress>? progress, CancellationToken cancellation)
    {
        if (_tasks.All(task => task.CountItems() < 2))
        {
            throw new InvalidOptionException("limit", "a sweep needs two items of a task at least: one to choose a schedule on, and one to report it on.");
        }

        IReadOnlyList<EvaluationResult> results = _runner.Run(log, progress, cancellation);
        List<EvaluationItem> prompts = [.. _tasks.SelectMany(task => task.ReadItems(_items.Tokenizer)).Take(_options.GrowthPrompts)];
        CacheGrowth growth = CacheGrowth.Measure(_items, prompts, PruningSchedule.Parse(_plan.GrowthSchedule), _options.GrowthSteps, progress, cancellation);
        return new SweepResult(_plan, results, growth, Recommendation.Choose(results, _options.AllowedLoss));
    }
}
