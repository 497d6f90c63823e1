#include "worker/store/store.h"

#include "common/beat.h"
#include "common/log.h"

#include <string.h>

/* A MongoDB call that waits for its socket, then for a server, and is tried once more. */
enum { LONGEST_TIMEOUTS = 6 };

typedef enum err open_fn(const char *uri, const struct config *cfg, struct store **ret);

static const struct {
    const char *scheme;
    open_fn *open;
    bool one_writer;
} back_ends[] = {
    {"sqlite:", sqlite_open, true},
    {"mongodb://", mongo_open, false},
    {"mongodb+srv://", mongo_open, false},
};

/* The number of the URI's row in back_ends, or that of rows. */
static size_t back_end_of(const char *uri)
{
    size_t i = 0;

    while (i < sizeof back_ends / sizeof *back_ends &&
           strncmp(uri, back_ends[i].scheme, strlen(back_ends[i].scheme)) != 0)
        i++;
    return i;
}

bool store_has_one_writer(const char *uri)
{
    size_t i = back_end_of(uri);

    return i < sizeof back_ends / sizeof *back_ends && back_ends[i].one_writer;
}

/* Building indexes and migrations may take minutes. */
static enum err open_excused(open_fn *open, const char *uri, const struct config *cfg,
                             struct store **ret)
{
    beat_excused(true);
    enum err e = open(uri, cfg, ret);
    beat_excused(false);
    return e;
}

unsigned store_longest_s(const struct config *cfg)
{
    return (unsigned)(LONGEST_TIMEOUTS * cfg->store_timeout / 1000 + 1);
}

enum err store_open(const char *uri, const struct config *cfg, struct store **ret)
{
    size_t i = back_end_of(uri);

    if (i < sizeof back_ends / sizeof *back_ends)
        return open_excused(back_ends[i].open, uri, cfg, ret);
    log_error("the store's URI must begin with sqlite: or mongodb://; set --store");
    return ERR_INVALID;
}

void store_close(struct store *s)
{
    if (s)
        s->ops->close(s);
}
