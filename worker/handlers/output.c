/* Live output of a running job: appended by its agent, removed by the first read. Includes the log
 * fragments that newer agents post. */
#include "common/buf.h"
#include "common/bus.h"
#include "common/log.h"
#include "common/mem.h"
#include "worker/request/answer.h"
#include "worker/request/call.h"
#include "worker/validation/job_id.h"

#include <string.h>

handler_fn h_output_add, h_output_get, h_serial_add, h_serial_get;

static bool is_utf8(struct text t)
{
    json_t *s = json_stringn(t.len ? t.s : "", t.len);

    json_decref(s);
    return s != NULL;
}

/* Fills in the entry to append. False: answered. */
static bool load(struct output_append *a, struct call *c, enum output_type type)
{
    *a = (struct output_append){.asked = call_asked(c),
                                .job_id = c->request->params[0],
                                .type = type,
                                .text = c->request->body};
    if (!job_id_valid(a->job_id.s, a->job_id.len))
        reply_error(c, 400, INVALID_JOB_ID);
    else if (!is_utf8(a->text))
        reply_error(c, 400, "Bad Request");
    else
        return true;
    return false;
}

static void add(struct call *calls[], size_t n, enum output_type type)
{
    struct call *adding[BUS_BUNDLE_MAX];
    struct output_append appends[BUS_BUNDLE_MAX];
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (load(&appends[len], calls[i], type))
            adding[len++] = calls[i];
    enum err all = len ? store_outputs_append(calls[0]->store, appends, len) : ERR_OK;
    for (size_t i = 0; i < len; i++) {
        enum err e = all ? all : appends[i].err;
        if (e)
            reply_err(adding[i], e);
        else
            reply_text(adding[i], 200, "OK");
        adding[i]->touch = TOUCH_AGENT;
    }
}

static enum err join(const json_t *entries, struct buf *out)
{
    enum err e = ERR_OK;
    json_t *entry;
    size_t i;

    json_array_foreach (entries, i, entry) {
        if (i)
            e = buf_add(out, "\n", 1);
        if (!e)
            e = buf_add(out, json_string_value(entry), json_string_length(entry));
        if (e)
            break;
    }
    return e;
}

static size_t size_of(const json_t *entries)
{
    size_t size = 0, i;
    json_t *entry;

    json_array_foreach (entries, i, entry)
        size += json_string_length(entry) + 1;
    return size;
}

/* Takes output, then log fragments, up to one answer; the rest stays for the next read. What the
 * request took before it gets alone. */
static enum err take_all(struct call *c, struct text id, enum output_type type, json_t **ret)
{
    struct live_take output = {.asked = call_asked(c),
                               .job_id = id,
                               .type = type,
                               .max = STORE_DOCUMENT_MAX,
                               .peek = c->request->head,
                               .entries = json_array()};
    struct live_take logs = output;
    enum err e = store_output_take(c->store, &output), also = ERR_NOT_FOUND;
    size_t size = e ? 0 : size_of(output.entries);

    logs.entries = json_array();
    logs.max -= size < logs.max ? size : logs.max;
    if ((!e && !output.again && logs.max) || e == ERR_NOT_FOUND)
        also = store_logs_take(c->store, &logs);
    if (e == ERR_NOT_FOUND)
        e = also;
    else if (!e && also && also != ERR_NOT_FOUND)
        log_warn("fragments of a log were not read; they come with the next read");
    if (!also)
        mem_check(json_array_extend(output.entries, logs.entries) == 0);
    json_decref(logs.entries);
    if (e)
        json_decref(output.entries);
    else
        *ret = output.entries;
    return e;
}

static void take(struct call *c, enum output_type type)
{
    struct text id = c->request->params[0];
    struct buf text = BUF_INIT(ANSWER_MAX);
    json_t *entries = NULL;

    if (!job_id_valid(id.s, id.len)) {
        reply_text(c, 400, INVALID_JOB_ID_TEXT);
        return;
    }
    enum err e = take_all(c, id, type, &entries);
    if (!e)
        e = join(entries, &text);
    if (e == ERR_NOT_FOUND)
        reply_none(c);
    else if (e)
        reply_err(c, e);
    else
        reply_buf(c, 200, "text/plain; charset=utf-8", &text);
    json_decref(entries);
    buf_free(&text);
}

void h_output_add(struct call *calls[], size_t n)
{
    add(calls, n, OUTPUT_OUTPUT);
}

void h_output_get(struct call *calls[], size_t n)
{
    (void)n;
    take(calls[0], OUTPUT_OUTPUT);
}

void h_serial_add(struct call *calls[], size_t n)
{
    add(calls, n, OUTPUT_SERIAL);
}

void h_serial_get(struct call *calls[], size_t n)
{
    (void)n;
    take(calls[0], OUTPUT_SERIAL);
}
