/* The memory that one frontend process spends on its clients: bodies, packed requests under way,
 * answers that slow readers have not taken, parts of downloads, input that waits.
 *
 * Shares of up to BUDGET_SMALL bytes may use all of it, larger ones three quarters, so that agents'
 * small posts always find room. One address (address.h) gets at most half of what the others leave,
 * so no number of greedy addresses uses it up. */
#ifndef FRONTEND_BUDGET_H
#define FRONTEND_BUDGET_H

#include "frontend/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BUDGET_SMALL ((uint64_t)68 * 1024) /* a body of 64 KiB and its head */

struct tenant; /* the use of one address */

struct budget {
    uint64_t max, used;     /* bytes */
    struct tenant *tenants; /* by address */
};

/* A holder's part of the budget. All zeros: none. */
struct budget_share {
    struct tenant *tenant;
    uint64_t bytes;
};

/* The tenant of an address; each join needs a leave. Shares keep their tenant alive themselves. */
struct tenant *budget_join(struct budget *b, const struct address_key *key);
void budget_leave(struct tenant *t); /* NULL: nothing */

/* Adds bytes to a share, which then belongs to this tenant. False: no room, nothing has changed. */
bool budget_take(struct budget_share *s, struct tenant *t, uint64_t bytes);

/* The same without a limit, for what is in memory already. */
void budget_force(struct budget_share *s, struct tenant *t, uint64_t bytes);

/* Returns all but `keep` bytes. */
void budget_give(struct budget_share *s, uint64_t keep);

/* Adds bytes on the disk by the same rule: at most half of what the others leave of `max`, where
 * `used` counts all addresses in all processes. False: no room, nothing has changed. */
bool budget_spool(struct budget_share *s, struct tenant *t, uint64_t bytes, uint64_t used,
                  uint64_t max);
/* Whether budget_spool would succeed. */
bool budget_may_spool(const struct tenant *t, uint64_t bytes, uint64_t used, uint64_t max);
/* Returns bytes on the disk. */
void budget_unspool(struct budget_share *s);

#endif
