using System.Runtime.InteropServices;
using System.Text;
using LazyLlm.Native.Models;
using LazyLlm.Testing;
using Xunit;

namespace LazyLlm.Native.Tests.Models;

public sealed class SafetensorsWriterTests : IDisposable
{
    private readonly ScratchFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void What_is_written_reads_back()
    {
        var writer = new SafetensorsWriter();
        writer.Add("b", TensorType.Float32, [2, 3], stream => stream.Write(MemoryMarshal.AsBytes<float>([1, 2, 3, 4, 5, 6])));
        writer.Add("ünï \"quoted\"", TensorType.Float16, [1], stream => stream.Write([7, 8]));
        writer.Add("scalar", TensorType.BFloat16, [], stream => stream.Write([9, 10]));
        writer.Add("none", TensorType.Float32, [0, 5], _ => { });
        writer.Save(_folder["x.safetensors"]);

        using SafetensorsFile file = SafetensorsFile.Open(_folder["x.safetensors"]);
        Assert.Equal(["b", "none", "scalar", "ünï \"quoted\""], file.Tensors.Select(tensor => tensor.Name).Order(StringComparer.Ordinal));
        SafetensorsTensor b = file.Tensors.Single(tensor => tensor.Name == "b");
        Assert.Equal("[2, 3]", b.ShapeText);
        var numbers = new float[2];
        file.Read(b, 16, MemoryMarshal.AsBytes(numbers.AsSpan()));
        Assert.Equal([5f, 6f], numbers);
    }

    [Fact]
    public void Wide_numbers_come_first_then_names_and_the_data_start_on_8_bytes()
    {
        var writer = new SafetensorsWriter();
        foreach ((string name, TensorType type) in new[] { ("d", TensorType.Float16), ("c", TensorType.BFloat16), ("z", TensorType.Float32), ("a", TensorType.Float32) })
        {
            writer.Add(name, type, [1], stream => stream.Write(new byte[type == TensorType.Float32 ? 4 : 2]));
        }

        writer.Save(_folder["x.safetensors"]);
        using SafetensorsFile file = SafetensorsFile.Open(_folder["x.safetensors"]);
        Assert.Equal(["a", "z", "c", "d"], file.Tensors.Select(tensor => tensor.Name));
        Assert.Equal(0, file.Tensors[0].Offset % 8);
        Assert.Contains("\"__metadata__\":{\"format\":\"pt\"}", Encoding.UTF8.GetString(File.ReadAllBytes(file.Path)), StringComparison.Ordinal);
    }

    [Fact]
    public void A_failed_write_leaves_the_older_file_and_nothing_else()
    {
        File.WriteAllText(_folder["x.safetensors"], "older");
        var writer = new SafetensorsWriter();
        writer.Add("a", TensorType.Float32, [2], stream => stream.Write(new byte[7]));
        var error = Assert.Throws<InvalidOperationException>(() => writer.Save(_folder["x.safetensors"]));
        Assert.Contains("7 bytes", error.Message, StringComparison.Ordinal);
        Assert.Equal("older", File.ReadAllText(_folder["x.safetensors"]));
        Assert.Single(Directory.GetFiles(_folder.Path));
    }
}
