/* The server: its version, its store, the process that answers, its settings without secrets. */
#include "common/clock.h"
#include "worker/web/admin.h"
#include "worker/web/values.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

handler_fn h_page_status;

static const struct admin_column columns[] = {
    {"Name", "name", ADMIN_TEXT, NULL}, {"Value", "value", ADMIN_TEXT, NULL}, {0}};

static void add(json_t *rows, const char *name, json_t *value)
{
    json_array_append_new(rows, json_pack("{s:s, s:o}", "name", name, "value", value));
}

/* The kind of the store: "mongodb", "sqlite". */
static json_t *store_kind(const struct config *cfg)
{
    char *uri = NULL;
    json_t *kind = config_store_uri(cfg, &uri) ? json_null()
                                               : page_text((struct text){uri, strcspn(uri, ":")});

    free(uri);
    return kind;
}

/* What /readyz asks, and what waits. A store that does not answer is shown, not an error. */
static json_t *facts(const struct call *c)
{
    struct outbox_backlog backlog = {0};
    json_t *rows = json_array();
    int64_t began = clock_mono_us(), silent = 0;
    enum err e = store_ping(c->store);

    add(rows, "Version", json_string(PROJECT_VERSION));
    add(rows, "Store", store_kind(c->cfg));
    add(rows, "Store answers", json_string(e ? err_text(e) : "yes"));
    add(rows, "Answer of the store, microseconds", json_integer(clock_mono_us() - began));
    if (!e)
        e = store_outbox_count(c->store, &backlog);
    if (!e)
        e = store_agents_silent_count(c->store, &silent);
    add(rows, "Events of webhooks that wait", e ? json_null() : json_integer(backlog.pending));
    add(rows, "Events of webhooks that were given up",
        e ? json_null() : json_integer(backlog.dead));
    add(rows, "Silent agents", e ? json_null() : json_integer(silent));
    add(rows, "Process that answered", json_integer(getpid()));
    add(rows, "Processes of this worker", json_integer(c->cfg->processes));
    add(rows, "Its processes for logins", json_integer(c->cfg->logins));
    add(rows, "Brokers", json_integer(c->cfg->brokers));
    return rows;
}

static void take(void *arg, const char *env, const char *value, bool given)
{
    json_array_append_new(arg, json_pack("{s:s, s:o, s:s}", "name", env, "value",
                                         page_text((struct text){value, strlen(value)}), "given",
                                         given ? "set" : "default"));
}

void h_page_status(struct call *calls[], size_t n)
{
    static const struct admin_column settings_columns[] = {{"Setting", "name", ADMIN_TEXT, NULL},
                                                           {"Value", "value", ADMIN_TEXT, NULL},
                                                           {"From", "given", ADMIN_TEXT, NULL},
                                                           {0}};
    struct call *c = calls[0];
    json_t *rows = facts(c), *settings = json_array();

    (void)n;
    config_walk(c->cfg, R_WORKER, take, settings);
    admin_reply(c, "Status",
                json_pack("{s:[o, o]}", "tables",
                          admin_table("The server", "", columns, rows, NULL),
                          admin_table("Settings of the workers; secrets are not shown", "",
                                      settings_columns, settings, NULL)));
    json_decref(rows);
    json_decref(settings);
}
