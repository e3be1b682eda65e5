// AttendGathered: pruned attention over a slot list. Each row of C attends to the positions of T up to its own; T's K and V
// lie in the stage cache in order of arrival and are fetched slot by slot, without a copy.
//
// lazyllm_attend_rows, lazyllm_attend_combine  few rows (decode, revived rows), split over K/V (attention_rows.cuh); without
//                                              a list also the dense model's decode; in float32 any number of rows
// lazyllm_attend_gathered                      many rows (a follow-up turn), matrix units (attention_tiles.cuh)
// Called by CudaOperations.AttendGathered and AttendDense. The first two are bound by the K/V bytes of T.
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
    attend_tiles(args);
}
#endif
