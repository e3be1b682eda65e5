using LazyLlm.Native.Tokenizers;
using Xunit;

namespace LazyLlm.Native.Tests.Tokenizers;

public class SystemPrefixCacheTests
{
    private readonly SystemPrefixCache _cache = new();
    private int _encodings;

    [Fact]
    public void A_message_is_encoded_once_and_messages_do_not_mix()
    {
        Assert.Equal([1], Ask("one", 1));
        Assert.Equal([2], Ask("two", 2));
        Assert.Equal([1], Ask("one", 3));
        Assert.Equal([2], Ask(new string("two".ToCharArray()), 3));
        Assert.Equal([4], Ask("One", 4));
        Assert.Equal(3, _encodings);
    }

    [Fact]
    public void The_message_that_was_not_used_for_longest_goes_first()
    {
        for (int i = 0; i < SystemPrefixCache.MostMessages; i++)
        {
            Ask($"message {i}", i);
        }

        Ask("message 0", -1);
        Ask("another", 100);
        Assert.Equal(SystemPrefixCache.MostMessages, _cache.Count);
        Assert.Equal([0], Ask("message 0", -1));
        Assert.Equal([100], Ask("another", -1));
        Assert.Equal([2], Ask("message 2", -1));
        Assert.Equal([-1], Ask("message 1", -1));
    }

    [Fact]
    public void Long_messages_are_bounded_together_and_one_that_is_too_long_displaces_none()
    {
        string half = new('a', (int)SystemPrefixCache.MostBytes / sizeof(char) / 2);
        Ask("short", 1);
        Ask(half, 2);
        Assert.Equal(2, _cache.Count);
        Ask(half + half, 3);
        Assert.Equal([4], Ask(half + half, 4));
        Assert.Equal(2, _cache.Count);
        Ask(half[1..], 5);
        Assert.Equal(1, _cache.Count);
        Assert.Equal([5], Ask(half[1..], 6));
    }

    [Fact]
    public void Tokens_count_as_well_as_text()
    {
        int[] most = new int[SystemPrefixCache.MostBytes / sizeof(int)];
        Assert.Same(most, _cache.GetOrAdd("a", () => most));
        Assert.Equal(0, _cache.Count);
    }

    [Fact]
    public void Nothing_is_kept_of_a_message_that_cannot_be_encoded()
    {
        Assert.Throws<InvalidOperationException>(() => _cache.GetOrAdd("a", () => throw new InvalidOperationException()));
        Assert.Equal([1], Ask("a", 1));
    }

    [Fact]
    public void Threads_get_the_tokens_of_their_own_messages()
    {
        Parallel.For(0, 10_000, i =>
        {
            int message = i * 7 % (2 * SystemPrefixCache.MostMessages);
            Assert.Equal([message], _cache.GetOrAdd($"message {message}", () => [message]));
        });
        Assert.Equal(SystemPrefixCache.MostMessages, _cache.Count);
    }

    private int[] Ask(string message, int token) => _cache.GetOrAdd(message, () =>
    {
        _encodings++;
        return [token];
    });
}
