/* Agents as rows of tables. */
#ifndef WORKER_WEB_AGENT_ROW_H
#define WORKER_WEB_AGENT_ROW_H

#include "worker/request/call.h"

/* Rows of templates/agents_table.html from agents of lab_read(), with their jobs; a new reference.
 * One query, whatever their number. */
enum err agent_rows(struct store *s, const json_t *agents, json_t **ret) MUST_CHECK;

#endif
