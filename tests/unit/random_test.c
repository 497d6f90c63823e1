/* Random ids. */
#include "common/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uuid/uuid.h>

#include <cmocka.h>

static void test_form(void **state)
{
    uint8_t seen[16] = {0}, missed[16];
    uuid_t id;

    (void)state;
    memset(missed, 0xff, sizeof missed);
    for (int i = 0; i < 1000; i++) {
        random_uuid(id);
        assert_int_equal(uuid_type(id), UUID_TYPE_DCE_RANDOM);
        assert_int_equal(uuid_variant(id), UUID_VARIANT_DCE);
        for (size_t k = 0; k < 16; k++) {
            seen[k] |= id[k];
            missed[k] &= id[k];
        }
    }
    for (size_t k = 0; k < 16; k++) { /* each random bit takes both values */
        assert_int_equal(seen[k], k == 6 ? 0x4f : k == 8 ? 0xbf : 0xff);
        assert_int_equal(missed[k], k == 6 ? 0x40 : k == 8 ? 0x80 : 0);
    }
}

static void test_text(void **state)
{
    char text[UUID_TEXT_SIZE], other[UUID_STR_LEN];
    uuid_t id;

    (void)state;
    for (int i = 0; i < 1000; i++) {
        random_uuid_text(text);
        assert_int_equal(strlen(text), UUID_TEXT_SIZE - 1);
        assert_int_equal(uuid_parse(text, id), 0);
        uuid_unparse_lower(id, other);
        assert_string_equal(text, other);
    }
}

/* Processes that were forked have ids of their own. */
static void test_forked(void **state)
{
    uint8_t ids[2][16];
    int fds[2];

    (void)state;
    random_uuid(ids[0]);
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    random_uuid(ids[0]);
    if (!child)
        _exit(write(fds[1], ids[0], 16) != 16);
    assert_int_equal(read(fds[0], ids[1], 16), 16);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_memory_not_equal(ids[0], ids[1], 16);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_form), cmocka_unit_test(test_text),
                                       cmocka_unit_test(test_forked)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
