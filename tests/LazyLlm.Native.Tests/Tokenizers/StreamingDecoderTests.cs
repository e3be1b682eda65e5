using LazyLlm.Native.Tokenizers;
using Xunit;

namespace LazyLlm.Native.Tests.Tokenizers;

public class StreamingDecoderTests
{
    private const int FirstByte = 3;

    [Fact]
    public void A_character_comes_out_with_its_last_byte()
    {
        StreamingDecoder decoder = TestTokenizers.Demo.CreateDecoder();
        Assert.Equal("", decoder.Append(FirstByte + 0xF0));
        Assert.Equal("", decoder.Append(FirstByte + 0x9F));
        Assert.Equal(2, decoder.PendingByteCount);
        // A control token in between changes nothing.
        Assert.Equal("", decoder.Append(2));
        Assert.Equal("", decoder.Append(FirstByte + 0x98));
        Assert.Equal("\U0001F600", decoder.Append(FirstByte + 0x80));
        Assert.Equal("", decoder.Flush());
    }

    [Fact]
    public void A_character_that_never_ends_is_replaced_at_the_end_or_by_what_breaks_it()
    {
        StreamingDecoder decoder = TestTokenizers.Demo.CreateDecoder();
        Assert.Equal("", decoder.Append(FirstByte + 0xE4));
        Assert.Equal("\uFFFD", decoder.Flush());
        Assert.Equal("", decoder.Flush());
        Assert.Equal("", decoder.Append(FirstByte + 0xE4));
        Assert.Equal("\uFFFDA", decoder.Append(FirstByte + 'A'));
        Assert.Equal("\uFFFD", decoder.Append(FirstByte + 0xFF));
    }

    [Fact]
    public void Only_the_first_space_of_a_text_is_dropped()
    {
        int[] ids = TestTokenizers.Demo.Encode("the lamp", addBeginToken: false);
        Assert.Equal(2, ids.Length);
        StreamingDecoder start = TestTokenizers.Demo.CreateDecoder();
        Assert.Equal("", start.Append(1));
        Assert.Equal("the", start.Append(ids[0]));
        Assert.Equal(" lamp", start.Append(ids[1]));
        StreamingDecoder continuation = TestTokenizers.Demo.CreateDecoder(continuation: true);
        Assert.Equal(" the", continuation.Append(ids[0]));
        Assert.Equal("the lamp", TestTokenizers.Demo.Decode(ids));
        Assert.Equal(" the lamp", TestTokenizers.Demo.Decode(ids, continuation: true));
    }

    [Fact]
    public void Tokens_are_shown_by_their_text_their_bytes_or_their_name()
    {
        Assert.Equal("<s>", TestTokenizers.Demo.TokenText(1));
        Assert.True(TestTokenizers.Demo.IsControlToken(1));
        Assert.Equal("<0xE4>", TestTokenizers.Demo.TokenText(FirstByte + 0xE4));
        Assert.Equal("A", TestTokenizers.Demo.TokenText(FirstByte + 'A'));
        Assert.Equal([0xE4], TestTokenizers.Demo.TokenBytes(FirstByte + 0xE4).ToArray());
        Assert.Empty(TestTokenizers.Demo.TokenBytes(1).ToArray());
    }
}
