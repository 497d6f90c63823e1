#include "worker/store/mongo/age.h"

#include "worker/store/mongo/db.h"

enum err mongo_renew_age(struct mongo *m, const char *collection, const struct text *names,
                         size_t n)
{
    struct db_batch b = DB_BATCH(collection);

    if (!n)
        return ERR_OK;
    b.light = true;
    DB_ADD_UPDATE(&b, .filter = doc_of("name: {$in: ?}", v_texts(names, n)),
                  .update = doc_of("$set: {updated_at: ?}", v_date(mongo_now_ms(m))), .all = true);
    return db_run(m, &b, NULL);
}
