#!/usr/bin/env bash
# Every benchmark of a machine with a GPU, one after the other, into a folder: kernels with their floors and PyTorch's times,
# compile times, whole runs of a model in the shape of Llama 2 7B, and what the host does.
#   bench/gpu/all.sh [FOLDER]          FOLDER: $OUT, or artifacts/bench by default
# One that fails is reported, and the rest goes on; the last lines say how each ended, the exit status whether all ran.
# SIZES (full, quick, tiny), SHAPE, LENGTHS, ROUNDS, DEVICE and STEPS ("kernels peers report model compile host") say less.
# DOTNET, BENCH_DLL and TOOL_DLL name the programs; those of a Release build of this checkout by default.
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
out=${1:-${OUT:-$root/artifacts/bench}}
dotnet=${DOTNET:-dotnet}
bench=${BENCH_DLL:-$root/bench/LazyLlm.Bench/bin/Release/net10.0/LazyLlm.Bench.dll}
tool=${TOOL_DLL:-$root/src/LazyLlm.Cli/bin/Release/net10.0/lazyllm.dll}
shape=${SHAPE:-llama-2-7b}
mkdir -p "$out"
out=$(cd "$out" && pwd)
summary=()
status=0

# step NAME COMMAND...: its output goes to the terminal and to NAME.txt.
step() {
    local name=$1 start=$SECONDS result=0
    shift
    case " ${STEPS:-kernels peers report model compile host} " in *" $name "*) ;; *) return 0 ;; esac
    echo "== $name: $*"
    "$@" 2>&1 | tee "$out/$name.txt" || result=$?
    [ "$result" -eq 0 ] || status=1
    summary+=("$name: $([ "$result" -eq 0 ] && echo ok || echo "FAILED ($result)"), $((SECONDS - start)) s")
}

step kernels "$dotnet" "$bench" cuda-kernels --shape "$shape" --sizes "${SIZES:-full}" --json "$out/kernels.json"
peers=()
if ! python3 -c 'import torch' 2> /dev/null; then
    summary+=("peers: skipped, python3 has no torch")
elif [ -e "$out/kernels.json" ]; then
    step peers python3 "$root/bench/gpu/peers.py" "$out/kernels.json" --out "$out/peers.json"
fi
[ -e "$out/peers.json" ] && peers=(--peers "$out/peers.json")
step report "$dotnet" "$bench" kernel-report "$out/kernels.json" "${peers[@]}" --plot "$out"
step model "$dotnet" "$tool" bench --shape "$shape" --device "${DEVICE:-cuda}" --lengths "${LENGTHS:-512,1024,2048,4096,8192,32768}" \
    --rounds "${ROUNDS:-5}" --decode 64 --json "$out/model.json" --plot "$out"
step compile "$dotnet" "$bench" cuda-compile --shape "$shape"
step host "$dotnet" "$bench" host --artifacts "$out/host"

echo
printf '%s\n' "${summary[@]}" "results: $out"
exit "$status"
