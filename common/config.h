/* Settings: flags, then environment, then defaults; one row a setting in config.def. */
#ifndef COMMON_CONFIG_H
#define COMMON_CONFIG_H

#include "common/err.h"
#include "common/reason.h"
#include "common/role.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Values of the enumerated settings, in the order of their rows' lists. */
enum compat { COMPAT_DOCUMENTED, COMPAT_REFERENCE };
enum dates { DATES_EXTENDED, DATES_ISO };
enum auth_mode { AUTH_OPEN, AUTH_ROLES, AUTH_LOGIN };
enum token_reply { TOKEN_REPLY_AUTO, TOKEN_REPLY_JSON, TOKEN_REPLY_TEXT };
enum agent_names { AGENT_NAMES_OWN, AGENT_NAMES_SHARED };
enum restricted_claims { RESTRICTED_CLAIMS_ANY, RESTRICTED_CLAIMS_ALLOWED };
enum agent_identity { AGENT_IDENTITY_ANY, AGENT_IDENTITY_TOKEN };
enum web_secure { WEB_SECURE_AUTO, WEB_SECURE_YES, WEB_SECURE_NO };
enum webhook_private { WEBHOOK_PRIVATE_AUTO, WEBHOOK_PRIVATE_REFUSE, WEBHOOK_PRIVATE_ALLOW };
enum webhook_reply { WEBHOOK_REPLY_TRIED, WEBHOOK_REPLY_QUEUED };
enum proxy_headers { PROXY_HEADERS_X_FORWARDED, PROXY_HEADERS_FORWARDED };
enum unknown_queues { UNKNOWN_QUEUES_ACCEPT, UNKNOWN_QUEUES_REFUSE, UNKNOWN_QUEUES_OFFLINE };
enum sqlite_sync { STORE_SYNC_NORMAL, STORE_SYNC_FULL };

struct config {
#define CFG_STR(field, flag, env, def, roles, help)            char *field;
#define CFG_SECRET(field, env, roles, help)                    char *field;
#define CFG_UINT(field, flag, env, def, min, max, roles, help) int64_t field;
#define CFG_ENUM(field, flag, env, def, list, roles, help)     int field;
#include "common/config.def"
#undef CFG_STR
#undef CFG_SECRET
#undef CFG_UINT
#undef CFG_ENUM
    /* Which of them a flag or a variable has set; the others have their defaults. */
    struct {
#define CFG_STR(field, flag, env, def, roles, help)            bool field;
#define CFG_SECRET(field, env, roles, help)                    bool field;
#define CFG_UINT(field, flag, env, def, min, max, roles, help) bool field;
#define CFG_ENUM(field, flag, env, def, list, roles, help)     bool field;
#include "common/config.def"
#undef CFG_STR
#undef CFG_SECRET
#undef CFG_UINT
#undef CFG_ENUM
    } given;
};

/* Reads argv and the environment for one role. Ends the process itself where nothing is left to do:
 * --help, --version and --print-config (status 0); a wrong value (one line on stderr,
 * EXIT_BAD_SETTING). Then sets up the log. `program` is the binary's name. */
void config_load(struct config *cfg, enum role_bit role, const char *program, int argc,
                 char **argv);

/* Gives the settings of a role to `take`, by their variables: the value as --print-config shows it,
 * without secrets and passwords, and whether it was set. */
void config_walk(const struct config *cfg, enum role_bit role,
                 void (*take)(void *arg, const char *env, const char *value, bool given),
                 void *arg);

/* Environment for a process of `role`: the current one without any setting, plus the settings
 * that the role has. So a frontend never sees the store's credentials. The array and its strings
 * are one allocation each, owned by the caller, who usually execs. */
char **config_environ(const struct config *cfg, enum role_bit role);

/* Writes the reference of all settings as a Markdown table (docs/config.md). */
void config_print_reference(FILE *out);

/* The store's URI: the setting, or one made of the MONGODB_* settings, or the SQLite file below the
 * data folder. Caller frees. Holds credentials: never log it. ERR_INVALID with a reason on stderr
 * for half-set MONGODB_* values. */
enum err config_store_uri(const struct config *cfg, char **ret) MUST_CHECK;

void config_free(struct config *cfg);

#endif
