#include "worker/validation/job_id.h"

#include "common/text.h"

#include <string.h>

enum { DIGITS = 32 };

/* Removes every occurrence of `word`, in place; returns the new length. */
static size_t remove_word(char *s, size_t len, const char *word)
{
    size_t word_len = strlen(word), out = 0;

    for (size_t in = 0; in < len;) {
        if (len - in >= word_len && memcmp(s + in, word, word_len) == 0)
            in += word_len;
        else
            s[out++] = s[in++];
    }
    return out;
}

static bool is_brace(char c)
{
    return c == '{' || c == '}';
}

bool job_id_valid(const char *s, size_t len)
{
    char text[JOB_ID_MAX];
    size_t start = 0, digits = 0;

    if (len < DIGITS || len > sizeof text)
        return false;
    memcpy(text, s, len);
    len = remove_word(text, len, "urn:");
    len = remove_word(text, len, "uuid:");
    while (start < len && is_brace(text[start]))
        start++;
    while (len > start && is_brace(text[len - 1]))
        len--;
    for (size_t i = start; i < len; i++) {
        if (text[i] == '-')
            continue;
        if (hex_value(text[i]) < 0)
            return false;
        digits++;
    }
    return digits == DIGITS;
}
