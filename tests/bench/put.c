/* bench-put: the plain loop beside the webhook worker: libcurl puts a body to a URL again and
 * again, over kept connections, `parallel` at a time; one line of JSON. */
#include "tests/bench/hist.h"
#include "tests/bench/stamp.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PARALLEL_MAX 1024

struct put {
    CURL *easy;
    char *body, *stamp;
};

struct loop {
    CURLM *multi;
    struct curl_slist *headers;
    const char *url, *body;
    struct put puts[PARALLEL_MAX];
    unsigned parallel;
    uint64_t done, errors;
};

static void die(const char *what)
{
    fprintf(stderr, "bench-put: %s\n", what);
    exit(EXIT_FAILURE);
}

static size_t ignore(char *data, size_t size, size_t n, void *arg)
{
    (void)data;
    (void)arg;
    return size * n;
}

static void put_make(struct loop *l, struct put *p)
{
    p->body = stamp_room(l->body, &p->stamp);
    p->easy = curl_easy_init();
    if (!p->body || !p->easy)
        die("no memory");
    curl_easy_setopt(p->easy, CURLOPT_URL, l->url);
    curl_easy_setopt(p->easy, CURLOPT_CUSTOMREQUEST, "PUT");
    curl_easy_setopt(p->easy, CURLOPT_POSTFIELDS, p->body);
    curl_easy_setopt(p->easy, CURLOPT_HTTPHEADER, l->headers);
    curl_easy_setopt(p->easy, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(p->easy, CURLOPT_PRIVATE, p);
    curl_easy_setopt(p->easy, CURLOPT_NOSIGNAL, 1L);
}

static void put_begin(struct loop *l, struct put *p)
{
    if (p->stamp)
        stamp_write(p->stamp, hist_now_ns());
    if (curl_multi_add_handle(l->multi, p->easy) != CURLM_OK)
        die("no memory");
}

/* Takes what has ended, and goes on with the same handles while there is time. */
static void take_done(struct loop *l, bool more, unsigned *active)
{
    struct put *p;
    CURLMsg *message;
    long status;
    int left;

    while ((message = curl_multi_info_read(l->multi, &left))) {
        CURL *easy = message->easy_handle;
        bool failed = message->data.result != CURLE_OK;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &p);
        curl_multi_remove_handle(l->multi, easy);
        l->done++;
        l->errors += failed || status != 200;
        if (more && l->errors < 100)
            put_begin(l, p);
        else
            --*active;
    }
}

static double run(struct loop *l, double seconds)
{
    int64_t begin = hist_now_ns(), end = begin + (int64_t)(seconds * 1e9);
    unsigned active = l->parallel;
    int running;

    for (unsigned i = 0; i < l->parallel; i++) {
        put_make(l, &l->puts[i]);
        put_begin(l, &l->puts[i]);
    }
    while (active) {
        if (curl_multi_perform(l->multi, &running) != CURLM_OK)
            die("libcurl fails");
        take_done(l, hist_now_ns() < end, &active);
        if (active)
            curl_multi_poll(l->multi, NULL, 0, 100, NULL);
    }
    return (double)(hist_now_ns() - begin) / 1e9;
}

int main(int argc, char **argv)
{
    static struct loop l;

    if (argc != 5 || (l.parallel = (unsigned)strtoul(argv[3], NULL, 10)) == 0 ||
        l.parallel > PARALLEL_MAX) {
        fputs("usage: bench-put URL BODY PARALLEL SECONDS\n", stderr);
        return 2;
    }
    l.url = argv[1];
    l.body = argv[2];
    curl_global_init(CURL_GLOBAL_DEFAULT);
    l.headers = curl_slist_append(NULL, "Content-Type: application/json");
    l.multi = curl_multi_init();
    double seconds = run(&l, strtod(argv[4], NULL));
    printf("{\"requests\": %llu, \"per_s\": %.1f, \"errors\": %llu}\n", (unsigned long long)l.done,
           (double)l.done / seconds, (unsigned long long)l.errors);
    for (unsigned i = 0; i < l.parallel; i++) {
        curl_easy_cleanup(l.puts[i].easy);
        free(l.puts[i].body);
    }
    curl_multi_cleanup(l.multi);
    curl_slist_free_all(l.headers);
    curl_global_cleanup();
    return l.errors ? EXIT_FAILURE : EXIT_SUCCESS;
}
