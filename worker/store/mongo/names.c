/* Lists of named documents, batch by batch. */
#include "worker/store/mongo/db.h"

#include "common/mem.h"

#include <stdlib.h>

/* Documents of the first batch; later ones grow while they are small. A sort without an index holds
 * this many in memory. */
#define BATCH_FIRST  100
#define BATCH_LAST   6400
#define BATCH_GROWTH 4
#define BATCH_SMALL  MIB

/* The name of the last document that was passed on. */
struct last {
    char *name; /* owned; NULL: none yet */
    size_t len;
};

static void last_set(struct last *l, struct text name)
{
    free(l->name);
    l->name = mem_strndup(name.s, name.len);
    l->len = name.len;
}

/* Finds the documents after the last one. */
static enum err find_behind(struct mongo *m, const struct mongo_names *names, const struct last *l,
                            int limit, bool *more, struct db_found *ret)
{
    bson_t *filter = names->filter ? bson_copy(names->filter) : doc_of("");

    /* a text is greater than another one only: all else is left out */
    doc_add(filter, "?: {?: ?, $in: ?}", v_str(names->key), v_str(l->name ? "$gt" : "$gte"),
            v_text((struct text){l->name, l->len}),
            names->in_len ? v_texts(names->in, names->in_len) : v_none());
    return DB_FIND(m, ret, .collection = names->collection, .filter = filter,
                   .fields = names->fields, .sort = names->sort, .index = names->index,
                   .limit = limit, .more = more);
}

/* Passes on the documents of a batch; returns their number. *wanted false: no more are wanted. */
static int give(const struct mongo_names *names, const struct name_walk *w, struct db_found *f,
                struct last *l, bool *wanted)
{
    int n = 0;

    for (; *wanted && db_next(f); n++) {
        struct text name = doc_text(&f->doc, names->key);
        if (!name.s)
            continue;
        last_set(l, name);
        *wanted = w->take(w->arg, (struct text){l->name, l->len}, names->make(&f->doc));
    }
    return n;
}

enum err mongo_walk_names(struct mongo *m, const struct mongo_names *names,
                          const struct name_walk *w)
{
    struct last last = {0};
    int limit = BATCH_FIRST;
    bool more = true, wanted = true;
    enum err e = ERR_OK;

    if (w->after.s)
        last_set(&last, w->after);
    while (!e && more && wanted) {
        struct db_found f;
        e = find_behind(m, names, &last, limit, &more, &f);
        if (e)
            break;
        int n = give(names, w, &f, &last, &wanted);
        more = n && (more || n == limit);
        if (f.reply.len < BATCH_SMALL && limit < BATCH_LAST)
            limit *= BATCH_GROWTH;
        db_end(&f);
    }
    free(last.name);
    return e;
}
