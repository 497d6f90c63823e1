#include "deploy/launcher/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* Opens a service manager's socket; `name` as in $NOTIFY_SOCKET. */
static int manager(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    memcpy(address.sun_path, name, strlen(name));
    if (*name == '@')
        address.sun_path[0] = '\0';
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, len), 0);
    return fd;
}

static void check_talk(const char *name)
{
    char got[64] = "";
    int fd = manager(name);

    setenv("NOTIFY_SOCKET", name, 1);
    notify_init();
    assert_null(getenv("NOTIFY_SOCKET"));
    notify_send("READY=1");
    assert_int_equal(recv(fd, got, sizeof got, 0), 7);
    assert_memory_equal(got, "READY=1", 7);
    notify_send("STOPPING=1");
    assert_int_equal(recv(fd, got, sizeof got, 0), 10);
    close(fd);
    notify_send("READY=1"); /* nobody there: no harm */
}

static void test_file(void **state)
{
    char folder[] = "/tmp/notify-test-XXXXXX", path[64];

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    check_talk(path);
    unlink(path);
    rmdir(folder);
}

static void test_abstract(void **state)
{
    char name[64];

    (void)state;
    snprintf(name, sizeof name, "@notify-test-%d", (int)getpid());
    check_talk(name);
}

static void test_no_manager(void **state)
{
    static const char *const names[] = {"", "/", "relative", "vsock:2:1"};
    char longer[300];

    (void)state;
    unsetenv("NOTIFY_SOCKET");
    notify_init();
    notify_send("READY=1");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        notify_init();
        notify_send("READY=1");
    }
    memset(longer, '/', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    setenv("NOTIFY_SOCKET", longer, 1);
    notify_init();
    notify_send("READY=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_abstract),
        cmocka_unit_test(test_no_manager),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
