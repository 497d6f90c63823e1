/* libjwt checks signatures and makes tokens. It verifies with whatever algorithm the token names
 * and knows nothing of times, so both are checked here: the algorithm before it, the claims after
 * it. */
#include "worker/auth/token.h"

#include "common/log.h"
#include "common/mem.h"
#include "worker/encoding/base64.h"

#include <errno.h>
#include <jwt.h>
#include <stdlib.h>
#include <string.h>

#define SEPARATORS ",\n\r"

/* clang-format off */
static const struct {
    struct token_answer now, old;
} answers[] = {
    [TOKEN_OK] = {{200, "OK"}, {200, "OK"}},
#define FAULT(name, status, text, old_status, old_text) \
    [name] = {{status, text}, {old_status, old_text}},
#include "worker/request/token_fault.def"
#undef FAULT
};
/* clang-format on */

struct token_answer token_answer(enum token_fault f)
{
    return answers[f].now;
}

struct token_answer token_answer_old(enum token_fault f)
{
    return answers[f].old;
}

enum err token_keys_split(const char *setting, struct token_keys *ret)
{
    struct token_keys k = {.memory = mem_strdup(setting)};
    enum err e = ERR_OK;

    for (const char *s = k.memory; !e && *s;) {
        size_t len = strcspn(s, SEPARATORS);
        if (len && k.len == TOKEN_KEYS_MAX)
            e = ERR_INVALID;
        else if (len)
            k.keys[k.len++] = (struct text){s, len};
        s += len + (s[len] != '\0');
    }
    if (e || !k.len)
        token_keys_free(&k);
    if (!e)
        *ret = k;
    return e;
}

void token_keys_free(struct token_keys *k)
{
    if (k->memory)
        explicit_bzero(k->memory, strlen(k->memory));
    free(k->memory);
    *k = (struct token_keys){0};
}

size_t token_keys_shortest(const struct token_keys *k)
{
    size_t shortest = k->len ? k->keys[0].len : 0;

    for (size_t i = 1; i < k->len; i++)
        if (k->keys[i].len < shortest)
            shortest = k->keys[i].len;
    return shortest;
}

/* The JSON object that a part of a token holds, NULL when it holds none. */
static json_t *part_object(struct text part)
{
    struct buf json = BUF_INIT(TOKEN_MAX);
    json_t *value = NULL;

    if (base64_decode(part, BASE64_URL, &json) && json.len)
        value = json_loadb(json.data, json.len, 0, NULL);
    buf_free(&json);
    if (value && !json_is_object(value)) {
        json_decref(value);
        value = NULL;
    }
    return value;
}

/* Splits a token at its two dots. */
static bool split(struct text token, struct text parts[3])
{
    const char *first = memchr(token.s, '.', token.len);
    const char *end = token.s + token.len;
    const char *second = first ? memchr(first + 1, '.', (size_t)(end - first - 1)) : NULL;

    if (!second || memchr(second + 1, '.', (size_t)(end - second - 1)))
        return false;
    parts[0] = (struct text){token.s, (size_t)(first - token.s)};
    parts[1] = (struct text){first + 1, (size_t)(second - first - 1)};
    parts[2] = (struct text){second + 1, (size_t)(end - second - 1)};
    return true;
}

static bool signature_fits(const struct token_keys *keys, const char *token)
{
    for (size_t i = 0; i < keys->len; i++) {
        jwt_t *jwt = NULL;
        if (jwt_decode(&jwt, token, (const unsigned char *)keys->keys[i].s,
                       (int)keys->keys[i].len) == 0) {
            bool pinned = jwt_get_alg(jwt) == JWT_ALG_HS256;
            jwt_free(jwt);
            return pinned;
        }
    }
    return false;
}

static const enum token_fault without[] = {TOKEN_WITHOUT_EXP, TOKEN_WITHOUT_IAT, TOKEN_WITHOUT_SUB};
static const char *const required[] = {"exp", "iat", "sub"};

/* Our tokens name no audience, so one that does is for another service (RFC 7519, 4.1.3). */
static bool names_audience(const json_t *aud)
{
    if (json_is_string(aud))
        return json_string_length(aud) > 0;
    return json_array_size(aud) + json_object_size(aud) > 0 || json_is_true(aud) ||
           json_is_real(aud) || json_integer_value(aud) != 0;
}

static enum token_fault claims_fault(const json_t *claims, int64_t now, int64_t leeway)
{
    const json_t *exp = json_object_get(claims, "exp"), *iat = json_object_get(claims, "iat");
    const json_t *nbf = json_object_get(claims, "nbf"), *sub = json_object_get(claims, "sub");

    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        const json_t *claim = json_object_get(claims, required[i]);
        if (!claim || json_is_null(claim))
            return without[i];
    }
    if (!json_is_number(iat) || (nbf && !json_is_number(nbf)) || !json_is_string(sub))
        return TOKEN_CLAIM;
    if (json_number_value(iat) > (double)(now + leeway) ||
        (nbf && json_number_value(nbf) > (double)(now + leeway)))
        return TOKEN_EARLY;
    if (!json_is_number(exp))
        return TOKEN_UNDECODABLE;
    if (json_number_value(exp) <= (double)(now - leeway))
        return TOKEN_EXPIRED;
    return names_audience(json_object_get(claims, "aud")) ? TOKEN_AUDIENCE : TOKEN_OK;
}

/* Checks the parts in order; *ret_claims is set as soon as there are some. */
static enum token_fault decode(const struct token_keys *keys, const char *token,
                               json_t **ret_claims)
{
    struct text parts[3];

    if (!split((struct text){token, strlen(token)}, parts))
        return TOKEN_UNDECODABLE;
    json_t *header = part_object(parts[0]);
    const char *alg = json_string_value(json_object_get(header, "alg"));
    enum token_fault f = !header                             ? TOKEN_UNDECODABLE
                         : !alg || strcmp(alg, "HS256") != 0 ? TOKEN_ALGORITHM
                                                             : TOKEN_OK;
    json_decref(header);
    if (f)
        return f;
    *ret_claims = part_object(parts[1]);
    if (!*ret_claims)
        return TOKEN_UNDECODABLE;
    return signature_fits(keys, token) ? TOKEN_OK : TOKEN_SIGNATURE;
}

enum token_fault token_decode(const struct token_keys *keys, struct text token, int64_t now,
                              int64_t leeway, json_t **ret_claims)
{
    json_t *claims = NULL;

    if (token.len > TOKEN_MAX || (token.len && memchr(token.s, '\0', token.len)))
        return TOKEN_UNDECODABLE;
    char *text = mem_strndup(token.len ? token.s : "", token.len);
    enum token_fault f = decode(keys, text, &claims);
    free(text);
    if (!f)
        f = claims_fault(claims, now, leeway);
    if (f)
        json_decref(claims);
    else
        *ret_claims = claims;
    return f;
}

char *token_encode(const struct token_keys *keys, const json_t *permissions, const char *binding,
                   int64_t now, int64_t lifetime)
{
    jwt_t *jwt = NULL;
    char *token = NULL;
    const struct text *key = &keys->keys[0];
    /* json_pack's O takes no const, but only counts the reference. */
    json_t *claims = json_pack("{s:I, s:I, s:s, s:O, s:s*}", "exp", (json_int_t)(now + lifetime),
                               "iat", (json_int_t)now, "sub", "access_token", "permissions",
                               (json_t *)(uintptr_t)permissions, "binding", binding);
    char *text = claims ? json_dumps(claims, JSON_COMPACT) : NULL;

    if (text && jwt_new(&jwt) == 0 && jwt_add_grants_json(jwt, text) == 0 &&
        jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)key->s, (int)key->len) == 0)
        token = jwt_encode_str(jwt);
    if (!token)
        log_error("a token could not be signed: %s; check JWT_SIGNING_KEY", strerror(errno));
    jwt_free(jwt);
    free(text);
    json_decref(claims);
    return token;
}
