// "NVRTC": writes the source and its headers to a private folder and runs the machine's C++ compiler over them.
#include "module.h"
#include "options.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cerrno>
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <map>
#include <spawn.h>
#include <string_view>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

namespace
{
enum : int
{
    NVRTC_SUCCESS = 0,
    NVRTC_ERROR_OUT_OF_MEMORY = 1,
    NVRTC_ERROR_PROGRAM_CREATION_FAILURE = 2,
    NVRTC_ERROR_INVALID_INPUT = 3,
    NVRTC_ERROR_INVALID_PROGRAM = 4,
    NVRTC_ERROR_INVALID_OPTION = 5,
    NVRTC_ERROR_COMPILATION = 6,
    NVRTC_ERROR_BUILTIN_OPERATION_FAILURE = 7,
};

struct Program
{
    std::string source, name;
    std::vector<std::pair<std::string, std::string>> headers; // name, text
    std::string log, assembly;
    std::vector<char> image;
};

// Results of this process by everything that goes into them. A real NVRTC keeps such a cache too.
struct Results
{
    std::mutex lock;
    std::map<std::string, std::pair<std::string, std::vector<char>>> byInput; // log, image
};

Results &results()
{
    static Results &instance = *new Results;
    return instance;
}

std::string readAll(const std::string &path)
{
    std::string text;
    if (FILE *file = fopen(path.c_str(), "rb"))
    {
        char buffer[65536];
        for (size_t n; (n = fread(buffer, 1, sizeof buffer, file)) > 0;)
            text.append(buffer, n);
        fclose(file);
    }
    return text;
}

bool writeAll(const std::string &path, const std::string &text)
{
    FILE *file = fopen(path.c_str(), "wb");
    if (!file)
        return false;
    bool written = fwrite(text.data(), 1, text.size(), file) == text.size();
    return fclose(file) == 0 && written;
}

std::string baseName(const std::string &path) { return path.substr(path.find_last_of('/') + 1); }

/// Where standin_prelude.h lies: beside this library.
std::string preludeFolder()
{
    Dl_info info;
    dladdr((const void *)&preludeFolder, &info);
    std::string path = info.dli_fname;
    size_t slash = path.find_last_of('/');
    return slash == std::string::npos ? "." : path.substr(0, slash);
}

/// A folder that goes with its files.
struct PrivateFolder
{
    PrivateFolder()
    {
        const char *root = getenv("TMPDIR");
        path = std::string(root && *root ? root : "/tmp") + "/cuda-standin-XXXXXX";
        if (!mkdtemp(path.data()))
            path.clear();
    }

    ~PrivateFolder()
    {
        DIR *folder = path.empty() ? nullptr : opendir(path.c_str());
        while (dirent *entry = folder ? readdir(folder) : nullptr)
            unlink((path + "/" + entry->d_name).c_str());
        if (folder)
            closedir(folder);
        rmdir(path.c_str());
    }

    std::string path;
};

// Runs the compiler with its messages in a file. False if it could not be started or failed.
bool runCompiler(const std::vector<std::string> &arguments, const std::string &messages)
{
    std::vector<char *> argv;
    for (const std::string &argument : arguments)
        argv.push_back(const_cast<char *>(argument.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, messages.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t child;
    int failed = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed != 0)
        return writeAll(messages, std::string(argv[0]) + ": " + strerror(failed) + "\n"), false;
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
    {
        if (errno != EINTR)
            return true; // somebody else reaped it: the output file tells
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// "/tmp/x/gemm.cuh:12:5: error: ..." -> "gemm.cuh(12): error: ...", as NVRTC writes it.
std::string likeNvrtc(const std::string &messages, const std::string &folder)
{
    std::string log;
    for (size_t at = 0; at < messages.size();)
    {
        size_t end = std::min(messages.find('\n', at), messages.size());
        std::string line = messages.substr(at, end - at);
        for (size_t f; (f = line.find(folder + "/")) != std::string::npos;)
            line.erase(f, folder.size() + 1);
        for (const char *kind : {": error: ", ": warning: ", ": note: ", ": fatal error: "})
        {
            size_t k = line.find(kind), column = k == std::string::npos ? k : line.rfind(':', k - 1);
            size_t number = column == std::string::npos || column == 0 ? column : line.rfind(':', column - 1);
            if (number == std::string::npos || k == std::string::npos)
                continue;
            line = line.substr(0, number) + "(" + line.substr(number + 1, column - number - 1) + ")" + line.substr(k);
            break;
        }
        log += line + "\n";
        at = end + 1;
    }
    return log;
}

int compile(Program &program, int count, const char *const *options)
{
    PrivateFolder folder;
    if (folder.path.empty())
    {
        program.log = "no folder for temporary files\n";
        return NVRTC_ERROR_PROGRAM_CREATION_FAILURE;
    }
    // The compiler takes the line numbers from the program's own name, so messages name the real file.
    std::string source = folder.path + "/program.cpp", object = folder.path + "/program.so", messages = folder.path + "/log";
    writeAll(source, "#line 1 \"" + program.name + "\"\n" + program.source);
    for (auto &[name, text] : program.headers)
        writeAll(folder.path + "/" + baseName(name), text);

    const char *compiler = getenv("LAZYLLM_STANDIN_CXX");
    std::vector<std::string> arguments = {
        compiler && *compiler ? compiler : "c++", "-std=c++17", "-O2", "-march=native", "-fPIC", "-shared", "-nostdinc", "-nostdinc++",
        "-fvisibility=hidden", "-fno-exceptions", "-fno-rtti", "-fno-strict-aliasing", "-fno-stack-protector",
        "-fstack-clash-protection", // a large frame meets the guard page under its stack, not its neighbour
        "-fno-asynchronous-unwind-tables", "-Wall", "-Wno-unknown-pragmas", "-Wno-unused-function", "-Wno-attributes",
        "-iquote", folder.path, "-I", folder.path, "-I", preludeFolder(), "-include", "standin_prelude.h"};
    uint32_t architecture = 0;
    for (int i = 0; i < count; i++)
    {
        std::string option = options[i];
        if (option.rfind("-D", 0) == 0 || option.rfind("-U", 0) == 0)
            arguments.push_back(option);
        if (option.rfind("--define-macro=", 0) == 0)
            arguments.push_back("-D" + option.substr(15));
        if (size_t arch = option.find("sm_"); arch != std::string::npos)
            architecture = (uint32_t)atoi(option.c_str() + arch + 3);
    }
    arguments.insert(arguments.end(), {source, "-o", object});

    bool built = runCompiler(arguments, messages);
    program.log = likeNvrtc(readAll(messages), folder.path);
    std::string shared = readAll(object);
    if (!built || shared.empty())
        return NVRTC_ERROR_COMPILATION;
    ImageHeader header = {};
    memcpy(header.magic, ImageMagic, sizeof ImageMagic);
    header.version = ImageVersion;
    header.architecture = architecture ? architecture : 80;
    header.bytes = shared.size();
    header.digest = imageDigest(shared.data(), shared.size());
    program.image.assign((const char *)&header, (const char *)(&header + 1));
    program.image.insert(program.image.end(), shared.begin(), shared.end());
    return NVRTC_SUCCESS;
}

template <typename Bytes> int give(const Bytes &bytes, char *target)
{
    if (bytes.empty())
        return NVRTC_ERROR_INVALID_PROGRAM;
    memcpy(target, bytes.data(), bytes.size());
    return NVRTC_SUCCESS;
}
}

CUAPI int nvrtcVersion(int *major, int *minor)
{
    *major = (int)(options().nvrtcVersion / 1000);
    *minor = (int)(options().nvrtcVersion % 1000 / 10);
    return NVRTC_SUCCESS;
}

CUAPI const char *nvrtcGetErrorString(int result)
{
    static const char *const names[] = {
        "NVRTC_SUCCESS", "NVRTC_ERROR_OUT_OF_MEMORY", "NVRTC_ERROR_PROGRAM_CREATION_FAILURE", "NVRTC_ERROR_INVALID_INPUT",
        "NVRTC_ERROR_INVALID_PROGRAM", "NVRTC_ERROR_INVALID_OPTION", "NVRTC_ERROR_COMPILATION",
        "NVRTC_ERROR_BUILTIN_OPERATION_FAILURE"};
    return result >= 0 && result < (int)(sizeof names / sizeof *names) ? names[result] : "NVRTC_ERROR unknown";
}

CUAPI int nvrtcGetNumSupportedArchs(int *count)
{
    *count = 5;
    return NVRTC_SUCCESS;
}

CUAPI int nvrtcGetSupportedArchs(int *architectures)
{
    const int known[] = {75, 80, 86, 89, 90};
    memcpy(architectures, known, sizeof known);
    return NVRTC_SUCCESS;
}

CUAPI int nvrtcCreateProgram(Program **program, const char *source, const char *name, int headerCount, const char *const *headers,
                             const char *const *headerNames)
{
    if (!program || !source || headerCount < 0)
        return NVRTC_ERROR_INVALID_INPUT;
    auto created = std::make_unique<Program>();
    created->source = source;
    created->name = name ? name : "default_program";
    for (int i = 0; i < headerCount; i++)
        created->headers.emplace_back(headerNames[i], headers[i]);
    *program = created.release();
    return NVRTC_SUCCESS;
}

CUAPI int nvrtcDestroyProgram(Program **program)
{
    if (!program || !*program)
        return NVRTC_ERROR_INVALID_PROGRAM;
    delete *program;
    *program = nullptr;
    return NVRTC_SUCCESS;
}

CUAPI int nvrtcCompileProgram(Program *program, int count, const char *const *options)
{
    if (!program)
        return NVRTC_ERROR_INVALID_PROGRAM;
    if (int failed = enter(Call::Compile); failed != 0)
    {
        program->log = "the stand-in was told to fail this compile\n";
        return failed;
    }
    program->assembly = "// Compiled by the stand-in's C++ compiler: there is no PTX of " + program->name + "\n";
    std::string input = program->name + '\0' + program->source;
    for (auto &[name, text] : program->headers)
        input += '\0' + name + '\0' + text;
    for (int i = 0; i < count; i++)
        input += std::string(1, '\0') + options[i];
    Results &known = results();
    {
        std::lock_guard guard(known.lock);
        if (auto it = known.byInput.find(input); it != known.byInput.end())
        {
            program->log = it->second.first;
            program->image = it->second.second;
            return NVRTC_SUCCESS;
        }
    }
    int result = compile(*program, count, options);
    if (result == NVRTC_SUCCESS)
    {
        std::lock_guard guard(known.lock);
        known.byInput[input] = {program->log, program->image};
    }
    return result;
}

CUAPI int nvrtcGetProgramLogSize(Program *program, size_t *bytes)
{
    *bytes = program->log.size() + 1;
    return NVRTC_SUCCESS;
}

CUAPI int nvrtcGetProgramLog(Program *program, char *log)
{
    memcpy(log, program->log.c_str(), program->log.size() + 1);
    return NVRTC_SUCCESS;
}

CUAPI int nvrtcGetCUBINSize(Program *program, size_t *bytes)
{
    *bytes = program->image.size();
    return NVRTC_SUCCESS;
}

CUAPI int nvrtcGetCUBIN(Program *program, char *image) { return give(program->image, image); }

CUAPI int nvrtcGetPTXSize(Program *program, size_t *bytes)
{
    *bytes = program->assembly.empty() ? 0 : program->assembly.size() + 1;
    return NVRTC_SUCCESS;
}

CUAPI int nvrtcGetPTX(Program *program, char *text)
{
    return give(std::string_view(program->assembly.c_str(), program->assembly.empty() ? 0 : program->assembly.size() + 1), text);
}
