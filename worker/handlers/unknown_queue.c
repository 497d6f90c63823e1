#include "worker/handlers/unknown_queue.h"

#include "worker/encoding/json_string.h"
#include "worker/events/online.h"

#include <string.h>

static const char *const choices[] = {"accept", "refuse", "offline"}; /* enum unknown_queues */
enum { CHOICES = sizeof choices / sizeof *choices };

/* The position of the field's value; CHOICES: it is none of them. */
static int choice_of(const json_t *field)
{
    int i = 0;

    while (i < CHOICES &&
           !(json_is_string(field) && strcmp(json_string_value(field), choices[i]) == 0))
        i++;
    return i;
}

bool unknown_queue_is_fine(struct call *c, const json_t *data)
{
    const json_t *field = json_object_get(data, UNKNOWN_QUEUE_FIELD);

    if (!field || choice_of(field) < CHOICES)
        return true;
    reply_invalid(
        c, json_pack("{s:[s]}", UNKNOWN_QUEUE_FIELD, "Must be one of: accept, refuse, offline."));
    return false;
}

static bool is_there(struct call *c, const char *job_id)
{
    struct job_read job = {.job_id = {job_id, strlen(job_id)}};

    if (store_jobs_get(c->store, &job, 1) || job.err)
        return false;
    json_decref(job.value);
    return true;
}

bool unknown_queue_takes(struct call *c, const json_t *data, const char *job_id)
{
    const json_t *field = json_object_get(data, UNKNOWN_QUEUE_FIELD);
    const json_t *name = json_object_get(data, "job_queue");
    struct text queue = json_string_text(name);
    int choice = field ? choice_of(field) : c->cfg->unknown_queues;
    struct queue_agents s = {0};

    if (choice == UNKNOWN_QUEUES_ACCEPT)
        return true;
    enum err e = online_look(c->store, queue, &s);
    if (e) {
        reply_err(c, e);
        return false;
    }
    if (s.online || (s.served && choice == UNKNOWN_QUEUES_REFUSE) || is_there(c, job_id))
        return true;
    if (s.served)
        reply_error(c, 422, "No agent that serves the queue '%.*s' is online", (int)queue.len,
                    queue.s);
    else
        reply_error(c, 422, "No agent serves the queue '%.*s'", (int)queue.len, queue.s);
    return false;
}
