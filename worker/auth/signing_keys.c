#include "worker/auth/signing_keys.h"

#include "common/log.h"
#include "common/random.h"
#include "worker/auth/bcrypt.h"

#include <stdio.h>
#include <string.h>

static struct token_keys keys; /* len 0: not read yet */

bool signing_keys_check(const struct config *cfg)
{
    struct token_keys set;

    if (token_keys_split(cfg->jwt_signing_key, &set)) {
        fprintf(stderr, "testflinger-worker: JWT_SIGNING_KEY: more than %d keys; remove old ones\n",
                TOKEN_KEYS_MAX);
        return false;
    }
    bool strong = set.len == 0 || token_keys_shortest(&set) >= KEY_MIN;
    token_keys_free(&set);
    if (!strong && cfg->auth != AUTH_OPEN) {
        fprintf(stderr,
                "testflinger-worker: JWT_SIGNING_KEY: a key is shorter than %d bytes; make one "
                "with: openssl rand -hex 32\n",
                KEY_MIN);
        return false;
    }
    if (!strong)
        log_warn("a key in JWT_SIGNING_KEY is shorter than %d bytes and can be guessed from any "
                 "token; make one with: openssl rand -hex 32",
                 KEY_MIN);
    return true;
}

/* A random key, of which the store keeps the first that any process proposes. */
static enum err from_store(struct store *s)
{
    unsigned char random[(SIGNING_KEY_SIZE - 1) / 2];
    char proposed[SIGNING_KEY_SIZE], key[SIGNING_KEY_SIZE];

    random_fill(random, sizeof random);
    hex_print(random, sizeof random, proposed);
    enum err e = store_signing_key(s, proposed, key);
    token_keys_free(&keys);
    if (!e)
        e = token_keys_split(key, &keys);
    explicit_bzero(key, sizeof key);
    explicit_bzero(proposed, sizeof proposed);
    return e;
}

enum err signing_keys_get(const struct call *c, const struct token_keys **ret)
{
    enum err e = ERR_OK;

    if (!keys.memory)
        e = token_keys_split(c->cfg->jwt_signing_key, &keys);
    if (!e && !keys.len)
        e = from_store(c->store);
    if (!e)
        *ret = &keys;
    return e;
}
