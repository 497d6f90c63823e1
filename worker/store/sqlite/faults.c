/* Maps SQLite's error codes to errors for callers and advice for operators. */
#include "worker/store/sqlite/sqlite.h"

#include "common/clock.h"
#include "common/log.h"

#include <string.h>

/* A lasting fault fails every request: log it only this often. */
#define FAULT_LOG_MS 1000

static const struct row {
    int code;
    enum err err;
    const char *advice;
} rows[] = {
    {SQLITE_FULL, ERR_UNAVAILABLE,
     "free some space on its disk; requests that write get 503 until then"},
    {SQLITE_IOERR, ERR_UNAVAILABLE, "see that its disk works and has space left"},
    {SQLITE_BUSY, ERR_UNAVAILABLE,
     "another process kept it locked for the whole store timeout; look for a stuck process, or "
     "another program that uses the file"},
    {SQLITE_PROTOCOL, ERR_UNAVAILABLE,
     "another process kept it locked; look for a stuck process, or another program that uses the "
     "file"},
    {SQLITE_CANTOPEN, ERR_UNAVAILABLE,
     "see that its folder is there and writable for the server's user, and its disk has space "
     "left"},
    {SQLITE_READONLY, ERR_UNAVAILABLE,
     "make the file and its folder writable for the server's user"},
    {SQLITE_PERM, ERR_UNAVAILABLE,
     "make the file and its folder readable and writable for the server's user"},
    {SQLITE_NOLFS, ERR_UNAVAILABLE, "move it to a disk that can hold such a large file"},
    {SQLITE_NOMEM, ERR_UNAVAILABLE, "give the machine more memory"},
    {SQLITE_TOOBIG, ERR_TOO_LARGE, "nothing: the request is answered with 413"},
    {SQLITE_CONSTRAINT, ERR_CONFLICT, "nothing: the request is answered"},
    {SQLITE_CORRUPT, ERR_INTERNAL,
     "stop the server, check the disk, and restore a copy of the file"},
    {SQLITE_NOTADB, ERR_INTERNAL,
     "it is no SQLite database: stop the server and restore a copy of the file"},
};

static const struct row *find(int code)
{
    static const struct row other = {0, ERR_INTERNAL, "this is a defect of the server"};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].code == (code & 0xff))
            return &rows[i];
    return &other;
}

enum err sqlite_fault(struct sqlite *q, int code)
{
    const struct row *row = find(code);
    int64_t now = clock_mono_ms();

    if (row->err == ERR_CONFLICT || row->err == ERR_TOO_LARGE)
        return row->err;
    if (code == q->fault && now - q->fault_ms < FAULT_LOG_MS)
        return row->err;
    q->fault = code;
    q->fault_ms = now;
    int system = sqlite3_system_errno(q->db);
    log_error("the store %s failed: %s (SQLite code %d%s%s); %s", q->path,
              q->db ? sqlite3_errmsg(q->db) : sqlite3_errstr(code), code, system ? ", " : "",
              system ? strerror(system) : "", row->advice);
    return row->err;
}
