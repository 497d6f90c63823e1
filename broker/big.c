#include "broker/big.h"

#include "broker/work.h"

enum {
    TURN_UNIT = 1024,  /* bytes */
    REST_MAX_MS = 2000 /* after a request that hung, big ones wait no longer than this */
};

#define OWNER(node) ((struct work *)(void *)((char *)(node)-offsetof(struct work, turn)))

static size_t client_of(const struct bus_header *h)
{
    return (size_t)((h->origin ^ (h->origin >> 32)) % BIG_CLIENTS);
}

bool big_is_crowded(const struct big *b, const struct bus_header *h, size_t limit_count)
{
    return b->clients[client_of(h)].waiting >= limit_count / BIG_CLIENT_SHARE + 1;
}

void big_push(struct big *b, struct work *w)
{
    size_t client = client_of(&w->header);
    int64_t next = b->clients[client].next;

    if (!w->charged) {
        w->charged = 1 + (int64_t)(w->expected / TURN_UNIT);
        w->turn.key = next > b->turn ? next : b->turn;
        b->clients[client].next = w->turn.key + w->charged;
    }
    b->clients[client].waiting++;
    heap_push(&b->waiting, &w->turn);
}

void big_remove(struct big *b, struct work *w)
{
    if (!w->turn.pos)
        return;
    heap_remove(&b->waiting, &w->turn);
    b->clients[client_of(&w->header)].waiting--;
}

void big_refund(struct big *b, struct work *w)
{
    b->clients[client_of(&w->header)].next -= w->charged;
    w->charged = 0;
}

struct work *big_first(const struct big *b)
{
    struct heap_node *node = heap_first(&b->waiting);

    return node ? OWNER(node) : NULL;
}

bool big_may_run(const struct big *b, size_t workers, size_t others, int64_t now)
{
    size_t most = workers / 2 ? workers / 2 : 1;

    if (!b->waiting.len || b->in_hand >= most)
        return false;
    return workers > 1 || now >= b->rest_until || (!others && b->other_began < b->began);
}

int64_t big_next_due(const struct big *b, int64_t now)
{
    return b->waiting.len && now < b->rest_until ? b->rest_until : INT64_MAX;
}

void big_began(struct big *b, int64_t now)
{
    b->began = now;
}

void big_answered(struct big *b, int64_t took, int64_t now)
{
    b->rest_until = now + (took < REST_MAX_MS ? took : REST_MAX_MS);
}
