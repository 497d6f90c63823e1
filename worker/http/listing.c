#include "worker/http/listing.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/utf8.h"
#include "worker/encoding/base64.h"
#include "worker/http/query.h"
#include "worker/logs/text.h"
#include "worker/request/answer.h"

#include <stdlib.h>
#include <string.h>

#define NAME_SHOWN 300                /* bytes of a name that a cursor holds */
#define LAST_CHAR  "\xf4\x8f\xbf\xbf" /* U+10FFFF: sorts after all names with the prefix */
#define END_MAX    16                 /* room for the end of the list */

static void init(struct listing *l, struct call *c, bool object)
{
    *l = (struct listing){.c = c,
                          .object = object,
                          .body = BUF_INIT(ANSWER_MAX - END_MAX),
                          .after = BUF_INIT(LIST_CURSOR_SIZE),
                          .walk = {.take = listing_take, .arg = l}};
}

void listing_init(struct listing *l, struct call *c, int64_t limit)
{
    init(l, c, false);
    l->left = limit;
}

bool listing_begin_page(struct listing *l, struct call *c, struct list_page *page,
                        char cursor[LIST_CURSOR_SIZE])
{
    if (!query_page(c, page, cursor))
        return false;
    init(l, c, false);
    page->take = listing_take;
    page->arg = l;
    l->left = page->limit;
    return true;
}

bool listing_begin(struct listing *l, struct call *c, bool object)
{
    char cursor[LIST_CURSOR_SIZE];
    struct list_page page;

    if (!query_page(c, &page, cursor))
        return false;
    init(l, c, object);
    l->left = page.limit;
    if (!page.after)
        return true;
    struct text text = {cursor, strlen(cursor)};
    if (!base64_decode(text, BASE64_URL, &l->after) ||
        memchr(l->after.data ? l->after.data : "", '\0', l->after.len)) {
        listing_drop(l);
        query_bad_cursor(c);
        return false;
    }
    l->walk.after = (struct text){l->after.data ? l->after.data : "", l->after.len};
    return true;
}

static int add_part(const char *data, size_t len, void *body)
{
    return buf_add(body, data, len) ? -1 : 0;
}

/* Writes a member; ERR_TOO_LARGE: a part of it may have been written. */
static enum err write_member(struct listing *l, struct text name, const json_t *value)
{
    enum err e =
        l->members ? buf_add(&l->body, ", ", 2) : buf_add(&l->body, l->object ? "{" : "[", 1);

    if (!e && l->object) {
        e = buf_add(&l->body, "\"", 1);
        if (!e)
            e = json_text_add(&l->body, name);
        if (!e)
            e = buf_add(&l->body, "\": ", 3);
    }
    if (!e && json_dump_callback(value, add_part, &l->body, ANSWER_JSON))
        e = ERR_TOO_LARGE;
    return e;
}

static void note_last(struct listing *l, struct text name)
{
    free(l->last);
    l->last = mem_strndup(name.len ? name.s : "", name.len);
    l->last_len = name.len;
}

bool listing_take(void *listing, struct text name, json_t *value)
{
    struct listing *l = listing;
    size_t before = l->body.len;

    if (l->left == 0) {
        l->more = true;
        json_decref(value);
        return false;
    }
    if (l->show)
        value = l->show(l->arg, value);
    enum err e = write_member(l, name, value);
    json_decref(value);
    if (e && l->body.data) {
        l->body.len = before;
        l->body.data[before] = '\0';
    }
    if (e && l->members) {
        l->more = true;
        return false;
    }
    if (e)
        log_error("request %s, %s: %.*s is larger than any answer and is left out of the list; "
                  "remove it",
                  l->c->request->id, route_name(l->c->route),
                  (int)(name.len < 256 ? name.len : 256), name.s);
    else
        l->members++;
    l->left--;
    note_last(l, name);
    return true;
}

static struct text name_of(const json_t *member, const char *key)
{
    const json_t *name = json_object_get(member, key);

    return (struct text){json_is_string(name) ? json_string_value(name) : "",
                         json_string_length(name)};
}

static int compare(struct text a, struct text b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.s, b.s, len) : 0;

    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* A member and its place in the order. */
struct member {
    struct text name;
    json_t *value;
};

static int compare_members(const void *a, const void *b)
{
    return compare(((const struct member *)a)->name, ((const struct member *)b)->name);
}

void listing_take_sorted(struct listing *l, const json_t *array, const char *key)
{
    size_t n = json_array_size(array);
    struct member *members = mem_alloc((n + 1) * sizeof *members);

    for (size_t i = 0; i < n; i++) {
        json_t *value = json_array_get(array, i);
        members[i] = (struct member){name_of(value, key), value};
    }
    qsort(members, n, sizeof *members, compare_members);
    for (size_t i = 0; i < n; i++)
        if (!l->walk.after.s || compare(members[i].name, l->walk.after) > 0)
            if (!listing_take(l, members[i].name, json_incref(members[i].value)))
                break;
    free(members);
}

void listing_skip(struct listing *l, struct text name)
{
    note_last(l, name);
}

enum err listing_place(const struct listing *l, struct buf *out)
{
    const char *name = l->last ? l->last : "";
    size_t end = 0, n, len = l->last_len;

    while (end < len && end < NAME_SHOWN)
        end += (n = utf8_sequence(name + end, len - end)) ? n : 1;
    enum err e = buf_add(out, name, end);
    return e || end == len ? e : buf_add(out, LAST_CHAR, strlen(LAST_CHAR));
}

/* The cursor behind the last name. */
static enum err make_cursor(const struct listing *l, struct buf *out)
{
    struct buf text = BUF_INIT(LIST_CURSOR_SIZE);
    enum err e = listing_place(l, &text);

    if (!e)
        e = base64_encode(text.data ? text.data : "", text.len, BASE64_URL, out);
    buf_free(&text);
    return e;
}

void listing_reply(struct listing *l, const char *next)
{
    struct buf cursor = BUF_INIT(LIST_CURSOR_SIZE);
    enum err e = ERR_OK;

    l->body.max += END_MAX;
    if (!l->members)
        e = buf_add(&l->body, l->object ? "{" : "[", 1);
    if (!e)
        e = buf_add(&l->body, l->object ? "}" : "]", 1);
    if (!e && l->more && !next) {
        e = make_cursor(l, &cursor);
        next = cursor.data;
    }
    if (e)
        reply_err(l->c, e);
    else
        reply_buf(l->c, 200, "application/json", &l->body);
    if (!e && next && *next)
        query_link(l->c, next);
    buf_free(&cursor);
    listing_drop(l);
}

void listing_drop(struct listing *l)
{
    buf_free(&l->body);
    buf_free(&l->after);
    free(l->last);
    l->last = NULL;
}
