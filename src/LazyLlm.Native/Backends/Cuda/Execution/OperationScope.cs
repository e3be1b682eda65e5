using LazyLlm.Native.Interop.Nvtx;

namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>
/// What this thread is doing, for error messages, and an NVTX range of the same name where a profiler is attached.
/// Scopes nest; stage and layer are inherited from the outer scope unless they are given. Opening one takes no memory.
/// <code>using (OperationScope.Open(Names.Layer, layer: 3)) { ... }</code>
/// </summary>
internal readonly ref struct OperationScope
{
    [ThreadStatic]
    private static Operation _current;

    private readonly Operation _outer;

    private OperationScope(Operation outer) => _outer = outer;

    /// <summary>Opens a scope, which its disposal closes.</summary>
    /// <param name="name">The operation.</param>
    /// <param name="stage">The stage, from 0; -1 for that of the outer scope.</param>
    /// <param name="layer">The layer, from 0; -1 for that of the outer scope.</param>
    public static OperationScope Open(OperationName name, int stage = -1, int layer = -1)
    {
        Operation outer = _current;
        _current = new Operation(name, stage < 0 ? outer.StageNumber : stage + 1, layer < 0 ? outer.LayerNumber : layer + 1);
        if (NvtxDomain.IsEnabled)
        {
            NvtxDomain.Push(name.NvtxString, layer >= 0 ? layer : stage);
        }

        return new OperationScope(outer);
    }

    /// <summary>The open operation in words, e.g. "attend_gathered (stage 1, layer 12)".</summary>
    public static string Describe()
    {
        Operation current = _current;
        if (current.Name is null)
        {
            return "set-up";
        }

        return (current.StageNumber, current.LayerNumber) switch
        {
            (0, 0) => current.Name.Text,
            (0, _) => $"{current.Name.Text} (layer {current.LayerNumber - 1})",
            (_, 0) => $"{current.Name.Text} (stage {current.StageNumber - 1})",
            _ => $"{current.Name.Text} (stage {current.StageNumber - 1}, layer {current.LayerNumber - 1})",
        };
    }

    /// <summary>Closes the scope.</summary>
    public void Dispose()
    {
        _current = _outer;
        if (NvtxDomain.IsEnabled)
        {
            NvtxDomain.Pop();
        }
    }

    // Counted from 1, so that the default value means "none".
    private readonly record struct Operation(OperationName? Name, int StageNumber, int LayerNumber);
}
