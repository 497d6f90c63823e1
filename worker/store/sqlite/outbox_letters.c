/* The outbox: states of events, dead letters, upkeep. */
#include "worker/store/sqlite/sqlite.h"

#include <string.h>

enum err sqlite_outbox_look(struct store *s, const char *id, struct outbox_look *ret)
{
    struct query r = query_new(sqlite_of(s), SQL_EVENT_LOOK);

    query_str(&r, id);
    enum err e = query_step(&r);
    if (!e) {
        struct text answer = query_col_text(&r, 2);
        ret->state = (enum outbox_state)query_col_int(&r, 0);
        ret->status = (int)query_col_int(&r, 1);
        ret->answer_len = answer.len < sizeof ret->answer ? answer.len : sizeof ret->answer;
        memcpy(ret->answer, answer.s ? answer.s : "", ret->answer_len);
        ret->due_ms = ret->state == OUTBOX_PENDING ? query_col_int(&r, 3) : 0;
    }
    query_end(&r);
    return e;
}

/* ---- dead letters ---- */

static json_t *text_of(const struct query *r, int column)
{
    struct text t = query_col_text(r, column);

    return json_stringn(t.s ? t.s : "", t.len);
}

static json_t *letter(const struct query *r)
{
    static const char *const texts[] = {"id", "job_id", "receiver", "url", "reason"};
    static const char *const numbers[] = {"tries", "status", "created_ms", "dead_ms"};
    json_t *o = json_object(), *answer = text_of(r, 5);

    for (int i = 0; i < 5; i++)
        json_object_set_new(o, texts[i], text_of(r, i));
    json_object_set_new(o, "answer", answer ? answer : json_string("(not text)"));
    for (int i = 0; i < 4; i++)
        json_object_set_new(o, numbers[i], json_integer(query_col_int(r, 6 + i)));
    return o;
}

/* When the event of this id died. ERR_NOT_FOUND: it is not dead. */
static enum err dead_at(struct sqlite *q, const char *id, int64_t *ret)
{
    struct query r = query_new(q, SQL_EVENT_DEAD_AT);

    query_str(&r, id);
    enum err e = query_step(&r);
    if (!e)
        *ret = query_col_int(&r, 0);
    query_end(&r);
    return e;
}

enum err sqlite_outbox_dead(struct store *s, const struct outbox_page *page, json_t **ret)
{
    struct sqlite *q = sqlite_of(s);
    json_t *all = json_array();
    int64_t after = INT64_MIN;
    enum err e = page->after ? dead_at(q, page->after, &after) : ERR_OK;

    if (!e) {
        struct query r = query_new(q, SQL_EVENTS_DEAD);
        query_int(&r, after);
        query_str(&r, page->after ? page->after : "");
        query_int(&r, (int64_t)page->limit);
        while ((e = query_step(&r)) == ERR_OK)
            json_array_append_new(all, letter(&r));
        query_end(&r);
        if (e == ERR_NOT_FOUND)
            e = ERR_OK;
    }
    if (e)
        json_decref(all);
    else
        *ret = all;
    return e;
}

static enum err resend(struct sqlite *q, const char *id, int64_t now_ms)
{
    struct query event = query_new(q, SQL_EVENT_REVIVE);

    query_str(&event, id);
    query_int(&event, now_ms);
    enum err e = query_step(&event);
    if (!e) {
        struct query lane = query_new(q, SQL_LANE_WAKE);
        query_text(&lane, query_col_text(&event, 0));
        query_text(&lane, query_col_text(&event, 1));
        query_int(&lane, now_ms);
        query_str(&lane, NULL);
        e = query_probe(&lane);
    }
    query_end(&event);
    return e;
}

enum err sqlite_outbox_resend(struct store *s, const char *id, int64_t now_ms)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, resend(q, id, now_ms));
}

/* ---- upkeep ---- */

static struct query purge_query(struct sqlite *q, enum sql which, enum outbox_state state,
                                int64_t before_ms)
{
    struct query r = query_new(q, which);

    query_int(&r, state);
    query_int(&r, before_ms);
    return r;
}

static enum err purge(struct sqlite *q, enum outbox_state state, int64_t before_ms,
                      struct outbox_purge *p)
{
    struct query old = purge_query(q, SQL_EVENT_OLD, state, before_ms);
    enum err e = query_probe(&old);

    if (e == ERR_NOT_FOUND)
        return ERR_OK; /* probe first: no write lock for nothing */
    if (!e)
        e = sqlite_write_begin(q);
    if (e)
        return e;
    struct query r = purge_query(q, SQL_EVENTS_PURGE, state, before_ms);
    query_int(&r, (int64_t)p->limit);
    e = query_run(&r);
    size_t removed = e ? 0 : (size_t)query_changes(&r);
    e = sqlite_write_end(q, e);
    if (!e)
        p->removed += removed;
    return e;
}

/* Transactions leave nothing half-done: `mend` has no work. */
enum err sqlite_outbox_purge(struct store *s, struct outbox_purge *p)
{
    struct sqlite *q = sqlite_of(s);

    p->removed = 0;
    enum err e = purge(q, OUTBOX_DELIVERED, p->delivered_before_ms, p);
    return e ? e : purge(q, OUTBOX_DEAD, p->dead_before_ms, p);
}

enum err sqlite_outbox_count(struct store *s, struct outbox_backlog *ret)
{
    struct query r = query_new(sqlite_of(s), SQL_EVENTS_COUNT);
    enum err e = query_step(&r);

    if (!e)
        *ret = (struct outbox_backlog){query_col_int(&r, 0), query_col_int(&r, 1),
                                       query_col_int(&r, 2)};
    query_end(&r);
    return e;
}
