#include "worker/web/yaml_plain.h"

#include "common/mem.h"

#include <errno.h>
#include <math.h>
#include <regex.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum kind { KIND_NULL, KIND_TRUE, KIND_FALSE, KIND_REAL, KIND_WHOLE, KIND_COUNT_ };

/* The patterns of PyYAML's resolver.py. */
static const char *const patterns[KIND_COUNT_] = {
    [KIND_NULL] = "^(~|null|Null|NULL|)$",
    [KIND_TRUE] = "^(yes|Yes|YES|true|True|TRUE|on|On|ON)$",
    [KIND_FALSE] = "^(no|No|NO|false|False|FALSE|off|Off|OFF)$",
    [KIND_REAL] = "^([-+]?[0-9][0-9_]*\\.[0-9_]*([eE][-+][0-9]+)?"
                  "|\\.[0-9][0-9_]*([eE][-+][0-9]+)?"
                  "|[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\\.[0-9_]*"
                  "|[-+]?\\.(inf|Inf|INF)|\\.(nan|NaN|NAN))$",
    [KIND_WHOLE] = "^([-+]?0b_*[01][01_]*|[-+]?0[0-7_]+|[-+]?(0|[1-9][0-9_]*)"
                   "|[-+]?0x_*[0-9a-fA-F][0-9a-fA-F_]*|[-+]?[1-9][0-9_]*(:[0-5]?[0-9])+)$",
};

static bool is_kind(const char *s, enum kind kind)
{
    static regex_t compiled[KIND_COUNT_];
    static bool ready;

    for (int i = 0; i < KIND_COUNT_ && !ready; i++)
        mem_check(regcomp(&compiled[i], patterns[i], REG_EXTENDED | REG_NOSUB) == 0);
    ready = true;
    return regexec(&compiled[kind], s, 0, NULL, 0) == 0;
}

/* The digits without underscores, and the sign apart; owned. */
static char *digits_of(struct text t, bool *ret_negative)
{
    char *digits = mem_alloc(t.len + 1);
    size_t len = 0, sign = *t.s == '-' || *t.s == '+';

    *ret_negative = *t.s == '-';
    for (size_t i = sign; i < t.len; i++)
        if (t.s[i] != '_')
            digits[len++] = t.s[i];
    return digits;
}

/* The magnitude of an integer; *overflow: it has more than 64 bits. */
static uint64_t magnitude(const char *digits, bool *overflow)
{
    int base = digits[0] != '0' ? 10 : digits[1] == 'b' ? 2 : digits[1] == 'x' ? 16 : 8;
    uint64_t sum = 0;
    char *end = NULL;

    errno = 0;
    for (digits += base == 2 || base == 16 ? 2 : 0; *digits; digits = end + (*end == ':'))
        if (__builtin_mul_overflow(sum, 60u, &sum) ||
            __builtin_add_overflow(sum, strtoull(digits, &end, base), &sum) || errno) {
            *overflow = true;
            break;
        }
    return sum;
}

static json_t *whole(struct text t)
{
    bool negative, overflow = false;
    char *digits = digits_of(t, &negative);
    uint64_t sum = magnitude(digits, &overflow);

    free(digits);
    if (overflow || sum > (uint64_t)INT64_MAX + negative)
        return NULL;
    return json_integer(negative ? (json_int_t)(0 - sum) : (json_int_t)sum);
}

/* NULL: it is no finite number. */
static json_t *real(struct text t)
{
    bool negative;
    char *digits = digits_of(t, &negative), *colon;
    double sum = 0, base = 1;

    for (; (colon = strrchr(digits, ':')); base *= 60) {
        sum += strtod(colon + 1, NULL) * base;
        *colon = '\0';
    }
    sum += strtod(digits, NULL) * base;
    bool finite = digits[strspn(digits, ".")] < 'A' && isfinite(sum);
    free(digits);
    return finite ? json_real(negative ? -sum : sum) : NULL;
}

json_t *yaml_plain(struct text t, const char **ret_fault)
{
    json_t *value;

    if (is_kind(t.s, KIND_NULL))
        return json_null();
    if (!strchr("-+.0123456789yYnNtTfFoO", *t.s))
        return json_stringn(t.s, t.len);
    if (is_kind(t.s, KIND_TRUE) || is_kind(t.s, KIND_FALSE))
        return json_boolean(is_kind(t.s, KIND_TRUE));
    if (is_kind(t.s, KIND_REAL)) {
        value = real(t);
        *ret_fault = "JSON has no such number";
    } else if (is_kind(t.s, KIND_WHOLE)) {
        value = whole(t);
        *ret_fault = "an integer has at most 64 bits";
    } else {
        value = json_stringn(t.s, t.len);
    }
    return value;
}
