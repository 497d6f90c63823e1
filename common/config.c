#include "common/config.h"

#include "common/buf.h"
#include "common/log.h"
#include "common/log_quota.h"
#include "common/mem.h"
#include "common/reason.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum kind { KIND_STR, KIND_SECRET, KIND_UINT, KIND_ENUM };

struct setting {
    const char *name, *flag, *env, *def;
    enum kind kind;
    size_t offset, given; /* in struct config: of the value, and of whether it was set */
    int64_t min, max;
    const char *list; /* KIND_ENUM: "a|b" */
    unsigned roles;
    const char *help;
};

#define AT(field) offsetof(struct config, field), offsetof(struct config, given.field)
static const struct setting settings[] = {
#define CFG_STR(field, flag, env, def, roles, help)                                                \
    {#field, flag, env, def, KIND_STR, AT(field), 0, 0, NULL, roles, help},
#define CFG_SECRET(field, env, roles, help)                                                        \
    {#field, NULL, env, "", KIND_SECRET, AT(field), 0, 0, NULL, roles, help},
#define CFG_UINT(field, flag, env, def, min, max, roles, help)                                     \
    {#field, flag, env, def, KIND_UINT, AT(field), min, max, NULL, roles, help},
#define CFG_ENUM(field, flag, env, def, list, roles, help)                                         \
    {#field, flag, env, def, KIND_ENUM, AT(field), 0, 0, list, roles, help},
#include "common/config.def"
#undef CFG_STR
#undef CFG_SECRET
#undef CFG_UINT
#undef CFG_ENUM
};

enum {
    SETTINGS_LEN = sizeof settings / sizeof *settings,
    SECRET_FILE_MAX = 64 * 1024,
    OPT_HELP = 1000,
    OPT_VERSION,
    OPT_PRINT,
    OPT_SETTING /* and up: above all characters, which getopt_long returns itself */
};

static const char *program_name = "testflinger";

static void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
static void die(const char *fmt, ...)
{
    va_list ap;

    fprintf(stderr, "%s: ", program_name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(EXIT_BAD_SETTING);
}

/* Position of `value` in "a|b|c", or -1. */
static int list_find(const char *list, const char *value)
{
    size_t len = strlen(value);

    for (int i = 0;; i++) {
        size_t n = strcspn(list, "|");
        if (n == len && memcmp(list, value, n) == 0)
            return i;
        if (!list[n])
            return -1;
        list += n + 1;
    }
}

/* Copies entry i of "a|b|c" into out. */
static void list_entry(const char *list, int i, char *out, size_t size)
{
    while (i-- > 0)
        list += strcspn(list, "|") + 1;
    snprintf(out, size, "%.*s", (int)strcspn(list, "|"), list);
}

static void set_uint(const struct setting *s, int64_t *field, const char *value)
{
    char *end;

    errno = 0;
    long long n = strtoll(value, &end, 10);
    if (errno || end == value || *end || n < s->min || n > s->max)
        die("%s: '%s' is not a whole number from %lld to %lld", s->flag ? s->flag : s->env, value,
            (long long)s->min, (long long)s->max);
    *field = n;
}

static void set(const struct setting *s, struct config *cfg, const char *value)
{
    void *field = (char *)cfg + s->offset;

    switch (s->kind) {
    case KIND_STR:
    case KIND_SECRET:
        free(*(char **)field);
        *(char **)field = mem_strdup(value);
        break;
    case KIND_UINT:
        set_uint(s, field, value);
        break;
    case KIND_ENUM: {
        int i = list_find(s->list, value);
        if (i < 0)
            die("%s: '%s' is not one of %s", s->flag ? s->flag : s->env, value, s->list);
        *(int *)field = i;
        break;
    }
    }
}

/* Sets the value from a flag or variable, and notes that it was set. */
static void give(const struct setting *s, struct config *cfg, const char *value)
{
    set(s, cfg, value);
    *(bool *)((char *)cfg + s->given) = true;
}

/* The content of the file that ENV_FILE names, without a trailing line end; NULL: not set. */
static char *secret_from_file(const struct setting *s)
{
    char env[96], *text;

    snprintf(env, sizeof env, "%s_FILE", s->env);
    const char *path = getenv(env);
    if (!path || !*path)
        return NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die("%s: cannot read %s: %s", env, path, strerror(errno));
    text = mem_alloc(SECRET_FILE_MAX + 1);
    ssize_t n = read(fd, text, SECRET_FILE_MAX);
    close(fd);
    if (n < 0)
        die("%s: cannot read %s: %s", env, path, strerror(errno));
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    text[n] = '\0';
    return text;
}

static void load_environment(struct config *cfg, enum role_bit role)
{
    for (size_t i = 0; i < SETTINGS_LEN; i++) {
        const struct setting *s = &settings[i];
        const char *value = getenv(s->env);
        set(s, cfg, s->def);
        if (!(s->roles & role))
            continue;
        if (value && *value)
            give(s, cfg, value);
        if (s->kind == KIND_SECRET && !(value && *value)) {
            char *text = secret_from_file(s);
            if (text)
                give(s, cfg, text);
            free(text);
        }
    }
}

/* Hides the credentials of a URI: the text between "://" and the last '@' of the authority. */
static void print_masked(FILE *out, const char *value)
{
    const char *scheme = strstr(value, "://");
    const char *at = scheme ? memchr(scheme + 3, '@', strcspn(scheme + 3, "/")) : NULL;

    for (const char *next = at; next;) {
        next = memchr(at + 1, '@', strcspn(at + 1, "/"));
        if (next)
            at = next;
    }
    if (at)
        fprintf(out, "%.*s***%s", (int)(scheme + 3 - value), value, at);
    else
        fputs(value, out);
}

static void print_value(FILE *out, const struct setting *s, const struct config *cfg)
{
    const void *field = (const char *)cfg + s->offset;
    char text[64];

    switch (s->kind) {
    case KIND_STR:
        print_masked(out, *(char *const *)field);
        break;
    case KIND_SECRET:
        fputs(**(char *const *)field ? "(set, not shown)" : "", out);
        break;
    case KIND_UINT:
        fprintf(out, "%lld", (long long)*(const int64_t *)field);
        break;
    case KIND_ENUM:
        list_entry(s->list, *(const int *)field, text, sizeof text);
        fputs(text, out);
        break;
    }
}

static void print_config(const struct config *cfg, enum role_bit role)
{
    for (size_t i = 0; i < SETTINGS_LEN; i++) {
        if (!(settings[i].roles & role))
            continue;
        printf("%s=", settings[i].env);
        print_value(stdout, &settings[i], cfg);
        putchar('\n');
    }
}

void config_walk(const struct config *cfg, enum role_bit role,
                 void (*take)(void *arg, const char *env, const char *value, bool given), void *arg)
{
    for (size_t i = 0; i < SETTINGS_LEN; i++) {
        char *value = NULL;
        size_t len;
        FILE *out = settings[i].roles & role ? open_memstream(&value, &len) : NULL;
        if (!out)
            continue;
        print_value(out, &settings[i], cfg);
        if (fclose(out) == 0)
            take(arg, settings[i].env, value,
                 *(const bool *)((const char *)cfg + settings[i].given));
        free(value);
    }
}

static void print_help(enum role_bit role)
{
    printf("Usage: %s [OPTIONS]\n\nOptions (each has an environment variable; flags win):\n",
           program_name);
    for (size_t i = 0; i < SETTINGS_LEN; i++) {
        const struct setting *s = &settings[i];
        if (!(s->roles & role) || !s->flag)
            continue;
        printf("  --%s %s\n      %s\n      [%s", s->flag,
               s->kind == KIND_UINT ? "N"
               : s->list            ? s->list
                                    : "TEXT",
               s->help, s->env);
        printf(*s->def ? ", default %s]\n" : "]\n", s->def);
    }
    puts("  --print-config\n      show the settings in force and end\n"
         "  --help, --version\n\nEnvironment only:");
    for (size_t i = 0; i < SETTINGS_LEN; i++)
        if ((settings[i].roles & role) && !settings[i].flag)
            printf("  %s%s\n      %s\n", settings[i].env,
                   settings[i].kind == KIND_SECRET ? " (or _FILE with a file's path)" : "",
                   settings[i].help);
}

static void load_flags(struct config *cfg, enum role_bit role, int argc, char **argv)
{
    struct option options[SETTINGS_LEN + 4] = {0};
    int n = 0, c;
    bool print = false;

    for (int i = 0; i < SETTINGS_LEN; i++)
        if ((settings[i].roles & role) && settings[i].flag)
            options[n++] =
                (struct option){settings[i].flag, required_argument, NULL, OPT_SETTING + i};
    options[n++] = (struct option){"help", no_argument, NULL, OPT_HELP};
    options[n++] = (struct option){"version", no_argument, NULL, OPT_VERSION};
    options[n++] = (struct option){"print-config", no_argument, NULL, OPT_PRINT};
    optind = 1;
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == OPT_HELP) {
            print_help(role);
            exit(0);
        } else if (c == OPT_VERSION) {
            printf("%s %s\n", program_name, PROJECT_VERSION);
            exit(0);
        } else if (c == OPT_PRINT) {
            print = true;
        } else if (c >= OPT_SETTING) {
            give(&settings[c - OPT_SETTING], cfg, optarg);
        } else {
            die("see --help"); /* getopt_long has printed the reason */
        }
    }
    if (optind < argc)
        die("'%s' is not an option; see --help", argv[optind]);
    if (print) {
        print_config(cfg, role);
        exit(0);
    }
}

void config_load(struct config *cfg, enum role_bit role, const char *program, int argc, char **argv)
{
    program_name = program;
    *cfg = (struct config){0};
    load_environment(cfg, role);
    load_flags(cfg, role, argc, argv);
    bool json = cfg->log_format ? cfg->log_format == 2 : !isatty(STDERR_FILENO);
    log_setup(program, json ? LOG_JSON : LOG_TEXT, (enum log_level)cfg->log_level);
    log_quota_setup(cfg->log_limit);
    reason_watch();
}

static bool is_setting(const char *entry)
{
    size_t len = strcspn(entry, "=");

    for (size_t i = 0; i < SETTINGS_LEN; i++) {
        size_t n = strlen(settings[i].env);
        if (strncmp(entry, settings[i].env, n) == 0 &&
            (len == n || (len == n + 5 && memcmp(entry + n, "_FILE", 5) == 0)))
            return true;
    }
    return false;
}

char **config_environ(const struct config *cfg, enum role_bit role)
{
    size_t count = 0, n = 0;

    while (environ[count])
        count++;
    char **env = mem_alloc((count + SETTINGS_LEN + 1) * sizeof *env);
    for (size_t i = 0; i < count; i++)
        if (!is_setting(environ[i]))
            env[n++] = mem_strdup(environ[i]);
    for (size_t i = 0; i < SETTINGS_LEN; i++) {
        const struct setting *s = &settings[i];
        char *entry = NULL;
        size_t size = 0;
        /* Do not pass settings that the launcher does not have itself. */
        if (!(s->roles & role) || !(s->roles & R_SERVER))
            continue;
        FILE *out = open_memstream(&entry, &size);
        if (!out)
            die("out of memory");
        fprintf(out, "%s=", s->env);
        if (s->kind == KIND_STR || s->kind == KIND_SECRET)
            fputs(*(char *const *)((const char *)cfg + s->offset), out);
        else
            print_value(out, s, cfg);
        fclose(out);
        env[n++] = entry;
    }
    return env;
}

static void print_list(FILE *out, const char *list)
{
    for (;;) {
        size_t n = strcspn(list, "|");
        fprintf(out, "`%.*s`", (int)n, list);
        if (!list[n])
            return;
        fputs(", ", out);
        list += n + 1;
    }
}

void config_print_reference(FILE *out)
{
    static const struct {
        enum role_bit bit;
        const char *name;
    } roles[] = {{R_SERVER, "server"}, {R_FRONTEND, "frontend"}, {R_BROKER, "broker"},
                 {R_WORKER, "worker"}, {R_WEBHOOK, "webhook"},   {R_ADMIN, "admin"}};

    fputs("| Flag | Environment | Default | Values | Programs | Meaning |\n"
          "|---|---|---|---|---|---|\n",
          out);
    for (size_t i = 0; i < SETTINGS_LEN; i++) {
        const struct setting *s = &settings[i];
        const char *separator = "";
        fprintf(out, s->flag ? "| `--%s` | " : "| %s | ", s->flag ? s->flag : "");
        fprintf(out, s->kind == KIND_SECRET ? "`%s`, `%s_FILE` | " : "`%s` | ", s->env, s->env);
        fprintf(out, *s->def ? "`%s` | " : "%s | ", s->def);
        if (s->kind == KIND_UINT)
            fprintf(out, "%lld to %lld | ", (long long)s->min, (long long)s->max);
        else if (s->list)
            print_list(out, s->list);
        else
            fputs("text", out);
        if (s->kind != KIND_UINT)
            fputs(" | ", out);
        for (size_t r = 0; r < sizeof roles / sizeof *roles; r++)
            if (s->roles & roles[r].bit) {
                fprintf(out, "%s%s", separator, roles[r].name);
                separator = ", ";
            }
        fprintf(out, " | %s |\n", s->help);
    }
}

/* Writes `text` percent-encoded. */
static void put_encoded(FILE *out, const char *text)
{
    struct text t = {text, strlen(text)};
    struct buf b = BUF_INIT(3 * t.len);

    if (t.len && buf_add_percent(&b, t) == ERR_OK)
        fputs(b.data, out);
    buf_free(&b);
}

static char *uri_from_parts(const struct config *cfg)
{
    char *uri = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&uri, &size);

    if (!out)
        die("out of memory");
    fputs("mongodb://", out);
    if (*cfg->mongodb_username) {
        put_encoded(out, cfg->mongodb_username);
        fputc(':', out);
        put_encoded(out, cfg->mongodb_password);
        fputc('@', out);
    }
    fprintf(out, "%s:%lld/", cfg->mongodb_host, (long long)cfg->mongodb_port);
    put_encoded(out, cfg->mongodb_database);
    if (*cfg->mongodb_username) {
        fputs("?authSource=", out);
        put_encoded(out, cfg->mongodb_auth_source);
    }
    fclose(out);
    return uri;
}

enum err config_store_uri(const struct config *cfg, char **ret)
{
    if (*cfg->store) {
        *ret = mem_strdup(cfg->store);
    } else if (*cfg->mongodb_uri) {
        *ret = mem_strdup(cfg->mongodb_uri);
    } else if (*cfg->mongodb_host || *cfg->mongodb_database) {
        if (!*cfg->mongodb_host || !*cfg->mongodb_database) {
            fprintf(stderr, "%s: MONGODB_HOST and MONGODB_DATABASE go together; set both\n",
                    program_name);
            return ERR_INVALID;
        }
        *ret = uri_from_parts(cfg);
    } else {
        size_t size = strlen(cfg->data) + sizeof "sqlite:/testflinger.db";
        *ret = mem_alloc(size);
        snprintf(*ret, size, "sqlite:%s/testflinger.db", cfg->data);
    }
    return ERR_OK;
}

void config_free(struct config *cfg)
{
    for (size_t i = 0; i < SETTINGS_LEN; i++) {
        void *field = (char *)cfg + settings[i].offset;
        if (settings[i].kind == KIND_STR || settings[i].kind == KIND_SECRET) {
            free(*(char **)field);
            *(char **)field = NULL;
        }
    }
}
