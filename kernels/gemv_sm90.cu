// Linear for one row on compute capability 9.0, with what stands before and behind it in a decode step: RMSNorm of the row, and
// RoPE with the write to the stage cache.
//
// Shapes and epilogues as in linear.cuh; no LAZYLLM_STORAGE_F32. A block stays on its multiprocessor, and all of them share
// the weight rows evenly. Its warps work alone: each takes pairs of weight rows (of SwiGLU: a gate row and its up row; of RoPE:
// the rows of two numbers that are turned together) through a ring in shared memory of its own, which the bulk copy engine fills. The
// rings are filled before the kernel before has ended: the weights' stream does not stop between kernels.
// Sums are added in the order of gemv.cu and rmsnorm.cu, so that a row gets the same bits from either.
// Bound by reading the weights. Called by LinearKernels.cs at decode. Compiled per storage format and LAZYLLM_HEAD_SIZE.
#include "linear.cuh"
#include "norm.cuh"
#include "ptx_sm90.cuh"
#include "rope.cuh"

#define HEAD_SIZE LAZYLLM_HEAD_SIZE
#define GEMV_WARPS 8
#define GEMV_THREADS (32 * GEMV_WARPS)
#define GEMV_STAGES 4
#define GEMV_COLUMNS 1024 // of a weight row in a stage

struct GemvSm90Args
{
    LinearArgs linear;
    const float *residual; // the row that is normed into the input; null where linear.input is the input
    const float *gains;
    i32 hidden_size;
    float epsilon;
    TurnArgs turn;         // keys: null where nothing is turned
};

struct alignas(128) WarpRing
{
    Stored stages[GEMV_STAGES][2][GEMV_COLUMNS];
    u64 full[GEMV_STAGES];
};

LAZYLLM_DEVICE i32 weight_row(const GemvSm90Args &args, i32 pair, i32 part)
{
    if (args.linear.epilogue == EPILOGUE_SWIGLU)
        return pair / 8 * 16 + pair % 8 + 8 * part;
    if (args.turn.keys != nullptr)
        return pair / (HEAD_SIZE / 2) * HEAD_SIZE + pair % (HEAD_SIZE / 2) + HEAD_SIZE / 2 * part;
    return 2 * pair + part;
}

/// Turns two numbers of a Q or K head by the row's position; Q goes to the output, K and V to the stage cache.
LAZYLLM_DEVICE void write_turned(const GemvSm90Args &args, i32 pair, float low, float high)
{
    const i32 head = pair / (HEAD_SIZE / 2), column = pair % (HEAD_SIZE / 2);
    // Rounded as the rows of QKV are.
    low = to_float(Storage<Stored>::from(low));
    high = to_float(Storage<Stored>::from(high));
    if (head < args.turn.heads + args.turn.kv_heads)
    {
        const i64 angle = (i64)args.turn.positions[0] * (HEAD_SIZE / 2) + column;
        turn(low, high, args.turn.cosines[angle], args.turn.sines[angle]);
    }
    Stored *target = target_of(args.turn, args.linear.output, 0, 0, args.turn.slots[0], head);
    store_one(target + column, low);
    store_one(target + column + HEAD_SIZE / 2, high);
}

LAZYLLM_DEVICE void write_pair(const GemvSm90Args &args, i32 pair, float first, float second)
{
    const LinearArgs &linear = args.linear;
    if (args.turn.keys != nullptr)
    {
        write_turned(args, pair, first, second);
    }
    else if (linear.epilogue == EPILOGUE_SWIGLU)
    {
        store_one(static_cast<Stored *>(linear.output) + pair, swiglu(first, second));
    }
    else
    {
        const bool both = 2 * pair + 1 < linear.n;
        if (linear.epilogue == EPILOGUE_STORE)
        {
            store_one(static_cast<Stored *>(linear.output) + 2 * pair, first);
            if (both)
                store_one(static_cast<Stored *>(linear.output) + 2 * pair + 1, second);
            return;
        }
        float *target = static_cast<float *>(linear.output) + 2 * pair;
        const bool add = linear.epilogue == EPILOGUE_ADD_RESIDUAL;
        target[0] = add ? target[0] + first : first;
        if (both)
            target[1] = add ? target[1] + second : second;
    }
}

/// Starts the copy of the warp's piece `item` to its stage. One lane calls it.
LAZYLLM_DEVICE void start_copy(const GemvSm90Args &args, WarpRing &ring, i32 item, i32 pieces, i32 first_pair, i32 pair_step)
{
    const LinearArgs &linear = args.linear;
    const i32 pair = first_pair + item / pieces * pair_step;
    const i32 column = item % pieces * GEMV_COLUMNS;
    const i32 stage = item % GEMV_STAGES;
    const u32 bytes = (u32)min(GEMV_COLUMNS, linear.k - column) * (u32)sizeof(Stored);
    mbarrier_arrive_expecting(&ring.full[stage], 2 * bytes);
#pragma unroll
    for (int part = 0; part < 2; part++)
    {
        const i32 row = min(weight_row(args, pair, part), linear.n - 1);
        bulk_load_streaming(ring.stages[stage][part], linear.weights + (i64)row * linear.k + column, bytes, &ring.full[stage]);
    }
}

/// The row's input in shared memory: copied, or normed from the residual.
LAZYLLM_DEVICE void prepare_input(const GemvSm90Args &args, Stored *input)
{
    const i32 k = args.linear.k;
    if (args.residual == nullptr)
    {
        for (i32 i = 8 * (i32)threadIdx.x; i < k; i += 8 * GEMV_THREADS)
            store_pack(input + i, load_pack(args.linear.input + i));
        return;
    }
    float squares[NORM_LANES / GEMV_THREADS] = {};
    for (i32 start = 0; start < k; start += 8 * NORM_LANES)
    {
#pragma unroll
        for (int part = 0; part < NORM_LANES / GEMV_THREADS; part++)
        {
            const i32 i = start + 8 * (part * GEMV_THREADS + (i32)threadIdx.x);
            float numbers[8] = {};
            if (i < k)
                load_floats(args.residual + i, numbers);
#pragma unroll
            for (int j = 0; j < 8; j++)
                squares[part] = fmaf(numbers[j], numbers[j], squares[part]);
        }
    }
    const float scale = scale_of(sum_of_lanes<GEMV_THREADS>(squares), args.hidden_size, args.epsilon);
    for (i32 i = 8 * (i32)threadIdx.x; i < k; i += 8 * GEMV_THREADS)
    {
        float numbers[8], gains[8];
        load_floats(args.residual + i, numbers);
        load_floats(args.gains + i, gains);
        store_normed(input + i, numbers, gains, scale);
    }
}

LAZYLLM_KERNEL(lazyllm_gemv_sm90, GemvSm90Args, GEMV_THREADS)
{
    LAZYLLM_SHARED_BYTES(shared);
    const LinearArgs &linear = args.linear;
    const i32 warp = (i32)threadIdx.x / 32, lane = (i32)threadIdx.x % 32;
    WarpRing &ring = reinterpret_cast<WarpRing *>(shared)[warp];
    Stored *input = reinterpret_cast<Stored *>(shared + GEMV_WARPS * sizeof(WarpRing));

    // A multiprocessor's warps lie far apart in the order of the pairs, so that what is left over is spread as well.
    const i32 pairs = (linear.n + 1) / 2;
    const i32 pieces = (linear.k + GEMV_COLUMNS - 1) / GEMV_COLUMNS;
    const i32 first_pair = warp * (i32)gridDim.x + (i32)blockIdx.x;
    const i32 pair_step = GEMV_WARPS * (i32)gridDim.x;
    const i32 items = first_pair < pairs ? (pairs - 1 - first_pair) / pair_step * pieces + pieces : 0;
    if (lane == 0)
    {
        for (i32 stage = 0; stage < GEMV_STAGES; stage++)
            mbarrier_init(&ring.full[stage], 1);
        fence_mbarrier_init();
        for (i32 item = 0; item < GEMV_STAGES && item < items; item++)
            start_copy(args, ring, item, pieces, first_pair, pair_step);
    }
    __syncwarp();
    launch_dependents();
    wait_for_dependencies();
    prepare_input(args, input);
    __syncthreads();

    float sums[2] = {};
    i32 stage = 0;
    u32 parity = 0;
    i32 piece = 0, pair = first_pair;
    for (i32 item = 0; item < items; item++)
    {
        mbarrier_wait(&ring.full[stage], parity);
#pragma unroll
        for (int step = 0; step < GEMV_COLUMNS / 256; step++)
        {
            const i32 inside = 8 * lane + 256 * step, column = piece * GEMV_COLUMNS + inside;
            if (column >= linear.k)
                break;
            float numbers[8];
            widen_pack(load_pack(input + column), numbers);
#pragma unroll
            for (int part = 0; part < 2; part++)
            {
                float weights[8];
                widen_pack(load_pack(ring.stages[stage][part] + inside), weights);
#pragma unroll
                for (int i = 0; i < 8; i++)
                    sums[part] = fmaf(weights[i], numbers[i], sums[part]);
            }
        }
        __syncwarp();
        if (lane == 0 && item + GEMV_STAGES < items)
            start_copy(args, ring, item + GEMV_STAGES, pieces, first_pair, pair_step);
        if (++stage == GEMV_STAGES)
        {
            stage = 0;
            parity ^= 1u;
        }
        if (++piece < pieces)
            continue;

#pragma unroll
        for (int lanes = 16; lanes > 0; lanes >>= 1)
        {
            sums[0] += __shfl_xor_sync(FULL_WARP, sums[0], lanes);
            sums[1] += __shfl_xor_sync(FULL_WARP, sums[1], lanes);
        }
        if (lane == 0)
            write_pair(args, pair, sums[0], sums[1]);
        sums[0] = 0.0f;
        sums[1] = 0.0f;
        piece = 0;
        pair += pair_step;
    }
}
