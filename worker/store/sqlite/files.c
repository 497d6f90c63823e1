/* Attachments and artifacts, in a table of chunks. */
#include "worker/store/sqlite/sqlite.h"

#include "common/log.h"

#include <string.h>

#define SWEEP_STEP 16 /* chunks removed by one transaction of the sweep */

enum err sqlite_attachments_look(struct store *s, struct text job_id, enum attachments *ret)
{
    struct query r = query_new(sqlite_of(s), SQL_ATTACHMENTS);

    query_text(&r, job_id);
    enum err e = query_step(&r);
    if (!e) {
        struct text status = query_col_text(&r, 0);
        *ret = !status.s                     ? ATTACHMENTS_NONE
               : text_is(status, "complete") ? ATTACHMENTS_COMPLETE
                                             : ATTACHMENTS_AWAITED;
    }
    query_end(&r);
    return e;
}

/* ---- uploads ---- */

/* Runs a statement whose parameters are an id and a time. */
static enum err run_timed(struct sqlite *q, enum sql which, const char *id, int64_t ms,
                          int *ret_changes)
{
    struct query r = query_new(q, which);

    query_str(&r, id);
    query_int(&r, ms);
    enum err e = query_run(&r);
    if (!e && ret_changes)
        *ret_changes = query_changes(&r);
    return e;
}

enum err sqlite_file_begin(struct store *s, const struct file_info *f)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    if (e)
        return e;
    e = run_timed(q, SQL_DROP_ADD, f->id, sqlite_now_ms(q) + FILE_ABANDONED_MS, NULL);
    return sqlite_write_end(q, e);
}

/* ---- notes: file_drops.done ---- */

enum { COMMITTED = 1, REPLACED = 2 };

/* A sign of life of an upload. ERR_NOT_FOUND: it was committed, or given up. */
static enum err delay(struct sqlite *q, const struct file_info *f)
{
    int changes = 0;
    enum err e =
        run_timed(q, SQL_DROP_DELAY, f->id, sqlite_now_ms(q) + FILE_ABANDONED_MS, &changes);

    return !e && !changes ? ERR_NOT_FOUND : e;
}

/* Whether its commit was carried out before. ERR_NOT_FOUND: not. */
static enum err is_done(struct sqlite *q, const char *id)
{
    struct query r = query_new(q, SQL_FILE_DONE);

    query_str(&r, id);
    return query_probe(&r);
}

static enum err put(struct sqlite *q, const struct file_info *f, int64_t at, struct text data)
{
    enum err e = delay(q, f);

    if (e == ERR_NOT_FOUND)
        return is_done(q, f->id); /* late: it is there */
    for (size_t done = 0; !e && done < data.len; done += (size_t)FILE_CHUNK) {
        size_t left = data.len - done, len = left < FILE_CHUNK ? left : (size_t)FILE_CHUNK;
        struct query r = query_new(q, SQL_CHUNK_PUT);
        query_str(&r, f->id);
        query_int(&r, (at + (int64_t)done) / FILE_CHUNK);
        query_blob(&r, (struct text){data.s + done, len});
        e = query_run(&r);
    }
    return e;
}

enum err sqlite_file_put(struct store *s, const struct file_info *f, int64_t at, struct text data)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, put(q, f, at, data));
}

static enum err add(struct sqlite *q, const struct file_info *f)
{
    struct query r = query_new(q, SQL_FILE_ADD);

    query_str(&r, f->id);
    query_str(&r, f->name);
    query_int(&r, f->length);
    query_int(&r, f->chunk);
    query_int(&r, f->date_ms);
    return query_run(&r);
}

/* Removes other files of this name. */
static enum err replace(struct sqlite *q, const struct file_info *f)
{
    struct query r = query_new(q, SQL_FILES_REPLACED);

    query_str(&r, f->name);
    query_str(&r, f->id);
    query_int(&r, sqlite_now_ms(q) + FILE_REPLACED_MS);
    enum err e = query_run(&r);
    if (e)
        return e;
    r = query_new(q, SQL_FILES_FORGET);
    query_str(&r, f->name);
    query_str(&r, f->id);
    return query_run(&r);
}

static enum err drop_end(struct sqlite *q, const char *id)
{
    struct query r = query_new(q, SQL_DROP_END);

    query_str(&r, id);
    return query_run(&r);
}

/* Notes for a while that the upload is over: what comes late must not begin it again. */
static enum err keep_note(struct sqlite *q, const char *id)
{
    return run_timed(q, SQL_DROP_KEEP, id, sqlite_now_ms(q) + FILE_ABANDONED_MS, NULL);
}

static enum err commit(struct sqlite *q, const struct file_info *f, const struct text *attached_to)
{
    enum err e = delay(q, f);

    if (e == ERR_NOT_FOUND)
        return is_done(q, f->id); /* a repeat */
    if (!e)
        e = add(q, f);
    if (!e)
        e = replace(q, f);
    if (!e && attached_to) {
        struct query r = query_new(q, SQL_ATTACHMENTS_CAME);
        query_text(&r, *attached_to);
        e = query_run(&r);
    }
    return e ? e : keep_note(q, f->id);
}

enum err sqlite_file_commit(struct store *s, const struct file_info *f,
                            const struct text *attached_to)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = sqlite_write_begin(q);

    return e ? e : sqlite_write_end(q, commit(q, f, attached_to));
}

/* ---- downloads ---- */

/* ERR_CONFLICT: chunks are missing. */
static enum err check_chunks(struct sqlite *q, const struct file_info *f)
{
    struct query r = query_new(q, SQL_CHUNKS_COUNT);
    int64_t n = file_chunks(f);

    query_str(&r, f->id);
    query_int(&r, n - 1);
    enum err e = query_step(&r);
    if (!e && query_col_int(&r, 0) != n)
        e = ERR_CONFLICT;
    query_end(&r);
    return e;
}

enum err sqlite_file_open(struct store *s, struct text name, struct file_info *ret)
{
    struct query r = query_new(sqlite_of(s), SQL_FILE_NEWEST);
    struct file_info f = {.chunk = FILE_CHUNK};

    query_text(&r, name);
    enum err e = query_step(&r);
    if (!e) {
        f.length = query_col_int(&r, 1);
        f.chunk = query_col_int(&r, 2);
        f.date_ms = query_col_int(&r, 3);
        struct text id = query_col_text(&r, 0);
        memcpy(f.id, id.s, id.len < FILE_ID_SIZE ? id.len : FILE_ID_SIZE - 1);
        memcpy(f.name, name.s, name.len < FILE_NAME_SIZE ? name.len : FILE_NAME_SIZE - 1);
    }
    query_end(&r);
    if (!e)
        e = check_chunks(sqlite_of(s), &f);
    if (!e)
        *ret = f;
    return e;
}

enum err sqlite_file_read(struct store *s, const struct file_info *f, int64_t at, int64_t size,
                          struct buf *out)
{
    struct query r = query_new(sqlite_of(s), SQL_CHUNKS);
    int64_t end = at + size, n = at / f->chunk;
    enum err e;

    query_str(&r, f->id);
    query_int(&r, n);
    query_int(&r, (end - 1) / f->chunk);
    while ((e = query_step(&r)) == ERR_OK && query_col_int(&r, 0) == n) {
        struct text data = query_col_text(&r, 1);
        int64_t first = n * f->chunk, from = at > first ? at - first : 0;
        int64_t to = end - first < (int64_t)data.len ? end - first : (int64_t)data.len;
        if (from < to && buf_add(out, data.s + from, (size_t)(to - from))) {
            e = ERR_INTERNAL;
            break;
        }
        n++;
    }
    query_end(&r);
    if (e && e != ERR_NOT_FOUND)
        return e;
    return n > (end - 1) / f->chunk ? ERR_OK : ERR_NOT_FOUND;
}

/* ---- the sweep ---- */

/* Takes care of one note that is due, of a file with chunks up to the limit. ERR_NOT_FOUND: none
 * is. */
static enum err sweep_some(struct sqlite *q, struct file_sweep *sweep, int64_t limit)
{
    struct query r = query_new(q, SQL_DROP_DUE);
    char id[FILE_ID_SIZE] = {0};
    int64_t done = 0;

    query_int(&r, sweep->now_ms);
    enum err e = query_step(&r);
    if (!e) {
        done = query_col_int(&r, 1);
        struct text t = query_col_text(&r, 0);
        memcpy(id, t.s, t.len < sizeof id ? t.len : sizeof id - 1);
    }
    query_end(&r);
    if (e)
        return e;
    if (done == COMMITTED)
        return drop_end(q, id);
    int changes = 0;
    e = run_timed(q, SQL_CHUNKS_DROP, id, limit, &changes);
    sweep->removed += changes;
    if (e || changes == limit)
        return e;
    return done == REPLACED ? keep_note(q, id) : drop_end(q, id);
}

enum err sqlite_files_sweep(struct store *s, struct file_sweep *sweep)
{
    struct sqlite *q = sqlite_of(s);
    enum err e = ERR_OK;

    sweep->removed = 0;
    for (int64_t notes = 0; !e && notes < sweep->chunks_max && sweep->removed < sweep->chunks_max;
         notes++) {
        int64_t left = sweep->chunks_max - sweep->removed;
        e = sqlite_write_begin(q);
        if (!e)
            e = sqlite_write_end(q, sweep_some(q, sweep, left < SWEEP_STEP ? left : SWEEP_STEP));
    }
    sweep->more = !e;
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}
