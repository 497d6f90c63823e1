#include "worker/validation/fieldtypes.h"

#include "common/text.h"

#include <float.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* What is left of a text that is being read. */
struct cursor {
    const char *s;
    size_t len;
};

static void skip(struct cursor *c, size_t n)
{
    c->s += n;
    c->len -= n;
}

static bool skip_char(struct cursor *c, char ch)
{
    if (!c->len || *c->s != ch)
        return false;
    skip(c, 1);
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The first code point and the number of its bytes; the text is not empty. */
static size_t decode(struct cursor c, uint32_t *ret)
{
    unsigned char lead = (unsigned char)*c.s;
    size_t len = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

    *ret = 0xfffd;
    if (len == 0 || lead > 0xf4 || c.len < len)
        return 1;
    uint32_t cp = len == 1 ? lead : lead & (0xffU >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        unsigned char next = (unsigned char)c.s[i];
        if ((next & 0xc0) != 0x80)
            return 1;
        cp = cp << 6 | (next & 0x3f);
    }
    *ret = cp;
    return len;
}

static bool is_space(uint32_t cp)
{
    return (cp >= 0x09 && cp <= 0x0d) || (cp >= 0x1c && cp <= 0x20) || cp == 0x85 || cp == 0xa0 ||
           cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 ||
           cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

static void skip_spaces(struct cursor *c)
{
    uint32_t cp;

    while (c->len) {
        size_t n = decode(*c, &cp);
        if (!is_space(cp))
            return;
        skip(c, n);
    }
}

void field_trim(const char **s, size_t *len)
{
    struct cursor c = {*s, *len};
    size_t end = 0;
    uint32_t cp;

    skip_spaces(&c);
    *s = c.s;
    for (struct cursor rest = c; rest.len;) {
        skip(&rest, decode(rest, &cp));
        if (!is_space(cp))
            end = c.len - rest.len;
        else
            skip_spaces(&rest);
    }
    *len = end;
}

bool text_has_space(const char *s, size_t len)
{
    struct cursor c = {s, len};
    uint32_t cp;

    while (c.len) {
        skip(&c, decode(c, &cp));
        if (is_space(cp))
            return true;
    }
    return false;
}

/* The zeros of all scripts; each is followed by its nine other digits (Unicode 14, category Nd). */
static const uint32_t zeros[] = {
    0x0030,  0x0660,  0x06f0,  0x07c0,  0x0966,  0x09e6,  0x0a66,  0x0ae6,  0x0b66,  0x0be6,
    0x0c66,  0x0ce6,  0x0d66,  0x0de6,  0x0e50,  0x0ed0,  0x0f20,  0x1040,  0x1090,  0x17e0,
    0x1810,  0x1946,  0x19d0,  0x1a80,  0x1a90,  0x1b50,  0x1bb0,  0x1c40,  0x1c50,  0xa620,
    0xa8d0,  0xa900,  0xa9d0,  0xa9f0,  0xaa50,  0xabf0,  0xff10,  0x104a0, 0x10d30, 0x11066,
    0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0,
    0x11950, 0x11c50, 0x11d50, 0x11da0, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2,
    0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e950, 0x1fbf0};

/* Takes one decimal digit of any script off the text; -1: there is none. */
static int take_digit(struct cursor *c)
{
    uint32_t cp;

    if (!c->len)
        return -1;
    size_t n = decode(*c, &cp);
    for (size_t i = 0; i < COUNT(zeros) && cp >= zeros[i]; i++)
        if (cp - zeros[i] < 10) {
            skip(c, n);
            return (int)(cp - zeros[i]);
        }
    return -1;
}

/* Digits with single underscores between them, if allowed, as a number that is negated first so
 * that the lowest one fits. */
static enum integer_fault take_digits(struct cursor *c, bool underscores, int64_t *ret_negated)
{
    int64_t n = 0;
    bool over = false;
    int digit = take_digit(c);

    if (digit < 0)
        return INTEGER_INVALID;
    while (digit >= 0) {
        over |= __builtin_mul_overflow(n, 10, &n) || __builtin_sub_overflow(n, digit, &n);
        bool more = underscores && skip_char(c, '_');
        digit = take_digit(c);
        if (more && digit < 0)
            return INTEGER_INVALID;
    }
    *ret_negated = n;
    return over ? INTEGER_TOO_LONG : INTEGER_OK;
}

enum integer_fault integer_from_text(const char *s, size_t len, int64_t *ret)
{
    struct cursor c = {s, len};
    int64_t n = 0;

    for (size_t i = 0; i < len; i++) /* white space, but not to Python's int() */
        if (s[i] >= 0x1c && s[i] <= 0x1f)
            return INTEGER_INVALID;
    field_trim(&c.s, &c.len);
    bool negative = skip_char(&c, '-');
    if (!negative)
        skip_char(&c, '+');
    enum integer_fault fault = take_digits(&c, true, &n);
    if (fault == INTEGER_INVALID || c.len)
        return INTEGER_INVALID;
    if (fault || (!negative && n == INT64_MIN))
        return INTEGER_TOO_LONG;
    *ret = negative ? n : -n;
    return INTEGER_OK;
}

enum integer_fault integer_from_real(double real, int64_t *ret)
{
    if (isnan(real))
        return INTEGER_INVALID;
    if (fabs(real) >= DBL_MAX) /* the largest one stands for those beyond (jsonbody.c) */
        return INTEGER_INFINITE;
    if (real < -0x1p63 || real >= 0x1p63)
        return INTEGER_TOO_LONG;
    *ret = (int64_t)real;
    return INTEGER_OK;
}

bool boolean_from_text(const char *s, size_t len, bool *ret)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true},   {"True", true},   {"TRUE", true}, {"t", true},  {"T", true},
                 {"yes", true},    {"Yes", true},    {"YES", true},  {"y", true},  {"Y", true},
                 {"on", true},     {"On", true},     {"ON", true},   {"1", true},  {"false", false},
                 {"False", false}, {"FALSE", false}, {"f", false},   {"F", false}, {"no", false},
                 {"No", false},    {"NO", false},    {"n", false},   {"N", false}, {"off", false},
                 {"Off", false},   {"OFF", false},   {"0", false}};

    for (size_t i = 0; i < COUNT(words); i++)
        if (strlen(words[i].word) == len && memcmp(words[i].word, s, len) == 0) {
            *ret = words[i].value;
            return true;
        }
    return false;
}

/* Takes what stands before the first `end`, or all, off the text. */
static struct cursor take_until(struct cursor *c, char end)
{
    const char *at = c->len ? memchr(c->s, end, c->len) : NULL;
    struct cursor taken = {c->s, at ? (size_t)(at - c->s) : c->len};

    skip(c, taken.len);
    return taken;
}

static bool is_name_char(char c)
{
    return is_letter(c) || is_digit(c) || c == '-';
}

static bool all_name_chars(struct cursor c)
{
    for (size_t i = 0; i < c.len; i++)
        if (!is_name_char(c.s[i]))
            return false;
    return true;
}

/* Labels of up to 63 letters, digits and inner hyphens; the last one has two characters or more,
 * at any place a hyphen. */
static bool is_dotted_name(struct cursor c, bool final_dot_allowed)
{
    bool dotted = false;

    if (final_dot_allowed && c.len && c.s[c.len - 1] == '.')
        c.len--;
    for (;;) {
        struct cursor label = take_until(&c, '.');
        if (!all_name_chars(label))
            return false;
        if (!c.len)
            return dotted && label.len >= 2;
        if (label.len == 0 || label.len > 63 || *label.s == '-' || label.s[label.len - 1] == '-')
            return false;
        dotted = true;
        skip(&c, 1);
    }
}

/* Four groups of 1 to 3 digits, each up to `max`. */
static bool is_four_groups(struct cursor c, int max)
{
    for (int group = 0; group < 4; group++) {
        struct cursor digits = take_until(&c, '.');
        int n = 0;

        if (digits.len < 1 || digits.len > 3)
            return false;
        for (size_t i = 0; i < digits.len; i++) {
            if (!is_digit(digits.s[i]))
                return false;
            n = n * 10 + (digits.s[i] - '0');
        }
        if (n > max || skip_char(&c, '.') != (group < 3))
            return false;
    }
    return c.len == 0;
}

static bool is_text_of_case(struct cursor c, const char *word)
{
    return c.len == strlen(word) && strncasecmp(c.s, word, c.len) == 0;
}

static bool is_port(struct cursor c)
{
    if (c.len == 0)
        return true;
    if (!skip_char(&c, ':') || c.len == 0)
        return false;
    for (size_t i = 0; i < c.len; i++)
        if (!is_digit(c.s[i]))
            return false;
    return true;
}

/* Hexadecimal digits and colons in brackets, with something after the first colon. */
static bool is_bracketed_host(struct cursor *c)
{
    struct cursor inner;

    skip(c, 1);
    inner = take_until(c, ']');
    if (!skip_char(c, ']'))
        return false;
    for (size_t i = 0; i < inner.len; i++)
        if (hex_value(inner.s[i]) < 0 && inner.s[i] != ':')
            return false;
    take_until(&inner, ':');
    return inner.len >= 2;
}

/* What stands before an @: any user and password without characters that would end the host. */
static bool is_user_info(struct cursor c)
{
    for (size_t i = 0; i < c.len; i++)
        if (strchr("#[]", c.s[i]))
            return false;
    return true;
}

/* [user[:password]@]host[:port] */
static bool is_authority(struct cursor c)
{
    struct cursor host = c, user = take_until(&host, '@');

    if (skip_char(&host, '@')) {
        if (!is_user_info(user))
            return false;
        c = host;
    }
    if (c.len && *c.s == '[')
        return is_bracketed_host(&c) && is_port(c);
    host = take_until(&c, ':');
    return (is_text_of_case(host, "localhost") || is_four_groups(host, 999) ||
            is_dotted_name(host, true)) &&
           is_port(c);
}

bool is_url(const char *s, size_t len)
{
    static const char *const schemes[] = {"http", "https", "ftp", "ftps"};
    struct cursor c = {s, len}, scheme, authority;
    bool known = false;

    if (len == 0 || text_has_space(s, len) || memchr(s, '\0', len))
        return false;
    scheme = take_until(&c, ':');
    for (size_t i = 0; i < COUNT(schemes); i++)
        known |= is_text_of_case(scheme, schemes[i]);
    if (!known || c.len < 3 || memcmp(c.s, "://", 3) != 0)
        return false;
    skip(&c, 3);
    authority = c;
    authority = take_until(&authority, '/');
    authority = take_until(&authority, '?');
    skip(&c, authority.len);
    return is_authority(authority) && (c.len == 0 || c.len > 1 || *c.s == '/');
}

/* Characters of a dot-atom besides the dot. Letters of any script count. */
static bool is_atom_char(char c)
{
    return is_letter(c) || is_digit(c) || (unsigned char)c >= 0x80 ||
           (c && strchr("-!#$%&'*+/=?^`{}|~_", c));
}

static bool is_quoted_user(struct cursor c)
{
    if (c.len < 2 || c.s[0] != '"' || c.s[c.len - 1] != '"')
        return false;
    for (size_t i = 1; i < c.len - 1; i++) {
        unsigned char ch = (unsigned char)c.s[i];
        bool escaped = ch == '\\';
        if (escaped && ++i == c.len - 1)
            return false;
        ch = (unsigned char)c.s[i];
        if (ch == 0 || ch == '\n' || ch == '\r' || ch > 0x7f ||
            (!escaped && (ch == '\t' || ch == ' ' || ch == '"')))
            return false;
    }
    return true;
}

static bool is_email_user(struct cursor c)
{
    if (is_quoted_user(c))
        return true;
    if (c.len == 0 || c.s[c.len - 1] == '.' || text_has_space(c.s, c.len))
        return false;
    while (c.len) {
        struct cursor atom = take_until(&c, '.');
        if (atom.len == 0)
            return false;
        for (size_t i = 0; i < atom.len; i++)
            if (!is_atom_char(atom.s[i]))
                return false;
        skip_char(&c, '.');
    }
    return true;
}

bool is_email(const char *s, size_t len)
{
    const char *at = len ? memrchr(s, '@', len) : NULL;

    if (!at)
        return false;
    struct cursor user = {s, (size_t)(at - s)}, domain = {at + 1, len - user.len - 1};
    if (!is_email_user(user))
        return false;
    if (domain.len > 2 && domain.s[0] == '[' && domain.s[domain.len - 1] == ']')
        return is_four_groups((struct cursor){domain.s + 1, domain.len - 2}, 255);
    return is_dotted_name(domain, false) ||
           (domain.len == strlen("localhost") && memcmp(domain.s, "localhost", domain.len) == 0);
}

/* Takes min to max ASCII digits off the text. */
static bool take_number(struct cursor *c, int min, int max, int *ret)
{
    int n = 0, digits = 0;

    for (; digits < max && c->len && is_digit(*c->s); digits++, skip(c, 1))
        n = n * 10 + (*c->s - '0');
    *ret = n;
    return digits >= min;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar, of any year from 1 on. */
static int64_t days_from_date(int year, int month, int day)
{
    /* Years begin in March, so that the leap day is the last one. */
    int64_t y = month <= 2 ? year - 1 : year, m = (month + 9) % 12;

    return 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719468;
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (leap && month == 2);
}

/* Takes [:SS[.fraction]] off; the fraction has up to 12 digits, 3 of which are used. */
static bool take_seconds(struct cursor *c, int *ret_seconds, int *ret_ms)
{
    int digits = 0, ms = 0;

    *ret_seconds = *ret_ms = 0;
    if (!skip_char(c, ':'))
        return true;
    if (!take_number(c, 2, 2, ret_seconds) || *ret_seconds > 59)
        return false;
    if (!skip_char(c, '.'))
        return true;
    for (; digits < 12 && c->len && is_digit(*c->s); digits++, skip(c, 1))
        if (digits < 3)
            ms = ms * 10 + (*c->s - '0');
    for (int i = digits; i < 3; i++)
        ms *= 10;
    *ret_ms = ms;
    return digits > 0;
}

/* Takes Z, +HH, +HHMM, +HH:MM or nothing (UTC) off. */
static bool take_zone(struct cursor *c, int *ret_minutes)
{
    int hours, minutes = 0, sign;

    *ret_minutes = 0;
    if (c->len == 0 || skip_char(c, 'Z'))
        return true;
    sign = *c->s == '-' ? -1 : 1;
    if (!skip_char(c, '+') && !skip_char(c, '-'))
        return false;
    if (!take_number(c, 2, 2, &hours))
        return false;
    if (c->len) {
        skip_char(c, ':');
        if (!take_number(c, 2, 2, &minutes))
            return false;
    }
    *ret_minutes = sign * (hours * 60 + minutes);
    return hours * 60 + minutes < 24 * 60;
}

bool datetime_from_text(const char *s, size_t len, int64_t *ret_ms)
{
    struct cursor c = {s, len};
    int year, month, day, hour, minute, second, ms, zone;

    if (!take_number(&c, 4, 4, &year) || !skip_char(&c, '-') || !take_number(&c, 1, 2, &month) ||
        !skip_char(&c, '-') || !take_number(&c, 1, 2, &day))
        return false;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_of_month(year, month))
        return false;
    if (!skip_char(&c, 'T') && !skip_char(&c, ' '))
        return false;
    if (!take_number(&c, 1, 2, &hour) || hour > 23 || !skip_char(&c, ':') ||
        !take_number(&c, 2, 2, &minute) || minute > 59)
        return false;
    if (!take_seconds(&c, &second, &ms) || !take_zone(&c, &zone) || c.len)
        return false;
    int64_t minutes = days_from_date(year, month, day) * 24 * 60 + hour * 60 + minute - zone;
    *ret_ms = (minutes * 60 + second) * 1000 + ms;
    return true;
}

/* Seconds of the unit at the start, which is taken off; 0: no unit. */
static int take_unit(struct cursor *c)
{
    static const struct {
        int seconds;
        const char *names[5];
    } units[] = {
        {1, {"s", "sec", "secs"}},
        {60, {"m", "min", "mins"}},
        {3600, {"h", "hour", "hours"}},
        {86400, {"d", "day", "days"}},
    };
    struct cursor word = {c->s, 0};

    while (word.len < c->len && is_letter(c->s[word.len]))
        word.len++;
    skip(c, word.len);
    for (size_t i = 0; i < COUNT(units); i++)
        for (const char *const *name = units[i].names; *name; name++)
            if (is_text_of_case(word, *name))
                return units[i].seconds;
    return 0;
}

enum duration_fault duration_from_text(const char *s, size_t len, int64_t *ret_seconds)
{
    struct cursor c = {s, len};
    int64_t total = 0, n = 0;
    bool over = false;

    field_trim(&c.s, &c.len);
    if (c.len == 0)
        return DURATION_EMPTY;
    enum integer_fault fault = integer_from_text(c.s, c.len, &n);
    if (fault == INTEGER_OK && n < 0)
        return DURATION_NEGATIVE;
    if (fault != INTEGER_INVALID) {
        if (fault == INTEGER_OK)
            *ret_seconds = n;
        return fault == INTEGER_OK ? DURATION_OK : DURATION_TOO_LONG;
    }
    while (c.len) {
        fault = take_digits(&c, false, &n);
        skip_spaces(&c);
        int unit = fault == INTEGER_INVALID ? 0 : take_unit(&c);
        if (!unit)
            return DURATION_INVALID;
        over |= fault != INTEGER_OK || __builtin_mul_overflow(n, -unit, &n) ||
                __builtin_add_overflow(total, n, &total);
        skip_spaces(&c);
    }
    if (over)
        return DURATION_TOO_LONG;
    *ret_seconds = total;
    return DURATION_OK;
}
