/* The programs that have settings and metrics. */
#ifndef COMMON_ROLE_H
#define COMMON_ROLE_H

enum role_bit {
    R_SERVER = 1, /* the launcher */
    R_FRONTEND = 2,
    R_BROKER = 4,
    R_WORKER = 8,
    R_WEBHOOK = 16,
    R_ROLES = R_FRONTEND | R_BROKER | R_WORKER | R_WEBHOOK,
    R_ALL = R_SERVER | R_ROLES,
    R_ADMIN = 32 /* the admin tool: not part of the running server */
};

#endif
