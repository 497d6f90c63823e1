#include "common/listen.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void test_address(void **state)
{
    static const struct {
        const char *listen, *host, *port; /* host NULL: refused */
    } rows[] = {
        {"127.0.0.1:8000", "127.0.0.1", "8000"},
        {"localhost:1", "localhost", "1"},
        {"0.0.0.0:65535", "0.0.0.0", "65535"},
        {"[::1]:8000", "::1", "8000"},
        {"[::]:080", "::", "80"},
        {"127.0.0.1", NULL, NULL},
        {"127.0.0.1:", NULL, NULL},
        {"127.0.0.1:0", NULL, NULL},
        {"127.0.0.1:65536", NULL, NULL},
        {"127.0.0.1:99999999999999999999", NULL, NULL},
        {"127.0.0.1:+80", NULL, NULL},
        {"127.0.0.1: 80", NULL, NULL},
        {"127.0.0.1:80x", NULL, NULL},
        {":8000", "", "8000"},
        {"[]:8000", NULL, NULL},
        {"[::1:8000", NULL, NULL},
        {"::1:8000", NULL, NULL},
        {"8000", NULL, NULL},
        {"", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct listen_address a = {"untouched", ""};
        enum err e = listen_split(rows[i].listen, &a);
        if (e != (rows[i].host ? ERR_OK : ERR_INVALID))
            fail_msg("%s: %d", rows[i].listen, (int)e);
        assert_string_equal(a.host, rows[i].host ? rows[i].host : "untouched");
        assert_string_equal(a.port, rows[i].host ? rows[i].port : "");
    }
}

static void test_a_host_that_is_too_long(void **state)
{
    char listen[400];
    struct listen_address a;

    (void)state;
    memset(listen, 'x', sizeof listen);
    memcpy(listen + 300, ":80", 4);
    assert_int_equal(listen_split(listen, &a), ERR_INVALID);
}

/* A socket on a free port, and its address as text. */
static int any_socket(char text[LISTEN_TEXT_SIZE])
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(listen(fd, 1), 0);
    listen_text(fd, text);
    return fd;
}

static void test_text(void **state)
{
    char text[LISTEN_TEXT_SIZE];

    (void)state;
    int fd = any_socket(text);
    assert_int_equal(strncmp(text, "0.0.0.0:", 8), 0);
    assert_true(strtol(text + 8, NULL, 10) > 0);
    close(fd);
    listen_text(fd, text);
    assert_string_equal(text, "?");
}

static void test_open(void **state)
{
    char taken[LISTEN_TEXT_SIZE], text[LISTEN_TEXT_SIZE];
    int fd = any_socket(taken), mine = -1;

    (void)state;
    assert_int_equal(listen_open("test", taken, &mine), ERR_UNAVAILABLE);
    assert_int_equal(listen_open("test", "nonsense", &mine), ERR_INVALID);
    assert_int_equal(listen_open("test", "192.0.2.1:80", &mine), ERR_INVALID);
    assert_int_equal(mine, -1);
    close(fd);
    assert_int_equal(listen_open("test", taken, &mine), ERR_OK);
    listen_text(mine, text);
    assert_string_equal(text, taken);
    assert_true(fcntl(mine, F_GETFD) & FD_CLOEXEC);
    assert_true(fcntl(mine, F_GETFL) & O_NONBLOCK);
    close(mine);
}

/* Runs in a process of its own, since it needs descriptor 3: passes a socket on and takes it. */
static void pass_and_take(int fd, const char *text)
{
    char now[LISTEN_TEXT_SIZE];
    int got = -1;

    if (listen_pass(fd) || fcntl(3, F_GETFD) != 0)
        _exit(1);
    setenv("LISTEN_FDNAMES", "http", 1);
    if (listen_open("test", "nonsense", &got) || got != 3)
        _exit(2);
    listen_text(got, now);
    if (strcmp(now, text) != 0 || !(fcntl(3, F_GETFD) & FD_CLOEXEC))
        _exit(3);
    if (getenv("LISTEN_PID") || getenv("LISTEN_FDS") || getenv("LISTEN_FDNAMES"))
        _exit(4);
    /* Variables meant for another process are ignored. */
    setenv("LISTEN_PID", "1", 1);
    setenv("LISTEN_FDS", "1", 1);
    _exit(listen_open("test", "nonsense", &got) == ERR_INVALID ? 0 : 5);
}

static void test_pass(void **state)
{
    char text[LISTEN_TEXT_SIZE];
    int fd = any_socket(text), status;

    (void)state;
    for (int as = 3; as <= 20; as += 17) {
        pid_t pid = fork();
        if (pid == 0)
            pass_and_take(dup2(fd, as), text);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
    close(fd);
}

/* Bound, but nobody listens. */
static int bound(const char *address)
{
    struct sockaddr_in four_address = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    bool four = inet_pton(AF_INET, address, &four_address.sin_addr) == 1;
    int fd = socket(four ? AF_INET : AF_INET6, SOCK_STREAM, 0);

    if (!four)
        assert_int_equal(inet_pton(AF_INET6, address, &six.sin6_addr), 1);
    int status = four ? bind(fd, (const struct sockaddr *)&four_address, sizeof four_address)
                      : bind(fd, (const struct sockaddr *)&six, sizeof six);
    if (status == 0)
        return fd;
    close(fd);
    return -1; /* a machine without IPv6 */
}

static void test_public_addresses(void **state)
{
    static const struct {
        const char *address;
        bool public;
    } rows[] = {
        {"127.0.0.1", false},        {"127.1.2.3", false}, {"::1", false},
        {"::ffff:127.0.0.1", false}, {"0.0.0.0", true},    {"::", true},
    };
    int pair[2];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int fd = bound(rows[i].address);
        if (fd < 0)
            continue;
        if (listen_is_public(fd) != rows[i].public)
            fail_msg("%s", rows[i].address);
        close(fd);
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_false(listen_is_public(pair[0]));
    close(pair[0]);
    close(pair[1]);
    assert_false(listen_is_public(-1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_address), cmocka_unit_test(test_a_host_that_is_too_long),
        cmocka_unit_test(test_text),    cmocka_unit_test(test_open),
        cmocka_unit_test(test_pass),    cmocka_unit_test(test_public_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
