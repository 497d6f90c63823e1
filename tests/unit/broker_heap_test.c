#include "broker/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
/* cmocka.h needs the headers above. */
#include <cmocka.h>

enum { NODES = 500 };

static void is_sound(const struct heap *h)
{
    for (size_t i = 0; i < h->len; i++) {
        assert_int_equal(h->nodes[i]->pos, i + 1);
        if (i)
            assert_true(h->nodes[(i + 1) / 2 - 1]->key <= h->nodes[i]->key);
    }
}

static void test_empty(void **state)
{
    struct heap h = {0};
    struct heap_node n = {.key = 1};

    (void)state;
    assert_null(heap_first(&h));
    heap_remove(&h, &n); /* in none: nothing happens */
    heap_push(&h, &n);
    assert_ptr_equal(heap_first(&h), &n);
    heap_remove(&h, &n);
    assert_null(heap_first(&h));
    assert_int_equal(n.pos, 0);
    heap_free(&h);
}

static void test_order(void **state)
{
    static const int64_t keys[] = {5, 3, INT64_MAX, 3, -7, 0, 9, INT64_MIN, 3};
    enum { LEN = sizeof keys / sizeof *keys };
    struct heap_node nodes[LEN] = {{0}};
    struct heap h = {0};
    int64_t last = INT64_MIN;

    (void)state;
    for (int i = 0; i < LEN; i++) {
        nodes[i].key = keys[i];
        heap_push(&h, &nodes[i]);
    }
    for (int i = 0; i < LEN; i++) {
        struct heap_node *n = heap_first(&h);
        assert_true(n->key >= last);
        last = n->key;
        heap_remove(&h, n);
    }
    assert_null(heap_first(&h));
    heap_free(&h);
}

/* Pushes and removes at random places; the order holds at each step. */
static void test_random(void **state)
{
    static struct heap_node nodes[NODES];
    struct heap h = {0};
    size_t in = 0;

    (void)state;
    srandom(1);
    for (int step = 0; step < 20000; step++) {
        struct heap_node *n = &nodes[random() % NODES];
        if (n->pos) {
            heap_remove(&h, n);
            in--;
        } else {
            n->key = random() % 100;
            heap_push(&h, n);
            in++;
        }
        assert_int_equal(h.len, in);
        if (step % 100 == 0)
            is_sound(&h);
    }
    is_sound(&h);
    heap_free(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests_name("broker_heap", tests, NULL, NULL);
}
