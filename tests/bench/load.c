/* bench-load: keeps a number of connections busy with one kind of request, each with the next id of
 * a list in its path, or with rounds of several, checks the status of every reply and prints one
 * line of JSON. */
#include "tests/bench/load_run.h"

#include "tests/bench/stamp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define ID_MARK "{id}"

static const char usage[] =
    "usage: bench-load --connect ADDRESS:PORT --path PATH [--method GET] [--body TEXT]\n"
    "                  [--type MEDIA_TYPE] [--connections 16] [--seconds 5] [--count N]\n"
    "                  [--warm-up 0.5] [--ids FILE] [--expect 200] [--save-ids FILE]\n"
    "                  [--rate N] [--agents] [--header LINE]\n"
    "                  [--step --path PATH [--method] [--body] [--type]]...\n"
    "{id} in PATH is replaced by the lines of the --ids file, one after the other, from the\n"
    "beginning again at its end, {now} in TEXT by the time of sending. --count N ends after N "
    "requests if --seconds are not over "
    "before,\n"
    "and measures without warm-up. --save-ids writes the job_id of each reply to a file.\n"
    "--step adds a request to a round: it is sent when the one before is answered, {id} is the\n"
    "last job_id that its connection was answered. Latencies and counts are those of rounds.\n"
    "--rate begins N rounds a second by the clock, each on a connection that is free, as many as\n"
    "are due. --agents: each connection is an agent of its own name, whose first request is a "
    "claim:\n"
    "204 repeats it, and latencies are those from the {now} in the job to its arrival.\n"
    "Any other status than the expected one is an error; after 100 errors it ends.\n";

struct request {
    const char *connect, *method, *path, *body, *type, *header;
};

static void die(const char *what)
{
    fprintf(stderr, "bench-load: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

static FILE *file_open(const char *path, const char *mode)
{
    FILE *f = fopen(path, mode);

    if (!f)
        die(path);
    return f;
}

static void ids_read(struct load *l, const char *path)
{
    char line[LOAD_ID_SIZE];
    size_t room = 0;
    FILE *f = file_open(path, "r");

    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        if (l->ids_len == room) {
            room = room ? 2 * room : 1024;
            l->ids = realloc(l->ids, room * sizeof *l->ids);
            if (!l->ids)
                die("memory");
        }
        snprintf(l->ids[l->ids_len++], sizeof *l->ids, "%s", line);
    }
    fclose(f);
    if (!l->ids_len) {
        errno = ENODATA;
        die(path);
    }
}

static bool address_read(struct sockaddr_in *ret, const char *text)
{
    char host[64];
    const char *colon = text ? strchr(text, ':') : NULL;

    if (!colon || (size_t)(colon - text) >= sizeof host)
        return false;
    snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
    ret->sin_family = AF_INET;
    ret->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    return inet_pton(AF_INET, host, &ret->sin_addr) == 1 && ret->sin_port;
}

/* Makes the texts before and after the id. */
static void request_make(struct load *l, const struct request *r)
{
    struct load_step *s = &l->steps[l->steps_len++];
    const char *mark = strstr(r->path, ID_MARK);
    int path_len = mark ? (int)(mark - r->path) : (int)strlen(r->path);
    char length[100] = "", *in_body;
    char *body = stamp_room(r->body ? r->body : "", &in_body);

    if (!body)
        die("memory");
    if (r->body)
        snprintf(length, sizeof length, "Content-Type: %.40s\r\nContent-Length: %zu\r\n", r->type,
                 strlen(body));
    if (asprintf(&s->before, "%s %.*s", r->method, path_len, r->path) < 0 ||
        asprintf(&s->line_end, "%s HTTP/1.1\r\n", mark ? mark + strlen(ID_MARK) : "") < 0 ||
        asprintf(&s->after, "Host: %s\r\n%s%s%s\r\n%s", r->connect, r->header ? r->header : "",
                 r->header ? "\r\n" : "", length, body) < 0)
        die("memory");
    if (in_body)
        s->stamp = s->after + strlen(s->after) - strlen(in_body);
    s->has_id = mark != NULL;
    free(body);
}

static double cpu_seconds(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void report(const struct load *l)
{
    const struct hist *h = &l->hist;

    printf("{\"requests\": %llu, \"per_s\": %.1f, \"mean_ms\": %.3f, \"p50_ms\": %.3f, "
           "\"p99_ms\": %.3f, \"max_ms\": %.3f, \"errors\": %llu, \"first_error\": \"%s\", "
           "\"answered\": %llu, \"client_cpu_s\": %.2f}\n",
           (unsigned long long)h->count, (double)h->count / l->measured_s,
           h->count ? (double)h->sum_us / (double)h->count / 1000 : 0,
           (double)hist_percentile(h, 50) / 1000, (double)hist_percentile(h, 99) / 1000,
           (double)h->max_us / 1000, (unsigned long long)l->errors, l->first_error,
           (unsigned long long)l->answered, cpu_seconds());
}

static bool option_take(struct load *l, struct request *r, int c, const char *value)
{
    switch (c) {
    case 'C':
        r->connect = value;
        return address_read(&l->address, value);
    case 'm':
        r->method = value;
        return true;
    case 'p':
        r->path = value;
        return true;
    case 'b':
        r->body = value;
        return true;
    case 't':
        r->type = value;
        return true;
    case 'c':
        l->connections = (unsigned)strtoul(value, NULL, 10);
        return l->connections && l->connections <= LOAD_CONNECTIONS_MAX;
    case 's':
        l->seconds = strtod(value, NULL);
        return l->seconds > 0;
    case 'n':
        l->count = strtoull(value, NULL, 10);
        return l->count > 0;
    case 'w':
        l->warm_up = strtod(value, NULL);
        return true;
    case 'i':
        ids_read(l, value);
        return true;
    case 'e':
        l->expect = (int)strtol(value, NULL, 10);
        return true;
    case 'S':
        l->save = file_open(value, "w");
        return true;
    case 'r':
        l->rate = strtod(value, NULL);
        return l->rate > 0;
    case 'a':
        l->agents = true;
        return true;
    case 'h':
        r->header = value;
        return true;
    case '+':
        if (!r->path || l->steps_len + 1 == LOAD_STEPS_MAX)
            return false;
        request_make(l, r);
        *r = (struct request){
            .connect = r->connect, .method = "GET", .type = r->type, .header = r->header};
        return true;
    default:
        return false;
    }
}

static bool options_read(struct load *l, struct request *r, int argc, char **argv)
{
    static const struct option options[] = {
        {"connect", required_argument, NULL, 'C'},
        {"method", required_argument, NULL, 'm'},
        {"path", required_argument, NULL, 'p'},
        {"body", required_argument, NULL, 'b'},
        {"type", required_argument, NULL, 't'},
        {"connections", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 's'},
        {"count", required_argument, NULL, 'n'},
        {"warm-up", required_argument, NULL, 'w'},
        {"ids", required_argument, NULL, 'i'},
        {"expect", required_argument, NULL, 'e'},
        {"save-ids", required_argument, NULL, 'S'},
        {"step", no_argument, NULL, '+'},
        {"rate", required_argument, NULL, 'r'},
        {"agents", no_argument, NULL, 'a'},
        {"header", required_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        if (!option_take(l, r, c, optarg))
            return false;
    return r->connect && r->path && optind == argc;
}

/* So many files, if the system lets it. */
static void files_allow(rlim_t n)
{
    struct rlimit files;

    getrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < n)
        files.rlim_cur = n < files.rlim_max ? n : files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

int main(int argc, char **argv)
{
    static struct load l = {.connections = 16, .seconds = 5, .warm_up = 0.5, .expect = 200};
    struct request r = {.method = "GET", .type = "application/json"};

    if (!options_read(&l, &r, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    request_make(&l, &r);
    files_allow(l.connections + 64);
    load_run(&l);
    report(&l);
    if (l.save && fclose(l.save) != 0)
        die("saving ids");
    for (size_t i = 0; i < l.steps_len; i++) {
        free(l.steps[i].before);
        free(l.steps[i].line_end);
        free(l.steps[i].after);
    }
    free(l.ids);
    return l.errors ? EXIT_FAILURE : EXIT_SUCCESS;
}
