/* Agents out of service and paused queues. Each process keeps their keys for HOLDS_LOOK_MS, so that
 * a claim needs no further trip; what it finds there it looks up. */
#include "common/clock.h"
#include "worker/store/mongo/db.h"

#define HOLDS         "holds" /* ours: {_id: key, mode, by, reason, at, until} */
#define HOLDS_LOOK_MS 1000

/* Holds that are in force. */
#define IN_FORCE "until: {$not: {$lte: ?}}"

/* Reads the keys again where it is time to. */
static enum err refresh(struct mongo *m)
{
    struct mongo_holds *h = &m->holds;
    int64_t now = clock_mono_ms();
    struct db_found f;

    if (h->ids && now < h->due_ms)
        return ERR_OK;
    enum err e = DB_FIND(
        m, &f, .collection = HOLDS,
        .filter = doc_of("_id: {$gte: 'a:', $lt: 'q;'}, " IN_FORCE, v_date(mongo_now_ms(m))),
        .fields = "_id: true", .index = IX_ID, .limit = HOLDS_MAX);
    if (e)
        return e;
    json_decref(h->ids);
    *h = (struct mongo_holds){.ids = json_object(), .due_ms = now + HOLDS_LOOK_MS};
    while (db_next(&f)) {
        const char *id = doc_str(&f.doc, "_id");
        if (!id || !*id)
            continue;
        json_object_set_new(h->ids, id, json_true());
        h->some[*id == 'a' ? HOLD_AGENT : HOLD_QUEUE] = true;
    }
    db_end(&f);
    return ERR_OK;
}

/* The hold may have ended since: asks for each that the keys name. */
static enum err confirm(struct mongo *m, struct hold_look *l, const char *id)
{
    struct db_found f;
    enum err e = DB_FIRST(m, &f, .collection = HOLDS,
                          .filter = doc_of("_id: ?, " IN_FORCE, v_str(id), v_date(mongo_now_ms(m))),
                          .fields = "_id: true", .index = IX_ID);

    if (!e)
        db_end(&f);
    else if (e == ERR_NOT_FOUND)
        json_object_del(m->holds.ids, id);
    l->held = !e;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err mongo_holds_find(struct store *s, struct hold_look *looks, size_t n)
{
    struct mongo *m = mongo_of(s);
    char id[HOLD_ID_SIZE];
    enum err e = refresh(m);

    for (size_t i = 0; !e && i < n; i++) {
        struct hold_look *l = &looks[i];
        l->held = !l->name.s && m->holds.some[l->kind];
        if (hold_id(l->kind, l->name, id) && json_object_get(m->holds.ids, id))
            e = confirm(m, l, id);
    }
    return e;
}

/* Whether there is room for one more. */
static enum err check_room(struct mongo *m, const char *id)
{
    int64_t now = mongo_now_ms(m);
    struct db_found f;
    enum err e =
        db_delete(m, HOLDS, doc_of("_id: {$gte: 'a:', $lt: 'q;'}, until: {$lte: ?}", v_date(now)),
                  true, NULL);
    size_t count = 0;

    if (!e)
        e = DB_FIND(m, &f, .collection = HOLDS,
                    .filter = doc_of("_id: {$gte: 'a:', $lt: 'q;', $ne: ?}", v_str(id)),
                    .fields = "_id: true", .index = IX_ID, .limit = HOLDS_MAX);
    if (e)
        return e;
    while (db_next(&f))
        count++;
    db_end(&f);
    return count >= HOLDS_MAX ? ERR_CONFLICT : ERR_OK;
}

static enum err set(struct mongo *m, const char *id, const struct hold *h)
{
    enum err e = check_room(m, id);

    return e ? e
             : db_upsert(m, HOLDS, doc_of("_id: ?", v_str(id)),
                         doc_of("mode: ?, by: ?, reason: ?, at: ?, until: ?", v_str(h->mode),
                                v_given(h->by), v_text(h->reason), v_date(h->at_ms),
                                h->until_ms ? v_date(h->until_ms) : v_none()));
}

enum err mongo_hold_put(struct store *s, const struct hold *h)
{
    struct mongo *m = mongo_of(s);
    char id[HOLD_ID_SIZE];

    if (!hold_id(h->kind, h->name, id))
        return ERR_INTERNAL;
    enum err e = h->mode ? set(m, id, h)
                         : db_delete(m, HOLDS,
                                     doc_of("_id: ?, at: {$lte: ?}, mode: ?", v_str(id),
                                            v_date(h->at_ms), h->only ? v_str(h->only) : v_none()),
                                     false, NULL);
    m->holds.due_ms = 0;
    return e;
}

static json_t *shown(const bson_t *doc)
{
    static const char *const names[] = {"mode", "by", "reason"}, *const dates[] = {"at", "until"};
    json_t *hold = json_object();
    char date[CLOCK_TEXT_SIZE];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_t *value = doc_json(doc, names[i]);
        json_object_set_new(hold, names[i], value ? value : json_null());
    }
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        int64_t ms = doc_date(doc, dates[i]);
        if (ms)
            clock_rfc3339(ms, date);
        json_object_set_new(hold, dates[i], ms ? json_string(date) : json_null());
    }
    return hold;
}

enum err mongo_holds_list(struct store *s, enum hold_kind kind, struct text name, json_t **ret)
{
    struct mongo *m = mongo_of(s);
    char first[HOLD_ID_SIZE], last[HOLD_ID_SIZE];
    struct db_found f;

    if (!hold_range_of(kind, name, first, last))
        *first = *last = 0;
    enum err e = DB_FIND(m, &f, .collection = HOLDS,
                         .filter = doc_of("_id: {$gte: ?, $lte: ?}, " IN_FORCE, v_str(first),
                                          v_str(last), v_date(mongo_now_ms(m))),
                         .index = IX_ID, .limit = HOLDS_MAX);
    if (e)
        return e;
    *ret = json_object();
    while (db_next(&f)) {
        const char *id = doc_str(&f.doc, "_id");
        if (id && *id)
            json_object_set_new(*ret, id + 2, shown(&f.doc));
    }
    db_end(&f);
    return ERR_OK;
}
