// AttendGathered: pruned attention over a slot list. Each row of C attends to the positions of T up to its own; T's K and V
// lie in the stage cache in order of arrival and are fetched slot by slot, without a copy.
//
// lazyllm_attend_rows      one row (decode), split over K/V (attention_rows.cuh); in float32 any number of rows
// lazyllm_attend_split     2 to 64 rows (decode with revived rows), matrix units, split over K/V (attention_tiles.cuh)
// lazyllm_attend_gathered  more rows (a follow-up turn), matrix units (attention_tiles.cuh)
// lazyllm_attend_combine   merges what the split ones leave
//
// Without a list the split ones serve the dense model too; they are bound by the K/V bytes of T. Called by
// CudaOperations.AttendGathered and AttendDense.
// Compiled per storage format, LAZYLLM_HEAD_SIZE and LAZYLLM_HEADS_PER_BLOCK.
#include "attention_rows.cuh"

LAZYLLM_KERNEL(lazyllm_attend_rows, AttentionArgs, ATTEND_THREADS)
{
    attend_rows(args);
}

LAZYLLM_KERNEL(lazyllm_attend_combine, AttentionArgs, COMBINE_THREADS)
{
    combine_rows(args);
}

#if !defined(LAZYLLM_STORAGE_F32)
#include "attention_tiles.cuh"

LAZYLLM_KERNEL(lazyllm_attend_gathered, AttentionArgs, TILE_THREADS, 2)
{
    attend_tiles<false>(args);
}

LAZYLLM_KERNEL(lazyllm_attend_split, AttentionArgs, TILE_THREADS, 2)
{
    attend_tiles<true>(args);
}
#endif
