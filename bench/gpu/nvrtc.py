"""Compiles and launches the engine's kernels from Python as the engine does: NVRTC with the same options, the driver API,
one parameter structure per kernel. For trying kernels on a GPU without .NET; torch gives the memory and the references."""
import ctypes as c
import glob
import os
import site
import sys

import torch

from timing import copy_rate, median_us, medians_us  # noqa: F401, for those who time what they launch

KERNELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'kernels')
BF16, F16 = 9, 6  # CUtensorMapDataType


def _load_nvrtc():
    folders = [os.path.join(p, 'nvidia') for p in site.getsitepackages() + sys.path if p]
    paths = [f for folder in folders for f in glob.glob(folder + '/*/lib/libnvrtc.so.*') if 'alt' not in f]
    for name in sorted(paths) + glob.glob('/usr/local/cuda*/lib64/libnvrtc.so.*') + ['libnvrtc.so.13', 'libnvrtc.so.12', 'libnvrtc.so']:
        try:
            return c.CDLL(name)
        except OSError:
            pass
    raise SystemExit('libnvrtc is not here')


torch.cuda.init()
torch.empty(1, device='cuda')  # makes the primary context current
cuda = c.CDLL('libcuda.so.1')
nvrtc = _load_nvrtc()


def check(result, what):
    if result != 0:
        text = c.c_char_p()
        cuda.cuGetErrorString(result, c.byref(text))
        raise RuntimeError(f'{what}: {result} {text.value}')


class TensorMap(c.Structure):
    _fields_ = [('words', c.c_uint64 * 16)]


class RowCount(c.Structure):
    _fields_ = [('state', c.c_uint64), ('limit', c.c_int32), ('reserved', c.c_int32)]


class LinearArgs(c.Structure):
    _fields_ = [('input', c.c_uint64), ('weights', c.c_uint64), ('output', c.c_uint64), ('count', RowCount),
                ('n', c.c_int32), ('k', c.c_int32), ('output_stride', c.c_int32), ('epilogue', c.c_int32)]


class GemvSm90Args(c.Structure):
    _fields_ = [('linear', LinearArgs), ('residual', c.c_uint64), ('gains', c.c_uint64), ('hidden_size', c.c_int32), ('epsilon', c.c_float),
                ('keys', c.c_uint64), ('cosines', c.c_uint64), ('sines', c.c_uint64), ('positions', c.c_uint64), ('slots', c.c_uint64),
                ('slot_stride', c.c_int64), ('heads', c.c_int32), ('kv_heads', c.c_int32)]


class RmsNormArgs(c.Structure):
    _fields_ = [('residual', c.c_uint64), ('gains', c.c_uint64), ('normed', c.c_uint64), ('aux', c.c_uint64), ('positions', c.c_uint64),
                ('count', RowCount), ('width', c.c_int32), ('hidden_size', c.c_int32), ('epsilon', c.c_float), ('last_only', c.c_int32)]


class RopeCacheArgs(c.Structure):
    _fields_ = [('qkv', c.c_uint64), ('count', RowCount), ('keys', c.c_uint64), ('cosines', c.c_uint64), ('sines', c.c_uint64), ('positions', c.c_uint64),
                ('slots', c.c_uint64), ('slot_stride', c.c_int64), ('heads', c.c_int32), ('kv_heads', c.c_int32)]


class GemmSm90Args(c.Structure):
    _fields_ = [('input', TensorMap), ('weights', TensorMap), ('linear', LinearArgs), ('tile_rows', c.c_int32), ('padding', c.c_uint8 * 4)]


class AttentionArgs(c.Structure):
    _fields_ = [('queries', c.c_uint64), ('keys', c.c_uint64), ('slots', c.c_uint64), ('places', c.c_uint64), ('output', c.c_uint64), ('partials', c.c_uint64),
                ('count', RowCount), ('slot_stride', c.c_int64), ('row_stride', c.c_int32), ('value_offset', c.c_int32), ('heads', c.c_int32),
                ('kv_heads', c.c_int32), ('token_count', c.c_int32), ('splits', c.c_int32), ('scale', c.c_float), ('normalized_rows', c.c_int32), ('normalizers', c.c_uint64)]


class AttentionSm90Args(c.Structure):
    _fields_ = [('queries', TensorMap), ('keys', TensorMap), ('values', TensorMap), ('attention', AttentionArgs), ('head_group', c.c_int32), ('padding', c.c_uint8 * 12)]


class Attribute(c.Structure):
    _fields_ = [('id', c.c_uint32), ('pad', c.c_uint32), ('x', c.c_uint32), ('y', c.c_uint32), ('z', c.c_uint32), ('rest', c.c_uint8 * 52)]


class LaunchConfig(c.Structure):
    _fields_ = [('grid', c.c_uint32 * 3), ('block', c.c_uint32 * 3), ('shared', c.c_uint32), ('stream', c.c_void_p),
                ('attributes', c.POINTER(Attribute)), ('count', c.c_uint32)]


def tensor_map(pointer, data_type, dimensions, strides, box):
    """A map with 128-byte swizzle; dimensions in numbers from the innermost, strides in bytes from the second."""
    raw = (c.c_uint8 * (128 + 64))()
    at = (c.addressof(raw) + 63) // 64 * 64
    rank = len(dimensions)
    check(cuda.cuTensorMapEncodeTiled(
        c.c_void_p(at), data_type, rank, c.c_void_p(pointer), (c.c_uint64 * rank)(*dimensions), (c.c_uint64 * (rank - 1))(*strides),
        (c.c_uint32 * rank)(*box), (c.c_uint32 * rank)(*([1] * rank)), 0, 3, 3, 0), 'cuTensorMapEncodeTiled')
    return TensorMap.from_buffer_copy((c.c_uint8 * 128).from_address(at))


class Module:
    """One source, compiled with macros."""

    def __init__(self, source, defines, cubin=None, folder=KERNELS):
        read = lambda name: open(os.path.join(folder, name), 'rb').read()
        headers = sorted(f for f in os.listdir(folder) if f.endswith('.cuh'))
        program = c.c_void_p()
        texts = (c.c_char_p * len(headers))(*[read(h) for h in headers])
        names = (c.c_char_p * len(headers))(*[h.encode() for h in headers])
        path = os.path.abspath(os.path.join(folder, source)).encode()
        check(nvrtc.nvrtcCreateProgram(c.byref(program), read(source), path, len(headers), texts, names), 'nvrtcCreateProgram')
        target = 'sm_90a' if source.endswith('_sm90.cu') else 'sm_90'
        options = [f'--gpu-architecture={target}', '-lineinfo', '-std=c++17', '-default-device', '--ptxas-options=-v'] + ['-D' + d for d in defines]
        result = nvrtc.nvrtcCompileProgram(program, len(options), (c.c_char_p * len(options))(*[o.encode() for o in options]))
        size = c.c_size_t()
        nvrtc.nvrtcGetProgramLogSize(program, c.byref(size))
        log = c.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        self.log = log.value.decode()
        if result != 0:
            raise SystemExit(f'{source} does not compile:\n{self.log}')
        nvrtc.nvrtcGetCUBINSize(program, c.byref(size))
        image = c.create_string_buffer(size.value)
        nvrtc.nvrtcGetCUBIN(program, image)
        if cubin:
            open(cubin, 'wb').write(image.raw)
        self.module = c.c_void_p()
        check(cuda.cuModuleLoadData(c.byref(self.module), image), source)

    def kernel(self, name, shared=0):
        function = c.c_void_p()
        check(cuda.cuModuleGetFunction(c.byref(function), self.module, name.encode()), name)
        if shared > 32 * 1024:  # with what is declared in the kernel it may be more than 48 KB
            check(cuda.cuFuncSetAttribute(function, 8, shared), name)
        values = []
        for attribute in (4, 3):  # registers, local bytes
            value = c.c_int()
            cuda.cuFuncGetAttribute(c.byref(value), attribute, function)
            values.append(value.value)
        function.registers, function.local = values
        return function


def aligned(kind):
    """An argument structure of a kernel that takes tensor maps."""
    raw = (c.c_uint8 * (c.sizeof(kind) + 64))()
    return kind.from_buffer(raw, -c.addressof(raw) % 64)


def launch(function, grid, threads, shared, args, cluster=1, dependent=False):
    """dependent: the kernel may start before its predecessor ends (programmatic dependent launch)."""
    attributes = [Attribute(id=4, x=cluster, y=1, z=1)] * (cluster > 1) + [Attribute(id=6, x=1)] * dependent
    grid = tuple(grid) + (1,) * (3 - len(grid))
    config = LaunchConfig((c.c_uint32 * 3)(*grid), (c.c_uint32 * 3)(threads, 1, 1), shared, torch.cuda.current_stream().cuda_stream,
                          (Attribute * max(1, len(attributes)))(*attributes), len(attributes))
    check(cuda.cuLaunchKernelEx(c.byref(config), function, (c.c_void_p * 1)(c.addressof(args)), None), 'launch')


class Graph:
    """What a function launches on the current stream, recorded and ready to replay."""

    def __init__(self, function):
        stream = torch.cuda.Stream()
        graph, self.executable = c.c_void_p(), c.c_void_p()
        with torch.cuda.stream(stream):
            native = c.c_void_p(stream.cuda_stream)
            check(cuda.cuStreamBeginCapture_v2(native, 2), 'cuStreamBeginCapture')
            function()
            check(cuda.cuStreamEndCapture(native, c.byref(graph)), 'cuStreamEndCapture')
        check(cuda.cuGraphInstantiateWithFlags(c.byref(self.executable), graph, c.c_uint64(0)), 'cuGraphInstantiateWithFlags')

    def __call__(self):
        check(cuda.cuGraphLaunch(self.executable, c.c_void_p(torch.cuda.current_stream().cuda_stream)), 'cuGraphLaunch')

    def __del__(self):
        cuda.cuGraphExecDestroy(self.executable)
