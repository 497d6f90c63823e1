/* Keys of submissions. */
#include "worker/store/sqlite/sqlite.h"

#include <stdio.h>
#include <string.h>

/* The submission that came first with the key. */
static enum err find(struct sqlite *q, struct submit_key *k)
{
    struct query r = query_new(q, SQL_KEY);

    query_str(&r, k->key);
    enum err e = query_step(&r);
    if (!e && !text_is(query_col_text(&r, 0), k->body)) {
        e = ERR_CONFLICT;
    } else if (!e) {
        struct text job_id = query_col_text(&r, 1);
        snprintf(k->job_id, sizeof k->job_id, "%.*s", (int)job_id.len, job_id.s ? job_id.s : "");
        k->received_us = query_col_int(&r, 2);
        k->again = true;
    }
    query_end(&r);
    return e;
}

static enum err put(struct sqlite *q, struct submit_key *k, int64_t before_ms)
{
    struct query r = query_new(q, SQL_KEY_ADD);

    query_str(&r, k->key);
    query_str(&r, k->body);
    query_str(&r, k->job_id);
    query_int(&r, k->received_us);
    query_int(&r, sqlite_now_ms(q));
    query_int(&r, before_ms);
    enum err e = query_run(&r);
    return e || query_changes(&r) ? e : find(q, k);
}

enum err sqlite_submit_keys(struct store *s, struct submit_key *keys, size_t n, int64_t before_ms)
{
    struct sqlite *q = sqlite_of(s);

    for (size_t i = 0; i < n; i++) {
        keys[i].again = false;
        keys[i].err = sqlite_write_begin(q);
        if (!keys[i].err)
            keys[i].err = sqlite_write_end(q, put(q, &keys[i], before_ms));
    }
    return ERR_OK;
}
