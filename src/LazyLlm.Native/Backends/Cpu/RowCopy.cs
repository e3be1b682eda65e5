using System.Runtime.InteropServices;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>Rows between the Aux cache, where they lie by position, and a workspace, where they lie side by side.</summary>
internal unsafe struct RowCopy : IParallelJob
{
    private const int TaskRows = 32;

    private float* _aux;
    private float* _rows;
    private int* _positions;
    private int _count;
    private int _width;
    private bool _toAux;

    /// <summary>rows[i] = aux[positions[i]], or the other way round.</summary>
    public static void Run(WorkerPool pool, float* aux, float* rows, ReadOnlySpan<int> positions, int width, bool toAux)
    {
        fixed (int* pinned = positions)
        {
            RowCopy job = new() { _aux = aux, _rows = rows, _positions = pinned, _count = positions.Length, _width = width, _toAux = toAux };
            pool.Run(in job, (positions.Length + TaskRows - 1) / TaskRows, (long)positions.Length * width);
        }
    }

    /// <inheritdoc/>
    public readonly void Run(int task, FloatBuffer scratch)
    {
        int end = Math.Min(_count, (task + 1) * TaskRows);
        for (int i = task * TaskRows; i < end; i++)
        {
            float* aux = _aux + ((nint)_positions[i] * _width);
            float* row = _rows + ((nint)i * _width);
            NativeMemory.Copy(_toAux ? row : aux, _toAux ? aux : row, (nuint)_width * sizeof(float));
        }
    }
}
