#include "frontend/multipart.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FILE_PART "file" /* name of the part to store */
#define VALUE_MAX 256    /* bytes of a parameter's value that are compared */

/* ---- header values ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n'; /* line ends occur in folded lines */
}

/* The unread rest of a header's value. */
struct cursor {
    const char *at, *end;
};

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && is_blank(*c->at))
        c->at++;
}

/* Reads a quoted string after its opening quote. A backslash quotes only what needs it: old
 * browsers send Windows paths unescaped. */
static void read_quoted(struct cursor *c, char *out, size_t size)
{
    size_t n = 0;

    while (c->at < c->end && *c->at != '"') {
        if (*c->at == '\\' && c->at + 1 < c->end && (c->at[1] == '"' || c->at[1] == '\\'))
            c->at++;
        if (n + 1 < size)
            out[n++] = *c->at;
        c->at++;
    }
    if (c->at < c->end)
        c->at++;
    out[n] = '\0';
}

static void read_token(struct cursor *c, char *out, size_t size)
{
    size_t n = 0;

    while (c->at < c->end && *c->at != ';' && !is_blank(*c->at)) {
        if (n + 1 < size)
            out[n++] = *c->at;
        c->at++;
    }
    out[n] = '\0';
}

/* Moves behind the next semicolon; false: none. */
static bool next_param(struct cursor *c)
{
    while (c->at < c->end && *c->at != ';')
        c->at++;
    if (c->at == c->end)
        return false;
    c->at++;
    skip_blanks(c);
    return true;
}

static bool name_is(const char *s, size_t len, const char *name)
{
    if (len && s[len - 1] == '*')
        len--;
    return len == strlen(name) && strncasecmp(s, name, len) == 0;
}

bool multipart_param(struct text value, const char *name, char *out, size_t size)
{
    struct cursor c = {value.s, value.s + value.len};
    char skipped[2];

    while (next_param(&c)) {
        const char *start = c.at;
        while (c.at < c.end && *c.at != '=' && *c.at != ';' && !is_blank(*c.at))
            c.at++;
        bool wanted = name_is(start, (size_t)(c.at - start), name);
        skip_blanks(&c);
        if (c.at == c.end || *c.at != '=')
            continue;
        c.at++;
        skip_blanks(&c);
        char *to = wanted ? out : skipped;
        size_t room = wanted ? size : sizeof skipped;
        if (c.at < c.end && *c.at == '"') {
            c.at++;
            read_quoted(&c, to, room);
        } else {
            read_token(&c, to, room);
        }
        if (wanted)
            return true;
    }
    return false;
}

bool multipart_init(struct multipart *m, struct text content_type)
{
    static const char type[] = "multipart/form-data";
    char boundary[MULTIPART_BOUNDARY_MAX + 2];

    *m = (struct multipart){0};
    if (!content_type.s || content_type.len < sizeof type - 1 ||
        strncasecmp(content_type.s, type, sizeof type - 1) != 0)
        return false;
    struct text rest = {content_type.s + sizeof type - 1, content_type.len - (sizeof type - 1)};
    if (rest.len == 0 || (*rest.s != ';' && !is_blank(*rest.s)) ||
        !multipart_param(rest, "boundary", boundary, sizeof boundary))
        return false;
    size_t len = strlen(boundary);
    if (len == 0 || len > MULTIPART_BOUNDARY_MAX)
        return false;
    memcpy(m->delimiter, "--", 2);
    memcpy(m->delimiter + 2, boundary, len);
    m->delimiter_len = len + 2;
    return true;
}

/* ---- parts ---- */

/* Decides by its header lines what kind of part begins. */
static void read_headers(struct multipart *m, const char *s, size_t len)
{
    static const char header[] = "content-disposition:";
    const char *end = s + len;
    char name[VALUE_MAX] = "", filename[2];

    m->is_file = m->wanted = false;
    while (s < end) {
        const char *stop = s;
        do { /* a line with its continuation lines */
            const char *lf = memchr(stop, '\n', (size_t)(end - stop));
            stop = lf ? lf + 1 : end;
        } while (stop < end && (*stop == ' ' || *stop == '\t'));
        if ((size_t)(stop - s) >= sizeof header - 1 &&
            strncasecmp(s, header, sizeof header - 1) == 0) {
            struct text value = {s, (size_t)(stop - s)};
            m->is_file = multipart_param(value, "filename", filename, sizeof filename);
            m->wanted = m->is_file && !m->found &&
                        multipart_param(value, "name", name, sizeof name) &&
                        strcmp(name, FILE_PART) == 0;
        }
        s = stop;
    }
}

/* Length of the header block with the empty line that ends it; 0: incomplete. */
static size_t headers_length(const char *s, size_t len)
{
    const char *line = s, *end = s + len, *lf;

    while ((lf = memchr(line, '\n', (size_t)(end - line)))) {
        if (lf == line || (lf == line + 1 && *line == '\r'))
            return (size_t)(lf + 1 - s);
        line = lf + 1;
    }
    return 0;
}

/* A step of a scan. */
enum step { STEP_ON, STEP_MORE, STEP_END };

static enum step end_with(struct multipart *m, enum multipart_state state)
{
    m->state = state;
    return STEP_END;
}

static enum step on_headers(struct multipart *m, const char *s, size_t len, bool last,
                            size_t *ret_used)
{
    size_t n = headers_length(s, len < MULTIPART_HEADERS_MAX ? len : MULTIPART_HEADERS_MAX);

    if (!n)
        return last || len >= MULTIPART_HEADERS_MAX ? end_with(m, MULTIPART_BROKEN) : STEP_MORE;
    read_headers(m, s, n);
    *ret_used = n;
    m->data = m->offset + n;
    m->state = MULTIPART_DATA;
    return STEP_ON;
}

enum line { LINE_NONE, LINE_UNKNOWN, LINE_NEXT, LINE_LAST };

/* Checks what follows a delimiter: the end of its line (after padding), or the two hyphens of the
 * last one. *ret_len: its length. LINE_UNKNOWN: incomplete. */
static enum line line_end(const char *s, size_t len, bool last, size_t *ret_len)
{
    size_t n = 0;

    if (len >= 2 && s[0] == '-' && s[1] == '-') {
        *ret_len = 2;
        return LINE_LAST;
    }
    while (n < len && n < MULTIPART_HEADERS_MAX && (s[n] == ' ' || s[n] == '\t'))
        n++;
    if (n < len && s[n] == '\r')
        n++;
    if (n < len && s[n] == '\n') {
        *ret_len = n + 1;
        return LINE_NEXT;
    }
    bool open = n == len || (n == 0 && len == 1 && s[0] == '-');
    return open && !last && n < MULTIPART_HEADERS_MAX ? LINE_UNKNOWN : LINE_NONE;
}

/* Length of the line end before a delimiter at s + at; false: the delimiter does not begin a line.
 */
static bool begins_line(const struct multipart *m, const char *s, size_t at, size_t *ret)
{
    if (at == 0) { /* at the start of the body, but not of a part's content */
        *ret = 0;
        return m->state == MULTIPART_PREAMBLE && m->offset == 0;
    }
    *ret = s[at - 1] != '\n' ? 0 : at >= 2 && s[at - 2] == '\r' ? 2 : 1;
    return *ret > 0;
}

/* Ends a part's content at byte `end` of the body. */
static enum step end_part(struct multipart *m, uint64_t end, enum line line)
{
    if (m->state == MULTIPART_DATA) {
        uint64_t len = end > m->data ? end - m->data : 0;
        if (!m->is_file && len > MULTIPART_FIELD_MAX)
            return end_with(m, MULTIPART_LARGE);
        if (m->wanted) {
            m->found = true;
            m->start = m->data;
            m->len = len;
        }
    }
    if (line == LINE_LAST)
        return end_with(m, MULTIPART_DONE);
    if (++m->parts > MULTIPART_PARTS_MAX)
        return end_with(m, MULTIPART_LARGE);
    m->state = MULTIPART_HEADERS;
    return STEP_ON;
}

/* Bytes at the end of a block that may be the beginning of a delimiter with its line end. */
static size_t kept(const struct multipart *m, size_t len)
{
    size_t keep = m->delimiter_len + 2;

    return len > keep ? len - keep : 0;
}

static enum step on_content(struct multipart *m, const char *s, size_t len, bool last,
                            size_t *ret_used)
{
    const char *at = s;

    while ((at = memmem(at, len - (size_t)(at - s), m->delimiter, m->delimiter_len))) {
        size_t pos = (size_t)(at - s), behind = pos + m->delimiter_len, before, n = 0;
        enum line line = LINE_NONE;
        if (begins_line(m, s, pos, &before))
            line = line_end(s + behind, len - behind, last, &n);
        if (line == LINE_UNKNOWN) {
            *ret_used = pos - before;
            return STEP_MORE;
        }
        if (line != LINE_NONE) {
            *ret_used = behind + n;
            return end_part(m, m->offset + pos - before, line);
        }
        at++;
    }
    *ret_used = kept(m, len);
    if (m->state == MULTIPART_DATA && !m->is_file &&
        m->offset + *ret_used - m->data > MULTIPART_FIELD_MAX)
        return end_with(m, MULTIPART_LARGE);
    return last ? end_with(m, MULTIPART_BROKEN) : STEP_MORE;
}

bool multipart_scan(struct multipart *m, const char *block, size_t len, bool last)
{
    enum step step = m->state < MULTIPART_DONE ? STEP_ON : STEP_END;

    while (step == STEP_ON) {
        size_t used = 0;
        step = m->state == MULTIPART_HEADERS ? on_headers(m, block, len, last, &used)
                                             : on_content(m, block, len, last, &used);
        block += used;
        len -= used;
        m->offset += used;
    }
    return step == STEP_MORE;
}
