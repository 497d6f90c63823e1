/* The agents' claim: hands out the next job of their queues. */
#include "common/bus.h"
#include "common/clock.h"
#include "common/mem.h"
#include "worker/call.h"
#include "worker/cookie.h"

#include <stdlib.h>
#include <string.h>

#define AGENT_NAME_MAX 1024

/* One claim of a bundle with the memory it points to. */
struct wish {
    struct call *call;
    struct text *queues;
    struct buf agent;
};

/* An old agent runs any other JSON object as a job, so the body of every refusal is {}. */
static void refuse(struct call *c, int status)
{
    reply_json(c, status, json_object());
}

static size_t collect_queues(const struct request *r, struct text *queues)
{
    size_t n = 0;

    for (size_t i = 0; i < r->query_len; i++)
        if (r->query[i].name.len == strlen("queue") &&
            memcmp(r->query[i].name.s, "queue", strlen("queue")) == 0)
            queues[n++] = r->query[i].value;
    return n;
}

/* Fills wish and claim; false: answered. */
static bool wish_load(struct wish *w, struct claim *claim, struct call *c)
{
    const struct request *r = c->request;
    struct text *queues = mem_alloc((r->query_len + 1) * sizeof *queues);
    size_t n = collect_queues(r, queues);

    if (n == 0 || r->head) {
        free(queues);
        if (n == 0)
            refuse(c, 400);
        else /* HEAD takes no job */
            reply_none(c);
        return false;
    }
    *w = (struct wish){c, queues, BUF_INIT(AGENT_NAME_MAX)};
    *claim = (struct claim){.asked = call_asked(c), .queues = queues, .queues_len = n};
    if (r->headers[HDR_COOKIE].s && cookie_get(r->headers[HDR_COOKIE], "agent_name", &w->agent))
        claim->agent = (struct text){w->agent.data, w->agent.len};
    return true;
}

static void wish_answer(struct wish *w, struct claim *claim)
{
    char started[CLOCK_TEXT_SIZE];

    if (claim->err == ERR_NOT_FOUND) {
        reply_none(w->call);
    } else if (claim->err) {
        reply_err(w->call, claim->err);
    } else {
        clock_rfc3339(claim->started_ms, started);
        json_object_set_new(claim->data, "job_id", json_string(claim->job_id));
        json_object_set_new(claim->data, "started_at", json_string(started));
        reply_json(w->call, 200, json_incref(claim->data));
    }
    json_decref(claim->data);
    free(claim->job_id);
    free(w->queues);
    buf_free(&w->agent);
}

void h_job_claim(struct call *calls[], size_t n)
{
    struct wish wishes[BUS_BUNDLE_MAX];
    struct claim claims[BUS_BUNDLE_MAX];
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (wish_load(&wishes[len], &claims[len], calls[i]))
            len++;
    if (!len)
        return;
    enum err all = store_jobs_claim(calls[0]->store, claims, len);
    for (size_t i = 0; i < len; i++) {
        if (all && !claims[i].err)
            claims[i].err = all;
        wish_answer(&wishes[i], &claims[i]);
    }
}
