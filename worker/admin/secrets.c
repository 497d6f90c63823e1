/* Secrets of jobs: their keys, and what there is; never a value. */
#include "common/mem.h"
#include "worker/admin/admin.h"
#include "worker/secrets/master_keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NO_KEYS                                                                                    \
    "there are no keys: set TESTFLINGER_SECRETS_MASTER_KEY, as the server has it "                 \
    "(docs/secrets.md)"

int secrets_make_key(struct admin *a)
{
    char *key = master_key_make();

    (void)a;
    puts(key);
    mem_wipe(key);
    return ADMIN_OK;
}

/* Writes a new key into a new file. errno on failure. */
static bool write_key(const char *path)
{
    char *key = master_key_make();
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && dprintf(fd, "%s\n", key) > 0 && fsync(fd) == 0;
    int fault = errno;

    if (fd >= 0 && close(fd) != 0 && good) {
        fault = errno;
        good = false;
    }
    if (fd >= 0 && !good)
        unlink(path);
    mem_wipe(key);
    errno = fault;
    return good;
}

int secrets_init(struct admin *a)
{
    char *path = master_keys_path(a->store_uri);
    int status = ADMIN_OK;

    if (!path || *a->cfg->secrets_master_key)
        status = admin_fail(ADMIN_USAGE,
                            "the file is for SQLite without TESTFLINGER_SECRETS_MASTER_KEY; for "
                            "MongoDB set that to a key of: testflinger-admin secrets make-key");
    else if (write_key(path))
        printf("%s made; keep a copy apart from those of the database, and restart the server\n",
               path);
    else
        status = admin_fail(ADMIN_FAILED, "cannot make %s: %s", path, strerror(errno));
    free(path);
    return status;
}

int secrets_rotate(struct admin *a)
{
    int64_t n = 0;
    enum err e = a->store->has_secrets ? store_secrets_rotate(a->store, &n) : ERR_NOT_FOUND;

    if (e == ERR_NOT_FOUND)
        return admin_fail(ADMIN_USAGE, NO_KEYS);
    if (e)
        return admin_fail_store(e);
    if (n)
        admin_audit(a, "secrets.rotate", "", json_pack("{s:I}", "data_keys", (json_int_t)n));
    printf("%lld data keys are encrypted by the first key now\n", (long long)n);
    return ADMIN_OK;
}

/* ---- list, check ---- */

struct report {
    bool json, faults_only;
    json_t *secrets;
    size_t all, faults;
};

static const char *date_of(int64_t ms, char out[32])
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;

    if (!ms)
        return "";
    gmtime_r(&seconds, &tm);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return out;
}

static void take(void *arg, const struct secret_shown *s)
{
    struct report *r = arg;
    char expires[32], updated[32];

    r->all++;
    r->faults += !s->readable;
    if (r->faults_only && s->readable)
        return;
    json_array_append_new(r->secrets,
                          json_pack("{s:s#, s:s#, s:b, s:b, s:b, s:s, s:s}", "client_id",
                                    s->client.s, s->client.len, "path", s->path.s, s->path.len,
                                    "single_use", s->single_use, "claimed", s->claimed, "readable",
                                    s->readable, "expires_at", date_of(s->expires_ms, expires),
                                    "updated_at", date_of(s->updated_ms, updated)));
}

static const char *text_at(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text ? text : "";
}

/* Prints the report and frees it. */
static void print(struct report *r)
{
    json_t *secret;
    size_t i;

    if (r->json) {
        admin_print(r->secrets);
        return;
    }
    printf("%-20s  %-20s  %-10s  %s\n", "UPDATED", "EXPIRES", "STATE", "CLIENT/PATH");
    json_array_foreach (r->secrets, i, secret)
        printf("%-20s  %-20s  %-10s  %s/%s\n", text_at(secret, "updated_at"),
               text_at(secret, "expires_at"),
               !json_is_true(json_object_get(secret, "readable"))    ? "unreadable"
               : json_is_true(json_object_get(secret, "claimed"))    ? "claimed"
               : json_is_true(json_object_get(secret, "single_use")) ? "single use"
                                                                     : "",
               text_at(secret, "client_id"), text_at(secret, "path"));
    json_decref(r->secrets);
}

static int walk(struct admin *a, struct report *r)
{
    if (!a->store->has_secrets)
        return admin_fail(ADMIN_USAGE, NO_KEYS);
    *r = (struct report){
        .json = a->args.json, .faults_only = r->faults_only, .secrets = json_array()};
    enum err e = store_secrets_walk(a->store, take, r);
    if (!e) {
        print(r);
        return ADMIN_OK;
    }
    json_decref(r->secrets);
    return admin_fail_store(e);
}

int secrets_list(struct admin *a)
{
    struct report r = {.faults_only = false};

    return walk(a, &r);
}

int secrets_check(struct admin *a)
{
    struct report r = {.faults_only = true};
    int status = walk(a, &r);

    if (status == ADMIN_OK && r.faults)
        return admin_fail(ADMIN_FAILED,
                          "%zu of %zu secrets cannot be opened: add their key, or store them again",
                          r.faults, r.all);
    if (status == ADMIN_OK && !r.json)
        printf("the keys open all of %zu secrets\n", r.all);
    return status;
}
