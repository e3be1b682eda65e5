// RmsNorm: normed[i] = x / sqrt(mean(x^2) + epsilon) · gains, with x = residual[i].
//
// residual, aux  float32, gains  float32, normed  Stored; rows of `width` numbers, of which `hidden_size` count in the
// mean and the rest are zero. Three uses:
//   - between products: over the residual rows;
//   - where a stage begins (positions given): x = aux[positions[i]], which also becomes residual[i], so that gathering
//     costs no pass of its own;
//   - before the output head (last_only): the last row alone, to row 0 of normed.
// One block per row, eight numbers per thread at a time; what of a row does not fit is read twice, the second time from the
// cache. Bound by the bytes it moves at prefill, by the latency of one reduction at decode.
#include "norm.cuh"
#include "step.cuh"

#define NORM_THREADS 512

struct RmsNormArgs
{
    float *residual;
    const float *gains;
    Stored *normed;
    const float *aux;
    const i32 *positions;
    RowCount count;
    i32 width;
    i32 hidden_size;
    float epsilon;
    i32 last_only;
};

LAZYLLM_KERNEL(lazyllm_rmsnorm, RmsNormArgs, NORM_THREADS)
{
    const i32 rows = row_count(args.count);
    const i32 target = (i32)blockIdx.x;
    const i32 first = 8 * (i32)threadIdx.x;
    float gains[8] = {};
    if (first < args.width)
        load_floats(args.gains + first, gains);
    launch_dependents();
    wait_for_dependencies();
    if (target >= rows)
        return;
    const i32 row = args.last_only ? rows - 1 : target;
    float *x = args.residual + (i64)row * args.width;
    const float *source = args.positions != nullptr ? args.aux + (i64)args.positions[row] * args.width : x;

    // A thread keeps its first eight numbers, which for most models are all it has.
    float kept[8] = {};
    float squares[1] = {};
    for (i32 i = first; i < args.width; i += 8 * NORM_THREADS)
    {
        float numbers[8];
        load_floats(source + i, numbers);
#pragma unroll
        for (int j = 0; j < 8; j++)
        {
            squares[0] = fmaf(numbers[j], numbers[j], squares[0]);
            kept[j] = i == first ? numbers[j] : kept[j];
        }
        if (args.positions != nullptr)
            store_floats(x + i, numbers);
    }

    const float scale = scale_of(sum_of_lanes<NORM_THREADS>(squares), args.hidden_size, args.epsilon);
    Stored *normed = args.normed + (i64)target * args.width;
    if (first < args.width)
        store_normed(normed + first, kept, gains, scale);
    for (i32 i = first + 8 * NORM_THREADS; i < args.width; i += 8 * NORM_THREADS)
    {
        load_floats(source + i, kept);
        load_floats(args.gains + i, gains);
        store_normed(normed + i, kept, gains, scale);
    }
}
