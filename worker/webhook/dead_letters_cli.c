#include "worker/webhook/dead_letters_cli.h"

#include "common/mem.h"
#include "worker/events/dead_letter_view.h"
#include "worker/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRAM "testflinger-webhook"

bool dead_letters_cli_args(struct dead_letters_cli *l, int *argc, char **argv)
{
    int n = 0;

    *l = (struct dead_letters_cli){0};
    for (int i = 0; i < *argc; i++) {
        if (strcmp(argv[i], "--help") == 0)
            puts("Events that were given up, straight in the store:\n"
                 "  --list-dead\n      show them, a JSON object a line, and end\n"
                 "  --resend ID|all\n      give one, or all, another chance, and end\n");
        if (strcmp(argv[i], "--list-dead") == 0)
            l->list = true;
        else if (strncmp(argv[i], "--resend=", 9) == 0)
            l->resend = argv[i] + 9;
        else if (strcmp(argv[i], "--resend") == 0 && i + 1 < *argc)
            l->resend = argv[++i];
        else
            argv[n++] = argv[i];
    }
    *argc = n;
    argv[n] = NULL;
    if (!l->list || !l->resend)
        return true;
    fputs(PROGRAM ": either --list-dead or --resend\n", stderr);
    return false;
}

static int fail(enum err e)
{
    fprintf(stderr, PROGRAM ": the store: %s\n", err_text(e));
    return 1;
}

/* All letters, oldest first, by pages. */
static enum err list_all(struct store *s)
{
    char after[64] = "";
    enum err e = ERR_OK;
    size_t n = OUTBOX_PAGE_MAX;

    while (!e && n == OUTBOX_PAGE_MAX) {
        const struct outbox_page page = {.after = *after ? after : NULL, .limit = OUTBOX_PAGE_MAX};
        json_t *letters = NULL, *letter;
        size_t i;
        e = store_outbox_dead(s, &page, &letters);
        n = e ? 0 : json_array_size(letters);
        dead_letter_view_fill(letters);
        json_array_foreach (letters, i, letter) {
            json_dumpf(letter, stdout, JSON_ENSURE_ASCII);
            putchar('\n');
            snprintf(after, sizeof after, "%s", json_string_value(json_object_get(letter, "id")));
        }
        json_decref(letters);
    }
    return e;
}

static enum err resend(struct store *s, json_t *letter)
{
    const char *id = json_string_value(json_object_get(letter, "id"));
    enum err e = store_outbox_resend(s, id, store_now_ms(s));

    if (!e)
        printf("%s\n", id);
    return e == ERR_NOT_FOUND ? ERR_OK : e; /* another process revived it */
}

/* Revives the letters that exist now; one that fails again meanwhile is a new letter. Revived
 * letters leave the list, so each page is read from its start. */
static enum err resend_all(struct store *s)
{
    const struct outbox_page page = {.limit = OUTBOX_PAGE_MAX};
    int64_t start = store_now_ms(s);
    enum err e = ERR_OK;
    size_t n = 1;

    while (!e && n) {
        json_t *letters = NULL, *letter;
        size_t i;
        e = store_outbox_dead(s, &page, &letters);
        n = 0;
        json_array_foreach (letters, i, letter) {
            bool old = json_integer_value(json_object_get(letter, "dead_ms")) < start;
            if (!e && old)
                e = resend(s, letter);
            n += old;
        }
        json_decref(letters);
    }
    return e;
}

int dead_letters_cli_run(const struct dead_letters_cli *l, const struct config *cfg,
                         const char *store_uri)
{
    struct store *s = NULL;
    enum err e = store_open(store_uri, cfg, &s);

    if (!e && l->list)
        e = list_all(s);
    else if (!e && strcmp(l->resend, "all") == 0)
        e = resend_all(s);
    else if (!e)
        e = store_outbox_resend(s, l->resend, store_now_ms(s));
    store_close(s);
    if (e == ERR_NOT_FOUND) {
        fprintf(stderr, PROGRAM ": there is no dead letter %s\n", l->resend ? l->resend : "");
        return 1;
    }
    return e ? fail(e) : 0;
}
