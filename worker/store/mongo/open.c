/* The MongoDB back end: opening, options, the driver's log. */
#include "worker/store/mongo/db.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "worker/store/mongo/vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define APP_NAME "testflinger-worker"

/* hello.maxWireVersion of MongoDB 4.4, the first version with all we use (hint in every write). */
#define WIRE_VERSION_MIN 9

/* The first build of an index of a large database takes longer than any other command. */
#define BUILD_TIMEOUT_MS (30 * 60 * 1000)

/* How often the driver checks members that it does not use. */
#define LOOK_MS (30 * 1000)

/* While it parses a URI, the driver may log parts of it (a password): drop these messages, except
 * one that only names an option. */
static bool quiet;
#define SPOKEN "Unsupported URI option"

static void driver_log(mongoc_log_level_t level, const char *domain, const char *message,
                       void *user_data)
{
    (void)user_data;
    if (quiet && strncmp(message, SPOKEN, strlen(SPOKEN)) != 0)
        return;
    if (quiet || level <= MONGOC_LOG_LEVEL_CRITICAL)
        log_warn("MongoDB driver (%s): %s; see the documentation of libmongoc", domain, message);
    else /* failures of commands come as results too and are logged there */
        log_debug("MongoDB driver (%s): %s", domain, message);
}

/* The driver's library makes a file of counters in /dev/shm, named by process id, before main(). It
 * would stay after kill -9 and disturb the next process with that id, and nobody here reads it: it
 * loses its name at once. Constructors of a program run after those of its libraries. */
__attribute__((constructor)) static void counters_unlink(void)
{
    char name[32];

    snprintf(name, sizeof name, "/mongoc-%d", (int)getpid());
    shm_unlink(name);
}

static void driver_init(void)
{
    static bool done;

    if (done)
        return;
    done = true;
    mongoc_init();
    atexit(mongoc_cleanup);
    mongoc_log_set_handler(driver_log, NULL);
}

static void option_default(mongoc_uri_t *uri, const char *name, int64_t value)
{
    if (!mongoc_uri_has_option(uri, name))
        mongoc_uri_set_option_as_int32(uri, name, (int32_t)value);
}

/* A single server that is down is found out at once. In a replica set another member may become
 * primary within the store timeout, so it is waited for.
 *
 * A server that stands still is found out by the silence of its socket: after twice the store
 * timeout, within which a write that takes long to reach a majority has failed by itself. The
 * driver looks at all members now and then, and waits for one that stands still: not long, and not
 * often, since it looks at once when a command fails. */
static void options_set(mongoc_uri_t *uri, const struct config *cfg, bool *ret_durable)
{
    const mongoc_host_list_t *hosts = mongoc_uri_get_hosts(uri);
    bool several = mongoc_uri_get_replica_set(uri) || !hosts || hosts->next;

    option_default(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, cfg->store_timeout);
    option_default(uri, MONGOC_URI_CONNECTTIMEOUTMS, cfg->store_timeout / 2);
    option_default(uri, MONGOC_URI_SOCKETTIMEOUTMS, 2 * cfg->store_timeout);
    option_default(uri, MONGOC_URI_HEARTBEATFREQUENCYMS, LOOK_MS);
    if (!mongoc_uri_has_option(uri, MONGOC_URI_SERVERSELECTIONTRYONCE))
        mongoc_uri_set_option_as_bool(uri, MONGOC_URI_SERVERSELECTIONTRYONCE, !several);
    if (!mongoc_uri_get_appname(uri))
        mongoc_uri_set_appname(uri, APP_NAME);
    const mongoc_write_concern_t *given = mongoc_uri_get_write_concern(uri);
    *ret_durable = !given || mongoc_write_concern_is_default(given);
    if (*ret_durable) {
        mongoc_write_concern_t *majority = mongoc_write_concern_new();
        mongoc_write_concern_set_wmajority(majority, (int32_t)(cfg->store_timeout * 3 / 2));
        mongoc_write_concern_set_journal(majority, true);
        mongoc_uri_set_write_concern(uri, majority);
        mongoc_write_concern_destroy(majority);
    }
}

static mongoc_uri_t *uri_parse(const char *text)
{
    bson_error_t error;

    quiet = true;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(text, &error);
    quiet = false;
    return uri;
}

/* *ret_durable: acknowledge writes as the server's promises require, not as the URI asks. */
static enum err uri_read(const char *text, const struct config *cfg, mongoc_uri_t **ret,
                         bool *ret_durable)
{
    mongoc_uri_t *uri = uri_parse(text);

    if (!uri) {
        log_error("the store's URI is not one of MongoDB; check its form, "
                  "mongodb://USER:PASSWORD@HOST:PORT/DATABASE, with special characters in user and "
                  "password percent-encoded");
        return ERR_INVALID;
    }
    const char *database = mongoc_uri_get_database(uri);
    if (!database || !*database) {
        log_error("the store's URI names no database; add its name: mongodb://HOST/DATABASE");
        mongoc_uri_destroy(uri);
        return ERR_INVALID;
    }
    options_set(uri, cfg, ret_durable);
    *ret = uri;
    return ERR_OK;
}

/* Connects, logs in, checks the server's version and kind, and measures its clock. */
static enum err greet(struct mongo *m)
{
    int64_t sent_us = clock_boot_us();
    bson_t reply;
    enum err e = db_read(m, doc_of("isMaster: 1"), &reply);

    if (e)
        return e;
    mongo_clock_take(m, sent_us, &reply);
    if (doc_int(&reply, "maxWireVersion", 0) < WIRE_VERSION_MIN) {
        log_error("the server is older than MongoDB 4.4; use a newer one");
        e = ERR_INVALID;
    }
    m->replica_set = bson_has_field(&reply, "setName") || bson_has_field(&reply, "msg");
    bson_destroy(&reply);
    return e;
}

/* Greets the server and makes the indexes over a separate connection with a longer timeout. */
static enum err prepare(struct mongo *m)
{
    struct mongo patient = {.database = m->database};

    patient.uri = mongoc_uri_copy(m->uri);
    mongoc_uri_set_option_as_int32(patient.uri, MONGOC_URI_SOCKETTIMEOUTMS, BUILD_TIMEOUT_MS);
    patient.client = mongo_client_new(patient.uri);
    enum err e = patient.client ? greet(&patient) : ERR_UNAVAILABLE;
    if (!e)
        e = mongo_indexes_make(&patient);
    m->replica_set = patient.replica_set;
    m->clock = patient.clock;
    mongoc_client_destroy(patient.client);
    mongoc_uri_destroy(patient.uri);
    return e;
}

/* Finds the keys of secrets in their vault, which may be on another MongoDB. */
static enum err open_vault(struct mongo *m, const char *uri, const struct config *cfg)
{
    bool given = cfg->key_vault_uri && *cfg->key_vault_uri, durable;
    mongoc_uri_t *own = given ? uri_parse(cfg->key_vault_uri) : mongoc_uri_copy(m->uri);

    if (!own) {
        log_error("TESTFLINGER_KEY_VAULT_URI is not a URI of MongoDB; check its form, "
                  "mongodb://USER:PASSWORD@HOST:PORT/");
        return ERR_INVALID;
    }
    if (given)
        options_set(own, cfg, &durable);
    enum err e = mongo_vault_new(uri, cfg, own, &m->vault);
    mongoc_uri_destroy(own);
    m->store.has_secrets = m->vault != NULL;
    return e;
}

static int64_t now_of(struct store *s)
{
    return mongo_now_ms(mongo_of(s));
}

static void mongo_close(struct store *s)
{
    struct mongo *m = mongo_of(s);

    mongo_vault_close(m->vault);
    mongoc_client_destroy(m->client);
    mongoc_uri_destroy(m->uri);
    bson_destroy(m->light);
    json_decref(m->holds.ids);
    json_decref(m->open.owners);
    free(m);
}

static const struct store_ops mongo_ops = {
    .name = "mongodb",
    .close = mongo_close,
    .now_ms = now_of,
#define STORE_OP(name, params, args) .name = mongo_##name,
#include "worker/store/store.def"
#undef STORE_OP
};

enum err mongo_open(const char *uri, const struct config *cfg, struct store **ret)
{
    bool durable;
    mongoc_uri_t *parsed;

    driver_init();
    enum err e = uri_read(uri, cfg, &parsed, &durable);
    if (e)
        return e;
    struct mongo *m = mem_alloc(sizeof *m);
    m->store.ops = &mongo_ops;
    m->uri = parsed;
    m->database = mongoc_uri_get_database(parsed);
    m->light = doc_of("writeConcern: {w: 1}");
    e = prepare(m);
    m->may_defer = durable && !m->replica_set;
    if (m->may_defer) /* retries would hide a broken connection */
        mongoc_uri_set_option_as_bool(m->uri, MONGOC_URI_RETRYREADS, false);
    m->client = e ? NULL : mongo_client_new(m->uri);
    if (!e && !m->client)
        e = ERR_UNAVAILABLE;
    if (!e)
        e = open_vault(m, uri, cfg);
    if (e)
        mongo_close(&m->store);
    else
        *ret = &m->store;
    return e;
}

enum err mongo_ping(struct store *s)
{
    bson_t reply;
    enum err e = db_read(mongo_of(s), doc_of("ping: 1"), &reply);

    if (!e)
        bson_destroy(&reply);
    return e;
}
