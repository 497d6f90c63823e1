#include "worker/request/path_name.h"

#include "worker/validation/names.h"

bool name_of_path_is_fine(struct call *c, const char *field)
{
    const char *fault = name_fault(c->request->params[0]);

    if (fault)
        reply_json(c, 422,
                   json_pack("{s:{s:{s:[s]}}, s:s}", "detail", "path", field, fault, "message",
                             "Validation error"));
    return !fault;
}
