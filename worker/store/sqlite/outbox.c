/* The outbox: events that come, and lanes that go to a dispatcher. */
#include "worker/store/sqlite/sqlite.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *column(const struct query *r, int n, size_t *ret_len)
{
    struct text t = query_col_text(r, n);

    if (ret_len)
        *ret_len = t.len;
    return mem_strndup(t.s ? t.s : "", t.len);
}

static void copy_id(char out[REQUEST_ID_SIZE], struct text id)
{
    size_t len = id.len < REQUEST_ID_SIZE ? id.len : REQUEST_ID_SIZE - 1;

    memset(out, 0, REQUEST_ID_SIZE);
    memcpy(out, id.s, len);
}

/* ---- events that come ---- */

/* An event of this id that was stored before. ERR_NOT_FOUND. */
static enum err find_repeat(struct sqlite *q, struct outbox_add *a)
{
    struct query r = query_new(q, SQL_EVENT_STATE);

    query_str(&r, a->id);
    enum err e = query_step(&r);
    if (!e)
        a->state = (enum outbox_state)query_col_int(&r, 0);
    query_end(&r);
    return e;
}

static enum err revive(struct sqlite *q, const char *id, int64_t now_ms)
{
    struct query r = query_new(q, SQL_EVENT_REVIVE);

    query_str(&r, id);
    query_int(&r, now_ms);
    return query_probe(&r);
}

/* An event of the same content that its receiver does not have; it is pending then.
 * ERR_NOT_FOUND. */
static enum err find_same(struct sqlite *q, struct outbox_add *a)
{
    struct query r = query_new(q, SQL_EVENT_SAME);
    bool dead = false;

    query_str(&r, a->lane);
    query_str(&r, a->url);
    query_str(&r, a->body);
    enum err e = query_step(&r);
    if (!e) {
        copy_id(a->stored_id, query_col_text(&r, 0));
        dead = query_col_int(&r, 1) == OUTBOX_DEAD;
    }
    query_end(&r);
    return !e && dead ? revive(q, a->stored_id, a->now_ms) : e;
}

static enum err insert(struct sqlite *q, const struct outbox_add *a)
{
    struct query r = query_new(q, SQL_EVENT_ADD);

    query_str(&r, a->id);
    query_str(&r, a->job_id);
    query_str(&r, a->lane);
    query_str(&r, a->receiver);
    query_str(&r, a->url);
    query_str(&r, a->body);
    query_int(&r, a->now_ms);
    return query_run(&r);
}

/* Gives a lane a further event; *ret_new: there was no such lane. */
static enum err wake(struct sqlite *q, const struct outbox_add *a, bool *ret_new)
{
    struct query r = query_new(q, SQL_LANE_WAKE);

    query_str(&r, a->lane);
    query_str(&r, a->receiver);
    query_int(&r, a->token ? a->lease_end_ms : a->now_ms);
    query_str(&r, a->token);
    enum err e = query_step(&r);
    if (!e)
        *ret_new = query_col_int(&r, 0) == 1;
    query_end(&r);
    return e;
}

static enum err add(struct sqlite *q, struct outbox_add *a)
{
    bool fresh = false;
    enum err e = a->repeat ? find_repeat(q, a) : ERR_NOT_FOUND;

    if (e == ERR_NOT_FOUND)
        e = find_same(q, a);
    if (e == ERR_NOT_FOUND)
        e = insert(q, a);
    if (e || a->state != OUTBOX_PENDING)
        return e;
    e = wake(q, a, &fresh);
    a->claimed = !e && fresh && a->token;
    return e;
}

enum err sqlite_outbox_add(struct store *s, struct outbox_add *events, size_t n)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);
    bool begun = !e;

    for (size_t i = 0; i < n; i++) {
        struct outbox_add *a = &events[i];
        a->state = OUTBOX_PENDING;
        a->claimed = false;
        copy_id(a->stored_id, (struct text){a->id, strlen(a->id)});
        a->err = !e && outbox_too_large(a) ? ERR_TOO_LARGE : ERR_OK;
        if (!e && !a->err)
            e = add(q, a);
    }
    if (begun)
        e = sqlite_write_end(q, e);
    for (size_t i = 0; e && i < n; i++)
        events[i].err = e;
    return n == 1 ? events[0].err : e;
}

/* ---- claims ---- */

/* A lane that is claimed. */
struct lane {
    char *id;
    int64_t wake;
};

/* The excluded receivers as JSON text, for the statement. */
static char *excluded(const struct outbox_claim *c)
{
    json_t *list = json_array();

    for (size_t i = 0; i < c->exclude_len; i++)
        json_array_append_new(list, json_string(c->exclude[i]));
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text ? text : mem_strdup("[]");
}

static struct query due_query(struct sqlite *q, const struct outbox_claim *c, const char *exclude,
                              size_t limit)
{
    struct query r = query_new(q, c->lane ? SQL_LANE_FREE : SQL_LANES_DUE);

    if (c->lane) {
        query_str(&r, c->lane);
        query_int(&r, c->now_ms);
        return r;
    }
    query_int(&r, c->now_ms);
    query_str(&r, exclude);
    query_int(&r, (int64_t)limit);
    return r;
}

/* Chooses lanes that are due. Others that were found, but not chosen, show in c->more. */
static enum err choose(struct sqlite *q, struct outbox_claim *c, const char *exclude,
                       struct lane lanes[OUTBOX_CLAIM_MAX], size_t *ret_n)
{
    struct query r = due_query(q, c, exclude, 2 * c->limit);
    size_t found = 0, n = 0;
    enum err e;

    while ((e = query_step(&r)) == ERR_OK) {
        found++;
        if (n == c->limit)
            continue;
        char *receiver = column(&r, 1, NULL);
        if (c->accept(c->arg, receiver))
            lanes[n++] = (struct lane){.id = column(&r, 0, NULL), .wake = query_col_int(&r, 2)};
        free(receiver);
    }
    query_end(&r);
    c->more = found == 2 * c->limit || (n == c->limit && found > n);
    *ret_n = n;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Reads the head of a lane. ERR_NOT_FOUND: nothing of it is pending. */
static enum err read_head(struct sqlite *q, const struct lane *l, struct outbox_event *ret)
{
    struct query r = query_new(q, SQL_LANE_HEAD);

    query_str(&r, l->id);
    enum err e = query_step(&r);
    if (!e) {
        *ret = (struct outbox_event){
            .since_ms = query_col_int(&r, 5), .tries = query_col_int(&r, 6), .wake = l->wake};
        copy_id(ret->id, query_col_text(&r, 0));
        ret->lane = mem_strdup(l->id);
        ret->job_id = column(&r, 1, NULL);
        ret->receiver = column(&r, 2, NULL);
        ret->url = column(&r, 3, NULL);
        ret->body = column(&r, 4, &ret->body_len);
        enum err next = query_step(&r);
        ret->more = next == ERR_OK;
    }
    query_end(&r);
    return e;
}

static enum err lane_take(struct sqlite *q, const struct lane *l, const struct outbox_claim *c)
{
    struct query r = query_new(q, SQL_LANE_TAKE);

    query_str(&r, l->id);
    query_int(&r, c->lease_end_ms);
    query_str(&r, c->token);
    return query_run(&r);
}

/* Nothing of the lane is pending, and nothing can come meanwhile. */
static enum err lane_drop(struct sqlite *q, const struct lane *l, const struct outbox_claim *c)
{
    struct query r = query_new(q, SQL_LANE_DROP);

    query_str(&r, l->id);
    query_str(&r, c->token);
    query_int(&r, l->wake);
    return query_run(&r);
}

static enum err claim(struct sqlite *q, struct outbox_claim *c, const char *exclude)
{
    struct lane lanes[OUTBOX_CLAIM_MAX];
    size_t n = 0;
    enum err e = choose(q, c, exclude, lanes, &n);

    for (size_t i = 0; i < n; i++) {
        if (!e)
            e = lane_take(q, &lanes[i], c);
        if (!e)
            e = read_head(q, &lanes[i], &c->events[c->len]);
        if (!e)
            snprintf(c->events[c->len++].token, OUTBOX_TOKEN_SIZE, "%s", c->token);
        if (e == ERR_NOT_FOUND)
            e = lane_drop(q, &lanes[i], c);
        free(lanes[i].id);
    }
    return e;
}

enum err sqlite_outbox_claim(struct store *s, struct outbox_claim *c)
{
    struct sqlite *q = sqlite_of(s);
    char *exclude = excluded(c);

    c->len = 0;
    c->more = false;
    if (c->limit > OUTBOX_CLAIM_MAX)
        c->limit = OUTBOX_CLAIM_MAX;
    /* Whoever only asks whether something is due does not wait for writers. */
    struct query r = due_query(q, c, exclude, 1);
    enum err e = query_probe(&r);
    if (!e)
        e = sqlite_write_begin(q);
    if (!e)
        e = sqlite_write_end(q, claim(q, c, exclude));
    free(exclude);
    if (e == ERR_NOT_FOUND)
        return ERR_OK;
    for (size_t i = 0; e && i < c->len; i++)
        outbox_event_free(&c->events[i]);
    if (e)
        c->len = 0;
    return e;
}
