/* Rotation of the keys of secrets. */
#include "worker/store/mongo/vault.h"
#include "worker/store/mongo/vault_keys.h"

enum err mongo_secrets_rotate(struct store *s, int64_t *ret)
{
    struct mongo *m = mongo_of(s);

    if (!m->vault || !m->vault->db.client)
        return ERR_UNAVAILABLE;
    return mongo_vault_rotate(&m->vault->db, &m->vault->masters, ret);
}
