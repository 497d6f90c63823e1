#include "worker/store/holds.h"

#include <stdio.h>
#include <string.h>

static char letter_of(enum hold_kind kind)
{
    return kind == HOLD_AGENT ? 'a' : 'q';
}

bool hold_id(enum hold_kind kind, struct text name, char out[HOLD_ID_SIZE])
{
    if (!name.s || name.len > NAME_BYTES_MAX || memchr(name.s, 0, name.len))
        return false;
    snprintf(out, HOLD_ID_SIZE, "%c:%.*s", letter_of(kind), (int)name.len, name.s);
    return true;
}

bool hold_range_of(enum hold_kind kind, struct text name, char first[HOLD_ID_SIZE],
                   char last[HOLD_ID_SIZE])
{
    if (!name.s)
        hold_range(kind, first, last);
    return !name.s || (hold_id(kind, name, first) && hold_id(kind, name, last));
}

void hold_range(enum hold_kind kind, char first[HOLD_ID_SIZE], char last[HOLD_ID_SIZE])
{
    snprintf(first, HOLD_ID_SIZE, "%c:", letter_of(kind));
    snprintf(last, HOLD_ID_SIZE, "%c;", letter_of(kind)); /* ';' follows ':' */
}
