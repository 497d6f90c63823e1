/* The digest by which a fragment of a log is known. */
#ifndef WORKER_LOGS_KEY_H
#define WORKER_LOGS_KEY_H

#include "worker/store/logs.h"

/* Fills f->key from all the other members: equal for a fragment that comes once more, and for no
 * other one, whatever it is made of (SHA-256, cut). */
void log_key(struct log_fragment *f);

#endif
