// What kernels read of a step's sizes.
#pragma once
#include "types.cuh"

/// Sizes of one sequence's step in the stage at hand, in device memory. Written by select.cu.
struct StepState
{
    i32 rows;        // |C|
    i32 token_count; // |T|
    i32 revived;     // those of C that are older than the step
    i32 slot_count;  // slots of the stage in use, C's included
};

/// How many rows a kernel works on. A recorded graph is replayed for any count up to the one it was recorded for, so
/// there the count is read from the device.
struct RowCount
{
    const StepState *state; // null where the host knows the count
    i32 limit;              // the count, or its upper limit
    i32 is_exact;           // whether the limit is the count, and the state tells |T| alone
};

LAZYLLM_DEVICE i32 row_count(const RowCount &count)
{
    return count.state != nullptr && count.is_exact == 0 ? count.state->rows : count.limit;
}
