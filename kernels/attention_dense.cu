// AttendDense: attention of each row of C over the positions of T up to its own, where slot order is position order and C
// is T's tail: the whole prompt of a dense model, and every stage that is filled for the first time, pruned or not.
//
// lazyllm_attend_dense  many rows, matrix units (attention_tiles.cuh); up to 64 rows go to attention_gathered.cu without a list.
// Called by CudaOperations.AttendDense. Bound by the matrix units.
// Compiled per storage format and LAZYLLM_HEAD_SIZE; no LAZYLLM_STORAGE_F32, whose rows go to attention_gathered.cu too.
#include "attention_tiles.cuh"

LAZYLLM_KERNEL(lazyllm_attend_dense, AttentionArgs, TILE_THREADS, 2)
{
    attend_tiles<false>(args);
}
