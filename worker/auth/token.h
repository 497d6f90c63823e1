/* Tokens: JSON Web Tokens signed with HS256 and nothing else. No clock: `now` (seconds since 1970)
 * is passed in. Never log a token or a key. */
#ifndef WORKER_AUTH_TOKEN_H
#define WORKER_AUTH_TOKEN_H

#include "common/envelope.h"
#include "worker/request/token_fault.h"

#include <jansson.h>
#include <stdint.h>

#define TOKEN_KEYS_MAX 8

/* Signing keys as the setting has them: the first signs, all are accepted. */
struct token_keys {
    struct text keys[TOKEN_KEYS_MAX];
    size_t len;
    char *memory; /* owned; the keys point into it */
};

/* Splits a setting at commas and line ends; empty parts are left out. ERR_INVALID: more keys than
 * TOKEN_KEYS_MAX. */
enum err token_keys_split(const char *setting, struct token_keys *ret) MUST_CHECK;
void token_keys_free(struct token_keys *k);

/* Length of the shortest key in bytes. */
size_t token_keys_shortest(const struct token_keys *k);

/* Bytes; longer tokens are refused undecoded. */
#define TOKEN_MAX ((size_t)64 * 1024)

/* Status and text for the bearer of a refused token. */
struct token_answer {
    int status;
    const char *text;
};
struct token_answer token_answer(enum token_fault f);
struct token_answer token_answer_old(enum token_fault f); /* of the first servers */

/* Checks a token: its form, the algorithm, the signature, then the claims exp, iat, sub, nbf. The
 * times may be off by `leeway` seconds. *ret_claims, a new reference, is set with TOKEN_OK only. */
enum token_fault token_decode(const struct token_keys *keys, struct text token, int64_t now,
                              int64_t leeway, json_t **ret_claims) MUST_CHECK;

/* A new token {exp, iat, sub: "access_token", permissions, binding} as text, which the caller
 * frees; `binding` (clients.h) may be NULL. NULL: it could not be made (logged). There must be a
 * key. */
char *token_encode(const struct token_keys *keys, const json_t *permissions, const char *binding,
                   int64_t now, int64_t lifetime);

#endif
