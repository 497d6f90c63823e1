#include "worker/webhook/lanes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lane *lane_find(struct dispatcher *d, const char *id)
{
    struct lane *l;

    HASH_FIND_STR(d->lanes, id, l);
    return l;
}

struct lane *lane_get(struct dispatcher *d, const char *id, const char *receiver)
{
    struct lane *l = lane_find(d, id);

    if (l)
        return l;
    l = mem_alloc(sizeof *l);
    l->id = mem_strdup(id);
    snprintf(l->receiver, sizeof l->receiver, "%s", receiver);
    HASH_ADD_KEYPTR(hh, d->lanes, l->id, strlen(l->id), l);
    return l;
}

void lane_rest(struct dispatcher *d, struct lane *l)
{
    if (l->attempt || l->posts)
        return;
    HASH_DEL(d->lanes, l);
    free(l->id);
    free(l);
}
