/* The audit trail. */
#include "worker/encoding/json_string.h"
#include "worker/http/listing.h"
#include "worker/request/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

handler_fn h_audit_list;

#define LIMIT_DEFAULT 100
#define LIMIT_MAX     1000

/* The first value of a query parameter; s NULL: not sent. */
static struct text parameter(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->query_len; i++)
        if (r->query[i].name.len == strlen(name) &&
            memcmp(r->query[i].name.s, name, strlen(name)) == 0)
            return r->query[i].value;
    return (struct text){0};
}

static bool limit_of(struct text t, int *ret)
{
    int n = 0;

    *ret = LIMIT_DEFAULT;
    if (!t.s)
        return true;
    if (!t.len || t.len > 4)
        return false;
    for (size_t i = 0; i < t.len; i++) {
        if (t.s[i] < '0' || t.s[i] > '9')
            return false;
        n = n * 10 + t.s[i] - '0';
    }
    *ret = n;
    return n >= 1 && n <= LIMIT_MAX;
}

void h_audit_list(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    char before[AUDIT_ID_SIZE] = "";
    struct text id = parameter(c->request, "before");
    struct audit_query query = {.actor = parameter(c->request, "actor"),
                                .target = parameter(c->request, "target"),
                                .action = parameter(c->request, "action")};
    bool cut = false;
    json_t *entries = NULL, *entry;
    struct listing list;
    size_t i;

    (void)n;
    if (!limit_of(parameter(c->request, "limit"), &query.limit)) {
        reply_json(c, 422,
                   json_pack("{s:{s:{s:[s]}}, s:s}", "detail", "query", "limit",
                             "Must be a whole number from 1 to 1000.", "message",
                             "Validation error"));
        return;
    }
    if (id.s && id.len < sizeof before) {
        memcpy(before, id.s, id.len);
        query.before = before;
    }
    query.cut = &cut;
    enum err e = store_audit_list(c->store, &query, &entries);
    if (e) {
        reply_err(c, e);
        return;
    }
    listing_init(&list, c, query.limit);
    json_array_foreach (entries, i, entry) {
        const json_t *entry_id = json_object_get(entry, "id");
        struct text name = json_string_text(entry_id);
        if (!listing_take(&list, name, json_incref(entry)))
            break;
    }
    cut = cut && i < (size_t)query.limit;
    json_decref(entries);
    if ((list.more || cut) && list.last) { /* limit of an answer */
        char link[AUDIT_ID_SIZE + 32];
        snprintf(link, sizeof link, "<?before=%s>; rel=\"next\"", list.last);
        reply_header(c, "Link", link);
    }
    listing_reply(&list, "");
}
