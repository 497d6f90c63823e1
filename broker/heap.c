#include "broker/heap.h"

#include "common/mem.h"

#include <stdlib.h>

enum { FIRST_SIZE = 64 };

static void place(struct heap *h, size_t pos, struct heap_node *n)
{
    h->nodes[pos - 1] = n;
    n->pos = pos;
}

static void sift_up(struct heap *h, size_t pos, struct heap_node *n)
{
    while (pos > 1 && h->nodes[pos / 2 - 1]->key > n->key) {
        place(h, pos, h->nodes[pos / 2 - 1]);
        pos /= 2;
    }
    place(h, pos, n);
}

static void sift_down(struct heap *h, size_t pos, struct heap_node *n)
{
    size_t child;

    while ((child = 2 * pos) <= h->len) {
        if (child < h->len && h->nodes[child]->key < h->nodes[child - 1]->key)
            child++;
        if (h->nodes[child - 1]->key >= n->key)
            break;
        place(h, pos, h->nodes[child - 1]);
        pos = child;
    }
    place(h, pos, n);
}

void heap_push(struct heap *h, struct heap_node *n)
{
    if (h->len == h->size) {
        h->size = h->size ? 2 * h->size : FIRST_SIZE;
        h->nodes = mem_realloc(h->nodes, h->size * sizeof(struct heap_node *));
    }
    h->len++;
    sift_up(h, h->len, n);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    size_t pos = n->pos;

    if (!pos)
        return;
    struct heap_node *last = h->nodes[h->len - 1];
    h->len--;
    n->pos = 0;
    if (last == n)
        return;
    if (pos > 1 && h->nodes[pos / 2 - 1]->key > last->key)
        sift_up(h, pos, last);
    else
        sift_down(h, pos, last);
}

struct heap_node *heap_first(const struct heap *h)
{
    return h->len ? h->nodes[0] : NULL;
}

void heap_free(struct heap *h)
{
    free(h->nodes);
    *h = (struct heap){0};
}
