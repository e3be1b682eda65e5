// Linear for 1 to 4 rows of a sequence, and for up to 8 of several: reads the weights once, whatever the number of rows.
//
// Shapes and epilogues as in linear.cuh. A warp takes pairs of weight rows (of SwiGLU: a gate row and its up row), its
// lanes take the columns eight by eight in turn, and a butterfly adds the lanes. The order of the additions of one
// output does not depend on how many rows there are, so a sequence gets the same bits alone and in company.
// Bound by reading the weights: 16-byte loads that do not stay in the caches, several in flight per lane; the input
// rows are small and stay in L1. Called by LinearKernels.cs at decode.
#include "linear.cuh"

#define GEMV_THREADS 128
#define GEMV_WARPS (GEMV_THREADS / 32)

/// Pieces of weights that a lane keeps in flight.
#define GEMV_IN_FLIGHT 8

/// The weight row of a pair's first or second part.
LAZYLLM_DEVICE i32 weight_row(const LinearArgs &args, i32 pair, i32 part)
{
    return args.epilogue == EPILOGUE_SWIGLU ? pair / 8 * 16 + pair % 8 + 8 * part : 2 * pair + part;
}

LAZYLLM_DEVICE void write_pair(const LinearArgs &args, i32 row, i32 pair, float first, float second)
{
    const i64 start = (i64)row * args.output_stride;
    if (args.epilogue == EPILOGUE_SWIGLU)
    {
        store_one(static_cast<Stored *>(args.output) + start + pair, swiglu(first, second));
        return;
    }

    const i64 at = start + 2 * pair;
    const bool both = 2 * pair + 1 < args.n;
    if (args.epilogue == EPILOGUE_STORE)
    {
        store_one(static_cast<Stored *>(args.output) + at, first);
        if (both)
            store_one(static_cast<Stored *>(args.output) + at + 1, second);
    }
    else
    {
        float *target = static_cast<float *>(args.output) + at;
        const bool add = args.epilogue == EPILOGUE_ADD_RESIDUAL;
        target[0] = add ? target[0] + first : first;
        if (both)
            target[1] = add ? target[1] + second : second;
    }
}

template <int Steps, int Weights>
LAZYLLM_DEVICE void load_pieces(Pack (&pieces)[Steps][Weights], const Stored *const (&weights)[Weights], i32 start, i32 k)
{
#pragma unroll
    for (int step = 0; step < Steps; step++)
    {
        if (start + 256 * step < k)
        {
#pragma unroll
            for (int w = 0; w < Weights; w++)
                pieces[step][w] = stream_pack(weights[w] + start + 256 * step);
        }
    }
}

/// Rows: the most input rows. Pairs: pairs of weight rows per warp, so that an input piece serves several weights.
template <int Rows, int Pairs>
LAZYLLM_DEVICE void multiply(const LinearArgs &args)
{
    constexpr int Weights = 2 * Pairs;
    constexpr int Steps = GEMV_IN_FLIGHT / Weights;
    const i32 lane = (i32)threadIdx.x % 32;
    const i32 first_pair = ((i32)blockIdx.x * GEMV_WARPS + (i32)threadIdx.x / 32) * Pairs;
    const i32 pairs = (args.n + 1) / 2;
    const i32 rows = row_count(args.count);
    launch_dependents();
    if (first_pair >= pairs)
        return;

    // Beyond the last row or weight, the last one is computed again and not written.
    const Stored *weights[Weights];
#pragma unroll
    for (int w = 0; w < Weights; w++)
        weights[w] = args.weights + (i64)min(weight_row(args, min(first_pair + w / 2, pairs - 1), w % 2), args.n - 1) * args.k;
    const Stored *inputs[Rows];
#pragma unroll
    for (int r = 0; r < Rows; r++)
        inputs[r] = args.input + (i64)min(r, rows - 1) * args.k;

    // Weights do not wait for the kernel before.
    Pack pieces[Steps][Weights];
    load_pieces<Steps, Weights>(pieces, weights, 8 * lane, args.k);
    wait_for_dependencies();
    if (rows == 0)
        return;

    float sums[Rows][Weights] = {};
    for (i32 start = 8 * lane; start < args.k; start += 256 * Steps)
    {
        if (start >= 256 * Steps)
            load_pieces<Steps, Weights>(pieces, weights, start, args.k);
#pragma unroll
        for (int step = 0; step < Steps; step++)
        {
            if (start + 256 * step < args.k)
            {
                float wide[Weights][8];
#pragma unroll
                for (int w = 0; w < Weights; w++)
                    widen_pack(pieces[step][w], wide[w]);
#pragma unroll
                for (int r = 0; r < Rows; r++)
                {
                    float input[8];
                    widen_pack(load_pack(inputs[r] + start + 256 * step), input);
#pragma unroll
                    for (int w = 0; w < Weights; w++)
                    {
#pragma unroll
                        for (int i = 0; i < 8; i++)
                            sums[r][w] = fmaf(wide[w][i], input[i], sums[r][w]);
                    }
                }
            }
        }
    }

#pragma unroll
    for (int r = 0; r < Rows; r++)
    {
#pragma unroll
        for (int w = 0; w < Weights; w++)
        {
#pragma unroll
            for (int lanes = 16; lanes > 0; lanes >>= 1)
                sums[r][w] += __shfl_xor_sync(FULL_WARP, sums[r][w], lanes);
        }
    }

    // Every lane has every sum; each (row, pair) is written by one of them.
#pragma unroll
    for (int r = 0; r < Rows; r++)
    {
#pragma unroll
        for (int p = 0; p < Pairs; p++)
        {
            if (lane == r * Pairs + p && r < rows && first_pair + p < pairs)
                write_pair(args, r, first_pair + p, sums[r][2 * p], sums[r][2 * p + 1]);
        }
    }
}

LAZYLLM_KERNEL(lazyllm_gemv_1, LinearArgs, GEMV_THREADS)
{
    multiply<1, 1>(args);
}

LAZYLLM_KERNEL(lazyllm_gemv_4, LinearArgs, GEMV_THREADS)
{
    multiply<4, 2>(args);
}

LAZYLLM_KERNEL(lazyllm_gemv_8, LinearArgs, GEMV_THREADS)
{
    multiply<8, 2>(args);
}
