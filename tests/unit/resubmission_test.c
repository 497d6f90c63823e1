#include "worker/jobs/resubmission.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *stored, *sent;
    bool same;
    const char *comment;
} data[] = {
    {"{'a': 1, 'b': [2]}", "{'b': [2], 'a': 1}", true, "the order of names does not count"},
    {"{'a': 1}", "{'a': 2}", false, "another value"},
    {"{'a': 1}", "{'b': 1}", false, "another name"},
    {"{'a': 1}", "{'a': 1, 'b': 1}", false, "more"},
    {"{'a': 1, 'b': 1}", "{'a': 1}", false, "less"},
    {"{'a': 1, 'attachments_status': 'complete'}", "{'a': 1, 'attachments_status': 'waiting'}",
     true, "uploaded meanwhile"},
    {"{'a': 1, 'attachments_status': 'complete'}", "{'a': 1}", false, "no attachments any more"},
    {"{'a': 1}", "{'a': 1, 'attachments_status': 'waiting'}", false, "attachments now"},
    {NULL, "{}", false, "data that cannot be read"},
};

static json_t *load(const char *text)
{
    char json[128];
    size_t i = 0;

    if (!text)
        return NULL;
    for (; text[i]; i++)
        json[i] = text[i] == '\'' ? '"' : text[i];
    json_t *value = json_loadb(json, i, 0, NULL);
    assert_non_null(value);
    return value;
}

static void test_data(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) {
        json_t *stored = load(data[i].stored), *sent = load(data[i].sent);
        if (job_data_same(stored, sent) != data[i].same)
            fail_msg("%s", data[i].comment);
        json_decref(stored);
        json_decref(sent);
    }
}

static const struct {
    const char *state;
    int64_t created;
    bool known, repeat, same;
    enum resubmission what;
    const char *comment;
} rows[] = {
    {"waiting", 5, false, false, true, RESUBMIT_NOTHING, "the same job waits"},
    {"waiting", 5, false, false, false, RESUBMIT_RENEWS, "waits with other data"},
    {"running", 5, false, false, true, RESUBMIT_ATTEMPT, "runs: it is to run once more"},
    {"complete", 5, false, false, false, RESUBMIT_ATTEMPT, "over"},
    {NULL, 5, false, false, true, RESUBMIT_ATTEMPT, "of another server, without a state"},
    {"running", 10, false, true, true, RESUBMIT_NOTHING,
     "a repeat of what was stored, and runs by now"},
    {"complete", 11, false, true, false, RESUBMIT_NOTHING,
     "a repeat of what was replaced meanwhile"},
    {"running", 9, false, true, true, RESUBMIT_ATTEMPT, "a repeat whose first try was not stored"},
    {"complete", 11, false, false, true, RESUBMIT_ATTEMPT, "no repeat: the clock was set back"},
    {"running", 9, true, false, true, RESUBMIT_NOTHING, "a late first run of what was stored"},
    {"waiting", 11, true, false, false, RESUBMIT_NOTHING, "likewise, and then replaced"},
};

static void test_resubmission(void **state)
{
    json_t *one = json_pack("{s:i}", "a", 1), *other = json_pack("{s:i}", "a", 2);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct resubmitted r = {.state = rows[i].state,
                                .created = rows[i].created,
                                .received = 10,
                                .known = rows[i].known,
                                .repeat = rows[i].repeat,
                                .stored = one,
                                .sent = rows[i].same ? one : other};
        if (resubmission(&r) != rows[i].what)
            fail_msg("%s", rows[i].comment);
    }
    json_decref(one);
    json_decref(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_resubmission),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
