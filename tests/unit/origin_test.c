/* Which requests of browsers are served. */
#include "frontend/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* cmocka.h needs the headers above. */
#include <cmocka.h>

#define GET    .get = true
#define CLAIM  .get = true, .changes = true
#define POST   .changes = true
#define SITE   .fetch_site
#define MODE   .fetch_mode
#define DEST   .fetch_dest
#define ORIGIN .origin
#define HOST   .host

struct row {
    struct origin_request r;
    const char *says; /* part of the refusal; NULL: it is served */
};

static void check(const struct origin_rules *rules, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *got = origin_refusal(rules, &rows[i].r);
        if ((got == NULL) != (rows[i].says == NULL) ||
            (got && rows[i].says && !strstr(got, rows[i].says)))
            fail_msg("row %zu: %s", i, got ? got : "served");
    }
}

static void test_sites(void **state)
{
    static const char other[] = "another site", unsaid[] = "which site";
    /* clang-format off */
    static const struct row rows[] = {
        /* A client that is no browser is always served. */
        {{HOST = "tf:8000", GET}, NULL},
        {{HOST = "tf:8000", POST}, NULL},
        {{HOST = "tf:8000", CLAIM}, NULL},
        {{HOST = NULL, POST}, NULL},
        {{HOST = "tf:8000", CLAIM, .user_agent = "python-requests/2.31"}, NULL},
        {{HOST = "tf:8000", CLAIM, .user_agent = "curl/8 Mozilla/5.0"}, NULL},
        /* Sec-Fetch-Site, which the browser sets. */
        {{HOST = "tf:8000", POST, SITE = "same-origin"}, NULL},
        {{HOST = "tf:8000", CLAIM, SITE = "same-origin"}, NULL},
        {{HOST = "tf:8000", GET, SITE = "none", MODE = "navigate", DEST = "document"}, NULL},
        {{HOST = "tf:8000", CLAIM, SITE = "none", MODE = "navigate"}, NULL},
        {{HOST = "tf:8000", POST, SITE = "cross-site"}, other},
        {{HOST = "tf:8000", POST, SITE = "same-site"}, other},
        {{HOST = "tf:8000", POST, SITE = ""}, other},
        {{HOST = "tf:8000", POST, SITE = "Same-Origin"}, other},
        {{HOST = "tf:8000", GET, SITE = "cross-site", MODE = "no-cors", DEST = "image"}, other},
        {{HOST = "tf:8000", GET, SITE = "cross-site", MODE = "cors", DEST = "empty"}, other},
        {{HOST = "tf:8000", POST, SITE = "cross-site", MODE = "navigate", DEST = "document"}, other},
        {{HOST = "tf:8000", GET, SITE = "cross-site", MODE = "navigate", DEST = "document"}, NULL},
        {{HOST = "tf:8000", GET, SITE = "same-site", MODE = "navigate"}, NULL},
        {{HOST = "tf:8000", GET, SITE = "cross-site", MODE = "navigate", DEST = "iframe"}, other},
        {{HOST = "tf:8000", CLAIM, SITE = "cross-site", MODE = "navigate", DEST = "document"}, other},
        /* It wins over Origin, which is null under a strict referrer policy. */
        {{HOST = "tf:8000", POST, SITE = "same-origin", ORIGIN = "null"}, NULL},
        {{HOST = "tf:8000", POST, SITE = "cross-site", ORIGIN = "http://tf:8000"}, other},
        /* Without Sec-Fetch-Site. */
        {{HOST = "tf:8000", POST, ORIGIN = "http://tf:8000"}, NULL},
        {{HOST = "TF:8000", POST, ORIGIN = "http://tf:8000"}, NULL},
        {{HOST = "tf", POST, ORIGIN = "http://tf"}, NULL},
        {{HOST = "tf:80", POST, ORIGIN = "http://tf"}, NULL},
        {{HOST = "tf", POST, ORIGIN = "https://tf"}, NULL},
        {{HOST = "tf:443", POST, ORIGIN = "https://tf"}, NULL},
        {{HOST = "[::1]:8000", POST, ORIGIN = "http://[::1]:8000"}, NULL},
        {{HOST = "[::1]", POST, ORIGIN = "http://[::1]"}, NULL},
        {{HOST = "tf:8000", POST, ORIGIN = "http://tf:8001"}, other},
        {{HOST = "tf:8000", POST, ORIGIN = "http://tf"}, other},
        {{HOST = "tf:80", POST, ORIGIN = "https://tf"}, other},
        {{HOST = "tf:8000", POST, ORIGIN = "http://evil.example:8000"}, other},
        {{HOST = "tf:8000", POST, ORIGIN = "http://tf:8000.evil.example"}, other},
        {{HOST = "tf:8000", POST, ORIGIN = "http://tf:8000@evil.example"}, other},
        {{HOST = "tf:8000", POST, ORIGIN = "http://xtf:8000"}, other},
        {{HOST = "tf:8000", POST, ORIGIN = "null"}, other},
        {{HOST = "tf:8000", POST, ORIGIN = ""}, other},
        {{HOST = "tf:8000", POST, ORIGIN = "http://"}, other},
        {{HOST = "", POST, ORIGIN = "http://"}, other},
        {{HOST = "tf:8000", POST, ORIGIN = "chrome-extension://tf:8000"}, other},
        {{HOST = NULL, POST, ORIGIN = "http://tf:8000"}, other},
        {{HOST = "tf:8000", GET, ORIGIN = "http://evil.example"}, other},
        {{HOST = "tf:8000", CLAIM, ORIGIN = "http://tf:8000"}, NULL},
        /* A browser sends neither for an image, a link or the address bar over plain HTTP. */
        {{HOST = "tf:8000", GET, .user_agent = "Mozilla/5.0 (X11)"}, NULL},
        {{HOST = "tf:8000", POST, .user_agent = "Mozilla/5.0 (X11)"}, NULL},
        {{HOST = "tf:8000", CLAIM, .user_agent = "Mozilla/5.0 (X11)"}, unsaid},
        {{HOST = "tf:8000", CLAIM, .accept_language = "en", .user_agent = "curl"}, unsaid},
        {{HOST = "tf:8000", CLAIM, MODE = "navigate"}, unsaid},
    };
    /* clang-format on */
    const struct origin_rules rules = {.cross_site = true, .allowed_hosts = ""};

    (void)state;
    check(&rules, rows, sizeof rows / sizeof *rows);
}

static void test_names(void **state)
{
    static const struct {
        const char *host;
        bool local, listed; /* served without a setting; with the one below */
    } rows[] = {
        {"localhost", true, true},
        {"localhost:8000", true, true},
        {"a.localhost:8000", true, true},
        {"LOCALHOST", true, true},
        {"testflinger:8000", true, true},
        {"127.0.0.1:8000", true, true},
        {"10.0.0.1", true, true},
        {"[::1]:8000", true, true},
        {"[::1]", true, true},
        {"tf.lab.example", false, true},
        {"TF.Lab.Example:443", false, true},
        {"a.pool.example:8000", false, true},
        {"pool.example", false, false},
        {"evil.example:8000", false, false},
        {"evil.tf.lab.example", false, false},
        {"tf.lab.example.", false, false},
        {"localhost.evil.de", false, false},
        {"xlocalhost.x", false, false},
        {"127.0.0.1.nip.io", false, false},
        {"127.0.0.1.", false, false},
        {"[::1].evil.de:8000", false, false},
        {"[::1", true, true}, /* no name that a browser sends */
        {"", false, false},
        {NULL, false, false},
    };
    const struct origin_rules local = {.own_names = true, .allowed_hosts = ""},
                              listed = {.own_names = true,
                                        .allowed_hosts = "tf.lab.example, *.pool.example,"},
                              none = {.allowed_hosts = ""};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct origin_request r = {.host = rows[i].host, .get = true, .accept_language = ""};
        if ((origin_refusal(&local, &r) == NULL) != rows[i].local ||
            (origin_refusal(&listed, &r) == NULL) != rows[i].listed)
            fail_msg("row %zu: %s", i, rows[i].host ? rows[i].host : "none");
        assert_null(origin_refusal(&none, &r));
        r.accept_language = NULL; /* no browser */
        assert_null(origin_refusal(&local, &r));
    }
}

static void test_rules(void **state)
{
    static const struct {
        int auth;
        bool is_public;
        const char *hosts;
        bool cross_site, own_names;
    } rows[] = {
        {AUTH_OPEN, false, "", true, true},  {AUTH_OPEN, true, "", true, false},
        {AUTH_OPEN, true, "x", true, true},  {AUTH_ROLES, false, "", true, false},
        {AUTH_ROLES, true, "x", true, true}, {AUTH_LOGIN, false, "x", false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char hosts[8];
        snprintf(hosts, sizeof hosts, "%s", rows[i].hosts);
        const struct config cfg = {.auth = rows[i].auth, .allowed_hosts = hosts};
        struct origin_rules got = origin_rules(&cfg, rows[i].is_public);
        if (got.cross_site != rows[i].cross_site || got.own_names != rows[i].own_names)
            fail_msg("row %zu", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sites),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
