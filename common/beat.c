#include "common/beat.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum {
    FRESH_MS = 5 * BEAT_MS, /* a loop that turned within this time counts as alive */
    PAUSE_MS = 3000         /* a shorter pause of accepting is no fault */
};

struct record {
    _Atomic int64_t turned, paused;
    _Atomic uint64_t accepted;
    _Atomic int64_t excused;
    char apart[64 - 4 * sizeof(int64_t)]; /* fills a cache line: children must not share one */
};

static struct record *records, *own;
static unsigned slots_len;
static bool is_judged;

void beat_share(unsigned slots, bool judged)
{
    void *p = mmap(NULL, slots * sizeof *records, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        log_error("cannot watch the children for hangs: no memory for their heartbeats: %s; raise "
                  "the memory limit and restart",
                  strerror(errno));
        return;
    }
    records = p;
    slots_len = slots;
    is_judged = judged;
}

void beat_use(unsigned slot)
{
    beat_forget(slot);
    own = slot < slots_len ? &records[slot] : NULL;
}

void beat_forget(unsigned slot)
{
    if (slot >= slots_len)
        return;
    atomic_store(&records[slot].turned, 0);
    atomic_store(&records[slot].paused, 0);
    atomic_store(&records[slot].accepted, 0);
    atomic_store(&records[slot].excused, 0);
}

void beat_turn(void)
{
    if (own)
        atomic_store_explicit(&own->turned, clock_mono_ms(), memory_order_relaxed);
}

void beat_excused(bool excused)
{
    beat_turn();
    if (own)
        atomic_store_explicit(&own->excused, excused, memory_order_relaxed);
}

void beat_accepted(void)
{
    if (own)
        atomic_store_explicit(&own->accepted,
                              atomic_load_explicit(&own->accepted, memory_order_relaxed) + 1,
                              memory_order_relaxed);
}

void beat_paused(bool paused)
{
    if (!own || paused == (atomic_load_explicit(&own->paused, memory_order_relaxed) != 0))
        return;
    atomic_store_explicit(&own->paused, paused ? clock_mono_ms() : 0, memory_order_relaxed);
}

bool beat_read(unsigned slot, struct beat *ret)
{
    if (slot >= slots_len)
        return false;
    ret->turned = atomic_load_explicit(&records[slot].turned, memory_order_relaxed);
    ret->accepted = atomic_load_explicit(&records[slot].accepted, memory_order_relaxed);
    ret->paused = atomic_load_explicit(&records[slot].paused, memory_order_relaxed);
    ret->excused = atomic_load_explicit(&records[slot].excused, memory_order_relaxed);
    return true;
}

bool beat_health(char reason[BEAT_REASON_SIZE])
{
    int64_t now = clock_mono_ms();
    bool turns = false;
    struct beat b;

    *reason = '\0';
    if (!slots_len || !is_judged)
        return true;
    for (unsigned i = 0; beat_read(i, &b); i++) {
        if (!b.turned || now - b.turned > FRESH_MS)
            continue;
        turns = true;
        if (!b.paused || now - b.paused < PAUSE_MS)
            return true;
    }
    snprintf(reason, BEAT_REASON_SIZE, "%s",
             turns ? "no process accepts connections" : "no process's event loop turns");
    return false;
}
