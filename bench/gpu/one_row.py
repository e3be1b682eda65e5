#!/usr/bin/env python3
"""Importance and one-row attention, the two that read K/V in every layer of a pruned decode step: checked against float64, then timed
as the engine runs them in the shape of Llama 2 7B, against the rate of a copy in the same run.

    python3 bench/gpu/one_row.py [--kernels FOLDER...] [--tokens N...] [--tokens-per-split N...] [--check-only] [--out FOLDER]

A time is that of 32 launches over the K/V of 32 layers, recorded as a graph with early starts and run after the level-2 cache was
overwritten, divided by 32: so neither the first launch's latency counts nor the cache. The importance is timed alone, with what the row's
attention leaves to it. Beside the attention with its merge of splits stands its first kernel alone, and beside both operations their
time where the host knows the counts and no key is read early. Several folders of kernels are compared in one run. The table goes to
standard output, one_row.json to the folder."""
import argparse
import ctypes as c
import json
import math
import os

import torch

import nvrtc as n

LAYERS, HEADS, HEAD = 32, 32, 128
WIDTH = HEADS * HEAD
SCALE = math.log2(math.e)
parser = argparse.ArgumentParser()
parser.add_argument('--kernels', nargs='+', default=[n.KERNELS])
parser.add_argument('--tokens', nargs='+', type=int, default=[1405, 4096, 8192, 32768])
parser.add_argument('--tokens-per-split', nargs='+', type=int, default=[128], help='of the attention; more than one are compared')
parser.add_argument('--score-blocks', nargs='+', type=int, default=[4], help='of the importance, on a multiprocessor; more than one are compared')
parser.add_argument('--check-only', action='store_true')
parser.add_argument('--out', default='.')
arguments = parser.parse_args()
torch.manual_seed(torch.seed() % 2 ** 32)


class ScoreArgs(c.Structure):
    _fields_ = [('attention', n.AttentionArgs), ('importance', c.c_uint64), ('queries', c.c_int32), ('accumulate', c.c_int32)]


STORAGE = {'BF16': torch.bfloat16, 'F16': torch.float16, 'F32': torch.float32}


def random(*shape, dtype=torch.bfloat16):
    return torch.empty(*shape, device='cuda', dtype=dtype).normal_()


def bucket(tokens):
    return 1 << (tokens - 1).bit_length()


class Kernels:
    """A folder's kernels for a model's heads."""

    def __init__(self, folder, storage, heads, kv_heads, size):
        self.dtype, self.heads, self.kv_heads, self.size = STORAGE[storage], heads, kv_heads, size
        together = max(h for h in range(1, min(heads // kv_heads, 8) + 1) if heads // kv_heads % h == 0)
        self.groups = heads // together
        defines = [f'LAZYLLM_STORAGE_{storage}', f'LAZYLLM_HEAD_SIZE={size}', f'LAZYLLM_HEADS_PER_BLOCK={together}']
        lanes = 1 << (-(-size // 8) - 1).bit_length()
        keys = 2 if storage == 'F32' else 4
        self.turn_keys = 256 // lanes // min(self.groups, 256 // lanes) * keys
        self.score_shared = 2 * 256 * keys * torch.finfo(self.dtype).bits
        importance, attention = (n.Module(source, defines, folder=folder) for source in ('importance.cu', 'attention_gathered.cu'))
        self.scores = importance.kernel('lazyllm_score', self.score_shared)
        self.multiprocessors = torch.cuda.get_device_properties(0).multi_processor_count
        self.rows, self.combine = (attention.kernel('lazyllm_attend_' + name) for name in ('rows', 'combine'))
        self.resources = ', '.join(f'{name} {getattr(self, name).registers} registers {getattr(self, name).local} bytes local' for name in ('scores', 'rows', 'combine'))

    def score(self, attention, queries, importance, accumulate=0, blocks=4):
        turns = -(-bucket(attention.token_count) // self.turn_keys)
        args = ScoreArgs(attention, importance.data_ptr(), queries, accumulate)
        n.launch(self.scores, (min(turns, blocks * self.multiprocessors),), 256, self.score_shared, args, dependent=True)

    def attend(self, attention, tokens_per_split=128, only_rows=False):
        attention.splits = max(1, min(64, bucket(attention.token_count) // tokens_per_split))
        n.launch(self.rows, (attention.splits, self.groups, 1), 128, 0, attention, dependent=True)
        if (attention.splits > 1 or self.dtype != torch.float32) and not only_rows:
            n.launch(self.combine, (self.heads, 1), 512, 0, attention, dependent=True)


def attention_args(kernels, q, keys, stride, slots, places, out, partials, tokens, state, normalizers):
    return n.AttentionArgs(q.data_ptr(), keys, slots.data_ptr(), places.data_ptr(), 0 if out is None else out.data_ptr(), 0 if partials is None else partials.data_ptr(),
                           n.RowCount(0 if state is None else state.data_ptr(), len(q), 0), stride, q.shape[1], kernels.kv_heads * kernels.size, kernels.heads,
                           kernels.kv_heads, tokens, 0, SCALE / kernels.size ** 0.5, len(normalizers), normalizers.data_ptr())


def error(actual, expected):
    return float((actual.double() - expected).norm() / expected.norm())


def check(folder, storage, heads, kv_heads, size):
    kernels = Kernels(folder, storage, heads, kv_heads, size)
    wrong = 0
    for tokens, rows in ((1, 1), (40, 3), (300, 1), (1405, 1), (2300, 3), (9000, 1)):
        width = kv_heads * size
        q, cache = random(rows, (heads + 2 * kv_heads) * size, dtype=kernels.dtype), random(2 * tokens, 2, 2, kv_heads, size, dtype=kernels.dtype)
        slots = torch.randperm(2 * tokens, device='cuda', dtype=torch.int32)[:tokens].contiguous()
        places = torch.randperm(tokens, device='cuda', dtype=torch.int32)[:rows].sort().values.contiguous()
        places[-1] = tokens - 1
        kept = cache[slots.long(), 1].double().repeat_interleave(heads // kv_heads, 2)
        scores = torch.einsum('rhd,thd->rht', q[:, :heads * size].view(rows, heads, size).double(), kept[:, 0]) / size ** 0.5
        scores.masked_fill_(torch.arange(tokens, device='cuda') > places.view(-1, 1, 1), -float('inf'))
        weights = scores.softmax(-1)
        # From the newest row back.
        normalizers = (scores.logsumexp(-1) * SCALE).flip(0).float().contiguous()
        expected = weights.mean((0, 1))
        expected_row = torch.einsum('ht,thd->hd', weights[-1], kept[:, 1])
        keys = cache.data_ptr() + cache.element_size() * 2 * width
        first = None
        # Some slots count as this step's; the results must not tell.
        for slot_count in (None, rows, rows + tokens):
            state = None if slot_count is None else torch.tensor([rows, tokens, 0, slot_count], device='cuda', dtype=torch.int32)
            partials = torch.full((heads * 64 * (size + 2),), float('nan'), device='cuda')
            importance = torch.full((tokens,), float('nan'), device='cuda')
            out = torch.full((heads, size), float('nan'), device='cuda', dtype=kernels.dtype)
            left = torch.full((1, heads), float('nan'), device='cuda')
            attention = attention_args(kernels, q, keys, cache[0].numel(), slots, places, None, None, tokens, state, normalizers)
            kernels.score(attention, rows, importance)
            once = importance.clone()
            kernels.score(attention, rows, importance, accumulate=1)
            # One row alone: the last.
            state_of_one = None if state is None else torch.tensor([1, tokens, 0, slot_count - rows + 1], device='cuda', dtype=torch.int32)
            kernels.attend(attention_args(kernels, q[-1:], keys, cache[0].numel(), slots, places[-1:], out, partials, tokens, state_of_one, left))
            torch.cuda.synchronize()
            errors = error(once, expected), error(out, expected_row), float((left[0] - normalizers[0]).abs().max())
            first = (once, out) if first is None else first
            same = torch.equal(once, importance) and torch.equal(once, first[0]) and torch.equal(out, first[1])
            if not (errors[0] < 1e-4 and errors[1] < (1e-4 if storage == 'F32' else 4e-3) and errors[2] < 1e-4 and same):
                wrong += 1
                print(f'WRONG {folder} {storage} {heads}/{kv_heads} heads of {size}, {tokens} tokens, {rows} rows, slots {slot_count}: {errors[0]:.2e} {errors[1]:.2e} {errors[2]:.2e} {"" if same else "other bits"}')
    print(f'{storage} {heads}/{kv_heads} heads of {size}: {kernels.resources}', flush=True)
    return wrong


bad = 0
for folder in arguments.kernels:
    print(folder)
    for variant in (('BF16', HEADS, HEADS, HEAD), ('BF16', 32, 8, 128), ('BF16', 64, 8, 128), ('F16', 12, 2, 64), ('BF16', 6, 2, 40), ('BF16', 6, 3, 96), ('F32', 8, 8, 128), ('F32', 8, 2, 64)):
        bad += check(folder, *variant)
print('checks:', 'all right' if bad == 0 else f'{bad} WRONG')
if arguments.check_only or bad:
    raise SystemExit(1 if bad else 0)

copy_rate = n.copy_rate()
torch.cuda.empty_cache()
result = {'device': torch.cuda.get_device_name(), 'torch': torch.__version__, 'copy_tb_s': copy_rate / 1e6, 'rows': []}
print(f'{result["device"]}, copy {copy_rate / 1e6:.2f} TB/s; microseconds per launch')
print(f'{"":<10}{"tokens":>8}{"floor":>8}{"both":>8}{"share":>8}{"first":>8}{"host":>8}  version')
compiled = {folder: Kernels(folder, 'BF16', HEADS, HEADS, HEAD) for folder in arguments.kernels}
# A third of the context is kept: T's slots are spread over three times as many, of which each holds K and V of all layers.
cache = random(3 * max(arguments.tokens), LAYERS * 2 * WIDTH)
stride, layer_bytes = cache.shape[1], 2 * 2 * WIDTH
q, out = random(1, 3 * WIDTH), random(1, WIDTH)


def time(function):
    """Per layer, of function(layer)."""
    return n.median_us(n.Graph(lambda: [function(layer) for layer in range(LAYERS)])) / LAYERS


def report(operation, tokens, floor, version, both, first, host):
    result['rows'].append({'operation': operation, 'tokens': tokens, 'version': version, 'floor_us': floor, 'us': both, 'first_us': first, 'host_counts_us': host})
    print(f'{operation:<10}{tokens:>8}{floor:>8.1f}{both:>8.1f}{floor / both * 100:>7.0f}%{first:>8.1f}{host:>8.1f}  {version}', flush=True)


for tokens in arguments.tokens:
    slots = (3 * torch.arange(tokens, device='cuda', dtype=torch.int32) + torch.randint(0, 3, (tokens,), device='cuda', dtype=torch.int32)).contiguous()
    places = torch.tensor([tokens - 1], device='cuda', dtype=torch.int32)
    state = torch.tensor([1, tokens, 0, int(slots[-1]) + 1], device='cuda', dtype=torch.int32)
    importance = torch.empty(tokens, device='cuda')
    for folder, kernels in compiled.items():
        partials, normalizers = torch.empty(HEADS * 64 * (HEAD + 2), device='cuda'), torch.full((1, HEADS), 20.0, device='cuda')

        def args(layer, counts):
            return attention_args(kernels, q, cache.data_ptr() + layer * layer_bytes, stride, slots, places, out, partials, tokens, counts, normalizers)

        for blocks in arguments.score_blocks:
            def score(counts):
                return time(lambda layer: kernels.score(args(layer, counts), 1, importance, blocks=blocks))
            alone = score(state)
            report('score', tokens, (2 * tokens * WIDTH + 4 * tokens) / copy_rate, f'{folder}, {blocks} blocks', alone, alone, score(None))
        for per_split in arguments.tokens_per_split:
            def attend(counts, only_rows=False):
                return time(lambda layer: kernels.attend(args(layer, counts), per_split, only_rows))
            report('attend', tokens, (4 * tokens * WIDTH + 4 * WIDTH) / copy_rate, f'{folder}, {per_split} tokens per split', attend(state), attend(state, True), attend(None))
with open(os.path.join(arguments.out, 'one_row.json'), 'w') as file:
    json.dump(result, file, indent=1)
