#include "worker/encoding/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    enum base64_kind kind;
    const char *bytes;
    size_t len;
    const char *text;
} rows[] = {
    {BASE64_STANDARD, "", 0, ""},
    {BASE64_STANDARD, "f", 1, "Zg=="},
    {BASE64_STANDARD, "fo", 2, "Zm8="},
    {BASE64_STANDARD, "foo", 3, "Zm9v"},
    {BASE64_STANDARD, "foob", 4, "Zm9vYg=="},
    {BASE64_STANDARD, "\xff\xef\xbe\x00", 4, "/+++AA=="},
    {BASE64_URL, "f", 1, "Zg"},
    {BASE64_URL, "fo", 2, "Zm8"},
    {BASE64_URL, "foo", 3, "Zm9v"},
    {BASE64_URL, "\xff\xef\xbe\x00", 4, "_---AA"},
};

static void test_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf text = BUF_INIT(64), bytes = BUF_INIT(64);
        assert_int_equal(base64_encode(rows[i].bytes, rows[i].len, rows[i].kind, &text), ERR_OK);
        assert_int_equal(text.len, strlen(rows[i].text));
        assert_memory_equal(text.len ? text.data : "", rows[i].text, text.len);
        assert_true(base64_decode((struct text){rows[i].text, text.len}, rows[i].kind, &bytes));
        assert_int_equal(bytes.len, rows[i].len);
        assert_memory_equal(bytes.len ? bytes.data : "", rows[i].bytes, bytes.len);
        buf_free(&text);
        buf_free(&bytes);
    }
}

static const struct {
    enum base64_kind kind;
    const char *text;
    bool accepted;
    const char *comment;
} decode_rows[] = {
    {BASE64_STANDARD, "Zg", true, "padding may be left out"},
    {BASE64_URL, "Zg==", true, "padding may be there"},
    {BASE64_STANDARD, "Zg=", true, "or a part of it"},
    {BASE64_STANDARD, "Zg===", false, "but not more"},
    {BASE64_STANDARD, "Z", false, "6 bits are no byte"},
    {BASE64_STANDARD, "Zm9v_---", false, "the other alphabet"},
    {BASE64_URL, "Zm9v/+++", false, "the other alphabet"},
    {BASE64_STANDARD, "Zm 9v", false, "white space"},
    {BASE64_STANDARD, "Z=g=", false, "padding in the middle"},
    {BASE64_STANDARD, "Zm9v\x80", false, "no ASCII"},
    {BASE64_STANDARD, "MDEyMzQ1Njc4OTAxMjM0NTY3", false, "longer than the maximum"},
};

static void test_decode(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof decode_rows / sizeof *decode_rows; i++) {
        struct buf out = BUF_INIT(16);
        struct text text = {decode_rows[i].text, strlen(decode_rows[i].text)};
        if (base64_decode(text, decode_rows[i].kind, &out) != decode_rows[i].accepted)
            fail_msg("%s: %s", decode_rows[i].text, decode_rows[i].comment);
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_decode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
