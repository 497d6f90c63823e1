#include "worker/store/mongo/once.h"

#include "worker/store/store.h"

bson_t *once_requests(const char *request_id)
{
    return doc_of("$slice: [{$concatArrays: [[?], {$ifNull: ['$requests', []]}]}, ?]",
                  v_str(request_id), v_int(REQUESTS_MAX));
}

bson_t *once_update(const char *request_id, bson_t *changes)
{
    return doc_of("[{$replaceWith: {$cond: [{$in: [?, {$ifNull: ['$requests', []]}]}, '$$ROOT', "
                  "{$mergeObjects: ['$$ROOT', ?, {requests: ?}]}]}}]",
                  v_str(request_id), v_own(changes), v_own(once_requests(request_id)));
}

bool once_knows(const bson_t *doc, const char *request_id)
{
    bson_iter_t list;
    uint32_t len;

    if (!doc_list(doc, "requests", &list))
        return false;
    while (bson_iter_next(&list))
        if (BSON_ITER_HOLDS_UTF8(&list) && strcmp(bson_iter_utf8(&list, &len), request_id) == 0)
            return true;
    return false;
}
