/* What SQLite's SQL lacks: text_of_hex(HEX), the text of UTF-8 in hexadecimal. */
#include "worker/store/sqlite/sqlite.h"

#include "common/mem.h"

#include <stdlib.h>

static void text_of_hex(sqlite3_context *ctx, int n, sqlite3_value **values)
{
    const unsigned char *hex = sqlite3_value_text(values[0]);
    size_t len = (size_t)sqlite3_value_bytes(values[0]) / 2;
    char *text = mem_alloc(len + 1);

    (void)n;
    for (size_t i = 0; hex && i < len; i++)
        text[i] = (char)(hex_value((char)hex[2 * i]) << 4 | hex_value((char)hex[2 * i + 1]));
    sqlite3_result_text64(ctx, text, hex ? len : 0, free, SQLITE_UTF8);
}

int sqlite_functions_add(sqlite3 *db)
{
    return sqlite3_create_function_v2(db, "text_of_hex", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
                                      NULL, text_of_hex, NULL, NULL, NULL);
}
