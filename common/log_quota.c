#include "common/log_quota.h"

#include "common/text.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum {
    PLACES = 1024,
    PLACES_USED = 768, /* beyond it, new kinds and addresses share one limit */
    PREFIX = 8,        /* bytes of an IPv6 address: a client controls its /64 */
    MINUTE_MS = 60000
};

struct place {
    uint64_t hash; /* 0: empty */
    int64_t lines;
};

static struct {
    int64_t limit, minute;
    uint64_t seed; /* random: clients must not choose addresses that collide */
    struct place places[PLACES], others;
    size_t used;
    uint64_t left_out;
    const char *kind; /* of the last dropped line */
} quota;

void log_quota_setup(int64_t lines)
{
    memset(&quota, 0, sizeof quota);
    quota.limit = lines;
    if (getrandom(&quota.seed, sizeof quota.seed, GRND_NONBLOCK) != sizeof quota.seed)
        quota.seed = (uint64_t)(uintptr_t)&quota;
}

static uint64_t mix_address(uint64_t hash, const char *about, size_t len)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr six;

    if (len < sizeof text) {
        snprintf(text, sizeof text, "%.*s", (int)len, about);
        if (inet_pton(AF_INET6, text, &six) == 1 && !IN6_IS_ADDR_V4MAPPED(&six))
            return fnv_add(hash, &six, PREFIX);
    }
    return fnv_add(hash, about, len);
}

static struct place *find(uint64_t hash)
{
    size_t i = hash % PLACES;

    hash += !hash;
    while (quota.places[i].hash && quota.places[i].hash != hash)
        i = (i + 1) % PLACES;
    if (!quota.places[i].hash && quota.used == PLACES_USED)
        return &quota.others;
    quota.used += !quota.places[i].hash;
    quota.places[i].hash = hash;
    return &quota.places[i];
}

static void turn(int64_t now_ms)
{
    if (now_ms / MINUTE_MS == quota.minute)
        return;
    quota.minute = now_ms / MINUTE_MS;
    memset(quota.places, 0, sizeof quota.places);
    quota.others = (struct place){0};
    quota.used = 0;
}

bool log_quota_take(const char *kind, const char *about, size_t about_len, int64_t now_ms)
{
    uint64_t hash = fnv_add(quota.seed ^ 0xcbf29ce484222325U, kind, strlen(kind) + 1);

    if (!quota.limit)
        return true;
    turn(now_ms);
    struct place *all = about_len ? NULL : find(hash);
    struct place *one = about_len ? find(mix_address(hash, about, about_len)) : NULL;
    if (one ? one->lines < quota.limit : all->lines < LOG_QUOTA_KIND * quota.limit) {
        (one ? one : all)->lines++;
        return true;
    }
    quota.left_out++;
    quota.kind = kind;
    return false;
}

uint64_t log_quota_left_out(int64_t now_ms, const char **ret_kind)
{
    uint64_t n = quota.left_out;

    if (!n || now_ms / MINUTE_MS == quota.minute)
        return 0;
    turn(now_ms);
    *ret_kind = quota.kind;
    quota.left_out = 0;
    return n;
}
