using FsCheck;
using FsCheck.Fluent;
using FsCheck.Xunit;
using LazyLlm.Server.Monitor;

namespace LazyLlm.Server.Tests.Monitor;

public sealed class HistoryTests
{
    [Property]
    public Property It_gives_the_newest_entries_after_an_id_and_no_others() => Prop.ForAll(
        Gen.Choose(1, 20).ToArbitrary(),
        Gen.Choose(0, 60).ToArbitrary(),
        Gen.Choose(0, 80).ToArbitrary(),
        (capacity, added, after) =>
        {
            var history = new History<string>(capacity);
            for (int i = 1; i <= added; i++)
            {
                history.Add(id => $"{id}");
            }

            IEnumerable<string> expected = Enumerable.Range(1, added).Where(id => id > after && id > added - capacity).Select(id => $"{id}");
            return history.After(after).SequenceEqual(expected);
        });
}
