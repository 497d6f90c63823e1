/* Live output of a running job: appended by its agent, taken once by whoever reads first. */
#include "common/buf.h"
#include "common/bus.h"
#include "worker/call.h"
#include "worker/jobid.h"

#include <string.h>

/* What one answer holds at most: a message of the bus less its envelope. */
#define OUTPUT_ANSWER_MAX (BUS_MESSAGE_MAX - MIB)

static bool is_utf8(struct text t)
{
    json_t *s = json_stringn(t.len ? t.s : "", t.len);

    json_decref(s);
    return s != NULL;
}

static void add(struct call *c, enum output_type type)
{
    struct output_append a = {.asked = call_asked(c),
                              .job_id = c->request->params[0],
                              .type = type,
                              .text = c->request->body};

    if (!job_id_valid(a.job_id.s, a.job_id.len)) {
        reply_error(c, 400, "Invalid job_id specified");
        return;
    }
    if (!is_utf8(a.text)) {
        reply_error(c, 400, "Bad Request");
        return;
    }
    enum err e = store_output_append(c->store, &a);
    if (e)
        reply_err(c, e);
    else
        reply_text(c, 200, "OK");
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

static void take(struct call *c, enum output_type type)
{
    struct text id = c->request->params[0];
    struct buf text = BUF_INIT(OUTPUT_ANSWER_MAX);
    json_t *entries = NULL;

    if (!job_id_valid(id.s, id.len)) {
        reply_text(c, 400, "Invalid job id\n");
        return;
    }
    enum err e = store_output_take(c->store, id, type, c->request->head, &entries);
    if (!e)
        e = join(entries, &text);
    if (e == ERR_NOT_FOUND)
        reply_none(c);
    else if (e)
        reply_err(c, e);
    else
        reply_bytes(c, 200, "text/plain; charset=utf-8", text.data ? text.data : "", text.len);
    json_decref(entries);
    buf_free(&text);
}

void h_output_add(struct call *calls[], size_t n)
{
    (void)n;
    add(calls[0], OUTPUT_OUTPUT);
}

void h_output_get(struct call *calls[], size_t n)
{
    (void)n;
    take(calls[0], OUTPUT_OUTPUT);
}

void h_serial_add(struct call *calls[], size_t n)
{
    (void)n;
    add(calls[0], OUTPUT_SERIAL);
}

void h_serial_get(struct call *calls[], size_t n)
{
    (void)n;
    take(calls[0], OUTPUT_SERIAL);
}
