#include "frontend/stream.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define SPARE 4096 /* bytes of a part beyond those of the worker's reply */

/* ---- the end of a stream ---- */

void watch_free_unused(struct watch *w)
{
    if (w->streams || w->asked)
        return;
    HASH_DEL(w->all->watches, w);
    free(w);
}

static void stream_leave(struct stream *f)
{
    struct watch *w = f->watch;

    f->watch = NULL;
    f->x.client_gone = NULL;
    if (!w)
        return;
    DL_DELETE(w->streams, f);
    watch_free_unused(w);
}

/* Frees it, once none of its requests is under way and its end is sent. */
void stream_release(struct stream *f)
{
    if (!f->looks && !f->checks && !f->ends)
        exchange_free(&f->x);
}

static void end(struct stream *f)
{
    struct evhttp_request *req = exchange_detach(&f->x);

    f->ends = false;
    stream_release(f);
    evhttp_send_reply_end(req);
}

/* It counts, with its memory, until the client has taken what was sent. */
void stream_finish(struct stream *f)
{
    stream_leave(f);
    if (f->unsent) {
        f->ends = true;
        f->x.client_gone = stream_gone;
    } else {
        end(f);
    }
}

void stream_cut(struct stream *f, const char *why)
{
    metric_add(M_STREAMS_CUT, 0, 1);
    log_set_request(f->x.id);
    log_info("ended a stream of a job's events: %s; the client may come back", why);
    log_set_request(NULL);
    stream_finish(f);
}

void stream_gone(struct exchange *x)
{
    struct stream *f = (struct stream *)x;

    if (f->unsent)
        metric_add(M_STREAMS_CUT, 0, 1);
    f->ends = false;
    stream_leave(f);
    stream_release(f);
}

/* ---- sending ---- */

/* The client has taken all but what the kernel holds. */
static void on_taken(struct evhttp_connection *evcon, void *arg)
{
    struct stream *f = arg;

    (void)evcon;
    if (!f->x.req || (!f->watch && !f->ends))
        return;
    f->unsent = false;
    budget_give(&f->x.held, 0);
    if (f->ends)
        end(f);
    else if (!f->level)
        f->x.server->streams->taken(f);
}

/* Takes the bytes out of the buffer. */
static void send_part(struct stream *f, struct evbuffer *part)
{
    f->unsent = true;
    f->said = clock_mono_ms();
    evhttp_send_reply_chunk_with_cb(f->x.req, part, on_taken, f);
    conn_hold(f->x.conn);
}

void stream_send(struct stream *f, const char *text)
{
    struct evbuffer *part = evbuffer_new();

    mem_check(part && evbuffer_add(part, text, strlen(text)) == 0);
    send_part(f, part);
    evbuffer_free(part);
}

/* Whether the client has not got the event yet; notes that it gets it now. A look begins where the
 * one of all that is furthest behind stands. `before`: where the client stood when the reply came;
 * fragments of one number have one place. */
static bool is_new(struct stream *f, const struct follow_at *before,
                   const struct follow_event *event)
{
    if (event->kind == FOLLOW_END)
        return true;
    if (event->kind == FOLLOW_STATE) {
        bool is = f->state != event->state;
        f->state = event->state;
        f->at.history = event->at.history;
        return is;
    }
    if (!follow_log_before(&before->logs[event->kind], &event->at.logs[event->kind]))
        return false;
    f->at.logs[event->kind] = event->at.logs[event->kind];
    return true;
}

static void add_event(struct stream *f, const struct follow_at *before,
                      const struct follow_event *event, struct evbuffer *part)
{
    char at[FOLLOW_AT_SIZE];

    if (!is_new(f, before, event))
        return;
    follow_at_print(&f->at, at);
    mem_check(evbuffer_add_printf(part, "id: %s\n", at) > 0 &&
              evbuffer_add(part, event->text.s, event->text.len) == 0);
}

/* Sends what is new to the client. False: it has not taken the last part, or there is no memory: it
 * gets this later. */
bool stream_give(struct stream *f, struct text body)
{
    const struct follow_at before = f->at;
    struct follow_event event;

    if (!body.len)
        return true;
    if (f->unsent || !budget_take(&f->x.held, f->x.conn->intake.tenant, body.len + SPARE))
        return false;
    struct evbuffer *part = evbuffer_new();
    mem_check(part);
    while (follow_event_take(&body, &event))
        add_event(f, &before, &event, part);
    if (evbuffer_get_length(part))
        send_part(f, part);
    else
        budget_give(&f->x.held, 0);
    evbuffer_free(part);
    return true;
}
