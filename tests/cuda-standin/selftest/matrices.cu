// ldmatrix, mma, cp.async and the conversions of ptx.cuh, against expectations in StandinMatrixTests.
#include "ptx.cuh"

struct LoadMatrixArgs
{
    const u16 *tiles; // four 8 x 8 tiles
    u32 *out;         // 14 registers of each lane: x1, x2, x4, then the same transposed
};

LAZYLLM_KERNEL(selftest_ldmatrix, LoadMatrixArgs, 32)
{
    LAZYLLM_SHARED_BYTES(raw);
    u16 *tiles = reinterpret_cast<u16 *>(raw);
    for (u32 i = threadIdx.x; i < 256; i += 32)
        tiles[i] = args.tiles[i];
    __syncthreads();
    const u16 *row = tiles + 8 * threadIdx.x; // lane 8 i + r: row r of tile i
    u32 r1[1], r2[2], r4[4];
    u32 *out = args.out + 14 * threadIdx.x;
    ldmatrix_x1(r1, row);
    ldmatrix_x2(r2, row);
    ldmatrix_x4(r4, row);
    out[0] = r1[0];
    for (int i = 0; i < 2; i++)
        out[1 + i] = r2[i];
    for (int i = 0; i < 4; i++)
        out[3 + i] = r4[i];
    ldmatrix_x1_trans(r1, row);
    ldmatrix_x2_trans(r2, row);
    ldmatrix_x4_trans(r4, row);
    out[7] = r1[0];
    for (int i = 0; i < 2; i++)
        out[8 + i] = r2[i];
    for (int i = 0; i < 4; i++)
        out[10 + i] = r4[i];
}

struct MmaArgs
{
    const u16 *a;   // 16 x 16
    const u16 *b;   // 16 x 8, by rows
    const float *c; // 16 x 8
    float *d;
    u32 half_precision; // 1: f16, 0: bf16
};

LAZYLLM_KERNEL(selftest_mma, MmaArgs, 32)
{
    LAZYLLM_SHARED_BYTES(raw);
    u16 *a = reinterpret_cast<u16 *>(raw), *b = a + 256;
    const u32 lane = threadIdx.x, group = lane >> 2, pair = (lane & 3u) * 2;
    for (u32 i = lane; i < 256; i += 32)
        a[i] = args.a[i];
    for (u32 i = lane; i < 128; i += 32)
        b[i] = args.b[i];
    __syncthreads();
    u32 fa[4], fb[2];
    ldmatrix_x4(fa, a + (lane & 15u) * 16 + (lane >> 4) * 8);
    ldmatrix_x2_trans(fb, b + (lane & 15u) * 8);
    float d[4];
    for (u32 i = 0; i < 4; i++)
        d[i] = args.c[(group + (i >> 1) * 8) * 8 + pair + (i & 1u)];
    if (args.half_precision)
        mma_m16n8k16_f16(d, fa, fb[0], fb[1]);
    else
        mma_m16n8k16_bf16(d, fa, fb[0], fb[1]);
    for (u32 i = 0; i < 4; i++)
        args.d[(group + (i >> 1) * 8) * 8 + pair + (i & 1u)] = d[i];
}

struct MmaTf32Args
{
    const float *a; // 16 x 8
    const float *b; // 8 x 8, by rows
    float *d;
};

LAZYLLM_KERNEL(selftest_mma_tf32, MmaTf32Args, 32)
{
    const u32 group = threadIdx.x >> 2, t = threadIdx.x & 3u;
    u32 a[4];
    for (u32 i = 0; i < 4; i++)
        a[i] = to_tf32(args.a[(group + (i & 1u) * 8) * 8 + t + (i >> 1) * 4]);
    float d[4] = {0, 0, 0, 0};
    mma_m16n8k8_tf32(d, a, to_tf32(args.b[t * 8 + group]), to_tf32(args.b[(t + 4) * 8 + group]));
    for (u32 i = 0; i < 4; i++)
        args.d[(group + (i >> 1) * 8) * 8 + t * 2 + (i & 1u)] = d[i];
}

struct CopyArgs
{
    const u32 *source; // 12 words
    u32 *out;          // 24 words
};

// What has landed after each step, seen by the thread that copies. The first four words land only with the first wait.
LAZYLLM_KERNEL(selftest_cp_async, CopyArgs, 32)
{
    LAZYLLM_SHARED_BYTES(raw);
    u32 *words = reinterpret_cast<u32 *>(raw);
    if (threadIdx.x != 0)
        return;
    for (u32 i = 0; i < 12; i++)
        words[i] = 1000 + i;
    cp_async_16(words, args.source);
    cp_async_commit();
    cp_async_16_zfill(words + 4, args.source + 4, 8);
    cp_async_commit();
    cp_async_4_zfill(words + 8, args.source + 8, 4);
    cp_async_4_zfill(words + 9, args.source + 9, 0);
    args.out[0] = words[0];
    args.out[1] = words[4];
    cp_async_wait<1>();
    for (u32 i = 0; i < 4; i++)
        args.out[2 + i] = words[i];
    args.out[6] = words[4];
    cp_async_wait<0>();
    for (u32 i = 0; i < 4; i++)
        args.out[7 + i] = words[4 + i];
    args.out[11] = words[8];
    cp_async_wait_all();
    args.out[12] = words[8];
    args.out[13] = words[9];
}

struct ConvertArgs
{
    const float *in;
    u16 *bf16_out, *f16_out;
    float *back; // 2 per number: through bf16, through f16
    u32 *packed; // 2 per number: (x, 1) as bf16, as f16
    u32 count;
};

LAZYLLM_KERNEL(selftest_convert, ConvertArgs, 256)
{
    const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= args.count)
        return;
    const float x = args.in[i];
    args.bf16_out[i] = to_bf16(x).bits;
    args.f16_out[i] = to_f16(x).bits;
    args.back[2 * i] = to_float(to_bf16(x));
    args.back[2 * i + 1] = to_float(to_f16(x));
    args.packed[2 * i] = pack_bf16(x, 1.0f);
    args.packed[2 * i + 1] = pack_f16(x, 1.0f);
}

LAZYLLM_KERNEL(selftest_approximate, ConvertArgs, 256)
{
    const u32 i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= args.count)
        return;
    prefetch_l2(args.in);
    const uint4 bits = i % 2 ? load_16_streaming(args.in + i / 4 * 4) : load_16_readonly(args.in + i / 4 * 4);
    const u32 words[4] = {bits.x, bits.y, bits.z, bits.w};
    const float x = __uint_as_float(words[i % 4]);
    wait_for_dependencies();
    args.back[2 * i] = exp2_approx(log2_approx(x));
    args.back[2 * i + 1] = reciprocal_approx(rsqrt_approx(x));
    launch_dependents();
}
