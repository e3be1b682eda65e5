// What the two matrix products (gemm.cu, gemv.cu) share: the parameters, and what happens to a sum at the end.
#pragma once
#include "step.cuh"
#include "storage.cuh"

enum Epilogue
{
    EPILOGUE_STORE,        // output, Stored
    EPILOGUE_ADD_RESIDUAL, // output += , float32
    EPILOGUE_SWIGLU,       // output = silu(gate) · up, Stored: weights alternate 8 rows of gate and 8 of up
    EPILOGUE_STORE_FLOAT,  // output, float32
};

/// output[rows x n] = input[rows x k] · weights[n x k]^T, sums in float32.
struct LinearArgs
{
    const Stored *input;
    const Stored *weights;
    void *output;
    RowCount count;
    i32 n;             // rows of the weights
    i32 k;             // columns of the weights and of the input: a multiple of 8
    i32 output_stride; // numbers from one row of the output to the next
    i32 epilogue;
};

LAZYLLM_DEVICE float swiglu(float gate, float up)
{
#if defined(LAZYLLM_STORAGE_F32)
    return gate / (1.0f + expf(-gate)) * up;
#else
    // A few units of float32's last place, which 16-bit storage rounds away; and a fraction of the instructions.
    return gate * reciprocal_approx(1.0f + exp2_approx(-1.4426950408889634f * gate)) * up;
#endif
}
