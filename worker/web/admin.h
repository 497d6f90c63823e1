/* Pages below /admin: tables and forms that one template shows (admin.html). */
#ifndef WORKER_WEB_ADMIN_H
#define WORKER_WEB_ADMIN_H

#include "worker/request/call.h"

/* ---- tables ---- */

enum admin_cell {
    ADMIN_TEXT, /* any value */
    ADMIN_DATE, /* a document's text, "2026-11-24T12:25:45Z" */
    ADMIN_LINK  /* a text that is the end of an address */
};

/* A column; the array of a table's ends with a label of NULL. */
struct admin_column {
    const char *label, *key; /* key: of the rows */
    enum admin_cell kind;
    const char *before; /* ADMIN_LINK: the beginning of the address */
};

/* A table of the rows, which stay the caller's; what a row has under `act` (admin_button() or
 * admin_link(), maybe null) stands behind its cells. `empty`: said where there is none. `next`:
 * address of the next page or NULL; taken. All texts are static; new references. */
json_t *admin_table(const char *caption, const char *empty, const struct admin_column *columns,
                    const json_t *rows, json_t *next);

/* ---- forms ---- */

enum admin_input { INPUT_HIDDEN, INPUT_TEXT, INPUT_LINES, INPUT_BOX };

/* A field; `value` is a text or null, taken. Of a box: whether it is ticked. */
json_t *admin_field(enum admin_input kind, const char *name, const char *label, json_t *value);

/* A choice of texts that ends with NULL. */
json_t *admin_choice(const char *name, const char *label, const char *const *texts,
                     const char *chosen);

/* A form that is sent by POST; address and fields are taken. `danger`: what cannot be undone. */
json_t *admin_form(const char *title, json_t *url, json_t *fields, const char *button, bool danger);

/* What stands behind a row: a form of hidden fields, or a link; `asks`: to a page that asks before
 * something is done. Taken. */
json_t *admin_button(const char *text, json_t *url, json_t *fields);
json_t *admin_link(const char *text, json_t *url, bool asks);

/* The form with the filters of a page, whose values are those of the query. */
struct admin_filter {
    const char *name, *label;
};
json_t *admin_filters(const struct call *c, const struct admin_filter *filters, size_t n);

/* ---- pages ---- */

/* Answers with a page. `parts`: `tables`, `forms`, `filters`, `notes` ([{text, subject}]), `links`
 * (admin_link()), `secret` and `back` as admin.html has them; what is left out is not there.
 * Taken. */
void admin_reply(struct call *c, const char *title, json_t *parts);

/* Answers with a page that asks before something is done: one button, and a way back. */
void admin_ask(struct call *c, const char *title, const char *text, struct text subject,
               json_t *form, json_t *back);

/* A field of the form as a text, s NULL or not empty; false: answered, it is missing. */
bool admin_given(struct call *c, const char *name, struct text *ret);

#endif
