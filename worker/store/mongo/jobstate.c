/* Expressions of a $set stage that change the state of a job, and what changes with it. */
#include "worker/store/mongo/job.h"

#include "common/clock.h"
#include "worker/jobs/states.h"

#include <string.h>

void job_append_state(bson_t *fields, const char *next, const char *const *unless)
{
    bson_t cond, branches, in, args, literal, list;
    char key[MONGO_INDEX_SIZE];

    BSON_APPEND_DOCUMENT_BEGIN(fields, STATE_PATH, &cond);
    BSON_APPEND_ARRAY_BEGIN(&cond, "$cond", &branches);
    BSON_APPEND_DOCUMENT_BEGIN(&branches, "0", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &args);
    BSON_APPEND_UTF8(&args, "0", "$" STATE_PATH);
    BSON_APPEND_DOCUMENT_BEGIN(&args, "1", &literal);
    BSON_APPEND_ARRAY_BEGIN(&literal, "$literal", &list);
    for (size_t i = 0; unless[i]; i++)
        BSON_APPEND_UTF8(&list, mongo_index(i, key), unless[i]);
    bson_append_array_end(&literal, &list);
    bson_append_document_end(&args, &literal);
    bson_append_array_end(&in, &args);
    bson_append_document_end(&branches, &in);
    BSON_APPEND_UTF8(&branches, "1", "$" STATE_PATH);
    BSON_APPEND_DOCUMENT_BEGIN(&branches, "2", &literal);
    BSON_APPEND_UTF8(&literal, "$literal", next);
    bson_append_document_end(&branches, &literal);
    bson_append_array_end(&cond, &branches);
    bson_append_document_end(fields, &cond);
}

void job_append_history(bson_t *fields, const char *next, const char *const *unless)
{
    bson_t cond, branches, any, args, literal, list;
    bson_t slice, slice_args, concat, parts, old, old_args, entries, entry, name;
    char key[MONGO_INDEX_SIZE];

    BSON_APPEND_DOCUMENT_BEGIN(fields, "history", &cond);
    BSON_APPEND_ARRAY_BEGIN(&cond, "$cond", &branches);
    BSON_APPEND_DOCUMENT_BEGIN(&branches, "0", &any);
    BSON_APPEND_ARRAY_BEGIN(&any, "$in", &args);
    BSON_APPEND_UTF8(&args, "0", "$" STATE_PATH);
    BSON_APPEND_DOCUMENT_BEGIN(&args, "1", &literal);
    BSON_APPEND_ARRAY_BEGIN(&literal, "$literal", &list);
    size_t n = 0;
    for (; unless[n]; n++)
        BSON_APPEND_UTF8(&list, mongo_index(n, key), unless[n]);
    BSON_APPEND_UTF8(&list, mongo_index(n, key), next);
    bson_append_array_end(&literal, &list);
    bson_append_document_end(&args, &literal);
    bson_append_array_end(&any, &args);
    bson_append_document_end(&branches, &any);
    BSON_APPEND_UTF8(&branches, "1", "$history");
    BSON_APPEND_DOCUMENT_BEGIN(&branches, "2", &slice);
    BSON_APPEND_ARRAY_BEGIN(&slice, "$slice", &slice_args);
    BSON_APPEND_DOCUMENT_BEGIN(&slice_args, "0", &concat);
    BSON_APPEND_ARRAY_BEGIN(&concat, "$concatArrays", &parts);
    BSON_APPEND_DOCUMENT_BEGIN(&parts, "0", &old);
    BSON_APPEND_ARRAY_BEGIN(&old, "$ifNull", &old_args);
    BSON_APPEND_UTF8(&old_args, "0", "$history");
    BSON_APPEND_ARRAY_BEGIN(&old_args, "1", &entries);
    bson_append_array_end(&old_args, &entries);
    bson_append_array_end(&old, &old_args);
    bson_append_document_end(&parts, &old);
    BSON_APPEND_ARRAY_BEGIN(&parts, "1", &entries);
    BSON_APPEND_DOCUMENT_BEGIN(&entries, "0", &entry);
    BSON_APPEND_DOCUMENT_BEGIN(&entry, "state", &name);
    BSON_APPEND_UTF8(&name, "$literal", next);
    bson_append_document_end(&entry, &name);
    BSON_APPEND_DATE_TIME(&entry, "at", clock_wall_us() / 1000);
    bson_append_document_end(&entries, &entry);
    bson_append_array_end(&parts, &entries);
    bson_append_array_end(&concat, &parts);
    bson_append_document_end(&slice_args, &concat);
    BSON_APPEND_INT32(&slice_args, "1", -HISTORY_MAX);
    bson_append_array_end(&slice, &slice_args);
    bson_append_document_end(&branches, &slice);
    bson_append_array_end(&cond, &branches);
    bson_append_document_end(fields, &cond);
}

/* {$cond: [{$in: [STATE_PATH, [the list, and one more]]}, ..., ...]}: begins it up to the first of
 * the two branches, which the caller appends as "1" and "2". */
static void cond_begin(bson_t *fields, const char *key, bson_t *cond, bson_t *branches,
                       const char *const *list, const char *more)
{
    bson_t in, args, literal, texts;
    char index[MONGO_INDEX_SIZE];
    size_t n = 0;

    BSON_APPEND_DOCUMENT_BEGIN(fields, key, cond);
    BSON_APPEND_ARRAY_BEGIN(cond, "$cond", branches);
    BSON_APPEND_DOCUMENT_BEGIN(branches, "0", &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &args);
    BSON_APPEND_UTF8(&args, "0", "$" STATE_PATH);
    BSON_APPEND_DOCUMENT_BEGIN(&args, "1", &literal);
    BSON_APPEND_ARRAY_BEGIN(&literal, "$literal", &texts);
    for (; list[n]; n++)
        BSON_APPEND_UTF8(&texts, mongo_index(n, index), list[n]);
    if (more)
        BSON_APPEND_UTF8(&texts, mongo_index(n, index), more);
    bson_append_array_end(&literal, &texts);
    bson_append_document_end(&args, &literal);
    bson_append_array_end(&in, &args);
    bson_append_document_end(branches, &in);
}

static void cond_end(bson_t *fields, bson_t *cond, bson_t *branches)
{
    bson_append_array_end(cond, branches);
    bson_append_document_end(fields, cond);
}

/* The later of the present lease and this one. */
static void append_max(bson_t *to, const char *key, int64_t lease_ms)
{
    bson_t longer, args;

    BSON_APPEND_DOCUMENT_BEGIN(to, key, &longer);
    BSON_APPEND_ARRAY_BEGIN(&longer, "$max", &args);
    BSON_APPEND_UTF8(&args, "0", "$lease");
    BSON_APPEND_DATE_TIME(&args, "1", lease_ms);
    bson_append_array_end(&longer, &args);
    bson_append_document_end(to, &longer);
}

void job_append_lease(bson_t *fields, const char *next, const char *const *unless, int64_t lease_ms)
{
    static const char *const none[] = {NULL};
    bson_t cond, branches, same, same_branches;
    bool waits = strcmp(next, "waiting") == 0;

    if (state_is_over(next)) { /* it was over before, or is now */
        BSON_APPEND_UTF8(fields, "lease", "$$REMOVE");
    } else if (waits) {
        cond_begin(fields, "lease", &cond, &branches, unless, NULL);
        BSON_APPEND_UTF8(&branches, "1", "$lease");
        BSON_APPEND_UTF8(&branches, "2", "$$REMOVE");
        cond_end(fields, &cond, &branches);
    } else if (lease_ms) {
        cond_begin(fields, "lease", &cond, &branches, unless, NULL);
        BSON_APPEND_UTF8(&branches, "1", "$lease");
        cond_begin(&branches, "2", &same, &same_branches, none, next);
        append_max(&same_branches, "1", lease_ms);
        BSON_APPEND_DATE_TIME(&same_branches, "2", lease_ms);
        cond_end(&branches, &same, &same_branches);
        cond_end(fields, &cond, &branches);
    }
}

void job_append_longer_lease(bson_t *fields, int64_t lease_ms)
{
    bson_t cond, branches;

    cond_begin(fields, "lease", &cond, &branches, states_over(), "waiting");
    BSON_APPEND_UTF8(&branches, "1", "$lease");
    append_max(&branches, "2", lease_ms);
    cond_end(fields, &cond, &branches);
}

/* An expression cannot fail by itself: a text that is no id is converted to one. It holds a field,
 * else the server would convert it before it looks at the size. */
void job_append_size_check(bson_t *pipeline, const char *index, int64_t max)
{
    bson_t *stage =
        BCON_NEW("$set", "{", "too_large", "{", "$cond", "[", "{", "$gt", "[", "{", "$bsonSize",
                 "$$ROOT", "}", BCON_INT64(max), "]", "}", "{", "$toObjectId", "{", "$concat", "[",
                 "too large: ", "{", "$ifNull", "[", "$result_data.job_state", "", "]", "}", "]",
                 "}", "}", "$$REMOVE", "]", "}", "}");

    BSON_APPEND_DOCUMENT(pipeline, index, stage);
    bson_destroy(stage);
}
