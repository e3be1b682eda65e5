// The device functions that are worth compiling once: matrix instructions as warp collectives, and asynchronous
// copies. Also the table through which a kernel reaches the block it runs in.
#include "block.h"
#include <cstring>

namespace
{
Fiber *fiberOf(StandinThread *thread) { return static_cast<Fiber *>(thread); }

float fromBf16(uint32_t bits)
{
    bits <<= 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

float fromF16(uint32_t half)
{
    uint32_t sign = (half & 0x8000) << 16, exponent = half >> 10 & 31, mantissa = half & 1023, bits;
    if (exponent == 0)
    {
        float value = (float)mantissa * (1.0f / 16777216.0f);
        return sign ? -value : value;
    }
    bits = exponent == 31 ? sign | 0x7F800000 | mantissa << 13 : sign | (exponent + 112) << 23 | mantissa << 13;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

// A tensor core reads the upper 19 bits of a tf32 operand.
float fromTf32(uint32_t bits)
{
    bits &= 0xFFFFE000;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

// d = a b + c for a 16 x K times a K x 8 tile. Products of 16-bit operands are exact in float32; the sum runs in
// float32 over k in order.
template <int K> void multiply(const float (&a)[16][K], const float (&b)[K][8], float (&sum)[16][8])
{
    for (int row = 0; row < 16; row++)
    {
        for (int k = 0; k < K; k++)
        {
            for (int column = 0; column < 8; column++)
                sum[row][column] += a[row][k] * b[k][column];
        }
    }
}

void loadSums(void *const *lanes, float (&sum)[16][8])
{
    for (int lane = 0; lane < 32; lane++)
    {
        const float *c = static_cast<StandinMma *>(lanes[lane])->c;
        int row = lane >> 2, column = (lane & 3) * 2;
        sum[row][column] = c[0];
        sum[row][column + 1] = c[1];
        sum[row + 8][column] = c[2];
        sum[row + 8][column + 1] = c[3];
    }
}

void storeSums(void *const *lanes, const float (&sum)[16][8])
{
    for (int lane = 0; lane < 32; lane++)
    {
        float *d = static_cast<StandinMma *>(lanes[lane])->d;
        int row = lane >> 2, column = (lane & 3) * 2;
        d[0] = sum[row][column];
        d[1] = sum[row][column + 1];
        d[2] = sum[row + 8][column];
        d[3] = sum[row + 8][column + 1];
    }
}

// m16n8k16, row x column. A: a0 (row g), a1 (row g + 8), a2 and a3 the same 8 columns on; B: b0, and b1 8 rows on.
template <float Convert(uint32_t)> void mma16(void *const *lanes, uint32_t)
{
    float a[16][16], b[16][8], sum[16][8];
    for (int lane = 0; lane < 32; lane++)
    {
        auto *frame = static_cast<StandinMma *>(lanes[lane]);
        int group = lane >> 2, pair = (lane & 3) * 2;
        for (int i = 0; i < 4; i++)
        {
            int row = group + (i & 1) * 8, column = pair + (i >> 1) * 8;
            a[row][column] = Convert(frame->a[i] & 0xFFFF);
            a[row][column + 1] = Convert(frame->a[i] >> 16);
        }
        for (int i = 0; i < 2; i++)
        {
            b[pair + i * 8][group] = Convert(frame->b[i] & 0xFFFF);
            b[pair + i * 8 + 1][group] = Convert(frame->b[i] >> 16);
        }
    }
    loadSums(lanes, sum);
    multiply(a, b, sum);
    storeSums(lanes, sum);
}

// m16n8k8 of tf32.
void mmaTf32(void *const *lanes, uint32_t)
{
    float a[16][8], b[8][8], sum[16][8];
    for (int lane = 0; lane < 32; lane++)
    {
        auto *frame = static_cast<StandinMma *>(lanes[lane]);
        int group = lane >> 2, k = lane & 3;
        for (int i = 0; i < 4; i++)
            a[group + (i & 1) * 8][k + (i >> 1) * 4] = fromTf32(frame->a[i]);
        for (int i = 0; i < 2; i++)
            b[k + i * 4][group] = fromTf32(frame->b[i]);
    }
    loadSums(lanes, sum);
    multiply(a, b, sum);
    storeSums(lanes, sum);
}

// ldmatrix m8n8.b16: lanes 8i .. 8i + 7 bring the row addresses of matrix i; lane l receives elements 2 (l % 4) and
// 2 (l % 4) + 1 of row l / 4, or with .trans those of column l / 4.
void loadMatrix(void *const *lanes, uint32_t)
{
    auto frame = [&](int lane) { return static_cast<StandinLoadMatrix *>(lanes[lane]); };
    uint16_t tile[8][8];
    for (uint32_t matrix = 0; matrix < frame(0)->matrices; matrix++)
    {
        for (uint32_t row = 0; row < 8; row++)
            memcpy(tile[row], frame((int)(matrix * 8 + row))->row, 16);
        for (int lane = 0; lane < 32; lane++)
        {
            int major = lane >> 2, minor = (lane & 3) * 2;
            uint32_t low = frame(lane)->transposed ? tile[minor][major] : tile[major][minor];
            uint32_t high = frame(lane)->transposed ? tile[minor + 1][major] : tile[major][minor + 1];
            frame(lane)->registers[matrix] = low | high << 16;
        }
    }
}

void land(const AsyncCopy &copy)
{
    memcpy(copy.shared, copy.global, copy.sourceBytes);
    memset((char *)copy.shared + copy.sourceBytes, 0, copy.bytes - copy.sourceBytes);
}

void copyAsync(StandinThread *self, void *shared, const void *global, uint32_t bytes, uint32_t sourceBytes)
{
    Fiber *fiber = fiberOf(self);
    if (((uintptr_t)shared | (sourceBytes ? (uintptr_t)global : 0)) % bytes != 0)
        fiber->block->fail(fiber, CUDA_ERROR_MISALIGNED_ADDRESS, "cp.async of " + std::to_string(bytes) + " bytes");
    if (sourceBytes > bytes)
        fiber->block->fail(fiber, CUDA_ERROR_ILLEGAL_INSTRUCTION, "cp.async with more source than bytes");
    fiber->copies.push_back({shared, global, bytes, sourceBytes});
}

void copyCommit(StandinThread *self)
{
    Fiber *fiber = fiberOf(self);
    fiber->groups.push_back((uint32_t)fiber->copies.size());
}

void copyWait(StandinThread *self, uint32_t pending)
{
    Fiber *fiber = fiberOf(self);
    if (fiber->groups.size() <= pending)
        return;
    size_t complete = fiber->groups.size() - pending;
    uint32_t end = fiber->groups[complete - 1];
    for (uint32_t i = 0; i < end; i++)
        land(fiber->copies[i]);
    fiber->copies.erase(fiber->copies.begin(), fiber->copies.begin() + end);
    fiber->groups.erase(fiber->groups.begin(), fiber->groups.begin() + (ptrdiff_t)complete);
    for (uint32_t &group : fiber->groups)
        group -= end;
}

void copyWaitAll(StandinThread *self)
{
    copyCommit(self);
    copyWait(self, 0);
}

uint32_t barrier(StandinThread *self, uint32_t id, uint32_t threads, uint32_t reduction, uint32_t predicate)
{
    return fiberOf(self)->block->barrier(fiberOf(self), id, threads, reduction, predicate);
}

void arrive(StandinThread *self, uint32_t id, uint32_t threads) { fiberOf(self)->block->arrive(fiberOf(self), id, threads); }

void collective(StandinThread *self, const char *name, uint32_t mask, StandinCollective apply, void *frame)
{
    fiberOf(self)->block->collective(fiberOf(self), name, mask, apply, frame);
}

uint32_t activeMask(StandinThread *self) { return fiberOf(self)->block->activeMask(fiberOf(self)); }

void fail(StandinThread *self, uint32_t code, const char *what) { fiberOf(self)->block->fail(fiberOf(self), (CUresult)code, what); }
}

const StandinRuntime runtimeTable = {barrier, arrive, collective, activeMask, copyAsync, copyCommit, copyWait, copyWaitAll,
                                     fail, mma16<fromBf16>, mma16<fromF16>, mmaTf32, loadMatrix};
