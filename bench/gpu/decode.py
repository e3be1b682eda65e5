#!/usr/bin/env python3
"""A decode step in the shape of Llama 2 7B, recorded as a graph as the engine records it: every layer with weights and K/V of
its own, so that no cache helps. Checks it against torch, and times variants of it against the copy rate of the same run.

    python3 bench/gpu/decode.py [--tokens N] [--layers N] [--variant NAME:key=value,...]...

Keys of a variant: hopper=0|1 (gemv_sm90.cu, or the portable kernels), dependent=0|1 (programmatic dependent launch),
tokens_per_split, only=A+B (those operations alone)."""
import argparse
import os

import torch

import nvrtc as n

HIDDEN, INTERMEDIATE, HEADS, HEAD, VOCABULARY, EPSILON = 4096, 11008, 32, 128, 32000, 1e-5
STORE, ADD, SWIGLU, FLOAT = range(4)
parser = argparse.ArgumentParser()
parser.add_argument('--tokens', type=int, default=4096)
parser.add_argument('--layers', type=int, default=32)
parser.add_argument('--variant', action='append', default=[])
arguments = parser.parse_args()
TOKENS, LAYERS = arguments.tokens, arguments.layers
WIDTH = HEADS * HEAD
torch.manual_seed(torch.seed() % 2 ** 32)


def random(*shape, scale=1.0):
    return torch.empty(*shape, device='cuda', dtype=torch.bfloat16).normal_(0, scale)


class Layer:
    def __init__(self):
        self.qkv, self.o = random(3 * WIDTH, HIDDEN, scale=HIDDEN ** -0.5), random(HIDDEN, WIDTH, scale=WIDTH ** -0.5)
        self.gate_up, self.down = random(2 * INTERMEDIATE, HIDDEN, scale=HIDDEN ** -0.5), random(HIDDEN, INTERMEDIATE, scale=INTERMEDIATE ** -0.5)
        self.norms = [1 + 0.1 * torch.randn(HIDDEN, device='cuda') for _ in range(2)]
        self.cache = random(TOKENS, 2 * WIDTH)


layers = [Layer() for _ in range(LAYERS)]
head, final_norm = random(VOCABULARY, HIDDEN, scale=HIDDEN ** -0.5), torch.ones(HIDDEN, device='cuda')
start = torch.randn(1, HIDDEN, device='cuda')
angles = (TOKENS - 1) * 10000.0 ** (-torch.arange(0, HEAD, 2, device='cuda', dtype=torch.float64) / HEAD)
cosines, sines = angles.cos().float(), angles.sin().float()
# One row, whose position stands first in tables of one line.
positions, slots = torch.tensor([0], device='cuda', dtype=torch.int32), torch.tensor([TOKENS - 1], device='cuda', dtype=torch.int32)
state = torch.tensor([1, TOKENS, 0, TOKENS], device='cuda', dtype=torch.int32)
count = n.RowCount(state.data_ptr(), 1, 0)
residual = torch.empty(1, HIDDEN, device='cuda')
normed, attention = random(1, HIDDEN), random(1, WIDTH)
qkv, activation = random(1, 3 * WIDTH), random(1, INTERMEDIATE)
partials = torch.empty(HEADS * 64 * (HEAD + 2), device='cuda')
logits = torch.empty(VOCABULARY, device='cuda')
same = None


SMS = torch.cuda.get_device_properties(0).multi_processor_count
WARPS, STAGES, COLUMNS = 8, 4, 1024  # of gemv_sm90.cu
RINGS = WARPS * -(-STAGES * (2 * COLUMNS * 2 + 8) // 128) * 128
modules = {}


class Variant:
    def __init__(self, name, hopper=1, dependent=1, tokens_per_split=128, only=''):
        self.name, self.hopper, self.dependent, self.only = name, bool(int(hopper)), bool(int(dependent)), only.split('+') if only else None
        self.splits = max(1, min(64, TOKENS // int(tokens_per_split)))
        defines = ['LAZYLLM_STORAGE_BF16', f'LAZYLLM_HEAD_SIZE={HEAD}', 'LAZYLLM_HEADS_PER_BLOCK=1']

        def module(source):
            if source not in modules:
                modules[source] = n.Module(source, defines)
            return modules[source]

        self.attend, self.combine = (module('attention_gathered.cu').kernel('lazyllm_attend_' + k) for k in ('rows', 'combine'))
        if self.hopper:
            self.gemv = module('gemv_sm90.cu').kernel('lazyllm_gemv_sm90', 200 * 1024)
        else:
            self.norm, self.gemv = module('rmsnorm.cu').kernel('lazyllm_rmsnorm'), module('gemv.cu').kernel('lazyllm_gemv_1')
            self.rope = module('rope_cache.cu').kernel('lazyllm_rope_cache')
        self.resources = ' '.join(f'{k} {getattr(self, k).registers}r{getattr(self, k).local}l' for k in ('norm', 'gemv', 'rope', 'attend', 'combine') if hasattr(self, k))

    def launch(self, operation, kernel, grid, threads, args, shared=0):
        if self.only is None or operation in self.only:
            n.launch(kernel, grid, threads, shared, args, dependent=self.dependent)

    def linear(self, operation, weights, source, output, epilogue, gains=None, keys=None, last=0):
        """The product of the input, or of the normed residual; of Q, K and V with what turns and stores them."""
        rows = n.RowCount(0, 1, 0) if last else count
        args = n.LinearArgs(source.data_ptr(), weights.data_ptr(), output.data_ptr(), rows, *weights.shape, output.shape[-1], epilogue)
        turn = (cosines.data_ptr(), sines.data_ptr(), positions.data_ptr(), slots.data_ptr())
        if self.hopper:
            self.launch(operation, self.gemv, (SMS,), 32 * WARPS, n.GemvSm90Args(
                args, 0 if gains is None else residual.data_ptr(), 0 if gains is None else gains.data_ptr(), HIDDEN, EPSILON,
                0 if keys is None else keys.data_ptr(), *turn, 2 * WIDTH, HEADS, HEADS), RINGS + 2 * weights.shape[1])
            return
        if gains is not None:
            self.launch('norm', self.norm, (1,), 512, n.RmsNormArgs(residual.data_ptr(), gains.data_ptr(), normed.data_ptr(), 0, 0, count, HIDDEN, HIDDEN, EPSILON, last))
        self.launch(operation, self.gemv, (-(-weights.shape[0] // 8),), 128, args)
        if keys is not None:
            self.launch('rope', self.rope, (1, 6), 256, n.RopeCacheArgs(qkv.data_ptr(), count, keys.data_ptr(), *turn, 2 * WIDTH, HEADS, HEADS))

    def step(self):
        for layer in layers:
            self.linear('qkv', layer.qkv, normed, qkv, STORE, gains=layer.norms[0], keys=layer.cache)
            attend = n.AttentionArgs(
                qkv.data_ptr(), layer.cache.data_ptr(), 0, 0, attention.data_ptr(), partials.data_ptr(), count, 2 * WIDTH, 3 * WIDTH, WIDTH,
                HEADS, HEADS, TOKENS, self.splits, 1.4426950408889634 / HEAD ** 0.5, 0)
            self.launch('attend', self.attend, (self.splits, HEADS, 1), 128, attend)
            self.launch('combine', self.combine, (HEADS, 1), 512, attend)
            self.linear('o', layer.o, attention, residual, ADD)
            self.linear('gate_up', layer.gate_up, normed, activation, SWIGLU, gains=layer.norms[1])
            self.linear('down', layer.down, activation, residual, ADD)
        self.linear('head', head, normed, logits, FLOAT, gains=final_norm, last=1)


def reference():
    """The same in float32, rounded to bfloat16 where the engine stores."""
    x, store = start.clone(), lambda t: t.bfloat16().float()
    norm = lambda gains: store(x * torch.rsqrt((x * x).mean() + EPSILON) * gains)
    turn = lambda t: torch.cat((t[..., :64] * cosines - t[..., 64:] * sines, t[..., 64:] * cosines + t[..., :64] * sines), -1)
    for layer in layers:
        q, k, v = store(norm(layer.norms[0]) @ layer.qkv.float().T).view(3, HEADS, HEAD)
        q, k = store(turn(q)), store(turn(k))
        keys = torch.cat((layer.cache[:-1, :WIDTH].float(), k.view(1, -1))).view(TOKENS, HEADS, HEAD)
        values = torch.cat((layer.cache[:-1, WIDTH:].float(), v.reshape(1, -1))).view(TOKENS, HEADS, HEAD)
        weights = (torch.einsum('hd,thd->ht', q, keys) / HEAD ** 0.5).softmax(-1)
        x = x + store(torch.einsum('ht,thd->hd', weights, values).reshape(1, -1)) @ layer.o.float().T
        both = (norm(layer.norms[1]) @ layer.gate_up.float().T).view(-1, 2, 8)
        gate, up = both[:, 0], both[:, 1]
        x = x + store((gate * gate.sigmoid() * up).reshape(1, -1)) @ layer.down.float().T
    return (norm(final_norm) @ head.float().T).view(-1)


def milliseconds(function, repetitions=10, rounds=5):
    times = []
    for _ in range(rounds):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        for _ in range(repetitions):
            function()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) / repetitions)
    return sorted(times)[rounds // 2]


big = torch.empty(2 << 30, dtype=torch.int8, device='cuda')
other = torch.empty_like(big)
copy = 2 * big.numel() / milliseconds(lambda: other.copy_(big)) / 1e9
del big, other
sizes = {'qkv': layers[0].qkv, 'o': layers[0].o, 'gate_up': layers[0].gate_up, 'down': layers[0].down, 'attend': layers[0].cache}
bytes_of = {name: LAYERS * 2 * t.numel() for name, t in sizes.items()} | {'head': 2 * head.numel()}
floor = sum(bytes_of.values()) / copy / 1e9
print(f'copy {copy:.2f} TB/s; {sum(bytes_of.values()) / 1e9:.2f} GB, floor {floor:.3f} ms', flush=True)
torch.backends.cuda.matmul.allow_tf32 = False
expected = reference()
variants = [(name, dict(pair.split('=') for pair in keys.split(',') if pair)) for name, _, keys in (v.partition(':') for v in arguments.variant or ['now'])]
wrong = 0
for name, keys in variants:
    variant = Variant(name, **keys)
    graph = n.Graph(variant.step)
    if variant.only is None:
        errors = []
        for _ in range(3):
            residual.copy_(start)
            logits.fill_(float('nan'))
            torch.cuda.synchronize()
            graph()
            torch.cuda.synchronize()
            errors.append(float((logits - expected).norm() / expected.norm()))
            first = logits.clone() if len(errors) == 1 else first
            errors[-1] = errors[-1] if torch.equal(first, logits) else float('nan')
        wrong += not max(errors) < 3e-2
        same = logits.clone() if same is None else same
        bits = 'the same bits' if torch.equal(same, logits) else 'other bits'
    residual.copy_(start)
    time = milliseconds(graph)
    total = sum(b for o, b in bytes_of.items() if variant.only is None or o in variant.only) / 1e9
    shown = f'error {max(errors):.1e}, {bits}' if variant.only is None else ''
    print(f'{name:<24}{time:8.3f} ms {total / time:6.2f} TB/s {total / copy / time * 100:5.1f}% of the floor  {shown} {variant.resources}', flush=True)
    del graph, variant
raise SystemExit(1 if wrong else 0)
