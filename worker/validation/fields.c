#include "worker/validation/fields.h"
#include "worker/validation/fieldtable.h"
#include "worker/validation/fieldtypes.h"
#include "worker/validation/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const struct kind kind_string = {.type = KIND_STRING};
const struct kind kind_integer = {.type = KIND_INTEGER};
const struct kind kind_boolean = {.type = KIND_BOOLEAN};
const struct kind kind_url = {.type = KIND_URL};
const struct kind kind_email = {.type = KIND_EMAIL};
const struct kind kind_datetime = {.type = KIND_DATETIME};
const struct kind kind_duration = {.type = KIND_DURATION};
const struct kind kind_dict = {.type = KIND_DICT};
const struct kind kind_strings = {.type = KIND_LIST, .item = &kind_string};
const struct kind kind_dicts = {.type = KIND_LIST, .item = &kind_dict};

/* One walk through a body. The load functions return the coerced value as a new reference, or NULL
 * and, as a new reference in *ret_fault, what is wrong: a list of texts, or an object of nested
 * faults. *ret_fault stays NULL once no faults are left to tell; then a walk ends at the first. */
struct load {
    unsigned faults_left; /* 0 from the start: a trial, which only needs to know yes or no */
};

static const char null_fault[] = "Field may not be null.";
static const char missing_fault[] = "Missing data for required field.";
static const char unknown_fault[] = "Unknown field.";
static const char object_fault[] = "Invalid input type.";

static json_t *load_value(struct load *l, const struct kind *k, json_t *in, json_t **ret_fault);

/* --- telling what is wrong --- */

/* Always NULL, so that a load function can return it. Takes the text. */
static json_t *fail_with(struct load *l, json_t *text, json_t **ret_fault)
{
    if (l->faults_left) {
        l->faults_left--;
        *ret_fault = json_array();
        json_array_append(*ret_fault, text);
    }
    json_decref(text);
    return NULL;
}

static json_t *fail(struct load *l, const char *text, json_t **ret_fault)
{
    return l->faults_left ? fail_with(l, json_string(text), ret_fault) : NULL;
}

/* Puts a fault, which it takes, under a name; the object of faults is made at need. */
static void add_fault(json_t **faults, const char *name, json_t *fault)
{
    if (!fault)
        return;
    if (!*faults)
        *faults = json_object();
    json_object_set_new(*faults, name, fault);
}

/* What is wrong with an object as a whole. */
static json_t *fail_whole(struct load *l, const char *text, json_t **ret_fault)
{
    json_t *fault = NULL;

    fail(l, text, &fault);
    add_fault(ret_fault, "_schema", fault);
    return NULL;
}

/* A text around another one, which may hold NUL characters. */
static json_t *text_around(const char *before, const char *s, size_t len, const char *after)
{
    size_t before_len = strlen(before), after_len = strlen(after);
    char *all = malloc(before_len + len + after_len + 1);

    if (!all)
        return json_string(before);
    memcpy(all, before, before_len);
    memcpy(all + before_len, s, len);
    memcpy(all + before_len + len, after, after_len + 1);
    json_t *text = json_stringn(all, before_len + len + after_len);
    free(all);
    return text;
}

/* --- strings --- */

static json_t *fail_choice(struct load *l, const char *const *choices, json_t **ret_fault)
{
    char text[512] = "Must be one of: ";

    for (size_t i = 0; choices[i]; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%s", choices[i], choices[i + 1] ? ", " : ".");
    }
    return fail(l, text, ret_fault);
}

static json_t *fail_length(struct load *l, const struct kind *k, size_t len, json_t **ret_fault)
{
    char text[64];

    if (len < k->min_len)
        snprintf(text, sizeof text, "Shorter than minimum length %zu.", k->min_len);
    else
        snprintf(text, sizeof text, "Longer than maximum length %zu.", k->max_len);
    return fail(l, text, ret_fault);
}

static bool is_length(const struct kind *k, size_t len)
{
    return len >= k->min_len && (!k->max_len || len <= k->max_len);
}

/* The choice that a text is, or NULL. */
static const char *find_choice(const struct kind *k, const char *s, size_t len)
{
    for (const char *const *choice = k->choices; *choice; choice++)
        if (strlen(*choice) == len &&
            (k->any_case ? strncasecmp(*choice, s, len) : memcmp(*choice, s, len)) == 0)
            return *choice;
    return NULL;
}

/* Checks a value or a name; `itself` is what to return (a new reference) when all is well. */
static json_t *load_text(struct load *l, const struct kind *k, const char *s, size_t len,
                         json_t *itself, json_t **ret_fault)
{
    if (!is_length(k, len))
        return fail_length(l, k, len, ret_fault);
    if (k->matches && !k->matches(s, len))
        return fail(l, k->no_match ? k->no_match : "String does not match expected pattern.",
                    ret_fault);
    if (k->choices) {
        const char *choice = find_choice(k, s, len);
        if (!choice)
            return fail_choice(l, k->choices, ret_fault);
        if (k->any_case)
            return json_string(choice);
    }
    return json_incref(itself);
}

static json_t *load_string(struct load *l, const struct kind *k, json_t *in, json_t **ret_fault)
{
    if (!json_is_string(in))
        return fail(l, "Not a valid string.", ret_fault);
    return load_text(l, k, json_string_value(in), json_string_length(in), in, ret_fault);
}

static json_t *load_url(struct load *l, const struct kind *k, json_t *in, json_t **ret_fault)
{
    if (json_is_string(in) && !is_length(k, json_string_length(in)))
        return fail_length(l, k, json_string_length(in), ret_fault);
    if (json_is_string(in) && is_url(json_string_value(in), json_string_length(in)))
        return json_incref(in);
    return fail(l, "Not a valid URL.", ret_fault);
}

static json_t *load_email(struct load *l, json_t *in, json_t **ret_fault)
{
    if (json_is_string(in) && is_email(json_string_value(in), json_string_length(in)))
        return json_incref(in);
    return fail(l, "Not a valid email address.", ret_fault);
}

/* --- numbers, truth, time --- */

/* Tells that an integer is out of its kind's range. */
static json_t *fail_range(struct load *l, const struct kind *k, int64_t n, json_t **ret_fault)
{
    char text[80];

    snprintf(text, sizeof text, "Must be %s than or equal to %lld.",
             n < k->min ? "greater" : "less", (long long)(n < k->min ? k->min : k->max));
    return fail(l, text, ret_fault);
}

static json_t *load_integer(struct load *l, const struct kind *k, json_t *in, json_t **ret_fault)
{
    enum integer_fault fault = INTEGER_INVALID;
    int64_t n = 0;

    if (json_is_integer(in)) {
        n = json_integer_value(in);
        fault = INTEGER_OK;
    } else if (json_is_string(in)) {
        fault = integer_from_text(json_string_value(in), json_string_length(in), &n);
    } else if (json_is_real(in)) {
        fault = integer_from_real(json_real_value(in), &n);
    }
    if (fault == INTEGER_OK && k->max && (n < k->min || n > k->max))
        return fail_range(l, k, n, ret_fault);
    if (fault == INTEGER_OK)
        return json_integer(n);
    return fail(l, fault == INTEGER_INFINITE ? "Number too large." : "Not a valid integer.",
                ret_fault);
}

static bool is_number(const json_t *in, double n)
{
    double value = json_number_value(in);

    return json_is_number(in) && !(value < n) && !(value > n);
}

static json_t *load_boolean(struct load *l, json_t *in, json_t **ret_fault)
{
    bool value = false;

    if (json_is_boolean(in))
        return json_incref(in);
    if (is_number(in, 1) || is_number(in, 0))
        return json_boolean(is_number(in, 1));
    if (json_is_string(in) &&
        boolean_from_text(json_string_value(in), json_string_length(in), &value))
        return json_boolean(value);
    return fail(l, "Not a valid boolean.", ret_fault);
}

static json_t *load_datetime(struct load *l, json_t *in, json_t **ret_fault)
{
    int64_t ms = 0;

    if (json_is_string(in) &&
        datetime_from_text(json_string_value(in), json_string_length(in), &ms))
        return json_integer(ms);
    return fail(l, "Not a valid datetime.", ret_fault);
}

#define DURATION_FAULT "Invalid duration format: "

/* The text that no duration could be read from, as it was looked at: trimmed, in lower case. */
static json_t *fail_duration_text(struct load *l, json_t *in, json_t **ret_fault)
{
    const char *s = json_string_value(in);
    size_t len = json_string_length(in);
    char *lower;

    field_trim(&s, &len);
    lower = l->faults_left ? malloc(len + 1) : NULL;
    if (!lower)
        return fail(l, DURATION_FAULT, ret_fault);
    for (size_t i = 0; i < len; i++)
        lower[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] - 'A' + 'a') : s[i];
    json_t *text = text_around(DURATION_FAULT DURATION_FAULT "'", lower, len, "'");
    free(lower);
    return fail_with(l, text, ret_fault);
}

static json_t *load_duration_text(struct load *l, json_t *in, json_t **ret_fault)
{
    int64_t seconds = 0;

    switch (duration_from_text(json_string_value(in), json_string_length(in), &seconds)) {
    case DURATION_OK:
        return json_integer(seconds);
    case DURATION_EMPTY:
        return fail(l, DURATION_FAULT "Duration cannot be empty", ret_fault);
    case DURATION_NEGATIVE:
        return fail(l, DURATION_FAULT "Duration cannot be negative", ret_fault);
    case DURATION_TOO_LONG:
        return fail(l, DURATION_FAULT "Duration is too long", ret_fault);
    case DURATION_INVALID:
        break;
    }
    return fail_duration_text(l, in, ret_fault);
}

static json_t *load_duration(struct load *l, json_t *in, json_t **ret_fault)
{
    static const struct {
        json_type type;
        const char *fault;
    } wrong_types[] = {
#define WRONG(name) DURATION_FAULT "Duration must be string or int, got <class '" name "'>"
        {JSON_REAL, WRONG("float")}, {JSON_TRUE, WRONG("bool")},   {JSON_FALSE, WRONG("bool")},
        {JSON_ARRAY, WRONG("list")}, {JSON_OBJECT, WRONG("dict")},
#undef WRONG
    };

    if (json_is_string(in))
        return load_duration_text(l, in, ret_fault);
    if (json_is_integer(in) && json_integer_value(in) >= 0)
        return json_incref(in);
    for (size_t i = 0; i < sizeof wrong_types / sizeof *wrong_types; i++)
        if (json_typeof(in) == wrong_types[i].type)
            return fail(l, wrong_types[i].fault, ret_fault);
    return fail(l, DURATION_FAULT "Duration cannot be negative", ret_fault);
}

/* --- lists and objects --- */

/* A member of a list or a value of a Dict. */
static json_t *load_member(struct load *l, const struct kind *k, json_t *in, json_t **ret_fault)
{
    return json_is_null(in) ? fail(l, null_fault, ret_fault) : load_value(l, k, in, ret_fault);
}

static json_t *load_list(struct load *l, const struct kind *k, json_t *in, json_t **ret_fault)
{
    size_t size = json_array_size(in);
    json_t *out;
    bool ok = true;

    if (!json_is_array(in))
        return fail(l, "Not a valid list.", ret_fault);
    out = json_array();
    for (size_t i = 0; i < size && (ok || l->faults_left); i++) {
        json_t *fault = NULL, *value = load_member(l, k->item, json_array_get(in, i), &fault);
        char position[24];

        ok &= value != NULL;
        if (value)
            json_array_append_new(out, value);
        if (fault) {
            snprintf(position, sizeof position, "%zu", i);
            add_fault(ret_fault, position, fault);
        }
    }
    if (ok && is_length(k, size))
        return out;
    json_decref(out);
    return ok ? fail_length(l, k, size, ret_fault) : NULL;
}

static json_t *load_dict(struct load *l, const struct kind *k, json_t *in, json_t **ret_fault)
{
    const char *name;
    json_t *out, *value;
    bool ok = true;

    if (!json_is_object(in))
        return fail(l, "Not a valid mapping type.", ret_fault);
    if (!is_length(k, json_object_size(in)))
        return fail_length(l, k, json_object_size(in), ret_fault);
    if (!k->key && !k->item)
        return json_incref(in);
    out = json_object();
    json_object_foreach (in, name, value) {
        json_t *faults = NULL, *key_fault = NULL, *value_fault = NULL, *loaded, *key = json_true();

        if (k->key)
            key = load_text(l, k->key, name, strlen(name), key, &key_fault);
        loaded = k->item ? load_member(l, k->item, value, &value_fault) : json_incref(value);
        ok &= key && loaded;
        json_decref(key);
        if (loaded)
            json_object_set_new(out, name, loaded);
        add_fault(&faults, "key", key_fault);
        add_fault(&faults, "value", value_fault);
        add_fault(ret_fault, name, faults);
        if (!ok && !l->faults_left)
            break;
    }
    if (ok)
        return out;
    json_decref(out);
    return NULL;
}

static const struct field *find_field(const struct schema *s, const char *name)
{
    for (const struct field *f = s->fields; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

static bool knows_all(const struct schema *s, json_t *in)
{
    const char *name;
    json_t *value;

    json_object_foreach (in, name, value)
        if (!find_field(s, name))
            return false;
    return true;
}

/* True unless there is a fault. *ret_value stays NULL where the coerced object lacks the field. */
static bool load_field(struct load *l, const struct field *f, json_t *in, json_t **ret_value,
                       json_t **ret_fault)
{
    if (!in || (json_is_null(in) && (f->flags & FIELD_DROP_NULL))) {
        if (f->flags & FIELD_REQUIRED) {
            fail(l, missing_fault, ret_fault);
            return false;
        }
        if (f->flags & FIELD_EMPTY_LIST)
            *ret_value = json_array();
        return true;
    }
    if (json_is_null(in) && (f->flags & FIELD_NULLABLE))
        *ret_value = json_incref(in);
    else
        *ret_value = load_member(l, f->kind, in, ret_fault);
    return *ret_value != NULL;
}

/* Loads the fields of the schema; returns whether all are right. */
static bool load_known(struct load *l, const struct schema *s, const json_t *in, json_t *out,
                       json_t **faults)
{
    bool ok = true;

    for (const struct field *f = s->fields; f->name && (ok || l->faults_left); f++) {
        json_t *value = NULL, *fault = NULL;

        ok &= load_field(l, f, json_object_get(in, f->name), &value, &fault);
        if (value)
            json_object_set_new(out, f->name, value);
        add_fault(faults, f->name, fault);
    }
    return ok;
}

/* Whether an unknown name may be kept, where unknown names are. */
static bool may_keep(const struct schema *s, const char *name)
{
    for (const char *const *r = s->reserved; r && *r; r++)
        if (strcmp(*r, name) == 0)
            return false;
    return !s->only_paths ||
           (*name && *name != '$' && !strchr(name, '.') && strlen(name) <= NAME_BYTES_MAX);
}

/* Keeps or refuses what the schema does not know; returns whether all is right. */
static bool load_unknown(struct load *l, const struct schema *s, json_t *in, unsigned flags,
                         json_t *out, json_t **faults)
{
    const char *name;
    json_t *value;
    bool ok = true;

    json_object_foreach (in, name, value) {
        json_t *fault = NULL;

        if (find_field(s, name))
            continue;
        if ((flags & SCHEMA_KEEP_UNKNOWN) && may_keep(s, name)) {
            json_object_set(out, name, value);
            continue;
        }
        ok = false;
        fail(l, unknown_fault, &fault);
        add_fault(faults, name, fault);
        if (!l->faults_left)
            break;
    }
    return ok;
}

static json_t *load_object(struct load *l, const struct schema *s, json_t *in, unsigned flags,
                           json_t **ret_fault)
{
    json_t *out;
    bool ok;

    if (!json_is_object(in))
        return fail_whole(l, object_fault, ret_fault);
    if (!l->faults_left && !knows_all(s, in)) /* a trial: the cheapest check first */
        return NULL;
    out = json_object();
    ok = load_known(l, s, in, out, ret_fault);
    if (l->faults_left)
        ok &= load_unknown(l, s, in, flags, out, ret_fault);
    if (ok && (!s->rule || s->rule(out)))
        return out;
    json_decref(out);
    return NULL;
}

/* The fault is a text here, not a list of texts: clients know it that way. */
static json_t *fail_variant_type(struct load *l, json_t *in, json_t **ret_fault)
{
    static const char before[] = "Invalid data type: ";
    json_t *text;

    if (!l->faults_left)
        return NULL;
    l->faults_left--;
    if (json_is_string(in)) {
        text = text_around(before, json_string_value(in), json_string_length(in), "");
    } else if (json_is_boolean(in)) {
        text = text_around(before, "", 0, json_is_true(in) ? "True" : "False");
    } else {
        char *dump = json_dumps(in, JSON_ENCODE_ANY);
        text = text_around(before, "", 0, dump ? dump : "");
        free(dump);
    }
    add_fault(ret_fault, "_schema", text);
    return NULL;
}

/* Variants that do not fit cost no more than finding that out: no faults are made of them. */
static json_t *load_variant(struct load *l, const struct kind *k, json_t *in, json_t **ret_fault)
{
    if (!json_is_object(in))
        return fail_variant_type(l, in, ret_fault);
    for (const struct schema *s = k->variants; s->fields; s++) {
        struct load trial = {0};
        json_t *none = NULL, *out = load_object(&trial, s, in, 0, &none);

        if (out)
            return out;
    }
    return fail_whole(l, k->no_variant, ret_fault);
}

/* Recursion ends with the tables: no schema contains itself. */
static json_t *load_value(struct load *l, const struct kind *k, json_t *in, json_t **ret_fault)
{
    switch (k->type) {
    case KIND_STRING:
        return load_string(l, k, in, ret_fault);
    case KIND_INTEGER:
        return load_integer(l, k, in, ret_fault);
    case KIND_BOOLEAN:
        return load_boolean(l, in, ret_fault);
    case KIND_URL:
        return load_url(l, k, in, ret_fault);
    case KIND_EMAIL:
        return load_email(l, in, ret_fault);
    case KIND_DATETIME:
        return load_datetime(l, in, ret_fault);
    case KIND_DURATION:
        return load_duration(l, in, ret_fault);
    case KIND_LIST:
        return load_list(l, k, in, ret_fault);
    case KIND_DICT:
        return load_dict(l, k, in, ret_fault);
    case KIND_OBJECT:
        return load_object(l, k->object, in, 0, ret_fault);
    case KIND_VARIANT:
        return load_variant(l, k, in, ret_fault);
    }
    return NULL;
}

json_t *schema_load(const struct schema *s, json_t *in, unsigned flags, json_t **ret_errors)
{
    struct load load = {SCHEMA_FAULTS_MAX};
    json_t *errors = NULL, *out = load_object(&load, s, in, flags, &errors);

    if (!out)
        *ret_errors = errors;
    return out;
}

json_t *schema_take_unknown(const struct schema *s, json_t *loaded)
{
    json_t *unknown = json_object(), *value;
    const char *name;
    void *next;

    json_object_foreach_safe(loaded, next, name, value) if (!find_field(s, name))
    {
        json_object_set(unknown, name, value);
        json_object_del(loaded, name);
    }
    return unknown;
}
