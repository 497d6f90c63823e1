#include "worker/clients/roles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *permissions; /* JSON */
    unsigned role;
    const char *comment;
} role_rows[] = {
    {"{\"role\": \"admin\"}", ROLE_ADMIN, "as it is written"},
    {"{\"role\": \"Admin\"}", ROLE_ADMIN, "in any case"},
    {"{\"role\": \"MANAGER\"}", ROLE_MANAGER, "in any case"},
    {"{\"role\": \"contributor\"}", ROLE_CONTRIBUTOR, ""},
    {"{\"role\": \"agent\"}", ROLE_AGENT, ""},
    {"{}", ROLE_CONTRIBUTOR, "none named"},
    {"{\"role\": null}", ROLE_CONTRIBUTOR, "none named"},
    {"{\"role\": \"\"}", 0, "no role"},
    {"{\"role\": \"root\"}", 0, "no role"},
    {"{\"role\": \"admin \"}", 0, "no role"},
    {"{\"role\": 1}", 0, "no text"},
    {"{\"role\": [\"admin\"]}", 0, "a list is no text"},
};

static void test_role_of(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof role_rows / sizeof *role_rows; i++) {
        json_t *permissions = json_loads(role_rows[i].permissions, 0, NULL);
        if (role_of(permissions) != role_rows[i].role)
            fail_msg("%s: %s", role_rows[i].permissions, role_rows[i].comment);
        json_decref(permissions);
    }
    assert_int_equal(role_of(NULL), ROLE_CONTRIBUTOR);
}

static void test_order(void **state)
{
    static const unsigned order[] = {ROLE_ADMIN, ROLE_MANAGER, ROLE_CONTRIBUTOR, ROLE_AGENT, 0};

    (void)state;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        for (size_t k = 0; k < sizeof order / sizeof *order; k++)
            assert_int_equal(role_is_lower(order[i], order[k]), i > k);
}

static void test_names(void **state)
{
    char text[ROLES_TEXT_SIZE];

    (void)state;
    assert_string_equal(roles_text(ROLES_EVERY, text), "admin, manager, contributor, agent");
    assert_string_equal(roles_text(ROLES_AGENT_DATA, text), "admin, manager, agent");
    assert_string_equal(roles_text(ROLE_AGENT, text), "agent");
    assert_string_equal(roles_text(0, text), "");
    assert_string_equal(role_name(ROLE_MANAGER), "manager");
    assert_string_equal(role_name(0), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_role_of),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
