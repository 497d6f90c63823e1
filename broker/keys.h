/* New keys of a bus (common/bus_key.h). */
#ifndef BROKER_KEYS_H
#define BROKER_KEYS_H

/* Prints one key for all processes; returns an exit status. */
int keys_make_shared(void);

/* Writes the key of each side to a file of its own in a folder, which it makes when it is missing:
 * frontend.key, broker.key, worker.key, webhook.key, for the owner only. Files that are there stay
 * as they are: then nothing is written. Returns an exit status, and says on stderr what is wrong.
 */
int keys_make_sides(const char *folder);

#endif
