#include "worker/web/rows.h"

#include "common/buf.h"
#include "common/file.h"
#include "common/mem.h"
#include "worker/encoding/json_string.h"
#include "worker/http/query.h"
#include "worker/web/values.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX ((size_t)16 * 1024)

/* ---- search ---- */

#define WORDS_MAX 8   /* of a search; further ones are not looked at */
#define WORD_SIZE 256 /* a longer one is found nowhere */

/* Appends a text, or the texts of a list, in small letters and with a line end each. */
static enum err add_texts(struct buf *b, const json_t *value)
{
    struct text t = json_string_text(value);
    enum err e = t.s ? buf_add(b, t.s, t.len) : ERR_OK;
    json_t *member;
    size_t i;

    for (i = 0; t.s && !e && i < t.len; i++)
        b->data[b->len - t.len + i] = (char)tolower((unsigned char)t.s[i]);
    if (t.s && !e)
        e = buf_add(b, "\n", 1);
    json_array_foreach (value, i, member)
        if (!e && json_is_string(member))
            e = add_texts(b, member);
    return e;
}

bool rows_match(const json_t *row, const char *const *keys, struct text words)
{
    static struct buf texts = {.max = STORE_DOCUMENT_MAX}; /* of one row, used for all */
    char word[WORD_SIZE];
    bool found = true;
    size_t n = 0;

    texts.len = 0;
    for (; *keys; keys++)
        if (add_texts(&texts, json_object_get(row, *keys)))
            break;
    for (size_t at = 0, end; at < words.len && found && n < WORDS_MAX; at = end + 1) {
        for (end = at; end < words.len && words.s[end] != ' '; end++)
            if (end - at < sizeof word)
                word[end - at] = (char)tolower((unsigned char)words.s[end]);
        n += end > at;
        found = end - at <= sizeof word &&
                (end == at || (texts.len && memmem(texts.data, texts.len, word, end - at)));
    }
    return found;
}

/* ---- sort ---- */

static struct {
    const char *key;
    bool down;
} order; /* of the sort that runs: qsort() has no argument for it */

static int compare_values(const json_t *a, const json_t *b)
{
    struct text x = json_string_text(a), y = json_string_text(b);

    if (json_is_number(a) && json_is_number(b)) {
        double m = json_number_value(a), n = json_number_value(b);
        return (m > n) - (m < n);
    }
    if (!x.s || !y.s)
        return 0;
    return text_order(x, y);
}

/* A row and its place before the sort, which decides between equal ones. */
struct place {
    json_t *row;
    size_t at;
};

/* Nothing, null, or an empty text. */
static bool is_missing(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_string(value) && !json_string_length(value));
}

static int compare(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    const json_t *m = json_object_get(x->row, order.key), *n = json_object_get(y->row, order.key);
    int missing = is_missing(m) - is_missing(n), diff = compare_values(m, n);

    if (missing)
        return missing;
    if (diff)
        return order.down ? -diff : diff;
    return (x->at > y->at) - (x->at < y->at);
}

/* The sort that an address of the reference asks for; NULL: none. */
static const struct rows_sort *old_sort_of(struct call *c, const struct rows_sort *sorts,
                                           bool *ret_down)
{
    struct text header = {NULL, 0}, way = {NULL, 0};

    query_first(c->request, "headerId", &header);
    query_first(c->request, "sortOrder", &way);
    *ret_down = text_is(way, "descending");
    for (; sorts->name && (*ret_down || text_is(way, "ascending")); sorts++)
        if (sorts->header && text_is(header, sorts->header))
            return sorts;
    return NULL;
}

/* The wanted sort; *ret NULL: none. False: answered, there is none of this name. */
static bool sort_of(struct call *c, const struct rows_sort *sorts, const struct rows_sort **ret,
                    bool *ret_down)
{
    struct text wanted = {NULL, 0};

    query_first(c->request, "sort", &wanted);
    if (!wanted.len) {
        *ret = old_sort_of(c, sorts, ret_down);
        return true;
    }
    *ret = NULL;
    *ret_down = *wanted.s == '-';
    if (*ret_down)
        wanted.s++, wanted.len--;
    for (; sorts->name; sorts++)
        if (text_is(wanted, sorts->name))
            *ret = sorts;
    if (!*ret)
        query_invalid(c, json_pack("{s:[s]}", "sort", "There is no such column."));
    return *ret != NULL;
}

/* Which of the rows are wanted: from *ret_first on, at most *ret_n, which is `max` at first. False:
 * answered. */
static bool range_of(struct call *c, size_t *ret_first, size_t *ret_n)
{
    char cursor[LIST_CURSOR_SIZE];
    struct list_page page;
    int64_t before = 0;

    if (!query_page(c, &page, cursor))
        return false;
    if (page.after && *page.after &&
        !file_number_parse((struct text){page.after, strlen(page.after)}, &before)) {
        query_bad_cursor(c);
        return false;
    }
    *ret_first = (size_t)before;
    if ((size_t)page.limit < *ret_n)
        *ret_n = (size_t)page.limit;
    return true;
}

/* ---- links ---- */

static enum err add_parameter(struct buf *b, struct text name, struct text value)
{
    enum err e = buf_printf(b, "%s", b->len ? "&" : "?");

    if (!e)
        e = buf_add_percent(b, name);
    if (!e)
        e = buf_printf(b, "=");
    return e ? e : buf_add_percent(b, value);
}

json_t *rows_url(const struct call *c, const char *name, const char *value)
{
    const struct request *r = c->request;
    struct buf b = BUF_INIT(URL_MAX);
    enum err e = ERR_OK;

    for (size_t i = 0; !e && i < r->query_len; i++)
        if (!text_is(r->query[i].name, name) && !text_is(r->query[i].name, "cursor"))
            e = add_parameter(&b, r->query[i].name, r->query[i].value);
    if (!e && value)
        e = add_parameter(&b, (struct text){name, strlen(name)},
                          (struct text){value, strlen(value)});
    json_t *url = json_string(e || !b.len ? "?" : b.data);
    buf_free(&b);
    return url;
}

static json_t *columns_of(const struct call *c, const struct rows_sort *sorts,
                          const struct rows_sort *by, bool down)
{
    json_t *all = json_object();
    char value[64];

    for (; sorts->name; sorts++) {
        bool up_now = sorts == by && !down;
        snprintf(value, sizeof value, "%s%s", up_now ? "-" : "", sorts->name);
        json_object_set_new(all, sorts->name,
                            json_pack("{s:o, s:s?}", "url", rows_url(c, "sort", value), "order",
                                      sorts != by ? NULL
                                      : down      ? "descending"
                                                  : "ascending"));
    }
    return all;
}

/* The rows that fit, in their order; *ret_n: how many. */
static struct place *choose(const json_t *all, const char *const *keys, struct text words,
                            size_t *ret_n)
{
    struct place *places = mem_alloc((json_array_size(all) + 1) * sizeof *places);
    json_t *row;
    size_t i, n = 0;

    json_array_foreach (all, i, row)
        if (rows_match(row, keys, words)) {
            places[n] = (struct place){row, n};
            n++;
        }
    *ret_n = n;
    return places;
}

bool rows_choose(struct call *c, const json_t *all, const char *const *keys,
                 const struct rows_sort *sorts, size_t max, struct rows *ret)
{
    struct text words = {NULL, 0};
    const struct rows_sort *by;
    char cursor[32];
    size_t n, first;
    bool down;

    query_first(c->request, "search", &words);
    if (!sort_of(c, sorts, &by, &down) || !range_of(c, &first, &max))
        return false;
    struct place *places = choose(all, keys, words, &n);
    if (by) {
        order.key = by->key;
        order.down = down;
        qsort(places, n, sizeof *places, compare);
    }
    first = first < n ? first : n;
    size_t end = n - first > max ? first + max : n;
    snprintf(cursor, sizeof cursor, "%zu", end);
    *ret = (struct rows){.shown = json_array(),
                         .left_out = (int)(n - end),
                         .next = end < n ? rows_url(c, "cursor", cursor) : json_null(),
                         .columns = columns_of(c, sorts, by, down),
                         .search = page_text(words)};
    for (size_t i = first; i < end; i++)
        json_array_append(ret->shown, places[i].row);
    free(places);
    return true;
}

void rows_free(struct rows *rows)
{
    json_decref(rows->shown);
    json_decref(rows->next);
    json_decref(rows->columns);
    json_decref(rows->search);
}
