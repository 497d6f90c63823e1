#include "common/packed.h"

#include <msgpack.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROW(text, sound)                                                                           \
    {                                                                                              \
        text, sizeof text - 1, sound                                                               \
    }

static void test_rows(void **state)
{
    static const struct {
        const char *data;
        size_t len;
        bool sound;
    } rows[] = {
        ROW("", false),
        ROW("\x00", true),
        ROW("\xff", true),
        ROW("\x00\x00", false),
        ROW("\xc0", true),
        ROW("\xc1", false),
        ROW("\xc2", true),
        ROW("\xa2xy", true),
        ROW("\xa3xy", false),
        ROW("\x92\x01\xa1x", true),
        ROW("\x92\x01", false),
        ROW("\x91\x01\x01", false),
        ROW("\x81\x01\x02", true),
        ROW("\x81\x01", false),
        ROW("\xc4\x02xy", true),
        ROW("\xc4\x03xy", false),
        ROW("\xc4", false),
        ROW("\xc6\x00\x00\x00\x02xy", true),
        ROW("\xc6\xff\xff\xff\xffxy", false),
        ROW("\xc7\x01\x05x", true),
        ROW("\xc7\x02\x05x", false),
        ROW("\xcb\x00\x00\x00\x00\x00\x00\x00\x00", true),
        ROW("\xcb\x00\x00\x00\x00\x00\x00\x00", false),
        ROW("\xd8\x00"
            "0123456789abcdef",
            true),
        ROW("\xdc\x00\x01\xc0", true),
        ROW("\xdd\xff\xff\xff\xff", false),
        ROW("\xdd\xff\xff\xff\xff\xc0", false),
        ROW("\x91\xdf\xff\xff\xff\xff", false),
        ROW("\xde\x00\x01\x01\x91\xc0", true),
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (packed_is_sound(rows[i].data, rows[i].len) != rows[i].sound)
            fail_msg("row %zu", i);
}

/* An array of n nils. */
static bool array_is_sound(uint32_t n)
{
    uint8_t *data = malloc(n + 5);

    memset(data, 0xc0, n + 5);
    data[0] = 0xdd;
    for (int i = 0; i < 4; i++)
        data[1 + i] = (uint8_t)(n >> (24 - 8 * i));
    bool sound = packed_is_sound(data, n + 5);
    free(data);
    return sound;
}

static void test_number_of_objects(void **state)
{
    (void)state;
    assert_true(array_is_sound(PACKED_OBJECTS_MAX - 1)); /* and the array itself */
    assert_false(array_is_sound(PACKED_OBJECTS_MAX));
    assert_false(array_is_sound(20000000));
}

static void test_depth(void **state)
{
    uint8_t data[PACKED_OBJECTS_MAX + 1];

    (void)state;
    memset(data, 0x91, sizeof data);
    assert_false(packed_is_sound(data, sizeof data));
    data[99] = 0xc0;
    assert_true(packed_is_sound(data, 100));
}

/* The check and the decoder agree on bytes that are mostly valid. */
static void test_against_the_decoder(void **state)
{
    uint8_t data[24];
    unsigned sound = 0;

    (void)state;
    srandom(1);
    for (int round = 0; round < 200000; round++) {
        size_t len = 1 + (size_t)random() % sizeof data, offset = 0;
        msgpack_zone zone;
        msgpack_object o;
        for (size_t i = 0; i < len; i++)
            data[i] = (uint8_t)(random() % 3 ? random() % 4 : random());
        bool ours = packed_is_sound(data, len);
        if (!ours && data[0] >= 0xdd) /* the decoder might allocate too much memory */
            continue;
        assert_true(msgpack_zone_init(&zone, 512));
        /* Invalid input may make it allocate, too: try only short lengths. */
        bool huge = false;
        for (size_t i = 0; i < len; i++)
            huge |= data[i] == 0xdd || data[i] == 0xdf;
        if (ours || !huge) {
            bool theirs = msgpack_unpack((const char *)data, len, &offset, &zone, &o) ==
                              MSGPACK_UNPACK_SUCCESS &&
                          offset == len;
            if (ours != theirs)
                fail_msg("round %d: %d", round, ours);
        }
        sound += ours;
        msgpack_zone_destroy(&zone);
    }
    assert_true(sound > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_number_of_objects),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_against_the_decoder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
