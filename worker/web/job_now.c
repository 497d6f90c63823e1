#include "worker/web/job_now.h"

#include "worker/encoding/json_string.h"
#include "worker/handlers/holds.h"
#include "worker/jobs/lease.h"
#include "worker/jobs/percentiles.h"
#include "worker/validation/fieldtypes.h"
#include "worker/web/lab.h"
#include "worker/web/values.h"

static bool state_is(const struct job_parts *p, const char *state)
{
    struct text t = json_string_text(json_object_get(p->row, "job_state"));

    return t.s && text_is(t, state);
}

/* ---- waiting ---- */

static bool take_waits(void *arg, struct text name, json_t *waits)
{
    json_t **all = arg;

    (void)name;
    json_decref(*all);
    *all = waits;
    return true;
}

/* {"5": SECONDS, ...} of a queue; {}: no job has waited there. */
static enum err read_waits(struct call *c, struct text queue, json_t **ret)
{
    json_t *waits = NULL;
    struct name_walk walk = {.take = take_waits, .arg = &waits};
    enum err e = store_wait_times(c->store, &queue, 1, &walk);

    *ret = percentiles(waits);
    json_decref(waits);
    return e;
}

static json_t *span_of(const json_t *waits, const char *percent)
{
    const json_t *seconds = json_object_get(waits, percent);

    return seconds ? page_span((int64_t)json_number_value(seconds)) : json_null();
}

/* The queue of a job that waits. */
struct queue_now {
    bool serves;
    size_t agents, online;
    json_t *holds, *waits; /* owned */
};

static enum err read_queue(struct call *c, struct text queue, struct queue_now *ret)
{
    struct lab lab = {NULL};
    json_t *none = json_array(), *agent;
    size_t i;
    enum err e = store_queue_serves(c->store, queue, none, &ret->serves);

    if (!e)
        e = holds_load(c->store, HOLD_QUEUE, queue, &ret->holds);
    if (!e)
        e = read_waits(c, queue, &ret->waits);
    if (!e)
        e = lab_read(c, (struct lab_wanted){.queue = queue, .without_queues = true}, &lab);
    ret->agents = json_array_size(lab.agents);
    json_array_foreach (lab.agents, i, agent) {
        enum agent_group group = agent_group_of(agent);
        ret->online += group == AGENT_IDLE || group == AGENT_BUSY;
    }
    lab_free(&lab);
    json_decref(none);
    return e;
}

enum err job_waiting(struct call *c, const struct job_parts *p, json_t **ret)
{
    struct text queue = json_string_text(json_object_get(p->row, "job_queue"));
    struct text files = json_string_text(json_object_get(p->data, "attachments_status"));
    struct queue_now now = {.serves = true};
    int64_t before = 0;
    enum err e =
        state_is(p, "waiting") ? store_job_position(c->store, p->id, &before) : ERR_NOT_FOUND;

    if (e == ERR_NOT_FOUND) {
        *ret = json_null();
        return ERR_OK;
    }
    if (!e)
        e = read_queue(c, queue, &now);
    const json_t *hold = json_object_getn(now.holds, queue.s ? queue.s : "", queue.len);
    if (!e)
        *ret = json_pack(
            "{s:I, s:b, s:b, s:I, s:I, s:o, s:o, s:o, s:o}", "before", (json_int_t)before,
            "is_next", before == 0, "is_unserved", !now.serves, "agents", (json_int_t)now.agents,
            "online", (json_int_t)now.online, "half", span_of(now.waits, "50"), "most",
            span_of(now.waits, "90"), "paused", page_hold(hold), "upload_url",
            files.s && text_is(files, "waiting") ? page_url("/jobs/", p->id, "/attachments")
                                                 : json_null());
    json_decref(now.holds);
    json_decref(now.waits);
    return e;
}

/* ---- reserved ---- */

json_t *job_reservation(struct call *c, const struct job_parts *p)
{
    struct text text = json_string_text(json_object_get(p->result, RESERVED_UNTIL));
    const json_t *timeout = json_object_get(json_object_get(p->data, "reserve_data"), "timeout");
    const json_t *change;
    int64_t began = 0, until, now = store_now_ms(c->store);
    size_t i;

    if (!state_is(p, "reserve"))
        return json_null();
    json_array_foreach (p->changes, i, change) {
        struct text state = json_string_text(json_object_get(change, "state"));
        if (state.s && text_is(state, "reserve"))
            began = json_integer_value(json_object_get(change, "at"));
    }
    if (!text.s || !datetime_from_text(text.s, text.len, &until))
        until = lease_reserved_ms("reserve", began, json_integer_value(timeout));
    if (!until)
        return json_null();
    int64_t total = began && until > began ? (until - began) / 1000 : 1;
    int64_t left = until > now ? (until - now) / 1000 : 0;
    return json_pack("{s:o, s:o, s:I, s:I}", "until", page_time(until), "left", page_span(left),
                     "total", (json_int_t)total, "gone",
                     (json_int_t)(left < total ? total - left : 0));
}
