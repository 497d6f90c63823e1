/* Charts of pages, for templates/chart_*.html: numbers of drawings whose width is that of the page.
 * Each has its result in words and its numbers as a table. All are new references. */
#ifndef WORKER_WEB_CHART_H
#define WORKER_WEB_CHART_H

#include "worker/store/depths.h"

#include <jansson.h>
#include <stdbool.h>

#define CHART_MS ((int64_t)24 * 3600 * 1000) /* that charts of time go back */

/* How many jobs of a queue waited when, from those that came since now_ms - CHART_WAITS_MS, newest
 * first. `waiting`: how many wait now, those that came before among them. `cut`: there are others,
 * so the chart begins with the oldest of these. Null: nobody has waited. */
#define CHART_WAITS_MS (2 * CHART_MS)
json_t *chart_depth(const struct job_wait *waits, size_t n, bool cut, int64_t waiting,
                    int64_t now_ms);

/* What an agent did in the last 24 hours, from its jobs as store_jobs_list() has them, newest
 * first. `cut`: it has had others before. Null: it had none. */
json_t *chart_timeline(const json_t *jobs, bool cut, int64_t now_ms);

/* Provisionings a day from an agent's log, oldest first. Null: none. */
json_t *chart_provisions(const json_t *log);

/* Adds `width`, in percent of the greatest, to rows with `seconds`. */
void chart_bars(json_t *rows);

#endif
