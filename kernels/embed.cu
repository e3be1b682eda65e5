// Embed: Aux[first + i] = embedding of tokens[i], widened to float32.
//
// table  vocabulary x width, Stored          aux  positions x width, float32
// One block per token. The ids travel in the parameters, so that nothing has to be copied or waited for before it; the
// launcher (EmbedKernel.cs) cuts a prompt into pieces. Bound by the bytes it moves: 6 per number.
#include "storage.cuh"

#define EMBED_TOKENS 512

struct EmbedArgs
{
    const Stored *table;
    float *aux;
    i32 width;
    i32 first;
    i32 tokens[EMBED_TOKENS];
};

LAZYLLM_KERNEL(lazyllm_embed, EmbedArgs, 128)
{
    const i32 row = (i32)blockIdx.x;
    const Stored *source = args.table + (i64)args.tokens[row] * args.width;
    float *target = args.aux + (i64)(args.first + row) * args.width;
    for (i32 i = 8 * (i32)threadIdx.x; i < args.width; i += 8 * 128)
    {
        float numbers[8];
        widen_pack(load_pack(source + i), numbers);
        *reinterpret_cast<float4 *>(target + i) = make_float4(numbers[0], numbers[1], numbers[2], numbers[3]);
        *reinterpret_cast<float4 *>(target + i + 4) = make_float4(numbers[4], numbers[5], numbers[6], numbers[7]);
    }
}
