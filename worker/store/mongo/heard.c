/* When agents were heard of, and which are silent. */
#include "worker/store/mongo/db.h"

#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>

/* Ends the silence of an agent, if no other process does. */
static enum err end_silence(struct mongo *m, struct agent_heard *a)
{
    struct db_found f;
    enum err e = DB_MODIFY(
        m, AGENTS, &f, .filter = doc_of("name: ?, " AGENT_SILENT ": true", v_text(a->name)),
        .update = doc_of("$set: {" AGENT_HEARD ": ?}, $unset: {" AGENT_SILENT ": true}",
                         v_date(mongo_now_ms(m))),
        .fields = "job_id: true", .index = IX_AGENT);

    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    a->was_silent = true;
    doc_copy(&f.doc, "job_id", a->job_id, sizeof a->job_id);
    db_end(&f);
    return ERR_OK;
}

static struct agent_heard *named(struct agent_heard *agents, size_t n, struct text name)
{
    for (size_t i = 0; i < n; i++)
        if (text_equal(agents[i].name, name))
            return &agents[i];
    return NULL;
}

/* Those of the agents of whom something is to be noted: silent ones at once, the others in the
 * batch. */
static enum err note(struct mongo *m, struct agent_heard *agents, size_t n, struct db_found *found,
                     int64_t before_ms, struct db_batch *b)
{
    enum err e = ERR_OK;

    while (!e && db_next(found)) {
        struct text name = doc_text(&found->doc, "name");
        struct agent_heard *a = named(agents, n, name);
        if (a && doc_bool(&found->doc, AGENT_SILENT))
            e = end_silence(m, a);
        else if (doc_date(&found->doc, AGENT_HEARD) < before_ms)
            DB_ADD_UPDATE(b, .filter = doc_of("name: ?", v_text(name)),
                          .update = doc_of("$set: {" AGENT_HEARD ": ?}", v_date(mongo_now_ms(m))),
                          .index = IX_AGENT);
    }
    return e;
}

enum err mongo_agents_heard(struct store *s, struct agent_heard *agents, size_t n,
                            int64_t before_ms)
{
    struct mongo *m = mongo_of(s);
    struct text *names = mem_alloc((n + 1) * sizeof *names);
    struct db_batch b = DB_BATCH(AGENTS);
    struct db_found f;

    b.unordered = b.light = true;
    for (size_t i = 0; i < n; i++) {
        agents[i].was_silent = false;
        names[i] = agents[i].name;
    }
    enum err e =
        DB_FIND(m, &f, .collection = AGENTS, .filter = doc_of("name: {$in: ?}", v_texts(names, n)),
                .fields = "name: true, " AGENT_HEARD ": true, " AGENT_SILENT ": true",
                .index = IX_AGENT, .limit = (int)n);
    free(names);
    if (e)
        return e;
    e = note(m, agents, n, &f, before_ms, &b);
    db_end(&f);
    enum err run = db_run(m, &b, NULL);
    return e ? e : run;
}

/* Neither heard of nor posting. Documents of other servers lack the first date: the post counts. */
#define UNHEARD                                                                                    \
    AGENT_HEARD ": {$not: {$gte: ?}}, updated_at: {$not: {$gte: ?}}, " AGENT_SILENT ": null"

/* Marks an agent. ERR_NOT_FOUND: it was heard of meanwhile, or another process marked it. */
static enum err mark(struct mongo *m, const bson_t *agent, int64_t before_ms,
                     struct agent_silent *ret)
{
    struct db_found f;
    enum err e = DB_MODIFY(m, AGENTS, &f,
                           .filter = doc_of("_id: ?, " UNHEARD, v_field(agent, "_id"),
                                            v_date(before_ms), v_date(before_ms)),
                           .update = doc_of("$set: {" AGENT_SILENT ": true}"),
                           .fields = "name: true, job_id: true", .index = IX_ID);

    if (e)
        return e;
    doc_copy(&f.doc, "name", ret->name, sizeof ret->name);
    doc_copy(&f.doc, "job_id", ret->job_id, sizeof ret->job_id);
    db_end(&f);
    return ERR_OK;
}

enum err mongo_agents_silent(struct store *s, int64_t before_ms, struct agent_silent *agents,
                             size_t *ret_n)
{
    struct mongo *m = mongo_of(s);
    struct db_found f;
    enum err e = DB_FIND(m, &f, .collection = AGENTS,
                         .filter = doc_of(UNHEARD, v_date(before_ms), v_date(before_ms)),
                         .fields = "_id: true", .index = IX_AGENT_HEARD, .limit = SWEEP_MAX);

    *ret_n = 0;
    if (e)
        return e;
    while (!e && *ret_n < SWEEP_MAX && db_next(&f)) {
        e = mark(m, &f.doc, before_ms, &agents[*ret_n]);
        *ret_n += !e;
        e = e == ERR_NOT_FOUND ? ERR_OK : e;
    }
    db_end(&f);
    return *ret_n ? ERR_OK : e; /* those that are marked must be told of */
}

enum err mongo_agents_silent_count(struct store *s, int64_t *ret)
{
    struct db_found f;
    enum err e = db_aggregate(mongo_of(s), AGENTS,
                              doc_of("[{$match: {" AGENT_SILENT ": true}}, {$count: 'n'}]"),
                              IX_AGENT_SILENT, &f);

    if (e)
        return e;
    *ret = db_next(&f) ? doc_int(&f.doc, "n", 0) : 0;
    db_end(&f);
    return ERR_OK;
}
