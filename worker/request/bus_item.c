#include "worker/request/bus_item.h"

#include "common/mem.h"
#include "common/random.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { ZONE_CHUNK = 1024 };

static bool is_utf8(struct text t)
{
    json_t *s = json_stringn(t.len ? t.s : "", t.len);

    json_decref(s);
    return s != NULL;
}

/* Number of placeholders in the path of a route. Requests that frontends make themselves have a
 * path of "" and carry what they need. */
static size_t params_of(const struct route *route)
{
    size_t n = 0;

    for (const char *p = strchr(route_path(route), '<'); p; p = strchr(p + 1, '<'))
        n++;
    return n;
}

/* The claim's token is the id of the envelope, the answer goes by that of the header. */
static bool same_id(const struct bus_item *it)
{
    char text[REQUEST_ID_SIZE];

    uuid_print(it->header.id, text);
    return strcmp(text, it->request.id) == 0;
}

static bool texts_are_sound(const struct request *r)
{
    for (size_t i = 0; i < r->params_len; i++)
        if (!is_utf8(r->params[i]))
            return false;
    for (size_t i = 0; i < r->query_len; i++)
        if (!is_utf8(r->query[i].name) || !is_utf8(r->query[i].value))
            return false;
    return true;
}

static const char *fault_of(const struct bus_item *it, enum service service)
{
    const struct request *r = &it->request;
    const struct route *route = route_of(r->op);

    if (route_service(route) != service)
        return "its operation is not of this worker's service";
    if (!same_id(it))
        return "its two ids differ";
    if (*route_path(route) && r->params_len != params_of(route))
        return "its parameters are not those of its operation";
    if (!texts_are_sound(r))
        return "its parameters are not UTF-8";
    return NULL;
}

const char *bus_item_decode(struct bus_item *it, enum service service)
{
    mem_check(msgpack_zone_init(&it->zone, ZONE_CHUNK));
    const char *fault = request_unpack(zmq_msg_data(&it->payload), zmq_msg_size(&it->payload),
                                       &it->zone, &it->request)
                            ? "it is no request of this release"
                            : fault_of(it, service);
    if (fault)
        msgpack_zone_destroy(&it->zone);
    return fault;
}

void bus_item_free(struct bus_item *it)
{
    msgpack_zone_destroy(&it->zone);
    zmq_msg_close(&it->payload);
}

void bus_items_free(struct bus_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bus_item_free(&items[i]);
}
