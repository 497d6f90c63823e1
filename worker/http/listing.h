/* The answer of a list, written member by member as the store gives them: it ends when no more fit
 * into a message, or as many as were asked for are there, with a Link header (RFC 8288) to the
 * rest. Memory is one answer, however long the list is. */
#ifndef WORKER_HTTP_LISTING_H
#define WORKER_HTTP_LISTING_H

#include "worker/request/call.h"

struct listing {
    struct call *c;
    /* What is shown of a member: takes the reference and returns a new one; NULL: as it is. */
    json_t *(*show)(void *arg, json_t *value);
    void *arg;
    bool object;     /* {NAME: VALUE, ...}, else [VALUE, ...] */
    struct buf body; /* so far */
    int64_t left;    /* members that it may still get */
    size_t members;
    bool more;  /* a member came that had no place */
    char *last; /* owned: the name of the last member */
    size_t last_len;
    struct buf after;      /* owned: where the list begins, by name */
    struct name_walk walk; /* for stores: gives its members to this listing */
};

/* Begins the answer, by `limit` and `cursor` of the query. The cursor is the last name in base64;
 * with a `page` it is opaque to us and made by the store, which feeds this listing. False: answered
 * with 422. After true, call listing_reply() or listing_drop(). */
bool listing_begin(struct listing *l, struct call *c, bool object);
bool listing_begin_page(struct listing *l, struct call *c, struct list_page *page,
                        char cursor[LIST_CURSOR_SIZE]);

/* The same without a query, for so many members. */
void listing_init(struct listing *l, struct call *c, int64_t limit);

/* Appends a member and takes its reference. False: the list is full, the member is not in it. A
 * member too large for any answer is skipped (logged). */
bool listing_take(void *listing, struct text name, json_t *value);

/* Gives the members of an array that the store has as a whole, in the order of the texts that they
 * have under `key`, from where the list begins. The array stays the caller's. */
void listing_take_sorted(struct listing *l, const json_t *array, const char *key);

/* Notes a member that is not shown: the next page begins behind it, too. */
void listing_skip(struct listing *l, struct text name);

/* Appends the name behind which the next page begins. Names of older releases may be too long for a
 * cursor: their end is cut, and the next page skips all names that begin so. */
enum err listing_place(const struct listing *l, struct buf *out) MUST_CHECK;

/* Answers with the list, and frees it. `next`: the store's cursor, NULL: the last name. */
void listing_reply(struct listing *l, const char *next);
void listing_drop(struct listing *l);

#endif
