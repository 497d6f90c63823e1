/* The list of agents, by name. */
#include "worker/encoding/json_string.h"
#include "worker/handlers/agents_view.h"
#include "worker/http/list_query.h"
#include "worker/http/query.h"

handler_fn h_agents_list;

#define LOOK_MAX 10000 /* agents that one page looks at */

static const struct list_filter filters[] = {
    {"state", true}, {"queue", false}, {"submitter", false}, {0}};

/* A page in the making. */
struct page {
    const struct list_query *q;
    json_t *states; /* owned: wanted ones; []: any */
    struct text submitter;
    struct agent_view view;
    struct listing list;
    int looked;
};

static bool has_state(const struct page *p, const json_t *agent)
{
    json_t *state;
    size_t i;

    json_array_foreach (p->states, i, state)
        if (json_equal(state, json_object_get(agent, "state")))
            return true;
    return json_array_size(p->states) == 0;
}

/* Whether the filters want an agent as it is shown. */
static bool is_wanted(const struct page *p, const json_t *agent, int64_t updated_ms)
{
    const json_t *submitter = json_object_get(agent, "submitted_by");

    return has_state(p, agent) && updated_ms >= p->q->since_ms && updated_ms < p->q->until_ms &&
           (!p->submitter.s || text_equal(p->submitter, json_string_text(submitter)));
}

static bool take(void *arg, struct text name, json_t *agent)
{
    struct page *p = arg;
    int64_t updated_ms = json_integer_value(json_object_get(agent, "updated_at"));

    if (p->looked == LOOK_MAX) {
        p->list.more = true;
        json_decref(agent);
        return false;
    }
    p->looked++;
    agent = agent_view_show(&p->view, agent);
    if (is_wanted(p, agent, updated_ms)) {
        list_query_pick(p->q, agent);
        return listing_take(&p->list, name, agent);
    }
    json_decref(agent);
    listing_skip(&p->list, name);
    return true;
}

static void answer(struct list_query *q, struct page *p)
{
    struct name_walk walk = {.after = q->after, .take = take, .arg = p};
    struct buf place = BUF_INIT(LIST_CURSOR_SIZE);

    listing_init(&p->list, q->c, q->limit);
    enum err e = agent_view_load(q->c, (struct text){NULL, 0}, &p->view);
    if (!e)
        e = store_agents_list(q->c->store, list_query_text(q, "queue"), &walk);
    if (!e && p->list.more)
        e = listing_place(&p->list, &place);
    if (e)
        reply_err(q->c, e);
    else
        list_query_reply(q, &p->list, (struct text){place.data, place.len});
    buf_free(&place);
    listing_drop(&p->list);
    agent_view_free(&p->view);
}

void h_agents_list(struct call *calls[], size_t n)
{
    struct call *c = calls[0];
    struct list_query q;

    (void)n;
    list_query_load(&q, c, filters);
    if (list_query_check(&q)) {
        struct page p = {.q = &q,
                         .states = query_array(c->request, "state"),
                         .submitter = list_query_text(&q, "submitter"),
                         .view = {.dates = DATES_ISO}};
        answer(&q, &p);
        json_decref(p.states);
    }
    list_query_free(&q);
}
