/* Lists of documents with names, batch by batch. */
#include "worker/store/mongo/mongo.h"

#include "common/mem.h"

#include <stdlib.h>

/* Documents of the first batch; of later ones, which grow as long as they are small. A sort without
 * an index has to hold so many. */
#define BATCH_FIRST  100
#define BATCH_LAST   6400
#define BATCH_GROWTH 4
#define BATCH_SMALL  MIB

/* Where a walk has come to. */
struct place {
    char *name; /* owned; NULL: at its begin */
    size_t len;
};

static void place_set(struct place *p, const char *name, size_t len)
{
    free(p->name);
    p->name = mem_strndup(name, len);
    p->len = len;
}

/* The documents behind the place. */
static enum err find_behind(struct mongo *m, const struct mongo_names *names, const struct place *p,
                            int limit, bool *more, bson_t *ret_reply, bson_iter_t *ret_batch)
{
    bson_t filter = BSON_INITIALIZER, sort = BSON_INITIALIZER, range;
    struct mongo_query q = {.collection = names->collection,
                            .filter = &filter,
                            .projection = names->projection,
                            .sort = &sort,
                            .hint = names->hint,
                            .limit = limit,
                            .more = more};

    if (names->filter)
        bson_concat(&filter, names->filter);
    BSON_APPEND_DOCUMENT_BEGIN(&filter, names->key, &range);
    /* a text is greater than another one only: all else is left out */
    mongo_append_text(&range, p->name ? "$gt" : "$gte", (struct text){p->name, p->len});
    if (names->in)
        BSON_APPEND_ARRAY(&range, "$in", names->in);
    bson_append_document_end(&filter, &range);
    BSON_APPEND_INT32(&sort, names->key, 1);
    enum err e = mongo_find(m, &q, ret_reply, ret_batch);
    bson_destroy(&filter);
    bson_destroy(&sort);
    return e;
}

/* Gives the documents of a batch; returns how many there were. *wanted false: no more are. */
static int give(const struct mongo_names *names, const struct name_walk *w, bson_iter_t *batch,
                struct place *p, bool *wanted)
{
    bson_t doc;
    bson_iter_t it;
    uint32_t len;
    int n = 0;

    for (; *wanted && mongo_next(batch, &doc); n++) {
        if (!bson_iter_init_find(&it, &doc, names->key) || !BSON_ITER_HOLDS_UTF8(&it))
            continue;
        const char *name = bson_iter_utf8(&it, &len);
        place_set(p, name, len);
        *wanted = w->take(w->arg, (struct text){p->name, len}, names->make(&doc));
    }
    return n;
}

enum err mongo_walk_names(struct mongo *m, const struct mongo_names *names,
                          const struct name_walk *w)
{
    struct place place = {0};
    int limit = BATCH_FIRST;
    bool more = true, wanted = true;
    enum err e = ERR_OK;

    if (w->after.s)
        place_set(&place, w->after.s, w->after.len);
    while (!e && more && wanted) {
        bson_t reply;
        bson_iter_t batch;
        e = find_behind(m, names, &place, limit, &more, &reply, &batch);
        if (e)
            break;
        int n = give(names, w, &batch, &place, &wanted);
        more = n && (more || n == limit);
        if (reply.len < BATCH_SMALL && limit < BATCH_LAST)
            limit *= BATCH_GROWTH;
        bson_destroy(&reply);
    }
    free(place.name);
    return e;
}
