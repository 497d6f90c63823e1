#include "worker/handlers/result_view.h"

#include "worker/encoding/json_string.h"
#include "worker/http/etag.h"
#include "worker/jobs/lease.h"
#include "worker/jobs/states.h"
#include "worker/logs/fragments.h"
#include "worker/request/answer.h"
#include "worker/request/doc_limits.h"
#include "worker/validation/bson_size.h"
#include "worker/validation/job_id.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_JSON "application/json"

/* Bytes reserved for names and truncation marks. */
#define AROUND_MAX ((size_t)16 * 1024)

/* Moves a field if it is there. */
static void move(json_t *to, json_t *from, const char *name)
{
    json_t *value = json_object_get(from, name);

    if (value) {
        json_object_set(to, name, value);
        json_object_del(from, name);
    }
}

/* The store would not renew such a lease: lease_is_due(). */
static bool is_fresh(const struct call *c, const char *state, int64_t lease_ms)
{
    return !lease_has_own(state) && lease_ms >= lease_end_ms(c) - c->cfg->job_lease * 1000 / 2;
}

void result_touch(struct call *c, const struct job_read *read)
{
    const char *state = json_string_value(json_object_get(read->value, "job_state"));

    if (state && strcmp(state, "waiting") != 0 && !state_is_over(state) &&
        !is_fresh(c, state, read->lease_ms))
        c->touch = TOUCH_ASKED;
}

json_t *result_shown(const struct call *c, json_t *result)
{
    json_t *status = json_object_get(result, "status"), *shown = json_object(), *value;
    const char *key;
    char name[RESULT_NAME_SIZE];

    for (int i = 0; i < PHASE_COUNT; i++) {
        result_status_name(i, name);
        move(shown, result, name);
        if ((value = json_object_get(status, phase_names[i])))
            json_object_set(shown, name, value);
        for (int type = 0; type < OUTPUT_TYPES; type++) {
            result_name(i, (enum output_type)type, name);
            move(shown, result, name);
        }
    }
    move(shown, result, "device_info");
    move(shown, result, "job_state");
    json_object_del(result, "status");
    json_object_del(result, "agent_id");
    if (c->cfg->compat == COMPAT_DOCUMENTED)
        json_object_foreach (result, key, value)
            json_object_set(shown, key, value);
    return shown;
}

/* The state of writing an answer. */
struct writing {
    struct buf body;
    size_t room;                        /* bytes that logs may still take */
    json_t *flat;                       /* texts of phases stored as fields */
    const struct result_fields *fields; /* the requested ones */
    json_t *cut;                        /* out: fields that were cut or dropped */
};

static enum err add_name(struct writing *w, const char *name)
{
    return buf_printf(&w->body, "%s\"%s\": \"", w->body.len > 1 ? ", " : "", name);
}

/* Adds the texts of a type that were stored as fields, for phases without fragments. */
static enum err add_flat(struct writing *w, enum output_type type, const struct log_join *j)
{
    enum err e = ERR_OK;
    char name[RESULT_NAME_SIZE];

    for (int i = 0; !e && i < PHASE_COUNT; i++) {
        result_name(i, type, name);
        json_t *value = json_object_get(w->flat, name); /* only requested fields */
        struct text t = json_string_text(value);
        if (!t.s || j->is_there[i])
            continue;
        e = add_name(w, name);
        size_t before = w->body.len, n = e ? 0 : json_text_add_front(&w->body, t, w->room);
        w->room -= w->body.len - before;
        if (n < t.len) {
            json_object_set_new(w->cut, name, json_integer((json_int_t)(t.len - n)));
            e = buf_printf(&w->body, "\\n[%zu bytes are left out here]\\n", t.len - n);
        }
        if (!e)
            e = buf_add(&w->body, "\"", 1);
    }
    return e;
}

/* Adds the joined fragments of a type. */
static enum err add_joined(struct writing *w, const char *job_id, enum output_type type,
                           const struct log_join *j)
{
    enum err e = ERR_OK;
    char name[RESULT_NAME_SIZE];
    int end = 0; /* the phase with the last fragment */

    for (int i = 0; i < PHASE_COUNT; i++)
        end = j->last[i] > j->last[end] ? i : end;
    for (int i = 0; !e && i < PHASE_COUNT; i++) {
        if (!j->is_there[i])
            continue;
        result_name(i, type, name);
        e = add_name(w, name);
        if (!e)
            e = buf_add(&w->body, j->text[i].data, j->text[i].len);
        w->room -= j->text[i].len;
        if (!e && j->cut && i == end)
            e = buf_printf(&w->body,
                           "\\n[the log is too long for one answer; it goes on with GET "
                           "/v1/result/%s/log/%s?start_fragment=%" PRId64 "]\\n",
                           job_id, output_type_names[type], j->next);
        if (!e)
            e = buf_add(&w->body, "\"", 1);
    }
    if (j->cut)
        json_object_set_new(w->cut, output_type_names[type], json_integer(j->next));
    return e;
}

/* Joins the fragments of the requested phases. */
struct picking {
    struct log_join join;
    unsigned phases;
};

static bool pick(void *arg, const struct log_piece *piece)
{
    struct picking *p = arg;

    return !(p->phases & 1u << piece->phase) || log_join_take(&p->join, piece);
}

/* The only phase of a set; -1: several. */
static int only_phase(unsigned phases)
{
    for (int i = 0; i < PHASE_COUNT; i++)
        if (phases == 1u << i)
            return i;
    return -1;
}

/* Adds all texts of a type; `max`: limit of their bytes. */
static enum err add_type(struct call *c, struct writing *w, const struct log_look *look,
                         enum output_type type, size_t max)
{
    struct picking p = {.phases = w->fields->phases[type]};
    struct log_read read = {.job_id = c->request->params[0],
                            .type = type,
                            .phase = only_phase(p.phases),
                            .since_ms = INT64_MIN,
                            .take = pick,
                            .arg = &p};
    char job_id[JOB_ID_SIZE];

    snprintf(job_id, sizeof job_id, "%.*s", (int)read.job_id.len, read.job_id.s);
    log_join_init(&p.join, max);
    enum err e = p.phases && look->types[type].count ? store_logs_read(c->store, &read) : ERR_OK;
    if (!e)
        e = add_joined(w, job_id, type, &p.join);
    if (!e)
        e = add_flat(w, type, &p.join);
    log_join_free(&p.join);
    return e;
}

/* Moves the texts of phases out of the shown fields. */
static json_t *take_flat(json_t *shown)
{
    json_t *flat = json_object();
    char name[RESULT_NAME_SIZE];

    for (int i = 0; i < PHASE_COUNT; i++)
        for (int type = 0; type < OUTPUT_TYPES; type++) {
            result_name(i, (enum output_type)type, name);
            if (json_is_string(json_object_get(shown, name)))
                move(flat, shown, name);
        }
    return flat;
}

static bool has_texts(const json_t *flat, enum output_type type)
{
    char name[RESULT_NAME_SIZE];

    for (int i = 0; i < PHASE_COUNT; i++) {
        result_name(i, type, name);
        if (json_object_get(flat, name))
            return true;
    }
    return false;
}

static enum err add_fields(struct buf *b, const json_t *fields, const char *before)
{
    char *text = json_dumps(fields, ANSWER_JSON);
    size_t len = text ? strlen(text) : 0;
    enum err e = len > 2 ? buf_add(b, before, strlen(before)) : ERR_OK;

    if (!e && len > 2) /* without the braces */
        e = buf_add(b, text + 1, len - 2);
    free(text);
    return e;
}

static enum err write_all(struct call *c, struct writing *w, const struct log_look *look,
                          const json_t *shown)
{
    bool serial = look->types[OUTPUT_SERIAL].count > 0 || has_texts(w->flat, OUTPUT_SERIAL);
    enum err e = buf_add(&w->body, "{", 1);

    if (!e)
        e = add_fields(&w->body, shown, "");
    if (!e && w->body.len + AROUND_MAX > ANSWER_MAX)
        e = ERR_TOO_LARGE;
    w->room = ANSWER_MAX - AROUND_MAX - w->body.len;
    /* at most half for the output if there is serial output */
    if (!e)
        e = add_type(c, w, look, OUTPUT_OUTPUT, serial ? w->room / 2 : w->room);
    if (!e)
        e = add_type(c, w, look, OUTPUT_SERIAL, w->room);
    if (!e && json_object_size(w->cut)) {
        json_t *told = json_pack("{s:O}", "truncated", w->cut);
        e = add_fields(&w->body, told, ", ");
        json_decref(told);
    }
    return e ? e : buf_add(&w->body, "}", 1);
}

/* Drops fields that do not fit and notes their sizes in `cut`: concurrent posts can exceed
 * the limit together once escaped as JSON. Each field fits alone: clients get it by ?fields=. */
static void leave_out(json_t *shown, json_t *cut)
{
    size_t room = ANSWER_MAX - 2 * AROUND_MAX, names = AROUND_MAX / 2;
    const char *name;
    json_t *value;
    void *next;

    if (doc_bson_size(shown) < room / 6)
        return;
    json_object_foreach_safe(shown, next, name, value)
    {
        json_t *alone = json_pack("{s:O}", name, value);
        size_t size = doc_size_of(alone).json, len = strlen(name) * 6 + 32;
        json_decref(alone);
        if (size <= room) {
            room -= size;
            continue;
        }
        if (len <= names) {
            names -= len;
            json_object_set_new(cut, name, json_integer((json_int_t)size));
        }
        json_object_del(shown, name);
    }
}

/* Whether there are fragments of requested phases. */
static bool has_fragments(const struct log_look *look, const struct result_fields *fields)
{
    for (int type = 0; type < OUTPUT_TYPES; type++)
        if (fields->phases[type] && look->types[type].count)
            return true;
    return false;
}

/* Removes fields that were not requested. */
static void pick_fields(json_t *shown, const struct result_fields *fields)
{
    const char *name;
    json_t *value;
    void *next;

    if (!fields->names)
        return;
    json_object_foreach_safe(shown, next, name, value) if (!json_object_get(fields->names, name))
        json_object_del(shown, name);
}

/* The tag covers the shown fields; of logs only number and last fragment: fragments never change.
 */
static void tag_of(const struct log_look *look, const json_t *shown,
                   const struct result_fields *fields, char out[ETAG_SIZE])
{
    struct etag *t = etag_new();
    const char *name;
    json_t *value;

    json_object_foreach ((json_t *)(uintptr_t)shown, name, value) {
        etag_add(t, name, strlen(name) + 1);
        etag_add_int(t, (int64_t)json_string_length(value));
        if (json_is_string(value)) /* unescaped: such a text can be large */
            etag_add(t, json_string_value(value), json_string_length(value));
        else
            etag_add_json(t, value);
    }
    for (int type = 0; type < OUTPUT_TYPES; type++) {
        etag_add_int(t, fields->phases[type]);
        if (!fields->phases[type])
            continue;
        etag_add_int(t, look->types[type].count);
        etag_add_int(t, look->types[type].last);
    }
    etag_end(t, out);
}

static void reply_written(struct call *c, const struct log_look *look, json_t *shown,
                          const struct result_fields *fields)
{
    struct writing w = {.body = BUF_INIT(BUS_MESSAGE_MAX),
                        .flat = take_flat(shown),
                        .fields = fields,
                        .cut = json_object()};
    enum err e = ERR_OK;

    leave_out(shown, w.cut);
    if (!has_fragments(look, fields) && !json_object_size(w.flat) && !json_object_size(w.cut))
        reply_json(c, 200, json_incref(shown));
    else if ((e = write_all(c, &w, look, shown)))
        reply_err(c, e);
    else
        reply_buf(c, 200, TYPE_JSON, &w.body);
    buf_free(&w.body);
    json_decref(w.flat);
    json_decref(w.cut);
}

void result_reply(struct call *c, const struct log_look *look, json_t *shown,
                  const struct result_fields *fields)
{
    char tag[ETAG_SIZE];

    pick_fields(shown, fields);
    tag_of(look, shown, fields, tag);
    if (!reply_unchanged(c, tag))
        reply_written(c, look, shown, fields);
    json_decref(shown);
}
