#include "frontend/multipart.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TYPE    "multipart/form-data; boundary=cut"
#define FILE_AT "Content-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n"
#define BLOCK   (64 * 1024)

static struct text text_of(const char *s)
{
    return (struct text){s, strlen(s)};
}

static void begin(struct multipart *m, const char *type)
{
    assert_true(multipart_init(m, text_of(type)));
}

/* Scans a body as the caller does, in blocks of at most `block` bytes that begin at m->offset; a
 * block that moves nothing is repeated with more bytes. Each block is a copy, so that
 * AddressSanitizer finds reads beyond its end. */
static void scan_by(struct multipart *m, const char *body, size_t len, size_t block)
{
    size_t want = block;

    for (;;) {
        size_t left = len - (size_t)m->offset, n = left < want ? left : want;
        uint64_t before = m->offset;
        char *copy = malloc(n + !n);
        assert_non_null(copy);
        memcpy(copy, body + m->offset, n);
        bool more = multipart_scan(m, copy, n, n == left);
        free(copy);
        if (!more)
            return;
        assert_true(n < left); /* it may want more only before the end */
        assert_true(m->offset >= before && m->offset <= before + n);
        want = m->offset == before ? want + block : block;
    }
}

static void scan(struct multipart *m, const char *body)
{
    scan_by(m, body, strlen(body), BLOCK);
}

static void assert_found(const struct multipart *m, const char *body, const char *content)
{
    assert_int_equal(m->state, MULTIPART_DONE);
    assert_true(m->found);
    assert_int_equal(m->len, strlen(content));
    assert_memory_equal(body + m->start, content, strlen(content));
}

/* ---- the header of the request ---- */

static void test_types(void **state)
{
    static const struct {
        const char *type, *boundary; /* NULL: refused */
    } rows[] = {
        {"multipart/form-data; boundary=abc", "abc"},
        {"Multipart/Form-Data;BOUNDARY=abc", "abc"},
        {"multipart/form-data; boundary=\"a b;c\"", "a b;c"},
        {"multipart/form-data; boundary=\"a\\\"b\"", "a\"b"},
        {"multipart/form-data ; charset=utf-8;  boundary=x", "x"},
        {"multipart/form-data; boundary = x ; y=z", "x"},
        {"multipart/form-data; a=\"boundary=n\"; boundary=x", "x"},
        {"multipart/form-data; boundary=x; boundary=y", "x"},
        {"multipart/form-data; boundary=----WebKit7MA4Y", "----WebKit7MA4Y"},
        {"multipart/form-data", NULL},
        {"multipart/form-data;", NULL},
        {"multipart/form-data; boundary=", NULL},
        {"multipart/form-data; boundary=\"\"", NULL},
        {"multipart/form-data; boundary", NULL},
        {"multipart/form-data; bound=x", NULL},
        {"multipart/form-database; boundary=x", NULL},
        {"multipart/mixed; boundary=x", NULL},
        {"application/json", NULL},
        {"", NULL},
    };
    struct multipart m;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool ok = multipart_init(&m, text_of(rows[i].type));
        if (!rows[i].boundary) {
            assert_false(ok);
            continue;
        }
        assert_true(ok);
        assert_int_equal(m.delimiter_len, strlen(rows[i].boundary) + 2);
        assert_memory_equal(m.delimiter + 2, rows[i].boundary, strlen(rows[i].boundary));
    }
    assert_false(multipart_init(&m, (struct text){NULL, 0}));
}

static void test_longest_boundary(void **state)
{
    char type[512], boundary[MULTIPART_BOUNDARY_MAX + 2];
    struct multipart m;

    (void)state;
    memset(boundary, 'b', sizeof boundary);
    boundary[MULTIPART_BOUNDARY_MAX] = '\0';
    snprintf(type, sizeof type, "multipart/form-data; boundary=%s", boundary);
    assert_true(multipart_init(&m, text_of(type)));
    assert_int_equal(m.delimiter_len, MULTIPART_BOUNDARY_MAX + 2);
    snprintf(type, sizeof type, "multipart/form-data; boundary=%sb", boundary);
    assert_false(multipart_init(&m, text_of(type)));
}

static void test_params(void **state)
{
    static const struct {
        const char *value, *name, *found; /* NULL: it is not there */
    } rows[] = {
        {"form-data; name=\"file\"", "name", "file"},
        {"form-data; name=file", "name", "file"},
        {"form-data; name='file'", "name", "'file'"},
        {"form-data; NAME=File", "name", "File"},
        {"form-data;name=a;name=b", "name", "a"},
        {"form-data; name=\"a\"b; x=y", "x", "y"},
        {"form-data; filename=\"a;b\"; name=n", "name", "n"},
        {"form-data; filename=\"a\\\";name=evil\"; name=n", "name", "n"},
        {"form-data; filename=\"C:\\dir\\f.txt\"", "filename", "C:\\dir\\f.txt"},
        {"form-data; filename=\"a\\\\b\"", "filename", "a\\b"},
        {"form-data; filename*=UTF-8''%e2%82%ac", "filename", "UTF-8''%e2%82%ac"},
        {"form-data; filename=\"\"", "filename", ""},
        {"form-data; filename=\"open", "filename", "open"},
        {"form-data; filename=", "filename", ""},
        {"form-data;\r\n name=\"folded\"", "name", "folded"},
        {"form-data; name; filename=f", "filename", "f"},
        {"form-data; name; filename=f", "name", NULL},
        {"form-data; filename=\"name=x\"", "name", NULL},
        {"name=x", "name", NULL},
        {"", "name", NULL},
    };
    char out[64];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool there = multipart_param(text_of(rows[i].value), rows[i].name, out, sizeof out);
        assert_int_equal(there, rows[i].found != NULL);
        if (there)
            assert_string_equal(out, rows[i].found);
    }
    assert_true(multipart_param(text_of("x; name=abcdef"), "name", out, 4));
    assert_string_equal(out, "abc");
}

/* ---- the body ---- */

static void test_bodies(void **state)
{
    static const struct {
        const char *body, *content;
    } rows[] = {
        /* clang-format off */
        {"--cut\r\n" FILE_AT "\r\nhello\r\n--cut--\r\n", "hello" },
        {"--cut\r\n" FILE_AT "\r\nhello\r\n--cut--", "hello" },
        {"--cut\r\n" FILE_AT "\r\n\r\n--cut--", "" },
        {"--cut\n" FILE_AT "\nhello\n--cut--\n", "hello" },
        {"preamble\r\n--cut\r\n" FILE_AT "\r\nx\r\n--cut--\r\nepilogue\r\n--cut\r\n", "x" },
        {"\r\n--cut\r\n" FILE_AT "\r\nx\r\n--cut--", "x" },
        {"no --cut\r\nhere --cut--\r\n--cut\r\n" FILE_AT "\r\nx\r\n--cut--", "x" },
        {"--cut \t \r\n" FILE_AT "\r\nx\r\n--cut  \r\n\r\n\r\n--cut--", "x" },
        {"--cut\r\n" FILE_AT "\r\nx --cut\r\n--cutter\r\n--cut-\r\n--cut--",
         "x --cut\r\n--cutter\r\n--cut-" },
        {"--cut\r\n" FILE_AT "\r\n\r\n\r\n--cu\r\n--\r\n--cut--", "\r\n\r\n--cu\r\n--"},
        {"--cut\r\n" FILE_AT "\r\nends with cr\r\r\n--cut--", "ends with cr\r" },
        {"--cut\r\ncontent-disposition:form-data;filename=f;name=file\r\n\r\nx\r\n--cut--", "x" },
        {"--cut\r\nContent-Type: text/plain\r\n" FILE_AT "X-Y: z\r\n\r\nx\r\n--cut--", "x" },
        {"--cut\r\nContent-Disposition: form-data;\r\n name=\"file\";\r\n\tfilename=\"a\"\r\n\r\nx"
         "\r\n--cut--", "x" },
        {"--cut\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nno "
         "file\r\n--cut\r\n" FILE_AT "\r\nthe file\r\n--cut--",
         "the file" },
        {"--cut\r\nContent-Disposition: form-data; name=\"other\"; filename=\"o\"\r\n\r\nother\r\n"
         "--cut\r\n" FILE_AT "\r\nfile\r\n--cut--",
         "file" },
        {"--cut\r\n" FILE_AT "\r\nfirst\r\n--cut\r\n" FILE_AT "\r\nsecond\r\n--cut--", "first" },
        {"--cut\r\n\r\nno headers\r\n--cut\r\n" FILE_AT "\r\nx\r\n--cut--", "x" },
        /* clang-format on */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct multipart m;
        begin(&m, TYPE);
        scan(&m, rows[i].body);
        assert_found(&m, rows[i].body, rows[i].content);
    }
}

static void test_without_the_file(void **state)
{
    static const char *const bodies[] = {
        "--cut--",
        "--cut\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--cut--",
        "--cut\r\nContent-Disposition: form-data; name=\"File\"; filename=a\r\n\r\nx\r\n--cut--",
        "--cut\r\nContent-Disposition: form-data; filename=a\r\n\r\nx\r\n--cut--",
        "--cut\r\nX-Content-Disposition: form-data; name=file; filename=a\r\n\r\nx\r\n--cut--",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct multipart m;
        begin(&m, TYPE);
        scan(&m, bodies[i]);
        assert_int_equal(m.state, MULTIPART_DONE);
        assert_false(m.found);
    }
}

static void test_broken(void **state)
{
    static const char *const bodies[] = {
        "",
        "x",
        "--cut",
        "--cut-",
        "--cut\r\n",
        "--cut\r\n" FILE_AT,
        "--cut\r\n" FILE_AT "\r\nx",
        "--cut\r\n" FILE_AT "\r\nx\r\n--cut",
        "--cut\r\n" FILE_AT "\r\nx\r\n--cut-",
        "--cut\r\n" FILE_AT "\r\nx--cut--",
        "--other\r\n" FILE_AT "\r\nx\r\n--other--",
        " --cut--",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        struct multipart m;
        begin(&m, TYPE);
        scan(&m, bodies[i]);
        assert_int_equal(m.state, MULTIPART_BROKEN);
    }
}

/* The result does not depend on where the body is cut or on the size of its pieces. */
static void test_cut_anywhere(void **state)
{
    static const char body[] =
        "pre\r\n--cut \r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n"
        "--cut\r\n" FILE_AT "\r\n\r\n--cu\r\n\r\n--cut\r\r\n--cut--\r\nepilogue";
    static const char content[] = "\r\n--cu\r\n\r\n--cut\r";
    size_t len = sizeof body - 1;

    (void)state;
    for (size_t block = 1; block <= len; block++) {
        struct multipart m;
        begin(&m, TYPE);
        scan_by(&m, body, len, block);
        assert_found(&m, body, content);
    }
    for (size_t cut = 0; cut < len; cut++) {
        struct multipart m;
        begin(&m, TYPE);
        char *head = malloc(cut + 1);
        memcpy(head, body, cut);
        if (multipart_scan(&m, head, cut, false))
            scan_by(&m, body, len, BLOCK);
        free(head);
        assert_found(&m, body, content);
    }
}

/* A truncated body is broken until its last boundary is complete. */
static void test_truncated_anywhere(void **state)
{
    static const char body[] = "--cut\r\n" FILE_AT "\r\nhello\r\n--cut--\r\n";
    size_t whole = sizeof body - 1 - 2;

    (void)state;
    for (size_t len = 0; len < sizeof body; len++) {
        struct multipart m;
        begin(&m, TYPE);
        scan_by(&m, body, len, 7);
        assert_int_equal(m.state, len < whole ? MULTIPART_BROKEN : MULTIPART_DONE);
        if (len >= whole)
            assert_found(&m, body, "hello");
    }
}

/* ---- limits ---- */

/* With too much padding after it, a line is no boundary, whatever the size of the pieces. */
static void test_padding(void **state)
{
    static char body[3 * MULTIPART_HEADERS_MAX];
    static const size_t sizes[] = {0, 1, MULTIPART_HEADERS_MAX - 2, MULTIPART_HEADERS_MAX + 2};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t block = 1024; block <= BLOCK; block *= 2) {
            struct multipart m;
            int n = snprintf(body, sizeof body, "--cut%*s\r\n" FILE_AT "\r\nx\r\n--cut--",
                             (int)sizes[i], "");
            begin(&m, TYPE);
            scan_by(&m, body, (size_t)n, block);
            assert_int_equal(m.state, MULTIPART_DONE);
            assert_int_equal(m.found, sizes[i] < MULTIPART_HEADERS_MAX);
        }
    }
}

/* A body of `head`, `n` times `part`, `tail`. */
static char *repeat(const char *head, const char *part, size_t n, const char *tail)
{
    size_t size = strlen(head) + n * strlen(part) + strlen(tail) + 1;
    char *body = malloc(size), *at = stpcpy(body, head);

    for (size_t i = 0; i < n; i++)
        at = stpcpy(at, part);
    stpcpy(at, tail);
    return body;
}

static void assert_ends(char *body, enum multipart_state state)
{
    struct multipart m;

    begin(&m, TYPE);
    scan(&m, body);
    assert_int_equal(m.state, state);
    free(body);
}

static void test_limits(void **state)
{
    static const char field[] = "--cut\r\nContent-Disposition: form-data; name=a\r\n\r\n";
    static const char part[] = "--cut\r\n\r\n\r\n", header[] = "--cut\r\nX: ";

    (void)state;
    assert_ends(repeat(field, "x", MULTIPART_FIELD_MAX, "\r\n--cut--"), MULTIPART_DONE);
    assert_ends(repeat(field, "x", MULTIPART_FIELD_MAX + 1, "\r\n--cut--"), MULTIPART_LARGE);
    assert_ends(repeat(field, "x", 2 * MULTIPART_FIELD_MAX, ""), MULTIPART_LARGE);
    assert_ends(repeat("--cut\r\n" FILE_AT "\r\n", "x", 2 * MULTIPART_FIELD_MAX, "\r\n--cut--"),
                MULTIPART_DONE);
    assert_ends(repeat("", part, MULTIPART_PARTS_MAX, "--cut--"), MULTIPART_DONE);
    assert_ends(repeat("", part, MULTIPART_PARTS_MAX + 1, "--cut--"), MULTIPART_LARGE);
    assert_ends(repeat(header, "x", MULTIPART_HEADERS_MAX - 100, "\r\n\r\n\r\n--cut--"),
                MULTIPART_DONE);
    assert_ends(repeat(header, "x", MULTIPART_HEADERS_MAX, "\r\n\r\n\r\n--cut--"),
                MULTIPART_BROKEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_longest_boundary),
        cmocka_unit_test(test_params),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_without_the_file),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_truncated_anywhere),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
