#include "frontend/forwarded.h"
#include "frontend/proxy2.h"
#include "frontend/trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct address address(const char *text)
{
    struct address a;

    assert_true(address_parse(text, strlen(text), &a));
    return a;
}

static void test_addresses(void **state)
{
    static const char *const bad[] = {"",          "1.2.3",    "1.2.3.4.5", "g::1",
                                      "1.2.3.4/8", " 1.2.3.4", "::1%lo"};
    char text[INET6_ADDRSTRLEN];
    struct address a;

    (void)state;
    a = address("::ffff:192.0.2.1");
    address_text(&a, text);
    assert_string_equal(text, "192.0.2.1");
    a = address("2001:db8:0::1");
    address_text(&a, text);
    assert_string_equal(text, "2001:db8::1");
    memset(&a, 0, sizeof a);
    address_text(&a, text);
    assert_string_equal(text, "");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(address_parse(bad[i], strlen(bad[i]), &a));
    struct address one = address("2001:db8:1:2:3::1"), two = address("2001:db8:1:2:ffff::9");
    struct address_key k1 = address_key(&one), k2 = address_key(&two);
    assert_memory_equal(&k1, &k2, sizeof k1);
    one = address("192.0.2.1");
    two = address("192.0.2.2");
    k1 = address_key(&one);
    k2 = address_key(&two);
    assert_memory_not_equal(&k1, &k2, sizeof k1);
}

static bool trusted(const struct trust *t, const char *text)
{
    struct address a = address(text);

    return trust_has(t, &a);
}

static void test_trust(void **state)
{
    static const char *const bad[] = {"10.0.0.0/33", "10.0.0.0/",    "::/129",   "host",
                                      "10.0.0.0/-1", "10.0.0.0/8/8", "1.2.3.4,x"};
    struct trust t;
    const char *at;

    (void)state;
    assert_int_equal(trust_parse("", &t, &at), ERR_OK);
    assert_false(trusted(&t, "127.0.0.1"));
    assert_int_equal(trust_parse(" 10.0.0.0/8, 192.0.2.7 2001:db8::/33,::1", &t, &at), ERR_OK);
    assert_int_equal(t.len, 4);
    assert_true(trusted(&t, "10.255.0.1"));
    assert_true(trusted(&t, "::ffff:10.0.0.1"));
    assert_false(trusted(&t, "11.0.0.1"));
    assert_true(trusted(&t, "192.0.2.7"));
    assert_false(trusted(&t, "192.0.2.6"));
    assert_true(trusted(&t, "2001:db8:7fff::1"));
    assert_false(trusted(&t, "2001:db8:8000::1"));
    assert_true(trusted(&t, "::1"));
    assert_int_equal(trust_parse("0.0.0.0/0", &t, &at), ERR_OK);
    assert_true(trusted(&t, "203.0.113.9"));
    assert_false(trusted(&t, "::1"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(trust_parse(bad[i], &t, &at), ERR_INVALID);
    assert_string_equal(at, "x");
}

/* Lines of a header are separated by '|' here. */
static struct forwarded_values values(const char *text)
{
    struct forwarded_values v = {.len = 0};

    while (text && *text) {
        size_t n = strcspn(text, "|");
        v.lines[v.len++] = (struct text){text, n};
        text += n + (text[n] == '|');
    }
    return v;
}

struct row {
    const char *peer, *in[3];
    const char *client, *proto, *host;
};

static void check(const struct forwarded_rules *rules, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct forwarded_values in[3];
        struct address peer = address(rows[i].peer);
        struct forwarded f;
        char text[INET6_ADDRSTRLEN];
        for (int k = 0; k < 3; k++)
            in[k] = values(rows[i].in[k]);
        forwarded_read(rules, &peer, in, &f);
        address_text(&f.client, text);
        assert_string_equal(text, rows[i].client);
        assert_int_equal(f.proto.len, strlen(rows[i].proto));
        assert_memory_equal(f.proto.s, rows[i].proto, f.proto.len);
        assert_int_equal(f.host.len, strlen(rows[i].host));
        assert_memory_equal(f.host.s, rows[i].host, f.host.len);
    }
}

static void test_x_forwarded(void **state)
{
    static const struct row rows[] = {
        {"10.0.0.1", {NULL, NULL, NULL}, "10.0.0.1", "", ""},
        {"10.0.0.1",
         {"203.0.113.5", "https", "tf.example.com"},
         "203.0.113.5",
         "https",
         "tf.example.com"},
        {"10.0.0.1", {"1.1.1.1, 203.0.113.5", "https", "a"}, "203.0.113.5", "https", "a"},
        {"10.0.0.1", {"1.1.1.1|203.0.113.5", NULL, NULL}, "203.0.113.5", "", ""},
        {"10.0.0.1",
         {"1.1.1.1,203.0.113.5 ,\t10.0.0.2", "http,https,http", "x,b,c"},
         "203.0.113.5",
         "https",
         "b"},
        {"10.0.0.1", {"10.0.0.3, 10.0.0.2", "https", "a"}, "10.0.0.3", "https", "a"},
        {"10.0.0.1", {"203.0.113.5, unknown", "https", NULL}, "10.0.0.1", "https", ""},
        {"10.0.0.1", {"203.0.113.5, , 10.0.0.2", NULL, NULL}, "10.0.0.2", "", ""},
        {"10.0.0.1", {"203.0.113.5:4711", "gopher", NULL}, "203.0.113.5", "", ""},
        {"10.0.0.1", {"[2001:db8::9]:4711", NULL, NULL}, "2001:db8::9", "", ""},
        {"10.0.0.1", {"2001:db8::9", NULL, NULL}, "2001:db8::9", "", ""},
        {"10.0.0.1", {"1.2.3.4'; DROP", NULL, NULL}, "10.0.0.1", "", ""},
    };
    static const struct row one[] = {
        {"192.0.2.1", {"10.0.0.3, 10.0.0.2", "https, http", "a, b"}, "10.0.0.2", "http", "b"},
        {"192.0.2.1", {NULL, "https", NULL}, "192.0.2.1", "https", ""},
    };
    struct forwarded_rules rules = {.headers = FORWARDED_X};
    const char *at;

    (void)state;
    assert_int_equal(trust_parse("10.0.0.0/8", &rules.trust, &at), ERR_OK);
    check(&rules, rows, sizeof rows / sizeof *rows);
    rules.one_hop = true;
    check(&rules, one, sizeof one / sizeof *one);
}

static void test_long_lists(void **state)
{
    struct forwarded_rules rules = {.headers = FORWARDED_X};
    static struct forwarded_values in[3];
    struct address peer = address("10.0.0.1");
    char text[INET6_ADDRSTRLEN];
    struct forwarded f;
    const char *at;

    (void)state;
    assert_int_equal(trust_parse("10.0.0.0/8", &rules.trust, &at), ERR_OK);
    for (in[0].len = 0; in[0].len < HEAD_FIELDS_MAX - 1; in[0].len++)
        in[0].lines[in[0].len] = (struct text){"1.1.1.1,2.2.2.2,10.0.0.9", 24};
    in[0].lines[in[0].len++] = (struct text){"203.0.113.5", 11};
    forwarded_read(&rules, &peer, in, &f);
    address_text(&f.client, text);
    assert_string_equal(text, "203.0.113.5");
}

static void test_forwarded(void **state)
{
    static const struct row rows[] = {
        {"10.0.0.1", {NULL}, "10.0.0.1", "", ""},
        {"10.0.0.1",
         {"for=203.0.113.5;proto=https;host=tf.example.com"},
         "203.0.113.5",
         "https",
         "tf.example.com"},
        {"10.0.0.1", {"for=1.1.1.1, for=203.0.113.5; proto=http"}, "203.0.113.5", "http", ""},
        {"10.0.0.1", {"For=\"[2001:db8::9]:4711\";Host=\"a:8000\""}, "2001:db8::9", "", "a:8000"},
        {"10.0.0.1", {"for=\"203.0.113.5:99\", for=10.0.0.2;proto=https"}, "203.0.113.5", "", ""},
        {"10.0.0.1", {"for=203.0.113.5;by=\"a,b;for=9.9.9.9\""}, "203.0.113.5", "", ""},
        {"10.0.0.1", {"for=203.0.113.5, for=_hidden"}, "10.0.0.1", "", ""},
        {"10.0.0.1", {"for=203.0.113.5, for=\"unknown"}, "10.0.0.1", "", ""},
        {"10.0.0.1", {"for=203.0.113.5|for=10.0.0.2"}, "203.0.113.5", "", ""},
        {"10.0.0.1", {"x=\"\\\",for=1.1.1.1\", for=203.0.113.5"}, "203.0.113.5", "", ""},
    };
    struct forwarded_rules rules = {.headers = FORWARDED_RFC7239};
    const char *at;

    (void)state;
    assert_int_equal(trust_parse("10.0.0.0/8", &rules.trust, &at), ERR_OK);
    check(&rules, rows, sizeof rows / sizeof *rows);
}

/* ---- PROXY protocol ---- */

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/* Takes the header in pieces; returns the bytes that were taken. */
static size_t take(const char *data, size_t len, size_t piece, enum proxy2_result *ret,
                   struct proxy2 *p)
{
    size_t at = 0;

    *p = (struct proxy2){0};
    *ret = PROXY2_MORE;
    while (at < len && *ret == PROXY2_MORE) {
        size_t n = piece < len - at ? piece : len - at;
        n = n < proxy2_wants(p) ? n : proxy2_wants(p);
        *ret = proxy2_take(p, data + at, n);
        at += n;
    }
    return at;
}

static void check_header(const char *data, size_t header, enum proxy2_result result,
                         const char *client)
{
    char text[INET6_ADDRSTRLEN], all[512];

    memcpy(all, data, header);
    memcpy(all + header, "GET /", 5);
    for (size_t piece = 1; piece <= header + 5; piece++) {
        enum proxy2_result r;
        struct proxy2 p;
        size_t n = take(all, header + 5, piece, &r, &p);
        assert_int_equal(r, result);
        if (r != PROXY2_DONE)
            continue;
        assert_int_equal(n, header);
        assert_int_equal(p.named, *client != '\0');
        address_text(&p.client, text);
        assert_string_equal(text, client);
    }
}

#define HEADER(text) (text), sizeof(text) - 1

static void test_proxy2(void **state)
{
    static const char v6[] = SIGNATURE "\x21\x21\x00\x24"
                                       "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x09"
                                       "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                                       "\x11\x11\x22\x22";
    char unix_header[16 + 216] = SIGNATURE "\x21\x31\x00\xd8";

    (void)state;
    check_header(HEADER(SIGNATURE "\x21\x11\x00\x0c\xcb\x00\x71\x05\x7f\0\0\1\x11\x11\x22\x22"),
                 PROXY2_DONE, "203.0.113.5");
    check_header(HEADER(SIGNATURE "\x21\x11\x00\x13\xcb\x00\x71\x05\x7f\0\0\1\x11\x11\x22\x22"
                                  "\x04\x00\x04\x01\x02\x03\x04"),
                 PROXY2_DONE, "203.0.113.5"); /* with a TLV */
    check_header(v6, sizeof v6 - 1, PROXY2_DONE, "2001:db8::9");
    check_header(HEADER(SIGNATURE "\x20\x00\x00\x00"), PROXY2_DONE, "");
    check_header(HEADER(SIGNATURE "\x20\x11\x00\x0c\xcb\x00\x71\x05\x7f\0\0\1\x11\x11\x22\x22"),
                 PROXY2_DONE, "");
    check_header(HEADER(SIGNATURE "\x21\x00\x00\x03"
                                  "abc"),
                 PROXY2_DONE, "");
    check_header(unix_header, sizeof unix_header, PROXY2_DONE, "");
    check_header(HEADER("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), PROXY2_BAD, "");
    check_header(HEADER("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), PROXY2_BAD, "");
    check_header(HEADER(SIGNATURE "\x11\x11\x00\x0c"), PROXY2_BAD, ""); /* version 1 */
    check_header(HEADER(SIGNATURE "\x22\x11\x00\x0c"), PROXY2_BAD, ""); /* command 2 */
    check_header(HEADER(SIGNATURE "\x21\x12\x00\x0c"), PROXY2_BAD, ""); /* a datagram */
    check_header(HEADER(SIGNATURE "\x21\x11\x00\x0b"), PROXY2_BAD, ""); /* too short */
    check_header(HEADER(SIGNATURE "\x21\x21\x00\x23"), PROXY2_BAD, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),   cmocka_unit_test(test_trust),
        cmocka_unit_test(test_x_forwarded), cmocka_unit_test(test_long_lists),
        cmocka_unit_test(test_forwarded),   cmocka_unit_test(test_proxy2),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
