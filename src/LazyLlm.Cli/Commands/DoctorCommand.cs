using System.CommandLine;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;
using LazyLlm.Cli.Demo;
using LazyLlm.Cli.Output;
using LazyLlm.Native.Backends.Cuda.Diagnosis;

namespace LazyLlm.Cli.Commands;

/// <summary><c>lazyllm doctor</c>: what this machine offers, and what keeps a GPU from being used.</summary>
internal sealed class DoctorCommand
{
    private readonly Option<string?> _driver = new("--cuda-driver") { Description = "File or folder of the CUDA driver library, in place of the usual places.", HelpName = "PATH" };
    private readonly Option<string?> _nvrtc = new("--nvrtc") { Description = "File or folder of NVRTC, in place of the usual places.", HelpName = "PATH" };
    private readonly Option<bool> _requireCuda = new("--require-cuda") { Description = "Exit with 3 where the device 'cuda' would not work." };
    private readonly Option<bool> _json = new("--json") { Description = "Write the findings as JSON." };

    private DoctorCommand()
    {
    }

    public static Command Create(Terminal terminal)
    {
        var doctor = new DoctorCommand();
        var command = new Command("doctor", "Show what this machine offers, and what keeps a GPU from being used.") { doctor._driver, doctor._nvrtc, doctor._requireCuda, doctor._json };
        command.SetAction(arguments => doctor.Run(arguments, terminal));
        return command;
    }

    private int Run(ParseResult arguments, Terminal terminal)
    {
        CudaDiagnosis cuda = CudaDiagnosis.Run(arguments.GetValue(_driver), arguments.GetValue(_nvrtc));
        if (arguments.GetValue(_json))
        {
            JsonText.Write(terminal.Out, json => WriteJson(json, cuda));
        }
        else
        {
            WriteText(terminal.Out, cuda);
        }

        return arguments.GetValue(_requireCuda) && !cuda.IsUsable ? ExitCode.Device : ExitCode.Success;
    }

    private static void WriteText(TextWriter output, CudaDiagnosis cuda)
    {
        Line("lazyllm", ToolVersion());
        Line("runtime", $"{RuntimeInformation.FrameworkDescription} on {RuntimeInformation.OSDescription} ({RuntimeInformation.RuntimeIdentifier})");
        Line("CPU", $"{Environment.ProcessorCount} cores, {string.Join(' ', InstructionSets())}; {Vector512OrLess()}-bit vectors in use");
        Line("memory", $"{Units.Bytes(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes)} available to this process");
        Line("demo model", DemoFolder() ?? "not found; name a model with --model");
        output.WriteLine();
        Line("CUDA", cuda.IsUsable ? "usable" : "not usable; the CPU is used");
        Line("driver", cuda.DriverVersion is null ? "none" : $"CUDA {cuda.DriverVersion}, {cuda.DriverPath}");
        Line("NVRTC", cuda.NvrtcVersion is null ? "none" : $"{cuda.NvrtcVersion}, {cuda.NvrtcPath}");
        foreach (GpuDescription gpu in cuda.Gpus)
        {
            string free = gpu.FreeBytes is long bytes ? $", {Units.Bytes(bytes)} free" : "";
            Line($"GPU {gpu.Ordinal}", $"{gpu.Name}, compute capability {gpu.ComputeCapability}, {gpu.MultiprocessorCount} multiprocessors, {Units.Bytes(gpu.TotalBytes)}{free}");
        }

        Line("kernel cache", cuda.CacheFolder is null ? "in memory only" : $"{cuda.CacheFolder}, {Units.Count(cuda.CacheEntries)} kernels, {Units.Bytes(cuda.CacheBytes)}");
        foreach ((string title, IReadOnlyList<string> lines) in new[] { ("Problem", cuda.Problems), ("Note", cuda.Notes) })
        {
            foreach (string line in lines)
            {
                output.WriteLine();
                output.WriteLine($"{title}: {line}");
            }
        }

        void Line(string name, string value) => output.WriteLine($"{name,-13} {value}");
    }

    private static void WriteJson(System.Text.Json.Utf8JsonWriter json, CudaDiagnosis cuda)
    {
        json.WriteString("version", ToolVersion());
        json.WriteString("runtime", RuntimeInformation.FrameworkDescription);
        json.WriteString("os", RuntimeInformation.OSDescription);
        json.WriteString("rid", RuntimeInformation.RuntimeIdentifier);
        json.WriteStartObject("cpu");
        json.WriteNumber("cores", Environment.ProcessorCount);
        json.WriteNumber("vector_bits", Vector512OrLess());
        json.WriteStartArray("instruction_sets");
        foreach (string set in InstructionSets())
        {
            json.WriteStringValue(set);
        }

        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteNumber("memory_bytes", GC.GetGCMemoryInfo().TotalAvailableMemoryBytes);
        json.WriteString("demo_model", DemoFolder());
        json.WriteStartObject("cuda");
        json.WriteBoolean("usable", cuda.IsUsable);
        json.WriteString("driver_path", cuda.DriverPath);
        json.WriteString("driver_version", cuda.DriverVersion?.ToString());
        json.WriteString("nvrtc_path", cuda.NvrtcPath);
        json.WriteString("nvrtc_version", cuda.NvrtcVersion?.ToString());
        json.WriteString("nvrtc_builtins_path", cuda.NvrtcBuiltinsPath);
        json.WriteStartArray("gpus");
        foreach (GpuDescription gpu in cuda.Gpus)
        {
            json.WriteStartObject();
            json.WriteNumber("ordinal", gpu.Ordinal);
            json.WriteString("name", gpu.Name);
            json.WriteString("compute_capability", gpu.ComputeCapability.ToString());
            json.WriteNumber("multiprocessors", gpu.MultiprocessorCount);
            json.WriteNumber("total_bytes", gpu.TotalBytes);
            if (gpu.FreeBytes is long free)
            {
                json.WriteNumber("free_bytes", free);
            }

            json.WriteEndObject();
        }

        json.WriteEndArray();
        json.WriteString("cache_folder", cuda.CacheFolder);
        json.WriteNumber("cache_entries", cuda.CacheEntries);
        json.WriteNumber("cache_bytes", cuda.CacheBytes);
        WriteStrings("problems", cuda.Problems);
        WriteStrings("notes", cuda.Notes);
        json.WriteEndObject();

        void WriteStrings(string name, IReadOnlyList<string> lines)
        {
            json.WriteStartArray(name);
            foreach (string line in lines)
            {
                json.WriteStringValue(line);
            }

            json.WriteEndArray();
        }
    }

    private static string ToolVersion() => typeof(DoctorCommand).Assembly.GetName().Version!.ToString(3);

    private static int Vector512OrLess() =>
        Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : Vector128.IsHardwareAccelerated ? 128 : 64;

    private static IEnumerable<string> InstructionSets()
    {
        (string Name, bool IsSupported)[] sets =
        [
            ("AVX2", Avx2.IsSupported), ("FMA", Fma.IsSupported), ("AVX-512F", Avx512F.IsSupported),
            ("AVX-512BW", Avx512BW.IsSupported), ("NEON", AdvSimd.IsSupported),
        ];
        return sets.Where(set => set.IsSupported).Select(set => set.Name).DefaultIfEmpty("no vector instructions known by name");
    }

    private static string? DemoFolder()
    {
        try
        {
            return DemoModel.Find();
        }
        catch (UsageException)
        {
            return null;
        }
    }
}
