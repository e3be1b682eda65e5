namespace LazyLlm.Native.Backends.Cuda.Execution;

/// <summary>The shape of a launch: blocks, threads per block, and what a block may use.</summary>
/// <param name="GridX">Blocks along x, up to 2^31 - 1. A grid with no blocks launches nothing.</param>
/// <param name="BlockX">Threads along x.</param>
internal readonly record struct LaunchConfig(uint GridX, uint BlockX)
{
    /// <summary>Blocks along y and z that the hardware allows.</summary>
    public const uint MaxGridYZ = 65535;

    /// <summary>A launch of a two- or three-dimensional grid.</summary>
    public LaunchConfig(uint gridX, uint gridY, uint gridZ, uint blockX)
        : this(gridX, blockX)
    {
        GridY = gridY;
        GridZ = gridZ;
    }

    /// <summary>Blocks along y, up to 65,535.</summary>
    public uint GridY { get; init; } = 1;

    /// <summary>Blocks along z, up to 65,535.</summary>
    public uint GridZ { get; init; } = 1;

    /// <summary>Threads along y.</summary>
    public uint BlockY { get; init; } = 1;

    /// <summary>Threads along z.</summary>
    public uint BlockZ { get; init; } = 1;

    /// <summary>Bytes of dynamic shared memory per block. Above 48 KB the kernel is opted in by itself.</summary>
    public uint SharedBytes { get; init; }

    /// <summary>Blocks per cluster along x; 1 for none (compute capability 9.0 and later).</summary>
    public uint ClusterX { get; init; } = 1;

    /// <summary>
    /// Whether the kernel waits by itself for those before it (<c>wait_for_dependencies</c> in ptx.cuh), so that it may start
    /// before they end (compute capability 9.0 and later).
    /// </summary>
    public bool DependentLaunch { get; init; }

    /// <summary>Threads per block.</summary>
    public uint Threads => BlockX * BlockY * BlockZ;

    /// <summary>Whether there is no block to run.</summary>
    public bool IsEmpty => GridX == 0 || GridY == 0 || GridZ == 0;
}
