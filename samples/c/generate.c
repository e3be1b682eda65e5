/* Asks the demo model about a document, under a pruning schedule: generate MODEL [SCHEDULE]. */
#include "lazyllm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(lazyllm_result result)
{
    if (lazyllm_result_code(result) != LAZYLLM_OK) {
        fprintf(stderr, "error %d: %s\n", (int)lazyllm_result_code(result), lazyllm_result_message(result));
        lazyllm_result_destroy(result);
        exit(1);
    }
}

/* Told after every layer of the prefill; a non-zero return would cancel it. */
static int32_t on_progress(void *user_data, uint64_t done, uint64_t total)
{
    (void)total;
    *(uint64_t *)user_data = done;
    return 0;
}

int main(int argc, char **argv)
{
    const char *prompt = "Mira keeps the lamp in the attic. The old fox sleeps near the mill. Question: Where does Mira keep the lamp? Answer:";
    const char *schedule = argc > 2 ? argv[2] : "none";
    if (argc < 2 || lazyllm_abi_version() != LAZYLLM_ABI_VERSION) {
        fprintf(stderr, "usage: generate MODEL [SCHEDULE]; the library's ABI is %u, the header's %u\n", lazyllm_abi_version(), LAZYLLM_ABI_VERSION);
        return 2;
    }

    lazyllm_engine_options options = {.struct_size = sizeof options, .device = {"cpu", 3}};
    lazyllm_engine engine;
    check(lazyllm_engine_open(argv[1], strlen(argv[1]), &options, &engine));
    lazyllm_session session;
    check(lazyllm_session_open(engine, schedule, strlen(schedule), &session));
    check(lazyllm_session_append_text(session, prompt, strlen(prompt)));

    uint64_t layers = 0;
    lazyllm_step_options step = {.struct_size = sizeof step, .progress = on_progress, .user_data = &layers};
    check(lazyllm_session_prefill(session, &step));

    lazyllm_text stop = {".", 1};
    lazyllm_sampling sampling = {.struct_size = sizeof sampling, .stop_strings = &stop, .stop_string_count = 1, .max_tokens = 16};
    check(lazyllm_session_begin(session, &sampling));
    lazyllm_token token = {.struct_size = sizeof token};
    do {
        char text[256];
        check(lazyllm_session_next(session, NULL, &token, text, sizeof text));
        fwrite(text, 1, token.text_length, stdout);
    } while (token.finish == LAZYLLM_FINISH_NONE);

    lazyllm_statistics statistics = {.struct_size = sizeof statistics};
    check(lazyllm_session_statistics(session, &statistics));
    printf("\n%llu layers, %lld of %lld (token, layer) pairs computed\n", (unsigned long long)layers,
           (long long)statistics.computed_pairs, (long long)statistics.dense_pairs);
    check(lazyllm_session_close(session));
    check(lazyllm_engine_close(engine));
    return 0;
}
