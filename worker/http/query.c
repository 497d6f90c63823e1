#include "worker/http/query.h"

#include "common/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINK_MAX ((size_t)16 * 1024)

size_t query_values(const struct request *r, const char *name, struct text *values)
{
    size_t n = 0;

    for (size_t i = 0; i < r->query_len; i++)
        if (text_is(r->query[i].name, name))
            values[n++] = r->query[i].value;
    return n;
}

bool query_first(const struct request *r, const char *name, struct text *ret)
{
    for (size_t i = 0; i < r->query_len; i++)
        if (text_is(r->query[i].name, name)) {
            *ret = r->query[i].value;
            return true;
        }
    return false;
}

json_t *query_array(const struct request *r, const char *name)
{
    json_t *list = json_array();

    for (size_t i = 0; i < r->query_len; i++)
        if (text_is(r->query[i].name, name))
            json_array_append_new(list, json_stringn(r->query[i].value.s, r->query[i].value.len));
    return list;
}

void query_invalid(struct call *c, json_t *errors)
{
    reply_json(
        c, 422,
        json_pack("{s:{s:o}, s:s}", "detail", "query", errors, "message", "Validation error"));
}

void query_bad_cursor(struct call *c)
{
    query_invalid(c, json_pack("{s:[s]}", "cursor", "Not a valid cursor."));
}

/* 1 to LIST_MAX; false: it is none of these. */
static bool parse_limit(struct text t, int64_t *ret)
{
    int64_t n = 0;

    if (t.len == 0 || t.len > 9)
        return false;
    for (size_t i = 0; i < t.len; i++) {
        if (t.s[i] < '0' || t.s[i] > '9')
            return false;
        n = n * 10 + (t.s[i] - '0');
    }
    *ret = n < LIST_MAX ? n : LIST_MAX;
    return n > 0;
}

bool query_page(struct call *c, struct list_page *page, char cursor[LIST_CURSOR_SIZE])
{
    struct text t;

    *page = (struct list_page){.limit = LIST_MAX};
    if (query_first(c->request, "limit", &t) && !parse_limit(t, &page->limit)) {
        query_invalid(c, json_pack("{s:[s]}", "limit", "Must be a whole number from 1 on."));
        return false;
    }
    if (!query_first(c->request, "cursor", &t))
        return true;
    if (t.len == 0 || t.len >= LIST_CURSOR_SIZE || memchr(t.s, '\0', t.len)) {
        query_bad_cursor(c);
        return false;
    }
    memcpy(cursor, t.s, t.len);
    cursor[t.len] = '\0';
    page->after = cursor;
    return true;
}

/* <?the same query with the next cursor>; rel="next" */
static enum err make_link(const struct request *r, const char *next, struct buf *b)
{
    enum err e = buf_printf(b, "<?cursor=%s", next);

    for (size_t i = 0; !e && i < r->query_len; i++) {
        if (text_is(r->query[i].name, "cursor"))
            continue;
        e = buf_add(b, "&", 1);
        if (!e)
            e = buf_add_percent(b, r->query[i].name);
        if (!e)
            e = buf_add(b, "=", 1);
        if (!e)
            e = buf_add_percent(b, r->query[i].value);
    }
    return e ? e : buf_printf(b, ">; rel=\"next\"");
}

void query_link(struct call *c, const char *next)
{
    struct buf link = BUF_INIT(LINK_MAX);

    if (make_link(c->request, next, &link) == ERR_OK)
        reply_header(c, "Link", link.data);
    buf_free(&link);
}
