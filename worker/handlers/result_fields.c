#include "worker/handlers/result_fields.h"

#include <stdio.h>
#include <string.h>

void result_name(int phase, enum output_type type, char out[RESULT_NAME_SIZE])
{
    snprintf(out, RESULT_NAME_SIZE, "%s_%s", phase_names[phase], output_type_names[type]);
}

void result_status_name(int phase, char out[RESULT_NAME_SIZE])
{
    snprintf(out, RESULT_NAME_SIZE, "%s_status", phase_names[phase]);
}

#define ALL_PHASES ((1u << PHASE_COUNT) - 1)

/* Records a name, and what must be read for it. */
static void add(struct result_fields *f, struct text name)
{
    char text[RESULT_NAME_SIZE];
    bool is_state = name.len == strlen("job_state") && memcmp(name.s, "job_state", name.len) == 0;

    json_object_setn_new(f->names, name.s, name.len, json_true());
    if (!is_state && f->part == RESULT_STATE)
        f->part = RESULT_FIELDS;
    for (int type = 0; type < OUTPUT_TYPES; type++)
        for (int i = 0; i < PHASE_COUNT; i++) {
            result_name(i, (enum output_type)type, text);
            if (name.len == strlen(text) && memcmp(name.s, text, name.len) == 0) {
                f->phases[type] |= 1u << i;
                f->part = RESULT_ALL;
            }
        }
}

static void add_list(struct result_fields *f, struct text list)
{
    const char *end = list.s + list.len;

    for (const char *at = list.s; at < end;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        struct text name = {at, (size_t)((comma ? comma : end) - at)};
        if (name.len && !memchr(name.s, '\0', name.len))
            add(f, name);
        at += name.len + 1;
    }
}

void result_fields_load(const struct request *r, struct result_fields *ret)
{
    *ret = (struct result_fields){.names = json_object(), .part = RESULT_STATE};
    for (size_t i = 0; i < r->query_len; i++) {
        struct text name = r->query[i].name;
        if (name.len == strlen("fields") && memcmp(name.s, "fields", name.len) == 0)
            add_list(ret, r->query[i].value);
    }
    if (json_object_size(ret->names))
        return;
    json_decref(ret->names);
    *ret = (struct result_fields){.part = RESULT_ALL};
    for (int type = 0; type < OUTPUT_TYPES; type++)
        ret->phases[type] = ALL_PHASES;
}

void result_fields_free(struct result_fields *f)
{
    json_decref(f->names);
    f->names = NULL;
}

bool result_fields_logs(const struct result_fields *f)
{
    for (int type = 0; type < OUTPUT_TYPES; type++)
        if (f->phases[type])
            return true;
    return false;
}
