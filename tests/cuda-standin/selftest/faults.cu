// Kernels with one fault each: StandinFaultTests says how each must be caught. Never run these on a GPU.
#include "ptx.cuh"

struct FaultArgs
{
    u32 *data;
    u32 count; // words that data has
    u32 kind;
};

// Not inlined, so that only this case takes the space.
static __device__ __noinline__ void take_too_much_local_memory(u32 *data, u32 id)
{
    volatile u32 local[100000];
    local[id] = 1;
    local[99999 - id] = local[id];
    data[id] = local[99999 - id];
}

LAZYLLM_KERNEL(selftest_fault, FaultArgs, 64)
{
    LAZYLLM_SHARED_BYTES(raw);
    volatile u32 *shared = reinterpret_cast<volatile u32 *>(raw); // 100 words
    __shared__ u32 unset;
    const u32 id = threadIdx.x;
    switch (args.kind)
    {
        case 0: // reads past the end, far enough to leave the last page
            args.data[0] = args.data[args.count + 1024 + id];
            break;
        case 1: // writes just past the end
            args.data[args.count] = 1;
            break;
        case 2: // writes just before the start
            args.data[-1] = 1;
            break;
        case 3: // writes through null
            *reinterpret_cast<volatile u32 *>(u64(id)) = 1;
            break;
        case 4: // some threads wait at a barrier, the others for them in a warp
            if (id < 5)
                __syncwarp();
            else
                __syncthreads();
            named_barrier_sync(3, 64);
            break;
        case 5: // named barriers that never fill
            named_barrier_sync(1 + id / 32, 64);
            break;
        case 6:
            if (id == 7)
                __trap();
            break;
        case 7: // writes past the end of dynamic shared memory, within its padding
            shared[100] = 1;
            break;
        case 8: // and beyond it
            shared[100 + 64] = 1;
            break;
        case 9:
            args.data[0] = args.count / (args.kind - 9 + args.data[0]);
            break;
        case 10: // shared memory that nobody wrote, dynamic and static
            args.data[2 * id] = shared[id];
            args.data[2 * id + 1] = unset;
            break;
        case 11: // a row that ldmatrix cannot read
        {
            u32 r[4];
            ldmatrix_x4(r, raw + 8);
            break;
        }
        case 12: // a lane that its own mask leaves out
            args.data[id] = __shfl_sync(0x0000FFFFu, id, 0);
            break;
        case 13:
            take_too_much_local_memory(args.data, id);
            break;
        case 14: // a loop without end
            while (*reinterpret_cast<volatile u32 *>(args.data) != 12345)
            {
            }
            break;
        default:
            args.data[id] = id;
            break;
    }
}
