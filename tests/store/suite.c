#include "tests/store/suite.h"

#include "common/clock.h"
#include "common/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <uuid/uuid.h>

void new_id(char out[ID_SIZE])
{
    uuid_t id;

    uuid_generate_random(id);
    uuid_unparse_lower(id, out);
}

struct asked asked_now(const char *id)
{
    static int64_t last;
    int64_t now = clock_wall_us();

    last = now > last ? now : last + 1;
    return (struct asked){.request_id = id, .received_us = last};
}

json_t *json_of(const char *text)
{
    char *copy = mem_strdup(text);
    json_error_t error;

    for (char *c = copy; *c; c++)
        if (*c == '\'')
            *c = '"';
    json_t *value = json_loads(copy, JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (!value)
        fail_msg("%s: %s", text, error.text);
    free(copy);
    return value;
}

void assert_json(const json_t *value, const char *text)
{
    json_t *expected = json_of(text);
    char *is = json_dumps(value, JSON_ENCODE_ANY), *should = json_dumps(expected, JSON_ENCODE_ANY);

    assert_string_equal(is, should);
    free(is);
    free(should);
    json_decref(expected);
}

static json_t *data_of(const char *queue, const char *more)
{
    json_t *data = json_pack("{s:s}", "job_queue", queue);

    if (more) {
        size_t size = strlen(more) + 3;
        char *text = mem_alloc(size);
        snprintf(text, size, "{%s}", more);
        json_t *members = json_of(text);
        json_object_update(data, members);
        json_decref(members);
        free(text);
    }
    return data;
}

static enum err put(struct store *s, struct job_new *job, const char *queue, const char *more)
{
    job->data = data_of(queue, more);
    enum err e = store_jobs_add(s, job, 1);
    assert_int_equal(e, job->err);
    json_decref(job->data);
    return e;
}

static void add(struct store *s, const char *queue, const char *more, int64_t priority, char *out)
{
    new_id(out);
    struct job_new job = {.asked = asked_now(out), .job_id = out, .priority = priority};
    assert_int_equal(put(s, &job, queue, more), ERR_OK);
}

void add_job(struct store *s, const char *queue, const char *more, char out[ID_SIZE])
{
    add(s, queue, more, 0, out);
}

void add_job_prio(struct store *s, const char *queue, int64_t priority, char out[ID_SIZE])
{
    add(s, queue, NULL, priority, out);
}

enum err resubmit(struct store *s, const char *queue, const char *more, const char *job_id)
{
    char request[ID_SIZE];

    new_id(request);
    struct job_new job = {.asked = asked_now(request), .job_id = job_id, .given = true};
    return put(s, &job, queue, more);
}

struct claim claim_of(const char *request_id, struct text *queue, const char *agent)
{
    return (struct claim){
        .asked = asked_now(request_id),
        .queues = queue,
        .queues_len = 1,
        .agent = {agent, agent ? strlen(agent) : 0},
    };
}

void claim_done(struct claim *c)
{
    json_decref(c->data);
    free(c->job_id);
    c->data = NULL;
    c->job_id = NULL;
}

enum err claim_job(struct store *s, const char *queue, const char *agent, char out[ID_SIZE])
{
    char request[ID_SIZE];
    struct text name = text_of(queue);

    new_id(request);
    struct claim c = claim_of(request, &name, agent);
    enum err all = store_jobs_claim(s, &c, 1);
    assert_int_equal(all, c.err);
    if (c.err) {
        assert_null(c.data);
        assert_null(c.job_id);
    } else {
        snprintf(out, ID_SIZE, "%s", c.job_id);
        assert_string_equal(json_string_value(json_object_get(c.data, "job_queue")), queue);
        assert_true(llabs(c.started_ms - clock_wall_us() / 1000) < 60000);
    }
    claim_done(&c);
    return c.err;
}

void assert_next(struct store *s, const char *queue, const char *job_id)
{
    char found[ID_SIZE];
    enum err e = claim_job(s, queue, NULL, found);

    assert_int_equal(e, job_id ? ERR_OK : ERR_NOT_FOUND);
    if (job_id)
        assert_string_equal(found, job_id);
}

static enum err get_one(enum err (*get)(struct store *, struct job_read *, size_t), struct store *s,
                        struct text job_id, json_t **ret)
{
    json_t *untouched = json_null();
    struct job_read read = {.job_id = job_id, .value = untouched};
    enum err e = get(s, &read, 1);

    if (e)
        return e;
    if (read.err)
        assert_ptr_equal(read.value, untouched);
    else
        *ret = read.value;
    return read.err;
}

enum err get_job(struct store *s, struct text job_id, json_t **ret)
{
    return get_one(store_jobs_get, s, job_id, ret);
}

enum err get_result(struct store *s, struct text job_id, json_t **ret)
{
    return get_one(store_results_get, s, job_id, ret);
}

enum err get_agent(struct store *s, struct text name, json_t **ret)
{
    struct agent_read read = {.name = name};
    enum err e = store_agents_get(s, &read, 1);

    e = e ? e : read.err;
    if (!e)
        *ret = read.agent;
    return e;
}

enum err put_one_agent(struct store *s, struct agent_put *a)
{
    enum err e = store_agents_put(s, a, 1);

    return e ? e : a->err;
}

enum err put_one_result(struct store *s, struct text job_id, struct result_put *p)
{
    p->job_id = job_id;
    enum err e = store_results_put(s, p, 1);
    return e ? e : p->err;
}

enum err take_live(take_fn *take, struct store *s, const char *job_id, enum output_type type,
                   size_t max, bool peek, json_t *entries)
{
    char request[ID_SIZE];

    new_id(request);
    struct live_take t = {.asked = asked_now(request),
                          .job_id = text_of(job_id),
                          .type = type,
                          .max = max,
                          .peek = peek,
                          .entries = entries};
    return take(s, &t);
}

enum err cancel_job(struct store *s, const char *job_id)
{
    char request[ID_SIZE];

    new_id(request);
    struct job_cancel c = {.asked = asked_now(request), .job_id = text_of(job_id)};
    return store_jobs_cancel(s, &c, 1);
}

enum err append_one(struct store *s, struct output_append *a)
{
    enum err e = store_outputs_append(s, a, 1);

    return e ? e : a->err;
}

enum err put_result(struct store *s, const char *job_id, const char *fields, const char *state)
{
    char request[ID_SIZE];

    new_id(request);
    struct result_put p = {
        .asked = asked_now(request), .fields = json_of(fields), .job_state = state};
    enum err e = put_one_result(s, text_of(job_id), &p);
    json_decref(p.fields);
    return e;
}

void assert_result(struct store *s, const char *job_id, const char *text)
{
    json_t *result = NULL;

    assert_int_equal(get_result(s, text_of(job_id), &result), ERR_OK);
    assert_json(result, text);
    json_decref(result);
}

void assert_state(struct store *s, const char *job_id, const char *state)
{
    json_t *result = NULL;

    assert_int_equal(get_result(s, text_of(job_id), &result), ERR_OK);
    assert_string_equal(json_string_value(json_object_get(result, "job_state")), state);
    json_decref(result);
}

int64_t now_ms(void)
{
    return clock_wall_us() / 1000;
}

char *long_text(char c, size_t n)
{
    char *s = mem_alloc(n + 1);

    memset(s, c, n);
    return s;
}
