using System.Buffers.Binary;
using System.Text;
using FsCheck;
using FsCheck.Fluent;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Models;
using Xunit;
using static LazyLlm.Native.Tests.Models.SafetensorsBytes;

namespace LazyLlm.Native.Tests.Models;

public class SafetensorsHeaderTests
{
    private static readonly string OneFloat = Tensor("a", "F32", "[1]", 0, 4);

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(7)]
    public void R1_a_file_under_8_bytes_is_refused(int length) => AssertRefused(new byte[length], $"has {length} bytes");

    [Theory]
    [InlineData(ulong.MaxValue)]
    [InlineData(1UL << 63)]
    [InlineData(100_000_001UL)]
    public void R2_R3_a_header_over_100_MB_is_refused(ulong length)
    {
        byte[] file = new byte[16];
        BinaryPrimitives.WriteUInt64LittleEndian(file, length);
        AssertRefused(file, $"{length:N0}", "100,000,000");
    }

    [Fact]
    public void R3_a_header_of_just_100_MB_of_mostly_spaces_is_read_within_its_own_memory()
    {
        byte[] header = new byte[SafetensorsHeader.MaxLength];
        header.AsSpan().Fill((byte)' ');
        "{}"u8.CopyTo(header.AsSpan(header.Length / 2));
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Empty(SafetensorsHeader.Parse(SafetensorsBytes.FileName, header, header.Length + 8L));
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1 << 20);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(8)]
    [InlineData(1_000)]
    public void R4_a_header_that_ends_past_the_file_is_refused(int tooMany)
    {
        byte[] file = FileWith("{}");
        BinaryPrimitives.WriteUInt64LittleEndian(file, (ulong)(2 + tooMany));
        AssertRefused(file, "the file ends after 10");
    }

    [Fact]
    public void R4_a_header_length_that_is_one_short_is_refused()
    {
        byte[] file = FileWith($"{{{OneFloat}}}", 4);
        BinaryPrimitives.WriteUInt64LittleEndian(file, BinaryPrimitives.ReadUInt64LittleEndian(file) - 1);
        AssertRefused(file, "not valid JSON");
    }

    [Theory]
    [InlineData(new byte[] { (byte)'{', (byte)'"', 0xFF, (byte)'"', (byte)':', (byte)'0', (byte)'}' })]
    [InlineData(new byte[] { (byte)'{', (byte)'"', 0xED, 0xA0, 0x80, (byte)'"', (byte)':', (byte)'0', (byte)'}' })]
    [InlineData(new byte[] { (byte)'{', 0xC0, 0xAF, (byte)'}' })]
    public void R5_a_header_that_is_not_UTF8_is_refused(byte[] header) => AssertRefused(FileWith(header), "not UTF-8");

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("{")]
    [InlineData("{}}")]
    [InlineData("{} {}")]
    [InlineData("\ufeff{}")]
    [InlineData("{}\0")]
    [InlineData("{,}")]
    [InlineData("{} // done")]
    [InlineData("{/* */}")]
    [InlineData("{'a':1}")]
    public void R6_a_header_that_is_not_strict_JSON_is_refused(string header) => AssertRefused(header, 0, "not valid JSON");

    [Fact]
    public void R6_a_trailing_comma_is_refused() => AssertRefused($"{{{OneFloat},}}", 4, "not valid JSON");

    [Theory]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("3")]
    [InlineData("\"a\"")]
    public void R6_a_header_that_is_no_object_is_refused(string header) => AssertRefused(header, 0, "expected an object");

    [Theory]
    [InlineData(65)]
    [InlineData(200)]
    [InlineData(100_000)]
    public void R6_deep_nesting_is_refused(int depth) =>
        AssertRefused($"{{\"a\":{{\"x\":{new string('[', depth)}{new string(']', depth)}}}}}", 0, "not valid JSON");

    [Theory]
    [InlineData("null", "null")]
    [InlineData("[]", "an array")]
    [InlineData("7", "a number")]
    [InlineData("\"F32\"", "a string")]
    [InlineData("true", "true or false")]
    public void R6_a_tensor_that_is_no_object_is_refused(string value, string found) =>
        AssertRefused($"{{\"a\":{value}}}", 0, "tensor \"a\"", found, "expected an object");

    [Theory]
    [InlineData("\"shape\":[],\"data_offsets\":[0,4]", "dtype")]
    [InlineData("\"dtype\":\"F32\",\"data_offsets\":[0,4]", "shape")]
    [InlineData("\"dtype\":\"F32\",\"shape\":[]", "data_offsets")]
    [InlineData("", "dtype")]
    public void R6_a_missing_field_is_refused(string fields, string missing) => AssertRefused($"{{\"a\":{{{fields}}}}}", 4, "tensor \"a\"", $"has no {missing}");

    [Theory]
    [InlineData("\"f32\"")]
    [InlineData("\"F8\"")]
    [InlineData("\"float32\"")]
    [InlineData("\"\"")]
    [InlineData("\"F32 \"")]
    public void R6_an_unknown_dtype_is_refused(string dataType) =>
        AssertRefused($"{{\"a\":{{\"dtype\":{dataType},\"shape\":[1],\"data_offsets\":[0,4]}}}}", 4, "unknown dtype", dataType);

    [Theory]
    [InlineData("null")]
    [InlineData("7")]
    [InlineData("[\"F32\"]")]
    public void R6_a_dtype_that_is_no_string_is_refused(string dataType) =>
        AssertRefused($"{{\"a\":{{\"dtype\":{dataType},\"shape\":[1],\"data_offsets\":[0,4]}}}}", 4, "dtype", "expected a string");

    [Theory]
    [InlineData("[-1]")]
    [InlineData("[-0]")]
    [InlineData("[1.0]")]
    [InlineData("[1e0]")]
    [InlineData("[18446744073709551616]")]
    [InlineData("[\"1\"]")]
    [InlineData("[null]")]
    [InlineData("[[1]]")]
    [InlineData("1")]
    [InlineData("null")]
    [InlineData("{}")]
    public void R6_a_shape_that_is_not_whole_numbers_is_refused(string shape) =>
        AssertRefused($"{{\"a\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,4]}}}}", 4, "shape");

    [Theory]
    [InlineData("[01]")]
    [InlineData("[NaN]")]
    [InlineData("[+1]")]
    [InlineData("[1,]")]
    public void R6_a_shape_that_is_not_JSON_is_refused(string shape) =>
        AssertRefused($"{{\"a\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":[0,4]}}}}", 4, "not valid JSON");

    [Theory]
    [InlineData("[]")]
    [InlineData("[0]")]
    [InlineData("[0,4,4]")]
    [InlineData("[-0,4]")]
    [InlineData("[0,4.0]")]
    [InlineData("[0,\"4\"]")]
    [InlineData("{\"0\":4}")]
    [InlineData("null")]
    public void R6_data_offsets_that_are_not_two_whole_numbers_are_refused(string offsets) =>
        AssertRefused($"{{\"a\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{offsets}}}}}", 4, "data_offsets");

    [Theory]
    [InlineData("[]")]
    [InlineData("7")]
    [InlineData("\"pt\"")]
    [InlineData("{\"format\":7}")]
    [InlineData("{\"format\":null}")]
    [InlineData("{\"format\":{}}")]
    public void R6_metadata_other_than_strings_are_refused(string metadata) => AssertRefused($"{{\"__metadata__\":{metadata}}}", 0, "__metadata__");

    [Theory]
    [InlineData("{\"__metadata__\":null}")]
    [InlineData("{\"__metadata__\":{}}")]
    [InlineData("{\"__metadata__\":{\"format\":\"pt\",\"\":\"\"}}")]
    public void R6_metadata_of_strings_or_none_are_accepted(string header) => Assert.Empty(Parse(header));

    [Fact]
    public void R6_fields_that_the_format_does_not_define_are_ignored() =>
        Assert.Single(Parse("{\"a\":{\"x\":[{\"y\":[1,2.5]}],\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"z\":null}}", 4));

    [Fact]
    public void R6_half_a_surrogate_pair_in_a_name_is_refused() => AssertRefused("{\"\\ud800\":{}}", 0, "not valid JSON");

    [Theory]
    [InlineData(0, 4, 4, 12, "[1]", "[2]")]
    [InlineData(0, 4, 8, 12, "[1]", "[1]")]
    [InlineData(4, 8, 8, 12, "[1]", "[1]")]
    [InlineData(0, 4, 0, 4, "[1]", "[1]")]
    [InlineData(0, 8, 4, 8, "[2]", "[1]")]
    public void R7_tensors_must_follow_each_other_without_hole_or_overlap(ulong begin1, ulong end1, ulong begin2, ulong end2, string shape1, string shape2)
    {
        string header = $"{{{Tensor("a", "F32", shape1, begin1, end1)},{Tensor("b", "F32", shape2, begin2, end2)}}}";
        if (begin1 == 0 && begin2 == end1)
        {
            Assert.Equal(2, Parse(header, (int)end2).Length);
        }
        else
        {
            AssertRefused(header, (int)end2, "data_offsets", "expected to start at");
        }
    }

    [Fact]
    public void R7_ten_tensors_of_one_region_are_refused()
    {
        string header = string.Join(',', Enumerable.Range(0, 10).Select(i => Tensor($"t{i}", "F32", "[1]", 0, 4)));
        AssertRefused($"{{{header}}}", 4, "data_offsets", "expected to start at 4");
    }

    [Fact]
    public void R7_an_end_before_its_begin_is_refused() =>
        AssertRefused($"{{{OneFloat},{Tensor("b", "F32", "[1]", 4, 0)}}}", 8, "tensor \"b\"", "[4, 0]", "expected to end where it starts");

    [Fact]
    public void R7_tensors_may_stand_in_any_order_in_the_header()
    {
        SafetensorsTensor[] tensors = Parse($"{{{Tensor("b", "BF16", "[3]", 4, 10)},{OneFloat}}}", 10);
        Assert.Equal(["a", "b"], tensors.Select(tensor => tensor.Name));
        Assert.Equal(tensors[0].Offset + 4, tensors[1].Offset);
    }

    [Theory]
    [InlineData("[4294967296,4294967296]")]
    [InlineData("[18446744073709551615,2,0]")]
    [InlineData("[2305843009213693952]")]
    public void R8_a_size_past_64_bits_is_refused(string shape) => AssertRefused($"{{{Tensor("a", "U8", shape, 0, 0)}}}", 0, "64-bit");

    [Fact]
    public void R8_a_zero_first_makes_any_shape_empty() =>
        Assert.Equal(0, Assert.Single(Parse($"{{{Tensor("a", "F32", "[0,18446744073709551615,2]", 0, 0)}}}")).Length);

    [Theory]
    [InlineData("F4", "[3]")]
    [InlineData("F6_E2M3", "[1]")]
    [InlineData("F6_E3M2", "[2]")]
    public void R9_half_a_byte_is_refused(string dataType, string shape) => AssertRefused($"{{{Tensor("a", dataType, shape, 0, 2)}}}", 2, "whole number of bytes");

    [Theory]
    [InlineData("F4", "[2]", 1)]
    [InlineData("F6_E3M2", "[4]", 3)]
    [InlineData("BOOL", "[1]", 1)]
    [InlineData("F8_E4M3FNUZ", "[1]", 1)]
    [InlineData("F16", "[1]", 2)]
    [InlineData("C64", "[1]", 8)]
    [InlineData("U64", "[]", 8)]
    public void R9_every_format_has_its_size(string dataType, string shape, int bytes) =>
        Assert.Equal(bytes, Assert.Single(Parse($"{{{Tensor("a", dataType, shape, 0, (ulong)bytes)}}}", bytes)).Length);

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(5)]
    public void R10_offsets_that_do_not_fit_the_shape_are_refused(int length) =>
        AssertRefused($"{{{Tensor("a", "F32", "[1]", 0, (ulong)length)}}}", length, "tensor \"a\"", $"has {length} bytes", "F32 [1] takes 4");

    [Theory]
    [InlineData(3, "cut short")]
    [InlineData(0, "cut short")]
    [InlineData(5, "holds 5 bytes of data, but its tensors take 4")]
    [InlineData(1_000, "holds 1,000 bytes")]
    public void R11_data_that_are_not_all_used_or_not_all_there_are_refused(int dataLength, string words) => AssertRefused($"{{{OneFloat}}}", dataLength, words);

    [Fact]
    public void R11_an_empty_header_goes_with_no_data()
    {
        Assert.Empty(Parse("{}"));
        AssertRefused("{}", 1, "holds 1 bytes");
    }

    [Fact]
    public void R11_a_tensor_far_past_the_end_is_refused() =>
        AssertRefused($"{{{Tensor("a", "U8", "[2305843009213693951]", 0, 2305843009213693951)}}}", 4, "cut short");

    [Theory]
    [InlineData(" \n\t{}")]
    [InlineData("{}     \r\n")]
    public void Space_around_the_header_is_accepted(string header) => Assert.Empty(Parse(header));

    [Fact]
    public void A_tensor_may_start_anywhere_in_the_file()
    {
        SafetensorsTensor[] tensors = Parse($"{{{Tensor("a", "U8", "[1]", 0, 1)},{Tensor("b", "BF16", "[1]", 1, 3)}}}", 3);
        Assert.Equal(tensors[0].Offset + 1, tensors[1].Offset);
    }

    [Theory]
    [InlineData(0, 4)]
    [InlineData(4, 8)]
    public void A_name_used_twice_is_refused(ulong begin, ulong end) =>
        AssertRefused($"{{{OneFloat},{Tensor("a", "F32", "[1]", begin, end)}}}", (int)end, "names \"a\" twice");

    [Fact]
    public void A_name_spelt_with_an_escape_is_the_same_name() => AssertRefused($"{{{OneFloat},{Tensor("\\u0061", "F32", "[1]", 4, 8)}}}", 8, "names \"a\" twice");

    [Theory]
    [InlineData("{\"__metadata__\":{},\"__metadata__\":{}}", "__metadata__")]
    [InlineData("{\"__metadata__\":{\"k\":\"1\",\"k\":\"1\"}}", "k")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", "dtype")]
    [InlineData("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"shape\":[],\"data_offsets\":[0,4]}}", "shape")]
    [InlineData("{\"a\":{\"x\":1,\"x\":1,\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", "x")]
    public void A_key_used_twice_is_refused(string header, string key) => AssertRefused(header, 4, $"names \"{key}\" twice");

    [Fact]
    public void A_rank_above_8_is_refused()
    {
        Assert.Single(Parse($"{{{Tensor("a", "U8", "[1,1,1,1,1,1,1,1]", 0, 1)}}}", 1));
        AssertRefused($"{{{Tensor("a", "U8", "[1,1,1,1,1,1,1,1,1]", 0, 1)}}}", 1, "more than 8 numbers in shape");
    }

    [Theory]
    [InlineData("")]
    [InlineData("a\\u0000b")]
    [InlineData("a\\u001b[31m")]
    public void Any_short_name_is_accepted(string name) => Assert.Single(Parse($"{{{Tensor(name, "U8", "[1]", 0, 1)}}}", 1));

    [Fact]
    public void Messages_show_no_control_characters_of_a_name() =>
        AssertRefused($"{{{Tensor("\\u001b[31m\\u202e", "F32", "[1]", 0, 1)}}}", 1, "tensor \"\\u001b[31m\\u202e\"");

    [Fact]
    public void A_name_of_a_megabyte_is_refused() => AssertRefused($"{{{Tensor(new string('n', 1 << 20), "U8", "[1]", 0, 1)}}}", 1, "1,048,576 bytes", "at most 1,024");

    [Fact]
    public void A_field_name_of_a_megabyte_is_refused() => AssertRefused($"{{\"a\":{{\"{new string('n', 1 << 20)}\":1}}}}", 1, "tensor \"a\"", "1,048,576 bytes");

    [Fact]
    public void A_tensor_of_many_fields_is_refused() =>
        AssertRefused($"{{\"a\":{{{string.Join(',', Enumerable.Range(0, 100).Select(i => $"\"f{i}\":0"))}}}}}", 0, "more than 64 fields");

    [Fact]
    public void Metadata_of_many_entries_are_refused() =>
        AssertRefused($"{{\"__metadata__\":{{{string.Join(',', Enumerable.Range(0, 10_001).Select(i => $"\"{i}\":\"\""))}}}}}", 0, "more than 10,000 entries");

    [Fact]
    public void A_million_tiny_tensors_are_refused_in_bounded_memory()
    {
        var header = new StringBuilder("{");
        for (int i = 0; i < 1_000_000; i++)
        {
            header.Append(i == 0 ? "" : ",").Append('"').Append(i).Append("\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}");
        }

        byte[] file = FileWith(header.Append('}').ToString());
        long before = GC.GetAllocatedBytesForCurrentThread();
        AssertRefused(file, "more than 100,000 tensors");
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64 << 20);
    }

    [Fact]
    public void What_follows_the_rules_is_read_whatever_its_names_and_sizes()
    {
        Gen<(string Name, int Rows, int Columns, int Type)> tensor =
            from name in ArbMap.Default.GeneratorFor<NonNull<string>>()
            from rows in Gen.Choose(0, 5)
            from columns in Gen.Choose(0, 5)
            from type in Gen.Choose(0, 2)
            where name.Get != "__metadata__" && Encoding.UTF8.GetString(Encoding.UTF8.GetBytes(name.Get)) == name.Get
            select (name.Get, rows, columns, type);
        Prop.ForAll(tensor.ArrayOf().ToArbitrary(), tensors =>
        {
            (string Name, int Rows, int Columns, int Type)[] distinct = [.. tensors.DistinctBy(t => t.Name)];
            int end = 0;
            var entries = new List<string>();
            foreach ((string name, int rows, int columns, int type) in distinct)
            {
                int begin = end;
                end += rows * columns * (type == 0 ? 4 : 2);
                string quoted = System.Text.Json.JsonEncodedText.Encode(name).ToString();
                entries.Add(Tensor(quoted, new[] { "F32", "F16", "BF16" }[type], $"[{rows},{columns}]", (ulong)begin, (ulong)end));
            }

            entries.Reverse();
            SafetensorsTensor[] read = Parse($"{{{string.Join(',', entries)}}}", end);
            return read.Sum(t => t.Length) == end
                && read.Select(t => (t.Name, t.ShapeText)).ToHashSet().SetEquals(distinct.Select(t => (t.Name, $"[{t.Rows}, {t.Columns}]")));
        }).QuickCheckThrowOnFailure();
    }

    [Fact]
    public void An_error_says_which_file() =>
        Assert.StartsWith("x.safetensors: ", Assert.Throws<ModelFormatException>(() => Parse("[]")).Message, StringComparison.Ordinal);
}
