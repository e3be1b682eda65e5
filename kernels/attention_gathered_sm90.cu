// AttendGathered on compute capability 9.0: attention of more than 64 rows over the positions up to their own (attention_sm90.cuh), whose K and
// V a warpgroup fetches slot by slot: what a pruned step revives, or a turn of a conversation; no LAZYLLM_STORAGE_F32; compiled per LAZYLLM_HEAD_SIZE. Called by AttentionKernels.cs. The
// tensor maps of K and V are not used. Bound by how fast threads fetch: a tile of keys takes half as long again as where the copy
// engine brings it, and a block's work is all of T, however many multiprocessors are idle.
#define STAGES 3 // fetched slot by slot, a tile is longer on its way
#include "attention_sm90.cuh"

LAZYLLM_KERNEL(lazyllm_attend_gathered_sm90, AttentionSm90Args, ATTEND_THREADS, 1)
{
    attend_sm90<true>(args);
}
