#!/usr/bin/env python3
"""The choice of a stage's positions (select.cu, select_blocks.cu): checked against a stable sort of torch in one block, in several
and by mass, then timed beside torch.topk with a sort of the indices.

    python3 bench/gpu/select_tokens.py [--check-only] [--out FOLDER]

Columns: `alone` is one selection between two events after the level-2 cache was overwritten, the latency of its launch included;
`in a row` is one of many in a recorded graph, `no overlap` the same without programmatic dependent launch. As at a first fill, no
position has a slot, and a third stay. Tables go to standard output, select_tokens.json to the folder.

(Not select.py: Python would take it for its own module of that name.)"""
import argparse
import ctypes as c
import json
import os
import statistics

import torch

import nvrtc as n

THREADS, MOST_TILES, LEAST_TILE, BLOCK_PLACES, WIDE_PLACES = 512, 40, 2048, 4096, 8192  # as in SelectKernels.cs
SHARED_WORDS = (MOST_TILES * 256 * 2 + 3 * MOST_TILES * 4 + 32) // 4
POISON, MARGIN, IN_A_ROW = -7777, 64, 64
LISTS = ('next_positions', 'next_slots', 'compute_positions', 'compute_slots', 'compute_places')
INFINITY = float('inf')
parser = argparse.ArgumentParser()
parser.add_argument('--out', default='.')
parser.add_argument('--check-only', action='store_true')
arguments = parser.parse_args()
torch.manual_seed(torch.seed() % 2 ** 32)


class SelectArgs(c.Structure):
    _fields_ = ([(name, c.c_uint64) for name in ('importance', 'positions', *LISTS, 'slot_of', 'keys', 'shared', 'state')] + [('mass', c.c_double)] +
                [(name, c.c_int32) for name in ('count', 'keep_count', 'length', 'first_new', 'slot_count', 'pool', 'keep_first', 'keep_recent', 'is_static', 'tile')])


class TakeAllArgs(c.Structure):
    _fields_ = ([(name, c.c_uint64) for name in ('positions', 'slots', 'compute_positions', 'compute_slots', 'compute_places', 'slot_of', 'state')] +
                [('first_new', c.c_int32), ('length', c.c_int32)])


one, several = n.Module('select.cu', []), n.Module('select_blocks.cu', [])
KERNELS = {name: module.kernel('lazyllm_' + name) for module, names in (
    (one, ('select_block', 'select_block_wide', 'select_mass', 'take_all')),
    (several, ('select_histogram', 'select_candidates', 'select_write'))) for name in names}
for name, kernel in KERNELS.items():
    print(f'{name}: {kernel.registers} registers, {kernel.local} bytes of local memory')
spilling = [name for name, kernel in KERNELS.items() if kernel.local > 0]


def integers(values):
    return values.to(device='cuda', dtype=torch.int32).contiguous()


class Selection:
    """Inputs on the GPU, outputs poisoned, and how the engine launches it."""

    def __init__(self, count, keep, scores, slot_share=2 / 3, gaps=True, pool=1, first=0, recent=1, mass=0.0, static=False, new=1):
        self.count, self.keep, self.pool, self.first, self.recent, self.mass, self.static = count, keep, pool, first, recent, mass, static
        self.length = count + 50 if gaps else count
        self.positions = integers(torch.randperm(self.length)[:count].sort().values)
        self.positions[-1] = self.length - 1
        self.first_new = self.length - new
        self.scores = scores.to(device='cuda', dtype=torch.float32).contiguous()
        has_slot = (torch.rand(count, device='cuda') < slot_share) & (self.positions < self.first_new)
        self.slot_count = int(has_slot.sum())
        self.slot_of = torch.full((self.length,), -1, device='cuda', dtype=torch.int32)
        self.slot_of[self.positions[has_slot].long()] = torch.randperm(self.slot_count, device='cuda').int()
        self.lists = {name: torch.full((count + MARGIN,), POISON, device='cuda', dtype=torch.int32) for name in LISTS}
        self.keys = torch.full((count,), POISON, device='cuda', dtype=torch.int32)
        self.shared = torch.full((SHARED_WORDS,), -1, device='cuda', dtype=torch.int32)
        self.state = torch.full((4,), POISON, device='cuda', dtype=torch.int32)
        tile = max(LEAST_TILE, -(-(-(-count // MOST_TILES)) // 32) * 32)
        self.tiles = -(-count // tile)
        self.args = SelectArgs(
            self.scores.data_ptr(), self.positions.data_ptr(), *(self.lists[name].data_ptr() for name in LISTS), self.slot_of.data_ptr(),
            self.keys.data_ptr(), self.shared.data_ptr(), self.state.data_ptr(), mass, count, keep, self.length, self.first_new, self.slot_count,
            pool, first, recent, static, tile)

    def launch(self, form, slot_of=None, dependent=True):
        self.args.slot_of = (self.slot_of if slot_of is None else slot_of).data_ptr()
        for name, grid in self.kernels(form):
            n.launch(KERNELS[name], (grid,), THREADS, 0, self.args, dependent=dependent)

    def kernels(self, form):
        if self.mass > 0 and not self.static:
            return [('select_mass', 1)]
        if form == 'block':
            return [('select_block' if self.count <= BLOCK_PLACES else 'select_block_wide', 1)]
        return [('select_histogram', self.tiles)] * (not self.static) + [('select_candidates', self.tiles), ('select_write', self.tiles)]

    def expected_places(self):
        """Places that stay, ascending."""
        positions, slots = self.positions.long(), self.slot_of[self.positions.long()]
        if self.static:
            return ((positions >= self.first_new) | (slots >= 0)).nonzero().flatten()
        stays = (positions < self.first) | (positions >= self.length - self.recent)
        scores = self.scores
        if self.pool > 1:
            # In the kernel's order; zeros beyond the ends change no sum.
            half = self.pool // 2
            padded = torch.nn.functional.pad(self.scores, (half, half))
            total = torch.zeros_like(self.scores)
            for i in range(2 * half + 1):
                total = total + padded[i:i + self.count]
            at = torch.arange(self.count, device='cuda')
            scores = total / ((at + half + 1).clamp(max=self.count) - (at - half).clamp(min=0)).float()
        order = scores.masked_fill(stays, INFINITY).sort(descending=True, stable=True).indices
        kept = torch.arange(self.count, device='cuda') < self.keep
        if self.mass > 0:
            held = (self.scores[order].double() * 2.0 ** 40).long()
            target = max(1, int(float(int(held.sum())) * self.mass))
            kept &= (held.cumsum(0) - held < target) | stays[order]
        return order[kept].sort().values

    def check(self, form):
        """What is wrong with what `form` writes, or an empty list."""
        places = self.expected_places()
        positions = self.positions[places.long()]
        before = self.slot_of.clone()
        missing = before[positions.long()] < 0
        computed = positions[missing]
        rows = len(computed)
        slots = torch.arange(self.slot_count, self.slot_count + rows, device='cuda', dtype=torch.int32)
        after = before.clone()
        after[computed.long()] = slots
        expected = {'next_positions': positions, 'next_slots': after[positions.long()], 'compute_positions': computed, 'compute_slots': slots,
                    'compute_places': missing.nonzero().flatten().int()}
        self.launch(form)
        torch.cuda.synchronize()
        wrong = [name for name, values in expected.items()
                 if not torch.equal(self.lists[name][:len(values)], values) or bool((self.lists[name][len(values):] != POISON).any())]
        wrong += ['slot_of'] * (not torch.equal(self.slot_of, after))
        state = [rows, len(positions), int((computed < self.first_new).sum()), self.slot_count + rows]
        return wrong + [f'state {self.state.tolist()}, not {state}'] * (self.state.tolist() != state)


def cases(count):
    uniform, third = torch.rand(count), (count + 2) // 3
    yield 'uniform', dict(keep=third, scores=uniform)
    yield 'share of 1', dict(keep=-(-count // 10), scores=(8 * uniform).softmax(0))
    yield 'first fill', dict(keep=third, scores=uniform / count, slot_share=0.0, gaps=False)
    yield 'all', dict(keep=count, scores=uniform)
    yield 'one', dict(keep=1, scores=uniform)
    yield 'three scores', dict(keep=third, scores=torch.randint(0, 3, (count,)) * 0.25)
    yield 'zeros', dict(keep=third, scores=torch.zeros(count))
    yield 'one bin', dict(keep=third, scores=0.5 + uniform / 16)
    yield 'above all bins', dict(keep=third, scores=3 + 1000 * uniform)
    yield 'below all bins', dict(keep=third, scores=1e-10 * uniform)
    yield 'forced', dict(keep=min(count, 200), scores=uniform, first=30, recent=100, new=min(count, 40))
    yield 'pooled', dict(keep=third, scores=uniform, pool=7, first=2)
    yield 'static', dict(keep=count, scores=uniform, static=True, new=min(count, 9))
    yield 'mass', dict(keep=count, scores=uniform / count, mass=0.6)
    yield 'mass, three scores', dict(keep=third, scores=torch.randint(0, 3, (count,)) * 0.25, mass=0.4)
    yield 'mass, one bin', dict(keep=count, scores=0.5 + uniform / 16, mass=0.7)


bad = checked = 0
for count in (1, 2, 31, 33, 511, 513, 1000, 2048, 2049, 4095, 4096, 4097, 8191, 8192, 8193, 16384, 32768, 32769, 81921, 131072, 300001):
    for label, settings in cases(count):
        for form in ('block', 'blocks')[count > WIDE_PLACES:]:
            for run in range(3 if count in (4096, 32768) else 1):
                wrong = Selection(count, **settings).check(form)
                checked += 1
                bad += bool(wrong)
                if wrong:
                    print(f'WRONG {label}, {count} places, {form}: {", ".join(wrong)}', flush=True)
print(f'checks: {checked}', 'all right' if bad == 0 else f'{bad} WRONG')
print('local memory:', ', '.join(spilling) if spilling else 'none')
if arguments.check_only or bad:
    raise SystemExit(1 if bad or spilling else 0)


def in_a_row(function, prepare=lambda: None):
    """Median microseconds of one of IN_A_ROW calls function(i) in a recorded graph; prepare() comes before each run of it."""
    graph = n.Graph(lambda: [function(i) for i in range(IN_A_ROW)])
    times = []
    for i in range(13):
        prepare()
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / IN_A_ROW)
    return statistics.median(times[3:])


def torch_in_a_row(function):
    """The same for torch, whose memory has to come from the graph's own pool."""
    try:
        function()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(IN_A_ROW):
                function()
    except RuntimeError as problem:
        print(f'torch is not recorded: {problem}')
        torch.cuda.synchronize()
        return float('nan')
    times = []
    for i in range(8):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) * 1e3 / IN_A_ROW)
    return statistics.median(times[3:])


result = {'device': torch.cuda.get_device_name(), 'torch': torch.__version__, 'selections': [], 'kernels': [],
          'registers': {name: kernel.registers for name, kernel in KERNELS.items()}}
room = torch.empty(7, 64, device='cuda', dtype=torch.int32)
nothing = TakeAllArgs(*(row.data_ptr() for row in room), 0, 1)
launch_alone = n.median_us(lambda: n.launch(KERNELS['take_all'], (1,), THREADS, 0, nothing))
launch_in_a_row = in_a_row(lambda i: n.launch(KERNELS['take_all'], (1,), THREADS, 0, nothing))
result['launch'] = {'alone_us': launch_alone, 'in_a_row_us': launch_in_a_row}
print(f'{result["device"]}; microseconds. A kernel that does next to nothing: alone {launch_alone:.1f}, in a row {launch_in_a_row:.2f}')
print(f'{"places":>8} {"form":<8}{"alone":>8}{"in a row":>10}{"no overlap":>12}{"topk alone":>12}{"topk in a row":>15}')
for count in (1024, 4096, 8192, 16384, 32768, 131072):
    keep = -(-343 * count // 1000)
    scores = torch.rand(count, device='cuda')
    torch_alone = n.median_us(lambda: scores.topk(keep).indices.sort())
    torch_row = torch_in_a_row(lambda: scores.topk(keep).indices.sort())
    for form in ('block', 'blocks', 'mass')[count > WIDE_PLACES:]:
        selection = Selection(count, keep, scores / count, slot_share=0.0, gaps=False, mass=0.9 if form == 'mass' else 0.0)
        copies, turn = torch.full((IN_A_ROW, count), -1, device='cuda', dtype=torch.int32), [0]

        def alone():
            # No copy comes twice: n.median_us calls 18 times.
            turn[0] += 1
            selection.launch(form, copies[turn[0]])
        row = {'places': count, 'form': form, 'alone_us': n.median_us(alone)}
        row['in_a_row_us'] = in_a_row(lambda i: selection.launch(form, copies[i]), lambda: copies.fill_(-1))
        row['no_overlap_us'] = in_a_row(lambda i: selection.launch(form, copies[i], dependent=False), lambda: copies.fill_(-1))
        row['topk_alone_us'], row['topk_in_a_row_us'] = torch_alone, torch_row
        result['selections'].append(row)
        print(f'{count:>8} {form:<8}{row["alone_us"]:>8.1f}{row["in_a_row_us"]:>10.2f}{row["no_overlap_us"]:>12.2f}{torch_alone:>12.1f}{torch_row:>15.2f}', flush=True)

print(f'Each kernel of several blocks by itself, {IN_A_ROW} in a row without overlap, every position with a slot')
print(f'{"places":>8}{"blocks":>8}' + ''.join(f'{name:>19}' for name in ('select_histogram', 'select_candidates', 'select_write')))
for count in (8192, 32768, 131072):
    selection = Selection(count, -(-343 * count // 1000), torch.rand(count) / count, slot_share=0.0, gaps=False)
    selection.launch('blocks')
    row = {'places': count, 'blocks': selection.tiles}
    for name, grid in selection.kernels('blocks'):
        row[name] = in_a_row(lambda i: n.launch(KERNELS[name], (grid,), THREADS, 0, selection.args))
    result['kernels'].append(row)
    print(f'{count:>8}{selection.tiles:>8}' + ''.join(f'{row[name]:>19.2f}' for name, _ in selection.kernels('blocks')), flush=True)
with open(os.path.join(arguments.out, 'select_tokens.json'), 'w') as file:
    json.dump(result, file, indent=1)
raise SystemExit(1 if spilling else 0)
