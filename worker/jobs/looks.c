#include "worker/jobs/looks.h"

bool job_place_before(const struct job_place *a, const struct job_place *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority;
    if (a->created != b->created)
        return a->created < b->created;
    return a->id < b->id;
}

uint64_t looks_key(const struct text *queues, size_t n, struct text agent)
{
    uint64_t h = FNV_START;

    for (size_t i = 0; i < n; i++)
        h = fnv_add_text(h, queues[i]);
    return (agent.s ? fnv_add_text(h, agent) : h) | 1;
}

static size_t neighbour(uint64_t key, size_t i)
{
    return ((key >> 32) + i) % LOOKS;
}

/* The entry of the key; a new key replaces the least recently used of its LOOK_PROBES neighbours.
 */
static struct looks_entry *place_of(struct looks *l, uint64_t key, int64_t now_ms)
{
    struct looks_entry *oldest = &l->at[neighbour(key, 0)];

    for (size_t i = 0; i < LOOK_PROBES; i++) {
        struct looks_entry *at = &l->at[neighbour(key, i)];
        if (at->key == key) {
            at->used_ms = now_ms;
            return at;
        }
        if (at->used_ms < oldest->used_ms)
            oldest = at;
    }
    *oldest = (struct looks_entry){.key = key, .used_ms = now_ms};
    return oldest;
}

enum err looks_find(struct looks *l, uint64_t key, int64_t now_ms, look_fn *look, void *arg)
{
    struct job_place first, from, last;
    enum err e = look(arg, NULL, &first);

    if (e != ERR_FULL)
        return e;
    struct looks_entry *at = place_of(l, key, now_ms);
    last = from = at->begun && !job_place_before(&at->last, &first) ? at->last : first;
    e = look(arg, &from, &last);
    at->begun = e != ERR_NOT_FOUND; /* else the next one starts after the first look */
    at->last = from;
    if (e != ERR_FULL)
        return e;
    at->last = last;
    if (!job_place_before(&from, &last)) /* all have the same creation time: skip to the next one */
        at->last.created++;
    return ERR_NOT_FOUND;
}

void looks_note(struct looks *l, uint64_t key, int64_t now_ms)
{
    place_of(l, key, now_ms);
}

bool looks_noted(const struct looks *l, uint64_t key, int64_t now_ms)
{
    for (size_t i = 0; i < LOOK_PROBES; i++) {
        const struct looks_entry *at = &l->at[neighbour(key, i)];
        if (at->key == key)
            return now_ms - at->used_ms < LOOKS_NOTED_MS;
    }
    return false;
}
