using System.Net;
using System.Text;
using System.Text.Json;

namespace LazyLlm.Server.Tests;

/// <summary>What only a process shows: exit codes, signals, and a device that fails.</summary>
public sealed class ServeProcessTests
{
    private static readonly Uri Completions = new("v1/completions", UriKind.Relative);
    private static readonly string[] OnCpu = ["--device", "cpu", "--port", "0"];

    [Fact]
    public async Task SIGTERM_lets_a_stream_end_and_the_process_ends_with_0()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no kill command.");
        using ServeProcess serve = await ServeProcess.StartAsync(OnCpu);
        using var request = new HttpRequestMessage(HttpMethod.Post, Completions) { Content = Json("""{"prompt":"Mira keeps","max_tokens":600,"ignore_eos":true,"stream":true}""") };
        using HttpResponseMessage stream = await serve.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        await serve.TerminateAsync();
        Assert.EndsWith("data: [DONE]\n\n", await stream.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        (int code, string output, string error) = await serve.EndAsync();
        Assert.Equal((0, ""), (code, output));
        Assert.Contains("Stopping", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_runs_beyond_the_grace_is_told_and_the_process_ends()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no kill command.");
        using ServeProcess serve = await ServeProcess.StartAsync([.. OnCpu, "--grace", "0.01"]);
        using var request = new HttpRequestMessage(HttpMethod.Post, Completions) { Content = Json("""{"prompt":"Mira keeps","max_tokens":2000,"ignore_eos":true,"stream":true}""") };
        using HttpResponseMessage stream = await serve.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        await serve.TerminateAsync();
        Assert.Contains("\"draining\"", (await stream.Content.ReadAsStringAsync())[^200..], StringComparison.Ordinal);
        Assert.Equal(0, (await serve.EndAsync()).ExitCode);
    }

    [Theory]
    [InlineData(2, "--port", "--port", "65536")]
    [InlineData(2, "--host", "--host", "nowhere")]
    [InlineData(2, "--api-key", "--api-key", "a b")]
    [InlineData(2, "--model-name", "--model-name", "")]
    [InlineData(2, "--queue", "--queue", "0")]
    [InlineData(2, "layer 99", "--prune", "99:0.5")]
    [InlineData(2, "--grace", "--grace", "-1")]
    [InlineData(1, "--api-key-file", "--api-key-file", "no such file")]
    [InlineData(1, "cannot listen on 192.0.2.1", "--host", "192.0.2.1")]
    public async Task What_it_cannot_do_is_one_line_and_an_exit_code(int code, string reason, params string[] arguments)
    {
        string[] all = arguments.Contains("--port") ? ["--device", "cpu", .. arguments] : [.. OnCpu, .. arguments];
        using ServeProcess serve = await ServeProcess.StartAsync(all);
        (int exitCode, string output, string error) = await serve.EndAsync();
        Assert.Equal((code, ""), (exitCode, output));
        Assert.StartsWith("lazyllm: ", error, StringComparison.Ordinal);
        Assert.Contains(reason, error, StringComparison.Ordinal);
        Assert.Single(error.Split('\n', StringSplitOptions.RemoveEmptyEntries));
    }

    [Fact]
    public async Task A_device_that_fails_for_good_is_told_to_everybody_while_health_and_metrics_answer()
    {
        using ServeProcess serve = await ServeProcess.StartAsync(["--device", "cuda", "--port", "0"], OnStandIn());
        Assert.Equal(HttpStatusCode.OK, (await HealthAsync(serve)).StatusCode);
        for (int i = 0; i < 2; i++)
        {
            using HttpResponseMessage failed = await serve.Client.PostAsync(Completions, Json("""{"prompt":"Mira keeps","max_tokens":200,"ignore_eos":true}"""));
            JsonElement error = JsonDocument.Parse(await failed.Content.ReadAsStringAsync()).RootElement.GetProperty("error");
            Assert.Equal((HttpStatusCode.ServiceUnavailable, "device_lost"), (failed.StatusCode, error.GetProperty("code").GetString()));
            Assert.Contains("CUDA_ERROR_ILLEGAL_ADDRESS", error.GetProperty("message").GetString(), StringComparison.Ordinal);
            Assert.Equal(["false"], failed.Headers.GetValues("x-should-retry"));
        }

        using HttpResponseMessage health = await HealthAsync(serve);
        Assert.Equal((HttpStatusCode.ServiceUnavailable, """{"status":"faulted"}"""), (health.StatusCode, await health.Content.ReadAsStringAsync()));
        Assert.Contains("\nlazyllm_engine_faulted 1\n", await serve.Client.GetStringAsync(new Uri("metrics", UriKind.Relative)), StringComparison.Ordinal);
        await serve.TerminateAsync();
        Assert.Equal(0, (await serve.EndAsync()).ExitCode);
    }

    [Fact]
    public async Task A_device_that_fails_for_good_ends_the_process_where_that_is_wanted_even_if_nobody_waits_for_the_answer()
    {
        using ServeProcess serve = await ServeProcess.StartAsync(["--device", "cuda", "--port", "0", "--exit-on-fault"], OnStandIn());
        using var leave = new CancellationTokenSource();
        Task<HttpResponseMessage> request = serve.Client.PostAsync(Completions, Json("""{"prompt":"Mira keeps","max_tokens":200,"ignore_eos":true}"""), leave.Token);
        (int code, _, string error) = await serve.EndAsync();
        Assert.Equal(4, code);
        Assert.Contains("failed for good", error, StringComparison.Ordinal);
        await leave.CancelAsync();
        await Assert.ThrowsAnyAsync<Exception>(async () => (await request).EnsureSuccessStatusCode());
    }

    private static Task<HttpResponseMessage> HealthAsync(ServeProcess serve) => serve.Client.GetAsync(new Uri("health", UriKind.Relative));

    private static StringContent Json(string body) => new(body, Encoding.UTF8, "application/json");

    /// <summary>The stand-in driver, whose context is lost at the 400th launch from the start: in the middle of an answer.</summary>
    private static (string Name, string Value)[] OnStandIn()
    {
        string standIn = Path.Combine(RepositoryFiles.Root, "artifacts", "cuda-standin");
        Assert.SkipUnless(File.Exists(Path.Combine(standIn, "libcuda-standin.so")), "The stand-in for the CUDA driver is not built; './build.sh test' builds it where there is a C++ compiler.");
        return
        [
            ("LAZYLLM_CUDA_DRIVER", Path.Combine(standIn, "libcuda-standin.so")),
            ("LAZYLLM_NVRTC", Path.Combine(standIn, "libnvrtc-standin.so")),
            ("LAZYLLM_CACHE_DIR", Path.Combine(RepositoryFiles.Root, "artifacts", "kernel-cache-standin")),
            ("LAZYLLM_STANDIN", "fail.launch=400:700,quiet=1"),
        ];
    }
}
