// What turns a pair of numbers of Q or K by a position's angle, the same to the bit wherever it is done.
#pragma once
#include "types.cuh"

LAZYLLM_DEVICE void turn(float &low, float &high, float cosine, float sine)
{
    // Said to the last multiplication: left to the compiler, two kernels might round differently.
    const float turned = fmaf(low, cosine, -(high * sine));
    high = fmaf(high, cosine, low * sine);
    low = turned;
}
