# One script for everything: ./build.ps1 [verb]. build.sh has the same verbs; see there for what each does.
param([string]$Verb = "", [Parameter(ValueFromRemainingArguments = $true)][string[]]$Rest = @())
$ErrorActionPreference = "Stop"
Set-Location $PSScriptRoot
$env:DOTNET_CLI_TELEMETRY_OPTOUT = "1"
$env:DOTNET_NOLOGO = "1"

function Invoke-Checked([string]$Program, [string[]]$Arguments) {
    & $Program @Arguments
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}

function Build { Invoke-Checked dotnet @("build", "LazyLlm.Native.sln", "--configuration", "Release", "--verbosity", "quiet", "--nologo") }

switch ($Verb) {
    "" {
        Build
        Invoke-Checked dotnet @("run", "--project", "src/LazyLlm.Cli", "--configuration", "Release", "--no-build", "--", "demo")
    }
    "test" {
        Build
        # The stand-in driver needs a Unix C++ compiler; without it the tests over it skip and say so.
        Invoke-Checked dotnet (@("test", "--solution", "LazyLlm.Native.sln", "--configuration", "Release", "--no-build") + $Rest)
    }
    "bench" {
        Build
        Invoke-Checked dotnet (@("run", "--project", "bench/LazyLlm.Bench", "--configuration", "Release", "--no-build", "--") + $Rest)
    }
    "pack" { Invoke-Checked bash (@("build/pack.sh") + $Rest) }
    "gpu-bundle" { Invoke-Checked bash (@("build/gpu-bundle.sh") + $Rest) }
    "format" { Invoke-Checked dotnet @("format", "LazyLlm.Native.sln") }
    default {
        [Console]::Error.WriteLine("build.ps1: unknown verb '$Verb'. Verbs: test, bench, pack, gpu-bundle, format; none builds and runs the demo.")
        exit 2
    }
}
