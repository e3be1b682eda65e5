// What the attention kernels share: their arguments, and which positions a row sees.
#pragma once
#include "step.cuh"
#include "storage.cuh"

#define HEAD_SIZE LAZYLLM_HEAD_SIZE
#define MINUS_INFINITY __uint_as_float(0xFF800000u)

/// Attention of the rows C of one sequence over its token set T in one layer.
struct AttentionArgs
{
    const Stored *queries; // rows x row_stride: Q heads first
    const Stored *keys;    // K of the layer at slot 0; V follows at + value_offset
    const i32 *slots;      // T's slots by place in T; null where slot = place
    const i32 *places;     // C's places in T; null where C is T's tail
    Stored *output;        // rows x (heads x head size)
    float *partials;       // scratch of the split kernels
    RowCount count;
    i64 slot_stride;       // numbers from slot to slot
    i32 row_stride;        // numbers from row to row of QKV
    i32 value_offset;
    i32 heads;
    i32 kv_heads;
    i32 token_count;       // |T|, where the device does not say
    i32 splits;
    float scale;           // log2(e) / sqrt(head size): powers of two are taken, not of e
    i32 normalized_rows;   // the last rows of C whose normalizers are kept
    float *normalizers;    // from the newest row back, heads each: log2 of what the row's powers of two were divided by
};

LAZYLLM_DEVICE i32 token_count(const AttentionArgs &args)
{
    return args.count.state != nullptr ? args.count.state->token_count : args.token_count;
}

/// How many of T, from the first on, a row of C sees: those up to its own position.
LAZYLLM_DEVICE i32 seen_by(const AttentionArgs &args, i32 row, i32 rows)
{
    return 1 + (args.places != nullptr ? args.places[row] : token_count(args) - rows + row);
}

LAZYLLM_DEVICE i64 slot_of_place(const AttentionArgs &args, i32 place)
{
    return args.slots != nullptr ? args.slots[place] : place;
}

/// Keeps what importance.cu divides by, where the row is one that scores. `highest` is in units of log2, `sum` of powers above it.
LAZYLLM_DEVICE void keep_normalizer(const AttentionArgs &args, i32 row, i32 rows, i32 head, float highest, float sum)
{
    const i32 from_newest = rows - 1 - row;
    if (from_newest < args.normalized_rows)
        args.normalizers[(i64)from_newest * args.heads + head] = highest + log2_approx(sum);
}

/// A partial result in scratch memory, of one (row, head, split): maximum, sum, head size numbers.
#define PARTIAL_SIZE (HEAD_SIZE + 2)
