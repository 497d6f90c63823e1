#include "worker/store/mongo/age.h"

#include "worker/store/mongo/db.h"

#include <stdlib.h>

enum err mongo_renew_age(struct mongo *m, const char *collection, const struct text *names,
                         size_t n, int64_t updated_ms)
{
    struct db_batch b = DB_BATCH(collection);
    int64_t now = mongo_now_ms(m);

    if (!n || llabs(now - updated_ms) < AGE_MS)
        return ERR_OK;
    b.light = true;
    DB_ADD_UPDATE(&b, .filter = doc_of("name: {$in: ?}", v_texts(names, n)),
                  .update = doc_of("$set: {updated_at: ?}", v_date(now)), .all = true);
    return db_run(m, &b, NULL);
}
