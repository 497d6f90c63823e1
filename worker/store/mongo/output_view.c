/* Live output as fragments of a log. */
#include "worker/store/mongo/job.h"

#include "common/log.h"

#include <string.h>

#define CHANGES_MAX (HISTORY_MAX + 1)

static struct text text_at(const bson_iter_t *it)
{
    uint32_t len = 0;
    const char *s = BSON_ITER_HOLDS_UTF8(it) ? bson_iter_utf8(it, &len) : "";

    return (struct text){s, len};
}

/* Reads the changes of the job's phase; of a job of another server, its present one. */
static enum err read_changes(struct mongo *m, struct text job_id,
                             struct phase_change changes[CHANGES_MAX], size_t *ret_n)
{
    bson_t *projection = BCON_NEW("history", BCON_BOOL(true), STATE_PATH, BCON_BOOL(true));
    bson_t reply, job, entry;
    bson_iter_t at, list;
    size_t n = 0;
    enum err e = job_find(m, job_id, projection, &reply, &job);

    bson_destroy(projection);
    *ret_n = 0;
    if (e)
        return e == ERR_NOT_FOUND ? ERR_OK : e;
    if (bson_iter_init_find(&at, &job, "history") && bson_iter_recurse(&at, &list))
        while (n < HISTORY_MAX && mongo_next(&list, &entry))
            if (bson_iter_init_find(&at, &entry, "state"))
                changes[n++] =
                    (struct phase_change){phase_of_state(text_at(&at)), mongo_date(&entry, "at")};
    if (!n && mongo_field(&job, STATE_PATH, &at))
        changes[n++] = (struct phase_change){phase_of_state(text_at(&at)), INT64_MIN};
    *ret_n = n;
    bson_destroy(&reply);
    return ERR_OK;
}

/* The times at which entries came, as an array: of the newest ones, where another server made a
 * document. */
static size_t times_of(const bson_t *doc, bson_iter_t *ret)
{
    bson_iter_t it, count;
    size_t n = 0;

    if (!bson_iter_init_find(&it, doc, "at") || !BSON_ITER_HOLDS_ARRAY(&it) ||
        !bson_iter_recurse(&it, ret) || !bson_iter_recurse(&it, &count))
        return 0;
    while (bson_iter_next(&count))
        n++;
    return n;
}

static size_t length_of(const bson_iter_t *array)
{
    bson_iter_t it;
    size_t n = 0;

    if (BSON_ITER_HOLDS_ARRAY(array) && bson_iter_recurse(array, &it))
        while (bson_iter_next(&it))
            n++;
    return n;
}

struct view {
    struct phase_change changes[CHANGES_MAX];
    size_t changes_len;
    int64_t number;
    log_take_fn *take;
    void *arg;
};

/* Gives the entries of a document; false: enough. */
static bool give(struct view *v, const bson_t *doc, const char *name)
{
    bson_iter_t at, entries, times;
    int64_t now = mongo_date(doc, "updated_at");

    if (!bson_iter_init_find(&at, doc, name) || !BSON_ITER_HOLDS_ARRAY(&at) ||
        !bson_iter_recurse(&at, &entries))
        return true;
    size_t n = length_of(&at), timed = times_of(doc, &times);
    for (size_t i = 0; bson_iter_next(&entries); i++) {
        struct log_piece piece = {.number = v->number++, .at_ms = now, .text = text_at(&entries)};
        if (i + timed >= n && bson_iter_next(&times) && BSON_ITER_HOLDS_DATE_TIME(&times))
            piece.at_ms = bson_iter_date_time(&times);
        piece.phase = phase_at(v->changes, v->changes_len, piece.at_ms);
        if (!v->take(v->arg, &piece))
            return false;
    }
    return true;
}

enum err mongo_output_view(struct store *s, struct text job_id, enum output_type type,
                           log_take_fn *take, void *arg)
{
    static const char *const names[] = {[OUTPUT_OUTPUT] = OUTPUT, [OUTPUT_SERIAL] = SERIAL};
    struct mongo *m = mongo_of(s);
    bson_t filter = BSON_INITIALIZER, reply, doc;
    struct mongo_query q = {.collection = names[type],
                            .filter = &filter,
                            .sort = m->fixed.by_output,
                            .hint = m->fixed.by_output,
                            .limit = 1000};
    struct view view = {.take = take, .arg = arg};
    bson_iter_t batch;
    bool more = true;

    mongo_append_text(&filter, "job_id", job_id);
    enum err e = mongo_find(m, &q, &reply, &batch);
    bson_destroy(&filter);
    if (e)
        return e;
    for (bool first = true; !e && more && mongo_next(&batch, &doc); first = false) {
        if (first)
            e = read_changes(m, job_id, view.changes, &view.changes_len);
        more = !e && give(&view, &doc, names[type]);
    }
    bson_destroy(&reply);
    return e;
}
