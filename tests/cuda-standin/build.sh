#!/bin/sh
# Builds the stand-in for libcuda and libnvrtc: build.sh OUTDIR
# One library serves as both; libnvrtc-standin.so is another name for it. The headers that its compiler puts before
# every kernel are copied beside it. Nothing is done when OUTDIR is up to date. CXX names the compiler (default: c++).
set -eu

out=${1:?usage: build.sh OUTDIR}
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$out"

stamp=$(cat "$here"/build.sh "$here"/src/* "$here"/device/standin_*.h | cksum)
if [ -e "$out/libcuda-standin.so" ] && [ "$(cat "$out/stamp" 2> /dev/null)" = "$stamp" ]; then
  exit 0
fi

# Whoever uses the old build goes on with whole files: each new one takes its place at once.
objects=
work=$(mktemp -d "$out/.build-XXXXXX")
trap 'rm -rf "$work"' EXIT
pids=
for source in "$here"/src/*.cpp; do
  object=$work/$(basename "$source" .cpp).o
  ${CXX:-c++} -std=c++20 -O2 -g1 -fPIC -fvisibility=hidden -Wall -Wextra -Wno-missing-field-initializers -DSTANDIN_BUILD="${stamp%% *}u" -c "$source" -o "$object" &
  pids="$pids $!"
  objects="$objects $object"
done
for pid in $pids; do
  wait "$pid"
done
# shellcheck disable=SC2086
${CXX:-c++} -shared -o "$work/libcuda-standin.so" $objects -pthread -ldl
cp "$here"/device/standin_*.h "$work/"
mv "$work"/standin_*.h "$work/libcuda-standin.so" "$out/"
ln -sf libcuda-standin.so "$out/libnvrtc-standin.so"
echo "$stamp" > "$out/stamp"
