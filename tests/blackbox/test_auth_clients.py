"""Restricted queues, client permissions, the audit trail."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

import auth
from auth import as_role, bearer, events, payload, secret
from client import MISSING, NULL, UNKNOWN, Api, expect, invalid, message
from storage import storage_of

NO_CLIENT = message("Error: Specified client_id does not exist.")
NOT_RESTRICTED = message("Error: Restricted queue not found.")
ADMIN, MANAGER = as_role("admin", "the-admin"), as_role("manager", "the-manager")


@pytest.fixture(scope="module")
def api(roles_server):
    return Api(roles_server.url)


@pytest.fixture
def queue(api):
    """A queue that an agent serves."""
    queue = f"q-{uuid.uuid4().hex[:12]}"
    expect(api.post(f"/v1/agents/data/agent-of-{queue}", {"queues": [queue]}, headers=as_role("agent")), 200)
    return queue


def put(api, name, body, headers=ADMIN):
    return api.request("PUT", f"/v1/client-permissions/{name}", json=body, headers=headers)


def delete(api, name, headers=ADMIN):
    return api.request("DELETE", f"/v1/client-permissions/{name}", headers=headers)


def shown(api, name):
    return expect(api.get(f"/v1/client-permissions/{name}", headers=MANAGER), 200).json()


def restrict(api, queue, client_id, headers=MANAGER):
    return api.post(f"/v1/restricted-queues/{queue}", {"client_id": client_id}, headers=headers)


def unrestrict(api, queue, client_id, headers=MANAGER):
    return api.request("DELETE", f"/v1/restricted-queues/{queue}", json={"client_id": client_id}, headers=headers)


def since(stack, before, start):
    """Events of one kind that came after the first `before` ones."""
    return [e for e in events(stack)[before:] if e["event"].startswith(start)]


# Restricted queues


def test_restricting(api, admin, queue, name):
    other = name + "-2"
    for one in (name, other):
        admin.create(one, "its-own-secret-key")
    expect(api.get(f"/v1/restricted-queues/{queue}"), 404, NOT_RESTRICTED)
    expect(restrict(api, queue, name), 200, "OK")
    expect(restrict(api, queue, name), 200, "OK")
    expect(api.get(f"/v1/restricted-queues/{queue}"), 200, {"queue": queue, "owners": [name]})
    expect(restrict(api, queue, other), 200, "OK")
    listed = {e["queue"]: sorted(e["owners"]) for e in expect(api.get("/v1/restricted-queues"), 200).json()}
    assert listed[queue] == [name, other]
    assert shown(api, name)["allowed_queues"] == [queue]
    expect(unrestrict(api, queue, name), 200, "OK")
    expect(api.get(f"/v1/restricted-queues/{queue}"), 200, {"queue": queue, "owners": [other]})
    expect(unrestrict(api, queue, "nobody"), 200, "OK")
    expect(api.get(f"/v1/restricted-queues/{queue}"), 200, {"queue": queue, "owners": [other]})
    expect(unrestrict(api, queue, other), 200, "OK")
    expect(api.get(f"/v1/restricted-queues/{queue}"), 404, NOT_RESTRICTED)
    expect(unrestrict(api, queue, other), 404, NOT_RESTRICTED)
    assert shown(api, other)["allowed_queues"] == []


def test_restricting_counts_at_once(api, admin, queue, name):
    who = admin.create(name, "its-own-secret-key")
    expect(api.post("/v1/job", {"job_queue": queue}), 200)
    expect(restrict(api, queue, name), 200)
    expect(api.post("/v1/job", {"job_queue": queue}), 401)
    headers = bearer(auth.login(api, who)["access_token"])
    expect(api.post("/v1/job", {"job_queue": queue}, headers=headers), 200)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_faults_of_restricting(api, admin, queue, name, method):
    def call(body, where=queue):
        return api.request(method, f"/v1/restricted-queues/{where}", json=body, headers=MANAGER)

    expect(call({}), 422, invalid({"client_id": [MISSING]}))
    expect(call({"client_id": None}), 422, invalid({"client_id": [NULL]}))
    expect(call({"client_id": 5, "x": 1}), 422, invalid({"client_id": ["Not a valid string."], "x": [UNKNOWN]}))
    if method == "DELETE":
        for body in ({"client_id": ""}, {"client_id": "nobody"}):
            expect(call(body), 404, NOT_RESTRICTED)
        admin.create(name, "its-own-secret-key", "contributor", "--allow", queue)
        expect(call({"client_id": ""}), 400, message("Error: Missing client ID."))
        return
    expect(call({"client_id": ""}), 400, message("Error: Missing client ID."))
    expect(call({"client_id": "nobody"}), 404, NO_CLIENT)
    expect(call({"client_id": "nobody"}, "no-queue"), 404, NO_CLIENT)
    admin.create(name, "its-own-secret-key")
    expect(call({"client_id": name}, "no-queue"), 404,
           message("Error: No agent is associated with the specified queue."))


@pytest.mark.parametrize("odd", ["a%20b", "caf%C3%A9", "%24where", "a.b", "a%22b"])
def test_odd_names_of_queues(api, admin, name, odd):
    from urllib.parse import unquote

    queue = f"{name}{odd}"
    expect(api.post("/v1/agents/data/odd", {"queues": [unquote(queue)]}, headers=as_role("agent")), 200)
    admin.create(name, "its-own-secret-key")
    expect(restrict(api, queue, name), 200)
    expect(api.get(f"/v1/restricted-queues/{queue}"), 200, {"queue": unquote(queue), "owners": [name]})
    expect(unrestrict(api, queue, name), 200)


def test_owners_at_a_time(api, admin, queue, name):
    """Owners are added and removed at once: a queue with an owner is restricted, one without is not."""
    owners = [f"{name}-{i}" for i in range(4)]
    for owner in owners:
        admin.create(owner, "its-own-secret-key")

    def flap(owner):
        one = Api(api.url)
        for _ in range(8):
            expect(restrict(one, queue, owner), 200)
            assert unrestrict(one, queue, owner).status_code in (200, 404)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(flap, owners))
    expect(api.get(f"/v1/restricted-queues/{queue}"), 404)
    assert all(shown(api, owner)["allowed_queues"] == [] for owner in owners)


# Client permissions


def test_a_client_from_first_to_last(api, roles_server, name):
    before, key = len(events(roles_server)), secret("the-key-of-a-new-client")
    body = {"client_secret": key, "max_priority": {"*": 5, "lab": "7"}, "role": "agent", "email": "a@b.example.com",
            "max_reservation_time": {"lab": 30000.7}}
    expect(put(api, name, body), 200, f"Created permissions for client '{name}'")
    assert shown(api, name) == {"client_id": name, "max_priority": {"*": 5, "lab": 7}, "allowed_queues": [],
                                "max_reservation_time": {"lab": 30000}, "role": "agent", "email": "a@b.example.com"}
    assert shown(api, name) in expect(api.get("/v1/client-permissions", headers=MANAGER), 200).json()
    expect(put(api, name, {"role": "contributor"}), 200, f"Updated permissions for client '{name}'")
    assert shown(api, name)["role"] == "contributor" and shown(api, name)["max_priority"] == {"*": 5, "lab": 7}
    expect(put(api, name, {"max_priority": {}}), 200)
    assert shown(api, name)["max_priority"] == {}
    assert payload(auth.login(api, (name, key))["access_token"])["permissions"]["role"] == "contributor"
    new = secret("another-key-of-this-client")
    expect(put(api, name, {"client_secret": new}), 200)
    expect(api.post("/v1/oauth2/token", auth=(name, key)), 401)
    auth.login(api, (name, new))
    expect(put(api, name, {}), 200, f"Updated permissions for client '{name}'")
    expect(delete(api, name), 200, "OK")
    expect(delete(api, name), 404, NO_CLIENT)
    expect(api.get(f"/v1/client-permissions/{name}", headers=MANAGER), 404, NO_CLIENT)
    expect(api.post("/v1/oauth2/token", auth=(name, new)), 401)
    found = [e["event"] for e in since(roles_server, before, "user_")]
    full = 'max_priority={"*":5,"lab":7},allowed_queues=[],max_reservation_time={"lab":30000}'
    less = f"user_updated:the-admin,{name},role=contributor," + full.replace('"*":5,"lab":7', "")
    assert found == [
        f"user_created:the-admin,{name},role=agent,{full}", f"user_updated:the-admin,{name},role=contributor,{full}",
        less, less, less, f"user_deleted:the-admin,{name}", f"user_deleted:the-admin,{name}"]


def test_defaults(api, name):
    expect(put(api, name, {"client_secret": secret("k" * 15)}), 200)
    assert shown(api, name) == {"client_id": name, "max_priority": {}, "allowed_queues": [],
                                "max_reservation_time": {}, "role": "contributor"}


@pytest.mark.alike
@pytest.mark.parametrize("body, errors", [
    ({"client_secret": "k" * 14}, {"client_secret": ["Shorter than minimum length 15."]}),
    ({"client_secret": None, "role": None, "email": None, "max_priority": None, "max_reservation_time": None},
     {field: [NULL] for field in ("client_secret", "max_priority", "max_reservation_time", "role", "email")}),
    ({"role": "root"}, {"role": ["Must be one of: admin, manager, contributor, agent."]}),
    ({"role": 5, "client_secret": 5}, {"client_secret": ["Not a valid string."], "role": ["Not a valid string."]}),
    ({"max_priority": []}, {"max_priority": ["Not a valid mapping type."]}),
    ({"max_priority": {"a": "x", "b": True}},
     {"max_priority": {"a": {"value": ["Not a valid integer."]}, "b": {"value": ["Not a valid integer."]}}}),
    ({"email": "nobody"}, {"email": ["Not a valid email address."]}),
    ({"allowed_queues": [], "client_id": "x"}, {"allowed_queues": [UNKNOWN], "client_id": [UNKNOWN]}),
    ({"client_secret_hash": "x", "_id": 1, "sub": "x"},
     {"client_secret_hash": [UNKNOWN], "_id": [UNKNOWN], "sub": [UNKNOWN]}),
    ([], {"_schema": ["Invalid input type."]}),
], ids=str)
def test_faults_of_clients(api, name, body, errors):
    expect(put(api, name, body), 422, invalid(errors))
    expect(api.get(f"/v1/client-permissions/{name}", headers=MANAGER), 404)


def test_a_new_client_needs_a_secret(api, name):
    expect(put(api, name, {"role": "agent"}), 400,
           message("Error: Missing client_secret in request body for new client"))
    expect(put(api, name, {}), 400)
    assert put(api, name, {"client_secret": "long-enough-but\0"}).status_code == 422


def test_the_system_admin(api, roles_server, admin):
    """Only the admin tool touches it."""
    before = len(events(roles_server))
    admin.good("clients", "init", "--secret-stdin", text=secret("the-key-of-the-system-admin"))
    for body in ({}, {"client_secret": "x" * 20}, {"role": "agent"}):
        expect(put(api, "testflinger-admin", body), 422,
               message("Error: System admin client cannot by modified from API."))
    expect(delete(api, "testflinger-admin"), 422, message("Error: System admin client cannot by deleted from API."))
    expect(put(api, "testflinger-admin", {"x": 1}), 422, invalid({"x": [UNKNOWN]}))
    assert shown(api, "testflinger-admin")["role"] == "admin"
    assert len(since(roles_server, before, "authz_admin:the-admin,")) == 4
    assert len(since(roles_server, before, "user_deleted:the-admin,testflinger-admin")) == 1


@pytest.mark.parametrize("caller", ["admin", "manager"])
@pytest.mark.parametrize("role", auth.ROLES)
def test_who_may_change_whom(api, roles_server, admin, name, caller, role):
    headers, may = as_role(caller, "me"), caller == "admin" or role != "admin"
    before = len(events(roles_server))
    admin.create(name, "its-own-secret-key", role)
    expect(put(api, name, {"max_priority": {"a": 1}}, headers), 200 if may else 403,
           f"Updated permissions for client '{name}'" if may else
           message(f"me has insufficient permissions to modify client '{name}'"))
    for client, body in ((name + "-2", {"role": role, "client_secret": secret("k" * 16)}),
                         (name if may else name + "-3", {"role": role, "client_secret": secret("l" * 16)})):
        expect(put(api, client, body, headers), 200 if may else 403, None if may else
               message(f"me has insufficient permissions to assign role '{role}' to client '{client}'"))
    assert len(since(roles_server, before, "authz_fail:me,/v1/client-permissions/")) == (0 if may else 3)
    expect(delete(api, name, headers), 200 if caller == "admin" else 403)


def test_new_role_above_the_callers(api, admin, name):
    admin.create(name, "its-own-secret-key", "agent")
    expect(put(api, name, {"role": "admin"}, MANAGER), 403,
           message(f"the-manager has insufficient permissions to assign role 'admin' to client '{name}'"))
    assert shown(api, name)["role"] == "agent"


@pytest.mark.parametrize("odd", ["a%20b", "caf%C3%A9", "%24where", "a.b%22;%5C", "x" * 256])
def test_odd_client_ids(api, roles_server, odd):
    expect(put(api, odd, {"client_secret": secret("an-odd-clients-key")}), 200)
    expect(api.get(f"/v1/client-permissions/{odd}", headers=ADMIN), 200)
    expect(delete(api, odd), 200)
    assert all(len(line) < 4096 for line in roles_server.log().splitlines())


def test_odd_names_in_permissions(api, name):
    numbers = {"a.b": 1, "*": 2, "caf\u00e9": 3, " ": 4}
    expect(put(api, name, {"client_secret": secret("k" * 15), "max_priority": numbers}), 200)
    assert shown(api, name)["max_priority"] == numbers


def test_changes_at_a_time(api, name):
    """Two parallel calls create or change one client: one creates it, and no field is lost."""
    def change(i):
        return put(Api(api.url), name, {"client_secret": secret("k" * 20), "max_priority": {"a": i}}).text

    with ThreadPoolExecutor(6) as pool:
        texts = sorted(pool.map(change, range(12)))
    assert texts == [f"Created permissions for client '{name}'"] + [f"Updated permissions for client '{name}'"] * 11


@pytest.mark.stores("mongodb")
def test_clients_of_openid(api, roles_server, name):
    """They have no secret here, and their e-mail address is not ours to change."""
    db = storage_of(roles_server).db
    from storage import now

    db.client_permissions.insert_one({"client_id": name, "sub": "abc", "name": "A B", "created_at": now(),
                                      "last_login": now(), "role": "contributor"})
    refusal = message("Error: Cannot add email or client secret to OIDC client id")
    expect(put(api, name, {"email": "a@b.example.com"}), 422, refusal)
    expect(put(api, name, {"client_secret": "k" * 15}), 422, refusal)
    expect(put(api, name, {"role": "manager"}), 200)
    assert shown(api, name) == {"client_id": name, "max_priority": {}, "allowed_queues": [],
                                "max_reservation_time": {}, "role": "manager"}
    expect(api.post("/v1/oauth2/token", auth=(name, "k" * 15)), 401)


def test_many_clients(private, store_uri):
    """A list of any length is returned whole."""
    stack = private("--auth", "roles", env=auth.ENV)
    names = sorted(f"c{i:04}" for i in range(1203))
    if stack.store.startswith("mongodb"):
        storage_of(stack).db.client_permissions.insert_many(
            [{"client_id": n, "role": "agent", "allowed_queues": ["all"]} for n in names])
        storage_of(stack).restrict("all")
    else:
        import sqlite3

        with sqlite3.connect(stack.store.removeprefix("sqlite:")) as db:
            db.executemany("INSERT INTO clients (client_id, fields) VALUES (?, '{\"role\":\"agent\",\"allowed_queues\":[\"all\"]}')",
                           [(n,) for n in names])
            db.executemany("INSERT INTO client_queues VALUES ('all', ?)", [(n,) for n in names])
            db.execute("INSERT INTO restricted_queues VALUES ('all')")
    api = Api(stack.url)
    listed = [c["client_id"] for c in expect(api.get("/v1/client-permissions", headers=ADMIN), 200).json()]
    assert [c for c in listed if c not in auth.KNOWN] == names
    assert expect(api.get("/v1/restricted-queues/all"), 200).json()["owners"] == names


# The audit trail


def entries(api, **query):
    return expect(api.get("/v1/audit", params=query, headers=ADMIN), 200).json()


def test_audit(api, admin, name, queue):
    """Who did what to whom, from where, and by which request."""
    admin.create(name, "its-own-secret-key")
    job = expect(api.post("/v1/job", {"job_queue": queue}), 200).json()["job_id"]
    expect(api.post(f"/v1/job/{job}/action", {"action": "cancel"}, headers=as_role("contributor", "me")), 200)
    expect(api.post(f"/v1/job/{job}/action", {"action": "cancel"}, headers=as_role("contributor", "me")), 400)
    (entry,) = entries(api, target=job)
    assert {k: entry[k] for k in ("actor", "role", "action", "target", "address")} == {
        "actor": "me", "role": "contributor", "action": "job.cancel", "target": job, "address": "127.0.0.1"}
    assert abs(time.time() - time.mktime(time.strptime(entry["at"], "%Y-%m-%dT%H:%M:%SZ")) + time.timezone) < 60
    expect(api.post(f"/v1/agents/data/{name}", {"state": "offline", "comment": "for a while"}, headers=MANAGER), 200)
    expect(api.post(f"/v1/agents/data/{name}", {"state": "waiting"}, headers=as_role("agent")), 200)
    expect(put(api, name, {"role": "agent", "client_secret": secret("some-other-key-of-it")}), 200)
    expect(restrict(api, queue, name), 200)
    expect(unrestrict(api, queue, name), 200)
    refresh = {"refresh_token": auth.login(api, (name, "some-other-key-of-it"))["refresh_token"]}
    expect(api.post("/v1/oauth2/revoke", refresh, headers=ADMIN), 200)
    expect(delete(api, name), 200)
    found = {e["action"]: e for e in entries(api, limit=1000) if name in str(e) or queue == e.get("target")}
    assert found["agent.update"]["detail"] == {"state": "offline", "comment": "for a while"}
    assert found["client.update"]["detail"] == {"fields": ["client_secret", "role"]}
    assert found["queue.restrict"]["detail"] == {"client_id": name}
    assert set(found) == {"agent.update", "client.create", "client.update", "client.delete", "queue.restrict",
                          "queue.unrestrict", "token.revoke"}
    assert found["client.create"]["actor"].startswith("testflinger-admin:")
    assert not any(s in str(found) for s in (refresh["refresh_token"], "some-other-key-of-it", "its-own-secret-key"))


def test_audit_pages(api, name):
    for i in range(7):
        expect(api.post(f"/v1/agents/data/{name}", {"state": str(i)}, headers=MANAGER), 200)
    whole = entries(api, target=name)
    assert [e["detail"]["state"] for e in whole] == list("6543210")
    pages, before = [], {}
    while page := entries(api, target=name, limit=3, **before):
        pages.append(page)
        before = {"before": page[-1]["id"]}
    assert [len(p) for p in pages] == [3, 3, 1] and sum(pages, []) == whole
    assert entries(api, target=name, actor="nobody") == entries(api, target=name, action="job.cancel") == []
    assert len(entries(api, target=name, actor="the-manager", action="agent.update")) == 7
    for limit in ("0", "1001", "x", "", "-1", "99999"):
        expect(api.get("/v1/audit", params={"limit": limit}, headers=ADMIN), 422)


def test_audit_is_bounded(private):
    """Only the newest entries are kept."""
    stack = private("--auth", "roles", env=auth.ENV)
    api = Api(stack.url)
    expect(api.post("/v1/agents/data/a", {"state": "x"}, headers=MANAGER), 200)
    if stack.store.startswith("mongodb"):
        options = storage_of(stack).db.audit_log.options()
        assert options["capped"] and options["size"] <= 1 << 27
        return
    import sqlite3

    with sqlite3.connect(stack.store.removeprefix("sqlite:")) as db:
        db.execute("UPDATE audit SET n = n + 100000")
        db.executemany("INSERT INTO audit (n, id, at_ms, role, action) VALUES (?, ?, 0, '', 'x')",
                       [(i, f"0{i:09}") for i in range(1, 100001)])
    expect(api.post("/v1/agents/data/a", {"state": "y"}, headers=MANAGER), 200)
    with sqlite3.connect(stack.store.removeprefix("sqlite:")) as db:
        assert db.execute("SELECT count(*), min(n) FROM audit").fetchone() == (100000, 3)
