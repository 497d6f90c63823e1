#include "frontend/proxies.h"

#include <stdio.h>

enum err proxies_load(const char *program, const struct config *cfg, struct proxies *ret)
{
    const char *at;

    *ret = (struct proxies){.rules = {.headers = (enum forwarded_headers)cfg->proxy_headers},
                            .protocol = cfg->proxy_protocol};
    if (trust_parse(cfg->trusted_proxies, &ret->rules.trust, &at)) {
        fprintf(stderr,
                "%s: trusted-proxies: '%.64s' is no ADDRESS or ADDRESS/BITS, or one too many (at "
                "most %d)\n",
                program, at, TRUST_MAX);
        return ERR_INVALID;
    }
    /* As in the reference server. A list of trusted proxies has precedence. */
    ret->rules.one_hop = cfg->proxyfix % 2 && !ret->rules.trust.len;
    if (!ret->protocol || ret->rules.trust.len)
        return ERR_OK;
    fprintf(stderr, "%s: proxy-protocol: set --trusted-proxies to the proxies that speak it\n",
            program);
    return ERR_INVALID;
}
