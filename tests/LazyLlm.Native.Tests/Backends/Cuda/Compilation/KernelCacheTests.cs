using LazyLlm.Native.Backends.Cuda.Compilation;
using LazyLlm.Native.Backends.Cuda.Execution;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Compilation;

[Collection(EnvironmentTests.Name)]
public sealed class KernelCacheTests : IDisposable
{
    private static readonly KernelProgram Add = new("add.cu", "WIDTH=4");
    private static readonly KernelProgram Multiply = new("multiply.cu");

    private readonly DirectoryInfo _root = Directory.CreateTempSubdirectory("lazyllm-");

    private string Folder => Path.Combine(_root.FullName, "cache");

    private static KernelSources Sources => new([new("add.cu", "add"), new("multiply.cu", "multiply"), new("types.cuh", "types")]);

    public void Dispose()
    {
        if (!OperatingSystem.IsWindows() && Directory.Exists(Folder))
        {
            File.SetUnixFileMode(Folder, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        _root.Delete(recursive: true);
    }

    [Fact]
    public void A_second_process_finds_what_the_first_compiled()
    {
        CompiledKernel first = Compiler(new FakeToolchain()).Compile(Add);
        var toolchain = new FakeToolchain();
        CompiledKernel second = Compiler(toolchain).Compile(Add);

        Assert.Equal(0, toolchain.Compilations);
        Assert.False(first.FromCache);
        Assert.True(second.FromCache);
        Assert.Equal(first.Image.ToArray(), second.Image.ToArray());
        Assert.Equal(("add.cu[WIDTH=4]", "sm_80", "log of add.cu[WIDTH=4]"), (second.Name, second.Target, second.Log));
    }

    public static TheoryData<string> Damages => ["truncated", "emptied", "zeroed", "flipped", "longer", "swapped", "other version", "garbage"];

    [Theory]
    [MemberData(nameof(Damages))]
    public void A_damaged_entry_is_compiled_again_and_mended(string damage)
    {
        KernelCompiler compiler = Compiler(new FakeToolchain());
        byte[] expected = compiler.Compile(Add).Image.ToArray();
        string path = PathOf(compiler, Add);
        compiler.Compile(Multiply);
        byte[] content = File.ReadAllBytes(path);
        File.WriteAllBytes(path, damage switch
        {
            "truncated" => content[..^1],
            "emptied" => [],
            "zeroed" => new byte[content.Length],
            "flipped" => [.. content[..^40], (byte)(content[^40] ^ 1), .. content[^39..]],
            "longer" => [.. content, 0],
            "swapped" => File.ReadAllBytes(PathOf(compiler, Multiply)),
            "other version" => [.. "LAZYKRN0"u8, .. content[8..]],
            _ => "not an entry at all"u8.ToArray(),
        });

        var toolchain = new FakeToolchain();
        KernelCompiler again = Compiler(toolchain);

        Assert.Equal(expected, again.Compile(Add).Image.ToArray());
        Assert.Equal(1, toolchain.Compilations);
        Assert.Null(again.Cache.Problem);
        Assert.True(Compiler(new FakeToolchain()).Compile(Add).FromCache);
    }

    [Fact]
    public void Every_single_flipped_bit_is_noticed()
    {
        KernelCompiler compiler = Compiler(new FakeToolchain { ImageBytes = 40 });
        compiler.Compile(Add);
        byte[] key = compiler.Key(Add);
        byte[] content = File.ReadAllBytes(PathOf(compiler, Add));
        Assert.NotNull(KernelCacheFile.Decode(content, key));
        for (int bit = 0; bit < content.Length * 8; bit++)
        {
            content[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.Null(KernelCacheFile.Decode(content, key));
            content[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Fact]
    public void The_key_depends_on_everything_that_shapes_the_code()
    {
        KernelCompiler plain = Compiler(new FakeToolchain());
        string[] keys =
        [
            Hex(plain.Key(Add)),
            Hex(plain.Key(Multiply)),
            Hex(plain.Key(new KernelProgram("add.cu"))),
            Hex(plain.Key(new KernelProgram("add.cu", "WIDTH=8"))),
            Hex(plain.Key(new KernelProgram("add.cu", "WIDTH=4", "DEEP"))),
            Hex(plain.Key(new KernelProgram("add.cu", "DEEP", "WIDTH=4"))),
            Hex(Compiler(new FakeToolchain { Signature = "Fake 1.1" }).Key(Add)),
            Hex(Compiler(new FakeToolchain(), capability: new(9, 0)).Key(Add)),
            Hex(Compiler(new FakeToolchain(), new KernelSources([new("add.cu", "add!"), new("types.cuh", "types")])).Key(Add)),
            Hex(Compiler(new FakeToolchain(), new KernelSources([new("add.cu", "add"), new("types.cuh", "types!")])).Key(Add)),
            Hex(Compiler(new FakeToolchain(), new KernelSources([new("add.cu", "add"), new("type.cuh", "stypes")])).Key(Add)),
            Hex(Compiler(new FakeToolchain(), new KernelSources([new("add.cu", "add")])).Key(Add)),
        ];

        Assert.Equal(keys.Length, keys.Distinct().Count());
        Assert.Equal(keys[0], Hex(Compiler(new FakeToolchain()).Key(new KernelProgram("add.cu", "WIDTH=4"))));
    }

    [Fact]
    public void Sources_lie_beside_the_entries_for_profilers()
    {
        var toolchain = new FakeToolchain();
        Compiler(toolchain).Compile(Add);

        string path = Assert.Single(toolchain.Paths);
        Assert.StartsWith(Folder, path, StringComparison.Ordinal);
        Assert.Equal("add", File.ReadAllText(path));
        Assert.Equal("types", File.ReadAllText(Path.Combine(Path.GetDirectoryName(path)!, "types.cuh")));
    }

    [Fact]
    public void The_folder_and_the_entries_are_the_users_own()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows has no file modes.");
            return;
        }

        Directory.CreateDirectory(Folder);
        File.SetUnixFileMode(Folder, (UnixFileMode)0b111_111_111);
        KernelCompiler compiler = Compiler(new FakeToolchain());
        compiler.Compile(Add);

        Assert.Equal((UnixFileMode)0b111_000_000, File.GetUnixFileMode(Folder));
        Assert.Equal((UnixFileMode)0b110_000_000, File.GetUnixFileMode(PathOf(compiler, Add)));
        Assert.Null(compiler.Cache.Problem);
    }

    [Fact]
    public void Another_users_folder_is_refused()
    {
        if (!OperatingSystem.IsLinux() || Environment.UserName != "root")
        {
            Assert.Skip("Only root can give a folder away.");
        }

        Directory.CreateDirectory(Folder);
        GiveAway(Folder);
        var warnings = new List<string>();
        KernelCompiler compiler = Compiler(new FakeToolchain(), warn: warnings.Add);
        compiler.Compile(Add);

        Assert.Null(compiler.Cache.Folder);
        Assert.Contains("belongs to another user", Assert.Single(warnings), StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(Folder));
    }

    [Fact]
    public void Where_nothing_can_be_written_there_is_one_warning_and_no_failure()
    {
        // A file where the folder should be: it cannot be made, whoever runs this.
        File.WriteAllText(Folder, "in the way");
        var warnings = new List<string>();
        var toolchain = new FakeToolchain();
        KernelCompiler compiler = Compiler(toolchain, warn: warnings.Add);
        CompiledKernel once = compiler.Compile(Add);
        CompiledKernel twice = compiler.Compile(Add);
        compiler.Compile(Multiply);

        Assert.Same(once, twice);
        Assert.Equal(2, toolchain.Compilations);
        Assert.Equal("add.cu", toolchain.Paths[0]);
        string warning = Assert.Single(warnings);
        Assert.Equal(compiler.Cache.Problem, warning);
        Assert.Contains(Folder, warning, StringComparison.Ordinal);
        Assert.Empty(compiler.Cache.List());
        Assert.Equal((0, 0L), compiler.Cache.Clear());
    }

    [Fact]
    public void A_folder_that_vanishes_or_fills_up_while_in_use_does_no_harm()
    {
        var warnings = new List<string>();
        KernelCompiler compiler = Compiler(new FakeToolchain(), warn: warnings.Add);
        compiler.Compile(Add);
        Directory.Delete(Folder, recursive: true);

        Assert.False(compiler.Compile(Multiply).FromCache);
        Assert.False(compiler.Compile(new KernelProgram("multiply.cu", "X")).FromCache);
        Assert.Contains("could not be kept", Assert.Single(warnings), StringComparison.Ordinal);
    }

    [Fact]
    public void Without_a_home_the_default_folder_is_absent()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows asks the shell, not the environment.");
        }

        string[] names = [KernelCache.FolderVariable, "XDG_CACHE_HOME", "HOME"];
        string?[] before = [.. names.Select(Environment.GetEnvironmentVariable)];
        try
        {
            Array.ForEach(names, name => Environment.SetEnvironmentVariable(name, null));
            Assert.Null(KernelCache.DefaultFolder());
            var warnings = new List<string>();
            KernelCache cache = KernelCache.Open(warn: warnings.Add);
            Assert.Null(cache.Folder);
            Assert.Contains(KernelCache.FolderVariable, Assert.Single(warnings), StringComparison.Ordinal);

            Environment.SetEnvironmentVariable("HOME", "/home/somebody");
            Assert.Equal("/home/somebody/.cache/lazyllm/kernels", KernelCache.DefaultFolder());
            Environment.SetEnvironmentVariable("XDG_CACHE_HOME", "/caches");
            Assert.Equal("/caches/lazyllm/kernels", KernelCache.DefaultFolder());
            Environment.SetEnvironmentVariable(KernelCache.FolderVariable, "/chosen");
            Assert.Equal("/chosen", KernelCache.DefaultFolder());
        }
        finally
        {
            for (int i = 0; i < names.Length; i++)
            {
                Environment.SetEnvironmentVariable(names[i], before[i]);
            }
        }
    }

    [Fact]
    public void Leftovers_of_killed_writers_go_when_they_are_old()
    {
        Compiler(new FakeToolchain()).Compile(Add);
        string old = Path.Combine(Folder, $"{new string('0', 64)}.kernel.{new string('a', 32)}.tmp");
        string young = Path.Combine(Folder, $"{new string('1', 64)}.kernel.{new string('a', 32)}.tmp");
        File.WriteAllText(old, "half an ent");
        File.WriteAllText(young, "half an ent");
        File.SetLastWriteTimeUtc(old, DateTime.UtcNow.AddHours(-2));

        KernelCache cache = KernelCache.Open(Folder);

        Assert.False(File.Exists(old));
        Assert.True(File.Exists(young));
        Assert.Single(cache.List());
    }

    [Fact]
    public void List_and_clear_count_every_file()
    {
        KernelCompiler compiler = Compiler(new FakeToolchain());
        compiler.Compile(Add);
        compiler.Compile(Multiply);
        string damaged = Path.Combine(Folder, new string('0', 64) + ".kernel");
        File.WriteAllText(damaged, "?");
        // Another's under this name: whole, and damaged all the same.
        string swapped = Path.Combine(Folder, new string('1', 64) + ".kernel");
        File.Copy(PathOf(compiler, Add), swapped);

        IReadOnlyList<KernelCacheEntry> entries = compiler.Cache.List();
        Assert.Equal([null, null, "add.cu[WIDTH=4]", "multiply.cu"], entries.Select(entry => entry.Name));
        Assert.Equal([damaged, swapped], entries.Take(2).Select(entry => entry.Path).Order());
        Assert.Equal("sm_80", entries[2].Target);
        Assert.All(entries, entry => Assert.Equal(new FileInfo(entry.Path).Length, entry.Bytes));

        long sources = Sources.All.Sum(file => (long)file.Text.Length);
        Assert.Equal((7, entries.Sum(entry => entry.Bytes) + sources), compiler.Cache.Clear());
        Assert.Empty(Directory.GetFileSystemEntries(Folder));
        Assert.Equal((0, 0L), compiler.Cache.Clear());
    }

    [Fact]
    public void What_is_not_the_caches_own_stays()
    {
        Directory.CreateDirectory(Path.Combine(Folder, "sources", "mine"));
        string[] others = [Path.Combine(Folder, "notes.tmp"), Path.Combine(Folder, "linux.kernel"), Path.Combine(Folder, "sources", "mine", "a.cu")];
        foreach (string path in others)
        {
            File.WriteAllText(path, "precious");
            File.SetLastWriteTimeUtc(path, DateTime.UtcNow.AddYears(-1));
        }

        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(Folder, (UnixFileMode)0b111_000_000);
        }

        KernelCompiler compiler = Compiler(new FakeToolchain());
        compiler.Compile(Add);
        Assert.Single(compiler.Cache.List());
        Assert.Equal(4, compiler.Cache.Clear().Count);
        Assert.All(others, path => Assert.Equal("precious", File.ReadAllText(path)));
        Assert.Empty(compiler.Cache.List());
    }

    [Fact]
    public void A_folder_that_others_use_too_keeps_its_mode_and_is_not_used()
    {
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows has no file modes.");
            return;
        }

        const UnixFileMode Open = (UnixFileMode)0b111_101_101;
        Directory.CreateDirectory(Folder);
        File.WriteAllText(Path.Combine(Folder, "letter.txt"), "dear all");
        File.SetUnixFileMode(Folder, Open);
        var warnings = new List<string>();
        KernelCompiler compiler = Compiler(new FakeToolchain(), warn: warnings.Add);
        compiler.Compile(Add);

        Assert.Null(compiler.Cache.Folder);
        Assert.Contains(Folder, Assert.Single(warnings), StringComparison.Ordinal);
        Assert.Equal(Open, File.GetUnixFileMode(Folder));
        Assert.Single(Directory.GetFileSystemEntries(Folder));
    }

    [Fact]
    public void Another_users_entry_is_not_taken()
    {
        if (!OperatingSystem.IsLinux() || Environment.UserName != "root")
        {
            Assert.Skip("Only root can give a file away.");
        }

        KernelCompiler compiler = Compiler(new FakeToolchain());
        compiler.Compile(Add);
        GiveAway(PathOf(compiler, Add));

        var toolchain = new FakeToolchain();
        Assert.False(Compiler(toolchain).Compile(Add).FromCache);
        Assert.True(Compiler(new FakeToolchain()).Compile(Add).FromCache);
    }

    [Fact]
    public void Looking_at_a_cache_makes_and_changes_nothing()
    {
        KernelCache absent = KernelCache.At(Folder);
        Assert.Empty(absent.List());
        Assert.Equal((0, 0L), absent.Clear());
        Assert.False(Directory.Exists(Folder));

        Compiler(new FakeToolchain()).Compile(Add);
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(Folder, (UnixFileMode)0b111_101_101);
        }

        Assert.Equal("add.cu[WIDTH=4]", Assert.Single(KernelCache.At(Folder).List()).Name);
        if (!OperatingSystem.IsWindows())
        {
            Assert.Equal((UnixFileMode)0b111_101_101, File.GetUnixFileMode(Folder));
        }
    }

    private static void GiveAway(string path)
    {
        using var chown = System.Diagnostics.Process.Start("chown", ["12345", path]);
        chown.WaitForExit();
        Assert.Equal(0, chown.ExitCode);
    }

    private static string Hex(byte[] key) => Convert.ToHexString(key);

    private static string PathOf(KernelCompiler compiler, KernelProgram program) =>
        Path.Combine(compiler.Cache.Folder!, Convert.ToHexStringLower(compiler.Key(program)) + ".kernel");

    private KernelCompiler Compiler(FakeToolchain toolchain, KernelSources? sources = null, ComputeCapability? capability = null, Action<string>? warn = null) =>
        new(toolchain, sources ?? Sources, KernelCache.Open(Folder, warn), capability ?? new(8, 0));
}
