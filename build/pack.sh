#!/usr/bin/env bash
# Makes what is published, in artifacts/packages: the NuGet packages (library, extensions, server, tool) and, for linux-x64,
# two archives compiled ahead of time, which need no .NET where they run: the tool and the C library.
#
# Code compiled ahead of time is for one processor level, and the CPU backend is several times slower without AVX2. So each
# archive holds a build per level, and a launcher (the tool) or a library of the same name (the C library) that takes the best
# for the machine it runs on; see src/dispatch. PACK_LEVELS names fewer levels, for a test of this script on one machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out="$PWD/artifacts/packages"
levels="${PACK_LEVELS:-x86-64-v2 x86-64-v3 x86-64-v4}"
rm -rf "$out"
mkdir -p "$out"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

# Writes the notices of the libraries that are inside a program: project, file, properties that it is published with...
notices() {
    dotnet run --file build/third-party-notices.cs -- "$@"
}

dotnet restore src/LazyLlm.Cli --verbosity quiet --nologo
notices src/LazyLlm.Cli "$stage/THIRD-PARTY-NOTICES.txt"

# Symbols are embedded in the assemblies, with paths relative to the repository.
for project in src/LazyLlm.Native src/LazyLlm.Extensions.AI src/LazyLlm.Server src/LazyLlm.Cli; do
    [ -d "$project" ] || continue
    dotnet pack "$project" --configuration Release --output "$out" --verbosity quiet --nologo -p:ContinuousIntegrationBuild=true \
        -p:ThirdPartyNotices="$stage/THIRD-PARTY-NOTICES.txt"
done

if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "pack.sh: the native archives are made on Linux on x86-64 alone; left out." >&2
    exit 0
fi
cc=$(command -v cc || command -v clang || command -v gcc) || { echo "pack.sh: no C compiler (cc, clang or gcc) for the native archives." >&2; exit 1; }
cflags=(-std=c11 -O2 -Wall -Wextra -Werror -Isrc/LazyLlm.Native.CApi/include -Isrc/dispatch)

# The files of a project compiled for a level, its program or library named after the level: project, level, folder, file.
compile() {
    local project="$1" level="$2" folder="$3" file="$4"
    dotnet publish "$project" --configuration Release --runtime linux-x64 --output "$stage/publish" --verbosity quiet --nologo \
        -p:PublishAot=true -p:StripSymbols=true -p:IlcInstructionSet="$level" -p:ContinuousIntegrationBuild=true
    rm -rf "$stage/publish"/*.dbg "$stage/publish"/*.pdb "$stage/publish"/*.xml "$stage/publish/models"
    mkdir -p "$folder"
    mv "$stage/publish/$file" "$folder/${file%.so}-$level$([[ $file == *.so ]] && echo .so)"
    cp -r "$stage/publish/." "$folder/"
    rm -rf "$stage/publish"
}

# A folder with what goes beside every program: folder, project.
archive() {
    local name="$1" project="$2"
    cp LICENSE README.md "$stage/$name/"
    notices "$project" "$stage/$name/THIRD-PARTY-NOTICES.txt" -p:RuntimeIdentifier=linux-x64 -p:PublishAot=true
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime='2000-01-01' -C "$stage" -cJf "$out/$name-linux-x64.tar.xz" "$name"
}

for level in $levels; do
    compile src/LazyLlm.Cli "$level" "$stage/lazyllm/lib" lazyllm
    compile src/LazyLlm.Native.CApi "$level" "$stage/liblazyllm/lib" liblazyllm.so
done

"$cc" "${cflags[@]}" -s src/dispatch/launcher.c -o "$stage/lazyllm/lazyllm"
mkdir "$stage/lazyllm/models"
cp -r models/demo "$stage/lazyllm/models/"
archive lazyllm src/LazyLlm.Cli

"$cc" "${cflags[@]}" -s -fPIC -shared -fvisibility=hidden -Wl,-soname,liblazyllm.so -Wl,-z,nodelete src/dispatch/library.c -o "$stage/liblazyllm/lib/liblazyllm.so" -ldl -pthread
mkdir "$stage/liblazyllm/include" "$stage/liblazyllm/samples"
cp src/LazyLlm.Native.CApi/include/lazyllm.h "$stage/liblazyllm/include/"
cp samples/c/*.c samples/python/*.py "$stage/liblazyllm/samples/"
cp docs/C-API.md "$stage/liblazyllm/"
archive liblazyllm src/LazyLlm.Native.CApi
ls -l "$out"
