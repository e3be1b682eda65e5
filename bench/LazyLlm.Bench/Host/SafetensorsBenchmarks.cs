using System.Text;
using System.Text.Json;
using BenchmarkDotNet.Attributes;
using LazyLlm.Native.Models;

namespace LazyLlm.Bench.Host;

/// <summary>The header of a checkpoint in the shape of Llama 2 7B, read and checked; the baseline only reads it as JSON.</summary>
public class SafetensorsBenchmarks
{
    private byte[] _header = [];
    private long _fileLength;

    /// <summary>Writes the header.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        var text = new StringBuilder("{\"__metadata__\":{\"format\":\"pt\"}");
        ModelConfig config = ModelShapes.Llama2;
        long offset = 0;
        Add(WeightRole.Embedding, 0);
        for (int layer = 0; layer < config.LayerCount; layer++)
        {
            for (WeightRole role = WeightRole.AttentionNorm; role <= WeightRole.Down; role++)
            {
                Add(role, layer);
            }
        }

        Add(WeightRole.FinalNorm, 0);
        Add(WeightRole.OutputHead, 0);
        _header = Encoding.UTF8.GetBytes(text.Append('}').ToString());
        _fileLength = SafetensorsHeader.PrefixLength + _header.Length + offset;

        void Add(WeightRole role, int layer)
        {
            (int? rows, int columns) = SafetensorsWeights.ShapeOf(role, config);
            long end = offset + (2L * (rows ?? 1) * columns);
            text.Append($",\"{SafetensorsWeights.NameOf(role, layer)}\":{{\"dtype\":\"BF16\",\"shape\":[{(rows is null ? "" : $"{rows},")}{columns}],\"data_offsets\":[{offset},{end}]}}");
            offset = end;
        }
    }

    /// <summary>System.Text.Json, without a check.</summary>
    [Benchmark(Baseline = true)]
    public int JsonDocumentAlone()
    {
        using JsonDocument document = JsonDocument.Parse(_header);
        return document.RootElement.GetPropertyCount();
    }

    /// <summary>Ours, with every check.</summary>
    [Benchmark]
    public int ParseHeader() => SafetensorsHeader.Parse("model.safetensors", _header, _fileLength).Length;
}
