#include "common/err.h"

#include <stddef.h>

static const struct {
    int status, retry;
    const char *text;
} errors[] = {
#define ERR(name, status, retry, text) {status, retry, text},
#include "common/err.def"
#undef ERR
};

int err_status(enum err e)
{
    return (unsigned)e < ERR_COUNT_ ? errors[e].status : 500;
}

int err_retry(enum err e)
{
    return (unsigned)e < ERR_COUNT_ ? errors[e].retry : 0;
}

const char *err_text(enum err e)
{
    return (unsigned)e < ERR_COUNT_ ? errors[e].text : errors[ERR_INTERNAL].text;
}
