/* The settings about trusted proxies. */
#ifndef FRONTEND_PROXIES_H
#define FRONTEND_PROXIES_H

#include "common/err.h"
#include "frontend/server.h"

/* Reads the settings. ERR_INVALID: the reason is on stderr, prefixed by `program`. */
enum err proxies_load(const char *program, const struct config *cfg,
                      struct proxies *ret) MUST_CHECK;

#endif
