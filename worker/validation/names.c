#include "worker/validation/names.h"

#include "common/utf8.h"

#define TEXT_OF(n) #n
#define LONG_OF(n) "Longer than maximum length " TEXT_OF(n) "."
#define LONG_FAULT LONG_OF(NAME_BYTES_MAX)

bool is_printable(const char *s, size_t len)
{
    return !utf8_has_control(s, len);
}

const char *name_fault(struct text name)
{
    if (name.len > NAME_BYTES_MAX)
        return LONG_FAULT;
    return is_printable(name.s, name.len) ? NULL : CONTROL_FAULT;
}
