/* Messages of each release are kept in tests/messages/RELEASE/NAME.msgpack. NAME.txt beside it
 * says what the message holds: a line for each field that is not 0 or empty. All must decode for
 * ever.
 *
 *     messages_test            tests
 *     messages_test --write    writes the missing files of this release (docs/development.md)
 *
 * If you add a field to a message, add it to the samples and to say_...() here: as a line only
 * where the field is set, so that the texts of older releases stay true. */
#include "common/bus.h"
#include "common/envelope.h"
#include "common/file.h"
#include "common/follow.h"
#include "common/op.h"

#include <glob.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define PATH_SIZE 512
#define ID        "3061da05-1092-4b23-92a6-c7aab787e134"
#define FILE_INFO "66aa00112233445566778899 300000 261120 1700000000123 " ID ".artifact"
/* clang-format off */
#define TEXT(s)   {s, sizeof s - 1}
/* clang-format on */

static const char folder[] = MESSAGES_FOLDER "/" PROJECT_VERSION;

/* ---- samples ---- */

#define NAME(type) [BUS_##type] = #type
static const char *const types[BUS_WAKE + 1] = {
    NAME(HELLO),   NAME(READY), NAME(PING),   NAME(BYE),
    NAME(REQUEST), NAME(REPLY), NAME(REJECT), NAME(WAKE),
};

static const struct {
    const char *name;
    struct bus_header h;
    uint8_t ops[3]; /* of READY */
} headers[] = {
    {"HELLO", {.type = BUS_HELLO, .instance = UINT64_MAX, .key = "1.2.3", .key_len = 5}, {0}},
    {"HELLO-bare", {.type = BUS_HELLO}, {0}},
    {"READY",
     {.type = BUS_READY, .service = SERVICE_LOGIN, .window = 7, .key = "1.2.3", .key_len = 5},
     {2, 54, 254}},
    {"READY-bare", {.type = BUS_READY, .service = SERVICE_API}, {0}},
    {"READY-one-writer",
     {.type = BUS_READY, .service = SERVICE_API, .one_writer = true},
     {2, 54, 254}},
    {"PING", {.type = BUS_PING, .instance = 0x0123456789abcdef}, {0}},
    {"BYE", {.type = BUS_BYE, .instance = 0x0123456789abcdef}, {0}},
    {"BYE-bare", {.type = BUS_BYE}, {0}},
    {"REQUEST",
     {.type = BUS_REQUEST,
      .service = SERVICE_API,
      .id = "0123456789abcde",
      .ttl_ms = 30000,
      .attempt = 3,
      .origin = 0xfedcba9876543210,
      .subject = 5u << BUS_SUBJECT_OP_SHIFT | 0x123456,
      .key = "queue \xc3\xa4\0q",
      .key_len = 10},
     {0}},
    {"REQUEST-bare", {.type = BUS_REQUEST, .service = SERVICE_WEBHOOK, .id = {1}}, {0}},
    {"REPLY", {.type = BUS_REPLY, .id = "0123456789abcde"}, {0}},
    {"REPLY-took", {.type = BUS_REPLY, .id = "0123456789abcde", .took_us = UINT32_MAX}, {0}},
    {"REJECT", {.type = BUS_REJECT, .id = "0123456789abcde", .err = ERR_NO_WORKER}, {0}},
    {"WAKE", {.type = BUS_WAKE, .key = "queue", .key_len = 5}, {0}},
};

static const struct request requests[] = {
    {.id = ID,
     .op = OP_RESULT_PUT,
     .head = true,
     .received_us = 1700000000123456,
     .params = {TEXT("a\0b"), TEXT("\xf0\x9f\x98\x80")},
     .params_len = 2,
     .query = {{TEXT("queue"), TEXT("")}, {TEXT("x"), TEXT("\xc3\xa4\n")}},
     .query_len = 2,
     .headers = {[HDR_AUTHORIZATION] = TEXT("Bearer a.b.c"),
                 [HDR_COOKIE] = TEXT("agent_name=x"),
                 [HDR_CONTENT_TYPE] = TEXT("application/json"),
                 [HDR_ACCEPT] = TEXT("*/*"),
                 [HDR_HOST] = TEXT("localhost"),
                 [HDR_ACCEPT_ENCODING] = TEXT("gzip"),
                 [HDR_IF_NONE_MATCH] = TEXT("\"e\""),
                 [HDR_IDEMPOTENCY_KEY] = TEXT("k")},
     .peer = TEXT("127.0.0.1"),
     .body = TEXT("\0\xff{}")},
    {.id = ID, .op = OP_JOB_CLAIM, .headers = {[HDR_COOKIE] = TEXT("")}},
    {.id = ID, .op = OP_ASK, .received_us = 1, .body = TEXT("OP_ARTIFACT_PUT " ID)},
    {.id = ID, .op = OP_CLAIMS_SETTLE, .received_us = 1, .body = TEXT("+" ID "\n-" ID "\n")},
    {.id = ID,
     .op = OP_FILE_PUT,
     .query = {{TEXT(FILE_PARAM_INFO), TEXT(FILE_INFO)}, {TEXT(FILE_PARAM_AT), TEXT("261120")}},
     .query_len = 2,
     .body = TEXT("piece")},
    {.id = ID,
     .op = OP_FILE_READ,
     .query = {{TEXT(FILE_PARAM_INFO), TEXT(FILE_INFO)},
               {TEXT(FILE_PARAM_AT), TEXT("0")},
               {TEXT(FILE_PARAM_SIZE), TEXT("300000")}},
     .query_len = 3},
    {.id = ID, .op = OP_ARTIFACT_PUT, .body = TEXT("                  300000")},
    {.id = ID, .op = OP_ATTACHMENTS_PUT, .body = TEXT("                    -413")},
    {.id = ID,
     .op = OP_LOG_PART,
     .query = {{TEXT(FILE_PARAM_INFO), TEXT("0 0 0 0 9 7 0 261120 " ID)},
               {TEXT(FILE_PARAM_AT), TEXT("0")},
               {TEXT(FILE_PARAM_SIZE), TEXT("261120")}},
     .query_len = 3},
    {.id = ID,
     .op = OP_JOB_FOLLOW,
     .params = {TEXT(ID)},
     .params_len = 1,
     .headers = {[HDR_LAST_EVENT_ID] = TEXT("4+262144.1.3")}},
    {.id = ID,
     .op = OP_FOLLOW_LOOK,
     .query = {{TEXT(FOLLOW_JOB), TEXT(ID)},
               {TEXT(FOLLOW_AT), TEXT("4+262144.1.3")},
               {TEXT(FOLLOW_SEEN), TEXT("1f 2 3")}},
     .query_len = 3},
};

static const char *const request_names[] = {
    "full",   "bare",           "ask",      "claims-settle", "file-put",    "file-read",
    "upload", "upload-refused", "log-part", "follow",        "follow-look",
};

static const struct {
    const char *name;
    struct reply r;
} replies[] = {
    {"full",
     {.status = 503,
      .headers = {{"Content-Type", "application/json"}, {"Retry-After", "1"}},
      .headers_len = 2,
      .body = TEXT("{\0\xff}"),
      .claimed = true}},
    {"bare", {.status = 204, .body = TEXT("")}},
    {"file",
     {.status = FILE_GO_ON,
      .headers = {{"Content-Type", "text/plain"}},
      .headers_len = 1,
      .body = TEXT(FILE_INFO)}},
};

/* ---- what a message says ---- */

static void say_text(FILE *out, const char *name, struct text t)
{
    fprintf(out, "%s \"", name);
    for (size_t i = 0; i < t.len; i++) {
        unsigned char c = (unsigned char)t.s[i];
        if (c < ' ' || c > '~' || c == '"' || c == '\\')
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
    fprintf(out, "\"\n");
}

static void say_number(FILE *out, const char *name, uint64_t n)
{
    if (n)
        fprintf(out, "%s %" PRIu64 "\n", name, n);
}

static const char *err_name(enum err e)
{
    static const char *const names[] = {
#define ERR(name, ...) [name] = #name,
#include "common/err.def"
#undef ERR
    };
    return names[e];
}

/* "operations 0-54 60": all from 0 to 54, and 60. */
static void say_operations(FILE *out, const struct bus_ops *ops)
{
    const char *before = "operations ", *end = "";

    for (unsigned first = 0, last; first <= BUS_OPS_MAX; first = last + 1) {
        last = first;
        if (!bus_ops_has(ops, first))
            continue;
        while (bus_ops_has(ops, last + 1))
            last++;
        fprintf(out, "%s%u", before, first);
        if (first < last)
            fprintf(out, "-%u", last);
        before = " ";
        end = "\n";
    }
    fputs(end, out);
}

static void say_header(FILE *out, const struct bus_header *h)
{
    char id[2 * BUS_ID_SIZE + 1];

    fprintf(out, "type %s\n", types[h->type]);
    say_number(out, "instance", h->instance);
    say_number(out, "origin", h->origin);
    say_number(out, "subject", h->subject);
    say_number(out, "service", h->service);
    say_number(out, "window", h->window);
    say_number(out, "took_us", h->took_us);
    say_number(out, "one_writer", h->one_writer);
    hex_print(h->id, BUS_ID_SIZE, id);
    if (strspn(id, "0") < strlen(id))
        fprintf(out, "id %s\n", id);
    say_number(out, "ttl_ms", h->ttl_ms);
    say_number(out, "attempt", h->attempt);
    if (h->err)
        fprintf(out, "err %s\n", err_name(h->err));
    if (h->key_len)
        say_text(out, "key", (struct text){h->key, h->key_len});
    say_operations(out, &h->ops);
}

/* Writes what the texts of files mean to both sides. */
static void say_file(FILE *out, struct text t)
{
    struct file_info f;

    assert_true(file_info_parse(t, &f));
    fprintf(out, "file %s %" PRId64 " %" PRId64 " %" PRId64 " %s\n", f.id, f.length, f.chunk,
            f.date_ms, f.name);
}

/* Writes what the bodies and queries of frontends' own requests mean. */
static void say_own(FILE *out, const struct request *r)
{
    unsigned flags = route_flags(route_of(r->op));
    struct follow_at at;
    int64_t n;

    if (r->op == OP_FOLLOW_LOOK)
        assert_true(follow_at_parse(file_param(r, FOLLOW_AT), &at));
    if (flags & ROUTE_UPLOAD) {
        assert_true(file_facts_parse(r->body, &n));
        fprintf(out, "facts %" PRId64 "\n", n);
    }
    if (!file_param(r, FILE_PARAM_INFO).s)
        return;
    if (r->op != OP_LOG_PART) /* its place is a text of the worker alone */
        say_file(out, file_param(r, FILE_PARAM_INFO));
    assert_true(file_number_parse(file_param(r, FILE_PARAM_AT), &n));
    fprintf(out, "at %" PRId64 "\n", n);
}

static void say_request(FILE *out, const struct request *r)
{
    fprintf(out, "id %s\noperation %s\n", r->id, route_name(route_of(r->op)));
    say_number(out, "head", r->head);
    say_number(out, "received_us", (uint64_t)r->received_us);
    for (size_t i = 0; i < r->params_len; i++)
        say_text(out, "param", r->params[i]);
    for (size_t i = 0; i < r->query_len; i++) {
        say_text(out, "query", r->query[i].name);
        say_text(out, "  value", r->query[i].value);
    }
    for (unsigned i = 0; i < HDR_COUNT_; i++)
        if (r->headers[i].s)
            say_text(out, header_name(i), r->headers[i]);
    if (r->peer.len)
        say_text(out, "peer", r->peer);
    if (r->body.len)
        say_text(out, "body", r->body);
    say_own(out, r);
}

static void say_reply(FILE *out, const struct reply *r)
{
    fprintf(out, "status %d\n", r->status);
    for (size_t i = 0; i < r->headers_len; i++)
        fprintf(out, "%s: %s\n", r->headers[i].name, r->headers[i].value);
    if (r->body.len)
        say_text(out, "body", r->body);
    if (r->status == FILE_GO_ON)
        say_file(out, r->body);
    say_number(out, "claimed", r->claimed);
}

/* The kind of a message is the first word of its file's name. NULL: it does not decode. The caller
 * frees the text. */
static char *say(const char *name, const char *data, size_t len)
{
    static struct request request;
    struct bus_header header;
    struct reply reply;
    msgpack_zone zone;
    char *text = NULL;
    size_t size;
    enum err e = ERR_OK;

    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_true(msgpack_zone_init(&zone, 1024));
    if (strncmp(name, "header-", 7) == 0) {
        e = bus_header_unpack(data, len, &header);
        if (!e)
            say_header(out, &header);
    } else if (strncmp(name, "request-", 8) == 0) {
        e = request_unpack(data, len, &zone, &request);
        if (!e)
            say_request(out, &request);
    } else if (strncmp(name, "reply-", 6) == 0) {
        e = reply_unpack(data, len, &zone, &reply);
        if (!e)
            say_reply(out, &reply);
    } else {
        fail_msg("%s: no such kind of message", name);
    }
    msgpack_zone_destroy(&zone);
    assert_int_equal(fclose(out), 0);
    if (!e)
        return text;
    free(text);
    return NULL;
}

/* ---- files ---- */

/* The caller frees it; NULL: there is none. A NUL stands behind it. */
static char *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");

    if (!f)
        return NULL;
    char *data = calloc(1, 65536);
    assert_non_null(data);
    *len = fread(data, 1, 65535, f);
    assert_int_equal(fclose(f), 0);
    return data;
}

static void write_file(const char *path, const char *data, size_t len)
{
    FILE *f = fopen(path, "wbx");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* Calls `use` with each message that this release's encoders make of the samples. */
static void each_sample(void (*use)(const char *name, const char *data, size_t len))
{
    char name[64];
    msgpack_sbuffer out;

    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        struct bus_header h = headers[i].h;
        zmq_msg_t msg;
        for (size_t k = 0; k < sizeof headers[i].ops && headers[i].ops[k]; k++)
            bus_ops_add(&h.ops, headers[i].ops[k]);
        bus_header_pack(&h, &msg);
        snprintf(name, sizeof name, "header-%s", headers[i].name);
        use(name, zmq_msg_data(&msg), zmq_msg_size(&msg));
        zmq_msg_close(&msg);
    }
    msgpack_sbuffer_init(&out);
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        msgpack_sbuffer_clear(&out);
        assert_int_equal(request_pack(&requests[i], &out), ERR_OK);
        snprintf(name, sizeof name, "request-%s", request_names[i]);
        use(name, out.data, out.size);
    }
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        msgpack_sbuffer_clear(&out);
        assert_int_equal(reply_pack(&replies[i].r, &out), ERR_OK);
        snprintf(name, sizeof name, "reply-%s", replies[i].name);
        use(name, out.data, out.size);
    }
    msgpack_sbuffer_destroy(&out);
}

static void write_sample(const char *name, const char *data, size_t len)
{
    char path[PATH_SIZE];
    size_t old_len;

    snprintf(path, sizeof path, "%s/%s.msgpack", folder, name);
    char *old = read_file(path, &old_len);
    if (!old) {
        char *text = say(name, data, len);
        assert_non_null(text);
        write_file(path, data, len);
        snprintf(path, sizeof path, "%s/%s.txt", folder, name);
        write_file(path, text, strlen(text));
        free(text);
    } else if (old_len != len || memcmp(old, data, len) != 0) {
        fail_msg("%s differs: a message of a release is never changed. Raise the version in "
                 "CMakeLists.txt first",
                 path);
    }
    free(old);
}

static void write_samples(void **state)
{
    (void)state;
    mkdir(MESSAGES_FOLDER, 0777);
    mkdir(folder, 0777);
    each_sample(write_sample);
}

/* ---- tests ---- */

static void compare_sample(const char *name, const char *data, size_t len)
{
    char path[PATH_SIZE];
    size_t old_len;

    snprintf(path, sizeof path, "%s/%s.msgpack", folder, name);
    char *old = read_file(path, &old_len);
    if (!old)
        fail_msg("%s is missing: run ninja write-messages and commit it", path);
    if (old_len != len || memcmp(old, data, len) != 0)
        fail_msg("%s: this release's encoder makes other bytes. Raise the version in "
                 "CMakeLists.txt, run ninja write-messages and commit the files",
                 path);
    free(old);
}

static void test_this_release_is_kept(void **state)
{
    (void)state;
    each_sample(compare_sample);
}

/* Each kind has a sample: types of headers, headers of requests, both envelopes. */
static void test_samples_are_complete(void **state)
{
    (void)state;
    assert_int_equal(sizeof requests / sizeof *requests,
                     sizeof request_names / sizeof *request_names);
    for (unsigned type = BUS_HELLO; type <= BUS_WAKE; type++) {
        bool found = false;
        for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
            found |= headers[i].h.type == type;
        if (!types[type] || !found)
            fail_msg("type %u of bus.h has no sample", type);
    }
    for (unsigned h = 0; h < HDR_COUNT_; h++) {
        bool found = false;
        for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
            found |= requests[i].headers[h].s != NULL;
        if (!found)
            fail_msg("the header %s is in no sample", header_name(h));
    }
    for (unsigned op = 0; op < OP_COUNT_; op++) {
        const struct route *r = route_of(op);
        bool found = *route_path(r) || !route_wire(r) || op == OP_FILE_COMMIT; /* as OP_FILE_PUT */
        for (size_t i = 0; !found && i < sizeof requests / sizeof *requests; i++)
            found = requests[i].op == op;
        if (!found)
            fail_msg("%s, a request that frontends make themselves, has no sample", route_name(r));
    }
}

/* Calls `use` with each kept message, and checks that it says what it must. */
static size_t each_kept(void (*use)(const char *name, const char *data, size_t len,
                                    const char *expected))
{
    glob_t found;

    assert_int_equal(glob(MESSAGES_FOLDER "/*/*.msgpack", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        char path[PATH_SIZE];
        size_t len, text_len;
        char *data = read_file(found.gl_pathv[i], &len);
        assert_non_null(data);
        snprintf(path, sizeof path, "%.*stxt", (int)(strlen(found.gl_pathv[i]) - strlen("msgpack")),
                 found.gl_pathv[i]);
        char *expected = read_file(path, &text_len);
        if (!expected)
            fail_msg("%s is missing", path);
        use(found.gl_pathv[i], data, len, expected);
        free(data);
        free(expected);
    }
    size_t n = found.gl_pathc;
    globfree(&found);
    return n;
}

static void check_says(const char *path, const char *data, size_t len, const char *expected)
{
    char *text = say(strrchr(path, '/') + 1, data, len);

    if (!text)
        fail_msg("%s does not decode any more", path);
    if (strcmp(text, expected) != 0)
        fail_msg("%s says now:\n%s\nit said:\n%s", path, text, expected);
    free(text);
}

static void test_kept_messages_decode(void **state)
{
    (void)state;
    assert_true(each_kept(check_says) >= sizeof headers / sizeof *headers);
}

/* Packs what a later release may add: elements of an array, keys of a map. */
static void pack_extended(msgpack_packer *pk, const msgpack_object *o)
{
    static const char more[] = "more";
    const unsigned added = 3;

    if (o->type == MSGPACK_OBJECT_ARRAY) {
        msgpack_pack_array(pk, o->via.array.size + added);
        for (uint32_t i = 0; i < o->via.array.size; i++)
            msgpack_pack_object(pk, o->via.array.ptr[i]);
    } else {
        msgpack_pack_map(pk, o->via.map.size + added);
    }
    for (unsigned i = 0; i < added; i++) {
        if (o->type == MSGPACK_OBJECT_MAP)
            msgpack_pack_uint32(pk, i == 2 ? UINT32_MAX : 200 + i);
        if (i == 0)
            msgpack_pack_nil(pk);
        else if (i == 1)
            msgpack_pack_str_with_body(pk, more, sizeof more - 1);
        else {
            msgpack_pack_map(pk, 1);
            msgpack_pack_nil(pk);
            msgpack_pack_array(pk, 0);
        }
    }
    for (uint32_t i = 0; o->type == MSGPACK_OBJECT_MAP && i < o->via.map.size; i++) {
        msgpack_pack_object(pk, o->via.map.ptr[i].key);
        msgpack_pack_object(pk, o->via.map.ptr[i].val);
    }
}

static void check_extended(const char *path, const char *data, size_t len, const char *expected)
{
    msgpack_unpacked u;
    msgpack_sbuffer out;
    msgpack_packer pk;
    size_t offset = 0;

    msgpack_unpacked_init(&u);
    msgpack_sbuffer_init(&out);
    msgpack_packer_init(&pk, &out, msgpack_sbuffer_write);
    assert_int_equal(msgpack_unpack_next(&u, data, len, &offset), MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(offset, len);
    pack_extended(&pk, &u.data);
    check_says(path, out.data, out.size, expected);
    msgpack_sbuffer_destroy(&out);
    msgpack_unpacked_destroy(&u);
}

static void test_unknown_fields_are_skipped(void **state)
{
    (void)state;
    assert_true(each_kept(check_extended) > 0);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_are_complete),
        cmocka_unit_test(test_this_release_is_kept),
        cmocka_unit_test(test_kept_messages_decode),
        cmocka_unit_test(test_unknown_fields_are_skipped),
    };
    const struct CMUnitTest writer[] = {cmocka_unit_test(write_samples)};

    if (argc > 1 && strcmp(argv[1], "--write") == 0)
        return cmocka_run_group_tests(writer, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
