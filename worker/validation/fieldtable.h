/* How schemas are written as tables. Only for the files that define schemas, and for fields.c. */
#ifndef WORKER_VALIDATION_FIELDTABLE_H
#define WORKER_VALIDATION_FIELDTABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kind_type {
    KIND_STRING,
    KIND_INTEGER,
    KIND_BOOLEAN,
    KIND_URL,
    KIND_EMAIL,
    KIND_DATETIME,
    KIND_DURATION,
    KIND_LIST,
    KIND_DICT,   /* object with free names */
    KIND_OBJECT, /* object with the fields of a schema */
    KIND_VARIANT /* object that the first fitting one of several schemas accepts */
};

/* What a value must be. Members that do not concern the type are left out (zero). */
struct kind {
    enum kind_type type;
    size_t min_len,
        max_len;      /* of a String or URL in bytes, of a List or Dict; max_len 0: no limit */
    int64_t min, max; /* of an Integer; max 0: no limits */
    const char *const *choices;            /* String: one of these, NULL-terminated */
    bool any_case;                         /* choices: taken in any case, coerced to the choice's */
    bool (*matches)(const char *, size_t); /* String: its pattern */
    const char *no_match;                  /* String: the text when it does not match, or NULL */
    const struct kind *item;               /* List: its members (required); Dict: its values */
    const struct kind *key;                /* Dict: its names, a kind of String */
    const struct schema *object;           /* Object */
    const struct schema *variants; /* Variant: tried in this order, up to one without fields */
    const char *no_variant;        /* Variant: the text when none accepts */
};

enum field_flags {
    FIELD_REQUIRED = 1,
    FIELD_NULLABLE = 2,  /* null is kept */
    FIELD_DROP_NULL = 4, /* null counts as not given */
    FIELD_EMPTY_LIST = 8 /* [] when not given */
};

struct field {
    const char *name;
    const struct kind *kind;
    unsigned flags;
};

struct schema {
    const struct field *fields; /* up to one without a name */
    /* What must hold between the fields; NULL: nothing. Only for variants, which need no text. */
    bool (*rule)(const json_t *coerced);
    const char *const *reserved; /* names that only the server makes, NULL-terminated; or NULL */
    bool only_paths; /* unknown names are kept only if MongoDB takes them as paths, too */
};

/* Kinds without parameters. */
extern const struct kind kind_string, kind_integer, kind_boolean, kind_url, kind_email,
    kind_datetime, kind_duration, kind_dict, kind_strings, kind_dicts;

#endif
