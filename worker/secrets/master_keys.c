#include "worker/secrets/master_keys.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/random.h"
#include "worker/encoding/base64.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETTING "TESTFLINGER_SECRETS_MASTER_KEY"
#define SQLITE  "sqlite:"

/* Characters of the setting and of the file: all keys, with room for white space. */
#define TEXT_MAX 8192

static bool is_sqlite(const char *store_uri)
{
    return strncmp(store_uri, SQLITE, strlen(SQLITE)) == 0;
}

/* Reads one key; false: it is malformed. */
static bool read_key(struct text text, bool mongo, struct master_key *ret)
{
    struct buf bytes = BUF_INIT(MASTER_KEY_MAX);
    bool good = base64_decode(text, BASE64_STANDARD, &bytes) &&
                (mongo ? bytes.len == MASTER_KEY_SIZE : bytes.len >= MASTER_KEY_MIN);

    if (good)
        memcpy(ret->bytes, bytes.data, bytes.len);
    ret->len = good ? bytes.len : 0;
    if (bytes.data)
        OPENSSL_cleanse(bytes.data, bytes.len);
    buf_free(&bytes);
    return good;
}

/* Reads the keys of a text. ERR_INVALID (logged). */
static enum err read_keys(const char *text, bool mongo, struct master_keys *ret)
{
    static const char separators[] = ", \t\r\n";

    ret->len = 0;
    for (const char *s = text + strspn(text, separators); *s; s += strspn(s, separators)) {
        size_t len = strcspn(s, separators);
        if (ret->len == MASTER_KEYS_MAX) {
            log_error(SETTING ": more than %d keys; remove old ones", MASTER_KEYS_MAX);
            return ERR_INVALID;
        }
        if (!read_key((struct text){s, len}, mongo, &ret->keys[ret->len])) {
            log_error(SETTING ": key %zu is not base64 of %s%d bytes; make one with: "
                              "testflinger-admin secrets make-key",
                      ret->len + 1, mongo ? "" : "at least ",
                      mongo ? MASTER_KEY_SIZE : MASTER_KEY_MIN);
            return ERR_INVALID;
        }
        ret->len++;
        s += len;
    }
    return ERR_OK;
}

char *master_keys_path(const char *store_uri)
{
    if (!is_sqlite(store_uri))
        return NULL;
    const char *database = store_uri + strlen(SQLITE), *slash = strrchr(database, '/');
    size_t folder = slash ? (size_t)(slash + 1 - database) : 0;
    char *path = mem_alloc(folder + sizeof MASTER_KEY_FILE);

    memcpy(path, database, folder);
    memcpy(path + folder, MASTER_KEY_FILE, sizeof MASTER_KEY_FILE);
    return path;
}

/* Reads the file. ERR_NOT_FOUND; ERR_INVALID (logged). */
static enum err read_file(const char *path, char out[TEXT_MAX + 1])
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;

    if (fd < 0 && errno == ENOENT)
        return ERR_NOT_FOUND;
    if (fd < 0 || fstat(fd, &st) != 0 || (n = read(fd, out, TEXT_MAX)) < 0) {
        log_error("cannot read the key of secrets, %s: %s; give it to the server's user", path,
                  strerror(errno));
    } else if (st.st_mode & (S_IRWXG | S_IRWXO)) {
        log_error("%s, the key of secrets, is open to other users: chmod 600 it, and rotate the "
                  "key if others could read it",
                  path);
        n = -1;
    }
    if (fd >= 0)
        close(fd);
    if (n >= 0)
        out[n] = '\0';
    return n < 0 ? ERR_INVALID : ERR_OK;
}

static enum err from_file(const char *store_uri, struct master_keys *ret)
{
    char *path = master_keys_path(store_uri), text[TEXT_MAX + 1];
    enum err e = path ? read_file(path, text) : ERR_NOT_FOUND;

    if (!e)
        e = read_keys(text, false, ret);
    if (!e && !ret->len) {
        log_error("%s holds no key of secrets; put the key back, or remove the file to run without "
                  "secrets",
                  path);
        e = ERR_INVALID;
    }
    OPENSSL_cleanse(text, sizeof text);
    free(path);
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err master_keys_load(const struct config *cfg, const char *store_uri, struct master_keys *ret)
{
    const char *text = cfg->secrets_master_key ? cfg->secrets_master_key : "";
    bool mongo = !is_sqlite(store_uri);
    enum err e;

    ret->len = 0;
    if ((cfg->vault_url && *cfg->vault_url) || (cfg->vault_token && *cfg->vault_token)) {
        log_error("TESTFLINGER_VAULT_URL and TESTFLINGER_VAULT_TOKEN: this release keeps secrets "
                  "in its own store only; unset both, and set " SETTING " (docs/secrets.md)");
        return ERR_INVALID;
    }
    if (cfg->key_vault_uri && *cfg->key_vault_uri && (!mongo || !*text)) {
        log_error("TESTFLINGER_KEY_VAULT_URI needs a store on MongoDB and " SETTING
                  "; set them, or unset it");
        return ERR_INVALID;
    }
    e = *text ? read_keys(text, mongo, ret) : from_file(store_uri, ret);
    if (!e && *text && !ret->len) {
        log_error(SETTING " holds no key; make one with: testflinger-admin secrets make-key");
        e = ERR_INVALID;
    }
    return e;
}

/* The number of keys, -1: they cannot be loaded (logged). */
static int count(const struct config *cfg, const char *store_uri)
{
    struct master_keys keys;
    int n = master_keys_load(cfg, store_uri, &keys) ? -1 : (int)keys.len;

    OPENSSL_cleanse(&keys, sizeof keys);
    return n;
}

bool master_keys_check(const struct config *cfg, const char *store_uri)
{
    return count(cfg, store_uri) >= 0;
}

bool master_keys_exist(const struct config *cfg, const char *store_uri)
{
    return count(cfg, store_uri) > 0;
}

char *master_key_make(void)
{
    unsigned char bytes[MASTER_KEY_SIZE];
    struct buf text = BUF_INIT(2 * MASTER_KEY_SIZE);

    random_fill(bytes, sizeof bytes);
    mem_check(base64_encode(bytes, sizeof bytes, BASE64_STANDARD, &text) == ERR_OK);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return text.data;
}
