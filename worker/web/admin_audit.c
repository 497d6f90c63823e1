/* The audit trail, newest first. */
#include "worker/encoding/json_string.h"
#include "worker/http/query.h"
#include "worker/web/admin.h"
#include "worker/web/rows.h"

#include <stdio.h>

handler_fn h_page_audit;

#define SHOWN_MAX 100 /* rows of a page */

/* A filter; s NULL where its field is empty. */
static struct text filter_of(const struct call *c, const char *name)
{
    struct text t = {NULL, 0};

    query_first(c->request, name, &t);
    return t.len ? t : (struct text){NULL, 0};
}

void h_page_audit(struct call *calls[], size_t n)
{
    static const struct admin_column columns[] = {
        {"Time", "at", ADMIN_DATE, NULL},         {"Who", "actor", ADMIN_TEXT, NULL},
        {"Role", "role", ADMIN_TEXT, NULL},       {"Action", "action", ADMIN_TEXT, NULL},
        {"Target", "target", ADMIN_TEXT, NULL},   {"Detail", "detail", ADMIN_TEXT, NULL},
        {"Address", "address", ADMIN_TEXT, NULL}, {0}};
    static const struct admin_filter filters[] = {
        {"actor", "Who"}, {"action", "Action"}, {"target", "Target"}};
    struct call *c = calls[0];
    char before[AUDIT_ID_SIZE];
    struct text id = filter_of(c, "before");
    bool cut = false;
    struct audit_query query = {.actor = filter_of(c, "actor"),
                                .target = filter_of(c, "target"),
                                .action = filter_of(c, "action"),
                                .limit = SHOWN_MAX,
                                .cut = &cut};
    json_t *entries = NULL;

    (void)n;
    if (id.s && id.len < sizeof before) {
        snprintf(before, sizeof before, "%.*s", (int)id.len, id.s);
        query.before = before;
    }
    enum err e = store_audit_list(c->store, &query, &entries);
    if (e) {
        reply_err(c, e);
        return;
    }
    size_t len = json_array_size(entries);
    const char *last = json_string_value(json_object_get(json_array_get(entries, len - 1), "id"));
    bool more = last && (cut || len == SHOWN_MAX);
    admin_reply(c, "Audit",
                json_pack("{s:o, s:[o]}", "filters", admin_filters(c, filters, 3), "tables",
                          admin_table("Who did what, newest first", "No entry fits.", columns,
                                      entries, more ? rows_url(c, "before", last) : NULL)));
    json_decref(entries);
}
