#include "worker/http/list_query.h"

#include "worker/encoding/base64.h"
#include "worker/http/etag.h"
#include "worker/http/query.h"
#include "worker/validation/fieldtypes.h"

#include <stdlib.h>
#include <string.h>

#define MARK_SIZE 16 /* bytes of a cursor that tell its list and filters */

static const struct list_filter common[] = {{"limit", false}, {"cursor", false}, {"since", false},
                                            {"until", false}, {"fields", true},  {0}};

static const struct list_filter *find(const struct list_filter *filters, struct text name)
{
    for (const struct list_filter *f = filters; f->name; f++)
        if (text_is(name, f->name))
            return f;
    return NULL;
}

static void add_error(struct list_query *q, struct text name, const char *text)
{
    json_object_setn_new(q->errors, name.s, name.len, json_pack("[s]", text));
}

void list_query_error(struct list_query *q, const char *name, const char *text)
{
    add_error(q, (struct text){name, strlen(name)}, text);
}

struct text list_query_text(const struct list_query *q, const char *name)
{
    struct text value = {NULL, 0};

    query_first(q->c->request, name, &value);
    return value;
}

/* Unknown names, and those that may be given once but come again. */
static void check_names(struct list_query *q, const struct list_filter *filters)
{
    const struct request *r = q->c->request;
    struct text first;

    for (size_t i = 0; i < r->query_len; i++) {
        struct text name = r->query[i].name;
        const struct list_filter *f = find(common, name);
        if (!f)
            f = find(filters, name);
        if (!f)
            add_error(q, name, "Unknown field.");
        else if (!f->many && query_first(r, f->name, &first) && first.s != r->query[i].value.s)
            add_error(q, name, "May be given only once.");
    }
}

/* ---- cursors: MARK_SIZE bytes and the place ---- */

/* What tells the list and its filters, and where in it. */
static void mark(const struct call *c, struct text place, char out[ETAG_SIZE])
{
    static const char *const left_out[] = {"cursor", "limit", "fields"};
    const struct request *r = c->request;
    struct etag *t = etag_new();

    etag_add(t, route_name(c->route), strlen(route_name(c->route)));
    for (size_t i = 0; i < r->query_len; i++) {
        bool counts = true;
        for (size_t k = 0; k < sizeof left_out / sizeof *left_out; k++)
            counts = counts && !text_is(r->query[i].name, left_out[k]);
        if (!counts)
            continue;
        etag_add_int(t, (int64_t)r->query[i].name.len);
        etag_add(t, r->query[i].name.s, r->query[i].name.len);
        etag_add_int(t, (int64_t)r->query[i].value.len);
        etag_add(t, r->query[i].value.s, r->query[i].value.len);
    }
    etag_add_int(t, -1);
    etag_add(t, place.s, place.len);
    etag_end(t, out);
}

/* Where the digits of a mark begin: W/"DIGITS" */
#define DIGITS 3

static void take_cursor(struct list_query *q)
{
    struct text cursor = list_query_text(q, "cursor");
    char wanted[ETAG_SIZE];

    if (!cursor.s)
        return;
    if (base64_decode(cursor, BASE64_URL, &q->place) && q->place.len > MARK_SIZE) {
        q->after = (struct text){q->place.data + MARK_SIZE, q->place.len - MARK_SIZE};
        mark(q->c, q->after, wanted);
        if (memcmp(wanted + DIGITS, q->place.data, MARK_SIZE) == 0)
            return;
    }
    list_query_error(q, "cursor", "Not a cursor of this list with these filters.");
}

/* ---- the other parameters ---- */

static void take_limit(struct list_query *q)
{
    struct text t = list_query_text(q, "limit");
    int64_t n = 0;
    bool fine = t.len > 0 && t.len <= 9;

    q->limit = LIST_QUERY_LIMIT;
    if (!t.s)
        return;
    for (size_t i = 0; fine && i < t.len; i++) {
        fine = t.s[i] >= '0' && t.s[i] <= '9';
        n = n * 10 + (t.s[i] - '0');
    }
    if (!fine || n < 1)
        list_query_error(q, "limit", "Must be a whole number from 1 on.");
    q->limit = n < LIST_QUERY_MAX ? n : LIST_QUERY_MAX;
}

static void take_time(struct list_query *q, const char *name, int64_t *ms)
{
    struct text t = list_query_text(q, name);

    if (t.s && !datetime_from_text(t.s, t.len, ms))
        list_query_error(q, name, "Not a valid datetime.");
}

static void add_names(json_t *fields, struct text list)
{
    const char *end = list.s + list.len;

    for (const char *at = list.s; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        size_t len = (size_t)((comma ? comma : end) - at);
        if (len)
            json_object_setn_new(fields, at, len, json_true());
        at += len + 1;
    }
}

static void take_fields(struct list_query *q)
{
    const struct request *r = q->c->request;

    if (!list_query_text(q, "fields").s)
        return;
    q->fields = json_object();
    for (size_t i = 0; i < r->query_len; i++)
        if (text_is(r->query[i].name, "fields"))
            add_names(q->fields, r->query[i].value);
    if (json_object_size(q->fields) == 0)
        list_query_error(q, "fields", "Name at least one field.");
}

void list_query_load(struct list_query *q, struct call *c, const struct list_filter *filters)
{
    *q = (struct list_query){.c = c,
                             .since_ms = LIST_TIME_MIN,
                             .until_ms = LIST_TIME_MAX,
                             .place = BUF_INIT(LIST_CURSOR_SIZE),
                             .errors = json_object()};
    check_names(q, filters);
    take_cursor(q);
    take_limit(q);
    take_time(q, "since", &q->since_ms);
    take_time(q, "until", &q->until_ms);
    take_fields(q);
}

bool list_query_check(struct list_query *q)
{
    if (json_object_size(q->errors) == 0)
        return true;
    query_invalid(q->c, json_incref(q->errors));
    return false;
}

void list_query_free(struct list_query *q)
{
    buf_free(&q->place);
    json_decref(q->fields);
    json_decref(q->errors);
}

void list_query_pick(const struct list_query *q, json_t *member)
{
    const char *name;
    size_t len;
    void *next;
    json_t *value;

    if (!q->fields)
        return;
    json_object_keylen_foreach_safe(member, next, name, len, value)
    {
        if (!json_object_getn(q->fields, name, len))
            json_object_deln(member, name, len);
    }
}

enum err list_query_cursor(const struct list_query *q, struct text place, struct buf *out)
{
    struct buf text = BUF_INIT(LIST_CURSOR_SIZE);
    char digits[ETAG_SIZE];

    mark(q->c, place, digits);
    enum err e = buf_add(&text, digits + DIGITS, MARK_SIZE);
    if (!e)
        e = buf_add(&text, place.s, place.len);
    if (!e)
        e = base64_encode(text.data, text.len, BASE64_URL, out);
    buf_free(&text);
    return e;
}

void list_query_reply(struct list_query *q, struct listing *l, struct text place)
{
    struct buf cursor = BUF_INIT(LIST_CURSOR_SIZE);
    enum err e = place.s ? list_query_cursor(q, place, &cursor) : ERR_OK;

    if (e)
        reply_err(q->c, e);
    else
        listing_reply(l, cursor.data ? cursor.data : "");
    if (!e)
        reply_tag(q->c);
    buf_free(&cursor);
}
