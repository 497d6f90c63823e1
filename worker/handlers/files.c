/* Attachments and artifacts. The four public routes check the request and open the file; the
 * frontend then moves the bytes by internal requests (h_file_*), each independent. */
#include "common/log.h"
#include "worker/auth/authorize.h"
#include "worker/encoding/json_string.h"
#include "worker/handlers/upload_wanted.h"
#include "worker/request/call.h"

#include <stdio.h>
#include <string.h>

handler_fn h_attachments_put, h_web_attachments, h_artifact_put, h_file_put, h_file_commit,
    h_attachments_get, h_artifact_get, h_web_artifact, h_file_read;

#define ATTACHMENTS ".attachments"
#define ARTIFACT    ".artifact"

/* The file id in ObjectId form, derived from the request: a repeat gets the same one. */
static void id_of(const struct request *r, char out[FILE_ID_SIZE])
{
    size_t n = (size_t)snprintf(out, FILE_ID_SIZE, "%08x",
                                (unsigned)(r->received_us / 1000000 & 0xffffffff));

    for (size_t i = REQUEST_ID_SIZE - 1 - 17; r->id[i] && n < FILE_ID_SIZE - 1; i++)
        if (r->id[i] != '-')
            out[n++] = r->id[i];
    out[n] = '\0';
}

static void name_of(struct text job_id, const char *suffix, char out[FILE_NAME_SIZE])
{
    snprintf(out, FILE_NAME_SIZE, "%.*s%s", (int)job_id.len, job_id.s, suffix);
}

static void reply_info(struct call *c, int status, const char *type, const struct file_info *f)
{
    char text[FILE_INFO_SIZE];

    file_info_print(f, text);
    reply_bytes(c, status, type, text, strlen(text));
}

/* ---- uploads ---- */

/* Begins an upload whose head was accepted, if the frontend's facts about the body allow it. */
static void begin(struct call *c, const char *suffix)
{
    struct file_info f = {.chunk = FILE_CHUNK, .date_ms = c->request->received_us / 1000};
    int64_t facts;

    if (!file_facts_parse(c->request->body, &facts)) {
        log_error("refused an upload: the frontend sent no facts about its body; run the same "
                  "release in all processes");
        reply_err(c, ERR_INTERNAL);
        return;
    }
    if (facts < 0) {
        reply_error(c, (int)-facts, facts == -413 ? TOO_LARGE_DEFAULT : "Bad Request");
        return;
    }
    f.length = facts;
    id_of(c->request, f.id);
    name_of(c->request->params[0], suffix, f.name);
    enum err e = store_file_begin(c->store, &f);
    if (e)
        reply_err(c, e);
    else
        reply_info(c, FILE_GO_ON, "text/plain", &f);
}

void h_attachments_put(struct call *calls[], size_t n)
{
    (void)n;
    if (attachments_wanted(calls[0]))
        begin(calls[0], ATTACHMENTS);
}

/* The form of a job's page. Once the file is stored, the frontend leads the browser back to it. */
void h_web_attachments(struct call *calls[], size_t n)
{
    h_attachments_put(calls, n);
}

void h_artifact_put(struct call *calls[], size_t n)
{
    (void)n;
    if (artifact_wanted(calls[0]))
        begin(calls[0], ARTIFACT);
}

/* The file that an internal request names. False: answered. */
static bool file_of(struct call *c, struct file_info *ret)
{
    struct text t = file_param(c->request, FILE_PARAM_INFO);

    if (t.s && file_info_parse(t, ret))
        return true;
    log_error("refused a request of a frontend for a file: it names none; run the same release in "
              "all processes");
    reply_err(c, ERR_INTERNAL);
    return false;
}

/* Whether the range lies within the file. False: answered, to the frontend only. */
static bool in_file(struct call *c, const struct file_info *f, int64_t at, int64_t size)
{
    if (at >= 0 && size > 0 && size <= FILE_PIECE && at <= f->length && size <= f->length - at)
        return true;
    log_error("refused a request of a frontend for a part of a file: the part is not within it; "
              "run the same release in all processes");
    reply_err(c, ERR_INTERNAL);
    return false;
}

void h_file_put(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text data = c->request->body;
    struct file_info f;
    int64_t at = -1;

    (void)n;
    if (!file_of(c, &f))
        return;
    if (!file_number_parse(file_param(c->request, FILE_PARAM_AT), &at) || at % FILE_CHUNK)
        at = -1;
    if (!in_file(c, &f, at, (int64_t)data.len))
        return;
    enum err e = store_file_put(c->store, &f, at, data);
    if (e)
        reply_err(c, e);
    else
        reply_none(c);
}

/* Wakes agents: the job may be handed out now. */
static void wake_queue_of(struct call *c, struct text job_id)
{
    struct job_read read = {.job_id = job_id};

    if (store_jobs_get(c->store, &read, 1) || read.err)
        return; /* waiting agents also poll */
    const json_t *queue = json_object_get(read.value, "job_queue");
    call_wakes(c, json_string_text(queue));
    json_decref(read.value);
}

void h_file_commit(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    const size_t suffix = strlen(ATTACHMENTS);
    struct file_info f;

    (void)n;
    if (!file_of(c, &f))
        return;
    struct text id = {f.name, strlen(f.name)};
    bool attached = id.len > suffix && strcmp(f.name + id.len - suffix, ATTACHMENTS) == 0;
    id.len -= attached ? suffix : 0;
    enum err e = store_file_commit(c->store, &f, attached ? &id : NULL);
    if (e) {
        reply_err(c, e);
        return;
    }
    reply_text(c, 200, "OK");
    if (attached)
        wake_queue_of(c, id);
}

/* ---- downloads ---- */

/* A client would get a part of it, and no word of that. */
static void reply_incomplete(struct call *c, const char *name)
{
    if (log_admit("incomplete file", name, strlen(name)))
        log_error("pieces of file %s are missing in the store, so it cannot be downloaded; upload "
                  "it once more, or restore the store from a copy",
                  name);
    reply_error(c, 410,
                "Pieces of this file are missing in the server's store; upload it once more");
}

static void open_file(struct call *c, const char *suffix)
{
    char name[FILE_NAME_SIZE];
    struct file_info f;

    name_of(c->request->params[0], suffix, name);
    enum err e = store_file_open(c->store, (struct text){name, strlen(name)}, &f);
    if (e == ERR_NOT_FOUND) {
        reply_none(c);
    } else if (e == ERR_CONFLICT) {
        reply_incomplete(c, name);
    } else if (e) {
        reply_err(c, e);
    } else {
        reply_header(c, "Cache-Control", "no-cache");
        reply_info(c, 200, "application/gzip", &f);
    }
}

void h_attachments_get(struct call *calls[], size_t n)
{
    (void)n;
    calls[0]->touch = TOUCH_ASKED;
    if (names_a_job(calls[0]) &&
        authorize_owner(calls[0], calls[0]->request->params[0], ROLE_AGENT))
        open_file(calls[0], ATTACHMENTS);
}

void h_artifact_get(struct call *calls[], size_t n)
{
    struct call *c = calls[0];

    (void)n;
    if (!names_a_job(c))
        return;
    open_file(c, ARTIFACT);
    if (c->reply.status == 200)
        reply_header(c, "Content-Disposition", "attachment; filename=artifact.tar.gz");
}

/* For browsers: they have a session instead of a token. No cache may give it to another visitor. */
void h_web_artifact(struct call *calls[], size_t n)
{
    struct call *c = calls[0];

    h_artifact_get(calls, n);
    if (c->reply.status != 200)
        return;
    reply_header(c, "Cache-Control", "private, no-cache");
    reply_header(c, "Vary", "Cookie");
    reply_header(c, "Content-Security-Policy", "sandbox");
}

void h_file_read(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct buf data = BUF_INIT((size_t)FILE_PIECE);
    struct file_info f;
    int64_t at = -1, size = 0;

    (void)n;
    if (!file_of(c, &f))
        return;
    if (!file_number_parse(file_param(c->request, FILE_PARAM_AT), &at) ||
        !file_number_parse(file_param(c->request, FILE_PARAM_SIZE), &size))
        at = -1;
    if (!in_file(c, &f, at, size))
        return;
    enum err e = store_file_read(c->store, &f, at, size, &data);
    if (!e && data.len != (size_t)size)
        e = ERR_NOT_FOUND; /* chunks are shorter than the file says */
    if (e)
        reply_err(c, e);
    else
        reply_bytes(c, 200, "application/octet-stream", data.data, data.len);
    buf_free(&data);
}
