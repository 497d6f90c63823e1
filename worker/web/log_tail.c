#include "worker/web/log_tail.h"

#include "common/utf8.h"
#include "worker/encoding/json_string.h"
#include "worker/handlers/result_fields.h"

#include <stdlib.h>
#include <string.h>

#define PIECES_FIRST 4 /* fragments of the first look at the end of a log; each next one has more */

/* ---- plain text ---- */

/* Bytes of the escape sequence at s, which begins with ESC: CSI, OSC and the like, or a letter with
 * marks before it. */
static size_t escape_len(const char *s, size_t left)
{
    size_t i = 2;

    if (left < 2)
        return left;
    if (s[1] >= ' ' && s[1] <= '/') {
        while (i < left && s[i] >= ' ' && s[i] <= '/')
            i++;
        return i < left ? i + 1 : left;
    }
    if (s[1] == '[') {
        while (i < left && !(s[i] >= '@' && s[i] <= '~'))
            i++;
        return i < left ? i + 1 : left;
    }
    if (s[1] != ']' && s[1] != 'P' && s[1] != '^' && s[1] != '_')
        return 2;
    while (i < left && s[i] != '\a' && s[i] != '\n' && !(s[i] == '\033' && i + 1 < left))
        i++;
    return i < left && s[i] == '\033' ? i + 2 : i < left && s[i] == '\a' ? i + 1 : i;
}

size_t log_plain(char *s, size_t len)
{
    size_t n = 0, line = 0;

    for (size_t i = 0; i < len;) {
        if (s[i] == '\033') {
            i += escape_len(s + i, len - i);
        } else if (s[i] == '\r') {
            i++;
            if (i < len && s[i] != '\n' && s[i] != '\r')
                n = line;
        } else if (((unsigned char)s[i] < ' ' && s[i] != '\n' && s[i] != '\t') || s[i] == 0x7f) {
            i++;
        } else {
            s[n++] = s[i];
            if (s[i++] == '\n')
                line = n;
        }
    }
    return n;
}

/* ---- reading ---- */

/* The end of what comes, up to `max` bytes. */
struct ring {
    struct log_tail *tail;
    size_t max;
};

static void keep(struct ring *r, struct text t)
{
    struct buf *b = &r->tail->text;
    size_t skip = t.len > r->max ? t.len - r->max : 0;

    r->tail->is_there = true;
    if (skip || b->len + t.len > r->max) {
        size_t drop = b->len + t.len - skip - r->max;
        drop = skip || drop > b->len ? b->len : drop;
        if (b->len)
            memmove(b->data, b->data + drop, b->len - drop);
        b->len -= drop;
        r->tail->cut = true;
    }
    if (buf_add(b, t.s + skip, t.len - skip))
        r->tail->cut = true; /* cannot be: it has room for max bytes */
}

static bool take_piece(void *arg, const struct log_piece *piece)
{
    keep(arg, piece->text);
    return true;
}

static bool take_live(void *arg, const struct log_piece *piece)
{
    struct ring *rings = arg;
    static const char end[] = "\n";

    if (piece->phase < 0 || !rings[piece->phase].max)
        return true;
    keep(&rings[piece->phase], piece->text);
    keep(&rings[piece->phase], (struct text){end, 1});
    return true;
}

/* The numbers of a phase's fragments, of those that were looked up. */
static size_t numbers_of(const struct log_numbers *all, int phase, int64_t *ret)
{
    size_t n = 0;

    for (size_t i = 0; i < all->len; i++)
        if (all->numbers[i].phase == phase)
            ret[n++] = all->numbers[i].number;
    return n;
}

/* Reads from the end: some fragments, then four times as many, until there are enough bytes. */
static enum err read_end(struct store *s, struct log_read read, const int64_t *numbers, size_t n,
                         struct ring *r)
{
    enum err e = ERR_OK;

    for (size_t want = PIECES_FIRST; n && !e; want *= 4) {
        size_t first = n > want ? n - want : 0;
        r->tail->text.len = 0;
        r->tail->cut = first > 0;
        read.start = numbers[first];
        e = store_logs_read(s, &read);
        if (first == 0 || r->tail->text.len >= r->max)
            break;
    }
    return e;
}

static enum err read_fragments(struct call *c, const struct log_read *like,
                               const struct log_numbers *all, struct ring rings[PHASE_COUNT])
{
    int64_t *numbers = malloc((all->len + 1) * sizeof *numbers);
    enum err e = numbers ? ERR_OK : ERR_UNAVAILABLE;

    for (int i = 0; i < PHASE_COUNT && !e; i++) {
        struct log_read read = *like;
        size_t n = rings[i].max ? numbers_of(all, i, numbers) : 0;
        read.phase = i;
        read.arg = &rings[i];
        e = read_end(c->store, read, numbers, n, &rings[i]);
    }
    free(numbers);
    return e;
}

/* Texts that older agents posted as fields. */
static void take_fields(const json_t *result, enum output_type type, struct ring rings[PHASE_COUNT])
{
    char name[RESULT_NAME_SIZE];

    for (int i = 0; i < PHASE_COUNT; i++) {
        result_name(i, type, name);
        const json_t *value = json_object_get(result, name);
        if (!json_is_string(value) || !rings[i].max || rings[i].tail->is_there)
            continue;
        keep(&rings[i], json_string_text(value));
        rings[i].max = 0; /* its live output is in it */
    }
}

/* Cuts a tail to whole lines of readable UTF-8. */
static void tidy(struct log_tail *t)
{
    char *s = t->text.data, *line = t->cut && t->text.len ? memchr(s, '\n', t->text.len) : NULL;
    size_t from = line ? (size_t)(line - s) + 1 : 0, n = 0;

    for (size_t i = from, len; i < t->text.len; i += len ? len : 1) {
        len = utf8_sequence(s + i, t->text.len - i);
        memmove(s + n, len ? s + i : "?", len ? len : 1);
        n += len ? len : 1;
    }
    t->text.len = log_plain(s, n);
}

enum err log_tails_read(struct call *c, struct text job_id, enum output_type type,
                        const json_t *result, const size_t max[PHASE_COUNT],
                        struct log_tail tails[PHASE_COUNT])
{
    struct log_look look = {.job_id = job_id};
    struct log_numbers numbers = {.job_id = job_id, .type = type};
    struct log_read like = {
        .job_id = job_id, .type = type, .since_ms = INT64_MIN, .take = take_piece};
    struct ring rings[PHASE_COUNT];

    for (int i = 0; i < PHASE_COUNT; i++) {
        tails[i] = (struct log_tail){.text = BUF_INIT(max[i] + 1)};
        rings[i] = (struct ring){&tails[i], max[i]};
    }
    enum err e = store_logs_look(c->store, &look, 1);
    if (!e)
        e = look.err;
    if (!e && look.types[type].last >= LOG_NUMBERS_MAX)
        numbers.start = look.types[type].last - LOG_NUMBERS_MAX + 1;
    if (!e && look.types[type].count)
        e = store_logs_numbers(c->store, &numbers);
    if (!e && numbers.len)
        e = read_fragments(c, &like, &numbers, rings);
    free(numbers.numbers);
    if (!e)
        take_fields(result, type, rings);
    if (!e && !look.types[type].count)
        e = store_output_view(c->store, job_id, type, take_live, rings);
    for (int i = 0; i < PHASE_COUNT; i++)
        tidy(&tails[i]);
    return e;
}

void log_tails_free(struct log_tail tails[PHASE_COUNT])
{
    for (int i = 0; i < PHASE_COUNT; i++)
        buf_free(&tails[i].text);
}
