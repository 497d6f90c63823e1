/* Tables whose rows a page has all at once: searched, sorted and cut here. */
#ifndef WORKER_WEB_ROWS_H
#define WORKER_WEB_ROWS_H

#include "worker/request/call.h"

/* A column by which `sort=NAME` and `sort=-NAME` order; ends with a name of NULL. */
struct rows_sort {
    const char *name;
    const char *key;    /* of the rows: texts or numbers; what has none stands at the end */
    const char *header; /* what `headerId` calls it in addresses of the reference; or NULL */
};

struct rows {
    json_t *shown;   /* owned: array */
    int left_out;    /* rows that fit and stand behind these */
    json_t *next;    /* owned: address of those; null: there are none */
    json_t *columns; /* owned: {NAME: {url, order}}: sorts by it, or the other way round;
                        order: "ascending", "descending" or null */
    json_t *search;  /* owned: the text that was searched for, or null */
};

/* Chooses by `search` (its words in any of the keys, ASCII in any case), `sort`, `cursor` (how many
 * stand before) and `limit` of the query, at most `max`. The reference's sort, `headerId` and
 * `sortOrder`, is understood where there is no other.
 * False: answered with 422, and *ret holds nothing. */
bool rows_choose(struct call *c, const json_t *all, const char *const *keys,
                 const struct rows_sort *sorts, size_t max, struct rows *ret);

void rows_free(struct rows *rows);

/* Whether all words of a text, of which the first 8 count, are in the texts of a row. */
bool rows_match(const json_t *row, const char *const *keys, struct text words);

/* An address of the same page: its query without `name` and `cursor`, and with name=value (NULL:
 * without). New reference. */
json_t *rows_url(const struct call *c, const char *name, const char *value);

#endif
