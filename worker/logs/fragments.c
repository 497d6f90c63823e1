#include "worker/logs/fragments.h"

#include <string.h>

void log_join_init(struct log_join *j, size_t room)
{
    memset(j, 0, sizeof *j);
    j->room = room;
    j->mark.number = -1;
    for (int i = 0; i < PHASE_COUNT; i++)
        j->last[i] = j->mark.last[i] = -1;
}

void log_join_free(struct log_join *j)
{
    for (int i = 0; i < PHASE_COUNT; i++)
        buf_free(&j->text[i]);
}

static void set_mark(struct log_join *j, int64_t number)
{
    j->mark.number = number;
    memcpy(j->mark.last, j->last, sizeof j->last);
    for (int i = 0; i < PHASE_COUNT; i++)
        j->mark.len[i] = j->text[i].len;
}

/* Takes back all fragments of the last number, unless there are no others. */
static void go_back(struct log_join *j)
{
    size_t before = 0;

    for (int i = 0; i < PHASE_COUNT; i++)
        before += j->mark.len[i] + (size_t)(j->mark.last[i] + 1);
    if (!before)
        return;
    for (int i = 0; i < PHASE_COUNT; i++)
        j->text[i].len = j->mark.len[i];
    memcpy(j->last, j->mark.last, sizeof j->last);
}

static bool cut(struct log_join *j, const struct log_piece *p)
{
    j->cut = true;
    j->next = p->number;
    if (j->any) {
        go_back(j);
        return false;
    }
    j->next = p->number + 1;
    j->last[p->phase] = p->number;
    j->is_there[p->phase] = true;
    json_text_add_front(&j->text[p->phase], p->text, SIZE_MAX);
    return false;
}

bool log_join_take(void *arg, const struct log_piece *p)
{
    struct log_join *j = arg;
    struct buf *b = &j->text[p->phase];
    size_t before = b->len;

    if (p->number != j->mark.number)
        set_mark(j, p->number);
    b->max = before + j->room;
    if (json_text_add(b, p->text))
        return cut(j, p);
    j->room -= b->len - before;
    j->last[p->phase] = p->number;
    j->is_there[p->phase] = true;
    j->any = true;
    return true;
}
