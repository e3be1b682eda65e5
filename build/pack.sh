#!/usr/bin/env bash
# Makes what is published, in artifacts/packages: the NuGet packages (library, extensions, tool) with symbols, and native
# archives for linux-x64 (the tool and the C library, NativeAOT: no .NET needed where they run).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out="$PWD/artifacts/packages"
rid="${1:-linux-x64}"
rm -rf "$out"
mkdir -p "$out"

for project in src/LazyLlm.Native src/LazyLlm.Evaluation src/LazyLlm.Extensions.AI src/LazyLlm.Server src/LazyLlm.Cli; do
    [ -d "$project" ] || continue
    dotnet pack "$project" --configuration Release --output "$out" --verbosity quiet --nologo \
        -p:IncludeSymbols=true -p:SymbolPackageFormat=snupkg
done

# Native archives: name, project.
archive() {
    local name="$1" project="$2" stage
    [ -d "$project" ] || return 0
    stage=$(mktemp -d)
    dotnet publish "$project" --configuration Release --runtime "$rid" --output "$stage/$name" --verbosity quiet --nologo \
        -p:PublishAot=true -p:StripSymbols=true
    rm -f "$stage/$name"/*.dbg "$stage/$name"/*.pdb "$stage/$name"/*.xml
    cp LICENSE README.md "$stage/$name/"
    [ -f "$project/include/lazyllm.h" ] && cp "$project/include/lazyllm.h" "$stage/$name/"
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime='2000-01-01' -C "$stage" -cJf "$out/$name-$rid.tar.xz" "$name"
    rm -rf "$stage"
}
archive lazyllm src/LazyLlm.Cli
archive liblazyllm src/LazyLlm.Native.CApi
ls -l "$out"
