/* Makes new keys of a bus (common/bus_key.h). */
#ifndef BROKER_KEYS_H
#define BROKER_KEYS_H

/* Prints one key for all processes; returns an exit status. */
int keys_make_shared(void);

/* Writes frontend.key, broker.key, worker.key and webhook.key (mode 600) into a folder, made if
 * missing. Fails if one of them exists. Returns an exit status; the error is on stderr. */
int keys_make_sides(const char *folder);

#endif
