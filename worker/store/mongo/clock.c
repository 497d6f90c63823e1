/* The clock of the server, which all processes compare times by. It is not asked for each time:
 * between two measurements CLOCK_BOOTTIME, which nobody can set, goes on from the last one. */
#include "worker/store/mongo/db.h"

#include "common/clock.h"

/* Measured every so often; after a failure likewise, so that calls are not kept waiting. */
#define MEASURE_US ((int64_t)2000 * 1000)

/* The clocks of two machines drift apart by less than 1 part in so many (NTP slews by 1 in 2000).
 */
#define DRIFT 1000

/* hello.localTime has whole milliseconds. */
#define TICK_US 1000

void mongo_clock_take(struct mongo *m, int64_t sent_us, const bson_t *hello)
{
    struct mongo_clock *c = &m->clock;
    int64_t now = clock_boot_us(), server_us = doc_date(hello, "localTime") * 1000;
    int64_t low = server_us - now, high = server_us + TICK_US - sent_us;
    int64_t drift = (now - c->measured_us) / DRIFT;

    /* Both measurements hold, so the truth lies in both; else the clock was set, or it is another
     * server's. */
    if (c->measured_us && c->low_us - drift <= high && low <= c->high_us + drift) {
        low = low > c->low_us - drift ? low : c->low_us - drift;
        high = high < c->high_us + drift ? high : c->high_us + drift;
    }
    *c = (struct mongo_clock){low, high, now, now + MEASURE_US};
}

static void measure(struct mongo *m)
{
    int64_t sent_us = clock_boot_us();
    bson_t reply;

    if (db_read(m, doc_of("isMaster: 1"), &reply)) { /* logged */
        m->clock.due_us = clock_boot_us() + MEASURE_US;
        return;
    }
    mongo_clock_take(m, sent_us, &reply);
    bson_destroy(&reply);
}

int64_t mongo_now_ms(struct mongo *m)
{
    if (clock_boot_us() >= m->clock.due_us && !m->session && !m->away)
        measure(m);
    return (clock_boot_us() + (m->clock.low_us + m->clock.high_us) / 2) / 1000;
}
