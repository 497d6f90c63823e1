/* Lists of queues and agents, and the provision logs. */
#include "worker/store/sqlite/sqlite.h"

#include "common/clock.h"
#include "common/mem.h"
#include "worker/encoding/json_string.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static enum err describe(struct sqlite *q, const char *request_id, const json_t *descriptions)
{
    int64_t now = sqlite_now_ms(q);
    const char *name;
    json_t *text;
    enum err e = ERR_OK;

    json_object_foreach ((json_t *)(uintptr_t)descriptions, name, text) {
        struct query r;
        if (e)
            continue;
        r = query_new(q, SQL_QUEUE_DESCRIBE);
        query_str(&r, name);
        query_text(&r, json_string_text(text));
        query_int(&r, now);
        query_str(&r, request_id);
        e = query_run(&r);
    }
    return e;
}

/* Whether the queues have these descriptions, posted within AGE_MS: polling agents must not queue
 * for the write lock. */
static bool are_known(struct sqlite *q, const json_t *descriptions)
{
    int64_t now = sqlite_now_ms(q);
    const char *name;
    json_t *text;
    bool known = true;

    json_object_foreach ((json_t *)(uintptr_t)descriptions, name, text) {
        struct query r;
        if (!known)
            break;
        r = query_new(q, SQL_QUEUE_DESCRIPTION);
        query_str(&r, name);
        known = query_step(&r) == ERR_OK &&
                text_equal(query_col_text(&r, 0), json_string_text(text)) &&
                llabs(now - query_col_int(&r, 1)) < AGE_MS;
        query_end(&r);
    }
    return known;
}

static enum err describe_one(struct sqlite *q, const struct queues_put *p)
{
    if (!p->asked.repeat && are_known(q, p->descriptions))
        return ERR_OK;
    enum err e = sqlite_write_begin(q);
    return e ? e : sqlite_write_end(q, describe(q, p->asked.request_id, p->descriptions));
}

enum err sqlite_queues_describe(struct store *s, struct queues_put *puts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        puts[i].err = describe_one(sqlite_of(s), &puts[i]);
    return ERR_OK;
}

static enum err put_images(struct sqlite *q, const char *request_id, const json_t *images)
{
    const char *name;
    json_t *value;
    enum err e = ERR_OK;

    json_object_foreach ((json_t *)(uintptr_t)images, name, value) {
        char *text = NULL;
        size_t len = 0;
        if (!e)
            e = sqlite_json(value, &text, &len);
        if (e)
            continue;
        struct query r = query_new(q, SQL_IMAGES_PUT);
        query_str(&r, name);
        query_text(&r, (struct text){text, len});
        query_str(&r, request_id);
        e = query_run(&r);
        free(text);
    }
    return e;
}

enum err sqlite_images_put(struct store *s, const struct asked *asked, const json_t *images)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, put_images(q, asked->request_id, images));
}

static json_t *text_value(struct text t)
{
    json_t *value = json_stringn(t.s ? t.s : "", t.len);

    return value ? value : json_string("");
}

/* Start of a walk. */
static void bind_after(struct query *r, const struct name_walk *w)
{
    if (w->after.s)
        query_text(r, w->after);
    else
        query_null(r);
}

enum err sqlite_queues_list(struct store *s, const struct name_walk *w)
{
    struct query r = query_new(sqlite_of(s), SQL_QUEUES);
    enum err e;

    bind_after(&r, w);
    while ((e = query_step(&r)) == ERR_OK &&
           w->take(w->arg, query_col_text(&r, 0), text_value(query_col_text(&r, 1))))
        ;
    query_end(&r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_images_get(struct store *s, struct text queue, json_t **ret)
{
    struct query r = query_new(sqlite_of(s), SQL_IMAGES);
    json_t *images = NULL;

    query_text(&r, queue);
    enum err e = query_step(&r);
    if (!e && query_col_text(&r, 0).s && !(images = query_col_json(&r, 0)))
        e = ERR_INTERNAL;
    query_end(&r);
    if (e && e != ERR_NOT_FOUND)
        return e;
    *ret = images ? images : json_object();
    return ERR_OK;
}

/* ---- agents ---- */

/* The agent of a row (AGENT_SHOWN); NULL: unreadable, logged. */
static json_t *agent_of(const struct query *r)
{
    json_t *agent = query_col_json(r, 2);

    if (!agent)
        return NULL;
    json_object_set_new(agent, "name", text_value(query_col_text(r, 0)));
    json_object_set_new(agent, "updated_at", json_integer(query_col_int(r, 1)));
    if (query_col_text(r, 3).s)
        json_object_set_new(agent, "job_id", text_value(query_col_text(r, 3)));
    if (query_col_text(r, 4).s)
        json_object_set_new(agent, "submitted_by", text_value(query_col_text(r, 4)));
    json_object_set_new(agent, "silent", json_boolean(query_col_int(r, 5)));
    return agent;
}

enum err sqlite_agents_list(struct store *s, struct text queue, const struct name_walk *w)
{
    struct query r = query_new(sqlite_of(s), queue.s ? SQL_AGENTS_OF_QUEUE : SQL_AGENTS);
    bool wanted = true;
    enum err e = ERR_OK;

    bind_after(&r, w);
    if (queue.s)
        query_text(&r, queue);
    while (wanted && (e = query_step(&r)) == ERR_OK) {
        json_t *agent = agent_of(&r);
        wanted = !agent || w->take(w->arg, query_col_text(&r, 0), agent);
    }
    query_end(&r);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err sqlite_agents_get(struct store *s, struct agent_read *reads, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct query r = query_new(sqlite_of(s), SQL_AGENT_SHOWN);
        query_text(&r, reads[i].name);
        reads[i].err = query_step(&r);
        reads[i].agent = reads[i].err ? NULL : agent_of(&r);
        if (!reads[i].err && !reads[i].agent)
            reads[i].err = ERR_INTERNAL;
        query_end(&r);
    }
    return ERR_OK;
}

/* ---- wait times ---- */

/* A queue whose waits are being read. */
struct waits {
    const struct name_walk *walk;
    char *queue; /* owned; NULL: no queue yet */
    size_t queue_len;
    json_t *seconds; /* owned */
};

/* Passes the queue to the caller; false: the caller wants no more. */
static bool waits_give(struct waits *w)
{
    bool wanted = true;

    if (w->queue)
        wanted = w->walk->take(w->walk->arg, (struct text){w->queue, w->queue_len}, w->seconds);
    free(w->queue);
    w->queue = NULL;
    return wanted;
}

/* Passes on the queues of the rows (queue, seconds), which are sorted by queue, and ends the
 * statement. *ret_wanted false: the caller wants no more. */
static enum err give_waits(struct query *r, const struct name_walk *walk, bool *ret_wanted)
{
    struct waits w = {.walk = walk};
    bool wanted = true;
    enum err e = ERR_OK;

    while (wanted && (e = query_step(r)) == ERR_OK) {
        struct text queue = query_col_text(r, 0);
        if (!w.queue || !text_equal(queue, (struct text){w.queue, w.queue_len})) {
            wanted = waits_give(&w);
            w.queue = mem_strndup(queue.s ? queue.s : "", queue.len);
            w.queue_len = queue.len;
            w.seconds = json_array();
        }
        json_array_append_new(w.seconds, json_integer(query_col_int(r, 1)));
    }
    query_end(r);
    if (wanted && e == ERR_NOT_FOUND) {
        *ret_wanted = waits_give(&w);
        return ERR_OK;
    }
    *ret_wanted = false;
    if (w.queue)
        json_decref(w.seconds);
    free(w.queue);
    return e;
}

static int compare_texts(const void *a, const void *b)
{
    const struct text *x = a, *y = b;
    size_t len = x->len < y->len ? x->len : y->len;
    int order = len ? memcmp(x->s, y->s, len) : 0;

    return order ? order : (x->len > y->len) - (x->len < y->len);
}

enum err sqlite_wait_times(struct store *s, const struct text *queues, size_t n,
                           const struct name_walk *w)
{
    struct text *sorted = mem_alloc((n + 1) * sizeof *sorted);
    bool wanted = true;
    enum err e = ERR_OK;

    if (n == 0) {
        struct query all = query_new(sqlite_of(s), SQL_WAITS_ALL);
        bind_after(&all, w);
        e = give_waits(&all, w, &wanted);
    } else {
        memcpy(sorted, queues, n * sizeof *sorted);
        qsort(sorted, n, sizeof *sorted, compare_texts);
    }
    for (size_t i = 0; !e && wanted && i < n; i++) {
        if ((i && compare_texts(&sorted[i], &sorted[i - 1]) == 0) ||
            (w->after.s && compare_texts(&sorted[i], &w->after) <= 0))
            continue;
        struct query one = query_new(sqlite_of(s), SQL_WAITS);
        query_text(&one, sorted[i]);
        e = give_waits(&one, w, &wanted);
    }
    free(sorted);
    return e;
}

/* ---- provision logs ---- */

/* Appends the entry. *ret_new false: it is there already (a repeat). */
static enum err log_entry(struct sqlite *q, const struct provision_entry *p, bool *ret_new)
{
    char *text;
    size_t len;
    enum err e = sqlite_json(p->fields, &text, &len);

    if (e)
        return e;
    struct query add = query_new(q, SQL_PROVISION_ADD);
    query_text(&add, p->agent);
    query_str(&add, p->request_id);
    query_int(&add, sqlite_now_ms(q));
    query_text(&add, (struct text){text, len});
    e = query_run(&add);
    *ret_new = query_changes(&add) > 0;
    free(text);
    if (e)
        return e;
    struct query cut = query_new(q, SQL_PROVISION_CUT);
    query_text(&cut, p->agent);
    query_int(&cut, PROVISION_LOG_MAX);
    return query_run(&cut);
}

/* *ret_known: the agent exists. */
static enum err add_entry(struct sqlite *q, const struct provision_entry *p, bool *ret_known)
{
    bool fresh = true;
    enum err e = log_entry(q, p, &fresh);

    if (e)
        return e;
    struct query r = query_new(q, fresh ? SQL_STREAK : SQL_AGENT_TOUCH);
    query_text(&r, p->agent);
    if (fresh)
        query_str(&r, p->failed ? "fail" : "pass");
    e = query_run(&r);
    *ret_known = query_changes(&r) > 0;
    return e;
}

enum err sqlite_provision_add(struct store *s, const struct provision_entry *p)
{
    struct sqlite *q = sqlite_of(s);
    bool known = false;
    enum err e = sqlite_write_begin(q);

    if (!e)
        e = sqlite_write_end(q, add_entry(q, p, &known));
    return !e && !known ? ERR_NOT_FOUND : e;
}
