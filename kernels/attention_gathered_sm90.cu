// AttendGathered on compute capability 9.0: attention of more than 64 rows over the positions up to their own (attention_sm90.cuh), whose K and
// V a warpgroup fetches slot by slot: what a pruned step revives, or a turn of a conversation; no LAZYLLM_STORAGE_F32; compiled per
// LAZYLLM_HEAD_SIZE. Called by AttentionKernels.cs. The tensor maps of K and V are not used.
//
// lazyllm_attend_gathered_sm90  a block takes tiles of 128 rows of one head
// lazyllm_attend_paired_sm90    where these would leave half of the GPU idle: two blocks share a tile's keys, and merge what they made
//                               of them through shared memory
//
// Bound by how fast threads fetch: a tile of keys takes half as long again as where the copy engine brings it.
#define STAGES 3 // fetched slot by slot, a tile is longer on its way
#include "attention_sm90.cuh"

LAZYLLM_KERNEL(lazyllm_attend_gathered_sm90, AttentionSm90Args, ATTEND_THREADS, 1)
{
    attend_sm90<ATTEND_GATHERED>(args);
}

LAZYLLM_KERNEL(lazyllm_attend_paired_sm90, AttentionSm90Args, ATTEND_THREADS, 1)
{
    attend_sm90<ATTEND_PAIRED>(args);
}
