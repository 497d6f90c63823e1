/* The outbox: hands due lanes to a dispatcher. */
#include "worker/store/sqlite/sqlite.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>

/* A claimed lane. */
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

/* Chooses due lanes. c->more: there are others. */
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
        char *receiver = query_col_dup(&r, 1);
        if (c->accept(c->arg, receiver))
            lanes[n++] = (struct lane){.id = query_col_dup(&r, 0), .wake = query_col_int(&r, 2)};
        free(receiver);
    }
    query_end(&r);
    c->more = found == 2 * c->limit || found > n;
    *ret_n = n;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

/* Reads the head of a lane. ERR_NOT_FOUND: it has no pending event. */
static enum err read_head(struct sqlite *q, const struct lane *l, struct outbox_event *ret)
{
    struct query r = query_new(q, SQL_LANE_HEAD);

    query_str(&r, l->id);
    enum err e = query_step(&r);
    if (!e) {
        *ret = (struct outbox_event){
            .since_ms = query_col_int(&r, 5), .tries = query_col_int(&r, 6), .wake = l->wake};
        query_col_copy(&r, 0, ret->id, sizeof ret->id);
        ret->lane = mem_strdup(l->id);
        ret->job_id = query_col_dup(&r, 1);
        ret->receiver = query_col_dup(&r, 2);
        ret->url = query_col_dup(&r, 3);
        ret->body_len = query_col_text(&r, 4).len;
        ret->body = query_col_dup(&r, 4);
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

/* Removes a lane without pending events; the transaction keeps new ones out meanwhile. */
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
    /* Probe with a read first: polling dispatchers must not queue for the write lock. */
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
