#include "worker/store/mongo/db.h"

#include "common/log.h"

#include <string.h>

static const char *const keys[] = {
#define INDEX(id, collection, name, flags, keys)       keys,
#define EXPIRING(id, collection, flags, seconds, keys) keys,
#include "worker/store/mongo/indexes.def"
#undef INDEX
#undef EXPIRING
};

const char *index_keys(enum db_index index)
{
    return index == IX_ID ? "_id: 1" : keys[index - IX_ID - 1];
}

/* True (logged): the document is NULL, since it cannot be BSON. */
static bool is_bad(const bson_t *doc)
{
    if (!doc)
        log_error("cannot store a document: it is nested too deep or has a NUL in a name; such "
                  "a body should have been refused: report it");
    return !doc;
}

/* Nearly every command names an index: make the document of a name once in a process. */
static struct doc_value keys_of(enum db_index index)
{
    static bson_t *made[IX_COUNT_];

    if (index && !made[index])
        made[index] = doc_of_values(index_keys(index), &(struct doc_value){.kind = V_END});
    return index ? v_doc(made[index]) : v_none();
}

/* A constant text of a document; NULL: none. */
static struct doc_value constant(const char *form)
{
    return form ? v_own(doc_of_values(form, &(struct doc_value){.kind = V_END})) : v_none();
}

/* Operators begin with a name, a pipeline with position 0. */
static struct doc_value update_of(bson_t *update)
{
    bson_iter_t it;
    bool pipeline =
        update && bson_iter_init(&it, update) && bson_iter_next(&it) && *bson_iter_key(&it) == '0';

    return pipeline ? v_own_array(update) : v_own(update);
}

/* ---- reads ---- */

enum err db_read(struct mongo *m, bson_t *command, bson_t *ret_reply)
{
    enum err e = is_bad(command) ? ERR_INTERNAL : mongo_read(m, command, ret_reply);

    bson_destroy(command);
    return e;
}

enum err db_write(struct mongo *m, bson_t *command, bson_t *ret_reply)
{
    enum err e = is_bad(command) ? ERR_INTERNAL : mongo_write(m, command, ret_reply);

    bson_destroy(command);
    return e;
}

/* Closes the cursor of a reply; false: there is none, the batch was complete. */
static bool end_cursor(struct mongo *m, const char *collection, const bson_t *reply)
{
    int64_t id = doc_int(reply, "cursor.id", 0);
    bson_t done;

    if (!id)
        return false;
    if (db_read(m, doc_of("killCursors: ?, cursors: [?]", v_str(collection), v_int64(id)), &done) ==
        ERR_OK) /* without it, the server closes it after a while */
        bson_destroy(&done);
    return true;
}

/* Runs a command whose reply has a cursor. Takes the command. */
static enum err run_cursor(struct mongo *m, const char *collection, bson_t *command, bool *more,
                           struct db_found *ret)
{
    enum err e = db_read(m, command, &ret->reply);

    if (e) {
        bson_init(&ret->reply);
        return e;
    }
    if (more)
        *more = end_cursor(m, collection, &ret->reply);
    if (!doc_list(&ret->reply, "cursor.firstBatch", &ret->batch)) {
        db_end(ret);
        log_error("MongoDB answered a query without a batch; check that the store's URI leads to "
                  "MongoDB");
        return ERR_INTERNAL;
    }
    return ERR_OK;
}

enum err db_find(struct mongo *m, const struct db_query *q, struct db_found *ret)
{
    const char *sort = q->in_order ? index_keys(q->index) : q->sort;
    bson_t *command =
        doc_of("find: ?, filter: ?, projection: ?, sort: ?, hint: ?, limit: ?, "
               "batchSize: ?, singleBatch: ?",
               v_str(q->collection), v_own(q->filter), constant(q->fields), constant(sort),
               keys_of(q->index), v_int(q->limit), v_int(q->limit), /* else a batch has 101 */
               q->more ? v_none() : v_bool(true));

    return run_cursor(m, q->collection, command, q->more, ret);
}

bool db_next(struct db_found *f)
{
    return bson_iter_next(&f->batch) && doc_view(&f->batch, &f->doc);
}

void db_end(struct db_found *f)
{
    bson_destroy(&f->reply);
    bson_init(&f->reply);
}

enum err db_first(struct mongo *m, const struct db_query *q, struct db_found *ret)
{
    struct db_query one = *q;

    one.limit = 1;
    enum err e = db_find(m, &one, ret);
    if (e || db_next(ret))
        return e;
    db_end(ret);
    return ERR_NOT_FOUND;
}

enum err db_get(struct mongo *m, const char *collection, bson_t *filter, const char *fields,
                struct db_found *ret)
{
    return DB_FIRST(m, ret, .collection = collection, .filter = filter, .fields = fields);
}

enum err db_aggregate(struct mongo *m, const char *collection, bson_t *pipeline,
                      enum db_index index, struct db_found *ret)
{
    bool more; /* than 16 MiB */

    return run_cursor(m, collection,
                      doc_of("aggregate: ?, pipeline: ?, cursor: {batchSize: ?}, hint: ?",
                             v_str(collection), v_own_array(pipeline),
                             v_int(INT32_MAX), /* else a batch has 101 */
                             keys_of(index)),
                      &more, ret);
}

/* ---- writes ---- */

/* Appends a statement, or a document: its members. */
static void add(struct db_batch *b, const char *verb, const char *list, struct doc_value members)
{
    const char *key;
    char text[16];
    bson_t statement;

    if (!b->n) {
        b->bad = !doc_add(&b->command, "?: ?, ordered: ?", v_str(verb), v_str(b->collection),
                          v_bool(!b->unordered));
        b->open = bson_append_array_begin(&b->command, list, -1, &b->list);
    }
    size_t len = bson_uint32_to_string((uint32_t)b->n++, &key, text, sizeof text);
    bson_append_document_begin(&b->list, key, (int)len, &statement);
    b->bad = !doc_add(&statement, "?", members) || b->bad;
    bson_append_document_end(&b->list, &statement);
}

void db_add_insert(struct db_batch *b, bson_t *doc)
{
    add(b, "insert", "documents", v_own(doc));
}

void db_add_update(struct db_batch *b, const struct db_change *c)
{
    add(b, "update", "updates",
        v_own(doc_of("q: ?, u: ?, upsert: ?, multi: ?, hint: ?", v_own(c->filter),
                     update_of(c->update), c->upsert ? v_bool(true) : v_none(),
                     c->all ? v_bool(true) : v_none(), keys_of(c->index))));
}

void db_add_delete(struct db_batch *b, bson_t *filter, bool all)
{
    add(b, "delete", "deletes", v_own(doc_of("q: ?, limit: ?", v_own(filter), v_int(!all))));
}

static void finish(struct db_batch *b)
{
    if (b->open)
        bson_append_array_end(&b->command, &b->list);
    b->open = false;
}

void db_drop(struct db_batch *b)
{
    finish(b);
    bson_destroy(&b->command);
    bson_init(&b->command);
    b->n = 0;
    b->bad = false;
}

/* Logs an error of a statement unless the caller handles it, and returns it. */
static enum err statement_error(const struct db_batch *b, const bson_t *error)
{
    int code = (int)doc_int(error, "code", 0);
    const char *why = doc_str(error, "errmsg");
    enum err e = mongo_code_err(code);

    if (e != ERR_CONFLICT && e != ERR_TOO_LARGE)
        log_error("MongoDB fails a write in %s: %s (code %d); see the server's log", b->collection,
                  why ? why : "no reason given", code);
    return e;
}

/* Takes the errors of the statements; returns the first one if the caller does not take each. */
static enum err take_errors(const struct db_batch *b, const bson_t *reply)
{
    bson_iter_t list;
    bson_t error;

    if (!doc_list(reply, "writeErrors", &list))
        return ERR_OK;
    while (bson_iter_next(&list) && doc_view(&list, &error)) {
        size_t i = (size_t)doc_int(&error, "index", 0);
        enum err e = statement_error(b, &error);
        if (!b->errs)
            return e;
        if (i < b->n)
            b->errs[i] = e;
    }
    return ERR_OK;
}

static void take_made(const struct db_batch *b, const bson_t *reply)
{
    bson_iter_t list;
    bson_t one;

    if (!b->made || !doc_list(reply, "upserted", &list))
        return;
    while (bson_iter_next(&list) && doc_view(&list, &one)) {
        size_t i = (size_t)doc_int(&one, "index", 0);
        if (i < b->n)
            b->made[i] = true;
    }
}

static enum err run_once(struct mongo *m, const struct db_batch *b, struct db_done *ret)
{
    bson_t reply;
    enum err e = (b->light  ? mongo_write_light
                  : b->last ? mongo_write_last
                            : mongo_write)(m, &b->command, &reply);

    if (e)
        return e;
    ret->ran = true;
    e = take_errors(b, &reply);
    take_made(b, &reply);
    ret->matched = doc_int(&reply, "n", 0);
    ret->modified = doc_int(&reply, "nModified", 0);
    ret->went_in = (size_t)doc_int(&reply, "writeErrors.0.index", (int64_t)b->n);
    bson_destroy(&reply);
    return e;
}

enum err db_run(struct mongo *m, struct db_batch *b, struct db_done *ret)
{
    struct db_done done = {0};
    enum err e = ERR_OK;

    for (size_t i = 0; i < b->n; i++) {
        if (b->errs)
            b->errs[i] = ERR_OK;
        if (b->made)
            b->made[i] = false;
    }
    finish(b);
    if (b->bad && is_bad(NULL))
        e = ERR_INTERNAL;
    else if (b->n)
        e = run_once(m, b, &done);
    if (e == ERR_CONFLICT && b->twice)
        e = run_once(m, b, &done);
    db_drop(b);
    if (ret)
        *ret = done;
    return e;
}

void db_run_inserts(struct mongo *m, struct db_batch *b, enum err errs[], size_t n)
{
    b->errs = errs;
    enum err e = db_run(m, b, NULL);
    for (size_t i = 0; i < n; i++)
        errs[i] = e ? e : errs[i] == ERR_CONFLICT ? ERR_OK : errs[i];
}

enum err db_insert(struct mongo *m, const char *collection, bson_t *doc)
{
    struct db_batch b = DB_BATCH(collection);

    db_add_insert(&b, doc);
    return db_run(m, &b, NULL);
}

enum err db_update(struct mongo *m, const char *collection, const struct db_change *c,
                   struct db_done *ret)
{
    struct db_batch b = DB_BATCH(collection);

    db_add_update(&b, c);
    return db_run(m, &b, ret);
}

enum err db_set(struct mongo *m, const char *collection, bson_t *filter, bson_t *update)
{
    struct db_done done;
    enum err e = DB_UPDATE(m, collection, &done, .filter = filter, .update = update);

    return e || done.matched ? e : ERR_NOT_FOUND;
}

enum err db_delete(struct mongo *m, const char *collection, bson_t *filter, bool all,
                   struct db_done *ret)
{
    struct db_batch b = DB_BATCH(collection);

    db_add_delete(&b, filter, all);
    return db_run(m, &b, ret);
}

enum err db_upsert(struct mongo *m, const char *collection, bson_t *filter, bson_t *update)
{
    struct db_batch b = DB_BATCH(collection);

    b.twice = true;
    db_add_update(&b, &(struct db_change){.filter = filter, .update = update, .upsert = true});
    return db_run(m, &b, NULL);
}

enum err db_modify(struct mongo *m, const char *collection, const struct db_change *c,
                   struct db_found *ret)
{
    bson_t *command =
        doc_of("findAndModify: ?, query: ?, update: ?, sort: ?, hint: ?, upsert: ?, "
               "new: ?, fields: ?",
               v_str(collection), v_own(c->filter), update_of(c->update), constant(c->sort),
               keys_of(c->index), v_bool(c->upsert), v_bool(c->after), constant(c->fields));
    enum err e = is_bad(command) ? ERR_INTERNAL : mongo_write(m, command, &ret->reply);

    if (e == ERR_CONFLICT && c->upsert)
        e = mongo_write(m, command, &ret->reply);
    bson_destroy(command);
    if (e) {
        bson_init(&ret->reply);
        return e == ERR_CONFLICT && c->upsert ? ERR_UNAVAILABLE : e;
    }
    if (doc_inner(&ret->reply, "value", &ret->doc))
        return ERR_OK;
    db_end(ret);
    return ERR_NOT_FOUND;
}
