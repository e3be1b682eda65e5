#!/usr/bin/env python3
"""Checks attention_sm90.cu and attention_gathered_sm90.cu against float64 and the portable attention_dense.cu and attention_gathered.cu, and
times them against these and PyTorch's attention (its FlashAttention-2, and cuDNN's where there is one) on the shapes of Llama 2 7B.

    python3 bench/gpu/attention.py [--out FOLDER] [--check-only] [--quick] [-D MACRO=VALUE ...]

A table goes to standard output, attention.json and the machine code to the folder."""
import argparse
import json
import math
import os

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import nvrtc as n

parser = argparse.ArgumentParser()
parser.add_argument('--out', default='.')
parser.add_argument('--check-only', action='store_true')
parser.add_argument('--quick', action='store_true')
parser.add_argument('-D', action='append', default=[], dest='defines')
arguments = parser.parse_args()
SMS = torch.cuda.get_device_properties(0).multi_processor_count
GATHERED_STAGES = 3
KINDS = {'BF16': (torch.bfloat16, n.BF16), 'F16': (torch.float16, n.F16)}


def shared_bytes(size, stages=2):
    return (1 + 2 * stages) * 128 * 128 * ((size + 63) // 64) + 16 * (1 + 2 * stages)


class Kernels:
    def __init__(self, storage, size):
        self.size = size
        defines = [f'LAZYLLM_STORAGE_{storage}', f'LAZYLLM_HEAD_SIZE={size}']
        module = n.Module('attention_sm90.cu', defines + arguments.defines, os.path.join(arguments.out, f'attention_sm90_{storage}_{size}.cubin'))
        self.hopper = module.kernel('lazyllm_attend_sm90', shared_bytes(size))
        print(f'{storage} {size}: {self.hopper.registers} registers, {self.hopper.local} bytes of local memory')
        gathered = n.Module('attention_gathered_sm90.cu', defines + arguments.defines, os.path.join(arguments.out, f'attention_gathered_sm90_{storage}_{size}.cubin'))
        self.gathered = gathered.kernel('lazyllm_attend_gathered_sm90', shared_bytes(size, GATHERED_STAGES))
        self.paired = gathered.kernel('lazyllm_attend_paired_sm90', shared_bytes(size, GATHERED_STAGES))
        for name, kernel in (('gathered', self.gathered), ('paired', self.paired)):
            print(f'{storage} {size} {name}: {kernel.registers} registers, {kernel.local} bytes of local memory')
        for line in (module.log + gathered.log).splitlines():
            if 'warning' in line.lower() or 'wgmma' in line.lower() or 'spill' in line and ' 0 bytes spill' not in line:
                print(line)
        self.portable_shared = 5 * 64 * ((size + 15) // 16 * 16 + 8) * 2
        self.portable = n.Module('attention_dense.cu', defines).kernel('lazyllm_attend_dense', self.portable_shared)
        self.portable_gathered = n.Module('attention_gathered.cu', defines + ['LAZYLLM_HEADS_PER_BLOCK=1']).kernel('lazyllm_attend_gathered', self.portable_shared)


class Scene:
    """Rows of QKV and a cache, whose last positions are the rows'; gathered: any positions of a cache in any order."""

    def __init__(self, storage, rows, tokens, heads, kv_heads, size, gathered=False):
        self.dtype, self.kind = KINDS[storage]
        self.rows, self.tokens, self.heads, self.kv_heads, self.size = rows, tokens, heads, kv_heads, size
        self.queries = torch.randn(rows, (heads + 2 * kv_heads) * size, device='cuda', dtype=self.dtype)
        # What lies behind the positions in use may be anything.
        self.cache = torch.full((tokens + 130, 2 * kv_heads * size), float('nan'), device='cuda', dtype=self.dtype)
        self.cache[:tokens] = torch.randn(tokens, 2 * kv_heads * size, device='cuda', dtype=self.dtype)
        self.cache[:tokens:5, :kv_heads * size] *= 4
        self.whole = torch.full((rows + 8, heads * size), float('nan'), device='cuda', dtype=self.dtype)
        self.output = self.whole[:rows]
        self.normalizers = torch.full((2, heads), float('nan'), device='cuda')
        self.slots = self.places = None
        if gathered:
            self.slots = torch.randperm(tokens + 130, device='cuda', dtype=torch.int32)[:tokens].contiguous()
            self.cache[self.slots.long()] = torch.randn(tokens, 2 * kv_heads * size, device='cuda', dtype=self.dtype)
            self.places = torch.randperm(tokens, device='cuda', dtype=torch.int32)[:rows].sort().values.contiguous()
            self.places[-1] = tokens - 1

    def args(self):
        row_stride, slot_stride = self.queries.shape[1], self.cache.shape[1]
        slots, places = (0, 0) if self.slots is None else (self.slots.data_ptr(), self.places.data_ptr())
        return n.AttentionArgs(self.queries.data_ptr(), self.cache.data_ptr(), slots, places, self.output.data_ptr(), 0, n.RowCount(0, self.rows, 0), slot_stride, row_stride,
                               self.kv_heads * self.size, self.heads, self.kv_heads, self.tokens, 1, math.log2(math.e) / math.sqrt(self.size),
                               len(self.normalizers), self.normalizers.data_ptr())

    def hopper(self, kernels, group_bytes=16 << 20, paired=False):
        args = n.aligned(n.AttentionSm90Args)
        box = (64, 1, 128)
        row, slot = 2 * self.queries.shape[1], 2 * self.cache.shape[1]
        args.queries = n.tensor_map(self.queries.data_ptr(), self.kind, (self.size, self.heads, self.rows), (2 * self.size, row), box)
        args.keys = n.tensor_map(self.cache.data_ptr(), self.kind, (self.size, self.kv_heads, self.tokens), (2 * self.size, slot), box)
        args.values = n.tensor_map(self.cache.data_ptr() + 2 * self.kv_heads * self.size, self.kind, (self.size, self.kv_heads, self.tokens), (2 * self.size, slot), box)
        args.attention = self.args()
        kv_heads = 2 ** int(math.log2(max(1, group_bytes // (4 * self.tokens * self.size))))
        args.head_group = min(self.heads, kv_heads * self.heads // self.kv_heads)
        tiles = -(-self.rows // 128) * self.heads
        if paired:
            return lambda: n.launch(kernels.paired, (2 * tiles,), 384, shared_bytes(self.size, GATHERED_STAGES), args, 2)
        grid = min(tiles, SMS)
        kernel, shared = (kernels.hopper, shared_bytes(self.size)) if self.slots is None else (kernels.gathered, shared_bytes(self.size, GATHERED_STAGES))
        return lambda: n.launch(kernel, (grid,), 384, shared, args)

    def portable(self, kernels):
        args = self.args()
        kernel = kernels.portable if self.slots is None else kernels.portable_gathered
        return lambda: n.launch(kernel, (-(-self.rows // 64), self.heads), 128, kernels.portable_shared, args)

    def parts(self):
        q = self.queries[:, :self.heads * self.size].view(self.rows, self.heads, self.size).transpose(0, 1)
        kept = self.cache[:self.tokens] if self.slots is None else self.cache[self.slots.long()]
        k, v = (kept[:, part * self.kv_heads * self.size:][:, :self.kv_heads * self.size].view(self.tokens, self.kv_heads, self.size).transpose(0, 1) for part in (0, 1))
        return q, *(x.repeat_interleave(self.heads // self.kv_heads, 0) for x in (k, v))

    def exact(self):
        q, k, v = (x.double() for x in self.parts())
        last = torch.arange(self.tokens - self.rows, self.tokens, device='cuda') if self.places is None else self.places
        seen = torch.arange(self.tokens, device='cuda')[None] <= last[:, None]
        scores = (q @ k.transpose(1, 2) / math.sqrt(self.size)).masked_fill(~seen, -math.inf)
        normalizers = scores[:, -2:].logsumexp(-1).T.flip(0) * math.log2(math.e)
        return (scores.softmax(-1) @ v).transpose(0, 1).reshape(self.rows, -1), normalizers


def check(kernels, storage, *shape):
    scene = Scene(storage, *shape)
    expected, normalizers = scene.exact()
    errors, off = [], 0.0
    runs = [scene.hopper(kernels), scene.portable(kernels)] + [scene.hopper(kernels, paired=True)] * (scene.slots is not None)
    for run in runs:
        scene.whole.fill_(float('nan'))
        scene.normalizers.fill_(float('nan'))
        run()
        torch.cuda.synchronize()
        errors.append(float((scene.output.double() - expected).abs().max() / expected.abs().max()))
        off = max(off, float((scene.normalizers[:len(normalizers)] - normalizers).abs().max()))
    inside = bool(scene.whole[scene.rows:].isnan().all())
    limit = 2e-2 if storage == 'BF16' else 4e-3
    right = max(errors) < limit and max(errors) < 2 * errors[1] + 1e-3 and inside and off < 1e-4
    if not right:
        print(f'WRONG {storage} rows, |T|, heads, K/V heads, size, gathered {shape}: errors {errors} (the second: portable), normalizers {off:.2e}, kept to its rows: {inside}')
    return 0 if right else 1


torch.manual_seed(torch.seed() % 2 ** 32)
bad = 0
SHAPES = ((128, 128), (64, 64), (1, 1), (65, 65), (129, 129), (300, 300), (256, 384), (200, 1000), (70, 4000), (1030, 1030), (17, 333))
for storage, size, heads, kv_heads in (('BF16', 128, 4, 4), ('BF16', 64, 4, 2), ('F16', 128, 8, 1), ('BF16', 40, 3, 3), ('F16', 96, 2, 1)):
    kernels = Kernels(storage, size)
    for rows, tokens in SHAPES:
        bad += check(kernels, storage, rows, tokens, heads, kv_heads, size) + check(kernels, storage, rows, tokens, heads, kv_heads, size, True)
    if bad:
        break
print('checks:', 'all right' if bad == 0 else f'{bad} WRONG')
if arguments.check_only or bad:
    raise SystemExit(1 if bad else 0)

result = {'device': torch.cuda.get_device_name(), 'torch': torch.__version__, 'defines': arguments.defines, 'rows': []}
kernels = Kernels('BF16', 128)
print(f'{"rows":>6}{"|T|":>7}{"FA2 us":>10}{"cuDNN us":>10}{"portable":>10}{"sm90 us":>10}{"TFLOP/s":>9}{"FA2/sm90":>10}')
for rows, tokens in ((4096, 4096), (8192, 8192)) if arguments.quick else ((1024, 1024), (2048, 2048), (4096, 4096), (8192, 8192), (16384, 16384), (32768, 32768), (512, 4096)):
    scene = Scene('BF16', rows, tokens, 32, 32, 128)
    pairs = sum(tokens - rows + 1 + r for r in range(rows))
    flop = 4 * 128 * 32 * pairs
    q, k, v = (x.contiguous()[None] for x in scene.parts())
    row = {'rows': rows, 'tokens': tokens, 'flop': flop}
    for name, backend in (('fa2_us', SDPBackend.FLASH_ATTENTION), ('cudnn_us', SDPBackend.CUDNN_ATTENTION)):
        row[name] = None
        if rows == tokens:
            try:
                with sdpa_kernel(backend):
                    row[name] = n.median_us(lambda: torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True))
            except RuntimeError as error:
                print(name, error)
    row['portable_us'] = n.median_us(scene.portable(kernels))
    row['sm90_us'] = n.median_us(scene.hopper(kernels))
    result['rows'].append(row)
    show = lambda t: f'{t:>10.1f}' if t else f'{"":>10}'
    print(f'{rows:>6}{tokens:>7}{show(row["fa2_us"])}{show(row["cudnn_us"])}{show(row["portable_us"])}{show(row["sm90_us"])}{flop / row["sm90_us"] / 1e6:>9.0f}'
          + (f'{row["fa2_us"] / row["sm90_us"]:>10.2f}' if row['fa2_us'] else ''), flush=True)
    del scene, q, k, v
print(f'{"rows":>6}{"|T|":>7}{"portable":>10}{"sm90 us":>10}{"paired us":>10}   gathered, 32 heads')
for rows, tokens in ((65, 1434), (256, 1434)) if arguments.quick else ((65, 512), (256, 512), (65, 1434), (128, 1434), (256, 1434), (384, 1434), (512, 1434), (1000, 1434), (256, 4096), (256, 11469)):
    scene = Scene('BF16', rows, tokens, 32, 32, 128, True)
    row = {'rows': rows, 'tokens': tokens, 'gathered': True, 'portable_us': n.median_us(scene.portable(kernels)), 'sm90_us': n.median_us(scene.hopper(kernels)),
           'paired_us': n.median_us(scene.hopper(kernels, paired=True))}
    result['rows'].append(row)
    print(f'{rows:>6}{tokens:>7}{row["portable_us"]:>10.1f}{row["sm90_us"]:>10.1f}{row["paired_us"]:>10.1f}', flush=True)
json.dump(result, open(os.path.join(arguments.out, 'attention.json'), 'w'), indent=1)
