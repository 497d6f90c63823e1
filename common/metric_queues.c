#include "common/metric_queues.h"

#include <stdatomic.h>
#include <sys/mman.h>

#define QUEUE_NAME_MAX 256 /* bytes: the longest name that a queue can be given */
#define OTHER          "other"

/* A name is written by whoever finds its digest without a name, thus also after a process died in
 * between: all writers write the same bytes. */
struct entry {
    _Atomic uint64_t digest; /* 0: free */
    _Atomic uint32_t len;    /* of the name + 1; 0: not written yet */
    char name[QUEUE_NAME_MAX];
};

static struct entry *entries;
static unsigned entries_len;

void metric_queues_share(unsigned max)
{
    void *p = max ? mmap(NULL, max * sizeof *entries, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
                  : MAP_FAILED;

    entries = p == MAP_FAILED ? NULL : p;
    entries_len = entries ? max : 0;
}

unsigned metric_queues_len(void)
{
    return entries_len + 1;
}

/* The entry of a digest, taken for it where it has none. NULL: the table is full. */
static struct entry *find(uint64_t digest)
{
    struct entry *e = entries + (entries_len ? digest % entries_len : 0);

    for (unsigned i = 0; i < entries_len; i++, e++) {
        if (e == entries + entries_len)
            e = entries;
        uint64_t seen = atomic_load(&e->digest);
        if (!seen && atomic_compare_exchange_strong(&e->digest, &seen, digest))
            return e;
        if (seen == digest)
            return e;
    }
    return NULL;
}

unsigned metric_queue(struct text name)
{
    uint64_t digest = fnv_add(FNV_START, name.s, name.len);
    struct entry *e =
        name.len > QUEUE_NAME_MAX || text_is(name, OTHER) ? NULL : find(digest + !digest);

    if (!e)
        return entries_len;
    if (!atomic_load(&e->len)) {
        memcpy(e->name, name.s, name.len);
        atomic_store(&e->len, (uint32_t)name.len + 1);
    }
    return (unsigned)(e - entries);
}

struct text metric_queue_name(unsigned number)
{
    if (number >= entries_len)
        return (struct text){OTHER, strlen(OTHER)};
    uint32_t len = atomic_load(&entries[number].len);
    return len ? (struct text){entries[number].name, len - 1} : (struct text){NULL, 0};
}
