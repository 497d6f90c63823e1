#include "common/err.h"

#include <stddef.h>

static const struct {
    int status;
    const char *text;
} errors[] = {
#define ERR(name, status, text) {status, text},
#include "common/err.def"
#undef ERR
};

int err_status(enum err e)
{
    return (unsigned)e < ERR_COUNT_ ? errors[e].status : 500;
}

const char *err_text(enum err e)
{
    return (unsigned)e < ERR_COUNT_ ? errors[e].text : errors[ERR_INTERNAL].text;
}
