#include "worker/auth/restrictions.h"

#include "common/clock.h"

static struct {
    json_t *owners; /* NULL: not read yet */
    int64_t due_ms; /* clock_mono_ms() of the next read */
} known;

static enum err read_all(struct store *s)
{
    json_t *list = NULL, *entry;
    enum err e = store_restricted_list(s, (struct text){NULL, 0}, &list);
    size_t i;

    if (e)
        return e;
    json_decref(known.owners);
    known.owners = json_object();
    json_array_foreach (list, i, entry) {
        const json_t *queue = json_object_get(entry, "queue");
        json_object_setn(known.owners, json_string_value(queue), json_string_length(queue),
                         json_object_get(entry, "owners"));
    }
    json_decref(list);
    return ERR_OK;
}

enum err restrictions_get(struct store *s, const json_t **ret)
{
    int64_t now = clock_mono_ms();

    if (!known.owners || now >= known.due_ms) {
        enum err e = read_all(s);
        if (e)
            return e;
        known.due_ms = now + RESTRICTIONS_MS;
    }
    *ret = known.owners;
    return ERR_OK;
}

void restrictions_changed(void)
{
    known.due_ms = 0;
}
