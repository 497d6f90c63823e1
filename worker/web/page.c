#include "worker/web/page.h"

#include "common/accept.h"
#include "common/log.h"
#include "common/op.h"
#include "worker/http/etag.h"
#include "worker/http/query.h"
#include "worker/web/render.h"
#include "worker/web/values.h"
#include "worker/web/visitor.h"

#include "generated/STATIC_FILES.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_HTML "text/html; charset=utf-8"

bool page_is_open(const struct call *c)
{
    return c->cfg->auth != AUTH_LOGIN || (c->caller.has_token && (c->caller.role & ROLES_USERS));
}

static bool wants_json(const struct call *c)
{
    return accept_json(c->request->headers[HDR_ACCEPT]);
}

/* "/static/app.HASH.css": the name says which content it is, so that browsers keep it for ever. */
static json_t *static_urls(void)
{
    json_t *urls = json_object();

#define ROW(id, name, hash, path)                                                                  \
    json_object_set_new(urls, #id,                                                                 \
                        json_sprintf("/static/%.*s.%s%s", (int)strcspn(name, "."), name, hash,     \
                                     strchr(name, '.')));
    STATIC_FILES(ROW)
    return urls;
}

/* The menu; the page's own section is marked. */
static json_t *menu(const struct call *c)
{
    static const struct {
        const char *url, *text;
        bool signed_in; /* only for who is */
        unsigned op;    /* only for who may use this row; 0: all */
    } items[] = {{"/", "Overview", false, 0},
                 {"/jobs", "Jobs", false, 0},
                 {"/agents", "Agents", false, 0},
                 {"/queues", "Queues", false, 0},
                 {"/docs", "API docs", false, 0},
                 {"/jobs?submitter=me", "My jobs", true, 0},
                 {"/admin/clients", "Admin", true, OP_PAGE_CLIENTS}};
    const char *path = route_path(c->route);
    size_t section = strcspn(path + 1, "/") + 1;
    json_t *all = json_array();

    for (size_t i = 0; i < sizeof items / sizeof *items; i++) {
        size_t len = strcspn(items[i].url + 1, "/") + 1;
        if ((items[i].signed_in && !c->caller.has_token) ||
            (items[i].op && !visitor_may(c, items[i].op)))
            continue;
        json_array_append_new(
            all, json_pack("{s:s, s:s, s:b}", "url", items[i].url, "text", items[i].text, "current",
                           len == section && memcmp(items[i].url, path, section) == 0));
    }
    return all;
}

/* What was done, as the address tells that an action leads to; null: nothing that is known. */
static json_t *notice(const struct call *c)
{
    static const struct {
        const char *done, *text;
    } all[] = {
        {"cancelled", "The job is cancelled."},
        {"mode", "The mode is set."},
        {"submitted", "The job is submitted."},
        {"attached", "The attachments are stored."},
        {"paused", "The queue is paused."},
        {"resumed", "The queue is resumed."},
        {"saved", "The client is saved."},
        {"removed", "The client is removed."},
        {"allowed", "The client may submit to the queue."},
        {"disallowed", "The client may not submit to the queue any more."},
        {"revoked", "The token is revoked."},
        {"resent", "The events are sent again."},
        {"unseen", "The client is saved, but its secret was lost on the way: make another."}};
    struct text done;

    if (query_first(c->request, "done", &done))
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            if (text_is(done, all[i].done))
                return json_string(all[i].text);
    return json_null();
}

/* What every page has. */
static json_t *site(const struct call *c)
{
    json_t *site = static_urls();

    json_object_set_new(site, "title", json_string(c->cfg->web_title));
    json_object_set_new(site, "version", json_string(PROJECT_VERSION));
    json_object_set_new(site, "has_menu", json_boolean(page_is_open(c)));
    json_object_set_new(site, "nav", menu(c));
    json_object_set_new(site, "done", notice(c));
    json_object_set_new(site, "user", visitor_user(c));
    json_object_set_new(site, "csrf", json_string(c->caller.form));
    json_object_set_new(site, "sign_in", visitor_sign_in(c));
    return site;
}

/* Answers with the template, of a model with `site`; a fault is a defect, answered with the text of
 * an error. */
static void reply_html(struct call *c, int status, const char *name, const json_t *model)
{
    char fault[RENDER_FAULT_SIZE];
    size_t len;

    char *page = render(name, model, &len, fault);
    if (page) {
        reply_bytes(c, status, TYPE_HTML, page, len);
    } else {
        log_error("request %s, %s: the page cannot be made: %s; this is a defect, report it",
                  c->request->id, route_name(c->route), fault);
        reply_err(c, ERR_INTERNAL);
    }
    free(page);
}

/* Covers the model, with `site` where it becomes HTML, and the form that it is answered in. */
static void tag_of(const json_t *model, bool json, char out[ETAG_SIZE])
{
    struct etag *t = etag_new();

    etag_add_json(t, model);
    if (!json)
        etag_add(t, templates_hash(), strlen(templates_hash()));
    etag_end(t, out);
}

/* The answer to a form is for once: it may hold a secret. */
static bool is_for_once(const struct call *c)
{
    return route_method(c->route) != HTTP_GET;
}

static void set_caching(struct call *c)
{
    reply_header(c, "Cache-Control", is_for_once(c) ? "no-store" : "private, no-cache");
    reply_header(c, "Vary", "Accept, Accept-Encoding, Cookie");
}

void page_reply(struct call *c, int status, json_t *model)
{
    bool json = wants_json(c);
    char tag[ETAG_SIZE];

    if (!model) {
        log_error("request %s, %s: the page has no model; this is a defect, report it",
                  c->request->id, route_name(c->route));
        reply_err(c, ERR_INTERNAL);
        return;
    }
    if (!json)
        json_object_set_new(model, "site", site(c));
    if (!is_for_once(c))
        tag_of(model, json, tag);
    if (status == 200 && !is_for_once(c) && reply_unchanged(c, tag))
        reply_header(c, "Content-Type", json ? "application/json" : TYPE_HTML);
    else if (json)
        reply_json(c, status, json_incref(model));
    else
        reply_html(c, status, route_page(c->route), model);
    json_decref(model);
    set_caching(c);
}

void page_see_other(struct call *c, json_t *url)
{
    reply_text(c, 303, "");
    reply_header(c, "Location", json_is_string(url) ? json_string_value(url) : "/");
    reply_header(c, "Cache-Control", "no-store");
    json_decref(url);
}

json_t *page_dashboard(const struct call *c, const char *variable, struct text name)
{
    const char *url = c->cfg->grafana_url;

    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return json_null();
    json_t *before = json_sprintf("%s%svar-%s=", url, strchr(url, '?') ? "&" : "?", variable);
    json_t *whole = page_url(json_string_value(before), name, "");
    json_decref(before);
    return whole;
}

/* ---- errors ---- */

#define NAME_SHOWN 256 /* bytes of a name that is not there */

void page_not_found(struct call *c, const char *what, struct text name)
{
    size_t len = name.len;

    for (; len > NAME_SHOWN || (len < name.len && ((unsigned char)name.s[len] & 0xc0) == 0x80);)
        len = len > NAME_SHOWN ? NAME_SHOWN : len - 1;
    reply_error(c, 404, "%s not found: %.*s", what, (int)len, name.s);
}

/* The faults of a query, a path or the API's body that a form was made to, as a list. */
static json_t *faults_of(const json_t *error)
{
    const json_t *detail = json_object_get(error, "detail");
    json_t *all = json_array(), *faults, *texts;
    const char *where, *name;

    json_object_foreach ((json_t *)(uintptr_t)detail, where, faults)
        json_object_foreach (faults, name, texts)
            json_array_append_new(
                all,
                json_pack("{s:s, s:o}", "name", name, "text",
                          page_value(json_is_array(texts) ? json_array_get(texts, 0) : texts)));
    return all;
}

static const char *title_of(int status)
{
    return status == 401   ? "Sign in"
           : status == 403 ? "Not allowed"
           : status == 404 ? "Not found"
           : status == 409 ? "Too late"
           : status >= 500 ? "Not available"
                           : "Not understood";
}

void page_end(struct call *c)
{
    json_t *error;

    if (!route_is_web(c->route) || c->reply.status < 400 || wants_json(c) ||
        !(error = json_loadb(c->reply.body.s, c->reply.body.len, JSON_ALLOW_NUL, NULL)))
        return;
    json_t *faults = faults_of(error), *message = json_object_get(error, "message");
    json_t *model =
        json_pack("{s:s, s:i, s:o, s:b, s:o, s:b, s:s, s:o}", "title", title_of(c->reply.status),
                  "status", c->reply.status, "message", page_value(message), "has_faults",
                  json_array_size(faults) > 0, "faults", faults, "is_server",
                  c->reply.status >= 500, "request_id", c->request->id, "sign_in",
                  !c->caller.has_token && (c->reply.status == 401 || c->reply.status == 403)
                      ? visitor_sign_in(c)
                      : json_null());
    int status = c->reply.status;
    json_object_set_new(model, "site", site(c));
    reply_html(c, status, "error", model);
    json_decref(model);
    json_decref(error);
    set_caching(c);
}
