#include "worker/web/values.h"

#include "common/buf.h"
#include "common/clock.h"
#include "worker/encoding/json_string.h"
#include "worker/validation/fieldtypes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define URL_MAX ((size_t)64 * 1024)

json_t *page_text(struct text t)
{
    json_t *value = t.s ? json_stringn(t.s, t.len) : NULL;

    return value ? value : json_null();
}

json_t *page_value(const json_t *value)
{
    if (!value || json_is_null(value))
        return json_null();
    if (json_is_string(value) || json_is_integer(value))
        return json_incref((json_t *)(uintptr_t)value);
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    json_t *shown = text ? json_string(text) : json_null();
    free(text);
    return shown;
}

json_t *page_short(const json_t *value, size_t max)
{
    json_t *whole = page_value(value);
    struct text t = json_string_text(whole);

    if (t.len <= max)
        return whole;
    while (max && ((unsigned char)t.s[max] & 0xc0) == 0x80)
        max--;
    struct buf b = BUF_INIT(max + sizeof "…");
    json_t *cut =
        !buf_add(&b, t.s, max) && !buf_printf(&b, "…") ? json_stringn(b.data, b.len) : NULL;
    buf_free(&b);
    json_decref(whole);
    return cut ? cut : json_null();
}

json_t *page_time(int64_t ms)
{
    char iso[CLOCK_TEXT_SIZE], text[CLOCK_TEXT_SIZE];

    if (!ms)
        return json_null();
    clock_rfc3339_ms(ms, iso);
    snprintf(text, sizeof text, "%.10s %.8s", iso, iso + 11);
    return json_pack("{s:s, s:s}", "iso", iso, "text", text);
}

json_t *page_time_of(const json_t *ms)
{
    return page_time(json_integer_value(ms));
}

json_t *page_date(const json_t *text)
{
    struct text t = json_string_text(text);
    int64_t ms;

    if (!t.s || !datetime_from_text(t.s, t.len, &ms))
        return json_null();
    return page_time(ms);
}

json_t *page_span(int64_t seconds)
{
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    int64_t s = seconds > 0 ? seconds : 0;
    size_t i = 0;

    while (i < 3 && s < units[i].seconds)
        i++;
    int64_t rest = i < 3 ? s % units[i].seconds / units[i + 1].seconds : 0;
    return rest ? json_sprintf("%" PRId64 " %s %" PRId64 " %s", s / units[i].seconds, units[i].name,
                               rest, units[i + 1].name)
                : json_sprintf("%" PRId64 " %s", s / units[i].seconds, units[i].name);
}

json_t *page_url(const char *before, struct text name, const char *behind)
{
    struct buf b = BUF_INIT(URL_MAX);
    enum err e = buf_printf(&b, "%s", before);

    if (!e)
        e = buf_add_percent(&b, name);
    if (!e)
        e = buf_printf(&b, "%s", behind);
    json_t *url = e ? json_null() : json_stringn(b.data, b.len);
    buf_free(&b);
    return url;
}

json_t *page_hold(const json_t *hold)
{
    return hold ? json_pack("{s:o, s:o, s:o}", "by", page_value(json_object_get(hold, "by")),
                            "reason", page_value(json_object_get(hold, "reason")), "until",
                            page_value(json_object_get(hold, "until")))
                : json_null();
}
