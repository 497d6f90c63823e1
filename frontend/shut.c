#include "frontend/shut.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"

#include <event2/bufferevent.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define QUIET_MS 10000 /* between log lines about one reason */

static const struct {
    const char *label;
    int status;       /* of an answer that is tried to give; 0: none */
    const char *text; /* of the answer */
    const char *log;  /* NULL: nothing is logged */
} reasons[SHUT_REASONS] = {
    [SHUT_IDLE] = {"idle", 0, NULL, NULL},
    [SHUT_HEAD] = {"head", 408, "The head of the request took too long",
                   "their heads took longer than --head-timeout"},
    [SHUT_BODY] = {"body", 408, "The body of the request came too slowly",
                   "their bodies came slower than --min-rate"},
    [SHUT_ANSWER] = {"answer", 0, NULL, "they took their answers slower than --min-rate"},
    [SHUT_ADDRESS] = {"address", 503, "Too many connections from this address; try again shortly",
                      "their addresses have as many as --max-connections-per-address allows"},
    [SHUT_PROXY] = {"proxy", 0, NULL, NULL},
    [SHUT_ROOM] = {"room", 503, "Too many connections; try again shortly",
                   "they made room for others; raise --max-connections or add frontends, unless "
                   "this is an attack"},
};

/* Closed connections of one reason that are not logged yet, in this process. */
static struct {
    size_t count;
    int64_t logged; /* ms; 0: never */
    char last[INET6_ADDRSTRLEN];
} closed[SHUT_REASONS];

void shut_name_metrics(void)
{
    static const char *names[SHUT_REASONS];

    for (int i = 0; i < SHUT_REASONS; i++)
        names[i] = reasons[i].label;
    metrics_name_labels(LABELS_FAULT, names, SHUT_REASONS);
}

/* Answers if that needs no wait: straight to the socket, if no other answer is being sent. */
static void say(struct conn *c, enum shut_reason why)
{
    char text[512], drop[4096];
    int fd = bufferevent_getfd(c->bev);

    /* Without a request, an answer would be taken for that of the next one; likewise a second
     * answer after that to a refused body. */
    bool between = (c->pace.stage == STAGE_IDLE && c->intake.numbers) || intake_unread(&c->intake);

    if (!reasons[why].status || between || c->tls || c->client.header || c->exchange ||
        intake_is_busy(&c->intake) || evbuffer_get_length(bufferevent_get_output(c->bev)))
        return;
    /* Read all first: closing with unread bytes resets the connection, which destroys the answer.
     */
    for (int i = 0; i < 16 && recv(fd, drop, sizeof drop, MSG_DONTWAIT) == sizeof drop; i++)
        ;
    size_t len = strlen("{\"detail\": {}, \"message\": \"\"}") + strlen(reasons[why].text);
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                     "%sConnection: close\r\n\r\n{\"detail\": {}, \"message\": \"%s\"}",
                     reasons[why].status,
                     reasons[why].status == 408 ? "Request Timeout" : "Service Unavailable", len,
                     reasons[why].status == 503 ? "Retry-After: 1\r\n" : "", reasons[why].text);
    if (send(fd, text, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) != n)
        log_debug("the reason of a closed connection was not sent");
}

void shut(struct conn *c, enum shut_reason why)
{
    closed[why].count++;
    snprintf(closed[why].last, sizeof closed[why].last, "%s", c->peer);
    metric_add(M_HTTP_CLOSED, why, 1);
    say(c, why);
    evhttp_connection_free(c->evcon);
}

void shut_tick(void)
{
    int64_t now = clock_mono_ms();

    for (int i = 0; i < SHUT_REASONS; i++) {
        if (!reasons[i].log || !closed[i].count ||
            (closed[i].logged && now - closed[i].logged < QUIET_MS))
            continue;
        log_warn("closed %zu connections, the last one of %s: %s", closed[i].count, closed[i].last,
                 reasons[i].log);
        closed[i].logged = now;
        closed[i].count = 0;
    }
}
