using LazyLlm.Evaluation.Recall;
using LazyLlm.Native.Errors;
using Microsoft.ML.Tokenizers;

namespace LazyLlm.Evaluation.Tests.Recall;

public sealed class RecallTaskTests
{
    private static readonly RecallTask Recall = RecallTask.Load(RepositoryFiles.Demo);

    [Theory]
    [InlineData(64, true)]
    [InlineData(300, false)]
    [InlineData(1000, true)]
    [InlineData(1500, true)]
    public void A_prompt_is_as_long_as_asked_within_one_sentence_by_the_real_tokenizer(int length, bool recurring)
    {
        using FileStream model = File.OpenRead(Path.Combine(RepositoryFiles.Demo, "tokenizer.model"));
        LlamaTokenizer tokenizer = LlamaTokenizer.Create(model);
        for (ulong seed = 0; seed < 10; seed++)
        {
            RecallDocument document = Recall.CreateDocument(new RecallDocumentOptions { TokenLength = length, Seed = seed, Recurring = recurring });
            int tokens = tokenizer.EncodeToIds(document.Prompt()).Count;
            Assert.InRange(tokens, length - 16, length);
        }
    }

    [Fact]
    public void The_same_seed_gives_the_same_document_and_another_seed_another()
    {
        RecallDocument first = Recall.CreateDocument(new RecallDocumentOptions { Seed = 7 });
        RecallDocument again = RecallTask.Load(Path.Combine(RepositoryFiles.Demo, RecallTask.FileName)).CreateDocument(new RecallDocumentOptions { Seed = 7 });
        Assert.Equal(first.Prompt(1), again.Prompt(1));
        Assert.NotEqual(first.Text, Recall.CreateDocument(new RecallDocumentOptions { Seed = 8 }).Text);
    }

    [Fact]
    public void Each_question_is_about_one_fact_of_the_document_and_the_answers_differ()
    {
        for (ulong seed = 0; seed < 50; seed++)
        {
            RecallDocument document = Recall.CreateDocument(new RecallDocumentOptions { TokenLength = 600, Seed = seed, QuestionCount = 4 });
            Assert.Equal(4, document.Questions.DistinctBy(question => question.Answer).Count());
            foreach (RecallQuestion question in document.Questions)
            {
                Assert.Equal(2, document.Text.Split(question.Fact).Length);
                string[] words = question.Fact.TrimEnd('.').Split(' ');
                Assert.Equal($"Question: Where does {words[0]} keep the {words[3]}? Answer:", question.Text);
                Assert.Equal(words[6], question.Answer);

                // No other fact has the same name and object.
                Assert.Equal(2, document.Text.Split($"{words[0]} keeps the {words[3]} in").Length);
            }
        }
    }

    [Fact]
    public void Recurring_words_force_both_name_and_object_to_be_matched()
    {
        for (ulong seed = 0; seed < 20; seed++)
        {
            RecallDocument document = Recall.CreateDocument(new RecallDocumentOptions { TokenLength = 500, Seed = seed });
            string[] words = document.Questions[0].Fact.Split(' ');
            Assert.True(document.Text.Split($"{words[0]} keeps").Length > 2);
            Assert.True(document.Text.Split($"keeps the {words[3]} ").Length > 2);

            RecallDocument distinct = Recall.CreateDocument(new RecallDocumentOptions { TokenLength = 500, Seed = seed, Recurring = false });
            string[] alone = distinct.Questions[0].Fact.Split(' ');
            Assert.Equal(2, distinct.Text.Split($"{alone[0]} keeps").Length);
            Assert.Equal(2, distinct.Text.Split($"keeps the {alone[3]} ").Length);
        }
    }

    [Theory]
    [InlineData(0.0)]
    [InlineData(0.5)]
    [InlineData(1.0)]
    public void The_asked_fact_stands_at_the_asked_depth(double depth)
    {
        for (ulong seed = 0; seed < 20; seed++)
        {
            RecallDocument document = Recall.CreateDocument(new RecallDocumentOptions { TokenLength = 800, Seed = seed, Depth = depth });
            Assert.InRange(document.Questions[0].Depth, depth - 0.06, depth + 0.06);
        }
    }

    [Fact]
    public void A_document_of_the_users_own_is_asked_about_its_clear_facts()
    {
        RecallDocument document = Recall.ReadDocument(
            "It rained.\nMira keeps the lamp in the attic.  Hugo keeps the\nkey in the cellar. Mira keeps the map in the barn. Mira keeps the map in the cave.");
        Assert.Equal(
            "It rained. Mira keeps the lamp in the attic. Hugo keeps the key in the cellar. Mira keeps the map in the barn. Mira keeps the map in the cave.",
            document.Text);
        Assert.Equal(["attic", "cellar"], document.Questions.Select(question => question.Answer).Order());
        Assert.Contains(document.Questions, question => question.Text == "Question: Where does Hugo keep the key? Answer:");
    }

    [Fact]
    public void A_document_without_facts_says_what_a_fact_looks_like()
        => Assert.Contains("{name} keeps the {object}", Assert.Throws<InvalidOptionException>(() => Recall.ReadDocument("It rained.")).Message);

    [Theory]
    [InlineData(" attic.", true)]
    [InlineData(" attic. Mira", true)]
    [InlineData(" attic", true)]
    [InlineData(" attic near", false)]
    [InlineData("", false)]
    [InlineData(" cellar.", false)]
    public void An_answer_counts_up_to_its_full_stop(string generated, bool right)
        => Assert.Equal(right, new RecallQuestion("Question: ?", "attic", "", 0).IsAnsweredBy(generated));

    [Fact]
    public void Impossible_options_are_refused_by_name()
    {
        Assert.Equal("TokenLength", Assert.Throws<InvalidOptionException>(() => Recall.CreateDocument(new RecallDocumentOptions { TokenLength = 20 })).Option);
        Assert.Equal("QuestionCount", Assert.Throws<InvalidOptionException>(() => Recall.CreateDocument(new RecallDocumentOptions { QuestionCount = 0 })).Option);
        Assert.Equal("QuestionCount", Assert.Throws<InvalidOptionException>(() => Recall.CreateDocument(new RecallDocumentOptions { QuestionCount = 500 })).Option);
        Assert.Equal("Depth", Assert.Throws<InvalidOptionException>(() => Recall.CreateDocument(new RecallDocumentOptions { Depth = double.NaN })).Option);
        Assert.Equal("FactShare", Assert.Throws<InvalidOptionException>(() => Recall.CreateDocument(new RecallDocumentOptions { FactShare = 0 })).Option);
    }

    [Theory]
    [InlineData("not json", "JSON")]
    [InlineData("{}", "names")]
    [InlineData("[]", "wrong type")]
    [InlineData("""{"names": "Mira"}""", "names")]
    [InlineData("""{"names": [1]}""", "wrong type")]
    public void A_broken_task_file_is_named(string content, string expected)
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllText(path, content);
            ModelFormatException error = Assert.Throws<ModelFormatException>(() => RecallTask.Load(path));
            Assert.Equal(path, error.Path);
            Assert.Contains(expected, error.Message, StringComparison.OrdinalIgnoreCase);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void A_missing_task_file_is_named()
        => Assert.Equal("/nowhere/recall-task.json", Assert.Throws<ModelFormatException>(() => RecallTask.Load("/nowhere/recall-task.json")).Path);
}
