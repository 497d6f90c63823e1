/* The page of the API: docs/api.md by endpoint, with its examples. */
#include "common/buf.h"
#include "common/mem.h"
#include "worker/web/embed.h"
#include "worker/web/page.h"
#include "worker/web/values.h"

#include "generated/API_PAGE.h"

#include <string.h>

handler_fn h_page_docs;

#define TAKE(id, name, hash, path) EMBED(page_##id, path)
API_PAGE(TAKE)

#define EXAMPLE_MAX ((size_t)64 * 1024)

/* Where the reader of the file is. */
struct reading {
    json_t *groups;   /* [{name, endpoints}] */
    json_t *endpoint; /* borrowed: the last of the last group; NULL: the text is no endpoint's */
    struct buf lines; /* of the example, or of the first paragraph */
    bool in_example;
    bool in_text; /* the first paragraph has not ended */
};

static bool begins(struct text line, const char *with)
{
    return line.len >= strlen(with) && memcmp(line.s, with, strlen(with)) == 0;
}

static struct text behind(struct text line, size_t n)
{
    return (struct text){line.s + n, line.len - n};
}

static void add_line(struct reading *r, struct text line, const char *end)
{
    if (buf_add(&r->lines, line.s, line.len) || buf_printf(&r->lines, "%s", end))
        r->lines.len = 0; /* too long to be shown */
}

static json_t *take_lines(struct reading *r)
{
    json_t *text = page_text((struct text){r->lines.len ? r->lines.data : "", r->lines.len});

    r->lines.len = 0;
    return text;
}

static void begin_group(struct reading *r, struct text name)
{
    json_array_append_new(r->groups,
                          json_pack("{s:o, s:[]}", "name", page_text(name), "endpoints"));
    r->endpoint = NULL;
}

static void begin_endpoint(struct reading *r, struct text name)
{
    json_t *group = json_array_get(r->groups, json_array_size(r->groups) - 1);

    r->endpoint = json_pack("{s:o, s:s, s:[]}", "name", page_text(name), "text", "", "examples");
    json_array_append_new(json_object_get(group, "endpoints"), r->endpoint);
    r->in_text = true;
}

/* A line of an endpoint outside of its examples. */
static void read_text(struct reading *r, struct text line)
{
    if (line.len && r->in_text) {
        add_line(r, line, " ");
    } else if (r->lines.len) {
        json_object_set_new(r->endpoint, "text", take_lines(r));
        r->in_text = false;
    }
}

static void read_line(struct reading *r, struct text line)
{
    if (begins(line, "```")) {
        if (r->in_example && r->endpoint)
            json_array_append_new(json_object_get(r->endpoint, "examples"), take_lines(r));
        r->lines.len = 0;
        r->in_example = !r->in_example;
    } else if (r->in_example) {
        add_line(r, line, "\n");
    } else if (begins(line, "## ")) {
        begin_group(r, behind(line, 3));
    } else if (begins(line, "### ")) {
        begin_endpoint(r, behind(line, 4));
    } else if (r->endpoint) {
        read_text(r, line);
    }
}

/* The groups that have endpoints; a new reference. */
static json_t *read_page(struct text page)
{
    struct reading r = {.groups = json_array(), .lines = BUF_INIT(EXAMPLE_MAX)};
    size_t i = 0;

    for (const char *at = page.s, *end = page.s + page.len; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop ? stop : end) - at);
        read_line(&r, (struct text){at, len});
        at += len + 1;
    }
    while (i < json_array_size(r.groups)) {
        if (json_array_size(json_object_get(json_array_get(r.groups, i), "endpoints")))
            i++;
        else
            json_array_remove(r.groups, i);
    }
    buf_free(&r.lines);
    return r.groups;
}

void h_page_docs(struct call *calls[], size_t n)
{
#define TEXT(id, name, hash, path)                                                                 \
    {                                                                                              \
        page_##id, (size_t)(page_##id##_end - page_##id)                                           \
    }
    const struct text page = API_PAGE(TEXT);
    static json_t *groups; /* for as long as the process runs */

    (void)n;
    if (!groups)
        groups = read_page(page);
    page_reply(calls[0], 200, json_pack("{s:s, s:O}", "title", "API", "groups", groups));
}
