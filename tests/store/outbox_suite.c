#include "tests/store/outbox_suite.h"

#include "common/clock.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct config cfg = {.store_timeout = 2000};
static unsigned serial;

const char *name(char out[64], const char *prefix)
{
    snprintf(out, 64, "%s-%d-%u", prefix, (int)getpid(), ++serial);
    return out;
}

static const char *new_id(char out[REQUEST_ID_SIZE])
{
    snprintf(out, REQUEST_ID_SIZE, "%08x-0000-4000-8000-%012x", (unsigned)getpid(), ++serial);
    return out;
}

static int open_store(void **state, const char *uri)
{
    struct fixture *f = mem_alloc(sizeof *f);

    char file[80];

    *state = f;
    if (!uri) {
        snprintf(f->path, sizeof f->path, "/tmp/tf-outbox-%d-%u.db", (int)getpid(), ++serial);
        snprintf(file, sizeof file, "sqlite:%s", f->path);
    }
    if (store_open(uri ? uri : file, &cfg, &f->s))
        return -1;
    f->now = clock_wall_us() / 1000; /* to open a store may take seconds */
    return 0;
}

int open_sqlite(void **state)
{
    return open_store(state, NULL);
}

int open_other(void **state)
{
    return open_store(state, getenv("TEST_STORE_URI"));
}

void forget(struct fixture *f)
{
    for (size_t i = 0; i < f->len; i++)
        outbox_event_free(&f->events[i]);
    f->len = 0;
}

bool any(void *arg, const char *receiver)
{
    struct fixture *f = arg;

    return !f->only || strcmp(f->only, receiver) == 0;
}

void claim(struct fixture *f, size_t limit)
{
    char token[64];
    struct outbox_claim c = {.token = name(token, "t"),
                             .now_ms = f->now,
                             .lease_end_ms = f->now + LEASE,
                             .limit = limit,
                             .exclude = f->exclude,
                             .exclude_len = f->exclude_len,
                             .accept = any,
                             .arg = f,
                             .events = f->events};

    forget(f);
    assert_int_equal(store_outbox_claim(f->s, &c), ERR_OK);
    f->len = c.len;
    f->more = c.more;
    for (size_t i = 0; i < f->len; i++)
        assert_string_equal(f->events[i].token, token);
}

void settle(struct fixture *f, size_t i, enum outbox_outcome outcome, int64_t due_ms)
{
    struct outbox_settle o = {.event = &f->events[i],
                              .outcome = outcome,
                              .now_ms = f->now,
                              .due_ms = due_ms,
                              .reason = "no luck",
                              .status = 500,
                              .answer = {"a\0\xff", 3}};

    assert_int_equal(store_outbox_settle(f->s, &o, 1, &f->due), ERR_OK);
}

/* Ends every lane, so that tests on one database do not meet. */
int close_store(void **state)
{
    struct fixture *f = *state;

    f->only = NULL;
    f->exclude_len = 0;
    f->now += 10 * LEASE;
    do {
        claim(f, LIMIT);
        for (size_t i = 0; i < f->len; i++)
            settle(f, i, OUTBOX_DONE, 0);
    } while (f->len);
    forget(f);
    store_close(f->s);
    if (*f->path) {
        char file[80];
        unlink(f->path);
        snprintf(file, sizeof file, "%s-wal", f->path);
        unlink(file);
        snprintf(file, sizeof file, "%s-shm", f->path);
        unlink(file);
    }
    free(f);
    return 0;
}

void post_init(struct post *p, const char *job, const char *receiver, const char *body, int64_t now)
{
    new_id(p->id);
    assert_int_equal(outbox_lane(job, receiver, p->lane), ERR_OK);
    p->add = (struct outbox_add){.id = p->id,
                                 .job_id = job,
                                 .lane = p->lane,
                                 .receiver = receiver,
                                 .url = "http://u:p@r/x",
                                 .body = body,
                                 .now_ms = now,
                                 .lease_end_ms = now + LEASE};
}

/* Adds an event that is not claimed; returns the id under which it is kept. */
char *add(struct fixture *f, const char *job, const char *receiver, const char *body)
{
    static char ids[8][REQUEST_ID_SIZE];
    char *id = ids[serial % 8];
    struct post p;

    post_init(&p, job, receiver, body, f->now);
    assert_int_equal(store_outbox_add(f->s, &p.add, 1), ERR_OK);
    assert_int_equal(p.add.err, ERR_OK);
    assert_false(p.add.claimed);
    snprintf(id, REQUEST_ID_SIZE, "%s", p.add.stored_id);
    return id;
}

void assert_state(struct fixture *f, const char *id, enum outbox_state state)
{
    struct outbox_look look;

    assert_int_equal(store_outbox_look(f->s, id, &look), ERR_OK);
    assert_int_equal(look.state, state);
}
