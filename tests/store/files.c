/* Files: begun, stored by chunks, visible with their commit, swept. */
#include "tests/store/suite.h"

#include "common/buf.h"
#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>

/* A file of two chunks, the second of which is short. */
#define LENGTH (FILE_CHUNK + 5)

static struct file_info file_of(const char *name)
{
    struct file_info f = {.length = LENGTH, .chunk = FILE_CHUNK, .date_ms = clock_wall_us() / 1000};
    char id[ID_SIZE];
    size_t n = 0;

    new_id(id);
    for (const char *c = id; *c && n < FILE_ID_SIZE - 1; c++)
        if (*c != '-')
            f.id[n++] = *c;
    snprintf(f.name, sizeof f.name, "%s", name);
    return f;
}

static enum err put(struct store *s, const struct file_info *f, int64_t at, char c)
{
    size_t size = (size_t)(at ? LENGTH - at : FILE_CHUNK);
    char *data = long_text(c, size);
    enum err e = store_file_put(s, f, at, (struct text){data, size});

    free(data);
    return e;
}

/* The last chunk first, and each of them twice. */
static void store_it(struct stores *t, const struct file_info *f, char c)
{
    assert_int_equal(store_file_begin(t->a, f), ERR_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(put(t->a, f, FILE_CHUNK, 'z'), ERR_OK);
        assert_int_equal(put(t->b, f, 0, c), ERR_OK);
    }
}

static void assert_content(struct store *s, const struct file_info *f, char c)
{
    struct buf out = BUF_INIT(LENGTH);

    assert_int_equal(store_file_read(s, f, FILE_CHUNK - 2, 4, &out), ERR_OK);
    assert_int_equal(out.len, 4);
    char expected[] = {c, c, 'z', 'z'};
    assert_memory_equal(out.data, expected, 4);
    buf_free(&out);
}

static void test_versions(void **state)
{
    struct stores *t = *state;
    char name[ID_SIZE];
    struct file_info found;

    new_id(name);
    struct file_info first = file_of(name), second = file_of(name);
    store_it(t, &first, 'a');
    assert_int_equal(store_file_open(t->a, text_of(name), &found), ERR_NOT_FOUND);
    for (int i = 0; i < 2; i++) /* a repeat changes nothing */
        assert_int_equal(store_file_commit(t->b, &first, NULL), ERR_OK);
    assert_int_equal(store_file_open(t->a, text_of(name), &found), ERR_OK);
    assert_string_equal(found.id, first.id);
    assert_int_equal(found.length, LENGTH);
    assert_content(t->a, &found, 'a');

    store_it(t, &second, 'b');
    assert_int_equal(store_file_commit(t->a, &second, NULL), ERR_OK);
    assert_int_equal(store_file_open(t->b, text_of(name), &found), ERR_OK);
    assert_string_equal(found.id, second.id);
    assert_content(t->b, &found, 'b');
    assert_content(t->b, &first, 'a'); /* for those who are reading it */
}

static void sweep_all(struct store *s, int64_t later_ms)
{
    struct file_sweep sweep = {.now_ms = clock_wall_us() / 1000 + later_ms, .chunks_max = 100};

    do
        assert_int_equal(store_files_sweep(s, &sweep), ERR_OK);
    while (sweep.more);
}

static void assert_newest(struct store *s, const char *name, const struct file_info *f)
{
    struct file_info found;

    assert_int_equal(store_file_open(s, text_of(name), &found), ERR_OK);
    assert_string_equal(found.id, f->id);
}

/* Begin, puts and commit once more after the commit, and after the file was replaced. */
static void test_late_calls(void **state)
{
    struct stores *t = *state;
    char name[ID_SIZE];

    new_id(name);
    struct file_info first = file_of(name), second = file_of(name);
    for (int i = 0; i < 2; i++) {
        store_it(t, &first, i ? 'x' : 'a');
        if (i)
            sweep_all(t->a, 0);
        assert_int_equal(store_file_commit(t->b, &first, NULL), ERR_OK);
        assert_newest(t->a, name, &first);
        assert_content(t->a, &first, 'a');
    }
    assert_int_equal(store_file_begin(t->a, &first), ERR_OK);
    sweep_all(t->a, 2 * FILE_ABANDONED_MS);
    assert_newest(t->a, name, &first);
    assert_content(t->a, &first, 'a');
    store_it(t, &second, 'b');
    assert_int_equal(store_file_commit(t->b, &second, NULL), ERR_OK);
    for (int i = 0; i < 2; i++) {
        store_it(t, &first, 'x');
        assert_int_equal(store_file_commit(t->b, &first, NULL), ERR_OK);
        assert_newest(t->a, name, &second);
        assert_content(t->a, &second, 'b');
        sweep_all(t->a, 2 * FILE_REPLACED_MS);
    }
}

/* Of a file whose chunk is missing nothing is given. */
static void test_missing_chunk(void **state)
{
    struct stores *t = *state;
    struct file_info found = {.length = -5};
    char name[ID_SIZE];

    new_id(name);
    struct file_info f = file_of(name);
    assert_int_equal(store_file_begin(t->a, &f), ERR_OK);
    assert_int_equal(put(t->a, &f, FILE_CHUNK, 'z'), ERR_OK);
    assert_int_equal(store_file_commit(t->a, &f, NULL), ERR_OK);
    assert_int_equal(store_file_open(t->a, text_of(name), &found), ERR_CONFLICT);
    assert_int_equal(found.length, -5);
}

static void test_sweep(void **state)
{
    struct stores *t = *state;
    char name[ID_SIZE], other[ID_SIZE];
    struct file_info found;
    struct buf out = BUF_INIT(LENGTH);

    new_id(name);
    new_id(other);
    struct file_info first = file_of(name), second = file_of(name), left = file_of(other);
    store_it(t, &first, 'a');
    assert_int_equal(store_file_commit(t->a, &first, NULL), ERR_OK);
    store_it(t, &second, 'b');
    assert_int_equal(store_file_commit(t->a, &second, NULL), ERR_OK);
    store_it(t, &left, 'c');
    sweep_all(t->a, 0);
    assert_content(t->a, &first, 'a');
    sweep_all(t->b, FILE_ABANDONED_MS + FILE_REPLACED_MS);
    assert_int_equal(store_file_read(t->a, &first, 0, 4, &out), ERR_NOT_FOUND);
    assert_int_equal(store_file_commit(t->a, &left, NULL), ERR_NOT_FOUND);
    assert_int_equal(store_file_open(t->a, text_of(name), &found), ERR_OK);
    assert_content(t->a, &found, 'b');
    buf_free(&out);
}

static enum attachments attachments_of(struct store *s, const char *job_id)
{
    enum attachments is;

    assert_int_equal(store_attachments_look(s, text_of(job_id), &is), ERR_OK);
    return is;
}

/* The commit of the attachments tells the job that it has them. */
static void test_attachments(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], plain[ID_SIZE], nothing[ID_SIZE], name[ID_SIZE];
    enum attachments is;

    new_id(queue);
    new_id(nothing);
    new_id(name);
    add_job(t->a, queue, NULL, plain);
    assert_int_equal(attachments_of(t->b, plain), ATTACHMENTS_NONE);
    assert_next(t->a, queue, plain);
    add_job(t->a, queue, "'attachments_status': 'waiting'", id);
    assert_int_equal(attachments_of(t->b, id), ATTACHMENTS_AWAITED);
    assert_next(t->a, queue, NULL);
    struct file_info f = file_of(name);
    struct text job = text_of(id);
    store_it(t, &f, 'a');
    assert_int_equal(store_file_commit(t->a, &f, &job), ERR_OK);
    assert_int_equal(attachments_of(t->b, id), ATTACHMENTS_COMPLETE);
    assert_next(t->b, queue, id);
    assert_int_equal(store_attachments_look(t->a, job, &is), ERR_NOT_FOUND);
    assert_int_equal(store_attachments_look(t->a, text_of(nothing), &is), ERR_NOT_FOUND);
}

const struct CMUnitTest files_suite[] = {
    cmocka_unit_test(test_versions),      cmocka_unit_test(test_late_calls),
    cmocka_unit_test(test_missing_chunk), cmocka_unit_test(test_sweep),
    cmocka_unit_test(test_attachments),
};
SUITE_LEN(files);
