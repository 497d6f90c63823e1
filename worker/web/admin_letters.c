/* Dead letters: events of webhooks that were given up, and another chance for one or many. */
#include "common/op.h"
#include "worker/auth/security_log.h"
#include "worker/encoding/json_string.h"
#include "worker/events/dead_letter_view.h"
#include "worker/http/query.h"
#include "worker/request/form.h"
#include "worker/web/act.h"
#include "worker/web/admin.h"
#include "worker/web/page.h"
#include "worker/web/rows.h"
#include "worker/web/values.h"

#include <stdio.h>
#include <string.h>

handler_fn h_page_letters, h_page_letters_resend, h_web_letters, h_webhooks_resend;

#define SHOWN_MAX  100   /* rows of a page */
#define RESEND_MAX 500   /* events that one form sends again */
#define LOOKED_MAX 10000 /* letters that it looks at */

/* Whether a letter is for a receiver that has this text in its address; an empty text: any. */
static bool is_for(const json_t *letter, struct text receiver)
{
    struct text of = json_string_text(json_object_get(letter, "receiver"));

    return !receiver.len || (of.s && memmem(of.s, of.len, receiver.s, receiver.len));
}

static const char *id_of(const json_t *letter)
{
    const char *id = json_string_value(json_object_get(letter, "id"));

    return id ? id : "";
}

/* ---- the list ---- */

/* The letters of a page that are shown. `last` gets the id of the last one that was looked at, ""
 * where there are no others. */
static json_t *choose(json_t *letters, struct text receiver, size_t limit,
                      char last[LIST_CURSOR_SIZE])
{
    json_t *rows = json_array(), *letter;
    size_t i;

    json_array_foreach (letters, i, letter) {
        if (json_array_size(rows) == SHOWN_MAX)
            break;
        snprintf(last, LIST_CURSOR_SIZE, "%s", id_of(letter));
        if (!is_for(letter, receiver))
            continue;
        json_object_set_new(letter, "act",
                            admin_button("Resend", json_string("/admin/dead-letters"),
                                         json_pack("[{s:s, s:O}]", "name", "event_id", "value",
                                                   json_object_get(letter, "id"))));
        json_array_append(rows, letter);
    }
    if (i == json_array_size(letters) && i < limit)
        *last = '\0';
    return rows;
}

static void show(struct call *c, json_t *letters, struct text receiver)
{
    static const struct admin_column columns[] = {{"Job", "job_id", ADMIN_LINK, "/jobs/"},
                                                  {"Address", "url", ADMIN_TEXT, NULL},
                                                  {"Reason", "reason", ADMIN_TEXT, NULL},
                                                  {"Status", "status", ADMIN_TEXT, NULL},
                                                  {"Answer", "answer", ADMIN_TEXT, NULL},
                                                  {"Tries", "tries", ADMIN_TEXT, NULL},
                                                  {"Came", "created_at", ADMIN_DATE, NULL},
                                                  {"Given up", "dead_at", ADMIN_DATE, NULL},
                                                  {0}};
    static const struct admin_filter filter = {"receiver", "Receiver"};
    char last[LIST_CURSOR_SIZE] = "";
    json_t *rows = choose(letters, receiver, OUTBOX_PAGE_MAX, last), *links = json_array();

    if (json_array_size(rows))
        json_array_append_new(
            links,
            admin_link("Resend all of them",
                       page_url("/admin/dead-letters/resend?receiver=", receiver, ""), true));
    admin_reply(c, "Dead letters",
                json_pack("{s:o, s:[o], s:o}", "filters", admin_filters(c, &filter, 1), "tables",
                          admin_table("Events that were given up, oldest first",
                                      "No event of such a receiver was given up.", columns, rows,
                                      *last ? rows_url(c, "cursor", last) : NULL),
                          "links", links));
    json_decref(rows);
}

static struct text receiver_of(const struct call *c)
{
    struct text receiver = {"", 0};

    query_first(c->request, "receiver", &receiver);
    return receiver;
}

void h_page_letters(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    char cursor[LIST_CURSOR_SIZE];
    struct list_page page;
    json_t *letters = NULL;

    (void)n;
    if (!query_page(c, &page, cursor))
        return;
    const struct outbox_page wanted = {.after = page.after, .limit = OUTBOX_PAGE_MAX};
    enum err e = store_outbox_dead(c->store, &wanted, &letters);
    if (e == ERR_NOT_FOUND) {
        query_bad_cursor(c);
    } else if (e) {
        reply_err(c, e);
    } else {
        dead_letter_view_fill(letters);
        show(c, letters, receiver_of(c));
    }
    json_decref(letters);
}

/* ---- another chance ---- */

void h_page_letters_resend(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text receiver = receiver_of(c);
    json_t *fields = json_pack("[o, o]", admin_field(INPUT_HIDDEN, "all", "", json_string("1")),
                               admin_field(INPUT_HIDDEN, "receiver", "", page_text(receiver)));

    (void)n;
    admin_ask(c, "Resend dead letters",
              receiver.len ? "The oldest 500 events, at most, are sent again, of receivers like"
                           : "The oldest 500 events, at most, are sent again, of all receivers.",
              receiver,
              admin_form(NULL, json_string("/admin/dead-letters"), fields, "Resend", true),
              page_url("/admin/dead-letters?receiver=", receiver, ""));
}

/* Revives letters of a page that died before `start_ms`. `after` gets the last one that stays:
 * letters that are revived leave the list. */
static enum err resend_page(struct call *c, const json_t *letters, struct text receiver,
                            int64_t start_ms, char after[REQUEST_ID_SIZE], size_t *count)
{
    json_t *letter;
    size_t i;

    json_array_foreach (letters, i, letter) {
        bool old = json_integer_value(json_object_get(letter, "dead_ms")) < start_ms;
        if (*count == RESEND_MAX)
            break;
        if (!old || !is_for(letter, receiver)) {
            snprintf(after, REQUEST_ID_SIZE, "%s", id_of(letter));
            continue;
        }
        enum err e = store_outbox_resend(c->store, id_of(letter), start_ms);
        if (e && e != ERR_NOT_FOUND) /* another process has revived it */
            return e;
        *count += !e;
    }
    return ERR_OK;
}

static enum err resend(struct call *c, struct text receiver, size_t *count)
{
    int64_t start_ms = store_now_ms(c->store);
    char after[REQUEST_ID_SIZE] = "";
    size_t looked = 0, n = OUTBOX_PAGE_MAX;
    enum err e = ERR_OK;

    while (!e && n == OUTBOX_PAGE_MAX && looked < LOOKED_MAX && *count < RESEND_MAX) {
        const struct outbox_page page = {.after = *after ? after : NULL, .limit = OUTBOX_PAGE_MAX};
        json_t *letters = NULL;
        e = store_outbox_dead(c->store, &page, &letters);
        n = json_array_size(letters);
        if (!e) {
            looked += n;
            e = resend_page(c, letters, receiver, start_ms, after, count);
        } else if (e == ERR_NOT_FOUND && *after) { /* it was revived meanwhile: from the start */
            *after = '\0';
            looked += n = OUTBOX_PAGE_MAX; /* not without end */
            e = ERR_OK;
        }
        json_decref(letters);
    }
    return e;
}

static void resend_all(struct call *c)
{
    struct text receiver = form_text(c, "receiver");
    size_t count = 0;

    if (audit_repeat_answered(c))
        return;
    enum err e = resend(c, receiver, &count);
    if (!e || count) /* of those before a fault, too */
        audit(c, "webhook.resend", receiver.len ? receiver : (struct text){"all", 3},
              json_pack("{s:I}", "events", (json_int_t)count));
    if (e)
        reply_err(c, e);
    else
        reply_text(c, 200, "OK");
}

void h_web_letters(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text id = {NULL, 0};

    (void)n;
    if (form_has(c, "all")) {
        resend_all(c);
    } else if (admin_given(c, "event_id", &id)) {
        const struct act act = {
            .op = OP_WEBHOOKS_RESEND, .handler = h_webhooks_resend, .parameter = id};
        act_run(c, &act);
    }
    if (c->reply.status == 200)
        page_see_other(c, json_string("/admin/dead-letters?done=resent"));
}
