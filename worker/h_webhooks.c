/* Dead letters of webhooks: what is there, and another chance for one. */
#include "common/clock.h"
#include "worker/call.h"
#include "worker/letters.h"
#include "worker/query.h"
#include "worker/security.h"

#include <stdio.h>
#include <string.h>

/* The last one's id leads to the next page. */
static void set_next(struct list_page *page, const json_t *letters)
{
    size_t n = json_array_size(letters);
    const char *id = json_string_value(json_object_get(json_array_get(letters, n - 1), "id"));

    if (id && n == (size_t)page->limit)
        snprintf(page->next, sizeof page->next, "%s", id);
}

void h_webhooks_dead(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    char cursor[LIST_CURSOR_SIZE];
    struct list_page list;
    json_t *letters = NULL;

    (void)n;
    if (!query_page(c, &list, cursor))
        return;
    if (list.limit > OUTBOX_PAGE_MAX)
        list.limit = OUTBOX_PAGE_MAX;
    const struct outbox_page page = {.after = list.after, .limit = (size_t)list.limit};
    enum err e = store_outbox_dead(c->store, &page, &letters);
    if (e == ERR_NOT_FOUND) {
        query_bad_cursor(c);
    } else if (e) {
        reply_err(c, e);
    } else {
        set_next(&list, letters);
        letters_show(letters);
        query_reply_page(c, &list, letters);
    }
}

void h_webhooks_resend(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text id = c->request->params[0];
    char text[REQUEST_ID_SIZE];
    enum err e = ERR_NOT_FOUND;

    (void)n;
    if (id.len < sizeof text && !memchr(id.s, '\0', id.len)) {
        snprintf(text, sizeof text, "%.*s", (int)id.len, id.s);
        e = store_outbox_resend(c->store, text, clock_wall_us() / 1000);
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
