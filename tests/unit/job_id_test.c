#include "worker/validation/job_id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *text;
    bool valid;
    const char *comment;
} rows[] = {
    {"dcbd1a33-a3f7-435b-8a9c-8c66c3bfca72", true, "usual"},
    {"F7146169-E449-48A7-B9DA-D3EB1B52556F", true, "upper case"},
    {"900097a106fc4eb18b7790cf66a6fd81", true, "no hyphens"},
    {"{6c497bb8-12da-468b-9b95-0b73955c1ad4}", true, "braces"},
    {"{{6c497bb8-12da-468b-9b95-0b73955c1ad4", true, "braces need not match"},
    {"urn:uuid:dcbd1a33-a3f7-435b-8a9c-8c66c3bfca72", true, "URN"},
    {"uuid:dcbd1a33-a3f7-435b-8a9c-8c66c3bfca72", true, "half a URN"},
    {"dcbd1a33urn:-a3f7-435b-8a9c-8c66c3bfca72", true, "the words go anywhere"},
    {"uurn:uid:dcbd1a33a3f7435b8a9c8c66c3bfca72", true, "one word shows up without urn:"},
    {"-d-c-b-d1a33a3f7435b8a9c8c66c3bfca72-", true, "hyphens anywhere"},
    {"00000000-0000-0000-0000-000000000000", true, "the nil UUID"},
    {"", false, "empty"},
    {"nope", false, "a word"},
    {"dcbd1a33-a3f7-435b-8a9c-8c66c3bfca7", false, "31 digits"},
    {"dcbd1a33-a3f7-435b-8a9c-8c66c3bfca721", false, "33 digits"},
    {"gcbd1a33-a3f7-435b-8a9c-8c66c3bfca72", false, "not hexadecimal"},
    {"0x0097a106fc4eb18b7790cf66a6fd81aa", false, "a prefix of numbers"},
    {"+00097a106fc4eb18b7790cf66a6fd81", false, "a sign"},
    {"9_0097a106fc4eb18b7790cf66a6fd81", false, "an underscore"},
    {" 900097a106fc4eb18b7790cf66a6fd8", false, "white space"},
    {"URN:UUID:dcbd1a33-a3f7-435b-8a9c-8c66c3bfca72", false, "the words are in lower case"},
    {"-{dcbd1a33a3f7435b8a9c8c66c3bfca72}", false, "braces only at the ends"},
    {"dcbd1a33{a3f7435b8a9c8c66c3bfca72", false, "a brace inside"},
    {"----------------------------------------------------------------------------------"
     "------------------------------------------------------------",
     false, "long, no digits"},
};

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (job_id_valid(rows[i].text, strlen(rows[i].text)) != rows[i].valid)
            fail_msg("'%s': %s", rows[i].text, rows[i].comment);
}

static void test_length_counts(void **state)
{
    static const char id[] = "900097a106fc4eb18b7790cf66a6fd81";

    (void)state;
    assert_false(job_id_valid(id, 31));
    assert_false(job_id_valid(id, 33)); /* with the NUL */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_length_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
