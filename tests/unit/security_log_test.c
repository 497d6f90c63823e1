/* Events of completed actions are logged after the commit, refusals at once. */
#include "worker/auth/security_log.h"

#include "common/log.h"
#include "common/op.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Returns what was logged since the last call. */
static const char *logged(void)
{
    static char text[8192];
    static off_t seen;
    ssize_t n = pread(STDERR_FILENO, text, sizeof text - 1, seen);

    assert_true(n >= 0);
    seen += n;
    text[n] = '\0';
    return text;
}

static int log_to_file(void **state)
{
    char name[] = "/tmp/tf-security-XXXXXX";
    int fd = mkstemp(name);

    (void)state;
    log_setup("test", LOG_TEXT, LOG_INFO);
    return fd < 0 || unlink(name) != 0 || dup2(fd, STDERR_FILENO) < 0 ? -1 : 0;
}

static void test_events_wait_for_the_store(void **state)
{
    struct request request = {.id = "id"};
    struct call calls[2] = {{.request = &request, .route = route_of(OP_TOKEN)},
                            {.request = &request, .route = route_of(OP_TOKEN)}};

    (void)state;
    security_hold();
    security_event(&calls[0], SECURITY_WARN, "made", "user_created:a,b");
    security_event(&calls[1], SECURITY_WARN, "made", "user_created:c,d");
    assert_string_equal(logged(), "");
    security_event(&calls[0], SECURITY_WARN, "no", "authn_login_fail:a");
    assert_non_null(strstr(logged(), "authn_login_fail:a"));
    calls[0].reply.status = 200;
    calls[1].reply.status = 503; /* the store has not taken it */
    security_release();
    const char *text = logged();
    assert_non_null(strstr(text, "user_created:a,b"));
    assert_null(strstr(text, "user_created:c,d"));
    security_event(&calls[0], SECURITY_INFO, "now", "user_deleted:a,b");
    assert_non_null(strstr(logged(), "user_deleted:a,b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_events_wait_for_the_store)};

    return cmocka_run_group_tests(tests, log_to_file, NULL);
}
