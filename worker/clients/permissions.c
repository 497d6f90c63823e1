#include "worker/clients/permissions.h"

#include <stdio.h>
#include <string.h>

/* The queue's name as it fits into a message. */
#define SHOWN_MAX 800

static int shown(struct text queue)
{
    return (int)(queue.len < SHOWN_MAX ? queue.len : SHOWN_MAX);
}

/* A number as an integer; 0, which grants nothing, for any other value. */
static int64_t as_integer(const json_t *value)
{
    if (json_is_integer(value))
        return json_integer_value(value);
    double real = json_is_real(value) ? json_real_value(value) : 0;
    return real >= (double)INT64_MAX ? INT64_MAX : real > 0 ? (int64_t)real : 0;
}

/* What a permission by queue grants: the best of its own entry, the one for all ("*"), and 0. */
static int64_t granted(const json_t *permissions, const char *name, struct text queue)
{
    const json_t *by_queue = json_object_get(permissions, name);
    int64_t all = as_integer(json_object_get(by_queue, "*"));
    int64_t own = as_integer(json_object_getn(by_queue, queue.s, queue.len));
    int64_t best = all > own ? all : own;

    return best > 0 ? best : 0;
}

bool permissions_allow_queue(const json_t *permissions, struct text queue)
{
    const json_t *allowed = json_object_get(permissions, "allowed_queues"), *name;
    size_t i;

    json_array_foreach (allowed, i, name)
        if (json_string_length(name) == queue.len && json_is_string(name) &&
            memcmp(json_string_value(name), queue.s, queue.len) == 0)
            return true;
    return false;
}

bool permissions_needed(const struct job_wish *w)
{
    return w->priority != 0 || w->restricted || w->reservation > RESERVATION_FREE;
}

static bool allow_priority(const json_t *p, const struct job_wish *w, struct job_refusal *ret)
{
    long long n = w->priority;

    if (n == 0)
        return true;
    if (json_object_size(p) == 0) {
        ret->status = 401;
        snprintf(ret->text, sizeof ret->text, "Authentication required for setting priority: %lld",
                 n);
        return false;
    }
    if (n <= granted(p, "max_priority", w->queue))
        return true;
    ret->status = 403;
    snprintf(ret->text, sizeof ret->text,
             "Not enough permissions to push to %.*s with priority %lld", shown(w->queue),
             w->queue.s, n);
    return false;
}

static bool allow_restricted(const json_t *p, const struct job_wish *w, struct job_refusal *ret)
{
    bool none = json_object_size(p) == 0;

    if (!w->restricted || permissions_allow_queue(p, w->queue))
        return true;
    ret->status = none ? 401 : 403;
    snprintf(ret->text, sizeof ret->text,
             none ? "Authentication required to push to restricted queue: %.*s"
                  : "Not enough permissions to push to the restricted queue: %.*s",
             shown(w->queue), w->queue.s);
    return false;
}

int64_t permissions_reservation_max(const json_t *permissions, struct text queue)
{
    int64_t own = granted(permissions, "max_reservation_time", queue);

    return own > RESERVATION_FREE ? own : RESERVATION_FREE;
}

static bool allow_reservation(const json_t *p, const struct job_wish *w, struct job_refusal *ret)
{
    long long n = w->reservation;

    if (n <= RESERVATION_FREE)
        return true;
    if (json_object_size(p) == 0) {
        ret->status = 401;
        snprintf(ret->text, sizeof ret->text, "Authentication required for setting timeout: %lld",
                 n);
        return false;
    }
    if (n <= granted(p, "max_reservation_time", w->queue))
        return true;
    ret->status = 403;
    snprintf(ret->text, sizeof ret->text,
             "Not enough permissions to push to %.*s with reservation timeout %lld",
             shown(w->queue), w->queue.s, n);
    return false;
}

bool permissions_allow(const json_t *permissions, const struct job_wish *w, struct job_refusal *ret)
{
    return allow_priority(permissions, w, ret) && allow_restricted(permissions, w, ret) &&
           allow_reservation(permissions, w, ret);
}
