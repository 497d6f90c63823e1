#include "worker/validation/schemas.h"

#include "common/api.h"
#include "worker/validation/fieldtypes.h"
#include "worker/validation/names.h"
#include "worker/validation/provision.h"

#include <string.h>

#define S &kind_string
#define I &kind_integer
#define R FIELD_REQUIRED

/* Names in jobs and results that only the server makes. */
static const char *const server_made[] = {"attachments_status", "client_id", "started_at",
                                          "created_at", NULL};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ^[a-zA-Z_][a-zA-Z0-9_]*$ */
static bool is_secret_name(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!is_letter(s[i]) && (i == 0 || !is_digit(s[i])))
            return false;
    return len > 0;
}

/* ^[a-zA-Z0-9_/-]+$ */
static bool is_secret_path(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!is_letter(s[i]) && !is_digit(s[i]) && s[i] != '/' && s[i] != '-')
            return false;
    return len > 0;
}

/* ^(lp|gh):(\S+)$, where one line end is allowed after it. */
static bool is_ssh_key(const char *s, size_t len)
{
    if (len && s[len - 1] == '\n')
        len--;
    return len > 3 && (memcmp(s, "lp:", 3) == 0 || memcmp(s, "gh:", 3) == 0) &&
           !text_has_space(s + 3, len - 3);
}

static const char *const phases[] = {
#define PHASE(name) name,
#include "worker/jobs/phases.def"
#undef PHASE
    NULL};

/* The name of an agent, client or queue; "" stands for none. */
#define NAME                                                                                       \
    .type = KIND_STRING, .max_len = NAME_BYTES_MAX, .matches = is_printable,                       \
    .no_match = CONTROL_FAULT
static const struct kind kind_name = {NAME};
static const struct kind kind_queue = {NAME, .min_len = 1};
static const struct kind kind_tag = {.type = KIND_STRING, .max_len = NAME_BYTES_MAX};
static const struct kind kind_tags = {.type = KIND_LIST, .item = &kind_tag, .max_len = LISTED_MAX};
static const struct kind kind_agents = {
    .type = KIND_LIST, .item = &kind_name, .max_len = LISTED_MAX};
static const struct kind kind_queues = {
    .type = KIND_LIST, .item = &kind_name, .max_len = NAMES_MAX};
static const struct kind kind_webhook = {.type = KIND_URL, .max_len = URL_BYTES_MAX};
static const struct kind kind_text = {.type = KIND_STRING, .max_len = TEXT_BYTES_MAX};
static const struct kind kind_texts = {.type = KIND_LIST, .item = &kind_text};
static const struct kind kind_links = {
    .type = KIND_DICT, .max_len = LISTED_MAX, .key = &kind_name, .item = &kind_text};
static const struct kind kind_phase = {.type = KIND_STRING, .choices = phases};
static const char *const actions[] = {"cancel", NULL};
static const struct kind kind_action = {.type = KIND_STRING, .choices = actions, .any_case = true};

static const struct kind kind_secret_name = {.type = KIND_STRING, .matches = is_secret_name};
static const struct kind kind_secret_path = {.type = KIND_STRING, .matches = is_secret_path};
static const struct kind kind_secrets = {
    .type = KIND_DICT, .max_len = LISTED_MAX, .key = &kind_secret_name, .item = &kind_secret_path};
/* A value becomes an environment variable of a test command: no NUL. */
static bool is_secret_value(const char *s, size_t len)
{
    return !memchr(s, '\0', len);
}

static const struct kind kind_secret_value = {.type = KIND_STRING,
                                              .min_len = 1,
                                              .max_len = SECRET_BYTES_MAX,
                                              .matches = is_secret_value,
                                              .no_match = "Must not hold a NUL character."};
static const struct kind kind_expire_after = {
    .type = KIND_INTEGER, .min = 1, .max = SECRET_SECONDS_MAX};
static const struct kind kind_ssh_key = {.type = KIND_STRING, .matches = is_ssh_key};
static const struct kind kind_ssh_keys = {.type = KIND_LIST, .item = &kind_ssh_key};
static const struct kind kind_status = {
    .type = KIND_DICT, .key = &kind_phase, .item = &kind_integer};

#define SECRET_MIN 15 /* characters of a client's secret, by the contract */

static const struct kind kind_not_empty = {.type = KIND_STRING, .min_len = 1};
static const struct kind kind_client_secret = {.type = KIND_STRING, .min_len = SECRET_MIN};
static const struct kind kind_role = {.type = KIND_STRING, .choices = role_names};
static const struct kind kind_integers = {
    .type = KIND_DICT, .max_len = NAMES_MAX, .key = &kind_name, .item = &kind_integer};

static const struct field test_data_fields[] = {
    {"test_cmds", S, 0},     {"attachments", &kind_attachments, 0}, {"test_username", S, 0},
    {"test_password", S, 0}, {"secrets", &kind_secrets, 0},         {0},
};
static const struct schema test_data = {.fields = test_data_fields};
static const struct kind kind_test_data = {.type = KIND_OBJECT, .object = &test_data};

static const struct field reserve_data_fields[] = {
    {"ssh_keys", &kind_ssh_keys, 0},
    {"timeout", &kind_duration, FIELD_DROP_NULL},
    {0},
};
static const struct schema reserve_data = {.fields = reserve_data_fields};
static const struct kind kind_reserve_data = {.type = KIND_OBJECT, .object = &reserve_data};

static const struct field job_fields[] = {
    {"job_id", S, 0},
    {"parent_job_id", S, 0},
    {"name", S, 0},
    {"tags", &kind_tags, 0},
    {"job_queue", &kind_queue, R},
    {"global_timeout", I, 0},
    {"output_timeout", I, 0},
    {"allocation_timeout", I, 0},
    {"provision_data", &kind_provision, FIELD_NULLABLE},
    {"firmware_update_data", &kind_dict, 0},
    {"test_data", &kind_test_data, 0},
    {"allocate_data", &kind_dict, 0},
    {"reserve_data", &kind_reserve_data, 0},
    {"job_status_webhook", S, 0},
    {"job_priority", I, 0},
    {"exclude_agents", &kind_agents, FIELD_EMPTY_LIST},
    {"debug", &kind_boolean, 0},
    {0},
};
const struct schema schema_job = {.fields = job_fields, .reserved = server_made};

static const struct field action_fields[] = {
    {"action", &kind_action, R},
    {0},
};
const struct schema schema_action = {.fields = action_fields};

static const char *const more_actions[] = {"cancel", "extend", "priority", NULL};
static const struct kind kind_more_actions = {
    .type = KIND_STRING, .choices = more_actions, .any_case = true};
static const struct field more_action_fields[] = {
    {"action", &kind_more_actions, R},
    {"seconds", I, 0},
    {"priority", I, 0},
    {0},
};
const struct schema schema_more_actions = {.fields = more_action_fields};

static const char *const matches[] = {"any", "all", NULL};
static const struct kind kind_match = {.type = KIND_STRING, .choices = matches};
static const char *const cancellable[] = {"active",    "waiting",         "running", "setup",
                                          "provision", "firmware_update", "test",    "allocate",
                                          "allocated", "reserve",         "cleanup", NULL};
static const struct kind kind_cancellable = {.type = KIND_STRING, .choices = cancellable};
static const struct kind kind_cancellables = {
    .type = KIND_LIST, .item = &kind_cancellable, .max_len = LISTED_MAX};
static const struct field jobs_cancel_fields[] = {
    {"tags", &kind_tags, 0},       {"match", &kind_match, 0}, {"state", &kind_cancellables, 0},
    {"dry_run", &kind_boolean, 0}, {"limit", I, 0},           {0},
};
const struct schema schema_jobs_cancel = {.fields = jobs_cancel_fields};

static const struct field event_fields[] = {
    {"event_name", S, R},
    {"timestamp", S, R},
    {"detail", S, 0},
    {0},
};
static const struct schema event = {.fields = event_fields};
static const struct kind kind_event = {.type = KIND_OBJECT, .object = &event};
static const struct kind kind_events = {.type = KIND_LIST, .item = &kind_event};

static const struct field events_fields[] = {
    {"agent_id", &kind_name, 0},
    {"job_queue", &kind_name, 0},
    {"job_status_webhook", &kind_webhook, R},
    {"events", &kind_events, 0},
    {0},
};
const struct schema schema_events = {.fields = events_fields};

/* What agents of both eras post: outcomes of phases as one object, or as fields of their own. */
static const struct field result_fields[] = {
    {"status", &kind_status, 0},
#define PHASE(name) {name "_status", I, 0}, {name "_output", S, 0}, {name "_serial", S, 0},
#include "worker/jobs/phases.def"
#undef PHASE
    {"device_info", &kind_dict, 0}, {"job_state", &kind_tag, 0}, {"agent_id", &kind_name, 0}, {0},
};
const struct schema schema_result = {.fields = result_fields, .reserved = server_made};

static const struct field log_fragment_fields[] = {
    {"fragment_number", I, R},
    {"timestamp", &kind_datetime, R},
    {"phase", &kind_phase, R},
    {"log_data", S, R},
    {0},
};
const struct schema schema_log_fragment = {.fields = log_fragment_fields};

static const char *const modes[] = {"ONLINE", "MAINTENANCE", "OFFLINE", "RESTART", NULL};
static const struct kind kind_mode = {.type = KIND_STRING, .choices = modes, .any_case = true};

/* What the server adds to an agent's document. */
static const char *const agent_made[] = {"_id",
                                         "name",
                                         "updated_at",
                                         "requests",
                                         "restricted_to",
                                         "submitted_by",
                                         "provision_streak_type",
                                         "provision_streak_count",
                                         "silent",
                                         NULL};

/* `links` comes first: the reference does not know it. */
static const struct field agent_fields[] = {
    {"links", &kind_links, 0},         {"identifier", &kind_text, 0},
    {"job_id", &kind_text, 0},         {"location", &kind_text, 0},
    {"log", &kind_texts, 0},           {"mode", &kind_mode, 0},
    {"mode_until", &kind_datetime, 0}, {"provision_type", &kind_text, 0},
    {"queues", &kind_queues, 0},       {"state", &kind_text, 0},
    {"comment", &kind_text, 0},        {0},
};
const struct schema schema_agent = {
    .fields = agent_fields, .reserved = agent_made, .only_paths = true};
const struct schema schema_agent_reference = {.fields = agent_fields + 1};

static const struct field provision_log_fields[] = {
    {"job_id", S, R},
    {"exit_code", I, R},
    {"detail", S, 0},
    {0},
};
const struct schema schema_provision_log = {.fields = provision_log_fields};

static const struct field refresh_fields[] = {
    {"refresh_token", &kind_not_empty, R},
    {0},
};
const struct schema schema_refresh = {.fields = refresh_fields};

static const struct field restricted_fields[] = {
    {"client_id", &kind_name, R},
    {0},
};
const struct schema schema_restricted = {.fields = restricted_fields};

static const struct kind kind_reason = {.type = KIND_STRING, .max_len = REASON_BYTES_MAX};
static const struct field pause_fields[] = {
    {"reason", &kind_reason, 0},
    {"until", &kind_datetime, 0},
    {0},
};
const struct schema schema_pause = {.fields = pause_fields};

static const struct field secret_fields[] = {
    {"value", &kind_secret_value, R},
    {"expire_after", &kind_expire_after, FIELD_NULLABLE},
    {"ephemeral", &kind_boolean, 0},
    {0},
};
const struct schema schema_secret = {.fields = secret_fields};

static const struct field client_fields[] = {
    {"client_secret", &kind_client_secret, 0},
    {"max_priority", &kind_integers, 0},
    {"max_reservation_time", &kind_integers, 0},
    {"role", &kind_role, 0},
    {"email", &kind_email, 0},
    {0},
};
const struct schema schema_client = {.fields = client_fields};

static bool ends_with(const char *s, const char *end)
{
    size_t len = strlen(s), end_len = strlen(end);

    return len >= end_len && strcmp(s + len - end_len, end) == 0;
}

bool job_wants_attachments(json_t *job_data)
{
    const char *name;
    json_t *value;

    json_object_foreach (job_data, name, value)
        if (ends_with(name, "_data") && json_object_get(value, "attachments"))
            return true;
    return false;
}
