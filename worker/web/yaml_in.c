#include "worker/web/yaml_in.h"

#include "common/mem.h"
#include "worker/encoding/json_string.h"
#include "worker/web/yaml_out.h"
#include "worker/web/yaml_plain.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct yaml_in {
    yaml_document_t document; /* of a JSON text without root where libyaml cannot read it */
    json_t *value;
};

#define QUOTED_MAX 100 /* bytes shown of a name */

__attribute__((format(printf, 4, 5))) static void fail(struct yaml_fault *f, size_t line,
                                                       size_t column, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, args);
    va_end(args);
    for (char *p = f->text; *p; p++)
        *p = (unsigned char)*p < ' ' ? '?' : *p;
    f->line = line;
    f->column = column;
}

#define FAIL_AT(fault, mark, ...) fail(fault, (mark).line + 1, (mark).column + 1, __VA_ARGS__)

/* ---- parsing ---- */

static void start(yaml_parser_t *p, struct text t)
{
    mem_check(yaml_parser_initialize(p));
    yaml_parser_set_encoding(p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(p, (const yaml_char_t *)t.s, t.len);
}

/* Describes why libyaml stopped. */
static void fail_parser(const yaml_parser_t *p, struct text t, struct yaml_fault *f)
{
    const char *problem = p->problem ? p->problem : "it cannot be read";

    mem_check(p->error != YAML_MEMORY_ERROR);
    if (p->error == YAML_READER_ERROR) { /* has an offset only */
        size_t line = 1, len = p->problem_offset < t.len ? p->problem_offset : t.len;
        for (size_t i = 0; i < len; i++)
            line += t.s[i] == '\n';
        fail(f, line, 0, "%s", problem);
    } else if (p->context && p->context_mark.line != p->problem_mark.line) {
        FAIL_AT(f, p->problem_mark, "%s (%s that begins in line %zu)", problem, p->context,
                p->context_mark.line + 1);
    } else if (p->context) {
        FAIL_AT(f, p->problem_mark, "%s (%s)", problem, p->context);
    } else {
        FAIL_AT(f, p->problem_mark, "%s", problem);
    }
}

struct scan {
    size_t nodes, depth, documents, anchors;
};

static bool has_anchor(const yaml_event_t *e)
{
    return (e->type == YAML_SCALAR_EVENT && e->data.scalar.anchor) ||
           (e->type == YAML_SEQUENCE_START_EVENT && e->data.sequence_start.anchor) ||
           (e->type == YAML_MAPPING_START_EVENT && e->data.mapping_start.anchor);
}

static bool scan_event(struct scan *s, const yaml_event_t *e, struct yaml_fault *f)
{
    bool scalar = e->type == YAML_SCALAR_EVENT, sequence = e->type == YAML_SEQUENCE_START_EVENT,
         mapping = e->type == YAML_MAPPING_START_EVENT;

    s->documents += e->type == YAML_DOCUMENT_START_EVENT;
    s->nodes += scalar || sequence || mapping || e->type == YAML_ALIAS_EVENT;
    s->anchors += has_anchor(e);
    s->depth += sequence || mapping;
    s->depth -= e->type == YAML_SEQUENCE_END_EVENT || e->type == YAML_MAPPING_END_EVENT;
    if (s->documents > 1)
        FAIL_AT(f, e->start_mark, "a second document begins");
    else if ((scalar && e->data.scalar.tag) || (sequence && e->data.sequence_start.tag) ||
             (mapping && e->data.mapping_start.tag))
        FAIL_AT(f, e->start_mark, "tags are not understood");
    else if (s->depth > YAML_DEPTH_MAX)
        FAIL_AT(f, e->start_mark, "nested too deeply, %d levels at most", YAML_DEPTH_MAX);
    else if (s->nodes > YAML_NODES_MAX)
        FAIL_AT(f, e->start_mark, "more than %d values and names", YAML_NODES_MAX);
    else if (s->anchors > YAML_ANCHORS_MAX)
        FAIL_AT(f, e->start_mark, "more than %d anchors", YAML_ANCHORS_MAX);
    else
        return true;
    return false;
}

/* Looks at all events, before a document is made of them: bounds its memory. */
static bool scan(struct text t, struct yaml_fault *f)
{
    struct scan s = {0};
    yaml_parser_t p;
    yaml_event_t e;
    bool fine = true, more = true;

    start(&p, t);
    while (fine && more) {
        if (yaml_parser_parse(&p, &e)) {
            more = e.type != YAML_STREAM_END_EVENT;
            fine = scan_event(&s, &e, f);
            yaml_event_delete(&e);
        } else {
            fail_parser(&p, t, f);
            fine = false;
        }
    }
    yaml_parser_delete(&p);
    return fine;
}

static bool load(struct text t, yaml_document_t *ret, struct yaml_fault *f)
{
    yaml_parser_t p;

    if (!scan(t, f))
        return false;
    start(&p, t);
    bool fine = yaml_parser_load(&p, ret);
    if (!fine)
        fail_parser(&p, t, f);
    yaml_parser_delete(&p);
    return fine;
}

/* ---- values ---- */

struct reading {
    yaml_document_t *document;
    size_t nodes, bytes;
    struct yaml_fault *fault;
};

static struct text scalar_text(const yaml_node_t *node)
{
    return (struct text){(const char *)node->data.scalar.value, node->data.scalar.length};
}

static bool is_plain(const yaml_node_t *node)
{
    return node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

static bool is_merge(const yaml_node_t *key)
{
    return is_plain(key) && text_is(scalar_text(key), "<<");
}

/* The value of a scalar; NULL: a fault of this text. */
static json_t *scalar(const yaml_node_t *node, const char **fault)
{
    struct text t = scalar_text(node);

    return is_plain(node) ? yaml_plain(t, fault) : json_stringn(t.s, t.len);
}

/* A name as a string, a new reference; NULL: a fault of this text. */
static json_t *name_of(const yaml_node_t *key, const char **fault)
{
    char digits[YAML_REAL_SIZE];
    json_t *value = NULL, *name = NULL;

    *fault = "a name must be a text, a number, a boolean or null";
    if (key->type == YAML_SCALAR_NODE)
        value = scalar(key, fault);
    if (json_is_real(value)) {
        yaml_real(json_real_value(value), digits);
        name = json_string(digits);
    } else if (json_is_integer(value)) {
        name = json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (value) {
        name = json_is_string(value) ? json_incref(value)
               : json_is_null(value) ? json_string("null")
               : json_is_true(value) ? json_string("true")
                                     : json_string("false");
    }
    json_decref(value);
    if (name && memchr(json_string_value(name), 0, json_string_length(name))) {
        *fault = "a name must not hold a NUL character";
        json_decref(name);
        name = NULL;
    }
    return name;
}

static json_t *value_of(struct reading *r, int index, size_t depth);

/* Counts a node. False: a fault. */
static bool take(struct reading *r, const yaml_node_t *node, size_t depth)
{
    r->nodes++;
    if (node->type == YAML_SCALAR_NODE)
        r->bytes += node->data.scalar.length;
    if (depth > YAML_DEPTH_MAX)
        FAIL_AT(r->fault, node->start_mark, "nested too deeply, %d levels at most", YAML_DEPTH_MAX);
    else if (r->nodes > YAML_NODES_MAX)
        FAIL_AT(r->fault, node->start_mark,
                "more than %d values and names once aliases are expanded", YAML_NODES_MAX);
    else if (r->bytes > YAML_EXPANDED_MAX)
        FAIL_AT(r->fault, node->start_mark, "more than %zu bytes once aliases are expanded",
                YAML_EXPANDED_MAX);
    else
        return true;
    return false;
}

/* Adds the members of a mapping. False: a fault. */
static bool merge_mapping(struct reading *r, int index, size_t depth, json_t *into)
{
    const yaml_node_t *node = yaml_document_get_node(r->document, index);

    if (node->type != YAML_MAPPING_NODE) {
        FAIL_AT(r->fault, node->start_mark, "<< takes a mapping or a list of mappings");
        return false;
    }
    json_t *members = value_of(r, index, depth);
    bool fine = members && json_object_update(into, members) == 0;
    json_decref(members);
    return fine;
}

/* Adds the members of the value of a `<<`: a mapping, or a list of them, the first of which wins.
 * False: a fault. */
static bool merge(struct reading *r, int index, size_t depth, json_t *into)
{
    const yaml_node_t *node = yaml_document_get_node(r->document, index);

    if (node->type != YAML_SEQUENCE_NODE)
        return merge_mapping(r, index, depth, into);
    const yaml_node_item_t *first = node->data.sequence.items.start;
    for (const yaml_node_item_t *i = node->data.sequence.items.top; i > first; i--)
        if (!merge_mapping(r, i[-1], depth + 1, into))
            return false;
    return true;
}

/* Adds a member of a mapping. False: a fault. */
static bool add_member(struct reading *r, const yaml_node_pair_t *pair, size_t depth, json_t *own)
{
    const yaml_node_t *key = yaml_document_get_node(r->document, pair->key);
    const char *fault = NULL;
    json_t *name = take(r, key, depth) ? name_of(key, &fault) : NULL;
    const char *s = json_string_value(name);
    size_t len = json_string_length(name);
    bool fine = false;

    if (name && json_object_getn(own, s, len)) {
        FAIL_AT(r->fault, key->start_mark, "the name '%.*s' stands twice",
                (int)(len < QUOTED_MAX ? len : QUOTED_MAX), s);
    } else if (name) {
        json_t *value = value_of(r, pair->value, depth + 1);
        fine = value && json_object_setn_new(own, s, len, value) == 0;
    } else if (fault) {
        FAIL_AT(r->fault, key->start_mark, "%s", fault);
    }
    json_decref(name);
    return fine;
}

static json_t *object_of(struct reading *r, const yaml_node_t *node, size_t depth)
{
    json_t *all = json_object(), *own = json_object();
    bool fine = true;

    for (const yaml_node_pair_t *p = node->data.mapping.pairs.start;
         fine && p < node->data.mapping.pairs.top; p++)
        fine = is_merge(yaml_document_get_node(r->document, p->key))
                   ? merge(r, p->value, depth + 1, all)
                   : add_member(r, p, depth, own);
    if (fine)
        fine = json_object_update(all, own) == 0;
    json_decref(own);
    if (fine)
        return all;
    json_decref(all);
    return NULL;
}

static json_t *array_of(struct reading *r, const yaml_node_t *node, size_t depth)
{
    json_t *all = json_array();

    for (const yaml_node_item_t *i = node->data.sequence.items.start;
         i < node->data.sequence.items.top; i++) {
        json_t *member = value_of(r, *i, depth + 1);
        if (!member) {
            json_decref(all);
            return NULL;
        }
        json_array_append_new(all, member);
    }
    return all;
}

/* The value of a node, a new reference; NULL: a fault. */
static json_t *value_of(struct reading *r, int index, size_t depth)
{
    const yaml_node_t *node = yaml_document_get_node(r->document, index);
    const char *fault = NULL;

    if (!take(r, node, depth - (node->type == YAML_SCALAR_NODE)))
        return NULL;
    if (node->type == YAML_MAPPING_NODE)
        return object_of(r, node, depth);
    if (node->type == YAML_SEQUENCE_NODE)
        return array_of(r, node, depth);
    json_t *value = scalar(node, &fault);
    if (!value)
        FAIL_AT(r->fault, node->start_mark, "%s", fault);
    return value;
}

/* ---- JSON ---- */

static bool json_fits(const json_t *value, size_t depth, size_t *nodes)
{
    json_t *member;
    const char *name;
    size_t i;
    bool fits = ++*nodes <= YAML_NODES_MAX && depth <= YAML_DEPTH_MAX;

    depth += json_is_object(value) || json_is_array(value);
    json_array_foreach (value, i, member)
        if (!(fits = fits && json_fits(member, depth, nodes)))
            break;
    json_object_foreach ((json_t *)(uintptr_t)value, name, member)
        if (!(fits = fits && json_fits(member, depth, nodes)))
            break;
    return fits && depth <= YAML_DEPTH_MAX;
}

/* Reads a text that may be an object of JSON. NULL with *ret_fault: it is, with a fault that
 * reading it as YAML would hide; NULL without: it is not. */
static json_t *read_json(struct text t, struct yaml_fault *f, bool *ret_fault)
{
    json_error_t error;
    json_t *value = json_loadb(t.s, t.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    size_t nodes = 0;
    const char *fault = NULL;

    if (value && !json_fits(value, 0, &nodes)) {
        fail(f, 0, 0, "more than %d levels or %d values", YAML_DEPTH_MAX, YAML_NODES_MAX);
        *ret_fault = true;
        json_decref(value);
        return NULL;
    }
    if (!value && json_error_code(&error) == json_error_numeric_overflow)
        fault = "a number has at most 64 bits";
    else if (!value && json_error_code(&error) == json_error_duplicate_key)
        fault = "a name stands twice";
    else if (!value && json_error_code(&error) == json_error_null_byte_in_key)
        fault = "a name must not hold a NUL character";
    if (fault)
        fail(f, (size_t)error.line, (size_t)error.column, "%s", fault);
    *ret_fault = fault != NULL;
    return value;
}

/* ---- all of it ---- */

struct yaml_in *yaml_in_read(struct text t, struct yaml_fault *ret)
{
    struct yaml_in *y = mem_alloc(sizeof *y);
    struct reading r = {.document = &y->document, .fault = ret};
    struct text body = text_trim(t, " \t\r\n");
    struct yaml_fault unused;
    bool fault = t.len > YAML_TEXT_MAX;

    *ret = (struct yaml_fault){0};
    if (fault)
        fail(ret, 0, 0, "a text has at most %zu bytes", YAML_TEXT_MAX);
    else if (body.len && *body.s == '{')
        y->value = read_json(t, ret, &fault);
    if (y->value) {
        if (!load(t, &y->document, &unused))
            y->document = (yaml_document_t){0};
    } else if (!fault && load(t, &y->document, ret)) {
        y->value = yaml_document_get_root_node(&y->document) ? value_of(&r, 1, 1) : json_null();
    }
    if (y->value)
        return y;
    yaml_in_free(y);
    return NULL;
}

void yaml_in_free(struct yaml_in *y)
{
    if (!y)
        return;
    yaml_document_delete(&y->document);
    json_decref(y->value);
    free(y);
}

json_t *yaml_in_value(const struct yaml_in *y)
{
    return json_incref(y->value);
}

/* ---- lines ---- */

static const yaml_node_t *member_of(yaml_document_t *d, const yaml_node_t *node, struct text name,
                                    size_t depth, size_t *line);

/* The member of what a `<<` merges: a mapping, or the first in a list of them that has it. */
static const yaml_node_t *merged(yaml_document_t *d, const yaml_node_t *node, struct text name,
                                 size_t depth, size_t *line)
{
    const yaml_node_t *found = NULL;

    if (node->type != YAML_SEQUENCE_NODE)
        return member_of(d, node, name, depth + 1, line);
    for (const yaml_node_item_t *i = node->data.sequence.items.start;
         !found && i < node->data.sequence.items.top; i++)
        found = member_of(d, yaml_document_get_node(d, *i), name, depth + 1, line);
    return found;
}

/* Few names can be made of another text; the others are not read, of which there may be many. */
static bool is_named(const yaml_node_t *key, struct text name)
{
    const char *fault;
    bool resolved = text_is(name, "true") || text_is(name, "false") || text_is(name, "null") ||
                    (name.len && strchr("-0123456789", *name.s));

    if (key->type != YAML_SCALAR_NODE ||
        !(text_equal(scalar_text(key), name) || (resolved && is_plain(key))))
        return false;
    json_t *own = name_of(key, &fault);
    bool same = own && text_equal(json_string_text(own), name);

    json_decref(own);
    return same;
}

/* The member of a mapping, and the line of its name; NULL: none. */
static const yaml_node_t *member_of(yaml_document_t *d, const yaml_node_t *node, struct text name,
                                    size_t depth, size_t *line)
{
    const yaml_node_t *found = NULL;
    bool merges = false;

    if (node->type != YAML_MAPPING_NODE || depth > YAML_DEPTH_MAX)
        return NULL;
    const yaml_node_pair_t *first = node->data.mapping.pairs.start,
                           *end = node->data.mapping.pairs.top;
    for (const yaml_node_pair_t *p = first; !found && p < end; p++) {
        const yaml_node_t *key = yaml_document_get_node(d, p->key);
        merges = merges || is_merge(key);
        if (!is_merge(key) && is_named(key, name)) {
            *line = key->start_mark.line + 1;
            found = yaml_document_get_node(d, p->value);
        }
    }
    for (const yaml_node_pair_t *p = end; merges && !found && p > first; p--)
        if (is_merge(yaml_document_get_node(d, p[-1].key)))
            found = merged(d, yaml_document_get_node(d, p[-1].value), name, depth, line);
    return found;
}

/* The item of a list at a position in decimal digits, and its line; NULL: none. */
static const yaml_node_t *item_of(yaml_document_t *d, const yaml_node_t *node, struct text position,
                                  size_t *line)
{
    size_t n = 0, i = 0;

    for (; i < position.len && position.s[i] >= '0' && position.s[i] <= '9' && n < YAML_NODES_MAX;
         i++)
        n = n * 10 + (size_t)(position.s[i] - '0');
    if (!position.len || i < position.len ||
        n >= (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
        return NULL;
    const yaml_node_t *item = yaml_document_get_node(d, node->data.sequence.items.start[n]);
    *line = item->start_mark.line + 1;
    return item;
}

size_t yaml_in_line(const struct yaml_in *y, const struct text *path, size_t n)
{
    yaml_document_t *d = (yaml_document_t *)(uintptr_t)&y->document;
    const yaml_node_t *node = yaml_document_get_root_node(d);
    size_t line = node ? node->start_mark.line + 1 : 0;

    for (size_t i = 0; node && i < n; i++)
        node = node->type == YAML_SEQUENCE_NODE ? item_of(d, node, path[i], &line)
                                                : member_of(d, node, path[i], 0, &line);
    return line;
}
