/* Faults of a definition that somebody wrote: lists of {line, column, path, text, source} for a
 * template; line, column and source are null where they are unknown. */
#ifndef WORKER_WEB_FAULTS_H
#define WORKER_WEB_FAULTS_H

#include "worker/request/call.h"
#include "worker/web/yaml_in.h"

/* One fault, new reference; line or column 0: unknown. */
json_t *faults_one(size_t line, size_t column, const char *text);

/* The faults of an answer of the API, which holds JSON, with the lines where their fields stand.
 * New reference; of many faults the first FAULTS_MAX. */
#define FAULTS_MAX 50
json_t *faults_of_answer(const struct call *c, const struct yaml_in *lines);

/* Sets `source` of each to its line of the text; `faults` may be NULL. */
void faults_quote(json_t *faults, struct text text);

#endif
