/* Fragments of logs. */
#include "worker/store/sqlite/job.h"
#include "worker/store/sqlite/live.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

/* ---- adding ---- */

/* Adds a fragment. ERR_NOT_FOUND: it is there already. */
static enum err add_row(struct sqlite *q, const struct log_fragment *f, int64_t *ret_id)
{
    struct query r = query_of_type(q, SQL_FRAGMENT_ADD, f->job_id, f->type);

    query_str(&r, phase_names[f->phase]);
    query_int(&r, f->number);
    query_int(&r, f->at_ms);
    query_int(&r, sqlite_now_ms(q));
    query_blob(&r, (struct text){(const char *)f->key, sizeof f->key});
    enum err e = query_step(&r);
    if (!e)
        *ret_id = query_col_int(&r, 0);
    query_end(&r);
    return e;
}

static enum err add(struct sqlite *q, const struct log_fragment *f)
{
    int64_t id;
    enum err e = add_row(q, f, &id);

    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    struct query r = query_new(q, SQL_FRAGMENT_TEXT);
    query_int(&r, id);
    query_blob(&r, f->text);
    return query_run(&r);
}

enum err sqlite_logs_add(struct store *s, struct log_fragment *fragments, size_t n)
{
    struct sqlite *q = sqlite_of(s);

    for (size_t i = 0; i < n; i++) {
        enum err e = sqlite_write_begin(q);
        fragments[i].err = e ? e : sqlite_write_end(q, add(q, &fragments[i]));
    }
    return ERR_OK;
}

/* ---- looking ---- */

static enum err look(struct sqlite *q, struct log_look *l)
{
    struct query r = query_new(q, SQL_LOGS_LOOK);
    enum err e;

    for (int type = 0; type < OUTPUT_TYPES; type++) {
        l->types[type].count = 0;
        l->types[type].last = -1;
    }
    query_text(&r, l->job_id);
    while ((e = query_step(&r)) == ERR_OK) {
        int64_t type = query_col_int(&r, 0);
        if (type < 0 || type >= OUTPUT_TYPES)
            continue;
        l->types[type].count = query_col_int(&r, 1);
        l->types[type].last = query_col_int(&r, 2);
    }
    query_end(&r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_logs_look(struct store *s, struct log_look *looks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        looks[i].err = look(sqlite_of(s), &looks[i]);
    return ERR_OK;
}

enum err sqlite_logs_numbers(struct store *s, struct log_numbers *n)
{
    struct query r = query_of_type(sqlite_of(s), SQL_LOG_NUMBERS, n->job_id, n->type);
    struct log_number *numbers = NULL;
    size_t len = 0, room = 0;
    enum err e;

    query_int(&r, n->start);
    query_int(&r, LOG_NUMBERS_MAX);
    while ((e = query_step(&r)) == ERR_OK) {
        int phase = phase_of(query_col_text(&r, 0));
        if (phase < 0)
            continue;
        if (len == room)
            numbers = mem_realloc(numbers, (room = room ? 2 * room : 64) * sizeof *numbers);
        numbers[len++] = (struct log_number){phase, query_col_int(&r, 1)};
    }
    query_end(&r);
    if (e != ERR_NOT_FOUND) {
        free(numbers);
        return e;
    }
    n->numbers = numbers;
    n->len = len;
    return ERR_OK;
}

/* ---- reading ---- */

static enum err read_by(struct sqlite *q, enum sql statement, const struct log_read *read)
{
    struct query r = query_of_type(q, statement, read->job_id, read->type);
    bool more = true;
    enum err e = ERR_OK;

    query_int(&r, read->start);
    query_str(&r, read->phase < 0 ? NULL : phase_names[read->phase]);
    query_int(&r, read->since_ms);
    while (more && (e = query_step(&r)) == ERR_OK) {
        struct log_piece piece = {.phase = phase_of(query_col_text(&r, 0)),
                                  .number = query_col_int(&r, 1),
                                  .at_ms = query_col_int(&r, 2)};
        if (statement == SQL_LOG_READ)
            piece.text = query_col_text(&r, 3);
        else
            piece.text.len = (size_t)query_col_int(&r, 3);
        more = piece.phase < 0 || read->take(read->arg, &piece);
    }
    query_end(&r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_logs_read(struct store *s, const struct log_read *read)
{
    return read_by(sqlite_of(s), SQL_LOG_READ, read);
}

enum err sqlite_logs_sizes(struct store *s, const struct log_read *read)
{
    return read_by(sqlite_of(s), read->backwards ? SQL_LOG_SIZES_BACK : SQL_LOG_SIZES, read);
}

/* ---- taking ---- */

/* Where a reader of live output has stopped. */
struct mark {
    int64_t number, id;
};

/* Appends what a query gives, as much as fits; ends it. ERR_NOT_FOUND: nothing. */
static enum err read_texts(struct query *r, const struct live_take *t, struct mark *ret)
{
    size_t before = json_array_size(t->entries), size = 0;
    enum err e;

    while ((e = query_step(r)) == ERR_OK) {
        struct text text = query_col_text(r, 2);
        size += text.len + 1;
        if (size > t->max)
            break;
        live_entry_add(t->entries, text);
        *ret = (struct mark){query_col_int(r, 1), query_col_int(r, 0)};
    }
    query_end(r);
    if (e && e != ERR_NOT_FOUND)
        return e;
    return json_array_size(t->entries) > before ? ERR_OK : ERR_NOT_FOUND;
}

/* What the request took before. ERR_NOT_FOUND. */
static enum err take_again(struct sqlite *q, struct live_take *t)
{
    struct query r = query_of_type(q, SQL_LOG_AGAIN, t->job_id, t->type);
    struct mark mark;

    query_str(&r, t->asked.request_id);
    return read_texts(&r, t, &mark);
}

static enum err peek(struct sqlite *q, const struct live_take *t, struct mark *ret)
{
    struct query r = query_of_type(q, SQL_LOG_UNREAD, t->job_id, t->type);

    return read_texts(&r, t, ret);
}

static enum err take(struct sqlite *q, struct live_take *t)
{
    struct mark mark;
    enum err e = peek(q, t, &mark);

    if (e)
        return e;
    struct query r = query_of_type(q, SQL_LOG_TAKEN, t->job_id, t->type);
    query_int(&r, mark.number);
    query_int(&r, mark.id);
    query_str(&r, t->asked.request_id);
    return query_run(&r);
}

enum err sqlite_logs_take(struct store *s, struct live_take *t)
{
    static const struct live_source logs = {SQL_LOG_UNREAD, take_again, take};
    struct mark mark;

    t->again = false;
    return t->peek ? peek(sqlite_of(s), t, &mark) : sqlite_live_take(sqlite_of(s), t, &logs);
}
