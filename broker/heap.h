/* A binary min-heap of intrusive nodes. */
#ifndef BROKER_HEAP_H
#define BROKER_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t key;
    size_t pos; /* place in its heap, from 1; 0: in no heap */
};

struct heap {
    struct heap_node **nodes;
    size_t len, size;
};

/* Adds a node that is in no heap. Its key must not change while it is in one. O(log n); O(1) when
 * no key in the heap is larger. */
void heap_push(struct heap *h, struct heap_node *n);

/* Removes a node; does nothing when it is in no heap. O(log n). */
void heap_remove(struct heap *h, struct heap_node *n);

/* The node with the smallest key, or NULL. O(1). */
struct heap_node *heap_first(const struct heap *h);

/* Frees the array; the nodes belong to the caller. */
void heap_free(struct heap *h);

#endif
