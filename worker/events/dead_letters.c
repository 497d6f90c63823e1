/* Dead letters of webhooks: what is there, and another chance for one. */
#include "worker/auth/security_log.h"
#include "worker/encoding/json_string.h"
#include "worker/events/dead_letter_view.h"
#include "worker/http/listing.h"
#include "worker/http/query.h"
#include "worker/request/call.h"

#include <stdio.h>
#include <string.h>

handler_fn h_webhooks_dead, h_webhooks_resend;

/* Gives the letters to the list; `page->next` leads to what follows its last one. */
static void give(struct listing *l, struct list_page *page, json_t *letters)
{
    json_t *letter;
    size_t i;

    json_array_foreach (letters, i, letter) {
        const json_t *id = json_object_get(letter, "id");
        struct text name = json_string_text(id);
        if (!listing_take(l, name, json_incref(letter)))
            break;
        snprintf(page->next, sizeof page->next, "%s", name.s ? name.s : "");
    }
    if (!l->more && i < (size_t)page->limit)
        *page->next = '\0';
}

void h_webhooks_dead(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    char cursor[LIST_CURSOR_SIZE];
    struct list_page page;
    struct listing list;
    json_t *letters = NULL;

    (void)n;
    if (!listing_begin_page(&list, c, &page, cursor))
        return;
    if (page.limit > OUTBOX_PAGE_MAX)
        page.limit = OUTBOX_PAGE_MAX;
    const struct outbox_page wanted = {.after = page.after, .limit = (size_t)page.limit};
    enum err e = store_outbox_dead(c->store, &wanted, &letters);
    if (e == ERR_NOT_FOUND) {
        query_bad_cursor(c);
    } else if (e) {
        reply_err(c, e);
    } else {
        dead_letter_view_fill(letters);
        give(&list, &page, letters);
        listing_reply(&list, page.next);
    }
    listing_drop(&list);
    json_decref(letters);
}

void h_webhooks_resend(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text id = c->request->params[0];
    char text[REQUEST_ID_SIZE];
    enum err e = ERR_NOT_FOUND;

    (void)n;
    if (audit_repeat_answered(c))
        return;
    if (id.len < sizeof text && !memchr(id.s, '\0', id.len)) {
        snprintf(text, sizeof text, "%.*s", (int)id.len, id.s);
        e = store_outbox_resend(c->store, text, store_now_ms(c->store));
    }
    if (e == ERR_NOT_FOUND && !c->repeat) {
        reply_error(c, 404, "There is no dead letter of this id");
    } else if (e && e != ERR_NOT_FOUND) {
        reply_err(c, e);
    } else {
        audit(c, "webhook.resend", id, NULL);
        reply_text(c, 200, "OK");
    }
}
