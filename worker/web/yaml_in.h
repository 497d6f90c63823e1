/* Texts of YAML 1.1 or JSON that people wrote, as JSON, with the lines of their members.
 *
 * YAML is read as PyYAML's safe loader reads it (yaml_plain.h), and names become texts as Python's
 * json writes them; a text that is an object of JSON is read as JSON. Aliases are expanded and keys
 * `<<` merged. Faults: what the grammar forbids; names that stand twice or hold a NUL; tags; a
 * second document; more than YAML_TEXT_MAX, YAML_DEPTH_MAX,
 * YAML_NODES_MAX or YAML_ANCHORS_MAX. */
#ifndef WORKER_WEB_YAML_IN_H
#define WORKER_WEB_YAML_IN_H

#include "common/text.h"

#include <jansson.h>

#define YAML_TEXT_MAX     ((size_t)1024 * 1024) /* bytes */
#define YAML_EXPANDED_MAX (16 * YAML_TEXT_MAX)  /* bytes of names and texts once expanded */
#define YAML_DEPTH_MAX    64
#define YAML_NODES_MAX    100000 /* values and names, once expanded */
#define YAML_ANCHORS_MAX  250    /* libyaml compares each anchor and alias with all anchors */

/* Where reading ended; line and column count from 1, 0: unknown. The text is one line; names that
 * it quotes may be cut within a character. */
struct yaml_fault {
    size_t line, column;
    char text[256];
};

struct yaml_in;

/* Reads a text; NULL: a fault, described in *ret. */
struct yaml_in *yaml_in_read(struct text t, struct yaml_fault *ret);

/* The value, a new reference; null of an empty text. */
json_t *yaml_in_value(const struct yaml_in *y);

/* The line, from 1, of a member: its names and positions from the root on. Where the last ones are
 * not there, the line of what should have them; 0: unknown. O(members on the way). */
size_t yaml_in_line(const struct yaml_in *y, const struct text *path, size_t n);

void yaml_in_free(struct yaml_in *y); /* `y` may be NULL */

#endif
