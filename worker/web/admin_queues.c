/* Restricted queues and the clients that may submit to them. */
#include "common/op.h"
#include "worker/encoding/json_string.h"
#include "worker/web/act.h"
#include "worker/web/admin.h"
#include "worker/web/page.h"
#include "worker/web/rows.h"
#include "worker/web/values.h"

handler_fn h_page_restricted, h_web_restrict, h_web_unrestrict;
handler_fn h_restricted_add, h_restricted_delete;

#define SHOWN_MAX 200 /* rows of a page */

/* Rows of one queue and one owner each. */
static json_t *rows_of(const json_t *queues)
{
    json_t *all = json_array(), *queue, *owner;
    size_t i, k;

    json_array_foreach (queues, i, queue) {
        json_t *name = json_object_get(queue, "queue"), *owners = json_object_get(queue, "owners");
        if (!json_array_size(owners))
            json_array_append_new(
                all, json_pack("{s:O, s:s, s:n}", "queue", name, "client_id", "", "act"));
        json_array_foreach (owners, k, owner)
            json_array_append_new(
                all, json_pack("{s:O, s:O, s:o}", "queue", name, "client_id", owner, "act",
                               admin_button("Remove", json_string("/admin/queues/remove"),
                                            json_pack("[{s:s, s:O}, {s:s, s:O}]", "name", "queue",
                                                      "value", name, "name", "client_id", "value",
                                                      owner))));
    }
    return all;
}

void h_page_restricted(struct call *calls[], size_t n)
{
    static const struct admin_column columns[] = {
        {"Queue", "queue", ADMIN_LINK, "/queues/"},
        {"Client", "client_id", ADMIN_LINK, "/admin/clients/"},
        {0}};
    static const char *const searched[] = {"queue", "client_id", NULL};
    static const struct rows_sort sorts[] = {{"queue", "queue", NULL}, {0}};
    static const struct admin_filter filter = {"search", "Search"};
    struct call *c = calls[0];
    json_t *queues = NULL;
    struct rows rows;
    enum err e = store_restricted_list(c->store, (struct text){NULL, 0}, &queues);
    json_t *all = rows_of(queues);

    (void)n;
    if (e) {
        reply_err(c, e);
    } else if (rows_choose(c, all, searched, sorts, SHOWN_MAX, &rows)) {
        json_t *fields = json_pack("[o, o]", admin_field(INPUT_TEXT, "queue", "Queue", json_null()),
                                   admin_field(INPUT_TEXT, "client_id", "Client id", json_null()));
        admin_reply(
            c, "Restricted queues",
            json_pack("{s:o, s:[{s:s, s:n}], s:[o], s:[o]}", "filters",
                      admin_filters(c, &filter, 1), "notes", "text",
                      "Only the clients named here may submit to these queues. With its last "
                      "client the restriction of a queue ends.",
                      "subject", "tables",
                      admin_table("Restricted queues by client", "No restricted queue fits.",
                                  columns, rows.shown, json_incref(rows.next)),
                      "forms",
                      admin_form("Restrict a queue, or allow another client on it",
                                 json_string("/admin/queues"), fields, "Allow", false)));
        rows_free(&rows);
    }
    json_decref(all);
    json_decref(queues);
}

static void act(struct call *c, unsigned op, handler_fn *handler, const char *done)
{
    struct text queue, client_id;

    if (!admin_given(c, "queue", &queue) || !admin_given(c, "client_id", &client_id))
        return;
    const struct act act = {.op = op,
                            .handler = handler,
                            .body = json_pack("{s:o}", "client_id", page_text(client_id)),
                            .parameter = queue};
    if (act_run(c, &act))
        page_see_other(c, json_string(done));
}

void h_web_restrict(struct call *calls[], size_t n)
{
    (void)n;
    act(calls[0], OP_RESTRICTED_ADD, h_restricted_add, "/admin/queues?done=allowed");
}

void h_web_unrestrict(struct call *calls[], size_t n)
{
    (void)n;
    act(calls[0], OP_RESTRICTED_DELETE, h_restricted_delete, "/admin/queues?done=disallowed");
}
