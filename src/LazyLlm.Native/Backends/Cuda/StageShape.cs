namespace LazyLlm.Native.Backends.Cuda;

/// <summary>What a recorded stage is good for: all that is fixed in its launches. Counts are rounded up and read on the device.</summary>
/// <param name="Workspace">The workspace and its addresses: <see cref="CudaWorkspace.Identity"/>.</param>
/// <param name="Stage">The stage.</param>
/// <param name="Rows">|C|, rounded up to a power of two.</param>
/// <param name="TokenCount">|T|, rounded up to a power of two.</param>
/// <param name="NewRows">Those of C that are new: how many rows may be scored.</param>
/// <param name="Dense">Whether slot order is position order and C is T's tail.</param>
internal readonly record struct StageShape(long Workspace, int Stage, int Rows, int TokenCount, int NewRows, bool Dense);
