/* _id values derived from the ids of jobs. They are stored, so they must never change. */
#include "worker/store/mongo/oid.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(s)                                                                                    \
    {                                                                                              \
        s, sizeof(s) - 1                                                                           \
    }

/* The first 8 bytes are SipHash-2-4 under the key of its paper, whose test vectors these are. */
static void test_vectors(void **state)
{
    static const struct {
        struct text text;
        const char *first;
    } rows[] = {
        {TEXT(""), "310e0edd47db6f72"},
        {TEXT("\0"), "fd67dc93c539f874"},
        {TEXT("\0\1\2\3\4\5\6"), "37d1018bf50002ab"},
        {TEXT("\0\1\2\3\4\5\6\7"), "6224939a79f5f593"},
        {TEXT("\0\1\2\3\4\5\6\7\x8\x9\xa\xb\xc\xd\xe"), "e545be4961ca29a1"},
    };
    char text[25];
    bson_oid_t id;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        oid_of_text(rows[i].text, &id);
        bson_oid_to_string(&id, text);
        assert_memory_equal(text, rows[i].first, 16);
    }
}

static void test_stays_the_same(void **state)
{
    const struct text id = TEXT("11111111-2222-3333-4444-555555555555");
    char text[25];
    bson_oid_t oid;

    (void)state;
    oid_of_text(id, &oid);
    bson_oid_to_string(&oid, text);
    assert_string_equal(text, "78cff10c945c87f985184eab");
}

static void test_differs(void **state)
{
    static const struct text texts[] = {TEXT("ab"), TEXT("aB"), TEXT("ab\0"), TEXT("a"), TEXT("")};
    bson_oid_t a, b;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (size_t k = 0; k < i; k++) {
            oid_of_text(texts[i], &a);
            oid_of_text(texts[k], &b);
            assert_false(bson_oid_equal(&a, &b));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_stays_the_same),
        cmocka_unit_test(test_differs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
