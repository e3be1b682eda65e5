using System.Runtime.InteropServices;

namespace LazyLlm.Bench;

/// <summary>OpenBLAS, where it is installed: the yardstick of the matrix products.</summary>
internal sealed unsafe class CpuOpenBlas
{
    private const int RowMajor = 101;
    private const int NoTranspose = 111;
    private const int Transpose = 112;

    private readonly delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void> _sgemm;

    private CpuOpenBlas(nint library, int threads)
    {
        _sgemm = (delegate* unmanaged<int, int, int, int, int, int, float, float*, int, float*, int, float, float*, int, void>)
            NativeLibrary.GetExport(library, "cblas_sgemm");
        ((delegate* unmanaged<int, void>)NativeLibrary.GetExport(library, "openblas_set_num_threads"))(threads);
        CoreName = Marshal.PtrToStringAnsi((nint)((delegate* unmanaged<byte*>)NativeLibrary.GetExport(library, "openblas_get_corename"))()) ?? "";
    }

    /// <summary>The processor that OpenBLAS takes this one for; <c>OPENBLAS_CORETYPE</c> overrides it.</summary>
    public string CoreName { get; }

    /// <summary>Finds the library; null where it is not installed.</summary>
    public static CpuOpenBlas? Find(int threads)
    {
        foreach (string name in new[] { "libopenblas.so.0", "libopenblas.dylib", "libopenblas.dll" })
        {
            if (NativeLibrary.TryLoad(name, out nint library))
            {
                return new CpuOpenBlas(library, threads);
            }
        }

        return null;
    }

    /// <summary>c[rows, columns] = a[rows, depth] x w[columns, depth] transposed: what a layer's products are.</summary>
    public void Multiply(int rows, int columns, int depth, float* a, float* w, float* c) =>
        _sgemm(RowMajor, NoTranspose, Transpose, rows, columns, depth, 1, a, depth, w, depth, 0, c, columns);
}
