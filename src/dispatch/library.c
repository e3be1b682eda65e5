/*
 * liblazyllm.so: the calls of lazyllm.h, each handed to the build of the library that was compiled for this machine's
 * processor, which lies beside this one and is loaded with the first call. Where that fails, every call says so.
 */
#define _GNU_SOURCE
#pragma GCC visibility push(default)
#include "lazyllm.h"
#pragma GCC visibility pop

#include "cpu_level.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Result, name, parameters, arguments: the calls that give a lazyllm_result. */
#define CALLS(CALL) \
    CALL(lazyllm_engine_open, (const char *path, size_t path_length, const lazyllm_engine_options *options, lazyllm_engine *engine), (path, path_length, options, engine)) \
    CALL(lazyllm_engine_close, (lazyllm_engine engine), (engine)) \
    CALL(lazyllm_engine_describe, (lazyllm_engine engine, lazyllm_engine_info *info), (engine, info)) \
    CALL(lazyllm_engine_advice, (lazyllm_engine engine, lazyllm_sampling *sampling), (engine, sampling)) \
    CALL(lazyllm_tokenize, (lazyllm_engine engine, const char *text, size_t text_length, int32_t continuation, int32_t *tokens, size_t capacity, size_t *count), (engine, text, text_length, continuation, tokens, capacity, count)) \
    CALL(lazyllm_detokenize, (lazyllm_engine engine, const int32_t *tokens, size_t count, int32_t continuation, char *text, size_t capacity, size_t *text_length), (engine, tokens, count, continuation, text, capacity, text_length)) \
    CALL(lazyllm_session_open, (lazyllm_engine engine, const char *schedule, size_t schedule_length, lazyllm_session *session), (engine, schedule, schedule_length, session)) \
    CALL(lazyllm_session_close, (lazyllm_session session), (session)) \
    CALL(lazyllm_session_fork, (lazyllm_session session, lazyllm_session *copy), (session, copy)) \
    CALL(lazyllm_session_reset, (lazyllm_session session), (session)) \
    CALL(lazyllm_session_append_text, (lazyllm_session session, const char *text, size_t text_length), (session, text, text_length)) \
    CALL(lazyllm_session_append_tokens, (lazyllm_session session, const int32_t *tokens, size_t count), (session, tokens, count)) \
    CALL(lazyllm_session_prefill, (lazyllm_session session, const lazyllm_step_options *options), (session, options)) \
    CALL(lazyllm_session_prefill_embeddings, (lazyllm_session session, const float *embeddings, size_t rows, const lazyllm_step_options *options), (session, embeddings, rows, options)) \
    CALL(lazyllm_session_begin, (lazyllm_session session, const lazyllm_sampling *sampling), (session, sampling)) \
    CALL(lazyllm_session_next, (lazyllm_session session, const lazyllm_step_options *options, lazyllm_token *token, char *text, size_t capacity), (session, options, token, text, capacity)) \
    CALL(lazyllm_session_logits, (lazyllm_session session, float *logits, size_t capacity, size_t *count), (session, logits, capacity, count)) \
    CALL(lazyllm_session_statistics, (lazyllm_session session, lazyllm_statistics *statistics), (session, statistics))

/* The calls of the build in use; all null where none could be loaded. */
static struct {
#define MEMBER(name, parameters, arguments) __typeof__(&name) name;
    CALLS(MEMBER)
    __typeof__(&lazyllm_abi_version) lazyllm_abi_version;
    __typeof__(&lazyllm_version) lazyllm_version;
    __typeof__(&lazyllm_result_code) lazyllm_result_code;
    __typeof__(&lazyllm_result_message) lazyllm_result_message;
    __typeof__(&lazyllm_result_destroy) lazyllm_result_destroy;
} calls;

/* Taking a function's address through void ** is how POSIX means dlsym to be used. */
static const struct {
    const char *name;
    void **address;
} entries[] = {
#define ENTRY(name) {#name, (void **)&calls.name},
#define CALL_ENTRY(name, parameters, arguments) ENTRY(name)
    CALLS(CALL_ENTRY)
    ENTRY(lazyllm_abi_version)
    ENTRY(lazyllm_version)
    ENTRY(lazyllm_result_code)
    ENTRY(lazyllm_result_message)
    ENTRY(lazyllm_result_destroy)
};

/* What went wrong, and the address that stands for the result that tells of it. Destroying that does nothing. */
static char failure[8192];
static const lazyllm_result failed = (lazyllm_result)(void *)failure;

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void)
{
    Dl_info self;
    const char *slash = dladdr((const void *)load, &self) != 0 ? strrchr(self.dli_fname, '/') : NULL;
    char path[4096];
    int folder = slash != NULL ? (int)(slash - self.dli_fname) : 1;
    int length = snprintf(path, sizeof path, "%.*s/liblazyllm-%s.so", folder, slash != NULL ? self.dli_fname : ".", lazyllm_cpu_level());
    void *library = length < (int)sizeof path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library == NULL) {
        snprintf(failure, sizeof failure, "The build of the library for this processor cannot be loaded: %s. Keep the files of the archive together.",
                 length < (int)sizeof path ? dlerror() : "its path is too long");
        return;
    }
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        if ((*entries[i].address = dlsym(library, entries[i].name)) == NULL) {
            snprintf(failure, sizeof failure, "%s lacks %s: it is of another release. Keep the files of one archive together.", path, entries[i].name);
            memset(&calls, 0, sizeof calls);
            return;
        }
    }

    /* The first call starts .NET, which ignores SIGPIPE for the whole process. That is for the host to say. */
    struct sigaction on_pipe;
    int is_known = sigaction(SIGPIPE, NULL, &on_pipe) == 0;
    uint32_t version = calls.lazyllm_abi_version();
    if (is_known) {
        sigaction(SIGPIPE, &on_pipe, NULL);
    }
    if (version != LAZYLLM_ABI_VERSION) {
        snprintf(failure, sizeof failure, "%s has ABI version %u, expected %u: it is of another release. Keep the files of one archive together.", path, version, LAZYLLM_ABI_VERSION);
        memset(&calls, 0, sizeof calls);
    }
}

static int is_loaded(void)
{
    pthread_once(&once, load);
    return calls.lazyllm_result_destroy != NULL;
}

#define FORWARD(name, parameters, arguments) \
    lazyllm_result name parameters { return is_loaded() ? calls.name arguments : failed; }
CALLS(FORWARD)

uint32_t lazyllm_abi_version(void)
{
    return is_loaded() ? calls.lazyllm_abi_version() : LAZYLLM_ABI_VERSION;
}

const char *lazyllm_version(void)
{
    return is_loaded() ? calls.lazyllm_version() : "";
}

int32_t lazyllm_result_code(lazyllm_result result)
{
    return is_loaded() ? calls.lazyllm_result_code(result) : result == failed ? LAZYLLM_ERROR_INSTALLATION : LAZYLLM_OK;
}

const char *lazyllm_result_message(lazyllm_result result)
{
    return is_loaded() ? calls.lazyllm_result_message(result) : result == failed ? failure : "";
}

void lazyllm_result_destroy(lazyllm_result result)
{
    if (is_loaded()) {
        calls.lazyllm_result_destroy(result);
    }
}
