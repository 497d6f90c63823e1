#include "common/follow.h"

#include "common/file.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- places ---- */

static int log_print(const struct follow_log *l, char *out, size_t size)
{
    return l->skip ? snprintf(out, size, "%" PRId64 "+%" PRId64, l->number, l->skip)
                   : snprintf(out, size, "%" PRId64, l->number);
}

void follow_at_print(const struct follow_at *at, char out[FOLLOW_AT_SIZE])
{
    char logs[FOLLOW_LOGS][48];

    for (int i = 0; i < FOLLOW_LOGS; i++)
        log_print(&at->logs[i], logs[i], sizeof logs[i]);
    snprintf(out, FOLLOW_AT_SIZE, "%s.%s.%" PRId64, logs[0], logs[1], at->history);
}

/* Takes what stands before a mark, and the mark; all of it where there is none. */
static struct text take_until(struct text *t, char mark)
{
    const char *end = t->len ? memchr(t->s, mark, t->len) : NULL;
    size_t len = end ? (size_t)(end - t->s) : t->len;
    struct text taken = {t->s, len};

    *t = (struct text){t->s + len + (end != NULL), t->len - len - (end != NULL)};
    return taken;
}

/* file_number_parse() would take blanks, signs and what stands behind a NUL. */
static bool number_parse(struct text t, int64_t *ret)
{
    for (size_t i = 0; i < t.len; i++)
        if (t.s[i] < '0' || t.s[i] > '9')
            return false;
    return file_number_parse(t, ret);
}

static bool log_parse(struct text t, struct follow_log *ret)
{
    struct text number = take_until(&t, '+');

    ret->skip = 0;
    return number_parse(number, &ret->number) && (!t.len || number_parse(t, &ret->skip));
}

bool follow_at_parse(struct text t, struct follow_at *ret)
{
    *ret = (struct follow_at){0};
    for (int i = 0; i < FOLLOW_LOGS; i++)
        if (!log_parse(take_until(&t, '.'), &ret->logs[i]))
            return false;
    return number_parse(t, &ret->history);
}

bool follow_log_before(const struct follow_log *a, const struct follow_log *b)
{
    return a->number < b->number || (a->number == b->number && a->skip < b->skip);
}

void follow_at_earliest(struct follow_at *at, const struct follow_at *other)
{
    for (int i = 0; i < FOLLOW_LOGS; i++)
        if (follow_log_before(&other->logs[i], &at->logs[i]))
            at->logs[i] = other->logs[i];
    if (other->history < at->history)
        at->history = other->history;
}

/* ---- events ---- */

int follow_line_print(const struct follow_event *event, char out[FOLLOW_LINE_SIZE])
{
    char at[FOLLOW_AT_SIZE];

    follow_at_print(&event->at, at);
    return snprintf(out, FOLLOW_LINE_SIZE, "%s %d %" PRIx64 "\n", at, (int)event->kind,
                    event->state);
}

static bool state_parse(struct text t, uint64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < t.len; i++) {
        if (hex_value(t.s[i]) < 0)
            return false;
        *ret = *ret << 4 | (uint64_t)hex_value(t.s[i]);
    }
    return t.len > 0 && t.len <= 16;
}

bool follow_event_take(struct text *body, struct follow_event *ret)
{
    struct text rest = *body, line = take_until(&rest, '\n');
    struct text at = take_until(&line, ' '), kind = take_until(&line, ' ');
    const char *end = rest.len ? memmem(rest.s, rest.len, "\n\n", 2) : NULL;
    int64_t number;

    if (!end || !follow_at_parse(at, &ret->at) || !number_parse(kind, &number) ||
        number >= FOLLOW_KINDS || !state_parse(line, &ret->state))
        return false;
    ret->kind = (enum follow_kind)number;
    ret->text = (struct text){rest.s, (size_t)(end - rest.s) + 2};
    *body = (struct text){rest.s + ret->text.len, rest.len - ret->text.len};
    return true;
}
