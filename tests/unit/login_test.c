/* Logins: by which address they are counted. */
#include "worker/auth/login_limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void test_addresses(void **state)
{
    static const struct {
        const char *peer, *counted;
    } rows[] = {
        {"127.0.0.1", "127.0.0.1"},
        {"::ffff:10.1.2.3", "10.1.2.3"}, /* a listener of both families */
        {"::FFFF:a01:203", "10.1.2.3"},
        {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
        {"2001:db8:1:2:ffff::1", "2001:db8:1:2::"}, /* the same network */
        {"2001:db8:1:3::1", "2001:db8:1:3::"},
        {"2001:0db8:0001:0002::1", "2001:db8:1:2::"}, /* another spelling */
        {"fe80::1%eth0", "fe80::"},
        {"::1", "::"},
        {"", ""}, /* a local socket */
        {"unix", "unix"},
        {"2001:db8:1:2:3:4:5:6:7:8:9:a:b:c:d:e:f:10:11:12:13", ""}, /* too long for any address */
    };
    char out[LOGIN_ADDRESS_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        login_address((struct text){rows[i].peer, strlen(rows[i].peer)}, out);
        assert_string_equal(out, rows[i].counted);
    }
    login_address((struct text){0}, out);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_addresses)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
