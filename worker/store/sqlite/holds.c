/* Agents out of service and paused queues: a small table, read at each claim. */
#include "worker/store/sqlite/sqlite.h"

#include "common/clock.h"

/* Whether there is any hold between two keys. ERR_NOT_FOUND. */
static enum err find(struct sqlite *q, const char *first, const char *last)
{
    struct query r = query_new(q, SQL_HOLD);

    query_str(&r, first);
    query_str(&r, last);
    query_int(&r, sqlite_now_ms(q));
    return query_probe(&r);
}

/* Whether there is any of either kind: a claim looks for its agent and all its queues. */
static enum err find_any(struct sqlite *q)
{
    char first[HOLD_ID_SIZE], last[HOLD_ID_SIZE], unused[HOLD_ID_SIZE];

    hold_range(HOLD_AGENT, first, unused);
    hold_range(HOLD_QUEUE, unused, last);
    return find(q, first, last);
}

static enum err look(struct sqlite *q, const struct hold_look *l)
{
    char first[HOLD_ID_SIZE], last[HOLD_ID_SIZE];

    if (!l->name.s) {
        hold_range(l->kind, first, last);
        return find(q, first, last);
    }
    return hold_id(l->kind, l->name, first) ? find(q, first, first) : ERR_NOT_FOUND;
}

enum err sqlite_holds_find(struct store *s, struct hold_look *looks, size_t n)
{
    struct sqlite *q = sqlite_of(s);
    enum err any = n > 1 ? find_any(q) : ERR_OK;

    if (any && any != ERR_NOT_FOUND)
        return any;
    for (size_t i = 0; i < n; i++) {
        enum err e = any ? any : look(q, &looks[i]);
        if (e && e != ERR_NOT_FOUND)
            return e;
        looks[i].held = !e;
    }
    return ERR_OK;
}

/* Whether there is room for one more. */
static enum err check_room(struct sqlite *q, const char *id)
{
    struct query purge = query_new(q, SQL_HOLDS_PURGE);
    query_int(&purge, sqlite_now_ms(q));
    enum err e = query_run(&purge);
    if (e)
        return e;
    struct query r = query_new(q, SQL_HOLDS_COUNT);
    query_str(&r, id);
    e = query_step(&r);
    if (!e && query_col_int(&r, 0) >= HOLDS_MAX)
        e = ERR_CONFLICT;
    query_end(&r);
    return e;
}

static enum err set(struct sqlite *q, const char *id, const struct hold *h)
{
    enum err e = check_room(q, id);

    if (e)
        return e;
    struct query r = query_new(q, SQL_HOLD_PUT);
    query_str(&r, id);
    query_str(&r, h->mode);
    query_given(&r, h->by);
    query_text(&r, h->reason);
    query_int(&r, h->at_ms);
    query_int_or_null(&r, h->until_ms);
    return query_run(&r);
}

static enum err drop(struct sqlite *q, const char *id, const struct hold *h)
{
    struct query r = query_new(q, SQL_HOLD_DROP);

    query_str(&r, id);
    query_str(&r, h->only);
    query_int(&r, h->at_ms);
    return query_run(&r);
}

enum err sqlite_hold_put(struct store *s, const struct hold *h)
{
    struct sqlite *q = sqlite_of(s);
    char id[HOLD_ID_SIZE];

    if (!hold_id(h->kind, h->name, id))
        return ERR_INTERNAL;
    enum err e = sqlite_write_begin(q);
    return e ? e : sqlite_write_end(q, h->mode ? set(q, id, h) : drop(q, id, h));
}

static json_t *text_or_null(struct text t)
{
    return t.s ? json_stringn(t.s, t.len) : json_null();
}

static json_t *date_or_null(int64_t ms)
{
    char date[CLOCK_TEXT_SIZE];

    if (!ms)
        return json_null();
    clock_rfc3339(ms, date);
    return json_string(date);
}

enum err sqlite_holds_list(struct store *s, enum hold_kind kind, struct text name, json_t **ret)
{
    struct sqlite *q = sqlite_of(s);
    struct query r = query_new(q, SQL_HOLDS);
    char first[HOLD_ID_SIZE], last[HOLD_ID_SIZE];
    json_t *list = json_object();
    enum err e;

    if (!hold_range_of(kind, name, first, last))
        *first = *last = 0;
    query_str(&r, first);
    query_str(&r, last);
    query_int(&r, sqlite_now_ms(q));
    while ((e = query_step(&r)) == ERR_OK)
        json_object_set_new(list, query_col_str(&r, 0) + 2,
                            json_pack("{s:s, s:o, s:o, s:o, s:o}", "mode", query_col_str(&r, 1),
                                      "by", text_or_null(query_col_text(&r, 2)), "reason",
                                      text_or_null(query_col_text(&r, 3)), "at",
                                      date_or_null(query_col_int(&r, 4)), "until",
                                      date_or_null(query_col_int(&r, 5))));
    query_end(&r);
    if (e != ERR_NOT_FOUND) {
        json_decref(list);
        return e;
    }
    *ret = list;
    return ERR_OK;
}
