#include "worker/admin/prompt.h"

#include "common/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <termios.h>
#include <unistd.h>

bool prompt_possible(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

char *prompt_first_line(void)
{
    char *line = mem_alloc(PROMPT_LINE_MAX + 1);
    size_t len = 0;
    ssize_t n = 0;

    while (len < PROMPT_LINE_MAX && (n = read(STDIN_FILENO, line + len, 1)) == 1 &&
           line[len] != '\n')
        len++;
    if (len == 0 && n != 1) {
        free(line);
        return NULL;
    }
    if (len && line[len - 1] == '\r')
        len--;
    line[len] = '\0';
    return line;
}

/* Questions go to stderr: stdout is for results. */
static char *ask(const char *fmt, va_list ap)
{
    vfprintf(stderr, fmt, ap);
    fflush(stderr);
    return prompt_first_line();
}

char *prompt_line(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    char *line = ask(fmt, ap);
    va_end(ap);
    return line;
}

bool prompt_yes(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    char *line = ask(fmt, ap);
    va_end(ap);
    bool yes = line && (strcasecmp(line, "y") == 0 || strcasecmp(line, "yes") == 0);
    free(line);
    return yes;
}

static void echo(bool on)
{
    struct termios t;

    if (tcgetattr(STDIN_FILENO, &t) != 0)
        return;
    if (on)
        t.c_lflag |= ECHO;
    else
        t.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &t);
}

static void wipe(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

char *prompt_secret(const char *what)
{
    for (;;) {
        echo(false);
        char *first = prompt_line("%s: ", what);
        char *second = first ? prompt_line("\nThe same again: ") : NULL;
        echo(true);
        fputc('\n', stderr);
        bool same = first && second && strcmp(first, second) == 0;
        wipe(second);
        if (same || !first || !second) {
            if (!same)
                wipe(first);
            return same ? first : NULL;
        }
        wipe(first);
        fputs("They differ.\n", stderr);
    }
}
