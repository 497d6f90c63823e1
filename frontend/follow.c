#include "frontend/follow.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/log.h"
#include "common/message.h"
#include "common/metrics.h"
#include "common/op.h"
#include "common/random.h"
#include "frontend/place.h"
#include "frontend/stream.h"
#include "frontend/subject.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>

enum {
    TICK_MS = 100,
    LOOK_MS = 1000,              /* between two looks at a job */
    COMMENT_MS = 15000,          /* a client hears something at least so often */
    CHECK_MS = 15000,            /* between two checks that a client may see the job */
    UNCHECKED_MS = 4 * CHECK_MS, /* without an answer to these, its stream ends */
    AWAY_MS = 15000, /* without an answer of a worker: clients are told by the end of the stream */
    OWN_LOOKS_MAX = 16 /* looks under way of clients that are behind */
};

#define RETRY "retry: 1000\n\n" /* ms after which a client comes back */

static struct streams *all_of(const struct stream *f)
{
    return f->x.server->streams;
}

static void look(struct stream *f);

/* ---- asking ---- */

static void set_param(struct request *r, const char *name, const char *value)
{
    r->query[r->query_len].name = (struct text){name, strlen(name)};
    r->query[r->query_len++].value = (struct text){value, strlen(value)};
}

/* Asks a worker what a job has behind a place. */
static void ask(struct watch *w, struct link_request *link, const struct follow_at *at,
                const char *seen, uint64_t origin)
{
    static struct request r; /* large; all but what is set stays zero */
    char place[FOLLOW_AT_SIZE];
    msgpack_sbuffer packed;

    random_uuid(link->id);
    uuid_print(link->id, r.id);
    r.op = OP_FOLLOW_LOOK;
    r.received_us = clock_wall_us();
    r.query_len = 0;
    follow_at_print(at, place);
    set_param(&r, FOLLOW_JOB, w->job);
    set_param(&r, FOLLOW_AT, place);
    set_param(&r, FOLLOW_SEEN, seen);
    link->service = route_service(route_of(OP_FOLLOW_LOOK));
    link->origin = origin;
    link->subject = subject_of(&r);
    link->timeout_ms = w->all->server->cfg->request_timeout;
    msgpack_sbuffer_init(&packed);
    mem_check(!request_pack(&r, &packed));
    message_of(&link->payload, &packed);
    if (!w->away)
        w->away = clock_mono_ms();
    link_send(w->all->server->link, link);
}

static void note_seen(char seen[FOLLOW_SEEN_SIZE], const struct reply *reply)
{
    const char *note = reply_value(reply, FOLLOW_NOTE);

    snprintf(seen, FOLLOW_SEEN_SIZE, "%s", note ? note : "");
}

/* A reply to a look; false: none came. Without a worker for too long, the streams of the job end:
 * call watch_free_unused() then. */
static bool is_answered(struct watch *w, enum err e, const struct reply *reply)
{
    struct stream *f, *next;
    int64_t now = clock_mono_ms();
    bool asked = w->asked;

    if (!e && reply->status == 200) {
        w->away = 0;
        return true;
    }
    if (!w->away) /* the look of another client was answered meanwhile */
        w->away = now;
    if (now - w->away > AWAY_MS) {
        w->away = 0;
        w->asked = true; /* keeps it while its streams go */
        DL_FOREACH_SAFE(w->streams, f, next)
        stream_cut(f, "no worker of this release answers; look at the workers");
        w->asked = asked;
    }
    return false;
}

/* ---- a client that is behind ---- */

/* It has all that there was: it goes on with the others, from the next look on. Where their notes
 * differ, that one gets the state, and each client is sent it that does not have it. */
static void join(struct stream *f)
{
    struct watch *w = f->watch;
    struct stream *other;
    bool alone = true;

    DL_FOREACH (w->streams, other)
        alone &= !other->level;
    if (alone)
        memcpy(w->seen, f->seen, sizeof w->seen);
    /* The reply of a look that is under way brings another note */
    w->resend |= w->asked || strcmp(w->seen, f->seen) != 0;
    if (alone && !w->asked)
        w->due = clock_mono_ms() + LOOK_MS;
    f->level = true;
}

static void on_own_look(struct link_request *r, enum err e, const struct reply *reply)
{
    struct stream *f = (struct stream *)((char *)r - offsetof(struct stream, look));
    struct watch *w = f->watch;

    f->looks = false;
    f->again = clock_mono_ms() + LOOK_MS;
    all_of(f)->own_looks--;
    if (!w) {
        stream_release(f);
        return;
    }
    if (!is_answered(w, e, reply)) {
        watch_free_unused(w);
        return;
    }
    if (!stream_give(f, reply->body))
        return; /* no memory: the tick asks again */
    note_seen(f->seen, reply);
    if (reply_value(reply, FOLLOW_OVER))
        stream_finish(f);
    else if (!reply_value(reply, FOLLOW_MORE))
        join(f);
    else if (!f->unsent)
        look(f);
}

static void look(struct stream *f)
{
    struct streams *all = all_of(f);

    if (f->looks || f->unsent || all->own_looks >= OWN_LOOKS_MAX)
        return; /* the tick asks */
    f->looks = true;
    all->own_looks++;
    f->look.done = on_own_look;
    ask(f->watch, &f->look, &f->at, f->seen, f->x.link.origin);
}

/* ---- those that are level ---- */

static void fall_behind(struct stream *f)
{
    f->level = false;
    *f->seen = '\0';
}

static void on_look(struct link_request *r, enum err e, const struct reply *reply)
{
    struct watch *w = (struct watch *)r;
    struct stream *f, *next;

    if (is_answered(w, e, reply)) {
        bool over = reply_value(reply, FOLLOW_OVER), more = reply_value(reply, FOLLOW_MORE);
        DL_FOREACH_SAFE(w->streams, f, next)
        {
            if (!f->awaits)
                continue;
            if (!stream_give(f, reply->body) || more)
                fall_behind(f);
            else if (over)
                stream_finish(f);
        }
        note_seen(w->seen, reply);
    }
    DL_FOREACH (w->streams, f)
        f->awaits = false;
    w->asked = false;
    watch_free_unused(w);
}

/* Looks for those that are level, from the place of the last one on. */
static void look_for_all(struct watch *w, int64_t now)
{
    struct follow_at at;
    struct stream *f, *first = NULL;

    DL_FOREACH (w->streams, f) {
        f->awaits = f->level;
        if (!f->level)
            continue;
        if (first)
            follow_at_earliest(&at, &f->at);
        else
            at = f->at;
        first = first ? first : f;
    }
    w->due = w->due + LOOK_MS > now ? w->due + LOOK_MS : now + LOOK_MS;
    if (!first)
        return;
    w->asked = true;
    w->link.done = on_look;
    ask(w, &w->link, &at, w->resend ? "" : w->seen, 0);
    w->resend = false;
}

/* ---- the beginning ---- */

static struct watch *watch_of(struct streams *all, const char *job)
{
    struct watch *w;

    HASH_FIND_STR(all->watches, job, w);
    if (w)
        return w;
    w = mem_alloc(sizeof *w);
    w->all = all;
    snprintf(w->job, sizeof w->job, "%s", job);
    HASH_ADD_STR(all->watches, job, w);
    return w;
}

static void start_ticking(struct streams *all)
{
    const struct timeval every = {.tv_usec = TICK_MS * 1000};

    if (!all->ticking)
        event_add(all->tick, &every);
    all->ticking = true;
}

static void end_without_body(struct stream *f, int status)
{
    struct conn *c = f->x.conn;
    struct evhttp_request *req = exchange_detach(&f->x);

    exchange_free(&f->x);
    evhttp_send_reply(req, status, NULL, NULL);
    conn_hold(c);
}

static void open_stream(struct stream *f, int status)
{
    f->x.client_gone = stream_gone;
    f->watch = watch_of(all_of(f), f->job);
    DL_APPEND(f->watch->streams, f);
    f->allowed = clock_mono_ms();
    f->check = f->allowed + CHECK_MS;
    start_ticking(all_of(f));
    exchange_close_after(&f->x);
    evhttp_send_reply_start(f->x.req, status, NULL);
    conn_hold(f->x.conn);
    stream_send(f, RETRY);
    if (all_of(f)->closed)
        stream_finish(f);
}

static void on_opened(struct stream *f, enum err e, const struct reply *reply)
{
    if (e || !f->x.req || reply->status != 200) {
        exchange_end(&f->x, e, reply);
        return;
    }
    if (!follow_at_parse(reply->body, &f->at)) {
        log_error("refusing a stream: cannot parse the worker's place in it; run the same release "
                  "in all processes");
        exchange_end(&f->x, ERR_INTERNAL, NULL);
        return;
    }
    exchange_headers(&f->x, reply);
    exchange_count(&f->x, reply->status);
    if (evhttp_request_get_command(f->x.req) == EVHTTP_REQ_HEAD)
        end_without_body(f, reply->status);
    else
        open_stream(f, reply->status);
}

/* Whether the client may still watch: it is asked as at the beginning. */
static void check(struct stream *f, int64_t now)
{
    f->check = now + CHECK_MS;
    if (f->checks)
        return;
    f->checks = true;
    zmq_msg_init(&f->x.link.payload);
    zmq_msg_copy(&f->x.link.payload, &f->payload); /* shares the content */
    link_send(f->x.server->link, &f->x.link);
}

static void on_reply(struct link_request *r, enum err e, const struct reply *reply)
{
    struct stream *f = (struct stream *)r;

    if (!f->checks) {
        on_opened(f, e, reply);
        return;
    }
    f->checks = false;
    if (!f->watch)
        stream_release(f);
    else if (!e && reply->status == 200)
        f->allowed = clock_mono_ms();
    else if (!e && reply->status < 500)
        stream_cut(f, "the client may not see the job any more");
    else if (clock_mono_ms() - f->allowed > UNCHECKED_MS)
        stream_cut(f, "no worker could say for a minute whether the client may see the job; look "
                      "at the workers and the store");
}

static void on_free(struct exchange *x)
{
    struct stream *f = (struct stream *)x;

    if (f->kept)
        zmq_msg_close(&f->payload);
    if (!f->counted)
        return;
    f->counted = false;
    metric_set(M_STREAMS, 0, --all_of(f)->len);
}

static bool on_begin(struct exchange *x, const struct request *r)
{
    struct stream *f = (struct stream *)x;
    struct streams *all = all_of(f);

    if (r->head)
        return true;
    if (all->len >= (size_t)x->server->cfg->max_streams) {
        exchange_end(x, ERR_FULL, NULL);
        return false;
    }
    f->counted = true;
    metric_set(M_STREAMS, 0, ++all->len);
    if (r->params[0].len <= JOB_MAX)
        memcpy(f->job, r->params[0].s, r->params[0].len);
    x->conn->polls = true;
    place_lasts(x->conn, true);
    return true;
}

/* Keeps the payload to ask again. */
static void on_packed(struct exchange *x)
{
    struct stream *f = (struct stream *)x;

    zmq_msg_init(&f->payload);
    zmq_msg_copy(&f->payload, &x->link.payload); /* shares the content */
    f->kept = true;
}

const struct exchange_kind follow_kind = {.size = sizeof(struct stream),
                                          .begin = on_begin,
                                          .packed = on_packed,
                                          .reply = on_reply,
                                          .free = on_free};

/* ---- all streams ---- */

static void tick_stream(struct stream *f, int64_t now)
{
    if (!f->level && now >= f->again)
        look(f);
    if (now >= f->check)
        check(f, now);
    if (!f->unsent && now - f->said >= COMMENT_MS)
        stream_send(f, ":\n\n");
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct streams *all = arg;
    struct watch *w, *next_watch;
    struct stream *f, *next;
    int64_t now = clock_mono_ms();

    (void)fd;
    (void)what;
    HASH_ITER (hh, all->watches, w, next_watch) {
        if (!w->asked && now >= w->due)
            look_for_all(w, now);
        DL_FOREACH_SAFE(w->streams, f, next)
        tick_stream(f, now);
    }
    if (!all->watches) {
        event_del(all->tick);
        all->ticking = false;
    }
}

void streams_close(struct streams *all)
{
    struct watch *w, *next_watch;
    struct stream *f, *next;

    all->closed = true;
    HASH_ITER (hh, all->watches, w, next_watch) {
        bool asked = w->asked;
        w->asked = true; /* keeps it while its streams go */
        DL_FOREACH_SAFE(w->streams, f, next)
        stream_finish(f);
        w->asked = asked;
        watch_free_unused(w);
    }
}

struct streams *streams_new(struct server *s)
{
    struct streams *all = mem_alloc(sizeof *all);

    all->server = s;
    all->taken = look;
    all->tick = event_new(s->base, -1, EV_PERSIST, on_tick, all);
    mem_check(all->tick);
    return all;
}

void streams_free(struct streams *all)
{
    struct watch *w, *next;

    if (!all)
        return;
    HASH_ITER (hh, all->watches, w, next) { /* looks that are under way are not answered any more */
        HASH_DEL(all->watches, w);
        free(w);
    }
    event_free(all->tick);
    free(all);
}
