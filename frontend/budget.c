#include "frontend/budget.h"

#include "common/hash.h"
#include "common/mem.h"
#include "common/metrics.h"

#include <stdlib.h>

struct tenant {
    struct address_key key;
    struct budget *budget;
    uint64_t used;    /* bytes of memory */
    uint64_t spooled; /* bytes on the disk */
    size_t refs;      /* joins, and shares that hold bytes */
    UT_hash_handle hh;
};

struct tenant *budget_join(struct budget *b, const struct address_key *key)
{
    struct tenant *t;

    HASH_FIND(hh, b->tenants, key, sizeof *key, t);
    if (!t) {
        t = mem_alloc(sizeof *t);
        t->key = *key;
        t->budget = b;
        HASH_ADD(hh, b->tenants, key, sizeof t->key, t);
    }
    t->refs++;
    return t;
}

void budget_leave(struct tenant *t)
{
    if (!t || --t->refs)
        return;
    HASH_DEL(t->budget->tenants, t);
    free(t);
}

/* Whether the tenant may enlarge a share by `more` to `whole` bytes. */
static bool has_room(const struct tenant *t, uint64_t whole, uint64_t more)
{
    const struct budget *b = t->budget;
    uint64_t max = whole <= BUDGET_SMALL ? b->max : b->max / 4 * 3, others = b->used - t->used;

    if (more > max || b->used > max - more || others > max)
        return false;
    return t->used + more <= (max - others) / 2;
}

void budget_force(struct budget_share *s, struct tenant *t, uint64_t bytes)
{
    if (!bytes)
        return;
    if (!s->bytes) {
        s->tenant = t;
        t->refs++;
    }
    s->bytes += bytes;
    s->tenant->used += bytes;
    s->tenant->budget->used += bytes;
    metric_set(M_HTTP_MEMORY, 0, s->tenant->budget->used);
}

bool budget_take(struct budget_share *s, struct tenant *t, uint64_t bytes)
{
    if (!has_room(s->bytes ? s->tenant : t, s->bytes + bytes, bytes))
        return false;
    budget_force(s, t, bytes);
    return true;
}

bool budget_may_spool(const struct tenant *t, uint64_t bytes, uint64_t used, uint64_t max)
{
    uint64_t others = used > t->spooled ? used - t->spooled : 0;

    return others <= max && bytes <= max && t->spooled + bytes <= (max - others) / 2;
}

bool budget_spool(struct budget_share *s, struct tenant *t, uint64_t bytes, uint64_t used,
                  uint64_t max)
{
    t = s->bytes ? s->tenant : t;
    if (!budget_may_spool(t, bytes, used, max))
        return false;
    if (!s->bytes) {
        s->tenant = t;
        t->refs++;
    }
    s->bytes += bytes;
    t->spooled += bytes;
    return true;
}

void budget_unspool(struct budget_share *s)
{
    struct tenant *t = s->tenant;

    if (!s->bytes)
        return;
    t->spooled -= s->bytes;
    *s = (struct budget_share){0};
    budget_leave(t);
}

void budget_give(struct budget_share *s, uint64_t keep)
{
    if (keep >= s->bytes)
        return;
    struct tenant *t = s->tenant;
    struct budget *b = t->budget;
    uint64_t bytes = s->bytes - keep;
    s->bytes = keep;
    t->used -= bytes;
    b->used -= bytes;
    metric_set(M_HTTP_MEMORY, 0, b->used);
    if (!keep) {
        s->tenant = NULL;
        budget_leave(t);
    }
}
