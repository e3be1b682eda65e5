#!/usr/bin/env bash
# Runs what ./build.sh gpu-bundle packed, on a machine with an NVIDIA GPU, its driver and NVRTC, and without .NET:
#   run-on-gpu.sh tests [ARGUMENTS...]      the CUDA tests on the GPU (arguments go to the test program)
#   run-on-gpu.sh sanitize TOOL [ARGS...]   the kernel tests under compute-sanitizer: memcheck, racecheck, initcheck, synccheck;
#                                           a part of them with e.g. -class '*LinearKernelsTests', as the test program takes it.
#                                           LAZYLLM_TEST_SHAPES=small (the default here) takes the smallest shapes that still go
#                                           every way through the kernels; =all takes those of the plain tests
#   run-on-gpu.sh spills                    compile every kernel for this GPU, show what it takes; fail if any has local memory
#   run-on-gpu.sh bench [ARGUMENTS...]      the benchmark program
#   run-on-gpu.sh bench all [FOLDER]        every GPU benchmark, with PyTorch's times and figures (bench/gpu/all.sh)
#   run-on-gpu.sh demo                      the demo on the GPU
#   run-on-gpu.sh lazyllm ARGUMENTS...      the tool
# BUNDLE names the archive (default: artifacts/gpu-bundle/bundle.tar.xz of this checkout).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bundle=${BUNDLE:-$root/artifacts/gpu-bundle/bundle.tar.xz}
# Inside the checkout, so that tests find its golden data.
home=$root/artifacts/gpu-bundle/unpacked

if [ ! -e "$home/.from" ] || [ "$(cat "$home/.from")" != "$(cksum < "$bundle")" ]; then
    rm -rf "$home"
    mkdir -p "$home"
    tar --extract --xz --file "$bundle" --directory "$home"
    cksum < "$bundle" > "$home/.from"
fi

export DOTNET_ROOT=$home/runtime DOTNET_CLI_TELEMETRY_OPTOUT=1
export LAZYLLM_TEST_DEVICE=gpu LAZYLLM_CACHE_DIR=${LAZYLLM_CACHE_DIR:-$home/kernel-cache}
dotnet=$home/runtime/dotnet
tests=$home/LazyLlm.Native.Tests/LazyLlm.Native.Tests.dll

verb=${1:-}
[ $# -gt 0 ] && shift
case "$verb" in
tests)
    [ $# -gt 0 ] || set -- -namespace 'LazyLlm.Native.Tests.Backends.Cuda*'
    exec "$dotnet" "$tests" "$@"
    ;;
sanitize)
    tool=${1:?sanitize TOOL: memcheck, racecheck, initcheck or synccheck}
    shift
    [ $# -gt 0 ] || set -- -namespace 'LazyLlm.Native.Tests.Backends.Cuda.Kernels*'
    export LAZYLLM_TEST_SHAPES=${LAZYLLM_TEST_SHAPES:-small}
    sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda*/bin/compute-sanitizer 2> /dev/null | tail -1)
    exec "${sanitizer:?compute-sanitizer is not here}" --tool "$tool" --error-exitcode 1 --print-limit 20 "$dotnet" "$tests" "$@"
    ;;
spills)
    capability=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1)
    failed=0
    # What the assembler says, then what the driver says of the loaded kernels, at other head sizes too.
    for storage in bfloat16 float16 float32; do
        "$dotnet" "$home/LazyLlm.Cli/lazyllm.dll" kernels compile --arch "sm_${capability/./}" --storage "$storage" --no-spills || failed=1
    done
    "$dotnet" "$tests" -class 'LazyLlm.Native.Tests.Backends.Cuda.Execution.KernelResourcesTests' || failed=1
    exit "$failed"
    ;;
bench)
    if [ "${1:-}" = all ]; then
        shift
        export DOTNET=$dotnet BENCH_DLL=$home/LazyLlm.Bench/LazyLlm.Bench.dll TOOL_DLL=$home/LazyLlm.Cli/lazyllm.dll
        exec "$root/bench/gpu/all.sh" "$@"
    fi
    exec "$dotnet" "$home/LazyLlm.Bench/LazyLlm.Bench.dll" "$@"
    ;;
demo)
    cd "$root"
    exec "$dotnet" "$home/LazyLlm.Cli/lazyllm.dll" demo --device cuda
    ;;
lazyllm)
    cd "$root"
    exec "$dotnet" "$home/LazyLlm.Cli/lazyllm.dll" "$@"
    ;;
*)
    echo "run-on-gpu.sh: unknown verb '$verb'. Verbs: tests, sanitize TOOL, spills, bench, demo, lazyllm." >&2
    exit 2
    ;;
esac
