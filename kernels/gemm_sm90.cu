// Linear on compute capability 9.0: output = input · weights^T for many rows (gemm_sm90.cuh), with the epilogues of linear.cuh;
// no LAZYLLM_STORAGE_F32. Called by LinearKernels.cs, which chooses the tiles.
#include "gemm_sm90.cuh"

struct GemmSm90Args
{
    TensorMap input;   // rows x k, boxes of tile_rows x 64
    TensorMap weights; // n x k, boxes of TileN x 64
    LinearArgs linear;
    i32 tile_rows;     // of a tile, TileM at most
};

/// A row's numbers (those of `half`) to 16-bit output: four lanes exchange theirs, so that each writes 16 bytes at a time.
/// `start` is negative for rows beyond the last, which take part in the exchange and write nothing.
template <int TileN, bool IsSwiglu> LAZYLLM_DEVICE void write_stored(const LinearArgs &args, const float (&sums)[TileN / 2], int half, i64 start, i32 first_column)
{
    const i32 lane = (i32)threadIdx.x % 4;
    const int step = IsSwiglu ? 8 : 4; // columns in eights that a lane's 16 bytes come from, times four lanes
    Stored *output = static_cast<Stored *>(args.output) + start;
#pragma unroll
    for (int j = 0; j < TileN / 8; j += step)
    {
        u32 words[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
        {
            const int at = 4 * (j + (IsSwiglu ? 2 * i : i)) + 2 * half;
            words[i] = IsSwiglu ? Storage<Stored>::pack(swiglu(sums[at], sums[at + 4]), swiglu(sums[at + 1], sums[at + 5])) : Storage<Stored>::pack(sums[at], sums[at + 1]);
        }
        transpose_quad(words);
        const i32 column = first_column + 8 * j + (IsSwiglu ? 16 : 8) * lane;
        if (start >= 0 && column < args.n)
            *reinterpret_cast<uint4 *>(output + (IsSwiglu ? column / 2 : column)) = make_uint4(words[0], words[1], words[2], words[3]);
    }
}

/// A row's numbers to float32 output, or added to it. Two lanes exchange theirs, so that each has four neighbours. A sum in memory is
/// added to once in a launch, so that its bits do not depend on the order.
template <int TileN, bool IsAdded> LAZYLLM_DEVICE void write_floats(const LinearArgs &args, const float (&sums)[TileN / 2], int half, i64 start, i32 first_column)
{
    float *output = static_cast<float *>(args.output) + start;
    const i32 lane = (i32)threadIdx.x % 4;
    const bool odd = lane % 2 != 0;
#pragma unroll
    for (int j = 0; j < TileN / 8; j += 2)
    {
        const float2 left = make_float2(sums[4 * j + 2 * half], sums[4 * j + 2 * half + 1]);
        const float2 right = make_float2(sums[4 * j + 4 + 2 * half], sums[4 * j + 5 + 2 * half]);
        const float2 got = make_float2(__shfl_xor_sync(0xFFFFFFFFu, odd ? left.x : right.x, 1), __shfl_xor_sync(0xFFFFFFFFu, odd ? left.y : right.y, 1));
        const float2 first = odd ? got : left, second = odd ? right : got;
        const i32 column = first_column + 8 * (j + lane % 2) + 4 * (lane / 2);
        if (start < 0 || column >= args.n)
            continue;
        if (IsAdded)
            add_four(output + column, first.x, first.y, second.x, second.y);
        else
            *reinterpret_cast<float4 *>(output + column) = make_float4(first.x, first.y, second.x, second.y);
    }
}

template <int TileN, typename Args> LAZYLLM_DEVICE void write_sums(const Args &args, const float (&sums)[TileN / 2], i32 end, i32 first_row, i32 first_column)
{
    const LinearArgs &linear = args.linear;
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        const i32 row = first_row + (i32)threadIdx.x % 32 / 4 + 8 * half;
        const i64 start = row < end ? (i64)row * linear.output_stride : -1;
        if (linear.epilogue == EPILOGUE_STORE)
            write_stored<TileN, false>(linear, sums, half, start, first_column);
        else if (linear.epilogue == EPILOGUE_SWIGLU)
            write_stored<TileN, true>(linear, sums, half, start, first_column);
        else if (linear.epilogue == EPILOGUE_ADD_RESIDUAL)
            write_floats<TileN, true>(linear, sums, half, start, first_column);
        else
            write_floats<TileN, false>(linear, sums, half, start, first_column);
    }
}

LAZYLLM_KERNEL(lazyllm_gemm_sm90_128x256, GemmSm90Args, GEMM_THREADS(128), 1)
{
    gemm<128, 256>(args);
}

LAZYLLM_KERNEL(lazyllm_gemm_sm90_128x192, GemmSm90Args, GEMM_THREADS(128), 1)
{
    gemm<128, 192>(args);
}

LAZYLLM_KERNEL(lazyllm_gemm_sm90_128x128, GemmSm90Args, GEMM_THREADS(128), 1)
{
    gemm<128, 128>(args);
}

LAZYLLM_KERNEL(lazyllm_gemm_sm90_128x64, GemmSm90Args, GEMM_THREADS(128), 1)
{
    gemm<128, 64>(args);
}

LAZYLLM_KERNEL(lazyllm_gemm_sm90_64x192, GemmSm90Args, GEMM_THREADS(64), 1)
{
    gemm<64, 192>(args);
}

LAZYLLM_KERNEL(lazyllm_gemm_sm90_64x128, GemmSm90Args, GEMM_THREADS(64), 1)
{
    gemm<64, 128>(args);
}

LAZYLLM_KERNEL(lazyllm_gemm_sm90_64x64, GemmSm90Args, GEMM_THREADS(64), 1)
{
    gemm<64, 64>(args);
}

LAZYLLM_KERNEL(lazyllm_gemm_sm90_192x256, GemmSm90Args, GEMM_THREADS(192), 1)
{
    gemm<192, 256>(args);
}
