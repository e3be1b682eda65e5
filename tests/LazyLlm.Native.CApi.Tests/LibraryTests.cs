using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;

namespace LazyLlm.Native.CApi.Tests;

/// <summary>The published library, its header and the samples, from outside.</summary>
public sealed partial class LibraryTests(PublishedLibrary library)
{
    private static string Header => File.ReadAllText(Path.Combine(RepositoryFiles.Root, "src", "LazyLlm.Native.CApi", "include", "lazyllm.h"));

    private static string TestSource(string name) => Path.Combine(RepositoryFiles.Root, "tests", "LazyLlm.Native.CApi.Tests", name);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_header_declares_what_the_library_exports_and_nothing_else(bool choosing)
    {
        string path = choosing ? Path.Combine(library.RequireChoosing(), "liblazyllm.so") : library.Require();
        Assert.SkipUnless(PublishedLibrary.Finds("nm"), "There is no nm.");
        (int code, string output) = PublishedLibrary.Run("nm", ["-D", "--defined-only", path]);
        Assert.True(code == 0, output);
        // The symbol version is no symbol, and the debug header is data that debuggers of NativeAOT programs look for.
        string[] exported = [.. output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => !line.Contains(" A ", StringComparison.Ordinal)).Select(line => line.Split(' ')[^1].Split('@')[0]).Order(StringComparer.Ordinal)];
        string declarations = Comments().Replace(Header, "");
        string[] declared = [.. Declarations().Matches(declarations).Select(match => match.Groups[1].Value).Order(StringComparer.Ordinal)];
        Assert.NotEmpty(declared);
        Assert.Equal(declared, exported.Where(name => name != "DotNetRuntimeDebugHeader"));
    }

    [Fact]
    public void The_structs_of_the_header_are_those_of_the_library()
    {
        var source = new StringBuilder("#include \"lazyllm.h\"\n#include <stdio.h>\nint main(void) {\n");
        var expected = new StringBuilder();
        void Add<T>(string name)
            where T : unmanaged
        {
            source.Append($"printf(\"{name} %zu\\n\", sizeof({name}));\n");
            expected.Append($"{name} {Marshal.SizeOf<T>()}\n");
            foreach (System.Reflection.FieldInfo field in typeof(T).GetFields())
            {
                string cName = Capitals().Replace(field.Name, "_$0").ToLowerInvariant();
                source.Append($"printf(\"{cName} %zu\\n\", offsetof({name}, {cName}));\n");
                expected.Append($"{cName} {Marshal.OffsetOf<T>(field.Name)}\n");
            }
        }

        Add<TextLayout>("lazyllm_text");
        Add<EngineOptionsLayout>("lazyllm_engine_options");
        Add<EngineInfoLayout>("lazyllm_engine_info");
        Add<StepOptionsLayout>("lazyllm_step_options");
        Add<SamplingLayout>("lazyllm_sampling");
        Add<TokenLayout>("lazyllm_token");
        Add<StatisticsLayout>("lazyllm_statistics");
        library.Require();
        string file = library.Scratch("layout.c");
        File.WriteAllText(file, source.Append("return 0; }\n").ToString());
        Assert.Equal((0, expected.ToString()), PublishedLibrary.Run(library.Compile(file), []));
    }

    [Fact]
    public void The_result_codes_of_the_header_are_those_of_the_library()
    {
        string[] header = [.. Codes().Matches(Header).Select(match => $"{match.Groups[1].Value.Replace("_", "", StringComparison.Ordinal)}={match.Groups[2].Value}".ToUpperInvariant())];
        Assert.Equal(Enum.GetValues<ResultCode>().Select(code => $"{code}={(int)code}".ToUpperInvariant()), header);
    }

    [Theory]
    [InlineData("none", false)]
    [InlineData("4:0.5", true)]
    public void The_C_sample_answers(string schedule, bool prunes)
    {
        string program = library.Compile(Path.Combine(RepositoryFiles.Root, "samples", "c", "generate.c"));
        (int code, string output) = PublishedLibrary.Run(program, [RepositoryFiles.Demo, schedule]);
        Assert.True(code == 0, output);
        string[] lines = output.Split('\n');
        Assert.Equal(" attic", lines[0]);
        Match pairs = Pairs().Match(lines[1]);
        Assert.Equal(prunes, int.Parse(pairs.Groups[1].Value) < int.Parse(pairs.Groups[2].Value));
    }

    [Theory]
    [InlineData("none")]
    [InlineData("4:0.5")]
    public void The_Python_sample_answers(string schedule)
    {
        string path = library.Require();
        Assert.SkipUnless(PublishedLibrary.Finds("python3"), "There is no python3.");
        Assert.Equal((0, " attic\n"), PublishedLibrary.Run("python3", [Path.Combine(RepositoryFiles.Root, "samples", "python", "generate.py"), path, RepositoryFiles.Demo, schedule]));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Misuse_gets_an_error_and_never_a_crash(bool choosing)
    {
        string program = library.Compile(TestSource("faults.c"), choosing ? library.RequireChoosing() : null);
        Assert.Equal((0, "0 failures\n"), PublishedLibrary.Run(program, [RepositoryFiles.Demo]));
    }

    [Fact]
    public void Where_no_build_can_be_loaded_every_call_says_so()
    {
        string folder = Directory.CreateDirectory(library.Scratch("alone")).FullName;
        File.Copy(Path.Combine(library.RequireChoosing(), "liblazyllm.so"), Path.Combine(folder, "liblazyllm.so"));
        (int code, string output) = PublishedLibrary.Run(library.Compile(Path.Combine(RepositoryFiles.Root, "samples", "c", "generate.c"), folder), [RepositoryFiles.Demo]);
        Assert.Equal(1, code);
        Assert.StartsWith($"error {(int)ResultCode.Installation}: ", output, StringComparison.Ordinal);
        Assert.Contains(folder, output, StringComparison.Ordinal);
    }

    [Fact]
    public void A_build_of_another_ABI_version_is_not_used()
    {
        string folder = Directory.CreateDirectory(library.Scratch("mixed")).FullName;
        File.Copy(Path.Combine(library.RequireChoosing(), "liblazyllm.so"), Path.Combine(folder, "liblazyllm.so"), overwrite: true);
        string stub = Path.Combine(folder, "stub.c");
        File.WriteAllLines(stub, Declarations().Matches(Comments().Replace(Header, "")).Select(match => match.Groups[1].Value)
            .Select(name => name == "lazyllm_abi_version" ? $"unsigned {name}(void) {{ return 1000; }}" : $"void *{name}(void) {{ return 0; }}"));
        foreach (string level in (ReadOnlySpan<string>)["x86-64-v2", "x86-64-v3", "x86-64-v4"])
        {
            Assert.Equal((0, ""), PublishedLibrary.Run("cc", ["-shared", "-fPIC", stub, "-o", Path.Combine(folder, $"liblazyllm-{level}.so")]));
        }

        (int code, string output) = PublishedLibrary.Run(library.Compile(Path.Combine(RepositoryFiles.Root, "samples", "c", "generate.c"), folder), [RepositoryFiles.Demo]);
        Assert.Equal(1, code);
        Assert.StartsWith($"error {(int)ResultCode.Installation}: ", output, StringComparison.Ordinal);
        Assert.Contains("has ABI version 1000, expected 1", output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("reload")]
    [InlineData("open")]
    [InlineData("busy")]
    [InlineData("atexit")]
    public void Ends_come_in_any_order(string order)
    {
        string path = library.Require();
        string program = library.Compile(TestSource("lifetime.c"));
        foreach (string loaded in (ReadOnlySpan<string>)[path, Path.Combine(library.RequireChoosing(), "liblazyllm.so")])
        {
            // An end that never comes is one too.
            Assert.Equal((0, ""), PublishedLibrary.Run("timeout", ["120", program, loaded, RepositoryFiles.Demo, order]));
        }
    }

    [Theory]
    [InlineData("Nehalem", "x86-64-v2")]
    [InlineData("max", "x86-64-v3")]
    public void A_lesser_processor_gets_the_build_for_it(string processor, string level)
    {
        string program = library.Compile(Path.Combine(RepositoryFiles.Root, "samples", "c", "generate.c"), library.RequireChoosing());
        Assert.SkipUnless(PublishedLibrary.Finds("qemu-x86_64"), "There is no qemu-x86_64 to pretend to be another processor.");
        (int code, string output) = PublishedLibrary.Run("qemu-x86_64", ["-cpu", processor, "-E", "LD_DEBUG=files", program, RepositoryFiles.Demo, "4:0.5"]);
        Assert.True(code == 0, output);
        Assert.Contains(" attic\n", output, StringComparison.Ordinal);
        Assert.Contains($"/liblazyllm-{level}.so", output, StringComparison.Ordinal);
        Assert.Single(Levels().Matches(output).Select(match => match.Value).Distinct());
    }

    [Fact]
    public void Signals_stay_the_hosts()
    {
        string folder = library.RequireChoosing();
        Assert.Equal((0, ""), PublishedLibrary.Run("timeout", ["120", library.Compile(TestSource("lifetime.c"), folder), Path.Combine(folder, "liblazyllm.so"), RepositoryFiles.Demo, "signals"]));
    }

    [GeneratedRegex(@"/\*.*?\*/", RegexOptions.Singleline)]
    private static partial Regex Comments();

    [GeneratedRegex(@"^(?:lazyllm_result|uint32_t|int32_t|void|const char \*) ?(lazyllm_\w+)\(", RegexOptions.Multiline)]
    private static partial Regex Declarations();

    [GeneratedRegex("(?<!^)[A-Z]")]
    private static partial Regex Capitals();

    [GeneratedRegex(@"LAZYLLM_(?:ERROR_)?((?<=ERROR_)\w+|OK) = (\d+)")]
    private static partial Regex Codes();

    [GeneratedRegex(@"liblazyllm-x86-64-v\d")]
    private static partial Regex Levels();

    [GeneratedRegex(@"(\d+) of (\d+) ")]
    private static partial Regex Pairs();
}
