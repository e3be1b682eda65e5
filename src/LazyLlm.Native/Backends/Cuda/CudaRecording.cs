using LazyLlm.Native.Backends.Cuda.Execution;

namespace LazyLlm.Native.Backends.Cuda;

/// <summary>A stage that is being recorded instead of run.</summary>
internal sealed class CudaRecording : IDisposable
{
    private readonly CudaGraph _graph;

    /// <summary>Starts recording what is enqueued on <paramref name="stream"/>.</summary>
    public CudaRecording(CudaStream stream, CudaSequence sequence, in StageShape shape)
    {
        Sequence = sequence;
        Shape = shape;
        _graph = CudaGraph.Begin(stream);
    }

    /// <summary>Whose stage it is.</summary>
    public CudaSequence Sequence { get; }

    /// <summary>What the recording will be good for.</summary>
    public StageShape Shape { get; }

    /// <summary>Ends the recording, makes it ready to run, and keeps it with its sequence.</summary>
    public CudaGraphExec Finish()
    {
        try
        {
            _graph.End();
            var stage = new CudaGraphExec(_graph);
            Sequence.Graphs.Add(Shape, stage);
            return stage;
        }
        finally
        {
            Dispose();
        }
    }

    /// <summary>Throws the recording away.</summary>
    public void Dispose() => _graph.Abandon();
}
