#!/usr/bin/env bash
# One script for everything: ./build.sh [verb]. build.ps1 has the same verbs.
#   (none)      restore, build, and run the demo
#   test        build the stand-in driver, check the kernels as device code, fetch the packages of the tests in JavaScript, run all tests
#   bench       run the CPU benchmarks; further arguments go to the benchmark program (./build.sh bench help)
#   pack        make the NuGet packages and the native archives in artifacts/packages
#   check-packages  pack, and try what was packed from outside the repository
#   gpu-bundle  pack tests, tool and benchmarks for a machine with a GPU and without .NET
#   format      apply the code style
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
export DOTNET_CLI_TELEMETRY_OPTOUT=1 DOTNET_NOLOGO=1

verb="${1:-}"
[ $# -gt 0 ] && shift

build() {
    dotnet build LazyLlm.Native.sln --configuration Release --verbosity quiet --nologo
}

# The page in a browser, and OpenAI's client. Where there is no npm, or no registry, those tests skip and say so.
javascript_packages() {
    command -v npm > /dev/null || return 0
    for folder in tests/LazyLlm.Server.Tests/monitor tests/LazyLlm.Server.Tests/openai; do
        [ "$folder/node_modules/.package-lock.json" -nt "$folder/package-lock.json" ] || npm ci --prefix "$folder" --no-audit --no-fund --silent || echo "build.sh: no packages for $folder." >&2
    done
}

case "$verb" in
"")
    build
    exec dotnet run --project src/LazyLlm.Cli --configuration Release --no-build -- demo
    ;;
test)
    build
    tests/cuda-standin/build.sh artifacts/cuda-standin
    tests/cuda-standin/check-device-code.sh
    javascript_packages
    exec dotnet test --solution LazyLlm.Native.sln --configuration Release --no-build "$@"
    ;;
bench)
    build
    exec dotnet run --project bench/LazyLlm.Bench --configuration Release --no-build -- "$@"
    ;;
pack)
    exec bash build/pack.sh "$@"
    ;;
check-packages)
    exec bash build/check-packages.sh "$@"
    ;;
gpu-bundle)
    exec bash build/gpu-bundle.sh "$@"
    ;;
format)
    exec dotnet format LazyLlm.Native.sln
    ;;
*)
    echo "build.sh: unknown verb '$verb'. Verbs: test, bench, pack, check-packages, gpu-bundle, format; none builds and runs the demo." >&2
    exit 2
    ;;
esac
