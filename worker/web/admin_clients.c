/* Clients: the list, one of them, a new one, its secret, its end. */
#include "common/clock.h"
#include "common/op.h"
#include "common/random.h"
#include "worker/auth/bcrypt.h"
#include "worker/auth/security_log.h"
#include "worker/clients/document.h"
#include "worker/clients/roles.h"
#include "worker/encoding/json_string.h"
#include "worker/request/form.h"
#include "worker/web/act.h"
#include "worker/web/admin.h"
#include "worker/web/page.h"
#include "worker/web/rows.h"
#include "worker/web/values.h"
#include "worker/web/visitor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

handler_fn h_page_clients, h_page_client, h_page_client_delete, h_web_client, h_web_client_delete;
handler_fn h_client_put, h_client_delete;

#define SHOWN_MAX   200 /* rows of a page */
#define TEXT_MAX    MIB /* of permissions as text */
#define SECRET_LEN  24  /* random bytes of a secret that is made here */
#define NUMBER_SIZE 24

static const char *const numbers[] = {"max_priority", "max_reservation_time"};
static const char *const number_labels[] = {
    "Highest priority by queue: lines of a queue, or * for all, a blank and a number",
    "Longest reservation by queue, in seconds: lines of the same form"};

/* ---- permissions as text ---- */

/* {NAME: NUMBER} as "NAME NUMBER", or a list of names, with `between` between two of them. Null: it
 * is too long, or not all of it can be said so: a number is no whole one, a name has a line end. */
static json_t *text_of(const json_t *value, const char *between)
{
    struct buf b = BUF_INIT(TEXT_MAX);
    enum err e = ERR_OK;
    const char *name;
    json_t *member, *text;
    size_t i;

    json_object_foreach ((json_t *)(uintptr_t)value, name, member)
        if (!e)
            e = !json_is_integer(member) || strchr(name, '\n')
                    ? ERR_INVALID
                    : buf_printf(&b, "%s%s %lld", b.len ? between : "", name,
                                 (long long)json_integer_value(member));
    json_array_foreach (value, i, member)
        if (!e && json_is_string(member))
            e = buf_printf(&b, "%s%s", b.len ? between : "", json_string_value(member));
    text = e ? json_null() : page_text((struct text){b.len ? b.data : "", b.len});
    buf_free(&b);
    return text;
}

/* Lines of "NAME NUMBER" as {NAME: NUMBER}; names may hold blanks. NULL: some are none. */
static json_t *numbers_of(struct text t)
{
    json_t *all = json_object();

    while (t.len) {
        const char *end = memchr(t.s, '\n', t.len);
        struct text line = {t.s, end ? (size_t)(end - t.s) : t.len};
        const char *blank = line.len ? memrchr(line.s, ' ', line.len) : NULL;
        char digits[NUMBER_SIZE] = "", *rest = digits;
        size_t len = blank ? (size_t)(line.s + line.len - blank - 1) : 0;

        t.s += line.len + (end != NULL);
        t.len -= line.len + (end != NULL);
        if (!text_trim(line, " ").len)
            continue;
        errno = 0;
        memcpy(digits, blank ? blank + 1 : "", len < sizeof digits ? len : 0);
        long long number = strtoll(digits, &rest, 10);
        if (rest == digits || *rest || errno) {
            json_decref(all);
            return NULL;
        }
        json_object_setn_new(all, line.s, (size_t)(blank - line.s), json_integer(number));
    }
    return all;
}

/* ---- the list ---- */

static json_t *row_of(const json_t *client)
{
    json_t *row = client_shown(client);

    json_object_set_new(row, "queues", text_of(json_object_get(client, "allowed_queues"), ", "));
    for (int i = 0; i < 2; i++)
        json_object_set_new(row, numbers[i], text_of(json_object_get(client, numbers[i]), ", "));
    return row;
}

/* The roles that the visitor may give; ends with NULL. */
static const char *const *roles_of(const struct call *c)
{
    static const char *roles[8];
    size_t n = 0;

    for (const char *const *name = role_names; *name; name++)
        if (!role_is_lower(c->caller.role, role_of_name(*name)))
            roles[n++] = *name;
    roles[n] = NULL;
    return roles;
}

/* The fields of a client; NULL: a new one. */
static json_t *fields_of(const struct call *c, const json_t *client)
{
    unsigned role = client ? role_of(client) : ROLE_CONTRIBUTOR;
    json_t *all = json_array();

    json_array_append_new(all,
                          client ? admin_field(INPUT_HIDDEN, "client_id", "",
                                               page_value(json_object_get(client, "client_id")))
                                 : admin_field(INPUT_TEXT, "client_id", "Client id", json_null()));
    if (!client)
        json_array_append_new(all, admin_field(INPUT_HIDDEN, "new", "", json_string("1")));
    if (role) /* one that this release does not know stays as it is */
        json_array_append_new(all, admin_choice("role", "Role", roles_of(c), role_name(role)));
    if (client && role)
        json_array_append_new(
            all, admin_field(INPUT_HIDDEN, "was_role", "", json_string(role_name(role))));
    for (int i = 0; i < 2; i++) {
        json_t *text = text_of(json_object_get(client, numbers[i]), "\n");
        if (!json_is_null(text)) /* else it stays as it is */
            json_array_append_new(all,
                                  admin_field(INPUT_LINES, numbers[i], number_labels[i], text));
    }
    if (client && !json_is_string(json_object_get(client, "sub")))
        json_array_append_new(all,
                              admin_field(INPUT_BOX, "secret",
                                          "Make a new secret; its sessions and refresh tokens end",
                                          json_null()));
    return all;
}

void h_page_clients(struct call *calls[], size_t n)
{
    static const struct admin_column columns[] = {
        {"Client", "client_id", ADMIN_LINK, "/admin/clients/"},
        {"Role", "role", ADMIN_TEXT, NULL},
        {"Restricted queues", "queues", ADMIN_TEXT, NULL},
        {"Priorities", "max_priority", ADMIN_TEXT, NULL},
        {"Reservations", "max_reservation_time", ADMIN_TEXT, NULL},
        {"E-mail", "email", ADMIN_TEXT, NULL},
        {0}};
    static const char *const searched[] = {"client_id", "role", "queues", "email", NULL};
    static const struct rows_sort sorts[] = {{"client", "client_id", NULL}, {0}};
    static const struct admin_filter filter = {"search", "Search"};
    struct call *c = calls[0];
    json_t *clients = NULL, *all = json_array(), *client;
    struct rows rows;
    size_t i;
    enum err e = store_clients_list(c->store, &clients);

    (void)n;
    json_array_foreach (clients, i, client)
        json_array_append_new(all, row_of(client));
    if (e) {
        reply_err(c, e);
    } else if (rows_choose(c, all, searched, sorts, SHOWN_MAX, &rows)) {
        json_t *table = admin_table("Clients and their permissions", "No client fits.", columns,
                                    rows.shown, json_incref(rows.next));
        json_t *form = admin_form("New client", json_string("/admin/clients"), fields_of(c, NULL),
                                  "Make the client and its secret", false);
        admin_reply(c, "Clients",
                    json_pack("{s:o, s:[o], s:[o]}", "filters", admin_filters(c, &filter, 1),
                              "tables", table, "forms", form));
        rows_free(&rows);
    }
    json_decref(all);
    json_decref(clients);
}

/* ---- a client ---- */

/* The client of this id, new reference; NULL: answered. */
static json_t *client_of(struct call *c, struct text id)
{
    json_t *client = NULL;
    enum err e = store_client_get(c->store, id, &client);

    if (e == ERR_NOT_FOUND)
        page_not_found(c, "Client", id);
    else if (e)
        reply_err(c, e);
    return e ? NULL : client;
}

static json_t *links_of(const struct call *c, struct text id)
{
    json_t *all = json_array();

    if (visitor_may(c, OP_PAGE_TOKENS))
        json_array_append_new(
            all, admin_link("Tokens", page_url("/admin/tokens?client_id=", id, ""), false));
    if (visitor_may(c, OP_WEB_CLIENT_DELETE))
        json_array_append_new(
            all, admin_link("Remove", page_url("/admin/clients/", id, "/delete"), true));
    return all;
}

/* `secret`: the one that was made just now; taken, NULL: none. */
static void show(struct call *c, struct text id, const json_t *client, json_t *secret)
{
    bool ours = text_is(id, SYSTEM_ADMIN) || role_is_lower(c->caller.role, role_of(client));
    json_t *parts = json_pack("{s:o*}", "secret", secret);

    if (ours)
        json_object_set_new(parts, "notes",
                            json_pack("[{s:s, s:n}]", "text",
                                      "You may not change this client by a page.", "subject"));
    else
        json_object_set_new(parts, "forms",
                            json_pack("[o]", admin_form("Change", json_string("/admin/clients"),
                                                        fields_of(c, client), "Save", false)));
    if (!ours)
        json_object_set_new(parts, "links", links_of(c, id));
    static const struct admin_column columns[] = {{"Client", "client_id", ADMIN_TEXT, NULL},
                                                  {"Role", "role", ADMIN_TEXT, NULL},
                                                  {"Restricted queues", "queues", ADMIN_TEXT, NULL},
                                                  {"E-mail", "email", ADMIN_TEXT, NULL},
                                                  {0}};
    json_t *rows = json_pack("[o]", row_of(client));
    json_object_set_new(parts, "tables",
                        json_pack("[o]", admin_table("The client", "", columns, rows, NULL)));
    json_decref(rows);
    admin_reply(c, "Client", parts);
}

void h_page_client(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *client = client_of(c, c->request->params[0]);

    (void)n;
    if (client)
        show(c, c->request->params[0], client, NULL);
    json_decref(client);
}

/* ---- changes ---- */

/* The change that the form asks for; NULL: answered. */
static json_t *change_of(struct call *c)
{
    json_t *body = act_field(c, "role");

    for (int i = 0; i < 2; i++) {
        struct text lines = form_text(c, numbers[i]);
        json_t *value = lines.s ? numbers_of(lines) : NULL;
        if (value) {
            json_object_set_new(body, numbers[i], value);
        } else if (lines.s) {
            reply_invalid(c, json_pack("{s:[s]}", numbers[i],
                                       "Each line is a name, a blank and a whole number."));
            json_decref(body);
            return NULL;
        }
    }
    return body;
}

/* Whether the form gives a role in place of another one than the client has by now. */
static bool role_has_changed(const struct call *c, const json_t *client)
{
    struct text was = form_text(c, "was_role");

    return was.len && form_text(c, "role").len && !text_is(was, role_name(role_of(client)));
}

/* Whether there is the client, as the form shows it, or not where it is to be a new one. False:
 * answered. */
static bool is_as_expected(struct call *c, struct text id, bool new)
{
    json_t *client = NULL;
    enum err e = store_client_get(c->store, id, &client);

    bool changed = !e && role_has_changed(c, client);
    json_decref(client);
    if (e && e != ERR_NOT_FOUND)
        reply_err(c, e);
    else if (!e && new)
        reply_error(c, 409,
                    "There is a client of this id already; if you have just made it, make a new "
                    "secret on its page");
    else if (e && !new)
        page_not_found(c, "Client", id);
    else if (changed)
        reply_error(c, 409,
                    "The client got another role meanwhile; load its page again before you save");
    else
        return true;
    return false;
}

/* Shows a secret once: this answer is kept by nobody (ROUTE_NO_STORE), and only the hash by us.
 * Where another run of the request was faster, its secret is the client's, and nobody has seen it.
 */
static void show_secret(struct call *c, struct text id, const char *secret)
{
    json_t *client = client_of(c, id);

    if (!client)
        return;
    if (bcrypt_check(json_string_value(json_object_get(client, CLIENT_HASH)),
                     (struct text){secret, strlen(secret)}, (int)c->cfg->bcrypt_rounds,
                     clock_mono_ms()))
        show(c, id, client, json_pack("{s:o, s:s}", "client_id", page_text(id), "text", secret));
    else
        page_see_other(c, page_url("/admin/clients/", id, "?done=unseen"));
    json_decref(client);
}

static void put(struct call *c, struct text id, bool with_secret)
{
    unsigned char bytes[SECRET_LEN];
    char secret[2 * SECRET_LEN + 1];
    json_t *body = change_of(c);

    if (!body)
        return;
    random_fill(bytes, sizeof bytes);
    hex_print(bytes, sizeof bytes, secret);
    if (with_secret)
        json_object_set_new(body, "client_secret", json_string(secret));
    const struct act act = {
        .op = OP_CLIENT_PUT, .handler = h_client_put, .body = body, .parameter = id};
    if (!act_run(c, &act))
        return;
    if (with_secret)
        show_secret(c, id, secret);
    else
        page_see_other(c, page_url("/admin/clients/", id, "?done=saved"));
}

void h_web_client(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    bool new = form_has(c, "new"), with_secret = new || form_has(c, "secret");
    char action[AUDIT_ACTION_SIZE];
    struct text id;

    (void)n;
    if (!admin_given(c, "client_id", &id))
        return;
    enum err e = audit_find(c, action);
    if (e == ERR_NOT_FOUND && is_as_expected(c, id, new))
        put(c, id, with_secret);
    else if (!e) /* carried out before; a secret that was made then is unknown */
        page_see_other(
            c, page_url("/admin/clients/", id, with_secret ? "?done=unseen" : "?done=saved"));
}

void h_page_client_delete(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text id = c->request->params[0];
    json_t *client = client_of(c, id);

    (void)n;
    if (client)
        admin_ask(c, "Remove a client", "Its sessions and refresh tokens end. Remove the client",
                  id,
                  admin_form(NULL, page_url("/admin/clients/", id, "/delete"), json_array(),
                             "Remove the client", true),
                  page_url("/admin/clients/", id, ""));
    json_decref(client);
}

void h_web_client_delete(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    const struct act act = {.op = OP_CLIENT_DELETE, .handler = h_client_delete};

    (void)n;
    if (act_run(c, &act))
        page_see_other(c, json_string("/admin/clients?done=removed"));
}
