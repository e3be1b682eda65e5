using System.Runtime.CompilerServices;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>Lays rows of numbers out as panels: <c>panel[k][row]</c>, 2 x lanes rows wide.</summary>
internal static unsafe class PanelPacking<TLanes, TVector>
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
{
    /// <summary>Rows of a panel.</summary>
    public static int Width => 2 * TLanes.Count;

    /// <summary>Packs <see cref="Width"/> rows of <paramref name="depth"/> 32-bit numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pack(float** rows, int depth, float* panel)
    {
        int lanes = TLanes.Count;
        int k = 0;
        for (; k + lanes <= depth; k += lanes)
        {
            TLanes.Transpose(rows, k, panel + (k * Width), Width);
            TLanes.Transpose(rows + lanes, k, panel + (k * Width) + lanes, Width);
        }

        for (; k < depth; k++)
        {
            for (int row = 0; row < Width; row++)
            {
                panel[(k * Width) + row] = rows[row][k];
            }
        }
    }

    /// <summary>Packs <see cref="Width"/> rows of <paramref name="depth"/> 16-bit numbers.</summary>
    [SkipLocalsInit]
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pack(ushort** rows, int depth, ushort* panel)
    {
        int lanes = TLanes.Count;
        float* pairs = stackalloc float[16 * 32];
        int k = 0;
        for (; k + (2 * lanes) <= depth; k += 2 * lanes)
        {
            // Two neighbouring 16-bit numbers move as one 32-bit number and are taken apart afterwards.
            TLanes.Transpose((float**)rows, k / 2, pairs, Width);
            TLanes.Transpose((float**)(rows + lanes), k / 2, pairs + lanes, Width);
            for (int i = 0; i < lanes; i++)
            {
                float* pair = pairs + (i * Width);
                ushort* even = panel + ((k + (2 * i)) * Width);
                TLanes.StoreWords(TLanes.Load(pair), TLanes.Load(pair + lanes), even, even + Width);
            }
        }

        for (; k < depth; k++)
        {
            for (int row = 0; row < Width; row++)
            {
                panel[(k * Width) + row] = rows[row][k];
            }
        }
    }
}
