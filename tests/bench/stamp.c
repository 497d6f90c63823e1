#include "tests/bench/stamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *stamp_room(const char *text, char **ret_at)
{
    const char *mark = strstr(text, STAMP_MARK);
    char *copy;
    int before = mark ? (int)(mark - text) : (int)strlen(text);

    *ret_at = NULL;
    if (asprintf(&copy, "%.*s%s%s%s", before, text, mark ? STAMP_LABEL : "",
                 mark ? "00000000000000000000" : "", mark ? mark + strlen(STAMP_MARK) : "") < 0)
        return NULL;
    if (mark)
        *ret_at = copy + before + strlen(STAMP_LABEL);
    return copy;
}

void stamp_write(char *at, int64_t now_ns)
{
    char digits[STAMP_SIZE + 1];

    snprintf(digits, sizeof digits, "%0*lld", STAMP_SIZE, (long long)now_ns);
    memcpy(at, digits, STAMP_SIZE);
}

int64_t stamp_read(const char *text, size_t len)
{
    const char *label = memmem(text, len, STAMP_LABEL, strlen(STAMP_LABEL));
    char digits[STAMP_SIZE + 1] = "";

    if (!label || (size_t)(label - text) + strlen(STAMP_LABEL) + STAMP_SIZE > len)
        return 0;
    memcpy(digits, label + strlen(STAMP_LABEL), STAMP_SIZE);
    return strtoll(digits, NULL, 10);
}
