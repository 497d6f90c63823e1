/* Runs commands and maps their failures. Does not use the driver's cursors and collection objects:
 * they copy the client's options each time. */
#include "worker/store/mongo/doc.h"
#include "worker/store/mongo/mongo.h"

#include "common/beat.h"
#include "common/clock.h"
#include "common/log.h"

#include <string.h>

/* The server accepts commands of a document's size plus some overhead. */
#define COMMAND_MAX (STORE_DOCUMENT_MAX + 16000)

/* While the server is away, one call in this time tries a new connection; the others fail at
 * once. */
#define RETRY_PAUSE_MS 200

/* The driver only checks a connection, and silently makes a new one, after it was idle for 1 s. */
#define UNBROKEN_MS 900

#define CODE_UNAUTHORIZED   13
#define CODE_WRITE_CONFLICT 112

/* Codes of the server (https://github.com/mongodb/mongo, src/mongo/base/error_codes.yml). */
static const struct {
    int code;
    enum err err;
} codes[] = {
    {6, ERR_UNAVAILABLE}, /* HostUnreachable */
    {7, ERR_UNAVAILABLE}, /* HostNotFound */
    {CODE_UNAUTHORIZED, ERR_INVALID},
    {18, ERR_INVALID},      /* AuthenticationFailed */
    {24, ERR_UNAVAILABLE},  /* LockTimeout */
    {26, ERR_NOT_FOUND},    /* NamespaceNotFound */
    {27, ERR_NOT_FOUND},    /* IndexNotFound */
    {48, ERR_CONFLICT},     /* NamespaceExists */
    {50, ERR_UNAVAILABLE},  /* MaxTimeMSExpired */
    {64, ERR_UNAVAILABLE},  /* WriteConcernFailed */
    {85, ERR_CONFLICT},     /* IndexOptionsConflict */
    {86, ERR_CONFLICT},     /* IndexKeySpecsConflict */
    {89, ERR_UNAVAILABLE},  /* NetworkTimeout */
    {91, ERR_UNAVAILABLE},  /* ShutdownInProgress */
    {100, ERR_UNAVAILABLE}, /* UnsatisfiableWriteConcern */
    {CODE_WRITE_CONFLICT, ERR_UNAVAILABLE},
    {189, ERR_UNAVAILABLE},   /* PrimarySteppedDown */
    {241, ERR_TOO_LARGE},     /* ConversionFailure: job_append_size_check() */
    {262, ERR_UNAVAILABLE},   /* ExceededTimeLimit */
    {365, ERR_UNAVAILABLE},   /* TemporarilyUnavailable */
    {9001, ERR_UNAVAILABLE},  /* SocketException */
    {10058, ERR_UNAVAILABLE}, /* LegacyNotPrimary */
    {10107, ERR_UNAVAILABLE}, /* NotWritablePrimary */
    {10334, ERR_TOO_LARGE},   /* BSONObjectTooLarge */
    {MONGOC_ERROR_DUPLICATE_KEY, ERR_CONFLICT},
    {11600, ERR_UNAVAILABLE}, /* InterruptedAtShutdown */
    {11602, ERR_UNAVAILABLE}, /* InterruptedDueToReplStateChange */
    {13388, ERR_UNAVAILABLE}, /* StaleConfig */
    {13435, ERR_UNAVAILABLE}, /* NotPrimaryNoSecondaryOk */
    {13436, ERR_UNAVAILABLE}, /* NotPrimaryOrSecondary */
    {17280, ERR_TOO_LARGE},   /* KeyTooLong */
    {16493, ERR_TOO_LARGE},   /* a string of an update is too long */
    {17419, ERR_TOO_LARGE},   /* document after update is too large */
    {17420, ERR_TOO_LARGE},   /* document to upsert is too large */
};

enum err mongo_code_err(int code)
{
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].code == code)
            return codes[i].err;
    return ERR_INTERNAL;
}

static enum err error_err(const bson_error_t *error)
{
    switch (error->domain) {
    case MONGOC_ERROR_SERVER:
    case MONGOC_ERROR_WRITE_CONCERN:
        return mongo_code_err((int)error->code);
    case MONGOC_ERROR_STREAM:
    case MONGOC_ERROR_SERVER_SELECTION:
    case MONGOC_ERROR_PROTOCOL:
        return ERR_UNAVAILABLE;
    case MONGOC_ERROR_CLIENT:
        return error->code == MONGOC_ERROR_CLIENT_AUTHENTICATE ? ERR_INVALID : ERR_UNAVAILABLE;
    case MONGOC_ERROR_SCRAM:
    case MONGOC_ERROR_SASL:
        return ERR_INVALID;
    default:
        return ERR_INTERNAL;
    }
}

/* Logs a failure with advice, once for as long as the server is away. */
static void report(struct mongo *m, const char *command, const bson_error_t *error, enum err e)
{
    /* The server's message quotes the command, which may hold data of jobs: cut it off. */
    const char *quoted = strstr(error->message, " to execute command");
    int len = (int)(quoted ? (size_t)(quoted - error->message) : strlen(error->message));

    if (m->session && error->code == CODE_WRITE_CONFLICT)
        return; /* mongo_transaction() tries again */
    switch ((int)e) {
    case ERR_UNAVAILABLE:
        if (!m->away)
            log_error("MongoDB does not serve \"%s\": %.*s; check that it runs and can be reached",
                      command, len, error->message);
        break;
    case ERR_INVALID:
        log_error(
            "MongoDB refuses \"%s\": %.*s; check user, password and the role readWrite on the "
            "database",
            command, len, error->message);
        break;
    case ERR_INTERNAL:
        log_error("MongoDB fails \"%s\": %.*s (code %u); report it together with its log", command,
                  len, error->message, error->code);
        break;
    default: /* the caller handles it */
        break;
    }
}

/* Makes a new client after the server was lost: the driver's own would wait 5 s before it tries a
 * failed server again (single-threaded clients). */
static enum err client_renew(struct mongo *m)
{
    if (clock_mono_ms() < m->next_try_ms)
        return ERR_UNAVAILABLE;
    mongoc_client_t *fresh = mongo_client_new(m->uri);
    if (!fresh)
        return ERR_UNAVAILABLE;
    mongoc_client_destroy(m->client);
    m->client = fresh;
    return ERR_OK;
}

static const char *command_name(const bson_t *command)
{
    bson_iter_t it;

    return bson_iter_init(&it, command) && bson_iter_next(&it) ? bson_iter_key(&it) : "";
}

static bool connection_broke(const bson_error_t *error, enum err e)
{
    return e == ERR_UNAVAILABLE && error->domain != MONGOC_ERROR_SERVER &&
           error->domain != MONGOC_ERROR_WRITE_CONCERN;
}

enum err mongo_failed(struct mongo *m, const char *command, const bson_error_t *error)
{
    enum err e = error_err(error);

    report(m, command, error, e);
    if (e == ERR_UNAVAILABLE)
        mongo_clock_doubt(m);
    if (connection_broke(error, e)) {
        m->next_try_ms = m->away ? clock_mono_ms() + RETRY_PAUSE_MS : 0;
        m->away = true;
        m->group.lost = m->group.lost || m->group.deferred;
    }
    return e;
}

static bool exchange(struct mongo *m, bool write, const bson_t *command, const bson_t *options,
                     bson_t *ret_reply, bson_error_t *error)
{
    bool ok = write ? mongoc_client_write_command_with_opts(m->client, m->database, command,
                                                            options, ret_reply, error)
                    : mongoc_client_read_command_with_opts(m->client, m->database, command, NULL,
                                                           options, ret_reply, error);
    m->last_ms = clock_mono_ms();
    beat_turn(); /* an operation of many commands may take longer than --watchdog */
    if (!ok)
        bson_destroy(ret_reply);
    return ok;
}

/* The id of the server's process, which "hello" returns since version 4.4. */
static bool process_of(const bson_t *hello, bson_oid_t *ret)
{
    const bson_oid_t *id = doc_oid(hello, "topologyVersion.processId");

    if (id)
        bson_oid_copy(id, ret);
    return id != NULL;
}

/* After an idle time, in which the driver may make a new connection: whether it leads to the same
 * server process as the last command. */
static bool is_same_process(struct mongo *m)
{
    bson_t *hello = doc_of("hello: 1"), reply;
    bson_error_t error;
    bson_oid_t before, after;
    size_t n;
    mongoc_server_description_t **known = mongoc_client_get_server_descriptions(m->client, &n);
    bool same = n == 1 && process_of(mongoc_server_description_hello_response(known[0]), &before);

    mongoc_server_descriptions_destroy_all(known, n);
    if (same && (same = exchange(m, false, hello, NULL, &reply, &error))) {
        same = process_of(&reply, &after) && bson_oid_equal(&before, &after);
        bson_destroy(&reply);
    }
    bson_destroy(hello);
    return same;
}

/* Runs a command of the open transaction. */
static enum err run_within(struct mongo *m, bool write, const bson_t *command, bson_t *ret_reply)
{
    bson_t options = BSON_INITIALIZER;
    bson_error_t error = {0};
    enum err e = ERR_OK;

    if (m->away) /* the connection broke, and the transaction with it */
        e = ERR_UNAVAILABLE;
    else if (!mongoc_client_session_append(m->session, &options, &error) ||
             !exchange(m, write, command, &options, ret_reply, &error))
        e = mongo_failed(m, command_name(command), &error);
    bson_destroy(&options);
    return e;
}

static enum err run(struct mongo *m, bool write, const bson_t *command, const bson_t *options,
                    bson_t *ret_reply)
{
    bson_error_t error = {0};
    enum err e;

    if (command->len > COMMAND_MAX)
        return ERR_TOO_LARGE;
    if (m->session)
        return run_within(m, write, command, ret_reply);
    if (m->group.deferred && clock_mono_ms() - m->last_ms > UNBROKEN_MS && !is_same_process(m))
        m->group.lost = true;
    if (m->away && (e = client_renew(m)))
        return e;
    if (!exchange(m, write, command, options, ret_reply, &error)) {
        /* The connection was idle during a restart of the server: repeat a read. */
        bool again = !write && !m->away && connection_broke(&error, error_err(&error));
        e = mongo_failed(m, command_name(command), &error);
        if (!again || client_renew(m) || !exchange(m, write, command, options, ret_reply, &error))
            return e;
    }
    if (m->away) {
        log_info("MongoDB answers");
        mongo_clock_doubt(m);
    }
    m->away = false;
    return ERR_OK;
}

enum err mongo_read(struct mongo *m, const bson_t *command, bson_t *ret_reply)
{
    return run(m, false, command, NULL, ret_reply);
}

/* Makes durable what was deferred before, too (transaction.c). */
enum err mongo_write_durable(struct mongo *m, const bson_t *command, bson_t *ret_reply)
{
    enum err e = run(m, true, command, NULL, ret_reply);

    m->group.deferred = m->group.deferred && (e || m->group.lost);
    return e;
}

enum err mongo_write_light(struct mongo *m, const bson_t *command, bson_t *ret_reply)
{
    return run(m, true, command, m->light, ret_reply);
}

enum err mongo_write(struct mongo *m, const bson_t *command, bson_t *ret_reply)
{
    if (!m->may_defer || !m->group.open)
        return mongo_write_durable(m, command, ret_reply);
    enum err e = mongo_write_light(m, command, ret_reply);
    m->group.deferred = m->group.deferred || !e;
    return e;
}

enum err mongo_write_last(struct mongo *m, const bson_t *command, bson_t *ret_reply)
{
    return (m->store.last ? mongo_write_durable : mongo_write)(m, command, ret_reply);
}
