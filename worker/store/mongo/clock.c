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

/* A busy machine delays some answers, which tell the time less exactly: so many are asked for at
 * most, until one is as fast as this, or nearly as fast as usual. */
#define TRIES   5
#define FAST_US 1000

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
    *c = (struct mongo_clock){low, high, now, now, c->trip_us};
}

/* *ret_trip_us: how long the answer took. */
static enum err measure_once(struct mongo *m, int64_t *ret_trip_us)
{
    int64_t sent_us = clock_boot_us();
    bson_t reply;
    enum err e = db_read(m, doc_of("isMaster: 1"), &reply);

    if (e) /* logged */
        return e;
    *ret_trip_us = clock_boot_us() - sent_us;
    mongo_clock_take(m, sent_us, &reply);
    bson_destroy(&reply);
    return ERR_OK;
}

static void measure(struct mongo *m)
{
    int64_t usual_us = m->clock.trip_us, best_us = INT64_MAX, trip_us;
    int64_t enough_us = 2 * usual_us > FAST_US ? 2 * usual_us : FAST_US;

    for (int i = 0; i < TRIES && best_us > enough_us && !measure_once(m, &trip_us); i++)
        best_us = trip_us < best_us ? trip_us : best_us;
    if (best_us < INT64_MAX)
        m->clock.trip_us =
            usual_us && usual_us < best_us && best_us <= enough_us ? usual_us : best_us;
    m->clock.due_us = clock_boot_us() + MEASURE_US;
}

int64_t mongo_now_ms(struct mongo *m)
{
    if (clock_boot_us() >= m->clock.due_us && !m->session && !m->away)
        measure(m);
    return (clock_boot_us() + (m->clock.low_us + m->clock.high_us) / 2) / 1000;
}
