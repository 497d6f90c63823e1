/* What the files of the store's conformance suite share. Every test runs on an open store that
 * other tests use too, so each makes ids and queue names of its own. */
#ifndef TESTS_STORE_SUITE_H
#define TESTS_STORE_SUITE_H

#include "worker/store/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Two connections to one store, as two worker processes have them. */
struct stores {
    const char *uri;
    struct config cfg;
    struct store *a, *b;
};

#define ID_SIZE 37

/* A new random id, also good as the name of a queue or an agent. */
void new_id(char out[ID_SIZE]);

static inline struct text text_of(const char *s)
{
    return (struct text){s, strlen(s)};
}

/* A request of this moment, later than every one before. `id` is borrowed. */
struct asked asked_now(const char *id);

/* Parses a text with ' in place of ". */
json_t *json_of(const char *text);

/* Fails unless the value is equal to the text (with ' for "); the order of keys counts. */
void assert_json(const json_t *value, const char *text);

/* Adds a waiting job to a queue: its id goes to `out`. `more`: further members of its data, as
 * "'name': 'x', 'tags': []", or NULL. */
void add_job(struct store *s, const char *queue, const char *more, char out[ID_SIZE]);
void add_job_prio(struct store *s, const char *queue, int64_t priority, char out[ID_SIZE]);

/* Submits a job of a given id, asked now. */
enum err resubmit(struct store *s, const char *queue, const char *more, const char *job_id);

/* Claims for `agent` (NULL: not told) from one queue; the id of the job goes to `out`. */
enum err claim_job(struct store *s, const char *queue, const char *agent, char out[ID_SIZE]);

/* Asserts that the next job of the queue is this one, NULL: none. */
void assert_next(struct store *s, const char *queue, const char *job_id);

/* The operations on several things, for one. Out-parameters are untouched on failure. */
enum err get_job(struct store *s, struct text job_id, json_t **ret);
enum err get_result(struct store *s, struct text job_id, json_t **ret);
enum err get_agent(struct store *s, struct text name, json_t **ret);
enum err put_one_agent(struct store *s, struct agent_put *a);
enum err put_one_result(struct store *s, struct text job_id, struct result_put *p);
enum err append_one(struct store *s, struct output_append *a);

/* Takes live output (store_output_take, store_logs_take) by a request of its own. `entries`: as in
 * struct live_take. */
typedef enum err take_fn(struct store *s, struct live_take *t);
enum err take_live(take_fn *take, struct store *s, const char *job_id, enum output_type type,
                   size_t max, bool peek, json_t *entries);

/* Cancels by a request of its own. */
enum err cancel_job(struct store *s, const char *job_id);

enum err put_result(struct store *s, const char *job_id, const char *fields, const char *state);
void assert_result(struct store *s, const char *job_id, const char *text);
void assert_state(struct store *s, const char *job_id, const char *state);

/* Fills a claim of one queue. `queue` holds a text for as long as the claim is used. */
struct claim claim_of(const char *request_id, struct text *queue, const char *agent);
void claim_done(struct claim *c);

/* The wall clock, since the epoch. */
int64_t now_ms(void);

/* A string of n times the character, to be freed. */
char *long_text(char c, size_t n);

/* The groups of tests, each in a file of its name. Their state is a struct stores. */

#define SUITE(name)                                                                                \
    extern const struct CMUnitTest name##_suite[];                                                 \
    extern const size_t name##_suite_len;
SUITE(agents)
SUITE(auth)
SUITE(claims)
SUITE(directory)
SUITE(expiry)
SUITE(files)
SUITE(groups)
SUITE(jobs)
SUITE(job_events)
SUITE(job_view)
SUITE(logs)
SUITE(keys)
SUITE(leases)
SUITE(lists)
SUITE(output)
SUITE(results)
SUITE(secrets)
#undef SUITE

#define SUITE_LEN(name) const size_t name##_suite_len = sizeof name##_suite / sizeof *name##_suite

#endif
