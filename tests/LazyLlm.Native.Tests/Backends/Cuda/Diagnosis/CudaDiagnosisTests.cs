using System.Diagnostics;
using LazyLlm.Native.Backends.Cuda.Diagnosis;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Interop.Cuda;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Diagnosis;

/// <summary>Each machine is a process of its own, because the driver is chosen once per process.</summary>
public sealed class CudaDiagnosisTests : IDisposable
{
    private const string ReportVariable = "LAZYLLM_TEST_REPORT";
    private const string StandinVariable = "LAZYLLM_STANDIN";

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("lazyllm-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void A_machine_without_driver_and_NVRTC()
    {
        string[] report = Diagnose([(CudaLibraries.DriverVariable, "/nowhere/libcuda.so.1"), (CudaLibraries.NvrtcVariable, "/nowhere/libnvrtc.so")]);
        Assert.Contains("usable False", report);
        Assert.Contains(report, line => line.StartsWith("problem The CUDA driver could not be loaded. Install NVIDIA's driver", StringComparison.Ordinal));
        Assert.Contains(report, line => line.EndsWith("/nowhere/libcuda.so.1: no such file", StringComparison.Ordinal));
        Assert.Contains(report, line => line.StartsWith("problem NVRTC, CUDA's run-time compiler, could not be loaded. Install it without a toolkit", StringComparison.Ordinal));
    }

    [Fact]
    public void A_machine_where_all_is_well()
    {
        CudaTestDevice.Require();
        string[] report = Diagnose(CudaTestDevice.Variables);
        Assert.Equal("usable True", report[0]);
        Assert.Contains(report, line => line.StartsWith("driver ", StringComparison.Ordinal) && !line.EndsWith(' '));
        Assert.Contains(report, line => line.StartsWith("nvrtc ", StringComparison.Ordinal) && !line.EndsWith(' '));
        Assert.Contains(report, line => line.StartsWith("gpu 0 ", StringComparison.Ordinal));
        Assert.Contains($"cache {Path.Combine(_folder.FullName, "cache")} 0", report);
    }

    [Theory]
    [InlineData("devices=0", "", "problem The driver works, but CUDA_VISIBLE_DEVICES is \"\", which leaves no GPU visible.")]
    [InlineData("devices=0", null, "problem The driver is there, but it sees no GPU.")]
    [InlineData("driver_version=11080", null, "problem The driver supports CUDA 11.8, but CUDA 12.0 is needed")]
    [InlineData("driver_version=12040", null, "problem NVRTC 13.0 (")]
    [InlineData("major=7", null, "problem No GPU has compute capability 8.0 or later")]
    [InlineData("fail.compile=1:7", null, "problem NVRTC cannot open its built-ins library")]
    [InlineData("fail.context=1", null, "problem Not enough memory for opening the device.")]
    public void A_machine_with_one_thing_wrong(string standin, string? visible, string expected)
    {
        CudaTestDevice.RequireStandIn();
        string[] report = Diagnose([.. CudaTestDevice.Variables, (StandinVariable, standin), ("CUDA_VISIBLE_DEVICES", visible)]);
        Assert.Equal("usable False", report[0]);
        Assert.Contains(report, line => line.StartsWith(expected, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("devices=0", 0, "CUDA_ERROR_NO_DEVICE")]
    [InlineData("devices=0", 1, "The driver sees no GPU")]
    [InlineData("devices=2", 2, "There is no CUDA device 2: the driver (CUDA 13.0) sees 2")]
    [InlineData("major=7,minor=5", 0, "has compute capability 7.5, but the kernels need 8.0 or later")]
    [InlineData("driver_version=11080", 0, "The driver supports CUDA 11.8, but CUDA 12.0 is needed")]
    public void Opening_a_device_that_is_not_there_says_why(string standin, int ordinal, string expected)
    {
        CudaTestDevice.RequireStandIn();
        string[] report = Diagnose([.. CudaTestDevice.Variables, (StandinVariable, standin)]);
        Assert.Contains(report, line => line.StartsWith($"open {ordinal} ", StringComparison.Ordinal) && line.Contains(expected, StringComparison.Ordinal));
    }

    /// <summary>The other process: writes what it finds to a file.</summary>
    [Fact(Explicit = true)]
    public void Report()
    {
        string path = Environment.GetEnvironmentVariable(ReportVariable)!;
        CudaDiagnosis diagnosis = CudaDiagnosis.Run();
        List<string> lines =
        [
            $"usable {diagnosis.IsUsable}",
            $"driver {diagnosis.DriverPath} {diagnosis.DriverVersion}",
            $"nvrtc {diagnosis.NvrtcPath} {diagnosis.NvrtcVersion}",
            $"cache {diagnosis.CacheFolder} {diagnosis.CacheEntries}",
            .. diagnosis.Gpus.Select(gpu => $"gpu {gpu.Ordinal} {gpu}"),
            .. diagnosis.Problems.Select(problem => "problem " + problem),
            .. diagnosis.Notes.Select(note => "note " + note),
        ];
        for (int ordinal = 0; ordinal < 3; ordinal++)
        {
            try
            {
                lines.Add($"open {ordinal} {CudaDevice.Open(ordinal).Name}");
            }
            catch (LazyLlm.Native.Errors.DeviceException e)
            {
                lines.Add($"open {ordinal} {e.Message}");
            }
        }

        File.WriteAllLines(path, lines);
    }

    private string[] Diagnose((string Name, string? Value)[] environment)
    {
        string report = Path.Combine(_folder.FullName, "report.txt");
        using Process child = ChildProcess.Start(
            typeof(CudaDiagnosisTests),
            nameof(Report),
            [.. environment, (ReportVariable, report), ("LAZYLLM_CACHE_DIR", Path.Combine(_folder.FullName, "cache"))]);
        ChildProcess.WaitForSuccess(child);
        return File.ReadAllLines(report);
    }
}
