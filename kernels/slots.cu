// Rollback of a step that did not finish: the stage's slots from slot_count on are free again, and the positions that
// had them count as not computed.
//
// slot_of  slot by position, -1 where there is none. One thread per position, whatever the step had come to. Rare.
#include "types.cuh"

#define SLOTS_THREADS 256

struct ForgetSlotsArgs
{
    i32 *slot_of;
    i32 positions;
    i32 slot_count;
};

LAZYLLM_KERNEL(lazyllm_forget_slots, ForgetSlotsArgs, SLOTS_THREADS)
{
    const i32 position = (i32)(blockIdx.x * SLOTS_THREADS + threadIdx.x);
    if (position < args.positions && args.slot_of[position] >= args.slot_count)
        args.slot_of[position] = -1;
}
