#!/usr/bin/env bash
# Packs, and tries what was packed from outside the repository, as somebody would who has nothing else: the packages' contents,
# the samples of the READMEs as they are written there, the tool, and the native archives where there is no .NET.
# Each check is a line "ok: ..." or "FAILED: ..." with what the programs said. CHECK_PACKED=1 takes artifacts/packages as it is,
# CHECK_ALL_LEVELS=1 packs for all processors, and tries them where there is qemu-x86_64.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root="$PWD"
feed="$root/artifacts/packages"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1 NUGET_PACKAGES="$work/nuget"
failed=0

# Runs a command and judges it: name, command...
check() {
    local name="$1"
    shift
    if ("$@") > "$work/log" 2>&1; then
        echo "ok: $name"
    else
        echo "FAILED: $name"
        tail -n 40 "$work/log" | sed 's/^/    /'
        failed=$((failed + 1))
    fi
}

# Fails aloud where the text does not match.
expect() {
    printf '%s\n' "$2"
    printf '%s' "$2" | tr '\n' ' ' | grep -Eq "$1" || { echo "expected: $1"; return 1; }
}

# The nth block of a language in a page: page, language, number.
sample() {
    awk -v open="\`\`\`$2" -v wanted="$3" '$0 == open { n++; if (n == wanted) { on = 1; next } } /^```/ { on = 0 } on' "$1"
}

best_level() {
    local level
    for level in x86-64-v4 x86-64-v3; do
        if /lib64/ld-linux-x86-64.so.2 --help 2> /dev/null | grep -q "$level (supported"; then
            echo "$level"
            return
        fi
    done
    echo x86-64-v2
}

contents() {
    local package="$1" assembly="$2" list nuspec
    list=$(unzip -l "$package") && nuspec=$(unzip -p "$package" '*.nuspec') || return 1
    expect ' README\.md .*' "$list" > /dev/null || return 1
    for field in '<license type="expression">MIT</license>' '<readme>README.md</readme>' '<description>[^<]{20,}' '<repository type="git" [^>]*commit="[0-9a-f]{40}"' '<tags>'; do
        expect "$field" "$nuspec" || return 1
    done
    unzip -p "$package" "$assembly" > "$work/assembly.dll" && [ -s "$work/assembly.dll" ] || { echo "$assembly is missing"; return 1; }
    # Symbols are in the assembly, without the paths of the machine that built it.
    grep -aq MPDB "$work/assembly.dll" || { echo "$assembly has no symbols"; return 1; }
    ! grep -aq "$root" "$work/assembly.dll" || { echo "$assembly names $root"; return 1; }
}

library_contents() {
    contents "$feed/$1.$version.nupkg" "lib/net10.0/$1.dll" && expect "lib/net10.0/$1\.xml" "$(unzip -l "$feed/$1.$version.nupkg")"
}

# The IChatClient asks for its interface and for the library, and for nothing else.
extension_contents() {
    library_contents LazyLlm.Extensions.AI || return 1
    expect '^LazyLlm\.Native Microsoft\.Extensions\.AI\.Abstractions $' "$(unzip -p "$feed/LazyLlm.Extensions.AI.$version.nupkg" '*.nuspec' | grep -o '<dependency id="[^"]*' | cut -d'"' -f2 | sort | tr '\n' ' ')"
}

tool_contents() {
    local package="$feed/LazyLlm.Cli.$version.nupkg" list
    contents "$package" tools/net10.0/any/lazyllm.dll || return 1
    list=$(unzip -l "$package")
    expect 'any/models/demo/model\.safetensors' "$list" && expect 'linux-x64/native/libSkiaSharp\.so' "$list" || return 1
    ! grep -Eq '\.pdb|contentFiles|linux-musl' <<< "$list" || { echo "the tool carries what it needs not"; return 1; }
    [ "$(stat -c %s "$package")" -lt 60000000 ] || { echo "the tool has $(stat -c %s "$package") bytes"; return 1; }
}

# The notices of what is inside, a version with each, and no path of the machine that wrote them: text, libraries...
notices() {
    local text="$1" library
    shift
    for library; do
        expect "${library//./\\.} [0-9]+\.[0-9.]+ +(MIT|BSD-3-Clause|Apache-2\.0), https://" "$text" > /dev/null || { echo "the notices lack $library"; return 1; }
    done
    expect 'LICENCE of [^=]*Google\.Protobuf.*Neither the name of' "$text" > /dev/null && expect 'NOTICES of [^=]*Microsoft\.ML\.Tokenizers' "$text" > /dev/null || return 1
    ! grep -F -e "$root" -e .nuget/ <<< "$text" && ! grep -E '(^|[^[:alnum:]_./-])/(home|root|tmp|usr|Users)/' <<< "$text"
}

library_notices=(Google.Protobuf Microsoft.ML.Tokenizers System.Numerics.Tensors)
tool_notices=("${library_notices[@]}" HarfBuzzSharp OpenTelemetry OpenTelemetry.Exporter.OpenTelemetryProtocol OpenTelemetry.Extensions.Hosting
    OpenTelemetry.Instrumentation.AspNetCore ScottPlot SkiaSharp SkiaSharp.HarfBuzz SkiaSharp.NativeAssets.Linux.NoDependencies Spectre.Console System.CommandLine)
# The runtime is inside what was compiled ahead of time.
runtime_notices=(Microsoft.NETCore.App.Runtime.NativeAOT.linux-x64)

package_notices() {
    notices "$(unzip -p "$feed/LazyLlm.Cli.$version.nupkg" THIRD-PARTY-NOTICES.txt)" "${tool_notices[@]}" HarfBuzzSharp.NativeAssets.Win32 SkiaSharp.NativeAssets.macOS
}

archive_notices() {
    tar -xf "$feed/liblazyllm-linux-x64.tar.xz" -C "$work/native" && cd "$work/native" && ls lazyllm/LICENSE liblazyllm/LICENSE || return 1
    notices "$(cat lazyllm/THIRD-PARTY-NOTICES.txt)" "${tool_notices[@]}" "${runtime_notices[@]}" Microsoft.AspNetCore.App.Runtime.linux-x64 || return 1
    notices "$(cat liblazyllm/THIRD-PARTY-NOTICES.txt)" "${library_notices[@]}" "${runtime_notices[@]}" || return 1
    ! grep -E '^(SkiaSharp|OpenTelemetry|Microsoft\.AspNetCore)[^ ]* [0-9]' liblazyllm/THIRD-PARTY-NOTICES.txt
}

# A project that knows the packages by name alone: folder, packages...
project() {
    mkdir -p "$work/$1" && cd "$work/$1" || return 1
    cat > nuget.config << CONFIG
<configuration>
  <packageSources><add key="packed" value="$feed" /></packageSources>
</configuration>
CONFIG
    cat > app.csproj << 'PROJECT'
<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup><OutputType>Exe</OutputType><TargetFramework>net10.0</TargetFramework><ImplicitUsings>enable</ImplicitUsings><Nullable>enable</Nullable></PropertyGroup>
</Project>
PROJECT
    mkdir -p models && cp -r "$root/models/demo" models/
    shift
    for package; do
        dotnet add package "$package" || return 1
        grep -q "\"$feed\"" "$NUGET_PACKAGES/${package,,}/$version/.nupkg.metadata" || { echo "$package came from elsewhere"; return 1; }
    done
}

csharp_sample() {
    project library LazyLlm.Native && sample "$root/README.md" csharp 1 > Program.cs && expect '^ attic \([0-9]+ ?% of the dense work\).* vault \([1-9][0-9]* positions revived\)' "$(dotnet run --configuration Release)"
}

chat_sample() {
    project chat LazyLlm.Extensions.AI && sample "$root/src/LazyLlm.Extensions.AI/README.md" csharp 1 > Program.cs && expect '[a-z]+' "$(dotnet run --configuration Release)"
}

server_sample() {
    project server LazyLlm.Server || return 1
    cat > Program.cs << 'PROGRAM'
using LazyLlm.Native.Inference;
using LazyLlm.Server;

using LlamaEngine engine = await LlamaEngine.LoadAsync("models/demo");
await using LlamaServer server = await LlamaServer.StartAsync(engine, new LlamaServerOptions { Port = 0 });
using var http = new HttpClient { BaseAddress = server.Address };
Console.WriteLine(await http.GetStringAsync("/v1/models"));
PROGRAM
    expect '"id": ?"demo"' "$(dotnet run --configuration Release)"
}

install_tool() {
    project tool || return 1
    dotnet tool install LazyLlm.Cli --tool-path "$work/tools" || return 1
    expect "^$version" "$("$work/tools/lazyllm" --version)" && expect 'right +[a-z]+: right' "$(cd / && "$work/tools/lazyllm" demo --runs 1 --quiet)"
}

# Where .NET cannot be found.
no_dotnet=(env -i PATH="$work/bare" HOME="$work" DOTNET_ROOT=/nonexistent)
bare() {
    "${no_dotnet[@]}" "$@"
}

unpack() {
    mkdir -p "$work/native" "$work/bare" && cd "$work/native" && cp "$feed"/*.tar.xz . || return 1
    for program in sh env tar xz cc as ld curl; do
        ln -sf "$(command -v "$program")" "$work/bare/$program" || return 1
    done
    ! bare sh -c 'command -v dotnet' || return 1
    tar -xf lazyllm-linux-x64.tar.xz && ln -s "$work/native/lazyllm/lazyllm" "$work/bare/lazyllm"
}

native_tool() {
    cd / && expect "^$version" "$(bare lazyllm --version)" && expect 'right +[a-z]+: right' "$(bare lazyllm demo --runs 1 --quiet)"
}

vector_bits() {
    "$@" doctor --json | grep -o '"vector_bits": *[0-9]*'
}

# The build for this machine was taken: its vectors are as wide as those of code that is compiled here.
native_level() {
    expect "^$(vector_bits "$work/tools/lazyllm")\$" "$(vector_bits bare lazyllm)"
}

native_serve() {
    local address=
    cd "$work/native" || return 1
    # A program started straight from here, so that the signal reaches it and its exit code comes back.
    "${no_dotnet[@]}" lazyllm serve lazyllm/models/demo --device cpu --port 0 2> serve.log &
    local server=$!
    for _ in $(seq 100); do
        address=$(grep -o 'http://[0-9.]*:[0-9]*' serve.log) && break
        sleep 0.1
    done
    cat serve.log
    expect '"id": ?"demo"' "$(curl -sS "$address/v1/models")"
    local status=$?
    kill -TERM "$server" && wait "$server" && return "$status"
}

c_sample() {
    cd "$work/native" && sample "$root/README.md" c 1 > quickstart.c && sample "$root/README.md" sh 1 > quickstart.sh || return 1
    expect '^ attic$' "$(bare sh -e quickstart.sh)"
}

curl_sample() {
    cd "$work/native" && sample "$root/README.md" sh 2 > serve.sh || return 1
    expect '"text": ?" attic"' "$(bare sh -e serve.sh)"
}

# What the archive itself brings along.
other_samples() {
    cd "$work/native" && cc liblazyllm/samples/generate.c -Iliblazyllm/include -Lliblazyllm/lib -llazyllm -Wl,-rpath,"$PWD/liblazyllm/lib" -o generate || return 1
    expect '^ attic [0-9]+ layers' "$(bare ./generate lazyllm/models/demo 4:0.5)" || return 1
    ! command -v python3 > /dev/null || expect '^ attic$' "$(python3 liblazyllm/samples/generate.py liblazyllm/lib/liblazyllm.so lazyllm/models/demo 4:0.5)"
}

# On processors that this machine can only pretend to be. The launcher runs its choice on the real one; so each is tried apart.
emulated() {
    local cpu="$1" level="$2" bits="$3"
    cd "$work/native" || return 1
    expect '^ attic$' "$(qemu-x86_64 -cpu "$cpu" ./quickstart)" || return 1
    expect "liblazyllm-$level\.so" "$(qemu-x86_64 -cpu "$cpu" -E LD_DEBUG=files ./quickstart 2>&1 | grep -o 'init: .*')" || return 1
    expect "\"vector_bits\": *$bits\$" "$(vector_bits qemu-x86_64 -cpu "$cpu" lazyllm/lib/lazyllm-"$level")" || return 1
    expect "\"vector_bits\": *$bits\$" "$(vector_bits qemu-x86_64 -cpu "$cpu" lazyllm/lazyllm)"
}

if [ -z "${CHECK_PACKED:-}" ]; then
    # All levels are for publishing; a test takes the one that this machine runs.
    levels=$(best_level)
    [ -n "${CHECK_ALL_LEVELS:-}" ] && levels="x86-64-v2 x86-64-v3 x86-64-v4"
    check "pack" env -u NUGET_PACKAGES PACK_LEVELS="$levels" bash build/pack.sh
fi
version=$(ls "$feed"/LazyLlm.Native.*.nupkg | sed -E 's/.*Native\.([0-9].*)\.nupkg/\1/')
check "contents of LazyLlm.Native" library_contents LazyLlm.Native
check "contents of LazyLlm.Extensions.AI" extension_contents
check "contents of LazyLlm.Server" library_contents LazyLlm.Server
check "contents of the tool" tool_contents
check "third-party notices of the tool" package_notices
check "README's C# sample, from the package" csharp_sample
check "the IChatClient sample, from the package" chat_sample
check "a server, from the package" server_sample
check "the tool, installed" install_tool
if ls "$feed"/*.tar.xz > /dev/null 2>&1; then
    check "the archives unpack" unpack
    check "third-party notices of the archives" archive_notices
    check "the tool without .NET" native_tool
    check "the build of the tool for this processor" native_level
    check "lazyllm serve without .NET" native_serve
    check "README's C sample, from the archive" c_sample
    check "README's curl sample, from the archive" curl_sample
    check "the archive's other samples" other_samples
    if [ -e "$work/native/lazyllm/lib/lazyllm-x86-64-v2" ] && command -v qemu-x86_64 > /dev/null; then
        check "a processor without AVX" emulated Nehalem x86-64-v2 128
    fi
    if [ -e "$work/native/lazyllm/lib/lazyllm-x86-64-v3" ] && command -v qemu-x86_64 > /dev/null; then
        check "a processor without AVX-512" emulated max x86-64-v3 256
    fi
fi
exit "$((failed > 0))"
