// GatherRows: residual[i] = Aux[positions[i]], and ScatterRows: Aux[positions[i]] = residual[i], over the compute set.
// KeepLastRow: the last row's residual and Q move to another row.
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

// ---- The last layer's last row ----

struct LastRowArgs
{
    const float *residual; // rows of the sequence
    const u8 *queries;     // QKV rows of the sequence
    float *kept_residual;  // one row each
    u8 *kept_queries;
    RowCount count;
    i32 width;             // of a residual row
    i32 query_stride;      // bytes from one QKV row to the next
    i32 query_bytes;       // of Q in a row; all three are multiples of 16
    i32 reserved;
};

LAZYLLM_KERNEL(lazyllm_keep_last_row, LastRowArgs, ROWS_THREADS)
{
    launch_dependents();
    wait_for_dependencies();
    const i32 last = row_count(args.count) - 1;
    const i32 piece = (i32)(blockIdx.x * ROWS_THREADS + threadIdx.x);
    const i32 residual_pieces = args.width / 4, query_pieces = args.query_bytes / 16;
    if (piece < residual_pieces)
        reinterpret_cast<float4 *>(args.kept_residual)[piece] = reinterpret_cast<const float4 *>(args.residual + (i64)last * args.width)[piece];
    else if (piece - residual_pieces < query_pieces)
    {
        const i32 query = piece - residual_pieces;
        reinterpret_cast<float4 *>(args.kept_queries)[query] = reinterpret_cast<const float4 *>(args.queries + (i64)last * args.query_stride)[query];
    }
}
