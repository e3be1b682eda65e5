// The format in which weights, K/V and the rows between the products are stored, chosen when a kernel is compiled
// (-DLAZYLLM_STORAGE_BF16, _F16 or _F32), and its accesses of eight numbers at once. Arithmetic is always float32.
//
// Every width that kernels see (hidden, query, K/V, intermediate) is a multiple of 8: the upload rounds widths up and
// fills with zeros, which every operation keeps zero. So a row of a 16-bit format is a whole number of 16-byte pieces.
#pragma once
#include "types.cuh"
#include "ptx.cuh"

#if defined(LAZYLLM_STORAGE_BF16)
typedef bf16 Stored;
#elif defined(LAZYLLM_STORAGE_F16)
typedef f16 Stored;
#elif defined(LAZYLLM_STORAGE_F32)
typedef float Stored;
#else
#error "define LAZYLLM_STORAGE_BF16, LAZYLLM_STORAGE_F16 or LAZYLLM_STORAGE_F32"
#endif

/// Eight consecutive numbers as they are stored: one 16-byte piece, or two in float32.
struct Pack
{
    uint4 words[sizeof(Stored) / 2];
};

/// Reads eight numbers that other threads will want too.
LAZYLLM_DEVICE Pack load_pack(const Stored *source)
{
    Pack pack;
#pragma unroll
    for (int i = 0; i < (int)(sizeof(Stored) / 2); i++)
        pack.words[i] = reinterpret_cast<const uint4 *>(source)[i];
    return pack;
}

/// Reads eight numbers that nobody will read again soon: weights pass through the caches without staying.
LAZYLLM_DEVICE Pack stream_pack(const Stored *source)
{
    Pack pack;
#pragma unroll
    for (int i = 0; i < (int)(sizeof(Stored) / 2); i++)
        pack.words[i] = load_16_streaming(reinterpret_cast<const uint4 *>(source) + i);
    return pack;
}

LAZYLLM_DEVICE void store_pack(Stored *target, const Pack &pack)
{
#pragma unroll
    for (int i = 0; i < (int)(sizeof(Stored) / 2); i++)
        reinterpret_cast<uint4 *>(target)[i] = pack.words[i];
}

LAZYLLM_DEVICE void widen_pack(const Pack &pack, float (&numbers)[8])
{
#if defined(LAZYLLM_STORAGE_F32)
    const uint4 a = pack.words[0], b = pack.words[1];
    const u32 words[8] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
#pragma unroll
    for (int i = 0; i < 8; i++)
        numbers[i] = __uint_as_float(words[i]);
#else
    const u32 words[4] = {pack.words[0].x, pack.words[0].y, pack.words[0].z, pack.words[0].w};
#pragma unroll
    for (int i = 0; i < 4; i++)
    {
        const float2 pair = make_float2(Storage<Stored>::low(words[i]), Storage<Stored>::high(words[i]));
        numbers[2 * i] = pair.x;
        numbers[2 * i + 1] = pair.y;
    }
#endif
}

LAZYLLM_DEVICE Pack narrow_pack(const float (&numbers)[8])
{
    Pack pack;
#if defined(LAZYLLM_STORAGE_F32)
    pack.words[0] = make_uint4(__float_as_uint(numbers[0]), __float_as_uint(numbers[1]), __float_as_uint(numbers[2]), __float_as_uint(numbers[3]));
    pack.words[1] = make_uint4(__float_as_uint(numbers[4]), __float_as_uint(numbers[5]), __float_as_uint(numbers[6]), __float_as_uint(numbers[7]));
#else
    pack.words[0] = make_uint4(
        Storage<Stored>::pack(numbers[0], numbers[1]), Storage<Stored>::pack(numbers[2], numbers[3]),
        Storage<Stored>::pack(numbers[4], numbers[5]), Storage<Stored>::pack(numbers[6], numbers[7]));
#endif
    return pack;
}

/// Writes two neighbours; `target` is aligned to both.
LAZYLLM_DEVICE void store_pair(Stored *target, float first, float second)
{
#if defined(LAZYLLM_STORAGE_F32)
    *reinterpret_cast<float2 *>(target) = make_float2(first, second);
#else
    *reinterpret_cast<u32 *>(target) = Storage<Stored>::pack(first, second);
#endif
}

LAZYLLM_DEVICE void store_one(Stored *target, float number)
{
#if defined(LAZYLLM_STORAGE_F32)
    *target = number;
#else
    target->bits = (u16)Storage<Stored>::pack(number, 0.0f);
#endif
}
