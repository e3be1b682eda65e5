using System.CommandLine;
using System.Globalization;
using LazyLlm.Cli.Output;
using LazyLlm.Native.Backends.Cuda;
using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Models;

namespace LazyLlm.Cli.Commands;

/// <summary><c>lazyllm kernels</c>: the CUDA programs of a model, compiled for any architecture. Needs NVRTC, and no GPU.</summary>
internal static class KernelsCommand
{
    private static readonly Option<string?> Model = new("--model", "-m") { Description = "Model folder whose shape counts; that of Llama 2 7B by default.", HelpName = "DIR", Recursive = true };

    private static readonly Option<string> Architecture = new("--arch") { Description = "Architecture, such as sm_80 or sm_90.", HelpName = "sm_XX", Recursive = true, DefaultValueFactory = _ => "sm_80" };

    private static readonly Option<TensorType?> Storage = new("--storage") { Description = "Number format of weights and K/V; the checkpoint's by default.", HelpName = "bfloat16|float16|float32", Recursive = true };

    public static Command Create(Terminal terminal)
    {
        var list = new Command("list", "List the programs and their variants.");
        list.SetAction(arguments => List(terminal, Programs(arguments, out _)));
        var compile = new Command("compile", "Compile them, and show what each kernel takes: registers, shared memory, stack and spills in bytes.");
        var strict = new Option<bool>("--no-spills") { Description = "Fail if a kernel has a stack or spills registers, or if the compiler does not say." };
        compile.Add(strict);
        compile.SetAction((arguments, cancellation) => Task.FromResult(Compile(terminal, arguments, arguments.GetValue(strict), cancellation)));
        var folder = new Option<string>("--out") { Description = "Folder for the sources, the PTX and the machine code (CUBIN).", HelpName = "DIR", Required = true };
        var dump = new Command("dump", "Write sources, PTX and machine code to a folder.") { folder };
        dump.SetAction((arguments, cancellation) => Task.FromResult(Dump(terminal, arguments, arguments.GetRequiredValue(folder), cancellation)));
        return new Command("kernels", "List, compile or dump the CUDA kernels of a model. Needs NVRTC, and no GPU.") { Model, Architecture, Storage, list, compile, dump };
    }

    private static IReadOnlyList<KernelProgram> Programs(ParseResult arguments, out ComputeCapability capability)
    {
        string architecture = arguments.GetValue(Architecture)!;
        if (!ComputeCapability.TryParse(architecture, out capability) || capability < ComputeCapability.Minimum)
        {
            throw new UsageException($"--arch: found '{architecture}', expected an architecture from sm_80 on.");
        }

        if (arguments.GetValue(Model) is not string path)
        {
            return ModelKernels.Programs(ModelShapes.Llama2, arguments.GetValue(Storage), capability);
        }

        using ModelFolder folder = ModelFolder.Open(path);
        return ModelKernels.Programs(folder.Config, arguments.GetValue(Storage), capability);
    }

    private static int List(Terminal terminal, IReadOnlyList<KernelProgram> programs)
    {
        foreach (KernelProgram program in programs)
        {
            terminal.Out.WriteLine(program.Name);
        }

        return ExitCode.Success;
    }

    private static int Compile(Terminal terminal, ParseResult arguments, bool noSpills, CancellationToken cancellation)
    {
        IReadOnlyList<KernelProgram> programs = Programs(arguments, out ComputeCapability capability);
        KernelCompiler compiler = Open(terminal, capability);
        var table = new TextTable();
        table.Add("kernel", "target", "registers", "shared", "stack", "spills");
        table.AddRule();
        var faults = new List<string>();
        foreach (CompiledKernel compiled in compiler.CompileAll(programs, cancellation: cancellation))
        {
            if (compiled.Usage.Count == 0)
            {
                faults.Add($"{compiled.Name}: the compiler's log does not say what its kernels take.");
                table.Add(compiled.Name, compiled.Target, "?", "?", "?", "?");
            }

            foreach (KernelUsage usage in compiled.Usage)
            {
                if (usage.StackBytes + usage.SpillBytes > 0)
                {
                    faults.Add($"{usage.Kernel} of {compiled.Name}: {usage.StackBytes} bytes of stack, {usage.SpillBytes} of spills.");
                }

                table.Add(usage.Kernel, compiled.Target, Number(usage.Registers), Number(usage.SharedBytes), Number(usage.StackBytes), Number(usage.SpillBytes));
            }
        }

        table.WriteTo(terminal.Out);
        if (!noSpills || faults.Count == 0)
        {
            return ExitCode.Success;
        }

        faults.ForEach(fault => terminal.Error.WriteLine($"lazyllm: {fault}"));
        return ExitCode.Failure;
    }

    private static int Dump(Terminal terminal, ParseResult arguments, string folder, CancellationToken cancellation)
    {
        IReadOnlyList<KernelProgram> programs = Programs(arguments, out ComputeCapability capability);
        KernelCompiler compiler = Open(terminal, capability);
        Directory.CreateDirectory(folder);
        foreach (KernelSourceFile source in compiler.Sources.All)
        {
            File.WriteAllText(Path.Combine(folder, source.Name), source.Text);
        }

        foreach (KernelProgram program in programs)
        {
            cancellation.ThrowIfCancellationRequested();
            CompiledKernel compiled = compiler.Compile(program);
            string name = Path.Combine(folder, $"{Path.GetFileNameWithoutExtension(program.Source)}-{compiled.Target}");
            File.WriteAllBytes(name + ".cubin", compiled.Image.ToArray());
            File.WriteAllText(name + ".ptx", compiler.CompileToPtx(program));
            terminal.Out.WriteLine(name + ".cubin");
            terminal.Out.WriteLine(name + ".ptx");
        }

        return ExitCode.Success;
    }

    private static KernelCompiler Open(Terminal terminal, ComputeCapability capability) =>
        KernelCompiler.Open(capability, KernelCache.Open(null, warning => terminal.Error.WriteLine($"lazyllm: {warning}")));

    private static string Number(int value) => value.ToString(CultureInfo.InvariantCulture);
}
