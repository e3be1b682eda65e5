"""How the scripts of this folder time what they run, the same as the C# benchmarks: by events, each run alone after the
level-2 cache was overwritten, the median of many."""
import statistics
import time

import torch

_flush = None


def median_us(function, repetitions=15, warm=3):
    """Median microseconds of function(), on the GPU if there is one."""
    return medians_us([function], repetitions, warm)[0]


def medians_us(functions, repetitions=15, warm=3):
    """The same of several functions in turns, so that all meet the same clocks: a GPU at its power limit is slower after much work."""
    global _flush
    cuda = torch.cuda.is_available()
    if _flush is None:
        _flush = torch.empty(256 << 20 if cuda else 1 << 20, dtype=torch.int8, device='cuda' if cuda else 'cpu')
    times = [[] for _ in functions]
    for i in range(warm + repetitions):
        for function, taken in zip(functions, times):
            _flush.zero_()
            if cuda:
                start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                start.record()
                function()
                end.record()
                end.synchronize()
                taken.append(start.elapsed_time(end) * 1e3)
            else:
                began = time.perf_counter()
                function()
                taken.append((time.perf_counter() - began) * 1e6)
    return [statistics.median(taken[warm:]) for taken in times]


def copy_rate():
    """Bytes per microsecond that a copy of 1 GiB reads and writes."""
    source = torch.randint(0, 99, (1 << 30,), dtype=torch.int8, device='cuda')
    target = torch.empty_like(source)
    return 2 * source.numel() / median_us(lambda: target.copy_(source))
