// Modules ("CUBINs" of the stand-in's compiler) and their functions.
#pragma once
#include "block.h"
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

constexpr int MaxWorkers = 16;

/// What nvrtcGetCUBIN gives: this header and a shared object.
struct ImageHeader
{
    char magic[8];
    uint32_t version, architecture;
    uint64_t bytes, digest; // of the shared object behind the header
};
extern const char ImageMagic[8];

/// Tells images of another build (with another prelude) from this one's: STANDIN_BUILD is a checksum of all sources.
constexpr uint32_t ImageVersion = STANDIN_BUILD;

uint64_t imageDigest(const void *data, size_t bytes);

struct Module
{
    explicit Module(std::vector<char> object) : image(std::move(object)) {}
    ~Module();

    /// The library as loaded for one OS thread: each has a copy of its own, and with it its own static variables.
    void *library(int worker, std::string &problem);

    std::vector<char> image;
    std::unordered_map<std::string, std::unique_ptr<Function>> functions;
    std::mutex lock;
    void *libraries[MaxWorkers] = {};
    int files[MaxWorkers];
};

struct Function
{
    Module *module;
    std::string name;
    uint32_t parameterBytes, maxThreads, staticShared;
    std::atomic<uint32_t> maxDynamicShared{48 << 10};

    bool load(int worker, LoadedKernel &kernel, std::string &problem);

    LoadedKernel loaded[MaxWorkers] = {};
};
