#!/usr/bin/env python3
"""Checks gemm_sm90.cu against float64 samples, torch and the portable gemm.cu, and times it against torch (cuBLAS) on the shapes of
Llama 2 7B: the product alone, and (`same`) with the float32 residual added where ours adds it.

    python3 bench/gpu/gemm.py [--out FOLDER] [--check-only] [--quick] [-D MACRO=VALUE ...]

A table goes to standard output, gemm.json and the machine code to the folder."""
import argparse
import json
import os

import torch

import nvrtc as n

VARIANTS = ((128, 256), (128, 192), (128, 128), (128, 64), (192, 256), (64, 192), (64, 128), (64, 64))
SMALL_SHARED = 6 * 96 * 128  # of gemm.cu
STORE, ADD, SWIGLU, FLOAT = range(4)
parser = argparse.ArgumentParser()
parser.add_argument('--out', default='.')
parser.add_argument('--check-only', action='store_true')
parser.add_argument('--quick', action='store_true')
parser.add_argument('-D', action='append', default=[], dest='defines')
arguments = parser.parse_args()
SMS = torch.cuda.get_device_properties(0).multi_processor_count


def shared_bytes(tile):
    stages = (225 if tile[0] == 192 else 208) * 1024 // (sum(tile) * 128)
    return stages * (sum(tile) * 128 + 16)


def load(storage, defines=()):
    module = n.Module('gemm_sm90.cu', [f'LAZYLLM_STORAGE_{storage}', *defines], os.path.join(arguments.out, f'gemm_sm90_{storage}.cubin'))
    kernels = {tile: module.kernel('lazyllm_gemm_sm90_%dx%d' % tile, shared_bytes(tile)) for tile in VARIANTS}
    for name, kernel in kernels.items():
        print(f'{storage} {name[0]}x{name[1]}: {kernel.registers} registers, {kernel.local} bytes of local memory')
    for line in module.log.splitlines():
        if 'warning' in line.lower() or 'spill' in line and ' 0 bytes spill' not in line:
            print(line)
    return kernels


def linear(x, w, out, epilogue):
    stride = out.shape[1]
    return n.LinearArgs(x.data_ptr(), w.data_ptr(), out.data_ptr(), n.RowCount(0, x.shape[0], 0), w.shape[0], w.shape[1], stride, epilogue)


def prepare(kernels, tile, x, w, out, epilogue):
    kind = n.BF16 if x.dtype == torch.bfloat16 else n.F16
    (m, k), rows = x.shape, w.shape[0]
    args = n.aligned(n.GemmSm90Args)
    # As many tiles as there must be, of about as many rows; behind the last lie others.
    args.tile_rows = -(-m // (8 * -(-m // tile[0]))) * 8
    args.input = n.tensor_map(x.data_ptr(), kind, (k, -(-m // args.tile_rows) * args.tile_rows), (2 * k,), (64, args.tile_rows))
    args.weights = n.tensor_map(w.data_ptr(), kind, (k, rows), (2 * k,), (64, tile[1]))
    args.linear = linear(x, w, out, epilogue)
    grid = min(-(-m // tile[0]) * -(-rows // tile[1]), SMS)
    return lambda: n.launch(kernels[tile], (grid,), 128 + 2 * tile[0], shared_bytes(tile), args)


def add_residual(residual, x, w):
    """The product of torch that adds to a float32 residual in place; None where this version has none."""
    run = lambda: torch.addmm(residual, x, w.T, out_dtype=torch.float32, out=residual)
    try:
        run()
    except (RuntimeError, TypeError):
        return None
    return run


def with_spare_rows(m, k, dtype):
    """An input; what lies behind it must not matter."""
    whole = torch.full((m + 191, k), float('nan'), device='cuda', dtype=dtype)
    return whole[:m].normal_()


def error(actual, expected):
    return float((actual.double() - expected).norm() / expected.norm())


def check(kernels, portable, dtype, m, rows, k):
    x = with_spare_rows(m, k, dtype)
    w = torch.randn(rows, k, device='cuda', dtype=dtype) / k ** 0.5
    exact = x.double() @ w.double().T
    before = torch.randn(m, rows, device='cuda')
    gate, up = exact.view(m, -1, 2, 8)[:, :, 0], exact.view(m, -1, 2, 8)[:, :, 1]
    references = {STORE: exact, FLOAT: exact, ADD: exact + before.double(), SWIGLU: (gate / (1 + torch.exp(-gate)) * up).reshape(m, -1)}
    bad = 0
    for epilogue, expected in references.items():
        first = None
        for name in VARIANTS:
            kind = dtype if epilogue in (STORE, SWIGLU) else torch.float32
            whole = torch.full((m + 8, expected.shape[1]), float('nan'), device='cuda', dtype=kind)
            out = whole[:m]
            if epilogue == ADD:
                out.copy_(before)
            prepare(kernels, name, x, w, out, epilogue)()
            torch.cuda.synchronize()
            e = error(out, expected)
            limit = 1e-4 if kind == torch.float32 else 4e-3
            inside = bool(whole[m:].isnan().all())
            first = out.clone() if first is None else first
            same = bool(torch.equal(out, first))
            if not e < limit or not inside or not same:
                bad += 1
                print(f'WRONG {name} m={m} n={rows} k={k} epilogue {epilogue}: error {e:.2e}, kept to its rows: {inside}, the same bits as the first tile: {same}')
        if portable is not None:
            out = torch.zeros((m, expected.shape[1]), device='cuda', dtype=first.dtype)
            if epilogue == ADD:
                out.copy_(before)
            n.launch(portable, (-(-m // 64) * -(-rows // 32),), 128, SMALL_SHARED, linear(x, w, out, epilogue))
            torch.cuda.synchronize()
            e = error(first, out.double())
            if not e < 4e-3:
                bad += 1
                print(f'DIFFERS from gemm.cu m={m} n={rows} k={k} epilogue {epilogue}: {e:.2e}')
    return bad


bad = 0
torch.manual_seed(torch.seed() % 2 ** 32)
torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
loaded = {}
for storage, dtype in (('BF16', torch.bfloat16), ('F16', torch.float16)):
    loaded[storage] = load(storage, arguments.defines)
    portable = n.Module('gemm.cu', ['LAZYLLM_STORAGE_' + storage]).kernel('lazyllm_gemm_small', SMALL_SHARED)
    for shape in ((128, 256, 64), (256, 512, 256), (9, 16, 8), (131, 272, 136), (300, 784, 1000), (1, 64, 4096), (1434, 4096, 4096), (513, 4096, 11008)):
        bad += check(loaded[storage], portable, dtype, *shape)
    if bad and storage == 'BF16':
        break
print('checks:', 'all right' if bad == 0 else f'{bad} WRONG')
if arguments.check_only or bad:
    raise SystemExit(1 if bad else 0)

kernels = loaded['BF16']
result = {'device': torch.cuda.get_device_name(), 'torch': torch.__version__, 'defines': arguments.defines, 'rows': []}
lengths = [512, 1434, 4096] if arguments.quick else [2, 4, 8, 16, 17, 32, 64, 65, 128, 144, 160, 192, 256, 281, 320, 384, 512, 1024, 1434, 1971, 2868, 4096, 8192]
print(f'{"product":<10}{"m":>6}{"torch us":>10}{"TFLOP/s":>9}{"same":>7}' + ''.join('%10s' % ('%dx%d' % v) for v in VARIANTS) + f'{"best/torch":>12}')
for m in lengths:
    for name, rows, k, epilogue in (('qkv', 12288, 4096, STORE), ('o', 4096, 4096, ADD), ('gate_up', 22016, 4096, SWIGLU), ('down', 4096, 11008, ADD)):
        x = with_spare_rows(m, k, torch.bfloat16)
        w = torch.randn(rows, k, device='cuda', dtype=torch.bfloat16)
        out = torch.zeros(m, rows // 2 if epilogue == SWIGLU else rows, device='cuda', dtype=torch.float32 if epilogue == ADD else torch.bfloat16)
        rate = lambda us: '-' if us is None else '%.0f' % (2 * m * rows * k / us / 1e6)
        same = add_residual(out, x, w) if epilogue == ADD else None
        peers = [lambda: torch.nn.functional.linear(x, w)] + [same] * (same is not None)
        times = n.medians_us(peers + [prepare(kernels, variant, x, w, out, epilogue) for variant in VARIANTS])
        peer = times[0]
        row = {'product': name, 'm': m, 'n': rows, 'k': k, 'torch_us': peer, 'torch_same_us': times[1] if same else None}
        row.update(zip(('%dx%d' % variant for variant in VARIANTS), times[len(peers):]))
        result['rows'].append(row)
        best = min(row['%dx%d' % v] for v in VARIANTS)
        print(f'{name:<10}{m:>6}{peer:>10.1f}{rate(peer):>9}{rate(row["torch_same_us"]):>7}' + ''.join('%10s' % rate(row['%dx%d' % v]) for v in VARIANTS) + f'{peer / best:>12.3f}', flush=True)
        del x, w, out, same
json.dump(result, open(os.path.join(arguments.out, 'gemm.json'), 'w'), indent=1)
