/* The receivers of events: which one a URL names, and whether events may go there. */
#ifndef WORKER_EVENTS_RECEIVER_H
#define WORKER_EVENTS_RECEIVER_H

#include "common/config.h"

#include <stdbool.h>

#define RECEIVER_SIZE 300 /* with its NUL */

/* The receiver of a URL: "https://host:port", in lower case, with the port also where it is the
 * scheme's own, without user and password. ERR_INVALID: it is no http or https URL with a host and
 * a port from 1 to 65535, or too long. */
enum err receiver_of(const char *url, char out[RECEIVER_SIZE]) MUST_CHECK;

enum receiver_rule {
    RECEIVER_REFUSED,
    RECEIVER_UNSET, /* refused, since no setting says where events may go */
    RECEIVER_OWN,   /* that of WEBHOOK_URL */
    RECEIVER_LISTED,
    RECEIVER_OTHER /* the open mode, no setting restricts it */
};

/* Whether the settings let events go to this URL, and why. */
enum receiver_rule receiver_rule(const struct config *cfg, const char *url);
bool receiver_allowed(enum receiver_rule rule);

#endif
