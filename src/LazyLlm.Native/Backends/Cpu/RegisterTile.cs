using System.Runtime.CompilerServices;

namespace LazyLlm.Native.Backends.Cpu;

/// <summary>
/// The register tiles of every matrix product: rows of A times one or more panels of W. A panel holds 2 x lanes columns
/// of the result, number k of each side by side (<c>panel[k][column]</c>), so the inner loop reads it in one stream.
/// </summary>
/// <remarks>
/// Every number of the result is one chain of multiply-adds over k = 0, 1, 2 ..., from zero, in every tile. So a row's
/// result does not depend on how many rows stand beside it, on the tile that took it, or on the number of threads.
/// The accumulators are named variables because the JIT keeps no array in registers.
/// </remarks>
internal static unsafe class RegisterTile<TLanes, TVector, TFormat>
    where TLanes : struct, ILanes<TVector>
    where TVector : unmanaged
    where TFormat : struct, IWeightFormat<TLanes, TVector>
{
    /// <summary>12 rows x 1 panel: 24 accumulators, for 32 registers. Writes 12 rows of 2 registers, <paramref name="tileStride"/> floats apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Twelve(float* a, nint aStride, byte* panel, int depth, float* tile, nint tileStride)
    {
        nint half = TLanes.Count * TFormat.ElementSize;
        nint stride2 = aStride * 2;
        nint stride3 = aStride * 3;
        float* a4 = a + (4 * aStride);
        float* a8 = a + (8 * aStride);
        TVector c00a = TLanes.Zero, c00b = TLanes.Zero;
        TVector c01a = TLanes.Zero, c01b = TLanes.Zero;
        TVector c02a = TLanes.Zero, c02b = TLanes.Zero;
        TVector c03a = TLanes.Zero, c03b = TLanes.Zero;
        TVector c04a = TLanes.Zero, c04b = TLanes.Zero;
        TVector c05a = TLanes.Zero, c05b = TLanes.Zero;
        TVector c06a = TLanes.Zero, c06b = TLanes.Zero;
        TVector c07a = TLanes.Zero, c07b = TLanes.Zero;
        TVector c08a = TLanes.Zero, c08b = TLanes.Zero;
        TVector c09a = TLanes.Zero, c09b = TLanes.Zero;
        TVector c10a = TLanes.Zero, c10b = TLanes.Zero;
        TVector c11a = TLanes.Zero, c11b = TLanes.Zero;
        float* end = a + depth;
        while (a != end)
        {
            TVector ba = TFormat.Load(panel);
            TVector bb = TFormat.Load(panel + half);
            TVector x0 = TLanes.Broadcast(*a);
            c00a = TLanes.MultiplyAdd(x0, ba, c00a);
            c00b = TLanes.MultiplyAdd(x0, bb, c00b);
            TVector x1 = TLanes.Broadcast(*(a + aStride));
            c01a = TLanes.MultiplyAdd(x1, ba, c01a);
            c01b = TLanes.MultiplyAdd(x1, bb, c01b);
            TVector x2 = TLanes.Broadcast(*(a + stride2));
            c02a = TLanes.MultiplyAdd(x2, ba, c02a);
            c02b = TLanes.MultiplyAdd(x2, bb, c02b);
            TVector x3 = TLanes.Broadcast(*(a + stride3));
            c03a = TLanes.MultiplyAdd(x3, ba, c03a);
            c03b = TLanes.MultiplyAdd(x3, bb, c03b);
            TVector x4 = TLanes.Broadcast(*a4);
            c04a = TLanes.MultiplyAdd(x4, ba, c04a);
            c04b = TLanes.MultiplyAdd(x4, bb, c04b);
            TVector x5 = TLanes.Broadcast(*(a4 + aStride));
            c05a = TLanes.MultiplyAdd(x5, ba, c05a);
            c05b = TLanes.MultiplyAdd(x5, bb, c05b);
            TVector x6 = TLanes.Broadcast(*(a4 + stride2));
            c06a = TLanes.MultiplyAdd(x6, ba, c06a);
            c06b = TLanes.MultiplyAdd(x6, bb, c06b);
            TVector x7 = TLanes.Broadcast(*(a4 + stride3));
            c07a = TLanes.MultiplyAdd(x7, ba, c07a);
            c07b = TLanes.MultiplyAdd(x7, bb, c07b);
            TVector x8 = TLanes.Broadcast(*a8);
            c08a = TLanes.MultiplyAdd(x8, ba, c08a);
            c08b = TLanes.MultiplyAdd(x8, bb, c08b);
            TVector x9 = TLanes.Broadcast(*(a8 + aStride));
            c09a = TLanes.MultiplyAdd(x9, ba, c09a);
            c09b = TLanes.MultiplyAdd(x9, bb, c09b);
            TVector x10 = TLanes.Broadcast(*(a8 + stride2));
            c10a = TLanes.MultiplyAdd(x10, ba, c10a);
            c10b = TLanes.MultiplyAdd(x10, bb, c10b);
            TVector x11 = TLanes.Broadcast(*(a8 + stride3));
            c11a = TLanes.MultiplyAdd(x11, ba, c11a);
            c11b = TLanes.MultiplyAdd(x11, bb, c11b);
            panel += 2 * half;
            a++;
            a4++;
            a8++;
        }

        TLanes.Store(c00a, tile);
        TLanes.Store(c00b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c01a, tile);
        TLanes.Store(c01b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c02a, tile);
        TLanes.Store(c02b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c03a, tile);
        TLanes.Store(c03b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c04a, tile);
        TLanes.Store(c04b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c05a, tile);
        TLanes.Store(c05b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c06a, tile);
        TLanes.Store(c06b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c07a, tile);
        TLanes.Store(c07b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c08a, tile);
        TLanes.Store(c08b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c09a, tile);
        TLanes.Store(c09b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c10a, tile);
        TLanes.Store(c10b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c11a, tile);
        TLanes.Store(c11b, tile + (1 * TLanes.Count));
    }

    /// <summary>6 rows x 1 panel: 12 accumulators, for 16 registers. Writes 6 rows of 2 registers, <paramref name="tileStride"/> floats apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Six(float* a, nint aStride, byte* panel, int depth, float* tile, nint tileStride)
    {
        nint half = TLanes.Count * TFormat.ElementSize;
        nint stride2 = aStride * 2;
        nint stride3 = aStride * 3;
        float* a4 = a + (4 * aStride);
        TVector c00a = TLanes.Zero, c00b = TLanes.Zero;
        TVector c01a = TLanes.Zero, c01b = TLanes.Zero;
        TVector c02a = TLanes.Zero, c02b = TLanes.Zero;
        TVector c03a = TLanes.Zero, c03b = TLanes.Zero;
        TVector c04a = TLanes.Zero, c04b = TLanes.Zero;
        TVector c05a = TLanes.Zero, c05b = TLanes.Zero;
        float* end = a + depth;
        while (a != end)
        {
            TVector ba = TFormat.Load(panel);
            TVector bb = TFormat.Load(panel + half);
            TVector x0 = TLanes.Broadcast(*a);
            c00a = TLanes.MultiplyAdd(x0, ba, c00a);
            c00b = TLanes.MultiplyAdd(x0, bb, c00b);
            TVector x1 = TLanes.Broadcast(*(a + aStride));
            c01a = TLanes.MultiplyAdd(x1, ba, c01a);
            c01b = TLanes.MultiplyAdd(x1, bb, c01b);
            TVector x2 = TLanes.Broadcast(*(a + stride2));
            c02a = TLanes.MultiplyAdd(x2, ba, c02a);
            c02b = TLanes.MultiplyAdd(x2, bb, c02b);
            TVector x3 = TLanes.Broadcast(*(a + stride3));
            c03a = TLanes.MultiplyAdd(x3, ba, c03a);
            c03b = TLanes.MultiplyAdd(x3, bb, c03b);
            TVector x4 = TLanes.Broadcast(*a4);
            c04a = TLanes.MultiplyAdd(x4, ba, c04a);
            c04b = TLanes.MultiplyAdd(x4, bb, c04b);
            TVector x5 = TLanes.Broadcast(*(a4 + aStride));
            c05a = TLanes.MultiplyAdd(x5, ba, c05a);
            c05b = TLanes.MultiplyAdd(x5, bb, c05b);
            panel += 2 * half;
            a++;
            a4++;
        }

        TLanes.Store(c00a, tile);
        TLanes.Store(c00b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c01a, tile);
        TLanes.Store(c01b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c02a, tile);
        TLanes.Store(c02b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c03a, tile);
        TLanes.Store(c03b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c04a, tile);
        TLanes.Store(c04b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c05a, tile);
        TLanes.Store(c05b, tile + (1 * TLanes.Count));
    }

    /// <summary>4 rows x 1 panel: 8 accumulators, as many as two multiply-adds a cycle need. Writes 4 rows of 2 registers, <paramref name="tileStride"/> floats apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void FourOfOne(float* a, nint aStride, byte* panel, int depth, float* tile, nint tileStride)
    {
        nint half = TLanes.Count * TFormat.ElementSize;
        nint stride2 = aStride * 2;
        nint stride3 = aStride * 3;
        TVector c00a = TLanes.Zero, c00b = TLanes.Zero;
        TVector c01a = TLanes.Zero, c01b = TLanes.Zero;
        TVector c02a = TLanes.Zero, c02b = TLanes.Zero;
        TVector c03a = TLanes.Zero, c03b = TLanes.Zero;
        float* end = a + depth;
        while (a != end)
        {
            TVector ba = TFormat.Load(panel);
            TVector bb = TFormat.Load(panel + half);
            TVector x0 = TLanes.Broadcast(*a);
            c00a = TLanes.MultiplyAdd(x0, ba, c00a);
            c00b = TLanes.MultiplyAdd(x0, bb, c00b);
            TVector x1 = TLanes.Broadcast(*(a + aStride));
            c01a = TLanes.MultiplyAdd(x1, ba, c01a);
            c01b = TLanes.MultiplyAdd(x1, bb, c01b);
            TVector x2 = TLanes.Broadcast(*(a + stride2));
            c02a = TLanes.MultiplyAdd(x2, ba, c02a);
            c02b = TLanes.MultiplyAdd(x2, bb, c02b);
            TVector x3 = TLanes.Broadcast(*(a + stride3));
            c03a = TLanes.MultiplyAdd(x3, ba, c03a);
            c03b = TLanes.MultiplyAdd(x3, bb, c03b);
            panel += 2 * half;
            a++;
        }

        TLanes.Store(c00a, tile);
        TLanes.Store(c00b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c01a, tile);
        TLanes.Store(c01b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c02a, tile);
        TLanes.Store(c02b, tile + (1 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c03a, tile);
        TLanes.Store(c03b, tile + (1 * TLanes.Count));
    }

    /// <summary>4 rows x 2 neighbouring panels: 16 accumulators, for 32 registers. Writes 4 rows of 4 registers, <paramref name="tileStride"/> floats apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Four(float* a, nint aStride, byte* panel, nint panelBytes, int depth, float* tile, nint tileStride)
    {
        nint half = TLanes.Count * TFormat.ElementSize;
        nint stride2 = aStride * 2;
        nint stride3 = aStride * 3;
        TVector c00a = TLanes.Zero, c00b = TLanes.Zero, c00c = TLanes.Zero, c00d = TLanes.Zero;
        TVector c01a = TLanes.Zero, c01b = TLanes.Zero, c01c = TLanes.Zero, c01d = TLanes.Zero;
        TVector c02a = TLanes.Zero, c02b = TLanes.Zero, c02c = TLanes.Zero, c02d = TLanes.Zero;
        TVector c03a = TLanes.Zero, c03b = TLanes.Zero, c03c = TLanes.Zero, c03d = TLanes.Zero;
        float* end = a + depth;
        while (a != end)
        {
            TVector ba = TFormat.Load(panel);
            TVector bb = TFormat.Load(panel + half);
            TVector bc = TFormat.Load(panel + panelBytes);
            TVector bd = TFormat.Load(panel + panelBytes + half);
            TVector x0 = TLanes.Broadcast(*a);
            c00a = TLanes.MultiplyAdd(x0, ba, c00a);
            c00b = TLanes.MultiplyAdd(x0, bb, c00b);
            c00c = TLanes.MultiplyAdd(x0, bc, c00c);
            c00d = TLanes.MultiplyAdd(x0, bd, c00d);
            TVector x1 = TLanes.Broadcast(*(a + aStride));
            c01a = TLanes.MultiplyAdd(x1, ba, c01a);
            c01b = TLanes.MultiplyAdd(x1, bb, c01b);
            c01c = TLanes.MultiplyAdd(x1, bc, c01c);
            c01d = TLanes.MultiplyAdd(x1, bd, c01d);
            TVector x2 = TLanes.Broadcast(*(a + stride2));
            c02a = TLanes.MultiplyAdd(x2, ba, c02a);
            c02b = TLanes.MultiplyAdd(x2, bb, c02b);
            c02c = TLanes.MultiplyAdd(x2, bc, c02c);
            c02d = TLanes.MultiplyAdd(x2, bd, c02d);
            TVector x3 = TLanes.Broadcast(*(a + stride3));
            c03a = TLanes.MultiplyAdd(x3, ba, c03a);
            c03b = TLanes.MultiplyAdd(x3, bb, c03b);
            c03c = TLanes.MultiplyAdd(x3, bc, c03c);
            c03d = TLanes.MultiplyAdd(x3, bd, c03d);
            panel += 2 * half;
            a++;
        }

        TLanes.Store(c00a, tile);
        TLanes.Store(c00b, tile + (1 * TLanes.Count));
        TLanes.Store(c00c, tile + (2 * TLanes.Count));
        TLanes.Store(c00d, tile + (3 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c01a, tile);
        TLanes.Store(c01b, tile + (1 * TLanes.Count));
        TLanes.Store(c01c, tile + (2 * TLanes.Count));
        TLanes.Store(c01d, tile + (3 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c02a, tile);
        TLanes.Store(c02b, tile + (1 * TLanes.Count));
        TLanes.Store(c02c, tile + (2 * TLanes.Count));
        TLanes.Store(c02d, tile + (3 * TLanes.Count));
        tile += tileStride;
        TLanes.Store(c03a, tile);
        TLanes.Store(c03b, tile + (1 * TLanes.Count));
        TLanes.Store(c03c, tile + (2 * TLanes.Count));
        TLanes.Store(c03d, tile + (3 * TLanes.Count));
    }

    /// <summary>1 row x 4 neighbouring panels: enough chains side by side to read W at the speed of memory. Writes 1 rows of 8 registers, <paramref name="tileStride"/> floats apart.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void One(float* a, nint aStride, byte* panel, nint panelBytes, int depth, float* tile, nint tileStride)
    {
        nint half = TLanes.Count * TFormat.ElementSize;
        TVector c00a = TLanes.Zero, c00b = TLanes.Zero, c00c = TLanes.Zero, c00d = TLanes.Zero, c00e = TLanes.Zero, c00f = TLanes.Zero, c00g = TLanes.Zero, c00h = TLanes.Zero;
        float* end = a + depth;
        byte* panel2 = panel + (2 * panelBytes);
        while (a != end)
        {
            TVector ba = TFormat.Load(panel);
            TVector bb = TFormat.Load(panel + half);
            TVector bc = TFormat.Load(panel + panelBytes);
            TVector bd = TFormat.Load(panel + panelBytes + half);
            TVector be = TFormat.Load(panel2);
            TVector bf = TFormat.Load(panel2 + half);
            TVector bg = TFormat.Load(panel2 + panelBytes);
            TVector bh = TFormat.Load(panel2 + panelBytes + half);
            TVector x0 = TLanes.Broadcast(*a);
            c00a = TLanes.MultiplyAdd(x0, ba, c00a);
            c00b = TLanes.MultiplyAdd(x0, bb, c00b);
            c00c = TLanes.MultiplyAdd(x0, bc, c00c);
            c00d = TLanes.MultiplyAdd(x0, bd, c00d);
            c00e = TLanes.MultiplyAdd(x0, be, c00e);
            c00f = TLanes.MultiplyAdd(x0, bf, c00f);
            c00g = TLanes.MultiplyAdd(x0, bg, c00g);
            c00h = TLanes.MultiplyAdd(x0, bh, c00h);
            panel += 2 * half;
            panel2 += 2 * half;
            a++;
        }

        TLanes.Store(c00a, tile);
        TLanes.Store(c00b, tile + (1 * TLanes.Count));
        TLanes.Store(c00c, tile + (2 * TLanes.Count));
        TLanes.Store(c00d, tile + (3 * TLanes.Count));
        TLanes.Store(c00e, tile + (4 * TLanes.Count));
        TLanes.Store(c00f, tile + (5 * TLanes.Count));
        TLanes.Store(c00g, tile + (6 * TLanes.Count));
        TLanes.Store(c00h, tile + (7 * TLanes.Count));
    }
}
