#include "broker/queue.h"

#include "broker/peers.h"
#include "common/clock.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

enum {
    SPARE_MAX = 1024,
    UNKNOWN_MS = 300,
    RARE_LOOKS = 64 /* rare requests that one search for a worker visits */
};

/* Requests that share a key. */
struct lane {
    char key[1 + BUS_KEY_MAX]; /* service, then the requests' key */
    size_t key_len;
    struct work *waiting; /* oldest first */
    size_t in_hand;
    struct lane *next; /* spare ones */
    UT_hash_handle hh;
};

#define OWNER(node, member) ((struct work *)(void *)((char *)(node)-offsetof(struct work, member)))

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

static struct work *work_new(struct queue *q)
{
    struct work *w = q->spare;

    if (!w)
        return mem_alloc(sizeof *w);
    q->spare = w->next;
    q->spare_len--;
    memset(w, 0, sizeof *w);
    return w;
}

static void work_free(struct queue *q, struct work *w)
{
    if (q->spare_len == SPARE_MAX) {
        free(w);
        return;
    }
    w->next = q->spare;
    q->spare = w;
    q->spare_len++;
}

static struct lane *lane_new(struct queue *q)
{
    struct lane *lane = q->spare_lanes;

    if (!lane)
        return mem_alloc(sizeof *lane);
    q->spare_lanes = lane->next;
    q->spare_lanes_len--;
    memset(lane, 0, sizeof *lane);
    return lane;
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
        lane = lane_new(q);
        memcpy(lane->key, key, len);
        lane->key_len = len;
        HASH_ADD_KEYPTR(hh, q->lanes, lane->key, (unsigned)len, lane);
    }
    return lane;
}

/* Sets w->expected; true: the request is big. */
static bool look_big(const struct queue *q, struct work *w)
{
    w->expected = zmq_msg_size(&w->payload);
    if (w->header.service != SERVICE_API)
        return false;
    w->expected += costs_expect(&q->big.costs, &w->header);
    return w->expected >= BIG_BYTES;
}

unsigned work_op(const struct work *w)
{
    unsigned told = w->header.subject >> BUS_SUBJECT_OP_SHIFT;

    return told ? told - 1 : BUS_OPS_MAX + 1;
}

static bool knows(const struct bus_ops *ops, const struct work *w)
{
    return work_op(w) > BUS_OPS_MAX || bus_ops_has(ops, work_op(w));
}

static bool all_know(const struct queue *q, const struct work *w)
{
    enum service s = w->header.service;

    return !q->known[s].told || knows(&q->known[s].all, w);
}

static void push_run(struct work *w, struct heap *runs)
{
    w->runs = runs;
    heap_push(runs, &w->order);
}

static void set_due(struct queue *q, struct work *w, int64_t due)
{
    if (w->due.key == due)
        return;
    heap_remove(&q->due, &w->due);
    w->due.key = due;
    heap_push(&q->due, &w->due);
}

/* Puts a runnable request that some workers do not know into `rare` or `unknown`. */
static void stand_apart(struct queue *q, struct work *w)
{
    enum service s = w->header.service;
    bool rare = knows(&q->known[s].some, w);

    push_run(w, rare ? &q->rare[s] : &q->unknown[s]);
    set_due(q, w, w->deadline - (rare ? 0 : UNKNOWN_MS));
}

static void let_run(struct queue *q, struct work *w)
{
    if (w->order.pos || w->turn.pos)
        return;
    if (!all_know(q, w))
        stand_apart(q, w);
    else if (look_big(q, w))
        big_push(&q->big, w);
    else
        push_run(w, w->writes ? &q->writes[w->header.service] : &q->reads[w->header.service]);
}

/* Assigns all requests of a heap again. */
static void sort_anew(struct queue *q, struct heap *h)
{
    struct heap old = *h;

    *h = (struct heap){0};
    for (size_t i = 0; i < old.len; i++) {
        struct work *w = OWNER(old.nodes[i], order);
        w->order.pos = 0;
        set_due(q, w, w->deadline);
        let_run(q, w);
    }
    heap_free(&old);
}

void queue_set_known(struct queue *q, enum service service, bool told, const struct bus_ops *all,
                     const struct bus_ops *some)
{
    if (q->known[service].told == told && memcmp(&q->known[service].all, all, sizeof *all) == 0 &&
        memcmp(&q->known[service].some, some, sizeof *some) == 0)
        return;
    q->known[service].told = told;
    q->known[service].all = *all;
    q->known[service].some = *some;
    sort_anew(q, &q->rare[service]);
    sort_anew(q, &q->unknown[service]);
}

bool queue_is_unknown(const struct queue *q, const struct work *w)
{
    return w->order.pos && w->runs == &q->unknown[w->header.service];
}

/* After a change of the lane: makes its oldest request runnable if none is in hand; frees an empty
 * lane. */
static void lane_settle(struct queue *q, struct lane *lane)
{
    struct work *first = lane->waiting;

    if (lane->in_hand)
        return;
    if (first) {
        let_run(q, first);
        return;
    }
    HASH_DEL(q->lanes, lane);
    if (q->spare_lanes_len == SPARE_MAX) {
        free(lane);
        return;
    }
    lane->next = q->spare_lanes;
    q->spare_lanes = lane;
    q->spare_lanes_len++;
}

/* Bytes that a request counts against limit_bytes. */
static size_t cost(const zmq_msg_t *payload)
{
    return sizeof(struct work) + zmq_msg_size(payload);
}

/* Counts a request as waiting; the caller puts it into its lane or a heap. */
static void start_waiting(struct queue *q, struct work *w)
{
    q->waiting++;
    q->waiting_of[w->header.service]++;
    heap_push(&q->due, &w->due);
}

/* Removes a waiting request from all heaps and its lane. */
static void stop_waiting(struct queue *q, struct work *w)
{
    q->waiting--;
    q->waiting_of[w->header.service]--;
    heap_remove(&q->due, &w->due);
    heap_remove(w->runs, &w->order);
    big_remove(&q->big, w);
    if (w->lane)
        DL_DELETE(w->lane->waiting, w);
}

static bool is_full(const struct queue *q, const struct bus_header *h, size_t size)
{
    enum service service = h->service;

    if (q->waiting >= q->limit_count)
        return true;
    if (service == SERVICE_LOGIN &&
        q->waiting_of[service] >= (q->limit_count + QUEUE_LOGIN_SHARE - 1) / QUEUE_LOGIN_SHARE)
        return true;
    if (service == SERVICE_API && size + costs_expect(&q->big.costs, h) >= BIG_BYTES &&
        big_is_crowded(&q->big, h, q->limit_count))
        return true;
    return q->held && (size > q->limit_bytes || q->bytes > q->limit_bytes - size);
}

/* An operation of a later release may write. */
static bool may_write(const struct work *w)
{
    const struct route *route = route_of_wire(work_op(w));

    return !route || route_writes(route);
}

enum err queue_add(struct queue *q, const struct bus_header *h, zmq_msg_t *payload,
                   struct peer *frontend, int64_t now)
{
    size_t size = cost(payload);

    if (is_full(q, h, size))
        return ERR_FULL;
    struct work *w = work_new(q);
    w->header = *h;
    zmq_msg_init(&w->payload);
    zmq_msg_move(&w->payload, payload);
    w->writes = may_write(w);
    w->came_us = clock_mono_us();
    w->deadline = w->due.key = now + h->ttl_ms;
    w->order.key = ++q->last_number;
    w->lane = lane_of(q, h);
    queue_attach(w, frontend);
    q->held++;
    q->bytes += size;
    HASH_ADD(hh, q->by_id, header.id, BUS_ID_SIZE, w);
    start_waiting(q, w);
    if (w->lane) {
        DL_APPEND(w->lane->waiting, w);
        lane_settle(q, w->lane);
    } else {
        let_run(q, w);
    }
    return ERR_OK;
}

size_t queue_runnable(const struct queue *q, enum service service, enum queue_kinds kinds)
{
    return q->reads[service].len + (kinds == QUEUE_ALL ? q->writes[service].len : 0);
}

bool queue_fills_bundle(const struct queue *q, enum service service, enum queue_kinds kinds)
{
    const struct heap *heaps[] = {&q->reads[service], &q->writes[service]};
    int64_t us = 0;
    size_t bytes = 0;

    if (queue_runnable(q, service, kinds) >= BUS_BUNDLE_MAX)
        return true;
    for (size_t k = 0; k < (kinds == QUEUE_ALL ? 2 : 1); k++)
        for (size_t i = 0; i < heaps[k]->len; i++) {
            const struct work *w = OWNER(heaps[k]->nodes[i], order);
            us += pace_expect(&q->pace, work_op(w));
            bytes += w->expected;
        }
    return us >= BUNDLE_US || bytes >= BUNDLE_BYTES_MAX;
}

/* The oldest runnable request; NULL: none. */
static struct heap_node *oldest(const struct queue *q, enum service service, enum queue_kinds kinds)
{
    struct heap_node *read = heap_first(&q->reads[service]);
    struct heap_node *write = kinds == QUEUE_ALL ? heap_first(&q->writes[service]) : NULL;

    return !read || (write && write->key < read->key) ? write : read;
}

/* A bundle being put together. */
struct bundle {
    struct work **works;
    size_t len, room, bytes;
    int64_t us; /* expected */
    enum queue_kinds kinds;
    struct peer *worker;
    int64_t now;
};

static void into_hand(struct queue *q, struct work *w, struct peer *worker, int64_t now)
{
    stop_waiting(q, w);
    w->worker = worker;
    w->began = now;
    DL_APPEND(worker->hand, w);
    worker->hand_len++;
    worker->writes += w->writes;
    if (w->lane)
        w->lane->in_hand++;
}

/* Adds a waiting request; false: it does not fit. */
static bool bundle_add(struct queue *q, struct bundle *b, struct work *w)
{
    if (b->len == b->room || b->us >= BUNDLE_US || (w->writes && b->kinds == QUEUE_READS) ||
        (b->len && b->bytes + w->expected > BUNDLE_BYTES_MAX))
        return false;
    into_hand(q, w, b->worker, b->now);
    b->works[b->len++] = w;
    b->bytes += w->expected;
    b->us += pace_expect(&q->pace, work_op(w));
    return true;
}

/* Adds the rest of a lane after its first request; false: the bundle is full. */
static bool bundle_add_lane(struct queue *q, struct bundle *b, struct lane *lane)
{
    struct work *w;

    while (lane && (w = lane->waiting))
        if (!all_know(q, w) || look_big(q, w) || !bundle_add(q, b, w))
            return false;
    return true;
}

size_t queue_take(struct queue *q, enum service service, enum queue_kinds kinds, size_t share,
                  struct peer *worker, struct work *works[BUS_BUNDLE_MAX], int64_t now)
{
    struct bundle b = {.works = works,
                       .kinds = kinds,
                       .worker = worker,
                       .now = now,
                       .room = worker->window ? peer_room(worker) : BUS_BUNDLE_MAX};
    struct heap_node *node;

    for (size_t i = 0; i < share && (node = oldest(q, service, kinds));) {
        struct work *w = OWNER(node, order);
        if (!all_know(q, w) || look_big(q, w)) { /* learned from a READY or an answer meanwhile */
            heap_remove(w->runs, node);
            let_run(q, w);
            continue;
        }
        if (!bundle_add(q, &b, w) || !bundle_add_lane(q, &b, w->lane))
            break;
        i++;
    }
    if (b.len && service == SERVICE_API)
        q->big.other_began = now;
    return b.len;
}

struct work *queue_take_rare(struct queue *q, enum service service, struct peer *worker,
                             int64_t now)
{
    struct heap *h = &q->rare[service];
    struct work *best = NULL;

    for (size_t i = 0; i < h->len && i < RARE_LOOKS; i++) {
        struct work *w = OWNER(h->nodes[i], order);
        if (knows(&worker->ops, w) && (!best || w->order.key < best->order.key))
            best = w;
    }
    if (best) {
        look_big(q, best);
        into_hand(q, best, worker, now);
    }
    return best;
}

struct work *queue_take_big(struct queue *q, struct peer *worker, int64_t now)
{
    struct work *w = big_first(&q->big);

    if (!w)
        return NULL;
    if (!all_know(q, w)) {
        big_remove(&q->big, w);
        let_run(q, w);
        return NULL;
    }
    q->big.turn = w->turn.key;
    into_hand(q, w, worker, now);
    w->is_big = true;
    q->big.in_hand++;
    big_began(&q->big, now);
    return w;
}

void queue_note_answer(struct queue *q, const struct work *w, size_t bytes, uint32_t took_us,
                       int64_t now)
{
    if (w->header.service != SERVICE_API)
        return;
    costs_note(&q->big.costs, &w->header, bytes);
    pace_note(&q->pace, work_op(w), took_us);
    if (w->is_big)
        big_answered(&q->big, now - w->began, now);
}

/* Takes a request out of its worker's hand. */
static void leave_hand(struct queue *q, struct work *w)
{
    q->big.in_hand -= w->is_big;
    w->is_big = false;
    DL_DELETE(w->worker->hand, w);
    w->worker->hand_len--;
    w->worker->writes -= w->writes;
    w->worker = NULL;
    if (w->lane)
        w->lane->in_hand--;
}

void queue_put_back(struct queue *q, struct work *w)
{
    leave_hand(q, w);
    start_waiting(q, w);
    if (w->lane) {
        DL_PREPEND(w->lane->waiting, w);
        lane_settle(q, w->lane);
    } else {
        let_run(q, w);
    }
}

void queue_remove(struct queue *q, struct work *w)
{
    if (w->worker) {
        leave_hand(q, w);
    } else {
        stop_waiting(q, w);
        big_refund(&q->big, w);
    }
    if (w->lane)
        lane_settle(q, w->lane);
    queue_attach(w, NULL);
    HASH_DEL(q->by_id, w);
    q->held--;
    q->bytes -= cost(&w->payload);
    zmq_msg_close(&w->payload);
    work_free(q, w);
}

void queue_attach(struct work *w, struct peer *frontend)
{
    if (w->frontend)
        DL_DELETE2(w->frontend->sent, w, sent_prev, sent_next);
    w->frontend = frontend;
    if (frontend)
        DL_APPEND2(frontend->sent, w, sent_prev, sent_next);
}

void queue_frontend_gone(struct queue *q, struct peer *frontend)
{
    struct work *w;

    while ((w = frontend->sent)) {
        if (w->worker)
            queue_attach(w, NULL);
        else
            queue_remove(q, w);
    }
}

int64_t queue_next_due(const struct queue *q)
{
    const struct heap_node *node = heap_first(&q->due);

    return node ? node->key : INT64_MAX;
}

struct work *queue_due(const struct queue *q, int64_t now)
{
    struct heap_node *node = heap_first(&q->due);

    return node && node->key <= now ? OWNER(node, due) : NULL;
}

void queue_free(struct queue *q)
{
    struct work *w, *next;
    struct lane *lane;

    HASH_ITER (hh, q->by_id, w, next)
        queue_remove(q, w);
    while ((w = q->spare)) {
        q->spare = w->next;
        free(w);
    }
    while ((lane = q->spare_lanes)) {
        q->spare_lanes = lane->next;
        free(lane);
    }
    for (int s = 0; s < SERVICE_COUNT_; s++) {
        heap_free(&q->reads[s]);
        heap_free(&q->writes[s]);
        heap_free(&q->rare[s]);
        heap_free(&q->unknown[s]);
    }
    heap_free(&q->big.waiting);
    heap_free(&q->due);
}
