using System.Diagnostics;
using LazyLlm.Native.Backends.Cuda.Compilation;
using Xunit;

namespace LazyLlm.Native.Tests.Backends.Cuda.Compilation;

/// <summary>Real processes share a cache: this test program starts itself.</summary>
public sealed class KernelCacheProcessTests : IDisposable
{
    private const string FolderVariable = "LAZYLLM_TEST_CACHE";
    private const string RoundsVariable = "LAZYLLM_TEST_ROUNDS";
    private const int Programs = 8;
    private const int ImageBytes = 1 << 20;

    private readonly DirectoryInfo _root = Directory.CreateTempSubdirectory("lazyllm-");

    public void Dispose() => _root.Delete(recursive: true);

    [Fact]
    public void Two_processes_at_once_leave_whole_entries()
    {
        using Process first = StartWriter(rounds: 5);
        using Process second = StartWriter(rounds: 5);
        ChildProcess.WaitForSuccess(first);
        ChildProcess.WaitForSuccess(second);

        Assert.Empty(Directory.GetFileSystemEntries(_root.FullName, "*.tmp"));
        AssertAllWhole(Programs);
    }

    [Fact]
    public void A_killed_writer_leaves_no_broken_entry()
    {
        using (Process writer = StartWriter(rounds: int.MaxValue))
        {
            // Killed while it holds a temporary file, as far as that can be arranged.
            var patience = Stopwatch.StartNew();
            while (Directory.GetFiles(_root.FullName, "*.tmp").Length == 0 && !writer.HasExited)
            {
                Assert.True(patience.Elapsed < TimeSpan.FromSeconds(60), "The writer wrote nothing.");
                Thread.Sleep(1);
            }

            writer.Kill();
            writer.WaitForExit();
        }

        foreach (string leftover in Directory.GetFiles(_root.FullName, "*.tmp"))
        {
            File.SetLastWriteTimeUtc(leftover, DateTime.UtcNow.AddDays(-1));
        }

        KernelCompiler compiler = Compiler(new FakeToolchain { ImageBytes = ImageBytes });
        Assert.All(compiler.Cache.List(), entry => Assert.NotNull(entry.Name));
        Assert.Empty(Directory.GetFiles(_root.FullName, "*.tmp"));
        WriteAll(compiler);
        AssertAllWhole(Programs);
    }

    /// <summary>The other process: runs only when it is asked for by name.</summary>
    [Fact(Explicit = true)]
    public void Writer()
    {
        string folder = Environment.GetEnvironmentVariable(FolderVariable) ?? throw new InvalidOperationException($"{FolderVariable} is not set.");
        int rounds = int.Parse(Environment.GetEnvironmentVariable(RoundsVariable)!, System.Globalization.CultureInfo.InvariantCulture);
        for (int round = 0; round < rounds; round++)
        {
            KernelCompiler compiler = Compiler(new FakeToolchain { ImageBytes = ImageBytes }, folder);
            WriteAll(compiler);

            // The entries of half the programs go, so that both processes write the same ones again and again.
            foreach (KernelProgram program in All().Where((_, index) => index % 2 == 0))
            {
                compiler.Cache.Remove(compiler.Key(program));
            }
        }

        WriteAll(Compiler(new FakeToolchain { ImageBytes = ImageBytes }, folder));
    }

    private static IEnumerable<KernelProgram> All() => Enumerable.Range(0, Programs).Select(number => new KernelProgram("add.cu", $"N={number}"));

    private static void WriteAll(KernelCompiler compiler)
    {
        foreach (KernelProgram program in All())
        {
            if (!compiler.Compile(program).Image.Span.SequenceEqual(compiler.CompileFresh(program).Image.Span))
            {
                throw new InvalidDataException($"{program} came back with the wrong code.");
            }
        }
    }

    private KernelCompiler Compiler(FakeToolchain toolchain, string? folder = null) =>
        new(toolchain, new KernelSources([new("add.cu", "add")]), KernelCache.Open(folder ?? _root.FullName), new(8, 0));

    private void AssertAllWhole(int count)
    {
        IReadOnlyList<KernelCacheEntry> entries = KernelCache.Open(_root.FullName).List();
        Assert.Equal(count, entries.Count);
        Assert.All(entries, entry => Assert.NotNull(entry.Name));
    }

    private Process StartWriter(int rounds) => ChildProcess.Start(
        typeof(KernelCacheProcessTests),
        nameof(Writer),
        (FolderVariable, _root.FullName),
        (RoundsVariable, rounds.ToString(System.Globalization.CultureInfo.InvariantCulture)));
}
