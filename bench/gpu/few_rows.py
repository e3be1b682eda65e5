#!/usr/bin/env python3
"""What the choice among the kernels for few rows rests on: every product and every split attention that takes 1 to 64 rows, checked
against float64 and timed on the shapes of Llama 2 7B, beside torch's product and the time that a copy of the bytes would take.

    python3 bench/gpu/few_rows.py [--check-only] [--out FOLDER]

Weights, and K and V, rotate among copies that together exceed the level-2 cache. A table goes to standard output, few_rows.json
to the folder."""
import argparse
import json
import os

import torch

import nvrtc as n

STORE, ADD, SWIGLU, FLOAT = range(4)
PRODUCTS = (('qkv', 12288, 4096, STORE), ('o', 4096, 4096, ADD), ('gate_up', 22016, 4096, SWIGLU), ('down', 4096, 11008, ADD))
HEADS, HEAD, SPLITS = 32, 128, 64
parser = argparse.ArgumentParser()
parser.add_argument('--out', default='.')
parser.add_argument('--check-only', action='store_true')
arguments = parser.parse_args()
torch.manual_seed(torch.seed() % 2 ** 32)
gemv, gemm = (n.Module(source, ['LAZYLLM_STORAGE_BF16']) for source in ('gemv.cu', 'gemm.cu'))
attention = n.Module('attention_gathered.cu', ['LAZYLLM_STORAGE_BF16', f'LAZYLLM_HEAD_SIZE={HEAD}', 'LAZYLLM_HEADS_PER_BLOCK=1'])

# Name: kernel, most rows, threads, outputs per block, shared memory.
LINEAR = {f'gemv_{r}': (gemv.kernel(f'lazyllm_gemv_{r}'), r, 128, 8 if r == 1 else 16, 0) for r in (1, 4, 8)}
LINEAR['gemm_few'] = (gemm.kernel('lazyllm_gemm_few', 8 * 48 * 128), 16, 64, 32, 8 * 48 * 128)
LINEAR['gemm_small'] = (gemm.kernel('lazyllm_gemm_small', 6 * 96 * 128), 64, 128, 32, 6 * 96 * 128)
ATTEND = {'rows': attention.kernel('lazyllm_attend_rows'), 'split': attention.kernel('lazyllm_attend_split', 5 * 64 * (HEAD + 8) * 2)}
combine = attention.kernel('lazyllm_attend_combine')
for name, kernel in [(k, v[0]) for k, v in LINEAR.items()] + list(ATTEND.items()):
    print(f'{name}: {kernel.registers} registers, {kernel.local} bytes of local memory')


def random(*shape, dtype=torch.bfloat16):
    return torch.empty(*shape, device='cuda', dtype=dtype).normal_()


def error(actual, expected):
    return float((actual.double() - expected).norm() / expected.norm())


def product(name, x, w, out, epilogue):
    kernel, _, threads, per_block, shared = LINEAR[name]
    args = n.LinearArgs(x.data_ptr(), w.data_ptr(), out.data_ptr(), n.RowCount(0, x.shape[0], 0), w.shape[0], w.shape[1], out.shape[1], epilogue)
    n.launch(kernel, (-(-w.shape[0] // per_block),), threads, shared, args)


def attend(name, rows, tokens, q, cache, layer, slots, places, out, partials):
    """One layer's attention of rows over T through a slot list, as the engine launches it."""
    bucket = 1 << (tokens - 1).bit_length()
    per_split = 128 if name == 'rows' else min(512, max(128, 8 * (1 << max(0, rows - 1).bit_length())))
    splits = max(1, min(SPLITS, bucket // per_split))
    stride = cache[0].numel()
    args = n.AttentionArgs(q.data_ptr(), cache.data_ptr() + 2 * layer * 2 * HEADS * HEAD, slots.data_ptr(), places.data_ptr(), out.data_ptr(), partials.data_ptr(),
                           n.RowCount(0, rows, 0), stride, q.shape[1], HEADS * HEAD, HEADS, HEADS, tokens, splits, 1.4426950408889634 / HEAD ** 0.5, 0)
    if name == 'rows':
        n.launch(ATTEND[name], (splits, HEADS, rows), 128, 0, args)
    else:
        n.launch(ATTEND[name], (1, HEADS, splits), 128, 5 * 64 * (HEAD + 8) * 2, args)
    n.launch(combine, (HEADS, rows), 512, 0, args)


bad = 0
for name, (_, most, *_) in LINEAR.items():
    for rows in sorted({1, most // 2 + 1, most}):
        for outputs, k in ((272, 136), (4096, 4096), (64, 11008)):
            x, w = random(rows, k), random(outputs, k) / k ** 0.5
            out = torch.full((rows, outputs), float('nan'), device='cuda', dtype=torch.bfloat16)
            product(name, x, w, out, STORE)
            e = error(out, x.double() @ w.double().T)
            bad += not e < 4e-3
            if not e < 4e-3:
                print(f'WRONG {name} {rows} x {outputs} x {k}: {e:.2e}')
for name in ATTEND:
    for rows, tokens in ((1, 40), (2, 300), (7, 1405), (16, 1405), (33, 4096), (64, 1000)):
        q, cache = random(rows, 3 * HEADS * HEAD), random(3 * tokens, 2 * 2 * HEADS * HEAD)
        slots = torch.randperm(3 * tokens, device='cuda', dtype=torch.int32)[:tokens].contiguous()
        places = torch.randperm(tokens, device='cuda', dtype=torch.int32)[:rows].sort().values.contiguous()
        places[-1] = tokens - 1
        out = torch.full((rows, HEADS * HEAD), float('nan'), device='cuda', dtype=torch.bfloat16)
        attend(name, rows, tokens, q, cache, 1, slots, places, out, torch.full((rows * HEADS * SPLITS * (HEAD + 2),), float('nan'), device='cuda'))
        kept = cache.view(-1, 2, 2, HEADS, HEAD)[slots.long(), 1].double()
        scores = torch.einsum('rhd,thd->hrt', q[:, :HEADS * HEAD].view(rows, HEADS, HEAD).double(), kept[:, 0]) / HEAD ** 0.5
        scores.masked_fill_(torch.arange(tokens, device='cuda') > places.view(-1, 1), -float('inf'))
        e = error(out.view(rows, HEADS, HEAD), torch.einsum('hrt,thd->rhd', scores.softmax(-1), kept[:, 1]))
        bad += not e < 4e-3
        if not e < 4e-3:
            print(f'WRONG attend_{name} {rows} rows, {tokens} tokens: {e:.2e}')
print('checks:', 'all right' if bad == 0 else f'{bad} WRONG')
if arguments.check_only or bad:
    raise SystemExit(1 if bad else 0)

copy_rate = n.copy_rate()
result = {'device': torch.cuda.get_device_name(), 'torch': torch.__version__, 'copy_tb_s': copy_rate / 1e6, 'products': [], 'attention': []}
print(f'{result["device"]}, copy {copy_rate / 1e6:.2f} TB/s; microseconds')
print(f'{"product":<10}{"rows":>5}{"floor":>8}{"torch":>8}' + ''.join(f'{name:>12}' for name in LINEAR))
for product_name, outputs, k, epilogue in PRODUCTS:
    copies = [random(outputs, k) for _ in range(max(2, (256 << 20) // (2 * outputs * k)))]
    for rows in (1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 64):
        x, turn = random(rows, k), [0]
        out = torch.zeros(rows, outputs // 2 if epilogue == SWIGLU else outputs, device='cuda', dtype=torch.float32 if epilogue == ADD else torch.bfloat16)

        def weights():
            turn[0] = (turn[0] + 1) % len(copies)
            return copies[turn[0]]
        row = {'product': product_name, 'rows': rows, 'floor_us': 2 * outputs * k / copy_rate, 'torch_us': n.median_us(lambda: torch.nn.functional.linear(x, weights()))}
        for name, (_, most, *_) in LINEAR.items():
            if rows <= most <= 8 * rows or name.startswith('gemm') and rows <= most:
                row[name] = n.median_us(lambda: product(name, x, weights(), out, epilogue))
        result['products'].append(row)
        print(f'{product_name:<10}{rows:>5}{row["floor_us"]:>8.1f}{row["torch_us"]:>8.1f}' + ''.join(f'{row.get(name, float("nan")):>12.1f}' for name in LINEAR), flush=True)
    del copies
print(f'{"tokens":>10}{"rows":>5}{"floor":>8}' + ''.join(f'{name:>12}' for name in ATTEND))
for tokens in (1405, 4096):
    layers = 8
    cache = random(tokens + tokens // 2, layers * 2 * HEADS * HEAD)
    slots = torch.randperm(len(cache), device='cuda', dtype=torch.int32)[:tokens].sort().values.contiguous()
    for rows in (1, 2, 4, 8, 16, 32, 64):
        q, out, turn = random(rows, 3 * HEADS * HEAD), random(rows, HEADS * HEAD), [0]
        partials = torch.empty(rows * HEADS * SPLITS * (HEAD + 2), device='cuda')
        places = torch.arange(tokens - rows, tokens, device='cuda', dtype=torch.int32)
        row = {'tokens': tokens, 'rows': rows, 'floor_us': tokens * 4 * HEADS * HEAD / copy_rate}
        for name in ATTEND:
            def run():
                turn[0] = (turn[0] + 1) % layers
                attend(name, rows, tokens, q, cache, turn[0], slots, places, out, partials)
            row[name] = n.median_us(run)
        result['attention'].append(row)
        print(f'{tokens:>10}{rows:>5}{row["floor_us"]:>8.1f}' + ''.join(f'{row[name]:>12.1f}' for name in ATTEND), flush=True)
    del cache
with open(os.path.join(arguments.out, 'few_rows.json'), 'w') as file:
    json.dump(result, file, indent=1)
