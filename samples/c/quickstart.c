#include "lazyllm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(lazyllm_result result)
{
    if (result != NULL) {
        fprintf(stderr, "%s\n", lazyllm_result_message(result));
        exit(1);
    }
}

int main(void)
{
    const char *model = "lazyllm/models/demo", *schedule = "4:0.5";
    const char *prompt = "Mira keeps the lamp in the attic. The old fox sleeps near the mill. Question: Where does Mira keep the lamp? Answer:";
    lazyllm_engine engine;
    lazyllm_session session;
    check(lazyllm_engine_open(model, strlen(model), NULL, &engine));
    check(lazyllm_session_open(engine, schedule, strlen(schedule), &session));
    check(lazyllm_session_append_text(session, prompt, strlen(prompt)));

    lazyllm_text stop = {".", 1};
    lazyllm_sampling sampling = {.struct_size = sizeof sampling, .stop_strings = &stop, .stop_string_count = 1, .max_tokens = 16};
    check(lazyllm_session_begin(session, &sampling));
    lazyllm_token token = {.struct_size = sizeof token};
    char text[256];
    do {
        check(lazyllm_session_next(session, NULL, &token, text, sizeof text));
        fwrite(text, 1, token.text_length, stdout);
    } while (token.finish == LAZYLLM_FINISH_NONE);
    printf("\n");
    check(lazyllm_session_close(session));
    check(lazyllm_engine_close(engine));
    return 0;
}
