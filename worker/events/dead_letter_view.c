#include "worker/events/dead_letter_view.h"

#include "common/clock.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Strips credentials (user:password@) from the URL. */
static void hide_user(json_t *letter)
{
    const char *url = json_string_value(json_object_get(letter, "url"));
    const char *start = url ? strstr(url, "://") : NULL;

    if (!start)
        return;
    start += 3;
    const char *at = memrchr(start, '@', strcspn(start, "/?#"));
    if (!at)
        return;
    size_t size = strlen(url) + 8;
    char *hidden = mem_alloc(size);
    snprintf(hidden, size, "%.*s***%s", (int)(start - url), url, at);
    json_object_set_new(letter, "url", json_string(hidden));
    free(hidden);
}

static void show_time(json_t *letter, const char *ms, const char *name)
{
    char text[CLOCK_TEXT_SIZE];

    clock_rfc3339(json_integer_value(json_object_get(letter, ms)), text);
    json_object_del(letter, ms);
    json_object_set_new(letter, name, json_string(text));
}

void dead_letter_view_fill(json_t *letters)
{
    json_t *letter;
    size_t i;

    json_array_foreach (letters, i, letter) {
        hide_user(letter);
        show_time(letter, "created_ms", "created_at");
        show_time(letter, "dead_ms", "dead_at");
    }
}
