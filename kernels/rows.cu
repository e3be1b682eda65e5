// GatherRows: residual[i] = Aux[positions[i]], and ScatterRows: Aux[positions[i]] = residual[i], over the compute set.
//
// aux  positions x width, residual  rows x width, float32; width is a multiple of 8, rows start at multiples of 32 bytes.
// One block per row and piece of 1,024 numbers, one 16-byte access per thread. Bound by the bytes it moves: 8 per number.
// Where a stage begins, rmsnorm.cu gathers as it norms, and lazyllm_gather_rows stays for what wants the rows alone.
#include "ptx.cuh"
#include "step.cuh"

#define ROWS_THREADS 256

struct RowsArgs
{
    float *aux;
    float *residual;
    const i32 *positions;
    RowCount count;
    i32 width;
    i32 reserved;
};

/// The block's row and the thread's 16 bytes in it; false where there is none.
LAZYLLM_DEVICE bool find_piece(const RowsArgs &args, i32 &row, i32 &column)
{
    launch_dependents();
    wait_for_dependencies();
    row = (i32)blockIdx.x;
    column = 4 * ((i32)blockIdx.y * ROWS_THREADS + (i32)threadIdx.x);
    return row < row_count(args.count) && column < args.width;
}

LAZYLLM_KERNEL(lazyllm_gather_rows, RowsArgs, ROWS_THREADS)
{
    i32 row, column;
    if (find_piece(args, row, column))
    {
        const float4 piece = *reinterpret_cast<const float4 *>(args.aux + (i64)args.positions[row] * args.width + column);
        *reinterpret_cast<float4 *>(args.residual + (i64)row * args.width + column) = piece;
    }
}

LAZYLLM_KERNEL(lazyllm_scatter_rows, RowsArgs, ROWS_THREADS)
{
    i32 row, column;
    if (find_piece(args, row, column))
    {
        const float4 piece = *reinterpret_cast<const float4 *>(args.residual + (i64)row * args.width + column);
        *reinterpret_cast<float4 *>(args.aux + (i64)args.positions[row] * args.width + column) = piece;
    }
}
