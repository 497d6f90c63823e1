/* Frontends report whether the response of a claim reached its agent. */
#include "common/mem.h"
#include "worker/request/call.h"

#include <stdlib.h>
#include <string.h>

handler_fn h_claims_settle;

#define LINE_SIZE (sizeof "+\n" - 1 + REQUEST_ID_SIZE - 1)

/* Reads a line "+TOKEN\n" (arrived) or "-TOKEN\n" (did not). False: another form. */
static bool line_load(const char *line, struct claim_settle *ret)
{
    if ((line[0] != '+' && line[0] != '-') || line[LINE_SIZE - 1] != '\n' ||
        memchr(line, '\0', LINE_SIZE))
        return false;
    *ret = (struct claim_settle){.arrived = line[0] == '+'};
    memcpy(ret->token, line + 1, REQUEST_ID_SIZE - 1);
    return true;
}

static void settle(struct call *c, struct claim_settle *claims, size_t n)
{
    enum err e = n ? store_claims_settle(c->store, claims, n) : ERR_OK;

    for (size_t i = 0; i < n; i++) {
        c->claims_confirmed += !e && claims[i].arrived && !claims[i].err;
        c->claims_returned += claims[i].queue != NULL;
        if (claims[i].queue)
            call_wakes(c, (struct text){claims[i].queue, strlen(claims[i].queue)});
        free(claims[i].queue);
    }
    for (size_t i = 0; i < n && !e; i++)
        e = claims[i].err;
    if (e)
        reply_err(c, e);
    else
        reply_none(c);
}

void h_claims_settle(struct call *calls[], size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct text body = calls[i]->request->body;
        size_t lines = body.len / LINE_SIZE, len = 0;
        struct claim_settle *claims = NULL;
        if (body.len % LINE_SIZE || body.len >= BODY_SMALL) {
            reply_error(calls[i], 400, "Bad Request");
            continue;
        }
        claims = lines ? mem_alloc(lines * sizeof *claims) : NULL;
        while (len < lines && line_load(body.s + len * LINE_SIZE, &claims[len]))
            len++;
        if (len < lines)
            reply_error(calls[i], 400, "Bad Request");
        else
            settle(calls[i], claims, len);
        free(claims);
    }
}
