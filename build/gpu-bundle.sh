#!/usr/bin/env bash
# Packs the tests, the tool and the benchmarks with a .NET runtime for a Linux machine (x86-64) with a GPU and without
# .NET: artifacts/gpu-bundle/bundle.tar.xz. tests/gpu/run-on-gpu.sh unpacks and runs it, in a copy of this repository.
# The three programs share one runtime, that of the SDK which runs this script.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1

out=artifacts/gpu-bundle
work=$out/work
rm -rf "$work"
mkdir -p "$work/runtime/shared"

for project in tests/LazyLlm.Native.Tests src/LazyLlm.Cli bench/LazyLlm.Bench; do
    dotnet publish "$project" --configuration Release --runtime linux-x64 --no-self-contained --verbosity quiet --nologo \
        -p:PublishAot=false -p:DebugType=embedded -p:SatelliteResourceLanguages=en --output "$work/$(basename "$project")"
done

# Files for other systems, and what only an IDE reads.
find "$work" \( -name '*.xml' -o -name '*.pdb' \) -delete
find "$work" -type d -path '*/runtimes/*' -prune \( -name 'win*' -o -name 'osx*' -o -name 'linux-arm*' -o -name 'linux-musl*' \) -exec rm -rf {} +

# What only reads machine code beside a benchmark.
rm -rf "$work"/LazyLlm.Bench/{libcapstone.so,Iced.dll,amd64,x86,arm64}

# The demo's model travels with the repository.
rm -rf "$work/LazyLlm.Cli/models"
ln -s ../../../../models "$work/LazyLlm.Cli/models"

sdk=$(dirname "$(readlink -f "$(command -v dotnet)")")
cp "$sdk/dotnet" "$work/runtime/"
cp -r "$sdk/host" "$work/runtime/"
for framework in $(grep -ho '"name": "Microsoft[^"]*"' "$work"/*/*.runtimeconfig.json | cut -d'"' -f4 | sort -u); do
    version=$(ls "$sdk/shared/$framework" | sort -V | tail -1)
    mkdir -p "$work/runtime/shared/$framework"
    cp -r "$sdk/shared/$framework/$version" "$work/runtime/shared/$framework/"
done

# Debuggers, other collectors, and the parts of the web framework that the server does not use.
rm -f "$work"/runtime/shared/Microsoft.NETCore.App/*/{libmscor*,libclrgc*,libcoreclrtraceptprovider*,Microsoft.VisualBasic*}
rm -f "$work"/runtime/shared/Microsoft.AspNetCore.App/*/Microsoft.AspNetCore.{Mvc,Components,Identity,Razor,SignalR}*

tar --create --directory "$work" . | xz -T0 -6 > "$out/bundle.tar.xz"
rm -rf "$work"
ls -l "$out/bundle.tar.xz"
