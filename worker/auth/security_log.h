/* Security events: one JSON object a line on the log stream, in OWASP's vocabulary
 * (docs/access-control.md). No token, secret or password ever goes into one. */
#ifndef WORKER_AUTH_SECURITY_LOG_H
#define WORKER_AUTH_SECURITY_LOG_H

#include "worker/request/call.h"

enum security_level { SECURITY_INFO, SECURITY_WARN, SECURITY_CRITICAL };

/* Between the two, events about actions are held until the store has committed: security_release
 * writes those whose calls have a status below 500 and drops the others. Refusals (authz_fail...)
 * are written at once. Held events point to their calls, which must not move. */
void security_hold(void);
void security_release(void);

/* Writes an event about a request: `fmt` makes its name and parameters ("authn_login_fail:x"). */
void security_event(const struct call *c, enum security_level level, const char *description,
                    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* authz_fail: the caller may not do what it asked for. */
void security_refused(const struct call *c, const char *description);

/* How much of a client id fits into an event, as the precision of "%.*s". */
#define SECURITY_NAME_SIZE 256
int security_shown_len(struct text client_id);

/* Who calls, for an event: the client id or "unauthenticated". Cut to the size. */
const char *security_caller(const struct call *c, char out[SECURITY_NAME_SIZE]);

/* Adds an entry about this request to the audit trail: what the caller did to whom. `detail` is an
 * object (the reference is taken) or NULL. A trail that cannot be written does not undo the action,
 * but is logged. */
void audit(const struct call *c, const char *action, struct text target, json_t *detail);

/* The action of this request's entry in the audit trail: it was carried out before, also where
 * call->repeat does not say so, and must not be again. ERR_NOT_FOUND: it is new. Another error is
 * answered. */
enum err audit_find(struct call *c, char action[AUDIT_ACTION_SIZE]) MUST_CHECK;

/* The detail of the entry of this request, new reference. ERR_NOT_FOUND: it has none. Another error
 * is answered. */
enum err audit_detail(struct call *c, json_t **ret) MUST_CHECK;

/* The same where 200 OK is the answer of what was carried out; true: answered. */
bool audit_repeat_answered(struct call *c);

/* A further entry about a request that has one. */
void audit_also(const struct call *c, const char *action, struct text target, json_t *detail);

#endif
