/* Queues: descriptions, images, agents, jobs, wait times. */
#include "common/bus.h"
#include "worker/handlers/holds.h"
#include "worker/http/dates.h"
#include "worker/http/jsonbody.h"
#include "worker/http/listing.h"
#include "worker/http/query.h"
#include "worker/jobs/percentiles.h"
#include "worker/request/call.h"
#include "worker/validation/names.h"

#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

handler_fn h_queues_put, h_images_put, h_queues_get, h_images_get, h_queue_agents, h_queue_jobs,
    h_wait_times;

/* Refuses a body with one fault; takes the reference. */
static void refuse(struct call *c, json_t *text)
{
    reply_invalid(c, json_pack("{s:[o]}", "_schema", text ? text : json_string("Not valid.")));
}

/* The fault of an object with too many names, NULL: none. */
static json_t *count_fault(const json_t *names, const char *what)
{
    return json_object_size(names) > NAMES_MAX
               ? json_sprintf("More than %d %s at a time", NAMES_MAX, what)
               : NULL;
}

static json_t *queue_fault(const char *name)
{
    const char *fault = name_fault((struct text){name, strlen(name)});

    if (!*name)
        return json_string("Queue names must be non-empty strings");
    return fault ? json_sprintf("Queue name: %s", fault) : NULL;
}

/* The first fault of {NAME: DESCRIPTION, ...}; NULL: none. */
static json_t *queues_fault(const json_t *body)
{
    const char *name;
    json_t *value, *fault = count_fault(body, "queues");

    json_object_foreach ((json_t *)(uintptr_t)body, name, value) {
        if (fault || (fault = queue_fault(name)))
            break;
        if (!json_is_string(value))
            fault = json_sprintf("Description for queue '%s' must be a string", name);
        else if (json_string_length(value) > TEXT_BYTES_MAX)
            fault = json_sprintf("Description for queue '%s' is longer than %zu bytes", name,
                                 TEXT_BYTES_MAX);
    }
    return fault;
}

static json_t *images_of_queue_fault(const char *queue, const json_t *images)
{
    const char *name;
    json_t *value, *fault = queue_fault(queue);

    if (fault)
        return fault;
    if (!json_is_object(images))
        return json_sprintf("Images for queue '%s' must be a dict", queue);
    if ((fault = count_fault(images, "images of a queue")))
        return fault;
    json_object_foreach ((json_t *)(uintptr_t)images, name, value) {
        /* Accept names with dots, although the message says otherwise: agents of the seed era send
         * them. */
        if (!*name || *name == '$')
            return json_sprintf("Names for queue '%s' must be non-empty strings, must not start "
                                "with '$', contain '.' or null bytes",
                                queue);
        if (strlen(name) > NAME_BYTES_MAX)
            return json_sprintf("A name for queue '%s' is longer than %d bytes", queue,
                                NAME_BYTES_MAX);
        if (!json_is_string(value))
            return json_sprintf("Provision data for image '%s' in queue '%s' must be a string",
                                name, queue);
        if (json_string_length(value) > TEXT_BYTES_MAX)
            return json_sprintf("Provision data for image '%s' in queue '%s' is longer than %zu "
                                "bytes",
                                name, queue, TEXT_BYTES_MAX);
    }
    return NULL;
}

/* The first fault of {QUEUE: {IMAGE: TEXT}, ...}. */
static json_t *images_fault(const json_t *body)
{
    const char *queue;
    json_t *images, *fault = count_fault(body, "queues");

    json_object_foreach ((json_t *)(uintptr_t)body, queue, images) {
        if (fault)
            break;
        fault = images_of_queue_fault(queue, images);
    }
    return fault;
}

/* A body that has no schema, new reference; NULL: answered. */
static json_t *body_load(struct call *c, json_t *(*fault_of)(const json_t *))
{
    json_t *body = json_body_object(c), *fault = body ? fault_of(body) : NULL;

    if (!fault)
        return body;
    refuse(c, fault);
    json_decref(body);
    return NULL;
}

static void put_end(struct call *c, enum err e, json_t *body)
{
    if (e)
        reply_err(c, e);
    else
        reply_text(c, 200, "OK");
    json_decref(body);
}

void h_queues_put(struct call *calls[], size_t n)
{
    struct call *putting[BUS_BUNDLE_MAX];
    struct queues_put puts[BUS_BUNDLE_MAX];
    json_t *bodies[BUS_BUNDLE_MAX];
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if ((bodies[len] = body_load(calls[i], queues_fault))) {
            putting[len] = calls[i];
            puts[len] =
                (struct queues_put){.asked = call_asked(calls[i]), .descriptions = bodies[len]};
            len++;
        }
    enum err all = len ? store_queues_describe(calls[0]->store, puts, len) : ERR_OK;
    for (size_t i = 0; i < len; i++)
        put_end(putting[i], all ? all : puts[i].err, bodies[i]);
}

void h_images_put(struct call *calls[], size_t n)
{
    json_t *body = body_load(calls[0], images_fault);
    struct asked asked = call_asked(calls[0]);

    (void)n;
    if (body)
        put_end(calls[0], store_images_put(calls[0]->store, &asked, body), body);
}

/* Answers with the list, or with the error. */
static void reply_list(struct listing *l, enum err e)
{
    if (e)
        reply_err(l->c, e);
    else
        listing_reply(l, NULL);
    listing_drop(l);
}

/* A paused queue in the list of descriptions, which clients print: the walk of a listing that
 * changes them. */
struct described {
    struct listing *list;
    json_t *holds;
};

static bool take_described(void *arg, struct text name, json_t *description)
{
    const struct described *d = arg;
    json_t *reason =
        json_object_get(json_object_getn(d->holds, name.s ? name.s : "", name.len), "reason");

    if (json_string_length(reason) && json_is_string(description)) {
        json_t *shown = json_sprintf("(paused: %s) %s", json_string_value(reason),
                                     json_string_value(description));
        json_decref(description);
        description = shown;
    }
    return d->list->walk.take(d->list->walk.arg, name, description);
}

void h_queues_get(struct call *calls[], size_t n)
{
    struct listing list;
    struct described d = {.list = &list};

    (void)n;
    if (!listing_begin(&list, calls[0], true))
        return;
    struct name_walk walk = {.after = list.walk.after, .take = take_described, .arg = &d};
    enum err e = holds_load(calls[0]->store, HOLD_QUEUE, (struct text){0}, &d.holds);
    reply_list(&list, e ? e : store_queues_list(calls[0]->store, &walk));
    json_decref(d.holds);
}

void h_images_get(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *images = NULL;
    enum err e = store_images_get(c->store, c->request->params[0], &images);

    (void)n;
    if (e)
        reply_err(c, e);
    else
        reply_json(c, 200, images);
}

/* ---- who serves a queue ---- */

struct served {
    const struct config *cfg;
    json_t *holds;
};

/* The agent's fields shown here; clients of both eras read `state` without asking for it. */
static json_t *agent_shown(void *arg, json_t *agent)
{
    static const char *const names[] = {"name",     "state",          "queues",
                                        "location", "provision_type", "silent",
                                        "job_id",   "comment",        "submitted_by"};
    const struct served *served = arg;
    json_t *shown = json_object();

    agent_mode_show(served->cfg, served->holds, agent);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *value = json_object_get(agent, names[i]);
        if (value && !json_is_false(value)) /* silent: clients compare the answer without it */
            json_object_set(shown, names[i], value);
        else if (!value && strcmp(names[i], "state") == 0)
            json_object_set_new(shown, "state", json_string("unknown"));
    }
    json_decref(agent);
    return shown;
}

void h_queue_agents(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text queue = c->request->params[0];
    struct listing list;

    (void)n;
    if (!listing_begin(&list, c, false))
        return;
    struct served served = {.cfg = c->cfg};
    enum err e = holds_load(c->store, HOLD_AGENT, (struct text){0}, &served.holds);
    list.show = agent_shown;
    list.arg = &served;
    if (!e)
        e = store_agents_list(c->store, queue, &list.walk);
    if (!e && !list.last && !list.walk.after.s && c->cfg->auth != AUTH_OPEN) {
        reply_error(c, 404, "Queue '%.*s' does not exist.", (int)queue.len, queue.s);
        listing_drop(&list);
    } else {
        reply_list(&list, e);
        holds_tell_paused(c, queue);
    }
    json_decref(served.holds);
}

void h_queue_jobs(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    char cursor[LIST_CURSOR_SIZE];
    struct list_page page;
    struct listing list;
    enum dates dates;

    (void)n;
    if (!dates_of(c, &dates) || !listing_begin_page(&list, c, &page, cursor))
        return;
    list.show = date_show_created;
    list.arg = &dates;
    enum err e = store_queue_jobs(c->store, c->request->params[0], &page);
    if (e == ERR_INVALID)
        query_bad_cursor(c);
    else if (e)
        reply_err(c, e);
    else if (!list.members)
        reply_none(c);
    else
        listing_reply(&list, page.next);
    if (!e)
        holds_tell_paused(c, c->request->params[0]);
    listing_drop(&list);
}

static json_t *waits_shown(void *arg, json_t *waits)
{
    json_t *shown = percentiles(waits);

    (void)arg;
    json_decref(waits);
    return shown;
}

void h_wait_times(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text *queues = mem_alloc((c->request->query_len + 1) * sizeof *queues);
    size_t len = query_values(c->request, "queue", queues);
    struct listing list;

    (void)n;
    if (listing_begin(&list, c, true)) {
        list.show = waits_shown;
        reply_list(&list, store_wait_times(c->store, queues, len, &list.walk));
    }
    free(queues);
}
