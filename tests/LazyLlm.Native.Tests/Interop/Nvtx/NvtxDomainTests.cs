using System.Diagnostics;
using LazyLlm.Native.Backends.Cuda.Execution;
using LazyLlm.Native.Interop.Nvtx;
using Xunit;

namespace LazyLlm.Native.Tests.Interop.Nvtx;

/// <summary>A profiler's library in C, named by the environment as Nsight Systems names its own, sees the ranges.</summary>
public sealed class NvtxDomainTests : IDisposable
{
    private const string Tool = """
        #include <stdint.h>
        #include <stdio.h>
        #include <stdlib.h>

        typedef void (*Function)(void);
        typedef const void *(*GetExportTable)(uint32_t);
        struct Callbacks { size_t size; int (*getModuleFunctionTable)(int, Function ***, unsigned *); };
        struct Attributes
        {
            uint16_t version, size;
            uint32_t category;
            int32_t colorType;
            uint32_t color;
            int32_t payloadType, reserved;
            int64_t payload;
            int32_t messageType;
            const char *message;
        };

        static void say(const char *kind, const char *text, long long number)
        {
            FILE *file = fopen(getenv("LAZYLLM_TEST_RANGES"), "a");
            fprintf(file, "%s %s %lld\n", kind, text, number);
            fclose(file);
        }

        static void *createDomain(const char *name) { say("domain", name, 0); return (void *)1; }
        static const char *registerString(void *domain, const char *text) { char *copy = malloc(100); snprintf(copy, 100, "%s", text); return copy; }
        static int push(void *domain, const struct Attributes *a)
        {
            say("push", a->messageType == 3 ? a->message : "?", a->payloadType == 2 ? a->payload : -1);
            return 0;
        }
        static int pop(void *domain) { say("pop", "", 0); return 0; }

        int InitializeInjectionNvtx2(GetExportTable getExportTable)
        {
            const struct Callbacks *callbacks = getExportTable(1);
            Function **table;
            unsigned size;
            if (!callbacks->getModuleFunctionTable(5, &table, &size) || size < 13)
                return 0;
            *table[12] = (Function)createDomain;
            *table[10] = (Function)registerString;
            *table[4] = (Function)push;
            *table[5] = (Function)pop;
            return 1;
        }
        """;

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("lazyllm-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public void A_profiler_named_by_the_environment_sees_stage_layer_and_operation()
    {
        string library = Build();
        string ranges = Path.Combine(_folder.FullName, "ranges.txt");
        using Process child = ChildProcess.Start(typeof(NvtxDomainTests), nameof(OpenRanges), ("NVTX_INJECTION64_PATH", library), ("LAZYLLM_TEST_RANGES", ranges));
        ChildProcess.WaitForSuccess(child);

        Assert.Equal(
            ["domain LazyLlm 0", "push stage 2", "push layer 12", "push attend_gathered -1", "pop  0", "pop  0", "pop  0"],
            File.ReadAllLines(ranges));
    }

    [Fact]
    public void A_scope_names_the_operation_and_takes_no_memory()
    {
        Assert.SkipWhen(NvtxDomain.IsEnabled, "A profiler is attached.");
        var layer = new OperationName("layer");
        var attend = new OperationName("attend_gathered");
        Assert.Equal("set-up", OperationScope.Describe());
        long before = 0;
        for (int i = 0; i < 2; i++)
        {
            before = GC.GetAllocatedBytesForCurrentThread();
            using (OperationScope.Open(layer, stage: 0, layer: 12))
            {
                using (OperationScope.Open(attend))
                {
                }
            }
        }

        Assert.Equal(before, GC.GetAllocatedBytesForCurrentThread());
        using (OperationScope.Open(layer, stage: 0, layer: 12))
        {
            Assert.Equal("layer (stage 0, layer 12)", OperationScope.Describe());
            using (OperationScope.Open(attend, layer: 13))
            {
                Assert.Equal("attend_gathered (stage 0, layer 13)", OperationScope.Describe());
            }

            Assert.Equal("layer (stage 0, layer 12)", OperationScope.Describe());
        }

        Assert.Equal("set-up", OperationScope.Describe());
    }

    /// <summary>The profiled process.</summary>
    [Fact(Explicit = true)]
    public void OpenRanges()
    {
        Assert.True(NvtxDomain.IsEnabled);
        using (OperationScope.Open(new OperationName("stage"), stage: 2))
        using (OperationScope.Open(new OperationName("layer"), layer: 12))
        using (OperationScope.Open(new OperationName("attend_gathered")))
        {
            Assert.Equal("attend_gathered (stage 2, layer 12)", OperationScope.Describe());
        }
    }

    private string Build()
    {
        string source = Path.Combine(_folder.FullName, "tool.c");
        string library = Path.Combine(_folder.FullName, "libtool.so");
        File.WriteAllText(source, Tool);
        try
        {
            using Process compiler = Process.Start("cc", ["-shared", "-fPIC", "-o", library, source]);
            compiler.WaitForExit();
            Assert.Equal(0, compiler.ExitCode);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Skip("The profiler's library is compiled by cc, which is not there.");
        }

        return library;
    }
}
