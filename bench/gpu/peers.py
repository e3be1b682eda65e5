#!/usr/bin/env python3
"""PyTorch's times for the rows that `bench cuda-kernels --json OURS` measured, on the same machine.

    python3 bench/gpu/peers.py OURS.json --out PEERS.json [--repetitions N]
    bench kernel-report OURS.json --peers PEERS.json

Each row of OURS names its peer and its sizes, so there is no second list of them here. A peer that fails is reported, and
the rest goes on. Without a GPU everything runs on the CPU in float32, to see that it works."""
import argparse
import json

import torch
import torch.nn.functional as F

from timing import median_us

parser = argparse.ArgumentParser()
parser.add_argument('ours')
parser.add_argument('--out', default='peers.json')
parser.add_argument('--repetitions', type=int, default=25)
arguments = parser.parse_args()
with open(arguments.ours) as file:
    ours = json.load(file)

CUDA = torch.cuda.is_available()
DEVICE = 'cuda' if CUDA else 'cpu'
HALF = torch.bfloat16 if CUDA else torch.float32
HIDDEN, HEADS, KV_HEADS, HEAD, VOCABULARY = (ours[name] for name in ('hidden', 'heads', 'key_value_heads', 'head_size', 'vocabulary'))
ROTATED = 512 << 20 if CUDA else 1 << 20


def random(*shape, dtype=None):
    return torch.randn(*shape, device=DEVICE, dtype=dtype or HALF)


def heads(tokens, of=HEADS):
    """Q, or K or V with the heads of a group repeated, as PyTorch takes them."""
    return random(1, of, tokens, HEAD)


def keys(tokens):
    return heads(tokens, KV_HEADS).repeat_interleave(HEADS // KV_HEADS, 1)


def places(count, of):
    return torch.randperm(of, device=DEVICE)[:count].sort().values


def copy(kib):
    source = torch.randint(0, 99, (kib << 10,), dtype=torch.int8, device=DEVICE)
    target = torch.empty_like(source)
    return lambda: target.copy_(source)


def linear(m, n, k):
    # Weights rotate among copies that together exceed the cache, as in ours.
    copies = max(1, min(arguments.repetitions + 1, ROTATED // (2 * n * k)))
    x, weights = random(m, k), [random(n, k) for _ in range(copies)]
    turn = [0]

    def run():
        turn[0] = (turn[0] + 1) % copies
        return F.linear(x, weights[turn[0]])
    return run


def sdpa_causal(rows, tokens):
    q, k, v = heads(rows), keys(tokens), keys(tokens)
    return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)


def sdpa_one(rows, tokens):
    q, k, v = heads(rows), keys(tokens), keys(tokens)
    return lambda: F.scaled_dot_product_attention(q, k, v)


def sdpa_gathered_one(rows, tokens):
    q, k, v, kept = heads(rows), keys(3 * tokens), keys(3 * tokens), places(tokens, 3 * tokens)
    return lambda: F.scaled_dot_product_attention(q, k.index_select(2, kept), v.index_select(2, kept))


def importance(tokens):
    q, k = heads(1), keys(tokens)
    return lambda: torch.softmax((q @ k.transpose(2, 3)).float() / HEAD ** 0.5, -1).mean((0, 1))


def topk(tokens, keep):
    scores = torch.rand(tokens, device=DEVICE)
    return lambda: torch.topk(scores, keep).indices.sort()


def index_select(rows):
    aux, kept = random(2 * rows, HIDDEN, dtype=torch.float32), places(rows, 2 * rows)
    return lambda: aux.index_select(0, kept)


def index_copy(rows):
    aux, residual, kept = random(2 * rows, HIDDEN, dtype=torch.float32), random(rows, HIDDEN, dtype=torch.float32), places(rows, 2 * rows)
    return lambda: aux.index_copy_(0, kept, residual)


def rms_norm(rows):
    x, gains = random(rows, HIDDEN, dtype=torch.float32), random(HIDDEN, dtype=torch.float32)
    return lambda: F.rms_norm(x, (HIDDEN,), gains, 1e-5).to(HALF)


def embedding(rows):
    table, tokens = random(VOCABULARY, HIDDEN), torch.randint(0, VOCABULARY, (rows,), device=DEVICE)
    return lambda: F.embedding(tokens, table).float()


def argmax(count):
    logits = random(count, dtype=torch.float32)
    return lambda: logits.argmax()


PEERS = {f.__name__: f for f in (copy, linear, sdpa_causal, sdpa_one, sdpa_gathered_one, importance, topk, index_select, index_copy, rms_norm, embedding, argmax)}
result = {'device': torch.cuda.get_device_name() if CUDA else 'cpu', 'torch': torch.__version__, 'rows': []}
failed = 0
seen = set()
with torch.no_grad():
    for row in ours['rows']:
        key = json.dumps([row['peer'], row['sizes']])
        if row['peer'] is None or key in seen:
            continue
        seen.add(key)
        taken = {'peer': row['peer'], 'sizes': row['sizes'], 'us': None}
        try:
            taken['us'] = median_us(PEERS[row['peer']](**row['sizes']), arguments.repetitions)
            print(f'{row["peer"]:<20}{" ".join(f"{k}={v}" for k, v in row["sizes"].items()):<28}{taken["us"]:>12.2f} us', flush=True)
        except Exception as error:  # one that fails does not take the rest with it
            failed += 1
            taken['error'] = str(error).split('\n')[0]
            print(f'FAILED {key}: {taken["error"]}', flush=True)
        result['rows'].append(taken)
        with open(arguments.out, 'w') as file:
            json.dump(result, file, indent=1)
        if CUDA:
            torch.cuda.empty_cache()
raise SystemExit(1 if failed else 0)
