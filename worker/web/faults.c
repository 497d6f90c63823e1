#include "worker/web/faults.h"

#include "worker/encoding/json_string.h"
#include "worker/web/values.h"

#include <string.h>

static json_t *fault(size_t line, size_t column, json_t *path, json_t *text)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:n}", "line",
                     line ? json_integer((json_int_t)line) : json_null(), "column",
                     column ? json_integer((json_int_t)column) : json_null(), "path", path, "text",
                     text, "source");
}

json_t *faults_one(size_t line, size_t column, const char *text)
{
    return json_pack(
        "[o]", fault(line, column, json_null(), page_text((struct text){text, strlen(text)})));
}

/* A walk through the faults of a body: objects of names down to lists of texts. */
struct walk {
    const struct yaml_in *lines;
    struct text path[YAML_DEPTH_MAX];
    json_t *list;
};

/* The path as people write it: "test_data.attachments.0"; null: the body itself. */
static json_t *path_text(const struct walk *w, size_t depth)
{
    struct buf out = BUF_INIT(CELL_MAX * 4);

    for (size_t i = 0; i < depth; i++)
        if ((i && buf_add(&out, ".", 1)) ||
            buf_add(&out, w->path[i].len ? w->path[i].s : "", w->path[i].len))
            break;
    json_t *text =
        depth ? page_text((struct text){out.data ? out.data : "", out.len}) : json_null();
    buf_free(&out);
    return text;
}

static void add(struct walk *w, const json_t *value, size_t depth)
{
    const char *name;
    size_t len, i;
    json_t *member;

    json_object_keylen_foreach((json_t *)(uintptr_t)value, name, len, member)
    {
        bool own = strcmp(name, "_schema") == 0; /* a fault of the object itself */
        if (depth == YAML_DEPTH_MAX)
            break;
        w->path[depth] = (struct text){name, len};
        add(w, member, depth + !own);
    }
    json_array_foreach (value, i, member)
        if (json_array_size(w->list) < FAULTS_MAX)
            json_array_append_new(w->list, fault(yaml_in_line(w->lines, w->path, depth), 0,
                                                 path_text(w, depth), page_value(member)));
}

json_t *faults_of_answer(const struct call *c, const struct yaml_in *lines)
{
    struct walk w = {.lines = lines, .list = json_array()};
    json_t *body = json_loadb(c->reply.body.s, c->reply.body.len, JSON_ALLOW_NUL, NULL);
    const json_t *message = json_object_get(body, "message");

    add(&w, json_object_get(json_object_get(body, "detail"), "json"), 0);
    if (json_array_size(w.list) == 0)
        json_array_append_new(w.list, fault(0, 0, json_null(), page_value(message)));
    json_decref(body);
    return w.list;
}

/* Moves *t behind its first line, which is returned. */
static struct text next_line(struct text *t)
{
    const char *end = t->len ? memchr(t->s, '\n', t->len) : NULL;
    struct text line = {t->s, end ? (size_t)(end - t->s) : t->len};
    size_t len = line.len + (end != NULL);

    *t = (struct text){t->s + len, t->len - len};
    return line;
}

void faults_quote(json_t *faults, struct text text)
{
    json_t *one;
    size_t i;

    json_array_foreach (faults, i, one) {
        json_int_t n = json_integer_value(json_object_get(one, "line"));
        struct text rest = text, line = {"", 0};
        for (json_int_t at = 0; at < n && rest.len; at++)
            line = next_line(&rest);
        json_t *source = page_text(line);
        if (n)
            json_object_set_new(one, "source", page_short(source, CELL_MAX));
        json_decref(source);
    }
}
