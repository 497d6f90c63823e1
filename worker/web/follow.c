#include "worker/web/follow.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/follow.h"
#include "common/log.h"
#include "common/mem.h"
#include "worker/encoding/json_string.h"
#include "worker/http/query.h"
#include "worker/jobs/states.h"
#include "worker/logs/text.h"
#include "worker/validation/job_id.h"
#include "worker/web/job_now.h"
#include "worker/web/job_row.h"
#include "worker/web/page.h"
#include "worker/web/values.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

handler_fn h_web_follow, h_job_follow, h_follow_look;

#define TYPE_EVENTS "text/event-stream"
#define HEAD_MAX    512                 /* bytes of a log's event but its text */
#define STATE_MAX   (64 * (size_t)1024) /* bytes of a state's event, and spare */
#define FEW         4                   /* fragments that are fetched at first */
#define POSITION_S  5                   /* between two counts of the jobs before a waiting one */
#define NO_POSITION (-1)

_Static_assert(FOLLOW_LOGS == OUTPUT_TYPES && (int)FOLLOW_OUTPUT == OUTPUT_OUTPUT &&
                   (int)FOLLOW_SERIAL == OUTPUT_SERIAL,
               "the kinds of events begin with the types of logs");

/* ---- a look ---- */

/* The worker's note from one look to the next. */
struct note {
    uint64_t row;     /* hash of what was seen of the job; 0: nothing yet */
    int64_t position; /* NO_POSITION: it does not wait */
    int64_t at_s;     /* when the position was counted; seconds since 1970 */
};

struct look {
    struct call *c;
    struct text id;
    struct follow_at at; /* moves on with each event */
    struct note note;
    json_t *row; /* borrowed; NULL: there is no such job */
    struct buf out;
    bool more, over;
    enum err err;
};

static enum err add_event(struct look *l, struct follow_event *event)
{
    char line[FOLLOW_LINE_SIZE];

    event->at = l->at;
    int len = follow_line_print(event, line);
    return buf_add(&l->out, line, (size_t)len);
}

/* Takes the reference. */
static enum err add_json(struct look *l, enum follow_kind kind, const char *name, json_t *data)
{
    char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
    struct follow_event event = {.kind = kind};

    json_decref(data);
    if (!text)
        return ERR_INTERNAL;
    if (kind == FOLLOW_STATE)
        event.state = fnv_add(FNV_START, text, strlen(text));
    enum err e = add_event(l, &event);
    if (!e)
        e = buf_printf(&l->out, "event: %s\ndata: ", name);
    if (!e)
        e = buf_add(&l->out, text, strlen(text));
    if (!e)
        e = buf_add(&l->out, "\n\n", 2);
    free(text);
    return e;
}

/* ---- the state ---- */

/* Takes a number and the blank behind it; false: there is none. */
static bool take_number(const char **s, int base, int64_t *ret)
{
    char *end;

    *ret = (int64_t)strtoull(*s, &end, base);
    bool is_number = end != *s && (*end == ' ' || !*end);
    *s = *end ? end + 1 : end;
    return is_number;
}

static void note_parse(struct text t, struct note *ret)
{
    char copy[FOLLOW_SEEN_SIZE];
    const char *s = copy;
    int64_t row;

    *ret = (struct note){.position = NO_POSITION};
    if (!t.s || t.len >= sizeof copy)
        return;
    memcpy(copy, t.s, t.len);
    copy[t.len] = '\0';
    if (take_number(&s, 16, &row) && take_number(&s, 10, &ret->position) &&
        take_number(&s, 10, &ret->at_s))
        ret->row = (uint64_t)row;
    else
        *ret = (struct note){.position = NO_POSITION};
}

static void note_print(const struct note *n, char out[FOLLOW_SEEN_SIZE])
{
    snprintf(out, FOLLOW_SEEN_SIZE, "%" PRIx64 " %" PRId64 " %" PRId64, n->row, n->position,
             n->at_s);
}

static bool state_is(const struct look *l, const char *state)
{
    struct text text = json_string_text(json_object_get(l->row, "job_state"));

    return text.s && text_is(text, state);
}

/* What the state needs beyond the row: read at each look of a reserved job, whose end may move. */
static enum err read_result(struct look *l, json_t **ret)
{
    struct job_read result = {.job_id = l->id, .part = RESULT_FIELDS};

    *ret = NULL;
    if (!state_is(l, "reserve"))
        return ERR_OK;
    enum err e = store_results_get(l->c->store, &result, 1);
    if (!e)
        e = result.err;
    if (!e)
        *ret = result.value;
    return e;
}

static uint64_t hash_of(const struct look *l, const json_t *result)
{
    char *row = json_dumps(l->row, JSON_COMPACT | JSON_SORT_KEYS);
    struct text until = json_string_text(json_object_get(result, RESERVED_UNTIL));
    uint64_t h = fnv_add(FNV_START, row ? row : "", row ? strlen(row) : 0);

    free(row);
    return fnv_add_text(h, until);
}

/* What a page shows, without its looks. */
static json_t *phases_of(const struct look *l, const struct job_parts *p)
{
    json_t *shown = job_phases(p), *all = json_array(), *phase;
    size_t i;

    json_array_foreach (shown, i, phase) {
        const char *name = json_string_value(json_object_get(phase, "name"));
        json_t *code = json_object_get(json_object_get(l->row, "status"), name);
        json_t *began = json_object_get(json_object_get(phase, "began"), "iso");
        json_array_append_new(all, json_pack("{s:s, s:O, s:O?, s:O?}", "name", name, "outcome",
                                             json_object_get(phase, "word"), "code", code, "began",
                                             began));
    }
    json_decref(shown);
    return all;
}

static json_t *outcome_of(const struct look *l)
{
    json_t *outcome =
        job_outcome(json_object_get(l->row, "job_state"), json_object_get(l->row, "status"),
                    json_object_get(l->row, "end_reason"));

    json_object_del(outcome, "class");
    json_object_del(outcome, "icon");
    return outcome;
}

static json_t *reserved_until(const struct look *l, const struct job_parts *p)
{
    json_t *reservation = job_reservation(l->c, p);
    json_t *until = json_object_get(json_object_get(reservation, "until"), "iso");

    until = until ? json_incref(until) : json_null();
    json_decref(reservation);
    return until;
}

static enum err add_state(struct look *l, json_t *result)
{
    struct job_read data = {.job_id = l->id};
    struct job_events events = {NULL, NULL};
    struct job_parts p = {.id = l->id, .row = l->row, .result = result};
    enum err e = store_job_events_get(l->c->store, l->id, &events);

    if (!e && result && !(e = store_jobs_get(l->c->store, &data, 1)))
        e = data.err;
    if (!e) {
        p.data = data.value;
        p.changes = events.changes;
        l->at.history = (int64_t)json_array_size(p.changes);
        e = add_json(l, FOLLOW_STATE, "state",
                     json_pack("{s:o, s:o, s:o, s:o, s:o}", "state",
                               page_value(json_object_get(l->row, "job_state")), "outcome",
                               outcome_of(l), "phases", phases_of(l, &p), "position",
                               l->note.position < 0 ? json_null() : json_integer(l->note.position),
                               "reserved_until", reserved_until(l, &p)));
    }
    json_decref(data.value);
    json_decref(events.posted);
    json_decref(events.changes);
    return e;
}

/* Counting a long queue takes a while: not at each look. */
static enum err count_before(struct look *l, bool changed)
{
    int64_t now = store_now_ms(l->c->store) / 1000;

    if (!state_is(l, "waiting")) {
        l->note.position = NO_POSITION;
        return ERR_OK;
    }
    if (!changed && now >= l->note.at_s && now - l->note.at_s < POSITION_S)
        return ERR_OK;
    l->note.at_s = now;
    enum err e = store_job_position(l->c->store, l->id, &l->note.position);
    if (e != ERR_NOT_FOUND)
        return e;
    l->note.position = NO_POSITION; /* an agent has taken it meanwhile */
    return ERR_OK;
}

static enum err look_at_state(struct look *l)
{
    struct note before = l->note;
    json_t *result = NULL;
    enum err e = read_result(l, &result);

    l->note.row = hash_of(l, result);
    bool changed = l->note.row != before.row;
    if (!e)
        e = count_before(l, changed);
    if (!e && (changed || l->note.position != before.position))
        e = add_state(l, result);
    json_decref(result);
    return e;
}

/* ---- logs ---- */

/* Fragments of a type while they are given. */
struct giving {
    struct look *l;
    enum output_type type;
    int64_t first, skip; /* where the client stands */
    int64_t number;      /* of the last fragment that came; -1: none came */
    size_t seen;         /* bytes of all that have this number: rarely are there several */
};

/* `is_full`: the reply gets no more text, but an event with the place. */
static enum err add_log(struct giving *g, const struct log_piece *p, size_t from, bool is_full,
                        size_t *ret_to)
{
    struct look *l = g->l;
    char head[HEAD_MAX], at[CLOCK_TEXT_SIZE];
    struct follow_log *place = &l->at.logs[g->type];
    struct text rest = {p->text.s + from, p->text.len - from};
    struct buf text = BUF_INIT(FOLLOW_PART);
    struct follow_event event = {.kind = (enum follow_kind)g->type};

    size_t n = is_full ? 0 : json_text_add_front(&text, rest, FOLLOW_PART - l->out.len - HEAD_MAX);
    *ret_to = from + n;
    *place = *ret_to < p->text.len
                 ? (struct follow_log){p->number, (int64_t)(g->seen + *ret_to)}
                 : (struct follow_log){p->number < INT64_MAX ? p->number + 1 : p->number, 0};
    clock_rfc3339_ms(p->at_ms, at);
    enum err e = add_event(l, &event);
    if (!e) {
        snprintf(head, sizeof head,
                 "event: log\ndata: {\"type\":\"%s\",\"phase\":\"%s\",\"n\":%" PRId64
                 ",\"from\":%zu,\"at\":%s%s%s,\"text\":\"",
                 output_type_names[g->type], phase_names[p->phase], p->number, g->seen + from,
                 p->at_ms ? "\"" : "", p->at_ms ? at : "null", p->at_ms ? "\"" : "");
        e = buf_add(&l->out, head, strlen(head));
    }
    if (!e && text.len)
        e = buf_add(&l->out, text.data, text.len);
    if (!e)
        e = buf_add(&l->out, "\"}\n\n", 4);
    buf_free(&text);
    return e;
}

static bool give(void *arg, const struct log_piece *p)
{
    struct giving *g = arg;
    struct look *l = g->l;

    if (p->number != g->number)
        g->seen = 0;
    g->number = p->number;
    size_t skip =
        p->number == g->first && (size_t)g->skip > g->seen ? (size_t)g->skip - g->seen : 0;
    size_t from = skip < p->text.len ? skip : p->text.len, to = from;
    if (from < p->text.len) {
        bool is_full = l->out.len + (size_t)2 * HEAD_MAX > FOLLOW_PART;
        /* Else the place behind the one before would be behind this one, too */
        if (!is_full || l->at.logs[g->type].number > p->number)
            l->err = add_log(g, p, from, is_full, &to);
        l->more = to < p->text.len;
    }
    g->seen += p->text.len;
    return !l->err && !l->more;
}

static enum err look_at_log(struct look *l, const struct log_look *look, enum output_type type)
{
    struct follow_log *place = &l->at.logs[type];
    struct giving g = {
        .l = l, .type = type, .first = place->number, .skip = place->skip, .number = -1};
    struct log_read read = {.job_id = l->id,
                            .type = type,
                            .phase = -1,
                            .start = place->number,
                            .since_ms = INT64_MIN,
                            .batch = FEW,
                            .take = give,
                            .arg = &g};

    if (l->more || look->types[type].last < place->number)
        return ERR_OK;
    enum err e = store_logs_read(l->c->store, &read);
    return e ? e : l->err;
}

/* ---- looks of frontends ---- */

static struct text parameter(const struct call *c, const char *name)
{
    struct text t = {NULL, 0};

    query_first(c->request, name, &t);
    return t;
}

static bool look_load(struct call *c, struct look *ret)
{
    *ret = (struct look){
        .c = c, .id = parameter(c, FOLLOW_JOB), .out = BUF_INIT(FOLLOW_PART + STATE_MAX)};
    note_parse(parameter(c, FOLLOW_SEEN), &ret->note);
    if (ret->id.s && job_id_valid(ret->id.s, ret->id.len) &&
        follow_at_parse(parameter(c, FOLLOW_AT), &ret->at))
        return true;
    log_error("refused a look of a frontend at the events of a job: it names no place in them; run "
              "the same release in all processes");
    reply_err(c, ERR_INTERNAL);
    return false;
}

/* The state was read before the logs: where it is over, all of the logs is there. */
static enum err look_at(struct look *l, const struct log_look *logs)
{
    const json_t *state = json_object_get(l->row, "job_state");
    enum err e = l->row ? look_at_state(l) : ERR_OK;

    for (int i = 0; !e && l->row && i < OUTPUT_TYPES; i++)
        e = look_at_log(l, logs, (enum output_type)i);
    l->over =
        !l->more && (!l->row || (json_is_string(state) && state_is_over(json_string_value(state))));
    if (!e && l->over)
        e = add_json(l, FOLLOW_END, "end", json_pack("{s:o}", "state", page_value(state)));
    return e;
}

static void look_reply(struct look *l, enum err e)
{
    char note[FOLLOW_SEEN_SIZE];

    if (e) {
        reply_err(l->c, e);
    } else {
        note_print(&l->note, note);
        reply_buf(l->c, 200, TYPE_EVENTS, &l->out);
        reply_header(l->c, FOLLOW_NOTE, note);
        if (l->more)
            reply_header(l->c, FOLLOW_MORE, "yes");
        if (l->over)
            reply_header(l->c, FOLLOW_OVER, "yes");
    }
    buf_free(&l->out);
}

void h_follow_look(struct call *calls[], size_t n)
{
    struct look *looks = mem_alloc(n * sizeof *looks);
    struct log_look *logs = mem_alloc(n * sizeof *logs);
    json_t *ids = json_array(), *rows = NULL;
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        if (look_load(calls[i], &looks[len])) {
            logs[len] = (struct log_look){.job_id = looks[len].id};
            json_array_append_new(ids, page_text(looks[len++].id));
        }
    enum err all = len ? jobs_read_ids(calls[0]->store, ids, &rows) : ERR_OK;
    if (!all && len)
        all = store_logs_look(calls[0]->store, logs, len);
    for (size_t i = 0; i < len; i++) {
        enum err e = all ? all : logs[i].err;
        looks[i].row = json_object_getn(rows, looks[i].id.s, looks[i].id.len);
        look_reply(&looks[i], e ? e : look_at(&looks[i], &logs[i]));
    }
    json_decref(rows);
    json_decref(ids);
    free(looks);
    free(logs);
}

/* ---- the beginning of a stream ---- */

/* Where the client goes on: `Last-Event-ID`, which a browser sends when it comes back to the same
 * address, or `from`. False: answered. */
static bool place_load(struct call *c, struct follow_at *ret)
{
    struct text last = c->request->headers[HDR_LAST_EVENT_ID], from;

    *ret = (struct follow_at){0};
    if (last.len ? follow_at_parse(last, ret)
                 : !query_first(c->request, "from", &from) || follow_at_parse(from, ret))
        return true;
    query_invalid(c, json_pack("{s:[s]}", last.len ? "Last-Event-ID" : "from",
                               "Must be the id of an event of this stream."));
    return false;
}

static void begin(struct call *c, struct text id, enum err e)
{
    char place[FOLLOW_AT_SIZE];
    struct follow_at at;

    if (e == ERR_NOT_FOUND) {
        page_not_found(c, "Job", id);
    } else if (e) {
        reply_err(c, e);
    } else if (place_load(c, &at)) {
        follow_at_print(&at, place);
        reply_bytes(c, 200, TYPE_EVENTS, place, strlen(place));
        reply_header(c, "Cache-Control", "no-store");
        reply_header(c, "X-Accel-Buffering", "no"); /* nginx: pass each event on at once */
    }
}

void h_web_follow(struct call *calls[], size_t n)
{
    struct text id = calls[0]->request->params[0];
    json_t *ids = json_pack("[o]", page_text(id)), *rows = NULL;
    enum err e = jobs_read_ids(calls[0]->store, ids, &rows); /* not of what is no id */

    (void)n;
    if (!e && !json_object_getn(rows, id.s, id.len))
        e = ERR_NOT_FOUND;
    begin(calls[0], id, e);
    json_decref(rows);
    json_decref(ids);
}

void h_job_follow(struct call *calls[], size_t n)
{
    struct text id = calls[0]->request->params[0];

    if (!job_id_valid(id.s, id.len))
        reply_error(calls[0], 400, INVALID_JOB_ID);
    else
        h_web_follow(calls, n);
}

enum err follow_url(struct call *c, const struct job_parts *p, json_t **ret)
{
    struct text state = json_string_text(json_object_get(p->row, "job_state"));
    struct log_look look = {.job_id = p->id};
    struct follow_at at = {.history = (int64_t)json_array_size(p->changes)};
    char place[FOLLOW_AT_SIZE], behind[FOLLOW_AT_SIZE + 16];

    *ret = json_null();
    if (state.s && state_is_over(state.s))
        return ERR_OK;
    enum err e = store_logs_look(c->store, &look, 1);
    if (!e)
        e = look.err;
    for (int i = 0; i < OUTPUT_TYPES; i++)
        at.logs[i].number = look.types[i].last < INT64_MAX ? look.types[i].last + 1 : INT64_MAX;
    follow_at_print(&at, place);
    snprintf(behind, sizeof behind, "/follow?from=%s", place);
    if (!e)
        *ret = page_url("/jobs/", p->id, behind);
    return e;
}
