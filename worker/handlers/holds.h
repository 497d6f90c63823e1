/* Modes of agents and paused queues, as claims, posts and lists see them (store/holds.h). */
#ifndef WORKER_HANDLERS_HOLDS_H
#define WORKER_HANDLERS_HOLDS_H

#include "worker/request/call.h"

/* Takes the paused queues out of a claim, whose list of queues this is. False: nothing may be
 * handed out, since the agent is not online or no queue is left; or a fault was answered. */
bool holds_spare(struct call *c, struct claim *claim, struct text *queues);

/* The holds of a kind, or that of this name (s NULL: all), as store_holds_list() gives them, a new
 * reference. */
enum err holds_load(struct store *s, enum hold_kind kind, struct text name,
                    json_t **ret) MUST_CHECK;

/* Whether reason and end of a hold may be stored; `name` is the field's. Else 422 is answered.
 * NULL: none was sent. */
bool hold_reason_is_fine(struct call *c, const char *name, const json_t *reason, bool required);
bool hold_end_is_fine(struct call *c, const char *name, const json_t *until);

/* Sets or ends a hold. False: answered. A request ends whatever hold there is when it runs: the
 * clocks of frontends differ. One that comes again spares those set after it was received, and is
 * refused with 409 where there is one. */
bool hold_store(struct call *c, struct hold *hold);

/* Adds X-Queue-Paused with the reason to the answer where the queue is paused. */
void holds_tell_paused(struct call *c, struct text queue);
/* The same of the queue of a waiting job. */
void holds_tell_paused_job(struct call *c, struct text job_id);

/* ---- agents (agent_mode.c) ---- */

/* What an agent's post does to its mode. */
struct agent_mode {
    bool changes, ends; /* sets a hold; ends it */
    struct hold hold;
    json_t *mode, *reason; /* owned */
    json_t *detail;        /* owned: for the audit trail; NULL: none */
};

/* Takes the mode out of the fields of a post, where the caller may set it: whoever is not the agent
 * itself. False: answered. Call agent_mode_free() in any case. */
bool agent_mode_take(struct call *c, struct text name, json_t *fields, struct agent_mode *ret);
/* Stores and audits it, once; *ret_audited: this post has its entry. False: answered. */
bool agent_mode_store(struct call *c, struct agent_mode *m, bool *ret_audited);
void agent_mode_free(struct agent_mode *m);

/* Shows the mode of an agent's document where one is in force: old agents read `state`. Leaves
 * `silent` out where nobody asks for it. */
void agent_mode_show(const struct config *cfg, const json_t *holds, json_t *agent);

#endif
