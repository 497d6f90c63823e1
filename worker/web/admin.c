#include "worker/web/admin.h"

#include "common/op.h"
#include "worker/encoding/json_string.h"
#include "worker/http/query.h"
#include "worker/request/form.h"
#include "worker/web/page.h"
#include "worker/web/values.h"
#include "worker/web/visitor.h"

#include <string.h>

/* ---- tables ---- */

static json_t *cell_of(const struct admin_column *column, const json_t *row)
{
    const json_t *value = json_object_get(row, column->key);
    struct text text = json_string_text(value);

    return json_pack("{s:s, s:o, s:o, s:o}", "label", column->label, "text",
                     column->kind == ADMIN_DATE ? json_null() : page_short(value, CELL_MAX), "time",
                     column->kind == ADMIN_DATE ? page_date(value) : json_null(), "url",
                     column->kind == ADMIN_LINK && text.len ? page_url(column->before, text, "")
                                                            : json_null());
}

/* `acts`: some rows of the table have something behind their cells. */
static json_t *row_of(const struct admin_column *columns, const json_t *row, bool acts)
{
    json_t *cells = json_array(), *act = json_object_get(row, "act");

    for (; columns->label; columns++)
        json_array_append_new(cells, cell_of(columns, row));
    return json_pack("{s:o, s:b, s:O}", "cells", cells, "has_act", acts, "act",
                     act ? act : json_null());
}

json_t *admin_table(const char *caption, const char *empty, const struct admin_column *columns,
                    const json_t *rows, json_t *next)
{
    json_t *heads = json_array(), *shown = json_array(), *row;
    bool acts = false;
    size_t i;

    for (const struct admin_column *column = columns; column->label; column++)
        json_array_append_new(heads, json_string(column->label));
    json_array_foreach (rows, i, row)
        acts = acts || json_is_object(json_object_get(row, "act"));
    json_array_foreach (rows, i, row)
        json_array_append_new(shown, row_of(columns, row, acts));
    return json_pack("{s:s, s:s, s:o, s:b, s:b, s:o, s:o}", "caption", caption, "empty", empty,
                     "columns", heads, "has_acts", acts, "has_rows", json_array_size(shown) > 0,
                     "rows", shown, "next", next ? next : json_null());
}

/* ---- forms ---- */

static json_t *field_of(const char *name, const char *label, json_t *value, json_t *options)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:b, s:b, s:b, s:b, s:b}", "name", name, "label", label,
                     "value", value, "options", options, "is_hidden", false, "is_text", false,
                     "is_lines", false, "is_box", false, "is_choice", false);
}

json_t *admin_field(enum admin_input kind, const char *name, const char *label, json_t *value)
{
    static const char *const kinds[] = {"is_hidden", "is_text", "is_lines", "is_box"};
    json_t *field = field_of(name, label, value, json_array());

    json_object_set_new(field, kinds[kind], json_true());
    return field;
}

json_t *admin_choice(const char *name, const char *label, const char *const *texts,
                     const char *chosen)
{
    json_t *options = json_array();

    for (; *texts; texts++)
        json_array_append_new(options, json_pack("{s:s, s:b}", "text", *texts, "chosen",
                                                 chosen && strcmp(chosen, *texts) == 0));
    json_t *field = field_of(name, label, json_null(), options);
    json_object_set_new(field, "is_choice", json_true());
    return field;
}

json_t *admin_form(const char *title, json_t *url, json_t *fields, const char *button, bool danger)
{
    return json_pack("{s:s?, s:o, s:o, s:s, s:b}", "title", title, "url", url, "fields", fields,
                     "button", button, "danger", danger);
}

json_t *admin_button(const char *text, json_t *url, json_t *fields)
{
    return json_pack("{s:s, s:o, s:b, s:b, s:o}", "text", text, "url", url, "is_form", true, "asks",
                     false, "fields", fields);
}

json_t *admin_link(const char *text, json_t *url, bool asks)
{
    return json_pack("{s:s, s:o, s:b, s:b, s:[]}", "text", text, "url", url, "is_form", false,
                     "asks", asks, "fields");
}

json_t *admin_filters(const struct call *c, const struct admin_filter *filters, size_t n)
{
    json_t *fields = json_array();

    for (size_t i = 0; i < n; i++) {
        struct text value = {NULL, 0};
        query_first(c->request, filters[i].name, &value);
        json_array_append_new(fields, json_pack("{s:s, s:s, s:o}", "name", filters[i].name, "label",
                                                filters[i].label, "value", page_text(value)));
    }
    return json_pack("{s:s, s:o}", "url", route_path(c->route), "fields", fields);
}

/* ---- pages ---- */

/* The pages that the visitor may see; the present one is marked. */
static json_t *sections_of(const struct call *c)
{
    static const struct {
        unsigned op;
        const char *text;
    } all[] = {{OP_PAGE_CLIENTS, "Clients"}, {OP_PAGE_RESTRICTED, "Restricted queues"},
               {OP_PAGE_TOKENS, "Tokens"},   {OP_PAGE_LETTERS, "Dead letters"},
               {OP_PAGE_AUDIT, "Audit"},     {OP_PAGE_STATUS, "Status"}};
    const char *path = route_path(c->route);
    json_t *sections = json_array();

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const char *url = route_path(route_of(all[i].op));
        if (visitor_may(c, all[i].op))
            json_array_append_new(sections,
                                  json_pack("{s:s, s:s, s:b}", "url", url, "text", all[i].text,
                                            "current", strncmp(path, url, strlen(url)) == 0));
    }
    return sections;
}

void admin_reply(struct call *c, const char *title, json_t *parts)
{
    json_t *others =
        json_pack("{s:s, s:n, s:[], s:[], s:n, s:[], s:[], s:n, s:n}", "title", title, "sections",
                  "tables", "forms", "filters", "notes", "links", "secret", "back");

    if (!json_object_get(parts, "back"))
        json_object_set_new(others, "sections", json_pack("{s:o}", "all", sections_of(c)));
    json_object_update_missing(parts, others);
    json_decref(others);
    page_reply(c, 200, parts);
}

void admin_ask(struct call *c, const char *title, const char *text, struct text subject,
               json_t *form, json_t *back)
{
    admin_reply(c, title,
                json_pack("{s:[{s:s, s:o}], s:[o], s:o}", "notes", "text", text, "subject",
                          page_text(subject), "forms", form, "back", back));
}

bool admin_given(struct call *c, const char *name, struct text *ret)
{
    *ret = form_text(c, name);
    if (!ret->len)
        reply_invalid(c, json_pack("{s:[s]}", name, "Missing data for required field."));
    return ret->len > 0;
}
