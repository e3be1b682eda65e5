using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>
/// A sequence's recorded stages. Recording costs about as much as issuing the work, and preparing the graph more, so a
/// shape is recorded when it comes for the second time.
/// </summary>
internal sealed class StageGraphs : IDisposable
{
    private readonly Dictionary<StageShape, CudaGraphExec?> _graphs = [];

    /// <summary>The graph of a shape.</summary>
    /// <param name="shape">The shape.</param>
    /// <param name="graph">The graph; null if it is not recorded yet.</param>
    /// <returns>Whether the shape has come before; if not, it has now.</returns>
    public bool Find(in StageShape shape, out CudaGraphExec? graph)
    {
        if (_graphs.TryGetValue(shape, out graph))
        {
            return true;
        }

        _graphs.Add(shape, null);
        return false;
    }

    /// <summary>Keeps a recorded graph.</summary>
    public void Add(in StageShape shape, CudaGraphExec graph) => _graphs[shape] = graph;

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (CudaGraphExec? graph in _graphs.Values)
        {
            graph?.Dispose();
        }

        _graphs.Clear();
    }
}
