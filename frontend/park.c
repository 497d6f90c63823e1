#include "frontend/park.h"

#include "common/clock.h"
#include "common/mem.h"
#include "frontend/local.h"
#include "frontend/place.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    TICK_MS = 100,
    LOOK_MS = 15000,  /* a poll asks again after so long without a WAKE, or up to a third later */
    SILENT_PART = 3,  /* and within this part of --agent-silent, of which it reminds the workers */
    SLOTS = 15,       /* of that time: polls of a slot ask together, so that one look serves them */
    DOUBT_MS = 3000,  /* all ask within so long of a moment in which a WAKE may have been lost */
    PASS_MAX = 4,     /* polls that one WAKE lets ask, as long as they get no job */
    SPARE_S = 5,      /* left of the time after which a silent client is given up */
    RECENT_MAX = 1024 /* last WAKEs kept, for polls that just asked a worker */
};

/* A WAKE. One poll at a time asks for it; it is open while none was parked that could. */
struct word {
    uint32_t queue; /* hash of its key */
    unsigned asked; /* polls that have asked for it, at most PASS_MAX */
    bool any;       /* any agent may have its job: a poll that finds none means that it is gone */
    bool open;
};

/* States: asked (a worker has it) -> parked, after a reply without a job -> asked again, on a WAKE
 * or at `look` -> answered: with a job, at its end, or by park_close(). */
struct poll {
    struct exchange x; /* first member */
    zmq_msg_t payload; /* as it was sent */
    bool kept;         /* payload is initialised */
    bool parked;       /* it is in the list */
    int64_t end;       /* ms; 0: do not wait */
    int64_t look;      /* ms: when it asks again without a WAKE */
    uint64_t words;    /* value of park.words when it asked */
    uint64_t doubts;   /* likewise of park.doubts */
    uint64_t word;     /* the WAKE that made it ask */
    bool woken;        /* a WAKE made it ask */
    uint32_t *queues;  /* hashes of its queues' keys */
    size_t queues_len;
    struct poll *prev, *next;
};

struct park {
    struct server *server;
    struct poll *polls; /* longest parked first */
    struct event *tick;
    bool ticking, closed;
    uint64_t words;  /* that have come */
    uint64_t doubts; /* moments in which some may have been lost */
    struct word recent[RECENT_MAX];
};

static uint32_t hash_of(struct text key)
{
    return fnv_32(key.s, key.len < BUS_KEY_MAX ? key.len : BUS_KEY_MAX);
}

static bool wants(const struct poll *p, uint32_t queue)
{
    for (size_t i = 0; i < p->queues_len; i++)
        if (p->queues[i] == queue)
            return true;
    return false;
}

/* ---- one poll ---- */

static void unpark(struct park *park, struct poll *p)
{
    if (p->parked)
        DL_DELETE(park->polls, p);
    p->parked = false;
    p->x.client_gone = NULL;
}

static void on_free(struct exchange *x)
{
    struct poll *p = (struct poll *)x;

    if (p->kept)
        zmq_msg_close(&p->payload);
    free(p->queues);
}

static void answer_none(struct poll *p)
{
    struct local_answer none;

    unpark(p->x.server->park, p);
    local_none(&none);
    exchange_end(&p->x, ERR_OK, &none.reply);
}

/* A time within so long from now, another one for each poll. */
static int64_t within(const struct poll *p, int64_t ms)
{
    return clock_mono_ms() + (int64_t)(fnv_32((const char *)p->x.link.id, BUS_ID_SIZE) % ms);
}

static void asks(struct park *park, struct poll *p)
{
    int64_t every = LOOK_MS, silent = p->x.server->cfg->agent_silent * 1000 / SILENT_PART;

    if (silent && silent < every)
        every = silent;
    int64_t slot = every / SLOTS;
    p->look = (every + within(p, every / 3) + slot) / slot * slot; /* not all at a time */
    p->words = park->words;
    p->doubts = park->doubts;
}

static void ask(struct poll *p)
{
    struct park *park = p->x.server->park;

    unpark(park, p);
    asks(park, p);
    p->woken = false;
    zmq_msg_init(&p->x.link.payload);
    zmq_msg_copy(&p->x.link.payload, &p->payload); /* shares the content */
    link_send(p->x.server->link, &p->x.link);
}

static void on_gone(struct exchange *x)
{
    unpark(x->server->park, (struct poll *)x);
    exchange_free(x);
}

/* Lets the poll ask for a WAKE, whose next poll it is. */
static void ask_for(struct park *park, struct poll *p, uint64_t number)
{
    struct word *word = &park->recent[number % RECENT_MAX];

    word->open = false;
    word->asked++;
    ask(p);
    p->word = number;
    p->woken = true;
}

/* A WAKE that arrived since the poll asked and is open: the reply may be older than its job. True:
 * the poll asks again. */
static bool ask_for_missed(struct park *park, struct poll *p)
{
    if (park->words - p->words > RECENT_MAX) {
        ask(p);
        return true;
    }
    for (uint64_t n = p->words; n < park->words; n++)
        if (park->recent[n % RECENT_MAX].open && wants(p, park->recent[n % RECENT_MAX].queue)) {
            ask_for(park, p, n);
            return true;
        }
    return false;
}

/* Whether a pause or a mode keeps the claim from jobs. */
static bool is_held(const struct reply *reply)
{
    return reply_value(reply, BUS_CLAIM_HELD);
}

static void stand(struct park *park, struct poll *p, bool held)
{
    const struct timeval every = {.tv_usec = TICK_MS * 1000};

    if (ask_for_missed(park, p))
        return;
    if (held || p->doubts != park->doubts)
        p->look = within(p, DOUBT_MS);
    p->parked = true;
    p->x.client_gone = on_gone;
    DL_APPEND(park->polls, p);
    if (!park->ticking)
        event_add(park->tick, &every);
    park->ticking = true;
}

/* Lets the poll ask that waits longest of those that want the queue and have not asked since this
 * WAKE. Where none is parked, the WAKE is open for those whose reply is under way. */
static void wake_one(struct park *park, uint64_t number)
{
    struct word *word = &park->recent[number % RECENT_MAX];
    struct poll *p;

    DL_FOREACH (park->polls, p)
        if (p->words <= number && wants(p, word->queue)) {
            ask_for(park, p, number);
            return;
        }
    word->open = true;
}

/* The poll of a WAKE got no job. It may be one that excludes this agent, which may be kept from
 * jobs, too. */
static void pass_on(struct park *park, const struct poll *p, bool found_none)
{
    const struct word *word = &park->recent[p->word % RECENT_MAX];

    if (park->words - p->word <= RECENT_MAX && word->asked < PASS_MAX && !(word->any && found_none))
        wake_one(park, p->word);
}

static void on_reply(struct link_request *r, enum err e, const struct reply *reply)
{
    struct poll *p = (struct poll *)r;
    struct park *park = p->x.server->park;

    if ((e || reply->status != 200) && p->woken)
        pass_on(park, p, !e && reply->status == 204 && !is_held(reply));
    if (!e && reply->status == 204 && p->x.req && clock_mono_ms() < p->end && !park->closed)
        stand(park, p, is_held(reply));
    else
        exchange_end(&p->x, e, reply);
}

static bool read_wait(struct text t, int64_t *ret_s)
{
    int64_t n = 0;

    if (!t.len || t.len > 6)
        return false;
    for (size_t i = 0; i < t.len; i++) {
        if (t.s[i] < '0' || t.s[i] > '9')
            return false;
        n = n * 10 + (t.s[i] - '0');
    }
    *ret_s = n < PARK_WAIT_MAX ? n : PARK_WAIT_MAX;
    return true;
}

/* An old agent runs any other JSON object as a job, so the body of every refusal to it is {}. */
static void refuse_wait(struct exchange *x)
{
    struct local_answer refusal;

    local_error(&refusal, 400, "wait is not a number of seconds");
    if (x->server->cfg->auth == AUTH_OPEN)
        refusal.reply.body = (struct text){"{}", 2};
    exchange_end(x, ERR_OK, &refusal.reply);
}

static bool on_begin(struct exchange *x, const struct request *r)
{
    struct poll *p = (struct poll *)x;
    int64_t wait_s = x->server->cfg->poll_hold, silence_s = x->server->silence.tv_sec - SPARE_S;

    p->queues = mem_alloc((r->query_len + 1) * sizeof *p->queues);
    for (size_t i = 0; i < r->query_len; i++) {
        if (text_is(r->query[i].name, "queue"))
            p->queues[p->queues_len++] = hash_of(r->query[i].value);
        else if (text_is(r->query[i].name, "wait") && !read_wait(r->query[i].value, &wait_s)) {
            refuse_wait(x);
            return false;
        }
    }
    if (wait_s > silence_s)
        wait_s = silence_s;
    if (wait_s > 0 && !r->head && p->queues_len)
        p->end = clock_mono_ms() + wait_s * 1000;
    place_lasts(x->conn, p->end != 0);
    x->conn->polls = p->end != 0;
    asks(x->server->park, p);
    return true;
}

/* Keeps the payload to ask again. */
static void on_packed(struct exchange *x)
{
    struct poll *p = (struct poll *)x;

    if (!p->end)
        return;
    zmq_msg_init(&p->payload);
    zmq_msg_copy(&p->payload, &x->link.payload); /* shares the content */
    p->kept = true;
}

const struct exchange_kind park_kind = {.size = sizeof(struct poll),
                                        .begin = on_begin,
                                        .packed = on_packed,
                                        .reply = on_reply,
                                        .free = on_free};

/* ---- all polls ---- */

/* All polls ask soon. */
static void doubt(struct park *park)
{
    struct poll *p;

    park->doubts++;
    DL_FOREACH (park->polls, p) {
        int64_t look = within(p, DOUBT_MS);
        p->look = look < p->look ? look : p->look;
    }
}

/* A job waits in a queue, or (key.s NULL) in any. */
static void on_wake(void *arg, struct text key, bool any)
{
    struct park *park = arg;

    if (!key.s) {
        doubt(park);
        return;
    }
    park->recent[park->words % RECENT_MAX] = (struct word){.queue = hash_of(key), .any = any};
    wake_one(park, park->words++);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct park *park = arg;
    struct poll *p, *next;
    int64_t now = clock_mono_ms();

    (void)fd;
    (void)what;
    DL_FOREACH_SAFE(park->polls, p, next)
    {
        if (now >= p->end)
            answer_none(p);
        else if (now >= p->look)
            ask(p);
    }
    if (!park->polls) {
        event_del(park->tick);
        park->ticking = false;
    }
}

void park_close(struct park *park)
{
    struct poll *p, *next;

    park->closed = true;
    DL_FOREACH_SAFE(park->polls, p, next)
    answer_none(p);
}

struct park *park_new(struct server *s)
{
    struct park *park = mem_alloc(sizeof *park);

    park->server = s;
    park->tick = event_new(s->base, -1, EV_PERSIST, on_tick, park);
    mem_check(park->tick);
    link_on_wake(s->link, on_wake, park);
    return park;
}

void park_free(struct park *park)
{
    if (!park)
        return;
    link_on_wake(park->server->link, NULL, NULL);
    event_free(park->tick);
    free(park);
}
