/* Allowed receivers, and signatures. */
#include "common/address.h"
#include "worker/events/receiver.h"
#include "worker/webhook/sign.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h needs the headers above. */
#include <cmocka.h>

static enum address_kind kind_of(const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return address_kind((const struct sockaddr *)(const void *)&in);
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return address_kind((const struct sockaddr *)(const void *)&in6);
}

static const struct {
    const char *text;
    enum address_kind kind;
} addresses[] = {
    {"1.1.1.1", ADDRESS_PUBLIC},
    {"9.255.255.255", ADDRESS_PUBLIC},
    {"11.0.0.0", ADDRESS_PUBLIC},
    {"100.63.255.255", ADDRESS_PUBLIC},
    {"100.128.0.0", ADDRESS_PUBLIC},
    {"126.255.255.255", ADDRESS_PUBLIC},
    {"128.0.0.0", ADDRESS_PUBLIC},
    {"169.253.255.255", ADDRESS_PUBLIC},
    {"169.255.0.0", ADDRESS_PUBLIC},
    {"172.15.0.1", ADDRESS_PUBLIC},
    {"172.32.0.1", ADDRESS_PUBLIC},
    {"192.0.1.1", ADDRESS_PUBLIC},
    {"192.0.3.0", ADDRESS_PUBLIC},
    {"192.88.98.255", ADDRESS_PUBLIC},
    {"192.88.100.0", ADDRESS_PUBLIC},
    {"192.167.255.255", ADDRESS_PUBLIC},
    {"192.169.0.0", ADDRESS_PUBLIC},
    {"198.17.0.1", ADDRESS_PUBLIC},
    {"198.20.0.1", ADDRESS_PUBLIC},
    {"198.51.99.255", ADDRESS_PUBLIC},
    {"198.51.101.0", ADDRESS_PUBLIC},
    {"203.0.112.255", ADDRESS_PUBLIC},
    {"203.0.114.0", ADDRESS_PUBLIC},
    {"223.255.255.255", ADDRESS_PUBLIC},
    {"168.63.129.15", ADDRESS_PUBLIC},
    {"2606:4700::1111", ADDRESS_PUBLIC},
    {"2001:4860::8888", ADDRESS_PUBLIC},
    {"2001:200::1", ADDRESS_PUBLIC},
    {"3ffe::1", ADDRESS_PUBLIC},
    {"::ffff:1.1.1.1", ADDRESS_PUBLIC},
    {"64:ff9b::1.1.1.1", ADDRESS_PUBLIC},
    {"2002:101:101::1", ADDRESS_PUBLIC},
    {"2606:4700::5efe:1.1.1.1", ADDRESS_PUBLIC},
    {"10.0.0.1", ADDRESS_PRIVATE},
    {"100.64.0.1", ADDRESS_PRIVATE},
    {"100.127.255.255", ADDRESS_PRIVATE},
    {"127.0.0.1", ADDRESS_PRIVATE},
    {"127.255.255.255", ADDRESS_PRIVATE},
    {"172.16.0.1", ADDRESS_PRIVATE},
    {"172.31.255.255", ADDRESS_PRIVATE},
    {"192.0.0.8", ADDRESS_PRIVATE},
    {"192.0.2.1", ADDRESS_PRIVATE},
    {"192.168.1.1", ADDRESS_PRIVATE},
    {"198.18.0.1", ADDRESS_PRIVATE},
    {"198.19.255.255", ADDRESS_PRIVATE},
    {"198.51.100.7", ADDRESS_PRIVATE},
    {"203.0.113.7", ADDRESS_PRIVATE},
    {"::1", ADDRESS_PRIVATE},
    {"fc00::1", ADDRESS_PRIVATE},
    {"fd12::1", ADDRESS_PRIVATE},
    {"fec0::1", ADDRESS_PRIVATE},
    {"100::1", ADDRESS_PRIVATE},
    {"5f00::1", ADDRESS_PRIVATE},
    {"2001:1::1", ADDRESS_PRIVATE},
    {"2001:db8::1", ADDRESS_PRIVATE},
    {"3fff:fff::1", ADDRESS_PRIVATE},
    {"::ffff:127.0.0.1", ADDRESS_PRIVATE},
    {"::ffff:10.0.0.1", ADDRESS_PRIVATE},
    {"::ffff:192.0.2.1", ADDRESS_PRIVATE},
    {"64:ff9b::10.0.0.1", ADDRESS_PRIVATE},
    {"2002:7f00:1::1", ADDRESS_PRIVATE},
    {"2002:c0a8:1::1", ADDRESS_PRIVATE},
    {"2606:4700::5efe:10.0.0.1", ADDRESS_PRIVATE},
    {"2606:4700::200:5efe:10.0.0.1", ADDRESS_PRIVATE},
    {"0.0.0.0", ADDRESS_SPECIAL},
    {"0.1.2.3", ADDRESS_SPECIAL},
    {"169.254.0.0", ADDRESS_SPECIAL},
    {"169.254.169.254", ADDRESS_SPECIAL},
    {"169.254.170.2", ADDRESS_SPECIAL},
    {"169.254.255.255", ADDRESS_SPECIAL},
    {"100.100.100.200", ADDRESS_SPECIAL},
    {"168.63.129.16", ADDRESS_SPECIAL},
    {"192.0.0.192", ADDRESS_SPECIAL},
    {"192.88.99.1", ADDRESS_SPECIAL},
    {"224.0.0.1", ADDRESS_SPECIAL},
    {"239.255.255.255", ADDRESS_SPECIAL},
    {"240.0.0.1", ADDRESS_SPECIAL},
    {"255.255.255.255", ADDRESS_SPECIAL},
    {"::", ADDRESS_SPECIAL},
    {"::127.0.0.1", ADDRESS_SPECIAL},
    {"::1.1.1.1", ADDRESS_SPECIAL},
    {"::ffff:0:127.0.0.1", ADDRESS_SPECIAL},
    {"::ffff:0:1.1.1.1", ADDRESS_SPECIAL},
    {"fe80::1", ADDRESS_SPECIAL},
    {"febf::1", ADDRESS_SPECIAL},
    {"ff02::1", ADDRESS_SPECIAL},
    {"ff0e::1", ADDRESS_SPECIAL},
    {"fd00:ec2::254", ADDRESS_SPECIAL},
    {"fd20:ce::254", ADDRESS_SPECIAL},
    {"fd00:42::42", ADDRESS_SPECIAL},
    {"2001::1", ADDRESS_SPECIAL},
    {"2001:0:1:2:3:4:5:6", ADDRESS_SPECIAL},
    {"64:ff9b:1::1.1.1.1", ADDRESS_SPECIAL},
    {"::ffff:169.254.169.254", ADDRESS_SPECIAL},
    {"::ffff:0.0.0.0", ADDRESS_SPECIAL},
    {"64:ff9b::169.254.169.254", ADDRESS_SPECIAL},
    {"64:ff9b::100.100.100.200", ADDRESS_SPECIAL},
    {"2002:a9fe:a9fe::1", ADDRESS_SPECIAL},
    {"2606:4700::5efe:169.254.169.254", ADDRESS_SPECIAL},
};

static void test_addresses(void **state)
{
    const struct sockaddr local = {.sa_family = AF_UNIX};

    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
        if (kind_of(addresses[i].text) != addresses[i].kind ||
            address_kind_of_text(addresses[i].text) != addresses[i].kind)
            fail_msg("%s: %d", addresses[i].text, (int)kind_of(addresses[i].text));
    assert_int_equal(address_kind(&local), ADDRESS_SPECIAL);
    assert_int_equal(address_kind_of_text("localhost"), ADDRESS_SPECIAL);
    assert_int_equal(address_kind_of_text(""), ADDRESS_SPECIAL);
}

static void test_receivers(void **state)
{
    static const struct {
        const char *url, *receiver; /* NULL: refused */
    } rows[] = {
        {"http://a.bc", "http://a.bc:80"},
        {"HTTPS://A.bC/x", "https://a.bc:443"},
        {"http://a.bc:0080?x", "http://a.bc:80"},
        {"http://u:p@a.bc:81/@x.yz", "http://a.bc:81"},
        {"http://u@v@a.bc/", "http://a.bc:80"},
        {"http://[::1]/", "http://[::1]:80"},
        {"http://[::1]:8/", "http://[::1]:8"},
        {"http://a.bc#@x.yz/", "http://a.bc:80"},
        {"http://a.bc\\@x.yz/", NULL},
        {"http://a.bc:0/", NULL},
        {"http://a.bc:65536/", NULL},
        {"http://a.bc:/", NULL},
        {"http://a.bc:8x/", NULL},
        {"http://", NULL},
        {"http://:80/", NULL},
        {"http://[::1/", NULL},
        {"http://[::1]x/", NULL},
        {"ftp://a.bc/", NULL},
        {"file:///etc/passwd", NULL},
        {"", NULL},
    };
    char out[RECEIVER_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        enum err e = receiver_of(rows[i].url, out);
        if ((e == ERR_OK) != (rows[i].receiver != NULL) ||
            (!e && strcmp(out, rows[i].receiver) != 0))
            fail_msg("%s: %s", rows[i].url, e ? "refused" : out);
    }
}

static void test_rules(void **state)
{
    static const struct {
        const char *own, *hosts;
        int auth;
        const char *url;
        enum receiver_rule rule;
    } rows[] = {
        {"", "", AUTH_OPEN, "http://a.bc/x", RECEIVER_OTHER},
        {"", "", AUTH_ROLES, "http://a.bc/x", RECEIVER_UNSET},
        {"", "", AUTH_LOGIN, "http://a.bc/x", RECEIVER_UNSET},
        {"", "", AUTH_OPEN, "ftp://a.bc/x", RECEIVER_REFUSED},
        {"http://a.bc/y", "", AUTH_ROLES, "http://a.bc/x", RECEIVER_OWN},
        {"http://a.bc/y", "", AUTH_ROLES, "HTTP://a.bc", RECEIVER_OWN},
        {"http://a.bc/y", "", AUTH_ROLES, "http://A.bc/x", RECEIVER_REFUSED},
        {"http://a.bc/y", "", AUTH_ROLES, "http://a.bc:80/x", RECEIVER_REFUSED},
        {"http://a.bc/y", "", AUTH_ROLES, "https://a.bc/x", RECEIVER_REFUSED},
        {"http://a.bc/y", "", AUTH_ROLES, "http://u@a.bc/x", RECEIVER_REFUSED},
        {"http://a.bc/y", "", AUTH_OPEN, "http://x.yz/", RECEIVER_REFUSED},
        {"http://a.bc/y", "", AUTH_ROLES, "http://a.bc.evil.de", RECEIVER_REFUSED},
        {"http://a.bc", "x.yz, d.ef:8", AUTH_ROLES, "https://X.yz:9/", RECEIVER_LISTED},
        {"http://a.bc", "x.yz, d.ef:8", AUTH_ROLES, "http://d.ef:8/", RECEIVER_LISTED},
        {"http://a.bc", "x.yz, d.ef:8", AUTH_ROLES, "http://d.ef/", RECEIVER_REFUSED},
        {"", "x.yz", AUTH_OPEN, "http://d.ef/", RECEIVER_REFUSED},
        {"", "*.yz", AUTH_ROLES, "http://a.x.yz/", RECEIVER_LISTED},
        {"", "*.x.yz", AUTH_ROLES, "http://x.yz/", RECEIVER_REFUSED},
        {"", "*.x.yz", AUTH_ROLES, "http://ax.yz/", RECEIVER_REFUSED},
        {"", "*", AUTH_ROLES, "http://d.ef:99/", RECEIVER_LISTED},
        {"", "[::1]:8", AUTH_ROLES, "http://[::1]:8/", RECEIVER_LISTED},
        {"", "[::1]", AUTH_ROLES, "http://[::1]:8/", RECEIVER_LISTED},
        {"", "[::1]:8", AUTH_ROLES, "http://[::1]:9/", RECEIVER_REFUSED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char own[64], hosts[64];
        snprintf(own, sizeof own, "%s", rows[i].own);
        snprintf(hosts, sizeof hosts, "%s", rows[i].hosts);
        const struct config cfg = {
            .webhook_url = own, .webhook_hosts = hosts, .auth = rows[i].auth};
        enum receiver_rule got = receiver_rule(&cfg, rows[i].url);
        if (got != rows[i].rule)
            fail_msg("row %zu: %s: %d", i, rows[i].url, (int)got);
    }
}

/* The example of the Standard Webhooks specification, and cases beyond it. */
static void test_signatures(void **state)
{
    static const struct {
        const char *secrets, *signature; /* NULL: refused */
    } rows[] = {
        {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
         "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
        {"", ""},
        {" , ", ""},
        {"whsec_short", NULL},
        {"too short", NULL},
        {"whsec_no+base64!!!!!!!!!!!!!!!!!!!!", NULL},
    };
    const struct text body = {"{\"test\": 2432232314}", 20};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf out = BUF_INIT(1024);
        assert_int_equal(sign_secrets_valid(rows[i].secrets), rows[i].signature != NULL);
        if (rows[i].signature) {
            assert_int_equal(
                sign_event(rows[i].secrets, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, &out),
                ERR_OK);
            assert_string_equal(out.data ? out.data : "", rows[i].signature);
        }
        buf_free(&out);
    }
    struct buf out = BUF_INIT(1024);
    assert_int_equal(sign_event("sixteen characters.., whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "x",
                                1, body, &out),
                     ERR_INTERNAL); /* "sixteen" is no secret: they are separated by blanks, too */
    buf_free(&out);
    assert_int_equal(
        sign_event("sixteen-characters,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "x", 1, body, &out),
        ERR_OK);
    assert_non_null(strstr(out.data, " v1,"));
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_receivers),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_signatures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
