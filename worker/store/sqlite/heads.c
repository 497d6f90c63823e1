#include "worker/store/sqlite/heads.h"

#include <stdlib.h>
#include <string.h>

enum {
    LOOK_ROWS = 1000,            /* jobs that exclude the agent, in one look */
    LOOK_BYTES = 8 * 1024 * 1024 /* of their lists */
};

bool head_before(const struct head *a, const struct head *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority;
    if (a->created_us != b->created_us)
        return a->created_us < b->created_us;
    return a->id < b->id;
}

/* An agent's name as a list of excluded ones has it; "" when it is no text and none has it. */
struct name {
    struct text agent;
    char *json;
    size_t len;
};

static bool contains(struct text list, const struct name *n)
{
    return n->len && memmem(list.s, list.len, n->json, n->len);
}

/* True when the row's list of excluded agents holds the agent. As text the name stands in quotes,
 * which no other name can hold without a backslash: the list need not be read to find it. */
static bool excludes(const struct query *r, int column, const struct name *n)
{
    struct text text = query_col_text(r, column);
    bool found = false;
    json_t *list, *name;
    size_t i;

    if (!n->agent.s || !text.s)
        return false;
    if (contains(text, n))
        return true;
    list = query_col_json(r, column); /* it may be written in another way */
    json_array_foreach (list, i, name)
        found = found || sqlite_text_is(n->agent, (struct text){json_string_value(name),
                                                                json_string_length(name)});
    json_decref(list);
    return found;
}

static struct sqlite_look *look_of(struct sqlite *q, struct text queue, struct text agent)
{
    uint64_t key = fnv_add_text(fnv_add_text(FNV_START, queue), agent) | 1;
    struct sqlite_look *look = &q->looks[(key >> 32) % SQLITE_LOOKS];

    if (look->key != key)
        *look = (struct sqlite_look){.key = key};
    return look;
}

static struct head row_head(const struct query *r)
{
    return (struct head){query_col_int(r, 0), query_col_int(r, 1), query_col_int(r, 2)};
}

/* Steps to the first row that does not exclude the agent, within the bounds of a look. *ret_last is
 * the last row. ERR_NOT_FOUND: none is left; ERR_FULL: none so far. */
static enum err look(struct query *r, const struct name *n, struct head *ret_last)
{
    size_t rows = 0, bytes = 0;
    enum err e;

    while ((e = query_step(r)) == ERR_OK) {
        *ret_last = row_head(r);
        if (!excludes(r, 3, n))
            return ERR_OK;
        bytes += query_col_text(r, 3).len;
        if (++rows == LOOK_ROWS || bytes > LOOK_BYTES)
            return ERR_FULL;
    }
    return e;
}

/* The look behind the first one. It begins where the last one of the same kind ended, as long as
 * there are further jobs. */
static enum err look_on(struct sqlite *q, struct text queue, const struct name *n, struct head *at)
{
    struct sqlite_look *place = look_of(q, queue, n->agent);
    struct head from = {place->id, place->priority, place->created_us};

    if (!place->id || head_before(&from, at))
        from = *at;
    struct query r = query_new(q, SQL_CLAIM_NEXT_AFTER);
    query_text(&r, queue);
    query_int(&r, from.priority);
    query_int(&r, from.created_us);
    query_int(&r, from.id);
    enum err e = look(&r, n, at);
    query_end(&r);
    if (e == ERR_FULL)
        from = *at;
    else if (e == ERR_NOT_FOUND) /* the next one begins behind the first look */
        from.id = 0;
    place->id = from.id;
    place->priority = from.priority;
    place->created_us = from.created_us;
    return e == ERR_FULL ? ERR_NOT_FOUND : e;
}

enum err head_of(struct sqlite *q, struct text queue, struct text agent, struct head *ret)
{
    struct query r = query_new(q, SQL_CLAIM_NEXT);
    struct name n = {.agent = agent};
    json_t *name = agent.s ? json_stringn(agent.s, agent.len) : NULL;
    enum err e = name ? sqlite_json(name, &n.json, &n.len) : ERR_OK;

    json_decref(name);
    query_text(&r, queue);
    if (!e)
        e = look(&r, &n, ret);
    query_end(&r);
    if (e == ERR_FULL)
        e = look_on(q, queue, &n, ret);
    free(n.json);
    return e;
}
