// Writes the notices of what is inside a program that was restored or published: each package with its version and licence,
// then the texts of the licences and notices as the packages bring them, each text once.
//
//     dotnet run --file build/third-party-notices.cs -- PROJECT FILE [-p:NAME=VALUE...]
//
// The properties are those that the program was published with: MSBuild says which files of which packages go into it then, and of
// a program that is compiled ahead of time also which runtime does.
#:property PublishAot=false

using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using System.Xml.Linq;

if (args.Length < 2)
{
    Console.Error.WriteLine("third-party-notices: expected PROJECT FILE [-p:NAME=VALUE...].");
    return 2;
}

string[] items = ["ReferenceCopyLocalPaths", "RuntimePackAsset", "IlcReference"];
string compileAhead = args.Contains("-p:PublishAot=true") ? ";ComputeIlcCompileInputs" : "";
string[] query =
[
    "msbuild", args[0], "-nologo", "-p:Configuration=Release", "-p:BuildProjectReferences=false", "-p:CopyLocalLockFileAssemblies=true", .. args[2..],
    $"-t:ResolveReferences;_HandlePackageFileConflicts;ResolveRuntimePackAssets{compileAhead}", .. items.Select(item => $"-getItem:{item}"),
];
using var msbuild = Process.Start(new ProcessStartInfo("dotnet", query) { RedirectStandardOutput = true })!;
string answer = msbuild.StandardOutput.ReadToEnd();
msbuild.WaitForExit();
if (msbuild.ExitCode != 0)
{
    Console.Error.WriteLine($"third-party-notices: MSBuild could not say what is inside {args[0]}.\n{answer}");
    return 1;
}

using JsonDocument found = JsonDocument.Parse(answer);
string[] compiled = [.. Items("IlcReference").Select(item => Value(item, "FullPath"))];
IEnumerable<string> paths = Items("ReferenceCopyLocalPaths").Concat(Items("RuntimePackAsset"))
    .Where(item => item.TryGetProperty("NuGetPackageId", out JsonElement package) && !(compiled.Length > 0 && IsBaseLibrary(package.GetString()!)))
    .Select(item => Value(item, "FullPath"))
    .Concat(compiled);
Package[] packages = [.. paths.Select(PackageFolder).Distinct().Select(Package.Read).OrderBy(package => package.Name, StringComparer.OrdinalIgnoreCase)];
if (packages.Length == 0)
{
    Console.Error.WriteLine($"third-party-notices: found no packages in {args[0]}, expected some: restore it first, with the same properties.");
    return 1;
}

var page = new StringBuilder("THIRD-PARTY NOTICES\n\nInside are these packages. Their licences follow, then the notices that they bring along.\n\n");
foreach (Package package in packages)
{
    page.Append($"{package.Name} {package.Version}\n    {package.License}, {package.Address}\n");
}

Texts("LICENCE", package => package.LicenseTexts);
Texts("NOTICES", package => package.NoticeTexts);
File.WriteAllText(args[1], page.ToString());
return 0;

IEnumerable<JsonElement> Items(string name) => found.RootElement.GetProperty("Items").TryGetProperty(name, out JsonElement list) ? list.EnumerateArray() : [];

static string Value(JsonElement item, string name) => item.GetProperty(name).GetString()!;

// The base library of the runtime pack: what is compiled ahead of time takes another in its place.
static bool IsBaseLibrary(string package) => package.StartsWith("Microsoft.NETCore.App.Runtime.", StringComparison.Ordinal);

// The folder around a file that holds the package's description.
static string PackageFolder(string path)
{
    string? folder = Path.GetDirectoryName(path);
    while (folder is not null && !Directory.EnumerateFiles(folder, "*.nuspec").Any())
    {
        folder = Path.GetDirectoryName(folder);
    }

    return folder ?? throw new InvalidDataException($"{path}: found no .nuspec in a folder above it, expected a file of a package.");
}

void Texts(string kind, Func<Package, string[]> texts)
{
    foreach (IGrouping<string, Package> same in packages.SelectMany(package => texts(package).Select(text => (package, text))).GroupBy(pair => pair.text, pair => pair.package))
    {
        string rule = new('=', 100);
        page.Append($"\n{rule}\n{kind} of {string.Join(", ", same.Select(package => package.Name))}\n{rule}\n\n{same.Key}\n");
    }
}

/// <summary>What a package says about itself.</summary>
internal sealed partial record Package(string Name, string Version, string License, string Address, string[] LicenseTexts, string[] NoticeTexts)
{
    public static Package Read(string folder)
    {
        XElement metadata = XDocument.Load(Directory.EnumerateFiles(folder, "*.nuspec").Single()).Root!.Elements().First(element => element.Name.LocalName == "metadata");
        XElement? Field(string name) => metadata.Elements().FirstOrDefault(element => element.Name.LocalName == name);
        string name = Field("id")!.Value, version = Field("version")!.Value;
        XElement? license = Field("license");
        bool isFile = license?.Attribute("type")?.Value == "file";
        string expression = license is null || isFile ? "licence below" : license.Value;

        string[] files = [.. Directory.EnumerateFiles(folder, "*", new EnumerationOptions { RecurseSubdirectories = true, MaxRecursionDepth = 1 }).Order(StringComparer.Ordinal)];
        string[] texts = isFile ? [Text(Path.Combine(folder, license!.Value))] : [.. files.Where(file => LicenseFile().IsMatch(Path.GetFileName(file))).Select(Text)];
        if (texts.Length == 0)
        {
            string copyright = Field("copyright")?.Value ?? Field("authors")!.Value;
            string terms = expression switch
            {
                "MIT" => Mit,
                "BSD-3-Clause" => Bsd3,
                _ => throw new InvalidDataException($"{name} {version}: found no licence file and the expression '{expression}', expected a file, MIT or BSD-3-Clause: add the text of that licence to this script."),
            };
            texts = [$"{(CopyrightSign().IsMatch(copyright) ? "" : "Copyright (c) ")}{copyright}\n\n{terms}"];
        }

        string address = Field("projectUrl")?.Value ?? Field("repository")?.Attribute("url")?.Value
            ?? throw new InvalidDataException($"{name} {version}: found neither a project nor a repository address, expected one: say where it comes from in this script.");
        return new Package(name, version, expression, address, texts, [.. files.Where(file => NoticeFile().IsMatch(Path.GetFileName(file))).Select(Text)]);
    }

    // Some are in UTF-8, some in the Western European encoding that came before it.
    private static string Text(string path)
    {
        byte[] bytes = File.ReadAllBytes(path);
        Encoding encoding = System.Text.Unicode.Utf8.IsValid(bytes) ? Encoding.UTF8 : Encoding.Latin1;
        return encoding.GetString(bytes).TrimStart('\uFEFF').ReplaceLineEndings("\n").Trim();
    }

    [GeneratedRegex(@"^(licen[cs]e|copying)(\.(txt|md))?$", RegexOptions.IgnoreCase)]
    private static partial Regex LicenseFile();

    [GeneratedRegex(@"^(third[-_ ]?party[-_ ]?)?notices?(\.(txt|md))?$", RegexOptions.IgnoreCase)]
    private static partial Regex NoticeFile();

    [GeneratedRegex("^(copyright|\u00A9)", RegexOptions.IgnoreCase)]
    private static partial Regex CopyrightSign();

    private const string Mit = """
        Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation files
        (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy, modify, merge,
        publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is furnished to do
        so, subject to the following conditions:

        The above copyright notice and this permission notice shall be included in all copies or substantial portions of the Software.

        THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
        MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE
        FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
        CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
        """;

    private const string Bsd3 = """
        Redistribution and use in source and binary forms, with or without modification, are permitted provided that the following
        conditions are met:

        1. Redistributions of source code must retain the above copyright notice, this list of conditions and the following disclaimer.

        2. Redistributions in binary form must reproduce the above copyright notice, this list of conditions and the following disclaimer
        in the documentation and/or other materials provided with the distribution.

        3. Neither the name of the copyright holder nor the names of its contributors may be used to endorse or promote products derived
        from this software without specific prior written permission.

        THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT
        NOT LIMITED TO, THE IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE DISCLAIMED. IN NO EVENT SHALL
        THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL DAMAGES
        (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS
        INTERRUPTION) HOWEVER CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY, OR TORT (INCLUDING NEGLIGENCE
        OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE.
        """;
}
