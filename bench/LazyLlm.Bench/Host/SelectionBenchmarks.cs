using BenchmarkDotNet.Attributes;
using LazyLlm.Native.Backends;
using LazyLlm.Native.Backends.Cpu;

namespace LazyLlm.Bench.Host;

/// <summary>The CPU backend's choice of a third of the positions by importance; the baseline sorts all of them.</summary>
public class SelectionBenchmarks : IDisposable
{
    private readonly TokenSelection _selection = new();
    private readonly CpuStageCache _cache = new(0, 0, 1);
    private float[] _importance = [];
    private float[] _keys = [];
    private int[] _positions = [];
    private int[] _chosen = [];
    private SelectionRequest _request;

    /// <summary>Positions to choose from.</summary>
    [Params(1024, 4096, 32768)]
    public int Positions { get; set; }

    /// <summary>Draws the scores, and checks that both choose alike.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        var random = new Random(1);
        _importance = [.. Enumerable.Range(0, Positions).Select(_ => random.NextSingle())];
        _keys = new float[Positions];
        _positions = [.. Enumerable.Range(0, Positions)];
        _chosen = new int[Positions];
        _request = new SelectionRequest(1, (int)Math.Ceiling(0.343 * Positions), Positions, 0, FirstFill: true, 1, 0, 1, 0, Static: false);
        _importance[^1] = 1;
        int[] chosen = _chosen.AsSpan(0, Select()).ToArray();
        if (!_chosen.AsSpan(0, FullSort()).SequenceEqual(chosen))
        {
            throw new InvalidOperationException("The selection and the sort choose other positions.");
        }
    }

    /// <summary>Frees the empty cache.</summary>
    [GlobalCleanup]
    public void Dispose()
    {
        _cache.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>All by score, the best third by position.</summary>
    [Benchmark(Baseline = true)]
    public int FullSort()
    {
        for (int i = 0; i < _keys.Length; i++)
        {
            _keys[i] = -_importance[i];
        }

        _positions.CopyTo(_chosen, 0);
        Array.Sort(_keys, _chosen);
        Array.Sort(_chosen, 0, _request.KeepCount);
        return _request.KeepCount;
    }

    /// <summary>Ours.</summary>
    [Benchmark]
    public int Select()
    {
        _positions.CopyTo(_chosen, 0);
        return _selection.Select(_importance, _chosen, Positions, _cache, _request);
    }
}
