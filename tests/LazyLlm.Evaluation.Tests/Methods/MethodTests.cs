using LazyLlm.Evaluation.Methods;
using LazyLlm.Evaluation.Tasks;
using LazyLlm.Native.Errors;
using LazyLlm.Native.Pruning;

namespace LazyLlm.Evaluation.Tests.Methods;

public sealed class MethodTests(DemoModel model)
{
    private readonly EvaluationPrompt _prompt = model.Documents(1, 200).ReadItems(model.Tokenizer).Single().Prompt;

    [Fact]
    public void The_dense_model_and_a_schedule_read_the_prompt_as_it_is()
    {
        int[] whole = model.Tokenizer.Encode(_prompt.Text);
        Assert.Equal(whole, Prepare(ScheduleMethod.Dense).Tokens);
        Assert.Equal(whole, Prepare(ScheduleMethod.LazyLlm(PruningSchedule.Fast)).Tokens);
        Assert.Equal("lazyllm 4:0.1;recent=8", ScheduleMethod.LazyLlm(PruningSchedule.Parse("4:0.1;recent=8")).Name);
        Assert.False(ScheduleMethod.Static(1, 0.5).Schedule.Rule.Revive);
        Assert.Equal((1 + (11 * 0.5)) / 12, ScheduleMethod.Static(1, 0.5).PrefillShare(12), 12);
    }

    [Theory]
    [InlineData(0.1)]
    [InlineData(0.5)]
    [InlineData(1.0)]
    public void Random_drop_leaves_the_asked_share_in_order_and_the_question_whole(double keep)
    {
        int[] whole = model.Tokenizer.Encode(_prompt.Text);
        int[] question = model.Tokenizer.EncodeContinuation(_prompt.Tail);
        int[] left = Prepare(new RandomDropMethod(keep)).Tokens;
        Assert.Equal((int)Math.Ceiling(keep * whole.Length), left.Length);
        Assert.Equal(model.Tokenizer.BeginToken, left[0]);
        Assert.Equal(question, left[^question.Length..]);

        // A subsequence: every token left is found behind the one before it.
        int at = 0;
        Assert.All(left, token => at = Array.IndexOf(whole, token, at) + 1 is int next and > 0 ? next : throw new InvalidOperationException($"{token} is out of order"));
    }

    [Fact]
    public void Random_drop_is_fixed_by_its_seed()
    {
        var method = new RandomDropMethod(0.5);
        Assert.Equal(Prepare(method, 3).Tokens, Prepare(method, 3).Tokens);
        Assert.NotEqual(Prepare(method, 3).Tokens, Prepare(method, 4).Tokens);
    }

    [Fact]
    public void Compression_drops_whole_phrases_with_the_least_self_information()
    {
        PreparedPrompt prepared = Prepare(new PromptCompressionMethod(0.5));
        string left = model.Tokenizer.Decode(prepared.Tokens);
        int whole = model.Tokenizer.Encode(_prompt.Text).Length;
        Assert.InRange(prepared.Tokens.Length, (0.5 * whole) - 12, (0.5 * whole) + 2);
        Assert.EndsWith(_prompt.Tail, left, StringComparison.Ordinal);
        Assert.True(prepared.ExtraPairs > 0.8 * 12 * whole, "the reading of the document counts");

        // Keeping everything gives the prompt back, token for token.
        Assert.Equal(model.Tokenizer.Encode(_prompt.Text), Prepare(new PromptCompressionMethod(1)).Tokens);
    }

    [Fact]
    public void Phrases_end_at_punctuation_and_before_grammar()
    {
        int[] tokens = model.Tokenizer.Encode("Mira keeps the lamp in the attic. The old fox sleeps.", addBeginToken: false);
        Assert.Equal(
            ["Mira keeps", "the lamp", "in", "the attic.", "The old fox sleeps."],
            PhraseCutter.Cut(tokens, model.Tokenizer).Select(phrase => model.Tokenizer.Decode(tokens[phrase]).Trim()));
        Assert.Empty(PhraseCutter.Cut([], model.Tokenizer));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1.5)]
    [InlineData(double.NaN)]
    public void A_share_out_of_range_is_refused(double keep)
    {
        Assert.Throws<InvalidOptionException>(() => new RandomDropMethod(keep));
        Assert.Throws<InvalidOptionException>(() => new PromptCompressionMethod(keep));
        Assert.Throws<InvalidOptionException>(() => ScheduleMethod.Static(1, keep));
    }

    private PreparedPrompt Prepare(IEvaluationMethod method, ulong seed = 1)
        => method.Prepare(_prompt, model.Engine, model.Tokenizer, seed, TestContext.Current.CancellationToken);
}
