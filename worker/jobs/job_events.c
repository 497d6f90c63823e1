#include "worker/jobs/job_events.h"

#include "common/clock.h"
#include "worker/jobs/states.h"

#include <stdbool.h>
#include <string.h>

static bool is_there(const json_t *list, const json_t *event)
{
    const json_t *other;
    size_t i;

    json_array_foreach ((json_t *)(uintptr_t)list, i, other)
        if (json_equal(other, event))
            return true;
    return false;
}

static json_t *text_of(const json_t *event, const char *name)
{
    const json_t *value = json_object_get(event, name);

    return value ? json_incref((json_t *)(uintptr_t)value) : json_string("");
}

static size_t size_of(const json_t *event)
{
    static const char *const names[] = {"event_name", "timestamp", "detail"};
    size_t size = 0;

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        size += json_string_length(json_object_get(event, names[i]));
    return size;
}

json_t *job_events_fit(const json_t *events, size_t max, size_t bytes)
{
    json_t *kept = json_array();
    const json_t *event;
    size_t i, size = 0;

    json_array_foreach ((json_t *)(uintptr_t)events, i, event) {
        size += size_of(event);
        if (size > bytes || json_array_size(kept) == max)
            break;
        json_t *one = json_object();
        json_object_set_new(one, "event_name", text_of(event, "event_name"));
        json_object_set_new(one, "timestamp", text_of(event, "timestamp"));
        json_object_set_new(one, "detail", text_of(event, "detail"));
        if (is_there(kept, one))
            json_decref(one);
        else
            json_array_append_new(kept, one);
    }
    return kept;
}

/* ---- as they are shown ---- */

/* The name of a change that the server makes; NULL: agents make it. */
static const char *name_of(const char *state, const char *reason)
{
    if (strcmp(state, "running") == 0)
        return "job_claimed";
    if (strcmp(state, "waiting") == 0 && reason && strncmp(reason, "retry ", 6) == 0)
        return "job_retried";
    if (strcmp(state, "waiting") == 0)
        return reason ? "job_orphaned" : "job_returned";
    if (strcmp(state, "cancelled") == 0)
        return reason && strncmp(reason, "orphaned:", 9) == 0 ? "job_lost" : "job_cancelled";
    return NULL;
}

static int64_t at_of(const json_t *entry)
{
    return json_integer_value(json_object_get(entry, "at"));
}

static void add_change(json_t *list, const json_t *change)
{
    const char *state = json_string_value(json_object_get(change, "state"));
    const char *reason = json_string_value(json_object_get(change, "reason"));
    const char *name = state ? name_of(state, reason) : NULL;
    char when[CLOCK_TEXT_SIZE];

    if (!name)
        return;
    clock_rfc3339(at_of(change), when);
    json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "event_name", name, "timestamp", when,
                                          "detail", reason ? reason : ""));
}

/* Whether the entry came after the change of this number. Times of two workers may differ, so what
 * it says itself counts; but once there were HISTORY_MAX changes, the oldest are gone. */
static bool is_after(const json_t *entry, const json_t *changes, size_t k)
{
    size_t n = json_array_size(changes);
    const json_t *after = json_object_get(entry, "after");

    if (json_is_integer(after) && n < HISTORY_MAX && json_integer_value(after) <= (json_int_t)n)
        return (json_int_t)k < json_integer_value(after);
    return at_of(json_array_get(changes, k)) <= at_of(entry);
}

json_t *job_events_merged(const json_t *posted, const json_t *changes)
{
    json_t *list = json_array();
    const json_t *entry;
    size_t i, k = 0, n = json_array_size(changes);

    json_array_foreach ((json_t *)(uintptr_t)posted, i, entry) {
        for (; k < n && is_after(entry, changes, k); k++)
            add_change(list, json_array_get(changes, k));
        json_array_append(list, json_object_get(entry, "event"));
    }
    for (; k < n; k++)
        add_change(list, json_array_get(changes, k));
    return list;
}
