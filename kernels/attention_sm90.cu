// AttendDense on compute capability 9.0: attention of many rows over the positions up to their own (attention_sm90.cuh), where slot order
// is position order, so that the copy engine (TMA) brings K and V; no LAZYLLM_STORAGE_F32; compiled per LAZYLLM_HEAD_SIZE. Called by AttentionKernels.cs.
#include "attention_sm90.cuh"

LAZYLLM_KERNEL(lazyllm_attend_sm90, AttentionSm90Args, ATTEND_THREADS, 1)
{
    attend_sm90<ATTEND_IN_ORDER>(args);
}
