/* Clients, restricted queues, refresh tokens, failed logins, the signing key, the audit trail. */
#include "tests/store/suite.h"

#include <stdio.h>
#include <stdlib.h>

#define HOUR_MS ((int64_t)3600 * 1000)

static enum err change(struct store *s, const char *id, const char *fields, struct client_put *p)
{
    json_t *values = json_of(fields);

    p->client_id = text_of(id);
    p->fields = values;
    enum err e = store_client_put(s, p);
    json_decref(values);
    return e;
}

static void make_client(struct store *s, char out[ID_SIZE])
{
    struct client_put p = {.create = true};

    new_id(out);
    assert_int_equal(change(s, out, "{'role': 'agent', 'max_priority': {}}", &p), ERR_OK);
}

static void assert_member(struct store *s, const char *id, const char *field, const char *value)
{
    json_t *doc;

    assert_int_equal(store_client_get(s, text_of(id), &doc), ERR_OK);
    if (value)
        assert_json(json_object_get(doc, field), value);
    else
        assert_null(json_object_get(doc, field));
    json_decref(doc);
}

static void test_clients(void **state)
{
    struct stores *t = *state;
    struct client_put again = {.create = true}, next = {.ends_tokens = true};
    char id[ID_SIZE];
    int64_t ended = -1;
    size_t i, found = 0;
    json_t *all, *doc;

    new_id(id);
    assert_int_equal(store_client_get(t->a, text_of(id), &doc), ERR_NOT_FOUND);
    assert_int_equal(change(t->a, id, "{'role': 'admin'}", &next), ERR_NOT_FOUND);
    make_client(t->a, id);
    assert_int_equal(change(t->b, id, "{'role': 'admin'}", &again), ERR_CONFLICT);
    assert_member(t->b, id, "role", "'agent'");

    json_t *other = json_string("manager"), *role = json_string("agent");
    next.role = other;
    assert_int_equal(change(t->b, id, "{'role': 'admin'}", &next), ERR_CONFLICT);
    next.role = role;
    assert_int_equal(change(t->b, id, "{'role': 'admin', 'max_priority': null}", &next), ERR_OK);
    json_decref(other);
    json_decref(role);
    assert_int_equal(next.ended, 0);
    assert_member(t->a, id, "role", "'admin'");
    assert_member(t->a, id, "max_priority", NULL);

    assert_int_equal(store_clients_list(t->a, &all), ERR_OK);
    json_array_foreach (all, i, doc) {
        const char *name = json_string_value(json_object_get(doc, "client_id"));
        found += name && strcmp(name, id) == 0;
    }
    json_decref(all);
    assert_int_equal(found, 1);

    assert_int_equal(store_client_delete(t->b, text_of(id), &ended), ERR_OK);
    assert_int_equal(ended, 0);
    assert_int_equal(store_client_delete(t->a, text_of(id), &ended), ERR_NOT_FOUND);
    assert_int_equal(store_client_get(t->a, text_of(id), &doc), ERR_NOT_FOUND);
}

static void assert_owners(struct store *s, const char *queue, const char *client)
{
    char text[256];
    json_t *list = NULL;

    snprintf(text, sizeof text, "[{'queue': '%s', 'owners': ['%s']}]", queue, client);
    assert_int_equal(store_restricted_list(s, text_of(queue), &list), ERR_OK);
    assert_json(list, text);
    json_decref(list);
}

static void test_restricted(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], client[ID_SIZE], nobody[ID_SIZE];
    json_t *list;

    new_id(queue);
    new_id(nobody);
    make_client(t->a, client);
    assert_int_equal(store_queue_restrict(t->a, text_of(queue), text_of(nobody)), ERR_NOT_FOUND);
    assert_int_equal(store_restricted_list(t->a, text_of(queue), &list), ERR_NOT_FOUND);
    for (int i = 0; i < 2; i++) /* a repeat changes nothing */
        assert_int_equal(store_queue_restrict(t->a, text_of(queue), text_of(client)), ERR_OK);
    assert_owners(t->b, queue, client);
    assert_int_equal(store_queue_unrestrict(t->b, text_of(queue), text_of(client)), ERR_OK);
    assert_int_equal(store_restricted_list(t->a, text_of(queue), &list), ERR_NOT_FOUND);
    assert_int_equal(store_queue_unrestrict(t->a, text_of(queue), text_of(client)), ERR_NOT_FOUND);
}

/* A refresh token as a client has it. */
struct token {
    char digest[2 * ID_SIZE];
};

/* `family` NULL: the first of one. */
static struct refresh_new token_of(struct token *t, const char *client, const char *family)
{
    char a[ID_SIZE], b[ID_SIZE];

    new_id(a);
    new_id(b);
    snprintf(t->digest, sizeof t->digest, "%.32s%.32s", a, b);
    return (struct refresh_new){
        .client_id = text_of(client),
        .digest = t->digest,
        .binding = "binding",
        .family = family,
        .issued_ms = now_ms(),
        .expires_ms = now_ms() + HOUR_MS,
    };
}

static enum err find(struct store *s, const struct token *t, struct refresh_found *ret)
{
    struct refresh_key key = {text_of("no token is stored as it is"), t->digest};

    return store_refresh_find(s, &key, ret);
}

/* Finds it without keeping the client's id. */
static struct refresh_found found(struct store *s, const struct token *t)
{
    struct refresh_found f;

    assert_int_equal(find(s, t, &f), ERR_OK);
    json_decref(f.client_id);
    return f;
}

static size_t count_valid(struct store *s, const struct refresh_page *page)
{
    json_t *list = NULL;

    assert_int_equal(store_refresh_valid(s, page, &list), ERR_OK);
    size_t n = json_array_size(list);
    json_decref(list);
    return n;
}

static void test_refresh_tokens(void **state)
{
    struct stores *t = *state;
    struct token token;
    struct refresh_found f;
    char client[ID_SIZE], quoted[64];
    int64_t ended = 0;
    bool first;
    json_t *list;

    make_client(t->a, client);
    struct refresh_new new = token_of(&token, client, NULL);
    assert_int_equal(find(t->a, &token, &f), ERR_NOT_FOUND);
    assert_int_equal(store_refresh_add(t->a, &new), ERR_OK);
    assert_int_equal(find(t->b, &token, &f), ERR_OK);
    snprintf(quoted, sizeof quoted, "'%s'", client);
    assert_json(f.client_id, quoted);
    json_decref(f.client_id);
    assert_false(f.revoked);
    assert_int_equal(f.issued_ms / 1000, new.issued_ms / 1000);
    assert_int_equal(f.expires_ms / 1000, new.expires_ms / 1000);
    assert_string_equal(f.binding, "binding");
    assert_false(f.web);
    assert_int_equal(store_refresh_touch(t->b, f.id, now_ms() + HOUR_MS, 0), ERR_OK);
    assert_int_equal(found(t->a, &token).expires_ms, f.expires_ms);

    assert_int_equal(store_refresh_list(t->b, text_of(client), &list), ERR_OK);
    assert_int_equal(json_array_size(list), 1);
    json_t *one = json_array_get(list, 0);
    assert_true(json_is_false(json_object_get(one, "revoked")));
    assert_string_not_equal(json_string_value(json_object_get(one, "last_accessed")),
                            json_string_value(json_object_get(one, "issued_at")));
    json_decref(list);

    struct refresh_page page = {.client_id = text_of(client), .now_ms = now_ms(), .limit = 10};
    assert_int_equal(count_valid(t->b, &page), 1);
    page.id = f.id;
    assert_int_equal(count_valid(t->b, &page), 1);
    page.id = NULL;
    page.before = f.id;
    assert_int_equal(count_valid(t->b, &page), 0);
    page.before = "nothing";
    assert_int_equal(count_valid(t->b, &page), 0);
    page.before = NULL;
    page.now_ms = f.expires_ms;
    assert_int_equal(count_valid(t->b, &page), 0);
    page.now_ms = now_ms();

    assert_int_equal(store_refresh_revoke(t->a, f.id, &first), ERR_OK);
    assert_true(first);
    assert_int_equal(count_valid(t->b, &page), 0);
    assert_int_equal(store_refresh_revoke(t->b, f.id, &first), ERR_OK);
    assert_false(first);
    assert_true(found(t->b, &token).revoked);

    new = token_of(&token, client, NULL); /* one that ends with its client */
    assert_int_equal(store_refresh_add(t->a, &new), ERR_OK);
    assert_int_equal(store_client_delete(t->a, text_of(client), &ended), ERR_OK);
    assert_int_equal(ended, 1);
}

static void test_sessions(void **state)
{
    struct stores *t = *state;
    struct token token;
    char client[ID_SIZE];
    json_t *list;

    new_id(client);
    struct refresh_new new = token_of(&token, client, NULL);
    new.web = true;
    assert_int_equal(store_refresh_add(t->a, &new), ERR_OK);
    struct refresh_found f = found(t->b, &token);
    assert_true(f.web);
    int64_t later_ms = f.expires_ms + HOUR_MS;
    assert_int_equal(store_refresh_touch(t->a, f.id, now_ms(), later_ms), ERR_OK);
    assert_int_equal(found(t->b, &token).expires_ms, later_ms);
    assert_int_equal(store_refresh_list(t->b, text_of(client), &list), ERR_OK);
    assert_json(json_object_get(json_array_get(list, 0), "kind"), "'web'");
    json_decref(list);
}

static enum refresh_rotated rotate_by(struct store *s, const char *request, const struct token *old,
                                      struct token *next, int64_t later_ms)
{
    struct refresh_found f = found(s, old);
    struct refresh_rotation r = {.id = f.id,
                                 .request_id = request,
                                 .now_ms = now_ms() + later_ms,
                                 .grace_ms = 10000,
                                 .next = token_of(next, "a client", f.family)};
    enum refresh_rotated ret = REFRESH_REVOKED;

    assert_int_equal(store_refresh_rotate(s, &r, &ret), ERR_OK);
    return ret;
}

static enum refresh_rotated rotate(struct store *s, const struct token *old, struct token *next,
                                   int64_t later_ms)
{
    char request[ID_SIZE];

    new_id(request);
    return rotate_by(s, request, old, next, later_ms);
}

/* However late: it is no other use of the token, so that its family goes on. */
static void test_repeated_rotation(void **state)
{
    struct stores *t = *state;
    struct token first, next;
    char request[ID_SIZE];

    new_id(request);
    struct refresh_new new = token_of(&first, "a client", NULL);
    assert_int_equal(store_refresh_add(t->a, &new), ERR_OK);
    assert_int_equal(rotate_by(t->a, request, &first, &next, 0), REFRESH_NEXT);
    assert_int_equal(rotate_by(t->b, request, &first, &next, HOUR_MS), REFRESH_NEXT);
    assert_int_equal(rotate(t->b, &first, &next, HOUR_MS), REFRESH_REUSED);
}

static void test_rotation(void **state)
{
    struct stores *t = *state;
    struct token first, second, third, none;
    struct refresh_found f;
    int64_t ended = 0;

    struct refresh_new new = token_of(&first, "a client", NULL);
    assert_int_equal(store_refresh_add(t->a, &new), ERR_OK);
    assert_int_equal(rotate(t->a, &first, &second, 0), REFRESH_NEXT);
    assert_string_equal(found(t->b, &first).family, found(t->b, &second).family);
    assert_int_equal(rotate(t->b, &first, &third, 1000), REFRESH_NEXT); /* within the grace time */
    assert_int_equal(rotate(t->a, &first, &none, HOUR_MS), REFRESH_REUSED);
    assert_int_equal(find(t->a, &none, &f), ERR_NOT_FOUND);

    char family[REFRESH_FAMILY_SIZE];
    snprintf(family, sizeof family, "%s", found(t->a, &second).family);
    assert_int_equal(store_refresh_revoke_family(t->b, family, &ended), ERR_OK);
    assert_true(ended >= 2);
    assert_true(found(t->a, &second).revoked && found(t->a, &third).revoked);
    assert_int_equal(store_refresh_revoke_family(t->a, family, &ended), ERR_OK);
    assert_int_equal(ended, 0);
    assert_int_equal(rotate(t->a, &second, &none, 0), REFRESH_REVOKED);
    assert_int_equal(find(t->a, &none, &f), ERR_NOT_FOUND);
}

static int64_t count_at(struct store *s, const char *key, int64_t at_ms)
{
    struct login_count count = {.count = -1};

    snprintf(count.key, sizeof count.key, "%s", key);
    assert_int_equal(store_login_counts(s, &count, 1, at_ms), ERR_OK);
    return count.count;
}

static void test_logins(void **state)
{
    struct stores *t = *state;
    struct login_count c = {.count = 0};
    int64_t now = now_ms();

    new_id(c.key);
    assert_int_equal(count_at(t->a, c.key, now), 0);
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(store_login_failed(i % 2 ? t->a : t->b, &c, now, HOUR_MS), ERR_OK);
        assert_int_equal(c.count, i);
        assert_int_equal(c.until_ms, now + HOUR_MS);
    }
    assert_int_equal(count_at(t->a, c.key, now + HOUR_MS - 1), 2);
    assert_int_equal(count_at(t->b, c.key, now + HOUR_MS + 1), 0);
    assert_int_equal(store_login_failed(t->a, &c, now + 2 * HOUR_MS, HOUR_MS), ERR_OK);
    assert_int_equal(c.count, 1); /* of a new window */
    assert_int_equal(store_login_failed(t->a, &c, now, HOUR_MS), ERR_OK);
    assert_int_equal(c.count, 1); /* the clock was set back */
    assert_int_equal(c.until_ms, now + HOUR_MS);
    assert_int_equal(store_login_forget(t->b, c.key), ERR_OK);
    assert_int_equal(count_at(t->a, c.key, now), 0);

    c.count = 7;
    c.until_ms = now + HOUR_MS;
    assert_int_equal(store_login_trust(t->a, &c, now), ERR_OK);
    assert_int_equal(count_at(t->b, c.key, now), 7);
    assert_int_equal(store_login_forget(t->a, c.key), ERR_OK);
}

static void test_signing_key(void **state)
{
    struct stores *t = *state;
    char first[SIGNING_KEY_SIZE], second[SIGNING_KEY_SIZE];
    char *proposed = long_text('a', SIGNING_KEY_SIZE - 1);
    char *late = long_text('b', SIGNING_KEY_SIZE - 1);

    assert_int_equal(store_signing_key(t->a, proposed, first), ERR_OK);
    assert_int_equal(store_signing_key(t->b, late, second), ERR_OK);
    assert_string_equal(first, second);
    assert_string_not_equal(second, late);
    free(proposed);
    free(late);
}

static size_t entries(struct store *s, const char *actor, const char *before)
{
    struct audit_query q = {.before = before, .actor = text_of(actor), .limit = 10};
    json_t *list;

    assert_int_equal(store_audit_list(s, &q, &list), ERR_OK);
    size_t n = json_array_size(list);
    json_decref(list);
    return n;
}

static void test_audit(void **state)
{
    struct stores *t = *state;
    char actor[ID_SIZE];
    struct audit_entry e = {
        .at_ms = now_ms(), .role = "admin", .action = "client.create", .target = text_of("x")};

    new_id(actor);
    e.actor = text_of(actor);
    for (int i = 0; i < 2; i++) {
        snprintf(e.id, sizeof e.id, "%014lld-%d-%s", (long long)e.at_ms, i, actor);
        assert_int_equal(store_audit_add(t->a, &e), ERR_OK);
        assert_int_equal(store_audit_add(t->b, &e), ERR_OK); /* a repeat adds nothing */
    }
    char action[AUDIT_ACTION_SIZE];
    assert_int_equal(store_audit_find(t->b, e.id, action), ERR_OK);
    assert_string_equal(action, "client.create");
    assert_int_equal(store_audit_find(t->b, "none", action), ERR_NOT_FOUND);
    assert_int_equal(entries(t->b, actor, NULL), 2);
    assert_int_equal(entries(t->b, actor, e.id), 1);
}

static void test_submitter(void **state)
{
    struct stores *t = *state;
    char queue[ID_SIZE], id[ID_SIZE], nothing[ID_SIZE];
    json_t *who;

    new_id(queue);
    new_id(id);
    new_id(nothing);
    struct job_new job = {.asked = asked_now(id), .job_id = id, .submitter = text_of("a client")};
    job.data = json_pack("{s:s}", "job_queue", queue);
    assert_int_equal(store_jobs_add(t->a, &job, 1), ERR_OK);
    json_decref(job.data);
    assert_int_equal(store_job_submitter(t->b, text_of(id), &who), ERR_OK);
    assert_json(who, "'a client'");
    json_decref(who);
    add_job(t->a, queue, NULL, id);
    assert_int_equal(store_job_submitter(t->b, text_of(id), &who), ERR_OK);
    assert_null(who);
    assert_int_equal(store_job_submitter(t->b, text_of(nothing), &who), ERR_NOT_FOUND);
}

const struct CMUnitTest auth_suite[] = {
    cmocka_unit_test(test_clients),        cmocka_unit_test(test_restricted),
    cmocka_unit_test(test_refresh_tokens), cmocka_unit_test(test_sessions),
    cmocka_unit_test(test_rotation),       cmocka_unit_test(test_repeated_rotation),
    cmocka_unit_test(test_logins),         cmocka_unit_test(test_signing_key),
    cmocka_unit_test(test_audit),          cmocka_unit_test(test_submitter),
};
SUITE_LEN(auth);
