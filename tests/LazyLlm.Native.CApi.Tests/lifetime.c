/* The library at its ends: lifetime LIBRARY MODEL reload|open|busy|atexit|signals. Exits with 0 if nothing went wrong. */
#define _GNU_SOURCE
#include "lazyllm.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    __typeof__(&lazyllm_engine_open) engine_open;
    __typeof__(&lazyllm_engine_close) engine_close;
    __typeof__(&lazyllm_session_open) session_open;
    __typeof__(&lazyllm_session_close) session_close;
    __typeof__(&lazyllm_session_append_text) session_append_text;
    __typeof__(&lazyllm_session_reset) session_reset;
    __typeof__(&lazyllm_session_next) session_next;
} calls;

static lazyllm_engine engine;
static lazyllm_session session;

static void require(int condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "%s\n", what);
        _exit(1);
    }
}

static void *find(void *library, const char *name)
{
    void *address = dlsym(library, name);
    require(address != NULL, name);
    return address;
}

static void *load(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    require(library != NULL, "dlopen");
    *(void **)&calls.engine_open = find(library, "lazyllm_engine_open");
    *(void **)&calls.engine_close = find(library, "lazyllm_engine_close");
    *(void **)&calls.session_open = find(library, "lazyllm_session_open");
    *(void **)&calls.session_close = find(library, "lazyllm_session_close");
    *(void **)&calls.session_append_text = find(library, "lazyllm_session_append_text");
    *(void **)&calls.session_reset = find(library, "lazyllm_session_reset");
    *(void **)&calls.session_next = find(library, "lazyllm_session_next");
    return library;
}

static void answer(void)
{
    lazyllm_token token = {.struct_size = sizeof token};
    char text[256];
    require(calls.session_reset(session) == NULL, "reset");
    require(calls.session_append_text(session, "Mira keeps the lamp in the attic. Question: Where does Mira keep the lamp? Answer:", 83) == NULL, "append");
    require(calls.session_next(session, NULL, &token, text, sizeof text) == NULL, "next");
}

static void open_all(const char *model)
{
    require(calls.engine_open(model, strlen(model), NULL, &engine) == NULL, "open");
    require(calls.session_open(engine, "4:0.5", 5, &session) == NULL, "session");
    answer();
}

static void close_all(void)
{
    require(calls.session_close(session) == NULL, "session close");
    require(calls.engine_close(engine) == NULL, "close");
}

static void *answer_for_ever(void *ignored)
{
    for (;;) {
        answer();
    }
    return ignored;
}

/* The host's own handler of a fault in its own code. */
static void on_fault(int signal)
{
    _exit(signal == SIGSEGV ? 0 : 1);
}

int main(int argc, char **argv)
{
    pthread_t thread;
    void *library;
    require(argc == 4, "usage: lifetime LIBRARY MODEL reload|open|busy|atexit|signals");
    if (strcmp(argv[3], "atexit") == 0) {
        /* Before the library's own handlers, so that it runs after them. */
        atexit(close_all);
    }
    if (strcmp(argv[3], "signals") == 0) {
        signal(SIGSEGV, on_fault);
        /* Whoever started this program may have it ignored, and that is inherited. */
        signal(SIGPIPE, SIG_DFL);
    }
    library = load(argv[1]);
    open_all(argv[2]);
    if (strcmp(argv[3], "reload") == 0) {
        for (int i = 0; i < 3; i++) {
            require(dlclose(library) == 0, "dlclose");
            /* Its threads are still there, and so is what was opened. */
            answer();
            library = load(argv[1]);
            answer();
        }
        close_all();
    } else if (strcmp(argv[3], "busy") == 0) {
        require(pthread_create(&thread, NULL, answer_for_ever, NULL) == 0, "pthread_create");
        usleep(50000);
    } else if (strcmp(argv[3], "signals") == 0) {
        struct sigaction on_pipe;
        require(sigaction(SIGPIPE, NULL, &on_pipe) == 0 && on_pipe.sa_handler == SIG_DFL, "SIGPIPE");
        *(volatile int *)8 = 1;
        return 1;
    }
    return 0;
}
