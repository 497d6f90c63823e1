/* The addresses on which the open mode must be set explicitly. */
#include "common/exposure.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
/* cmocka.h needs the headers above. */
#include <cmocka.h>

/* A socket that is bound to an address of this machine. */
static int bound(const char *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(inet_pton(AF_INET, address, &in.sin_addr), 1);
    assert_int_equal(bind(fd, (const struct sockaddr *)(const void *)&in, sizeof in), 0);
    return fd;
}

static void test_listen(void **state)
{
    static const struct {
        const char *address;
        int auth;
        bool given, allowed;
    } rows[] = {
        {"127.0.0.1", AUTH_OPEN, false, true}, {"127.8.0.1", AUTH_OPEN, false, true},
        {"0.0.0.0", AUTH_OPEN, false, false},  {"0.0.0.0", AUTH_OPEN, true, true},
        {"0.0.0.0", AUTH_ROLES, true, true},   {"0.0.0.0", AUTH_LOGIN, true, true},
    };
    char reason[EXPOSURE_REASON_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config cfg = {.auth = rows[i].auth, .given.auth = rows[i].given};
        int fd = bound(rows[i].address);
        *reason = '\0';
        if ((exposure_check_listen(&cfg, fd, reason) == ERR_OK) != rows[i].allowed)
            fail_msg("row %zu: %s", i, reason);
        assert_int_equal(*reason == '\0', rows[i].allowed);
        assert_null(strchr(reason, '\n'));
        close(fd);
    }
}

static void test_bus(void **state)
{
    static const struct {
        const char *bus;
        bool given, allowed;
    } rows[] = {
        {"/run/bus", false, true},           {"tcp://127.0.0.1:7000", false, true},
        {"tcp://broker:7000", false, false}, {"tcp://0.0.0.0:7000", false, false},
        {"tcp://broker:7000", true, true},
    };
    char reason[EXPOSURE_REASON_SIZE], bus[64];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(bus, sizeof bus, "%s", rows[i].bus);
        struct config cfg = {.bus = bus, .given.auth = rows[i].given};
        if ((exposure_check_bus(&cfg, reason) == ERR_OK) != rows[i].allowed)
            fail_msg("row %zu", i);
    }
}

static void test_inside(void **state)
{
    static const struct {
        const char *address, *bus;
        bool inside;
    } rows[] = {
        {"127.0.0.1", "", true},
        {"127.0.0.1", "/run/bus", true},
        {"127.0.0.1", "tcp://127.0.0.1:7000", true},
        {"127.0.0.1", "tcp://10.0.0.1:7000", false},
        {"0.0.0.0", "", false},
    };
    char bus[64];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        snprintf(bus, sizeof bus, "%s", rows[i].bus);
        const struct config cfg = {.bus = bus};
        int fd = bound(rows[i].address);
        if (exposure_is_inside(&cfg, fd) != rows[i].inside)
            fail_msg("row %zu", i);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listen),
        cmocka_unit_test(test_bus),
        cmocka_unit_test(test_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
