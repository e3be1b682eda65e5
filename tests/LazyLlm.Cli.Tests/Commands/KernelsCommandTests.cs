using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Cli.Tests.Commands;

public class KernelsCommandTests
{
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

    [Theory]
    [InlineData("sm_75")]
    [InlineData("hopper")]
    public async Task An_architecture_that_is_none_or_too_old_is_refused(string architecture) =>
        (await CommandRun.RunAsync("kernels", "list", "--arch", architecture)).Refused(ExitCode.Usage, "--arch", architecture);
}
