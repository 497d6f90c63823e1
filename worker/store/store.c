#include "worker/store/store.h"

#include "common/log.h"

#include <string.h>

static const struct {
    const char *scheme;
    enum err (*open)(const char *uri, const struct config *cfg, struct store **ret);
} back_ends[] = {
    {"sqlite:", sqlite_open},
    {"mongodb://", mongo_open},
    {"mongodb+srv://", mongo_open},
};

enum err store_open(const char *uri, const struct config *cfg, struct store **ret)
{
    for (size_t i = 0; i < sizeof back_ends / sizeof *back_ends; i++)
        if (strncmp(uri, back_ends[i].scheme, strlen(back_ends[i].scheme)) == 0)
            return back_ends[i].open(uri, cfg, ret);
    log_error("the store's URI must begin with sqlite: or mongodb://; set --store");
    return ERR_INVALID;
}

void store_close(struct store *s)
{
    if (s)
        s->ops->close(s);
}
