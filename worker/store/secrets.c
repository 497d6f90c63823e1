#include "worker/store/secrets.h"

#include "common/log.h"
#include "common/mem.h"

void secret_count(struct secret_take *t, struct secret_read *read)
{
    if (!read->value)
        return;
    if (read->len <= SECRETS_BYTES_MAX - t->bytes) {
        t->bytes += read->len;
        return;
    }
    log_warn("job %.*s gets no value of %.*s: its secrets are more than %d bytes together; name "
             "fewer in one job",
             (int)t->job_id.len, t->job_id.s, (int)read->path.len, read->path.s, SECRETS_BYTES_MAX);
    mem_wipe(read->value);
    read->value = NULL;
}
