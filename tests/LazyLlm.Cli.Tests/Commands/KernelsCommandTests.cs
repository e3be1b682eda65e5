using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Cli.Tests.Commands;

public class KernelsCommandTests
{
    private static readonly string? Obstacle = UseStandIn();

    [Fact]
    public async Task Programs_follow_from_the_model_the_format_and_the_architecture()
    {
        string portable = (await CommandRun.RunAsync("kernels", "list", "--arch", "sm_80")).Succeeded().Out;
        Assert.Contains("attention_dense.cu[LAZYLLM_STORAGE_BF16,LAZYLLM_HEAD_SIZE=128]", portable, StringComparison.Ordinal);
        Assert.DoesNotContain("sm90", portable, StringComparison.Ordinal);
        Assert.Contains("gemm_sm90.cu", (await CommandRun.RunAsync("kernels", "list", "--arch", "sm_90")).Succeeded().Out, StringComparison.Ordinal);
        Assert.Contains("LAZYLLM_HEAD_SIZE=32", (await CommandRun.RunAsync("kernels", "list", "--model", RepositoryFiles.Demo)).Succeeded().Out, StringComparison.Ordinal);
        Assert.Contains("STORAGE_F32", (await CommandRun.RunAsync("kernels", "list", "--storage", "float32")).Succeeded().Out, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Programs_are_compiled_and_dumped_without_a_GPU()
    {
        Assert.SkipWhen(Obstacle is not null, Obstacle ?? "");
        CommandRun compiled = (await CommandRun.RunAsync("kernels", "compile", "--model", RepositoryFiles.Demo)).Succeeded();
        Assert.Contains("select.cu  ", compiled.Out, StringComparison.Ordinal);

        // The stand-in's compiler does not say what kernels take, which is no proof that they spill nothing.
        CommandRun strict = await CommandRun.RunAsync("kernels", "compile", "--model", RepositoryFiles.Demo, "--no-spills");
        Assert.Equal(ExitCode.Failure, strict.ExitCode);
        Assert.Contains("lazyllm: select.cu: the compiler's log does not say", strict.Error, StringComparison.Ordinal);

        using var scratch = new ScratchFolder();
        CommandRun dumped = (await CommandRun.RunAsync("kernels", "dump", "--model", RepositoryFiles.Demo, "--out", scratch["dump"])).Succeeded();
        string[] files = dumped.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Contains(Path.Combine(scratch["dump"], "select-sm_80.cubin"), files);
        Assert.Contains(Path.Combine(scratch["dump"], "select-sm_80.ptx"), files);
        Assert.All(files.Append(Path.Combine(scratch["dump"], "select.cuh")), file => Assert.True(new FileInfo(file).Length > 0, file));
    }

    [Fact]
    public async Task A_kernel_that_does_not_compile_shows_file_line_and_log()
    {
        // What Hopper alone has is not emulated, so the stand-in's compiler refuses it.
        Assert.SkipWhen(Obstacle is not null, Obstacle ?? "");
        CommandRun run = await CommandRun.RunAsync("kernels", "compile", "--model", RepositoryFiles.Demo, "--arch", "sm_90");
        Assert.Equal(ExitCode.Device, run.ExitCode);
        Assert.Matches(@"^lazyllm: \w+_sm90\.cuh?\(\d+\): \w+_sm90\.cu\[.*\] did not compile: ", run.ErrorLines[0]);
        Assert.Contains(run.ErrorLines[1..], line => line.Contains("error: ", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("sm_75")]
    [InlineData("hopper")]
    public async Task An_architecture_that_is_none_or_too_old_is_refused(string architecture) =>
        (await CommandRun.RunAsync("kernels", "list", "--arch", architecture)).Refused(ExitCode.Usage, "--arch", architecture);

    /// <summary>NVRTC is chosen once per process: the stand-in's, unless the machine's variables name one.</summary>
    /// <returns>Why there is none, or null.</returns>
    private static string? UseStandIn()
    {
        if (Environment.GetEnvironmentVariable("LAZYLLM_NVRTC") is { Length: > 0 })
        {
            return "The stand-in's compiler is asked for, and LAZYLLM_NVRTC names another.";
        }

        if (StandinBuild.Ensure() is string problem)
        {
            return problem;
        }

        Environment.SetEnvironmentVariable("LAZYLLM_NVRTC", Path.Combine(StandinBuild.Folder, "libnvrtc-standin.so"));
        Environment.SetEnvironmentVariable("LAZYLLM_CACHE_DIR", Path.Combine(RepositoryFiles.Root, "artifacts", "kernel-cache-standin"));
        return null;
    }
}
