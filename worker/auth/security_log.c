#include "worker/auth/security_log.h"

#include "common/log.h"
#include "common/mem.h"
#include "common/utf8.h"
#include "worker/clients/roles.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define APPID      "com.canonical.testflinger"
#define SHOWN_MAX  300 /* bytes of a text in an event: the line must stay below LOG_LINE_MAX */
#define EVENT_MAX  800 /* of the event's name with its parameters: two client ids and permissions */
#define LINE_FLAGS (JSON_COMPACT | JSON_ENCODE_ANY)

static const char *const level_names[] = {"INFO", "WARN", "CRITICAL"};

/* A text as JSON, cut to at most `max` bytes. Control characters (C1 too), ends of lines and bytes
 * that are no UTF-8 become '?': clients can neither forge lines nor control a terminal. */
static json_t *shown(const char *s, size_t len, size_t max)
{
    char out[EVENT_MAX];
    size_t used = 0, n;

    for (size_t i = 0; i < len; i += n ? n : 1) {
        n = utf8_sequence(s + i, len - i);
        bool bad = !n || utf8_is_control(s + i, n) || utf8_ends_line(s + i, n);
        if (used + (bad ? 1 : n) > max)
            break;
        if (bad)
            out[used++] = '?';
        else
            memcpy(out + used, s + i, n), used += n;
    }
    return json_stringn(out, used);
}

static void set(json_t *event, const char *name, struct text t)
{
    if (t.len)
        json_object_set_new(event, name, shown(t.s, t.len, SHOWN_MAX));
}

/* ISO 8601 with microseconds and offset. */
static void set_datetime(json_t *event)
{
    struct timespec now;
    struct tm tm;
    char seconds[32], text[64];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(text, sizeof text, "%s.%06ld+00:00", seconds, now.tv_nsec / 1000);
    json_object_set_new(event, "datetime", json_string(text));
}

/* host_ip and port of the Host header: HOST, HOST:PORT, [HOST]:PORT. */
static void set_host(json_t *event, struct text host)
{
    const char *colon = host.s ? memrchr(host.s, ':', host.len) : NULL;
    const char *bracket = host.s ? memchr(host.s, ']', host.len) : NULL;
    struct text port = {0};

    if (colon && (!bracket || colon > bracket)) {
        port = (struct text){colon + 1, (size_t)(host.s + host.len - colon - 1)};
        host.len = (size_t)(colon - host.s);
    }
    set(event, "host_ip", host);
    set(event, "port", port);
}

/* The path of a request: that of its route with the parameters in it. */
static void set_uri(json_t *event, const struct call *c)
{
    char path[SHOWN_MAX];
    size_t used = 0, param = 0;

    for (const char *s = route_path(c->route); *s && used + 1 < sizeof path;) {
        if (*s != '<') {
            path[used++] = *s++;
            continue;
        }
        if (param < c->request->params_len) {
            struct text t = c->request->params[param++];
            size_t n = t.len < sizeof path - used ? t.len : sizeof path - used;
            memcpy(path + used, t.s, n);
            used += n;
        }
        s += strcspn(s, ">");
        s += *s == '>';
    }
    set(event, "request_uri", (struct text){path, used});
}

static json_t *event_new(const struct call *c, enum security_level level, const char *description,
                         const char *name)
{
    json_t *event = json_object();
    const char *hostname = getenv("HOSTNAME");

    set_datetime(event);
    json_object_set_new(event, "type", json_string("security"));
    json_object_set_new(event, "appid", json_string(APPID));
    json_object_set_new(event, "event", shown(name, strlen(name), EVENT_MAX));
    json_object_set_new(event, "level", json_string(level_names[level]));
    json_object_set_new(event, "description", shown(description, strlen(description), SHOWN_MAX));
    set(event, "source_ip", c->request->peer);
    set_host(event, c->request->headers[HDR_HOST]);
    if (hostname)
        set(event, "hostname", (struct text){hostname, strlen(hostname)});
    json_object_set_new(event, "protocol", json_string(c->request->https ? "https" : "http"));
    set_uri(event, c);
    json_object_set_new(
        event, "request_method",
        json_string(c->request->head ? "HEAD" : http_method_name(route_method(c->route))));
    json_object_set_new(event, "request_id", json_string(c->request->id));
    return event;
}

/* The kind of an event that comes of a refused call, which anybody can cause at will; "": another,
 * which is never left out. */
static const char *refusal_kind(const char *name)
{
    static const char *const kinds[] = {"authn_login_fail:", "authn_login_lock:",
                                        "authn_token_reuse:", "authz_fail:", "authz_admin:"};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(name, kinds[i], strlen(kinds[i])) == 0)
            return kinds[i];
    return "";
}

/* Events that wait for the store. */
static struct {
    bool on;
    struct {
        const struct call *call;
        char *line;
    } * events;
    size_t len;
} held;

void security_hold(void)
{
    held.on = true;
}

void security_release(void)
{
    for (size_t i = 0; i < held.len; i++) {
        if (held.events[i].call->reply.status < 500)
            log_line("", held.events[i].line, strlen(held.events[i].line));
        free(held.events[i].line);
    }
    free(held.events);
    held.events = NULL;
    held.len = 0;
    held.on = false;
}

/* Takes the line. */
static void hold(const struct call *c, char *line)
{
    held.events = mem_realloc(held.events, (held.len + 1) * sizeof *held.events);
    held.events[held.len].call = c;
    held.events[held.len++].line = line;
}

void security_event(const struct call *c, enum security_level level, const char *description,
                    const char *fmt, ...)
{
    char name[EVENT_MAX + 4]; /* longer than what is shown: the cut falls between characters */
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    const char *kind = refusal_kind(name);
    if (*kind && !log_admit(kind, c->request->peer.s, c->request->peer.len))
        return;
    json_t *event = event_new(c, level, description, name);
    char *line = json_dumps(event, LINE_FLAGS);
    json_decref(event);
    if (line && held.on && !*kind) {
        hold(c, line);
        return;
    }
    if (line)
        log_line(kind, line, strlen(line));
    free(line);
}

int security_shown_len(struct text client_id)
{
    return (int)(client_id.len < SECURITY_NAME_SIZE ? client_id.len : SECURITY_NAME_SIZE);
}

const char *security_caller(const struct call *c, char out[SECURITY_NAME_SIZE])
{
    struct text id = caller_id(c);

    if (id.len)
        snprintf(out, SECURITY_NAME_SIZE, "%.*s",
                 (int)(id.len < SECURITY_NAME_SIZE ? id.len : SECURITY_NAME_SIZE - 1), id.s);
    else
        snprintf(out, SECURITY_NAME_SIZE, "unauthenticated");
    return out;
}

void security_refused(const struct call *c, const char *description)
{
    char name[SECURITY_NAME_SIZE];
    json_t *event = json_object();

    set_uri(event, c);
    security_event(c, SECURITY_CRITICAL, description, "authz_fail:%s,%s", security_caller(c, name),
                   json_string_value(json_object_get(event, "request_uri")));
    json_decref(event);
}

static void entry_id(const struct call *c, const char *suffix, char out[AUDIT_ID_SIZE])
{
    snprintf(out, AUDIT_ID_SIZE, "%016llx-%s%s", (unsigned long long)c->request->received_us,
             c->request->id, suffix);
}

enum err audit_find(struct call *c, char action[AUDIT_ACTION_SIZE])
{
    char id[AUDIT_ID_SIZE];

    entry_id(c, "", id);
    enum err e = store_audit_find(c->store, id, action);
    if (e && e != ERR_NOT_FOUND)
        reply_err(c, e);
    return e;
}

enum err audit_detail(struct call *c, json_t **ret)
{
    char id[AUDIT_ID_SIZE], before[AUDIT_ID_SIZE + 1];
    bool cut = false;
    struct audit_query query = {.before = before, .limit = 1, .cut = &cut};
    json_t *entries = NULL;

    entry_id(c, "", id);
    snprintf(before, sizeof before, "%s!", id); /* above the entry and below all later ones */
    enum err e = store_audit_list(c->store, &query, &entries);
    const json_t *entry = json_array_get(entries, 0);
    const json_t *detail = json_object_get(entry, "detail");
    if (e)
        reply_err(c, e);
    else if (!detail || strcmp(json_string_value(json_object_get(entry, "id")), id) != 0)
        e = ERR_NOT_FOUND;
    else
        *ret = json_incref((json_t *)(uintptr_t)detail);
    json_decref(entries);
    return e;
}

bool audit_repeat_answered(struct call *c)
{
    char action[AUDIT_ACTION_SIZE];
    enum err e = audit_find(c, action);

    if (!e)
        reply_text(c, 200, "OK");
    return e != ERR_NOT_FOUND;
}

static void add_entry(const struct call *c, const char *suffix, const char *action,
                      struct text target, json_t *detail)
{
    struct audit_entry entry = {.at_ms = c->request->received_us / 1000,
                                .actor = caller_id(c),
                                .role = c->caller.has_token ? role_name(c->caller.role) : "",
                                .action = action,
                                .target = target,
                                .detail = detail,
                                .address = c->request->peer};

    entry_id(c, suffix, entry.id);
    enum err e = store_audit_add(c->store, &entry);
    if (e)
        log_error("%s was done but is missing in the audit trail: %s; the message before says why",
                  action, err_text(e));
    json_decref(detail);
}

void audit(const struct call *c, const char *action, struct text target, json_t *detail)
{
    add_entry(c, "", action, target, detail);
}

void audit_also(const struct call *c, const char *action, struct text target, json_t *detail)
{
    add_entry(c, "+", action, target, detail);
}
