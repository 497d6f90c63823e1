#include "worker/http/dates.h"

#include "common/clock.h"
#include "worker/http/query.h"

bool dates_of(struct call *c, enum dates *ret)
{
    struct text asked;

    *ret = (enum dates)c->cfg->dates;
    if (c->cfg->compat == COMPAT_REFERENCE || !query_first(c->request, "dates", &asked))
        return true;
    *ret = text_is(asked, "iso") ? DATES_ISO : DATES_EXTENDED;
    if (*ret == DATES_ISO || text_is(asked, "extended"))
        return true;
    query_invalid(c, json_pack("{s:[s]}", "dates", "Must be one of: extended, iso."));
    return false;
}

void date_show(enum dates form, json_t *object, const char *key)
{
    json_t *ms = json_object_get(object, key);
    char text[CLOCK_TEXT_SIZE];

    if (!json_is_integer(ms))
        return;
    clock_rfc3339_ms(json_integer_value(ms), text);
    json_object_set_new(object, key,
                        form == DATES_ISO ? json_string(text) : json_pack("{s:s}", "$date", text));
}

json_t *date_show_created(void *form, json_t *job)
{
    date_show(*(enum dates *)form, job, "created_at");
    return job;
}
