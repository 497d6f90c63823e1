/* Queues that only some clients may submit to. */
#include "worker/auth/restrictions.h"
#include "worker/auth/security_log.h"
#include "worker/encoding/json_string.h"
#include "worker/http/jsonbody.h"
#include "worker/http/listing.h"
#include "worker/request/call.h"
#include "worker/request/path_name.h"
#include "worker/validation/schemas.h"

handler_fn h_restricted_list, h_restricted_get, h_restricted_add, h_restricted_delete;

#define NOT_RESTRICTED "Error: Restricted queue not found."
#define NO_CLIENT_ID   "Error: Missing client ID."
#define NO_CLIENT      "Error: Specified client_id does not exist."
#define NO_AGENT       "Error: No agent is associated with the specified queue."

void h_restricted_list(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *queues = NULL;
    struct listing list;

    (void)n;
    if (!listing_begin(&list, c, false))
        return;
    enum err e = store_restricted_list(c->store, (struct text){0}, &queues);
    if (e) {
        reply_err(c, e);
    } else {
        listing_take_sorted(&list, queues, "queue");
        listing_reply(&list, NULL);
    }
    listing_drop(&list);
    json_decref(queues);
}

void h_restricted_get(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    json_t *list;
    enum err e = store_restricted_list(c->store, c->request->params[0], &list);

    (void)n;
    if (e == ERR_NOT_FOUND) {
        reply_error(c, 404, NOT_RESTRICTED);
    } else if (e) {
        reply_err(c, e);
    } else {
        reply_json(c, 200, json_incref(json_array_get(list, 0)));
        json_decref(list);
    }
}

/* Whether the queue may be restricted for the client. False: answered. */
static bool may_restrict(struct call *c, struct text queue, struct text client_id)
{
    json_t *client = NULL, *nobody = json_array();
    bool served = false;
    enum err e = store_client_get(c->store, client_id, &client);

    json_decref(client);
    if (!e)
        e = store_queue_serves(c->store, queue, nobody, &served);
    json_decref(nobody);
    if (e == ERR_NOT_FOUND)
        reply_error(c, 404, NO_CLIENT);
    else if (e)
        reply_err(c, e);
    else if (!served)
        reply_error(c, 404, NO_AGENT);
    return !e && served;
}

static void done(struct call *c, const char *action, struct text client_id)
{
    audit(c, action, c->request->params[0],
          json_pack("{s:s#}", "client_id", client_id.s, client_id.len));
    reply_text(c, 200, "OK");
}

void h_restricted_add(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text queue = c->request->params[0];
    json_t *body = json_body_load(c, &schema_restricted, 0);
    struct text client_id = json_string_text(json_object_get(body, "client_id"));

    (void)n;
    if (!body)
        return;
    if (!client_id.len) {
        reply_error(c, 400, NO_CLIENT_ID);
    } else if (name_of_path_is_fine(c, "queue") && !audit_repeat_answered(c) &&
               may_restrict(c, queue, client_id)) {
        enum err e = store_queue_restrict(c->store, queue, client_id);
        restrictions_changed();
        if (e == ERR_NOT_FOUND)
            reply_error(c, 404, NO_CLIENT);
        else if (e)
            reply_err(c, e);
        else
            done(c, "queue.restrict", client_id);
    }
    json_decref(body);
}

/* Whether the queue is restricted. False: answered. */
static bool is_restricted(struct call *c, struct text queue)
{
    struct queue_check check = {.queue = queue};
    enum err e = store_queues_restricted(c->store, &check, 1);

    if (e)
        reply_err(c, e);
    else if (!check.restricted)
        reply_error(c, 404, NOT_RESTRICTED);
    return !e && check.restricted;
}

void h_restricted_delete(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct text queue = c->request->params[0];
    json_t *body = json_body_load(c, &schema_restricted, 0);
    struct text client_id = json_string_text(json_object_get(body, "client_id"));

    (void)n;
    if (!body)
        return;
    if (!audit_repeat_answered(c) && (c->repeat || is_restricted(c, queue))) {
        if (!client_id.len) {
            reply_error(c, 400, NO_CLIENT_ID);
        } else {
            enum err e = store_queue_unrestrict(c->store, queue, client_id);
            restrictions_changed();
            if (e && !(e == ERR_NOT_FOUND && c->repeat))
                e == ERR_NOT_FOUND ? reply_error(c, 404, NOT_RESTRICTED) : reply_err(c, e);
            else
                done(c, "queue.unrestrict", client_id);
        }
    }
    json_decref(body);
}
