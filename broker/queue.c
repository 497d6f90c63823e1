#include "broker/queue.h"

#include "broker/peers.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

/* Requests that share a key: one bundle of them at a time is in hand. */
struct lane {
    char key[1 + BUS_KEY_MAX]; /* service, then the request's key */
    size_t key_len;
    struct work *waiting; /* without the one that stands in the runnable list */
    struct work *first;   /* that one, or NULL */
    size_t in_hand;
    UT_hash_handle hh;
};

void queue_init(struct queue *q, size_t limit_count, size_t limit_bytes)
{
    *q = (struct queue){.limit_count = limit_count, .limit_bytes = limit_bytes};
}

struct work *queue_find(struct queue *q, const uint8_t id[BUS_ID_SIZE])
{
    struct work *w;

    HASH_FIND(hh, q->by_id, id, BUS_ID_SIZE, w);
    return w;
}

static struct lane *lane_of(struct queue *q, const struct bus_header *h)
{
    char key[1 + BUS_KEY_MAX];
    size_t len = 1 + h->key_len;
    struct lane *lane;

    if (!h->key_len)
        return NULL;
    key[0] = (char)h->service;
    memcpy(key + 1, h->key, h->key_len);
    HASH_FIND(hh, q->lanes, key, (unsigned)len, lane);
    if (!lane) {
        lane = mem_alloc(sizeof *lane);
        memcpy(lane->key, key, len);
        lane->key_len = len;
        HASH_ADD_KEYPTR(hh, q->lanes, lane->key, (unsigned)len, lane);
    }
    return lane;
}

static void lane_free_if_idle(struct queue *q, struct lane *lane)
{
    if (lane->waiting || lane->first || lane->in_hand)
        return;
    HASH_DEL(q->lanes, lane);
    free(lane);
}

/* Lets the lane's first request run when nothing of the lane does. */
static void lane_promote(struct queue *q, struct lane *lane, bool in_front)
{
    struct work *w = lane->waiting;
    struct work **list;

    if (lane->first || lane->in_hand || !w)
        return;
    DL_DELETE(lane->waiting, w);
    list = &q->runnable[w->header.service];
    if (in_front)
        DL_PREPEND(*list, w);
    else
        DL_APPEND(*list, w);
    w->runnable = true;
    lane->first = w;
}

static void count_waiting(struct queue *q, struct work *w)
{
    q->waiting++;
    q->waiting_of[w->header.service]++;
}

enum err queue_add(struct queue *q, const struct bus_header *h, zmq_msg_t *payload,
                   struct peer *frontend, int64_t now)
{
    size_t size = sizeof(struct work) + zmq_msg_size(payload);

    if (q->waiting >= q->limit_count || size > q->limit_bytes || q->bytes > q->limit_bytes - size)
        return ERR_FULL;
    struct work *w = mem_alloc(sizeof *w);
    w->header = *h;
    zmq_msg_init(&w->payload);
    zmq_msg_move(&w->payload, payload);
    w->size = size;
    w->deadline = now + h->ttl_ms;
    w->frontend = peer_ref(frontend);
    w->lane = lane_of(q, h);
    q->bytes += size;
    count_waiting(q, w);
    HASH_ADD(hh, q->by_id, header.id, BUS_ID_SIZE, w);
    DL_APPEND2(q->by_age, w, age_prev, age_next);
    if (w->lane) {
        DL_APPEND(w->lane->waiting, w);
        lane_promote(q, w->lane, false);
    } else {
        DL_APPEND(q->runnable[h->service], w);
        w->runnable = true;
    }
    return ERR_OK;
}

/* Takes a request out of the lists of those that wait. */
static void unlink_waiting(struct queue *q, struct work *w)
{
    if (w->runnable) {
        DL_DELETE(q->runnable[w->header.service], w);
        if (w->lane)
            w->lane->first = NULL;
    } else {
        DL_DELETE(w->lane->waiting, w);
    }
    w->runnable = false;
    DL_DELETE2(q->by_age, w, age_prev, age_next);
    q->waiting--;
    q->waiting_of[w->header.service]--;
}

static void give(struct queue *q, struct work *w, struct peer *worker)
{
    unlink_waiting(q, w);
    w->worker = worker;
    DL_APPEND(worker->hand, w);
    if (w->lane)
        w->lane->in_hand++;
}

void queue_remove(struct queue *q, struct work *w)
{
    struct lane *lane = w->lane;

    if (w->worker) {
        DL_DELETE(w->worker->hand, w);
        if (lane)
            lane->in_hand--;
    } else {
        unlink_waiting(q, w);
    }
    if (lane) {
        lane_promote(q, lane, false);
        lane_free_if_idle(q, lane);
    }
    HASH_DEL(q->by_id, w);
    q->bytes -= w->size;
    zmq_msg_close(&w->payload);
    peer_unref(w->frontend);
    free(w);
}

static bool is_dead(const struct work *w, int64_t now)
{
    return w->deadline <= now || w->frontend->gone;
}

/* The next request to run: of `lane` when one is given (its waiting ones too), else runnable. */
static struct work *next_of(struct queue *q, enum service service, struct lane *lane)
{
    if (lane)
        return lane->first ? lane->first : lane->waiting;
    return q->runnable[service];
}

size_t queue_take(struct queue *q, enum service service, size_t share, struct peer *worker,
                  int64_t now, struct work *works[BUS_BUNDLE_MAX],
                  void (*drop)(struct work *w, void *arg), void *arg)
{
    struct lane *lane = NULL;
    size_t n = 0, bytes = 0;
    struct work *w;

    while (n < BUS_BUNDLE_MAX && (w = next_of(q, service, lane))) {
        if (is_dead(w, now)) {
            /* With a request of the lane in hand the lane outlives this. */
            drop(w, arg);
            continue;
        }
        if (n && ((w->lane != lane) || (!lane && n >= share) || bytes + w->size > BUNDLE_BYTES_MAX))
            break;
        lane = w->lane;
        bytes += w->size;
        give(q, w, worker);
        works[n++] = w;
    }
    return n;
}

void queue_put_back(struct queue *q, struct work *w)
{
    DL_DELETE(w->worker->hand, w);
    w->worker = NULL;
    w->header.attempt++;
    count_waiting(q, w);
    DL_PREPEND2(q->by_age, w, age_prev, age_next);
    if (w->lane) {
        w->lane->in_hand--;
        DL_PREPEND(w->lane->waiting, w);
        lane_promote(q, w->lane, true);
    } else {
        DL_PREPEND(q->runnable[w->header.service], w);
        w->runnable = true;
    }
}

void queue_expire(struct queue *q, int64_t now, void (*drop)(struct work *w, void *arg), void *arg)
{
    while (q->by_age && is_dead(q->by_age, now))
        drop(q->by_age, arg);
}

void queue_free(struct queue *q)
{
    struct work *w, *next;

    HASH_ITER (hh, q->by_id, w, next)
        queue_remove(q, w);
}
