/* Values of models (page.h); all are new references. */
#ifndef WORKER_WEB_VALUES_H
#define WORKER_WEB_VALUES_H

#include "common/text.h"

#include <jansson.h>
#include <stdint.h>

/* A text of any bytes, as a string; s NULL: null. */
json_t *page_text(struct text t);
/* The same of a value of a document that should be a string: others as JSON text; NULL: null. */
json_t *page_value(const json_t *value);
/* The same for a cell of a table: at most so many bytes of a text, and a mark where it is cut. */
json_t *page_short(const json_t *value, size_t max);
#define CELL_MAX 300
/* {"iso": "2026-11-24T12:25:45.774Z", "text": "2026-11-24 12:25:45"}; 0: null. */
json_t *page_time(int64_t ms);
/* The same of a document's field in milliseconds; null where it is no number. */
json_t *page_time_of(const json_t *ms);
/* The same of a document's text, "2026-11-24T12:25:45Z"; null where it is none. */
json_t *page_date(const json_t *text);
/* A length of time as people say it: "3 min 20 s", "2 d 4 h". */
json_t *page_span(int64_t seconds);
/* BEFORE, the name percent-encoded, BEHIND: "/queues/a%20b". */
json_t *page_url(const char *before, struct text name, const char *behind);
/* {by, reason, until} of a hold as store_holds_list() gives it; NULL: null. */
json_t *page_hold(const json_t *hold);

#endif
