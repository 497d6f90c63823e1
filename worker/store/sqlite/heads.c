#include "worker/store/sqlite/heads.h"

#include "common/clock.h"
#include "worker/encoding/json_string.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_BYTES (8 * MIB) /* limit of the lists of excluded agents read in one look */

/* An agent's name as it stands in a list of excluded ones; "": not a valid text, so in no list. */
struct name {
    struct text agent;
    char *json;
    size_t len;
};

static bool contains(struct text list, const struct name *n)
{
    return n->len && memmem(list.s, list.len, n->json, n->len);
}

/* Whether the row's list of excluded agents has the agent. Searches the JSON text for the quoted
 * name, which no other name contains without a backslash: mostly the list need not be parsed. */
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
    list = query_col_json(r, column); /* the name may be escaped differently */
    json_array_foreach (list, i, name)
        found = found || text_equal(n->agent, json_string_text(name));
    json_decref(list);
    return found;
}

/* A look at the jobs of a queue. */
struct search {
    struct sqlite *q;
    struct text queue;
    struct name name;
    struct job_place found;
};

/* Steps to the first row that does not exclude the agent, within the limits of a look. */
static enum err step_to_head(struct query *r, struct search *s, struct job_place *last)
{
    size_t rows = 0, bytes = 0;
    enum err e;

    while ((e = query_step(r)) == ERR_OK) {
        *last = (struct job_place){.id = query_col_int(r, 0),
                                   .priority = query_col_int(r, 1),
                                   .created = query_col_int(r, 2)};
        if (!excludes(r, 3, &s->name)) {
            s->found = *last;
            return ERR_OK;
        }
        bytes += query_col_text(r, 3).len;
        if (++rows == LOOK_JOBS || bytes > LOOK_BYTES)
            return ERR_FULL;
    }
    return e;
}

static enum err look(void *arg, const struct job_place *from, struct job_place *last)
{
    struct search *s = arg;
    struct query r = query_new(s->q, from ? SQL_CLAIM_NEXT_AFTER : SQL_CLAIM_NEXT);

    query_text(&r, s->queue);
    if (from) {
        query_int(&r, from->priority);
        query_int(&r, from->created);
        query_int(&r, from->id);
    }
    enum err e = step_to_head(&r, s, last);
    query_end(&r);
    return e;
}

enum err head_of(struct sqlite *q, struct text queue, struct text agent, struct job_place *ret)
{
    struct search s = {.q = q, .queue = queue, .name = {.agent = agent}};
    json_t *name = agent.s ? json_stringn(agent.s, agent.len) : NULL;
    enum err e = name ? sqlite_json(name, &s.name.json, &s.name.len) : ERR_OK;

    json_decref(name);
    if (!e)
        e = looks_find(&q->looks, looks_key(&queue, 1, agent), clock_mono_ms(), look, &s);
    if (!e)
        *ret = s.found;
    free(s.name.json);
    return e;
}
