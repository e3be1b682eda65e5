#!/bin/sh
# Compiles every kernel as device code with clang's CUDA front end, which needs neither toolkit nor GPU:
#   check-device-code.sh [FOLDER...]     (default: the repository's kernels/ and the stand-in's own selftest/)
# What the stand-in's C++ compiler forgives (PTX constraints, address spaces, launch bounds, arguments that are
# too large) is found here. Each source is compiled in every storage format, for head sizes 64 and 128 and an odd one
# where it uses LAZYLLM_HEAD_SIZE, as sm_80 and sm_90; sources named *_sm90.cu as sm_90a alone.
# CLANG names the compiler (default: clang++-19). DEVICE_OUT keeps the PTX in a folder. If ptxas is on the path, the
# PTX is assembled as well.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
kernels=$here/../../kernels
[ $# -gt 0 ] || set -- "$kernels" "$here/selftest"
clang=${CLANG:-clang++-19}
if ! command -v "$clang" > /dev/null; then
  echo "check-device-code: SKIPPED, there is no $clang here (Debian: apt-get install clang-19)" >&2
  exit 0
fi

out=${DEVICE_OUT:-}
if [ -z "$out" ]; then
  out=$(mktemp -d)
  trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"

compiled=0
failed=0
compile() { # source, architecture, defines...
  source=$1
  architecture=$2
  shift 2
  name=$(basename "$source" .cu)-$architecture$(printf '%s' "$*" | sed 's/-DLAZYLLM_//g; s/[ =]/-/g; s/^/-/')
  compiled=$((compiled + 1))
  # shellcheck disable=SC2086
  if ! "$clang" -x cuda --cuda-device-only -nocudainc -nocudalib --cuda-gpu-arch="$architecture" -std=c++17 -O2 -S \
      -fdeclspec -Wall -Wextra -Wno-unknown-cuda-version -Wno-undefined-internal -Wno-unused-function -Wno-unused-parameter -Wno-pass-failed -Werror \
      -Xclang -target-feature -Xclang +ptx78 \
      -include "$here/device/check_prelude.cuh" -I "$folder" -I "$kernels" "$@" "$source" -o "$out/$name.ptx"; then
    echo "check-device-code: $source does not compile for $architecture $*" >&2
    failed=$((failed + 1))
  elif command -v ptxas > /dev/null && ! ptxas -arch="$architecture" "$out/$name.ptx" -o /dev/null; then
    echo "check-device-code: ptxas refuses $source for $architecture $*" >&2
    failed=$((failed + 1))
  fi
}

check() { # source
  source=$1
  case $source in
    *_sm90.cu) architectures=sm_90a ;;
    *) architectures="sm_80 sm_90" ;;
  esac
  for architecture in $architectures; do
    for storage in BF16 F16 F32; do
      # A source says so where a format makes no sense for it.
      grep -q "no LAZYLLM_STORAGE_$storage" "$source" && continue
      if grep -q LAZYLLM_HEAD_SIZE "$source"; then
        for size in 64 128 40; do
          compile "$source" "$architecture" -DLAZYLLM_STORAGE_$storage -DLAZYLLM_HEAD_SIZE=$size -DLAZYLLM_HEADS_PER_BLOCK=$((size % 3 * 2))
        done
      else
        compile "$source" "$architecture" -DLAZYLLM_STORAGE_$storage
      fi
    done
  done
}

for folder in "$@"; do
  for source in "$folder"/*.cu; do
    [ -e "$source" ] && check "$source"
  done
done

echo "check-device-code: $compiled compilations, $failed failed"
[ "$failed" -eq 0 ]
