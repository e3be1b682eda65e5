// Linear of Q, K and V with RopeToCache behind it, on compute capability 9.0, for many rows of one sequence (gemm_sm90.cuh): Q and K
// are turned in registers; Q goes to the QKV rows, K and V to the stage cache alone. The same bits as gemm_sm90.cu with rope_cache.cu
// after it: sums are rounded to 16 bits before they are turned.
//
// Shapes as there; no LAZYLLM_STORAGE_F32. A tile is whole heads, of 64 or 128 numbers: a thread holds both numbers of a pair. Saves the bytes of
// rope_cache.cu, which reads and writes the QKV rows once more. Called by LinearKernels.cs.
#include "gemm_sm90.cuh"
#include "rope.cuh"

#define HEAD_SIZE LAZYLLM_HEAD_SIZE

struct GemmRopeSm90Args
{
    TensorMap input;   // rows x k, boxes of tile_rows x 64
    TensorMap weights; // n x k, boxes of TileN x 64
    LinearArgs linear; // n = (heads + 2 kv_heads) head size; output: QKV rows
    TurnArgs turn;
    i32 tile_rows;     // of a tile, TileM at most
};

#if HEAD_SIZE % 64 == 0

/// Four eights of columns of a row (from the `first`-th eight of sums on) as words of two rounded numbers.
template <int TileN> LAZYLLM_DEVICE void round_four(const float (&sums)[TileN / 2], int first, int half, u32 (&words)[4])
{
#pragma unroll
    for (int i = 0; i < 4; i++)
        words[i] = Storage<Stored>::pack(sums[4 * (first + i) + 2 * half], sums[4 * (first + i) + 2 * half + 1]);
}

LAZYLLM_DEVICE void turn_words(u32 &low, u32 &high, float2 cosines, float2 sines)
{
    float low_first = Storage<Stored>::low(low), low_second = Storage<Stored>::high(low);
    float high_first = Storage<Stored>::low(high), high_second = Storage<Stored>::high(high);
    turn(low_first, high_first, cosines.x, sines.x);
    turn(low_second, high_second, cosines.y, sines.y);
    low = Storage<Stored>::pack(low_first, low_second);
    high = Storage<Stored>::pack(high_first, high_second);
}

LAZYLLM_DEVICE void write_eight(Stored *target, u32 (&words)[4])
{
    transpose_quad(words);
    if (target != nullptr)
        *reinterpret_cast<uint4 *>(target + 8 * (threadIdx.x % 4)) = make_uint4(words[0], words[1], words[2], words[3]);
}

template <int TileN, typename Args> LAZYLLM_DEVICE void write_sums(const Args &args, const float (&sums)[TileN / 2], i32 end, i32 first_row, i32 first_column)
{
    const TurnArgs &turning = args.turn;
    const i32 all_heads = turning.heads + 2 * turning.kv_heads;
    const i32 turned_heads = turning.heads + turning.kv_heads;
    const i32 first_head = first_column / HEAD_SIZE;
#pragma unroll
    for (int half = 0; half < 2; half++)
    {
        // Rows from the end on take part in the exchange among four lanes, and write nothing.
        const i32 row = first_row + (i32)threadIdx.x % 32 / 4 + 8 * half;
        const bool is_inside = row < end;
        const i32 slot = is_inside ? turning.slots[row] : 0;
        const i64 angles = (i64)(is_inside ? turning.positions[row] : 0) * (HEAD_SIZE / 2) + 2 * (threadIdx.x % 4);
#pragma unroll
        for (int part = 0; part < HEAD_SIZE / 64; part++)
        {
            float2 cosines[4], sines[4];
#pragma unroll
            for (int i = 0; i < 4; i++)
            {
                cosines[i] = *reinterpret_cast<const float2 *>(turning.cosines + angles + 32 * part + 8 * i);
                sines[i] = *reinterpret_cast<const float2 *>(turning.sines + angles + 32 * part + 8 * i);
            }
#pragma unroll
            for (int head = 0; head < TileN / HEAD_SIZE; head++)
            {
                const int eight = head * (HEAD_SIZE / 8) + 4 * part;
                u32 low[4], high[4];
                round_four<TileN>(sums, eight, half, low);
                round_four<TileN>(sums, eight + HEAD_SIZE / 16, half, high);
                if (first_head + head < turned_heads)
                {
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        turn_words(low[i], high[i], cosines[i], sines[i]);
                }
                Stored *target = is_inside && first_head + head < all_heads ? target_of(turning, args.linear.output, row, args.linear.output_stride, slot, first_head + head) + 32 * part : nullptr;
                write_eight(target, low);
                write_eight(target != nullptr ? target + HEAD_SIZE / 2 : nullptr, high);
            }
        }
    }
}

LAZYLLM_KERNEL(lazyllm_gemm_rope_sm90_128x256, GemmRopeSm90Args, GEMM_THREADS(128), 1)
{
    gemm<128, 256>(args);
}

LAZYLLM_KERNEL(lazyllm_gemm_rope_sm90_128x128, GemmRopeSm90Args, GEMM_THREADS(128), 1)
{
    gemm<128, 128>(args);
}

LAZYLLM_KERNEL(lazyllm_gemm_rope_sm90_64x128, GemmRopeSm90Args, GEMM_THREADS(64), 1)
{
    gemm<64, 128>(args);
}

#endif
