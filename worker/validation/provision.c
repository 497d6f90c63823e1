#include "worker/validation/provision.h"

#define S &kind_string
#define I &kind_integer
#define B &kind_boolean
#define R FIELD_REQUIRED

static const struct field attachment_fields[] = {{"agent", S, R}, {"device", S, 0}, {0}};
static const struct schema attachment = {.fields = attachment_fields};
static const struct kind kind_attachment = {.type = KIND_OBJECT, .object = &attachment};
const struct kind kind_attachments = {.type = KIND_LIST, .item = &kind_attachment};

static const struct kind kind_one_attachment = {
    .type = KIND_LIST, .item = &kind_attachment, .max_len = 1};
static const struct kind kind_urls = {.type = KIND_LIST, .item = &kind_url, .min_len = 1};
static const struct kind kind_jobs = {.type = KIND_LIST, .item = &kind_dict, .min_len = 1};
static const char *const media[] = {"sd", "usb", NULL};
static const struct kind kind_media = {.type = KIND_STRING, .choices = media};

static bool has(const json_t *data, const char *name)
{
    return json_object_get(data, name) != NULL;
}

static bool has_image(const json_t *data)
{
    return has(data, "url") || has(data, "use_attachment");
}

static bool has_one_timeout(const json_t *data)
{
    return !has(data, "provisioning_timeout") || !has(data, "zapper_provisioning_timeout");
}

/* Exactly one of the sources that is not empty. */
static bool has_one_source(const json_t *data)
{
    int sources = has(data, "url") + has(data, "urls") +
                  (json_array_size(json_object_get(data, "attachments")) > 0);

    return sources == 1 && has_one_timeout(data);
}

static const struct field cm3[] = {{"url", &kind_url, R}, {0}};

static const struct field maas[] = {
    {"distro", S, 0},          {"kernel", S, 0},    {"user_data", S, 0},
    {"disks", &kind_dicts, 0}, {"ephemeral", B, 0}, {0},
};

static const struct field multi[] = {{"jobs", &kind_jobs, R}, {0}};

static const struct field muxpi[] = {
    {"url", &kind_url, 0},
    {"use_attachment", S, 0},
    {"attachments", &kind_attachments, 0},
    {"create_user", B, 0},
    {"boot_check_url", S, 0},
    {"media", &kind_media, 0},
    {0},
};

static const struct field noprovision[] = {{"skip", B, 0}, {0}};

static const struct field oem_autoinstall[] = {
    {"url", &kind_url, 0},          {"attachments", &kind_attachments, 0},
    {"token_file", S, 0},           {"user_data", S, 0},
    {"redeploy_cfg", S, 0},         {"authorized_keys", S, 0},
    {"control_host_iso_url", S, 0}, {"control_host_iso_type", S, 0},
    {"update_user_data", B, 0},     {0},
};

static const struct field oem_script[] = {{"url", &kind_url, R}, {0}};

/* The time limit has two names: jobs for older agents say zapper_... */
static const struct field control_host_iot_custom[] = {
    {"provisioning_timeout", I, 0},
    {"zapper_provisioning_timeout", I, 0},
    {"url", &kind_url, 0},
    {"urls", &kind_urls, 0},
    {"attachments", &kind_one_attachment, 0},
    {"agent_ssh_access", B, 0},
    {"ubuntu_sso_email", &kind_email, 0},
    {"provision_plan", &kind_dict, R},
    {0},
};

static const struct field control_host_iot_preset[] = {
    {"provisioning_timeout", I, 0},
    {"zapper_provisioning_timeout", I, 0},
    {"url", &kind_url, 0},
    {"urls", &kind_urls, 0},
    {"attachments", &kind_one_attachment, 0},
    {"agent_ssh_access", B, 0},
    {"preset", S, R},
    {"preset_kwargs", &kind_dict, 0},
    {0},
};

static const struct field control_host_kvm_autoinstall[] = {
    {"provisioning_timeout", I, 0},
    {"zapper_provisioning_timeout", I, 0},
    {"url", &kind_url, R},
    {"robot_tasks", &kind_strings, R},
    {"robot_retries", I, 0},
    {"autoinstall_storage_layout", S, 0},
    {"ubuntu_sso_email", &kind_email, 0},
    {"autoinstall_base_user_data", S, 0},
    {"autoinstall_oem", B, 0},
    {"cmdline_append", S, 0},
    {0},
};

static const struct field control_host_kvm_generic[] = {
    {"provisioning_timeout", I, 0}, {"zapper_provisioning_timeout", I, 0},
    {"url", &kind_url, R},          {"robot_tasks", &kind_strings, R},
    {"robot_retries", I, 0},        {"live_image", B, R},
    {"wait_until_ssh", B, R},       {0},
};

static const struct field control_host_kvm_oem_2204[] = {
    {"provisioning_timeout", I, 0},
    {"zapper_provisioning_timeout", I, 0},
    {"alloem_url", &kind_url, R},
    {"robot_tasks", &kind_strings, R},
    {"robot_retries", I, 0},
    {"url", &kind_url, 0},
    {"oem", S, 0},
    {0},
};

static const struct field control_host_kvm_preset[] = {
    {"provisioning_timeout", I, 0},
    {"zapper_provisioning_timeout", I, 0},
    {"alloem_url", &kind_url, 0},
    {"url", &kind_url, 0},
    {"autoinstall_base_user_data", S, 0},
    {"autoinstall_oem", B, 0},
    {"autoinstall_storage_layout", S, 0},
    {"cmdline_append", S, 0},
    {"live_image", B, 0},
    {"oem", S, 0},
    {"preset", S, R},
    {"robot_tasks", &kind_strings, 0},
    {"ubuntu_sso_email", &kind_email, 0},
    {"wait_until_ssh", B, 0},
    {0},
};

/* In the order they are tried: the first that accepts decides how the values are coerced. The last
 * five were called zapper_... before; what those accepted is a part of what these do. */
static const struct schema variants[] = {
    {.fields = cm3},
    {.fields = maas},
    {.fields = multi},
    {.fields = muxpi, .rule = has_image},
    {.fields = noprovision},
    {.fields = oem_autoinstall},
    {.fields = oem_script},
    {.fields = control_host_iot_custom, .rule = has_one_source},
    {.fields = control_host_iot_preset, .rule = has_one_source},
    {.fields = control_host_kvm_autoinstall, .rule = has_one_timeout},
    {.fields = control_host_kvm_generic, .rule = has_one_timeout},
    {.fields = control_host_kvm_oem_2204, .rule = has_one_timeout},
    {.fields = control_host_kvm_preset, .rule = has_one_timeout},
    {.fields = NULL},
};

const struct kind kind_provision = {
    .type = KIND_VARIANT, .variants = variants, .no_variant = "Invalid provision data schema."};
