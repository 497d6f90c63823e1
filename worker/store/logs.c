#include "worker/store/logs.h"

#include "common/mem.h"

const char *const output_type_names[OUTPUT_TYPES] = {
    [OUTPUT_OUTPUT] = "output", [OUTPUT_SERIAL] = "serial"};

void live_output_change(struct live_output *l, struct text state, int64_t at_ms)
{
    if (l->changes_len < HISTORY_MAX)
        l->changes[l->changes_len++] = (struct phase_change){phase_of_state(state), at_ms};
}

bool live_output_give(struct live_output *l, struct text text, int64_t at_ms)
{
    struct log_piece piece = {.phase = phase_at(l->changes, l->changes_len, at_ms),
                              .number = l->number++,
                              .at_ms = at_ms,
                              .text = text};

    return l->take(l->arg, &piece);
}

/* Other programs write the database, too: their texts are passed on as they are. */
void live_entry_add(json_t *entries, struct text text)
{
    mem_check(json_array_append_new(entries,
                                    json_stringn_nocheck(text.len ? text.s : "", text.len)) == 0);
}
