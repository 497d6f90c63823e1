"""Attacks on access control: tokens that should be dead, documents of other programs, agents that pose as others."""

import hashlib
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

import auth
from auth import Admin, as_role, bearer, events, login, payload, secret
from client import Api, expect, message, new_id, raw
from replica_set import ReplicaSet
from stack import Stack, wait_until
from storage import now, storage_of

ADMIN = as_role("admin")
REVOKED = message("Refresh token revoked.")
INVALID = message("Invalid refresh token.")
GONE = message("Token has been revoked")


@pytest.fixture(scope="module")
def api(roles_server):
    return Api(roles_server.url)


def put(api, name, **fields):
    return expect(api.request("PUT", f"/v1/client-permissions/{name}", json=fields, headers=ADMIN), 200)


def delete(api, name):
    return expect(api.request("DELETE", f"/v1/client-permissions/{name}", headers=ADMIN), 200)


def refresh(api, token):
    return api.post("/v1/oauth2/refresh", {"refresh_token": token})


def revocations(api, name):
    found = expect(api.get("/v1/audit", params={"target": name, "action": "token.revoke"}, headers=ADMIN), 200).json()
    return [e["detail"] for e in found]


# A refresh token ends with the client and the secret that it was issued for

CHANGES = {
    "secret": (lambda api, name: put(api, name, client_secret=secret("another-secret-of-it")),
               lambda admin, name: admin.good("clients", "edit", name, "--secret-stdin", text=secret("another-secret-of-it"))),
    "role": (lambda api, name: put(api, name, role="contributor"),
             lambda admin, name: admin.good("clients", "edit", name, "--role", "contributor")),
    "removal": (lambda api, name: delete(api, name),
                lambda admin, name: admin.good("clients", "remove", name, "--yes")),
}


@pytest.mark.slow
@pytest.mark.parametrize("by_tool", [False, True], ids=["by HTTP", "by the tool"])
@pytest.mark.parametrize("change", CHANGES)
def test_refresh_tokens_end(api, admin, roles_server, name, change, by_tool):
    """All tokens of the client end, those of others stay; the audit trail has the number and the reason."""
    who, other = admin.create(name, "its-own-secret-key", "admin"), admin.create(name + "-2", "its-own-secret-key")
    tokens = [login(api, who)["refresh_token"] for _ in range(2)]
    others = login(api, other)["refresh_token"]
    CHANGES[change][by_tool](admin if by_tool else api, name)
    for token in tokens:
        expect(refresh(api, token), 400, INVALID if change == "removal" else REVOKED)
    expect(refresh(api, others), 200)
    (detail,) = revocations(api, name)
    assert detail["tokens"] == 2 and change.replace("removal", "removed") in detail["reason"]
    assert all(t["revoked"] for t in admin.json("tokens", "list", "--client", name))
    if not by_tool:
        assert f"authn_token_revoked:{name},all" in [e["event"] for e in events(roles_server)]


def test_a_client_of_the_same_name_is_another(api, admin, name):
    """Tokens of the first client, also from before it became an admin, are void for the second."""
    first = login(api, admin.create(name, "its-own-secret-key", "admin"))
    put(api, name, role="agent")
    put(api, name, role="admin")  # and back
    expect(refresh(api, first["refresh_token"]), 400, REVOKED)
    first = login(api, (name, "its-own-secret-key"))
    delete(api, name)
    expect(refresh(api, first["refresh_token"]), 400, INVALID)
    put(api, name, role="admin", client_secret="its-own-secret-key")
    expect(refresh(api, first["refresh_token"]), 400, REVOKED)
    expect(api.get("/v1/audit", headers=bearer(first["access_token"])), 401, GONE)
    again = login(api, (name, "its-own-secret-key"))
    expect(refresh(api, again["refresh_token"]), 200)
    expect(api.get("/v1/audit", headers=bearer(again["access_token"])), 200)


def test_other_changes_leave_the_tokens(api, admin, name):
    who = admin.create(name, "its-own-secret-key")
    token = login(api, who)["refresh_token"]
    put(api, name, max_priority={"a": 7}, role="contributor", email="a@example.com")
    permissions = payload(expect(refresh(api, token), 200).json()["access_token"])["permissions"]
    assert permissions["max_priority"] == {"a": 7}
    admin.good("clients", "edit", name, "--role", "contributor", "--allow", f"q-{name}")
    permissions = payload(expect(refresh(api, token), 200).json()["access_token"])["permissions"]
    assert permissions["allowed_queues"] == [f"q-{name}"]
    assert revocations(api, name) == []


@pytest.mark.slow
def test_changes_while_others_log_in(api, admin, name):
    """A token issued at the moment of the change belongs to the new secret, or is dead."""
    admin.create(name, secret("the-secret-number-00"))
    found = []

    def log_in(i):
        one = Api(api.url)
        for n in range(6):
            for number in (n, n + 1):
                answer = one.post("/v1/oauth2/token", auth=(name, f"the-secret-number-{number:02}"))
                if answer.status_code == 200:
                    found.append((number, answer.json()["refresh_token"]))

    with ThreadPoolExecutor(3) as pool:
        done = [pool.submit(log_in, i) for i in range(2)]
        for n in range(1, 6):
            put(api, name, client_secret=secret(f"the-secret-number-{n:02}"))
        for one in done:
            one.result()
    for number, token in found:
        assert refresh(api, token).status_code == (200 if number == 5 else 400), number


# Guarded routes


@pytest.mark.parametrize("mode", ["open", "roles", "login"])
def test_guarded_routes_see_the_client_as_it_is(open_server, roles_server, login_server, name, mode):
    """A token of a role that the client has lost is refused."""
    stack = {"open": open_server, "roles": roles_server, "login": login_server}[mode]
    api, admin = Api(stack.url), Admin(stack)
    who = admin.create(name, "its-own-secret-key", "admin")

    def headers():
        return bearer(login(api, who)["access_token"])

    def get(headers, path="/v1/client-permissions"):
        return api.get(path, headers=headers)

    first = headers()
    expect(get(first), 200)
    put(api, name, role="contributor")
    expect(get(first), 403, message("Specified action requires role: admin, manager"))
    put(api, name, role="manager")
    expect(get(first), 401, GONE)  # the old token is not a manager's
    expect(get(first, "/v1/audit"), 403)
    second = headers()
    expect(get(second), 200)
    put(api, name, client_secret="its-own-secret-key")
    expect(get(second), 401, GONE)
    third = headers()
    expect(api.post("/v1/restricted-queues/x", {"client_id": "nobody"}, headers=third), 404)
    delete(api, name)
    expect(get(third), 401, GONE)
    expect(api.post("/v1/restricted-queues/x", {"client_id": "nobody"}, headers=third), 401, GONE)
    assert [e["level"] for e in events(stack) if e["event"].startswith(f"authz_fail:{name},")] == ["CRITICAL"] * 6


def test_tokens_of_nobody(api):
    """The role of a token counts only while a client of its name has that role, whoever signed it."""
    for client_id in ("nobody", None, 5, ""):
        headers = bearer(auth.token({"client_id": client_id, "role": "admin"}))
        expect(api.get("/v1/audit", headers=headers), 401, GONE)
    headers = bearer(auth.token({"client_id": "the-agent", "role": "admin"}))
    expect(api.get("/v1/audit", headers=headers), 403)
    for binding in (5, None, [], "", "x" * 100):
        status = api.get("/v1/audit", headers=bearer(auth.sign(
            {**auth.claims({"client_id": "the-admin", "role": "admin"}), "binding": binding}))).status_code
        assert status == (200 if binding == "" else 401), binding


# Beside an older release


def old_token(stack, client_id, issued=0):
    """A refresh token as the release before stored it; in MongoDB also as the reference does."""
    storage, text = storage_of(stack), secret(uuid.uuid4().hex + uuid.uuid4().hex)
    digest = hashlib.sha256(text.encode()).hexdigest()
    ms = int((time.time() + issued) * 1000)
    if hasattr(storage, "db"):
        date = now().fromtimestamp(ms / 1000, tz=now().tzinfo)
        storage.db.refresh_tokens.insert_one({
            "client_id": client_id, "refresh_token": text, "issued_at": date, "revoked": False,
            "expires_at": date.replace(year=date.year + 1), "last_accessed": date})
    else:
        storage._run("INSERT INTO refresh_tokens (client_id, digest, issued_ms, expires_ms, revoked, accessed_ms)"
                     " VALUES (?, ?, ?, ?, 0, ?)", client_id, digest, ms, ms + 86400000, ms)
    return text


def test_tokens_of_older_releases(api, admin, roles_server, name):
    """They keep working while the clients of that time exist, and end with them."""
    storage_of(roles_server).add_client(name, role="contributor")
    token = old_token(roles_server, name)
    for _ in range(2):
        expect(refresh(api, token), 200)
    put(api, name, role="manager")
    expect(refresh(api, token), 400, REVOKED)
    token = old_token(roles_server, name)
    expect(refresh(api, token), 200)
    delete(api, name)
    expect(refresh(api, token), 400, INVALID)
    # an older release beside us issues one to nobody; then a client of this name is made
    token = old_token(roles_server, name, issued=-60)
    put(api, name, role="admin", client_secret="its-own-secret-key")
    expect(refresh(api, token), 400, REVOKED)


@pytest.mark.stores("mongodb")
def test_changes_by_other_programs(api, admin, roles_server, name):
    """The reference's tool changes client documents and leaves the tokens as they are."""
    db = storage_of(roles_server).db
    who = admin.create(name, "its-own-secret-key", "admin")

    def dead(token):
        expect(refresh(api, token["refresh_token"]), 400, REVOKED)
        expect(refresh(api, token["refresh_token"]), 400, REVOKED)
        assert api.get("/v1/audit", headers=bearer(token["access_token"])).status_code in (401, 403)

    token = login(api, who)
    db.client_permissions.update_one({"client_id": name}, {"$set": {"role": "agent"}})
    dead(token)
    token = login(api, who)
    document = db.client_permissions.find_one_and_delete({"client_id": name})
    expect(refresh(api, token["refresh_token"]), 400, INVALID)
    del document["_id"]
    db.client_permissions.insert_one({**document, "role": "admin"})
    dead(token)
    token = login(api, who)
    admin.create(name + "-2", "another-secret-of-it")
    other = db.client_permissions.find_one({"client_id": name + "-2"})["client_secret_hash"]
    db.client_permissions.update_one({"client_id": name}, {"$set": {"client_secret_hash": other}})
    dead(token)
    assert len(revocations(api, name)) == 3


# Rotation


@pytest.fixture(scope="module")
def rotating(store_uri):
    with Stack(store_uri(), "--auth", "roles", "--refresh-rotation", "yes", "--refresh-grace", 60, env=auth.ENV) as stack:
        yield stack


def next_token(answer):
    body = expect(answer, 200).json()
    assert list(body) == ["access_token", "token_type", "expires_in", "refresh_token"]
    return secret(body["refresh_token"])


def test_no_rotation_by_default(api, admin, name):
    """The official command line refreshes twice in a row, and an hour later, with one token."""
    token = login(api, admin.create(name, "its-own-secret-key"))["refresh_token"]
    for _ in range(3):
        assert "refresh_token" not in expect(refresh(api, token), 200).json()


@pytest.mark.slow
def test_rotation(rotating, name):
    """Each token gives a next one, and one more when it is used again at once, after a lost answer. Used again
    later it was copied: the whole family ends."""
    api, admin = Api(rotating.url), Admin(rotating)
    who = admin.create(name, "its-own-secret-key")
    first, apart = login(api, who)["refresh_token"], login(api, who)["refresh_token"]
    second = next_token(refresh(api, first))
    beside = next_token(refresh(api, first))
    third = next_token(refresh(api, second))
    assert len({first, second, beside, third}) == 4
    storage_of(rotating).age_refreshes(3600)
    fourth = next_token(refresh(api, third))  # not used before
    expect(refresh(api, first), 400, REVOKED)
    for token in (second, beside, third, fourth, first):
        expect(refresh(api, token), 400, REVOKED)
    next_token(refresh(api, apart))  # another login
    (detail,) = revocations(api, name)
    assert detail["tokens"] == 5 and "used again" in detail["reason"]
    reuses = [e for e in events(rotating) if e["event"].startswith(f"authn_token_reuse:{name},")]
    assert len(reuses) == 6 and {e["level"] for e in reuses} == {"CRITICAL"}


def test_rotation_does_not_prolong(rotating, name):
    api, admin = Api(rotating.url), Admin(rotating)
    next_token(refresh(api, login(api, admin.create(name, "its-own-secret-key"))["refresh_token"]))
    first, second = admin.json("tokens", "list", "--client", name)
    assert first["expires_at"] == second["expires_at"]


@pytest.mark.slow
def test_rotation_of_older_tokens(rotating, name):
    api = Api(rotating.url)
    storage_of(rotating).add_client(name, role="contributor")
    token = old_token(rotating, name)
    second = next_token(refresh(api, token))
    storage_of(rotating).age_refreshes(3600)
    expect(refresh(api, token), 400, REVOKED)
    expect(refresh(api, second), 400, REVOKED)


@pytest.mark.slow
def test_rotation_by_many_at_once(rotating, name):
    """Thieves and owner refresh at the same moment. After the grace time, one more use of the first token ends all."""
    api, admin = Api(rotating.url), Admin(rotating)
    token = login(api, admin.create(name, "its-own-secret-key"))["refresh_token"]
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda _: next_token(refresh(Api(rotating.url), token)), range(16)))
    assert len(set(got)) == 16
    storage_of(rotating).age_refreshes(3600)
    expect(refresh(api, token), 400, REVOKED)
    assert {refresh(api, t).status_code for t in got} == {400}


# Documents of other programs


@pytest.mark.stores("mongodb")
@pytest.mark.parametrize("odd", [None, "q", 5, {"a": 1}, [None, 5, {"x": []}]], ids=str)
def test_odd_lists_of_queues(api, roles_server, name, odd):
    """The reference's tool may leave a null; it once caused a 500."""
    db, queue = storage_of(roles_server).db, f"$q.{name}"
    db.client_permissions.insert_one({"client_id": name, "role": "contributor", "allowed_queues": odd})
    expect(api.post(f"/v1/agents/data/{name}", {"queues": [queue]}, headers=as_role("agent")), 200)
    kept = odd if isinstance(odd, list) else []
    for _ in range(2):
        expect(api.post(f"/v1/restricted-queues/{queue}", {"client_id": name}, headers=ADMIN), 200, "OK")
        assert db.client_permissions.find_one({"client_id": name})["allowed_queues"] == kept + [queue]
    db.client_permissions.insert_one({"client_id": name + "-2", "allowed_queues": odd})
    for client in (name + "-2", name):
        expect(api.request("DELETE", f"/v1/restricted-queues/{queue}", json={"client_id": client}, headers=ADMIN), 200)
        assert db.client_permissions.find_one({"client_id": client})["allowed_queues"] == kept
    expect(api.get(f"/v1/restricted-queues/{queue}"), 404)
    db.client_permissions.delete_many({"client_id": {"$in": [name, name + "-2"]}})  # lists show them


ODD = [None, 5, 1.5, "text", [], {}, ["a", None], {"a": {"b": None}, "": 1}, float("nan"), b"\xff\x00"]


@pytest.mark.slow
@pytest.mark.stores("mongodb")
def test_odd_fields_of_clients(admin, roles_server, name):
    """Whatever a client's document holds, no call about it gets a 500."""
    api = Api(roles_server.url)
    api.documented = False
    db = storage_of(roles_server).db
    admin.create(name, "its-own-secret-key", "agent")
    for field in ("role", "max_priority", "allowed_queues", "max_reservation_time", "email", "agents", "sub", "name",
                  "last_login", "created_at", "client_secret_hash"):
        was = db.client_permissions.find_one({"client_id": name}).get(field)
        for odd in [*ODD, now(), uuid.uuid4().bytes]:
            db.client_permissions.update_one({"client_id": name}, {"$set": {field: odd}})
            tried = [
                api.get(f"/v1/client-permissions/{name}", headers=ADMIN), api.get("/v1/client-permissions", headers=ADMIN),
                api.post("/v1/oauth2/token", auth=(name, "its-own-secret-key")), api.get("/v1/restricted-queues"),
                api.request("PUT", f"/v1/client-permissions/{name}", json={"max_priority": {"a": 1}}, headers=ADMIN)]
            if tried[2].status_code == 200:
                body = tried[2].json()
                tried += [refresh(api, body["refresh_token"]),
                          api.post("/v1/job", {"job_queue": "q", "job_priority": 1}, headers=bearer(body["access_token"])),
                          api.get("/v1/audit", headers=bearer(body["access_token"]))]
            assert all(r.status_code < 500 and r.status_code != 409 for r in tried), (field, odd, tried)
        change = {"$unset": {field: 1}} if was is None else {"$set": {field: was}}
        db.client_permissions.update_one({"client_id": name}, change)
    delete(api, name)


# On a replica set, where the changes are transactions


@pytest.mark.slow
@pytest.mark.stores("mongodb")
def test_replica_set(name):
    members = ReplicaSet()
    try:
        with Stack(members.uri(f"test_{uuid.uuid4().hex}"), "--auth", "roles", env=auth.ENV) as stack:
            api, admin = Api(stack.url), Admin(stack)
            tokens = [login(api, admin.create(name, "its-own-secret-key", "admin"))["refresh_token"]]
            for change in CHANGES:
                CHANGES[change][0](api, name)
                for token in tokens:
                    assert refresh(api, token).status_code == 400
                if change == "secret":
                    tokens.append(login(api, (name, "another-secret-of-it"))["refresh_token"])
            put(api, name, role="agent", client_secret="its-own-secret-key")
            with ThreadPoolExecutor(6) as pool:  # transactions in conflict are tried again
                list(pool.map(lambda i: put(Api(api.url), name, client_secret=secret(f"the-secret-number-{i:02}")),
                              range(12)))
            expect(refresh(api, tokens[0]), 400, REVOKED)
    finally:
        members.remove()


# Only the agent that holds a job may post about it

NOT_HOLDER = message("The token is not one of the job's agent")
FRAGMENT = {"fragment_number": 0, "timestamp": "2026-01-02T03:04:05+00:00", "phase": "test", "log_data": "text"}
EVENT = {"job_status_webhook": "http://127.0.0.1:9/x", "events": [{"event_name": "e", "timestamp": "2026-01-02T03:04:05Z"}]}
POSTS = {
    "result": lambda api, j, h: api.post(f"/v1/result/{j}", {"job_state": "test"}, headers=h),
    "fields": lambda api, j, h: api.post(f"/v1/result/{j}", {"device_info": {"of": "x"}}, headers=h),
    "output": lambda api, j, h: api.request("POST", f"/v1/result/{j}/output", data=b"x", headers=h),
    "serial": lambda api, j, h: api.request("POST", f"/v1/result/{j}/serial_output", data=b"x", headers=h),
    "log": lambda api, j, h: api.post(f"/v1/result/{j}/log/output", FRAGMENT, headers=h),
    "serial log": lambda api, j, h: api.post(f"/v1/result/{j}/log/serial", FRAGMENT, headers=h),
    "artifact": lambda api, j, h: api.post(f"/v1/result/{j}/artifact", files={"file": ("a", b"x")}, headers=h),
    "events": lambda api, j, h: api.post(f"/v1/job/{j}/events", EVENT, headers=h),
}
ATTACHED = {"test_data": {"attachments": [{"agent": "a"}]}}


def agent(name, cookie=None, **permissions):
    return {**as_role("agent", name, **permissions), "Cookie": f"agent_name={cookie or name}"}


def attachments(api, job_id, headers=None):
    return api.get(f"/v1/job/{job_id}/attachments", headers=headers)


def claimed(api, queue, headers):
    return expect(api.get("/v1/job", params={"queue": queue}, headers=headers), 200).json()["job_id"]


@pytest.fixture
def queue():
    return f"q-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def identified(store_uri):
    """A server for each mode, all with --agent-identity token."""
    options = ("--agent-identity", "token", "--sweep-interval", 50, "--job-lease", 8)
    hosts = {**auth.ENV, "TESTFLINGER_WEBHOOK_HOSTS": "127.0.0.1:9", "TESTFLINGER_WEBHOOK_PRIVATE": "allow",
             "TESTFLINGER_WEBHOOK_REPLY": "queued"}
    with Stack(store_uri(), *options, env=hosts, webhooks=1) as old, \
            Stack(store_uri(), "--auth", "roles", *options, env=hosts, webhooks=1) as roles:
        yield {"open": Api(old.url), "roles": Api(roles.url)}, {"open": old, "roles": roles}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["open", "roles"])
def test_other_agents_post_nothing(identified, queue, mode):
    api, stack = identified[0][mode], identified[1][mode]
    job_id = api.submit(queue, **ATTACHED)
    expect(attachments(api, job_id, agent("a1")), 403, NOT_HOLDER)  # nobody has it yet
    expect(api.post(f"/v1/job/{job_id}/attachments", files={"file": ("a", b"x")}), 200)
    expect(attachments(api, job_id, agent("a1")), 403, NOT_HOLDER)
    host = agent("host", cookie="b1", agents=["b1", "b2"])
    assert claimed(api, queue, host) == job_id
    for stranger in (agent("a1"), agent("a1", cookie="b1"), agent("b"), agent("", agents=["b"])):
        for name, post in POSTS.items():
            expect(post(api, job_id, stranger), 403, NOT_HOLDER)
        expect(attachments(api, job_id, stranger), 403, NOT_HOLDER)
        expect(api.get(f"/v1/result/{job_id}", headers=stranger), 403, NOT_HOLDER)
        assert api.head(f"/v1/result/{job_id}", headers=stranger).status_code == 403
    refused = [e for e in events(stack) if e["event"].startswith("authz_fail:a1,") and job_id in e["event"]]
    assert len(refused) == 2 + 2 * (len(POSTS) + 3) and refused[-1]["level"] == "CRITICAL"
    for headers in (host, agent("b1"), agent("b1", cookie="a1")):
        for name, post in POSTS.items():
            assert post(api, job_id, headers).status_code in (200, 202), name
        expect(attachments(api, job_id, headers), 200)
        expect(api.get(f"/v1/result/{job_id}", headers=headers), 200)
    # users read as before; in the open mode anybody may post, except by another agent's token
    assert api.state(job_id) == "test"
    for path in ("result/{}/artifact", "result/{}/log/output", "job/{}"):
        expect(api.get("/v1/" + path.format(job_id)), 200)
    for name, post in POSTS.items():
        expect(post(api, job_id, {}), 401 if mode == "open" else 403)
        expect(post(api, job_id, as_role("contributor", "c1")), 403)
        assert post(api, job_id, as_role("manager", "m1")).status_code == (403 if mode == "roles" else 202 if name == "events" else 200)
    expect(attachments(api, job_id, as_role("manager", "m1")), 200 if mode == "open" else 403)


def test_other_agents_upload_nothing(identified, queue):
    """The head is enough: the server neither awaits nor keeps a byte of a stranger's body."""
    api, stack = identified[0]["roles"], identified[1]["roles"]
    job_id = api.submit(queue)
    assert claimed(api, queue, agent("a1")) == job_id
    for path, size in ((f"result/{job_id}/artifact", 1 << 30), (f"result/{job_id}", 10 << 20),
                       (f"result/{job_id}/output", 10 << 20), (f"job/{job_id}/events", 500 << 10)):
        head = (f"POST /v1/{path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                f"Authorization: {agent('a2')['Authorization']}\r\nContent-Length: {size}\r\n\r\n")
        answer = raw(stack, head.encode())
        assert (answer.status_code, answer.json()) == (403, NOT_HOLDER), path


def test_jobs_that_are_nobodys(identified, queue):
    """A waiting job has no agent; that of a removed job, or of one that an older release handed out, is unknown."""
    api, stack = identified[0]["roles"], identified[1]["roles"]
    job_id = api.submit(queue)
    for name, post in POSTS.items():
        expect(post(api, job_id, agent("a1")), 403, NOT_HOLDER)
    assert api.state(job_id) == "waiting"
    expect(api.get(f"/v1/result/{job_id}", headers=agent("a1")), 200)
    assert claimed(api, queue, agent("a1")) == job_id
    storage_of(stack).forget_owner(job_id)
    for post in POSTS.values():
        assert post(api, job_id, agent("a2")).status_code in (200, 202)
    for name, post in POSTS.items():
        assert post(api, new_id(), agent("a2")).status_code == (404 if name == "events" else 200)
    expect(POSTS["result"](api, "x", agent("a2")), 400)


def test_jobs_that_were_cancelled_before(identified, queue):
    """An attempt that no agent had leaves the job without a former agent."""
    api, job_id = identified[0]["roles"], new_id()
    api.submit(queue, job_id=job_id)
    expect(api.post(f"/v1/job/{job_id}/action", {"action": "cancel"}), 200)
    api.submit(queue, job_id=job_id, name="again")
    assert claimed(api, queue, agent("a1")) == job_id
    for post in POSTS.values():
        expect(post(api, job_id, agent("a2")), 403, NOT_HOLDER)


@pytest.mark.slow
def test_late_posts(identified, queue):
    """An agent that lost a job may still post its own attempt's outcome, never change the other agent's result."""
    api, stack = identified[0]["roles"], identified[1]["roles"]
    job_id = api.submit(queue, rerun_on_orphan=1)
    first, second = agent("a1"), agent("a2")
    assert claimed(api, queue, first) == job_id
    expect(POSTS["result"](api, job_id, first), 200)
    wait_until(lambda: api.state(job_id) == "waiting", "it has lost its agent")
    expect(POSTS["fields"](api, job_id, second), 403, NOT_HOLDER)
    assert claimed(api, queue, second) == job_id
    expect(api.post(f"/v1/result/{job_id}", {"job_state": "reserve", "device_info": {"of": "a2"}}, headers=second), 200)
    late = {"device_info": {"of": "a1"}, "job_state": "complete"}
    for headers, status in ((first, 200), (agent("a1", cookie="a2"), 403), (as_role("agent", "a1"), 403), (agent("a3"), 403)):
        expect(api.post(f"/v1/result/{job_id}", late, headers=headers), status, NOT_HOLDER if status > 200 else None)
    result = api.get(f"/v1/result/{job_id}").json()
    assert (result["job_state"], result["device_info"]) == ("reserve", {"of": "a2"})
    (attempt,) = storage_of(stack).attempts(job_id)
    assert (attempt["job_state"], attempt["device_info"]) == ("complete", {"of": "a1"})
    for name in ("output", "log", "artifact"):
        expect(POSTS[name](api, job_id, first), 200)
        expect(POSTS[name](api, job_id, agent("a3")), 403)
    expect(attachments(api, job_id, first), 403)


def test_attempts_of_nobody(identified, queue):
    """No agent may post to an attempt whose agent is unknown, since an older release handed it out."""
    api, stack = identified[0]["roles"], identified[1]["roles"]
    job_id = new_id()
    api.submit(queue, job_id=job_id)
    assert claimed(api, queue, agent("a1")) == job_id
    storage_of(stack).forget_owner(job_id)
    expect(POSTS["result"](api, job_id, agent("a2")), 200)  # its agent is unknown, so it may be this one
    api.submit(queue, job_id=job_id, name="again")
    for post in POSTS.values():
        expect(post(api, job_id, agent("a1")), 403, NOT_HOLDER)
    assert claimed(api, queue, agent("a2")) == job_id
    for post in POSTS.values():
        expect(post(api, job_id, agent("a1")), 403, NOT_HOLDER)
        assert post(api, job_id, agent("a2")).status_code in (200, 202)


def test_many_posts_at_once(identified, queue):
    """In one bundle each call is checked on its own."""
    api = identified[0]["roles"]
    jobs = {api.submit(queue): None for _ in range(6)}
    for i in range(6):
        jobs[claimed(api, queue, agent(f"a{i}"))] = f"a{i}"
    calls = [(job_id, owner, who) for job_id, owner in jobs.items() for who in (f"a{i}" for i in range(6))] * 3

    def post(call):
        job_id, owner, who = call
        return api_of().post(f"/v1/result/{job_id}", {"device_info": {"of": who}}, headers=agent(who)).status_code

    def api_of():
        return Api(api.url)

    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(post, calls))
    assert statuses == [200 if owner == who else 403 for _, owner, who in calls]
    for job_id, owner in jobs.items():
        assert api.get(f"/v1/result/{job_id}").json()["device_info"] == {"of": owner}


def test_without_the_setting_agents_share(api, queue):
    """As the existing server does."""
    job_id = api.submit(queue)
    assert claimed(api, queue, agent("a1")) == job_id
    expect(POSTS["result"](api, job_id, agent("a2")), 200)
