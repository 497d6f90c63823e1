#include "common/envelope.h"

#include "common/mem.h"
#include "common/packed.h"

#include <string.h>

/* Envelopes are maps with small integer keys: a decoder skips unknown keys, so fields can be added.
 */
enum request_key {
    RQ_VERSION,
    RQ_ID,
    RQ_OP,
    RQ_HEAD,
    RQ_RECEIVED,
    RQ_PARAMS,
    RQ_QUERY,
    RQ_HEADERS,
    RQ_PEER,
    RQ_BODY,
    RQ_REQUIRED_,
    RQ_HTTPS = RQ_REQUIRED_
};

enum reply_key {
    RP_VERSION,
    RP_STATUS,
    RP_HEADERS,
    RP_BODY,
    RP_REQUIRED_,
    RP_CLAIMED = RP_REQUIRED_
};

const char *header_name(enum header h)
{
    static const char *const names[HDR_COUNT_] = {
#define HEADER(id, wire, name) [id] = name,
#include "common/headers.def"
#undef HEADER
    };
    return (unsigned)h < HDR_COUNT_ ? names[h] : "";
}

const char *reply_value(const struct reply *r, const char *name)
{
    for (size_t i = 0; i < r->headers_len; i++)
        if (strcmp(r->headers[i].name, name) == 0)
            return r->headers[i].value;
    return NULL;
}

/* The header with this number in headers.def; HDR_COUNT_: this release knows none. */
static unsigned header_of_wire(size_t wire)
{
    static const unsigned char by_wire[HEADER_WIRE_MAX + 1] = {
#define HEADER(id, wire, name) [wire] = 1 + id,
#include "common/headers.def"
#undef HEADER
    };
    return wire <= HEADER_WIRE_MAX && by_wire[wire] ? by_wire[wire] - 1u : HDR_COUNT_;
}

/* One more than the largest number of headers.def. */
static size_t header_wires(void)
{
    size_t n = HEADER_WIRE_MAX + 1;

    while (n && header_of_wire(n - 1) == HDR_COUNT_)
        n--;
    return n;
}

/* Without memory for all of it the process ends: an answer that is cut would be lost, while another
 * worker gives it once more. */
static int write_all(void *out, const char *data, size_t len)
{
    mem_check(msgpack_sbuffer_write(out, data, len) == 0);
    return 0;
}

static void pack_text(msgpack_packer *pk, struct text t)
{
    msgpack_pack_bin(pk, t.len);
    msgpack_pack_bin_body(pk, t.len ? t.s : "", t.len);
}

static void pack_cstr(msgpack_packer *pk, const char *s)
{
    pack_text(pk, (struct text){s, strlen(s)});
}

static void pack_request_lists(msgpack_packer *pk, const struct request *r)
{
    msgpack_pack_uint8(pk, RQ_PARAMS);
    msgpack_pack_array(pk, r->params_len);
    for (size_t i = 0; i < r->params_len; i++)
        pack_text(pk, r->params[i]);
    msgpack_pack_uint8(pk, RQ_QUERY);
    msgpack_pack_array(pk, 2 * r->query_len);
    for (size_t i = 0; i < r->query_len; i++) {
        pack_text(pk, r->query[i].name);
        pack_text(pk, r->query[i].value);
    }
    msgpack_pack_uint8(pk, RQ_HEADERS);
    size_t wires = header_wires();
    msgpack_pack_array(pk, wires);
    for (size_t i = 0; i < wires; i++) {
        unsigned h = header_of_wire(i);
        if (h < HDR_COUNT_ && r->headers[h].s)
            pack_text(pk, r->headers[h]);
        else
            msgpack_pack_nil(pk);
    }
}

enum err request_pack(const struct request *r, msgpack_sbuffer *out)
{
    enum err e = request_pack_head(r, r->body.len, out);

    if (!e && r->body.len)
        write_all(out, r->body.s, r->body.len);
    return e;
}

enum err request_pack_head(const struct request *r, size_t body_len, msgpack_sbuffer *out)
{
    msgpack_packer pk;

    if (r->params_len > ROUTE_PARAMS_MAX || r->query_len > QUERY_MAX || !route_of(r->op) ||
        !route_wire(route_of(r->op)))
        return ERR_INVALID;
    msgpack_packer_init(&pk, out, write_all);
    msgpack_pack_map(&pk, RQ_REQUIRED_ + (r->https ? 1 : 0));
    msgpack_pack_uint8(&pk, RQ_VERSION);
    msgpack_pack_uint8(&pk, ENVELOPE_VERSION);
    msgpack_pack_uint8(&pk, RQ_ID);
    pack_cstr(&pk, r->id);
    msgpack_pack_uint8(&pk, RQ_OP);
    msgpack_pack_uint16(&pk, (uint16_t)route_wire(route_of(r->op)));
    msgpack_pack_uint8(&pk, RQ_HEAD);
    msgpack_pack_uint8(&pk, r->head);
    msgpack_pack_uint8(&pk, RQ_RECEIVED);
    msgpack_pack_int64(&pk, r->received_us);
    pack_request_lists(&pk, r);
    msgpack_pack_uint8(&pk, RQ_PEER);
    pack_text(&pk, r->peer);
    if (r->https) {
        msgpack_pack_uint8(&pk, RQ_HTTPS);
        msgpack_pack_uint8(&pk, 1);
    }
    msgpack_pack_uint8(&pk, RQ_BODY); /* last: the caller puts its bytes behind it */
    msgpack_pack_bin(&pk, body_len);
    return ERR_OK;
}

enum err reply_pack(const struct reply *r, msgpack_sbuffer *out)
{
    msgpack_packer pk;

    if (r->headers_len > REPLY_HEADERS_MAX)
        return ERR_INVALID;
    msgpack_packer_init(&pk, out, write_all);
    msgpack_pack_map(&pk, RP_REQUIRED_ + (r->claimed ? 1 : 0));
    msgpack_pack_uint8(&pk, RP_VERSION);
    msgpack_pack_uint8(&pk, ENVELOPE_VERSION);
    msgpack_pack_uint8(&pk, RP_STATUS);
    msgpack_pack_uint16(&pk, (uint16_t)r->status);
    msgpack_pack_uint8(&pk, RP_HEADERS);
    msgpack_pack_array(&pk, 2 * r->headers_len);
    for (size_t i = 0; i < r->headers_len; i++) {
        pack_cstr(&pk, r->headers[i].name);
        pack_cstr(&pk, r->headers[i].value);
    }
    msgpack_pack_uint8(&pk, RP_BODY);
    pack_text(&pk, r->body);
    if (r->claimed) {
        msgpack_pack_uint8(&pk, RP_CLAIMED);
        msgpack_pack_uint8(&pk, 1);
    }
    return ERR_OK;
}

static bool get_text(const msgpack_object *o, struct text *ret)
{
    if (o->type != MSGPACK_OBJECT_BIN)
        return false;
    *ret = (struct text){o->via.bin.ptr, o->via.bin.size};
    return true;
}

static bool get_uint(const msgpack_object *o, uint64_t max, uint64_t *ret)
{
    if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 > max)
        return false;
    *ret = o->via.u64;
    return true;
}

static bool get_array(const msgpack_object *o, size_t max, const msgpack_object **items,
                      size_t *len)
{
    if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size > max)
        return false;
    *items = o->via.array.ptr;
    *len = o->via.array.size;
    return true;
}

static bool get_id(const msgpack_object *o, char id[REQUEST_ID_SIZE])
{
    struct text t;

    if (!get_text(o, &t) || t.len != REQUEST_ID_SIZE - 1)
        return false;
    memcpy(id, t.s, t.len);
    id[t.len] = '\0';
    return strlen(id) == t.len;
}

static bool get_params(const msgpack_object *o, struct request *r)
{
    const msgpack_object *items;

    if (!get_array(o, ROUTE_PARAMS_MAX, &items, &r->params_len))
        return false;
    for (size_t i = 0; i < r->params_len; i++)
        if (!get_text(&items[i], &r->params[i]))
            return false;
    return true;
}

static bool get_query(const msgpack_object *o, struct request *r)
{
    const msgpack_object *items;
    size_t n;

    if (!get_array(o, 2 * QUERY_MAX, &items, &n) || n % 2)
        return false;
    for (size_t i = 0; i < n / 2; i++)
        if (!get_text(&items[2 * i], &r->query[i].name) ||
            !get_text(&items[2 * i + 1], &r->query[i].value))
            return false;
    r->query_len = n / 2;
    return true;
}

static bool get_headers(const msgpack_object *o, struct request *r)
{
    const msgpack_object *items;
    size_t n;

    if (!get_array(o, HEADER_WIRE_MAX + 1, &items, &n))
        return false;
    for (size_t i = 0; i < n; i++) {
        unsigned h = header_of_wire(i); /* skip: a later release's header */
        if (h < HDR_COUNT_ && items[i].type != MSGPACK_OBJECT_NIL &&
            !get_text(&items[i], &r->headers[h]))
            return false;
    }
    return true;
}

static bool get_request_field(uint64_t key, const msgpack_object *o, struct request *r)
{
    uint64_t n;

    switch (key) {
    case RQ_VERSION:
        return get_uint(o, UINT8_MAX, &n) && n == ENVELOPE_VERSION;
    case RQ_ID:
        return get_id(o, r->id);
    case RQ_OP:
        if (!get_uint(o, UINT16_MAX, &n) || !route_of_wire((unsigned)n))
            return false;
        r->op = route_op(route_of_wire((unsigned)n));
        return true;
    case RQ_HEAD:
        if (!get_uint(o, 1, &n))
            return false;
        r->head = n != 0;
        return true;
    case RQ_RECEIVED:
        if (!get_uint(o, INT64_MAX, &n))
            return false;
        r->received_us = (int64_t)n;
        return true;
    case RQ_PARAMS:
        return get_params(o, r);
    case RQ_QUERY:
        return get_query(o, r);
    case RQ_HEADERS:
        return get_headers(o, r);
    case RQ_PEER:
        return get_text(o, &r->peer);
    case RQ_BODY:
        return get_text(o, &r->body);
    case RQ_HTTPS:
        if (!get_uint(o, 1, &n))
            return false;
        r->https = n != 0;
        return true;
    default:
        return true; /* skip: a later release's field */
    }
}

/* Decodes the outer map; false: data is not exactly one map with unsigned keys. */
static bool get_map(const char *data, size_t len, msgpack_zone *zone, msgpack_object *o)
{
    size_t offset = 0;

    if (!packed_is_sound(data, len))
        return false;
    if (msgpack_unpack(data, len, &offset, zone, o) != MSGPACK_UNPACK_SUCCESS || offset != len ||
        o->type != MSGPACK_OBJECT_MAP)
        return false;
    for (uint32_t i = 0; i < o->via.map.size; i++)
        if (o->via.map.ptr[i].key.type != MSGPACK_OBJECT_POSITIVE_INTEGER)
            return false;
    return true;
}

enum err request_unpack(const char *data, size_t len, msgpack_zone *zone, struct request *ret)
{
    msgpack_object o;
    unsigned seen = 0;

    memset(ret, 0, offsetof(struct request, query));
    ret->query_len = 0;
    memset(ret->headers, 0, sizeof ret->headers);
    ret->peer = ret->body = (struct text){"", 0};
    ret->https = false;
    if (!get_map(data, len, zone, &o))
        return ERR_INVALID;
    for (uint32_t i = 0; i < o.via.map.size; i++) {
        const msgpack_object_kv *kv = &o.via.map.ptr[i];
        if (!get_request_field(kv->key.via.u64, &kv->val, ret))
            return ERR_INVALID;
        if (kv->key.via.u64 < RQ_REQUIRED_)
            seen |= 1u << kv->key.via.u64;
    }
    return seen == (1u << RQ_REQUIRED_) - 1 ? ERR_OK : ERR_INVALID;
}

/* A NUL-terminated copy in the zone. */
static const char *zone_cstr(msgpack_zone *zone, const msgpack_object *o)
{
    struct text t;

    if (!get_text(o, &t))
        return NULL;
    char *s = msgpack_zone_malloc(zone, t.len + 1);
    if (!s)
        return NULL;
    memcpy(s, t.s, t.len);
    s[t.len] = '\0';
    return s;
}

static bool get_reply_headers(const msgpack_object *o, msgpack_zone *zone, struct reply *r)
{
    const msgpack_object *items;
    size_t n;

    if (!get_array(o, 2 * REPLY_HEADERS_MAX, &items, &n) || n % 2)
        return false;
    for (size_t i = 0; i < n / 2; i++) {
        r->headers[i].name = zone_cstr(zone, &items[2 * i]);
        r->headers[i].value = zone_cstr(zone, &items[2 * i + 1]);
        if (!r->headers[i].name || !r->headers[i].value)
            return false;
    }
    r->headers_len = n / 2;
    return true;
}

static bool get_reply_field(uint64_t key, const msgpack_object *o, msgpack_zone *zone,
                            struct reply *r)
{
    uint64_t n;

    switch (key) {
    case RP_VERSION:
        return get_uint(o, UINT8_MAX, &n) && n == ENVELOPE_VERSION;
    case RP_STATUS:
        if (!get_uint(o, 599, &n) || n < 200)
            return false;
        r->status = (int)n;
        return true;
    case RP_HEADERS:
        return get_reply_headers(o, zone, r);
    case RP_BODY:
        return get_text(o, &r->body);
    case RP_CLAIMED:
        if (!get_uint(o, 1, &n))
            return false;
        r->claimed = n != 0;
        return true;
    default:
        return true;
    }
}

enum err reply_unpack(const char *data, size_t len, msgpack_zone *zone, struct reply *ret)
{
    msgpack_object o;
    unsigned seen = 0;

    *ret = (struct reply){.body = {"", 0}};
    if (!get_map(data, len, zone, &o))
        return ERR_INVALID;
    for (uint32_t i = 0; i < o.via.map.size; i++) {
        const msgpack_object_kv *kv = &o.via.map.ptr[i];
        if (!get_reply_field(kv->key.via.u64, &kv->val, zone, ret))
            return ERR_INVALID;
        if (kv->key.via.u64 < RP_REQUIRED_)
            seen |= 1u << kv->key.via.u64;
    }
    return seen == (1u << RP_REQUIRED_) - 1 ? ERR_OK : ERR_INVALID;
}
