/* The page of all queues. */
#include "worker/web/lab.h"
#include "worker/web/page.h"
#include "worker/web/rows.h"

handler_fn h_page_queues;

#define SHOWN_MAX 1000 /* rows of a page */

static const char *const searched[] = {"name", "description", NULL};
static const struct rows_sort sorts[] = {{"queue", "name", NULL},
                                         {"unfinished", "unfinished", NULL},
                                         {"waiting", "waiting", NULL},
                                         {"running", "running", NULL},
                                         {"oldest", "oldest_ms", NULL},
                                         {"agents", "agents", NULL},
                                         {"description", "description", NULL},
                                         {0}};

void h_page_queues(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct rows rows;
    struct lab lab;
    enum err e = lab_read(c, (struct lab_wanted){0}, &lab);

    (void)n;
    if (e) {
        reply_err(c, e);
    } else if (rows_choose(c, lab.queues, searched, sorts, SHOWN_MAX, &rows)) {
        page_reply(c, 200,
                   json_pack("{s:s, s:b, s:O, s:b, s:i, s:O, s:O, s:O}", "title", "Queues",
                             "has_rows", json_array_size(rows.shown) > 0, "rows", rows.shown,
                             "has_more", rows.left_out > 0, "left_out", rows.left_out, "next",
                             rows.next, "search", rows.search, "columns", rows.columns));
        rows_free(&rows);
    }
    lab_free(&lab);
}
