"""testflinger-admin, and databases that the existing server's own tools have filled."""

import datetime
import json
import os
import pty
import secrets
import select
import subprocess
import time

import bcrypt
import pytest

import auth
from auth import Admin, as_role, bearer, login, payload, secret
from client import Api, expect, message
from stack import BIN
from storage import now, storage_of


@pytest.fixture(scope="module")
def api(roles_server):
    return Api(roles_server.url)


def refused(admin, status, reason, *args, **options):
    done = admin.run(*args, **options)
    assert done.returncode == status and reason in done.stderr, done
    assert not done.stdout, done.stdout


# Clients


def test_create_and_list(api, admin, name):
    made = admin.json("clients", "create", name, "--role", "manager", "--max-priority", "*=5", "--max-priority",
                      "a=b=7", "--max-reservation", "lab=30000", "--allow", f"{name}-q", "--email",
                      "a@example.com", "--secret-stdin", text=secret("the-secret-of-this-client") + "\nmore")
    assert made == {"client_id": name, "max_priority": {"*": 5, "a=b": 7}, "allowed_queues": [f"{name}-q"],
                    "max_reservation_time": {"lab": 30000}, "role": "manager", "email": "a@example.com"}
    assert made in admin.json("clients", "list") and admin.json("clients", "list", name) == [made]
    assert expect(api.get(f"/v1/client-permissions/{name}", headers=as_role("admin")), 200).json() == made
    expect(api.get(f"/v1/restricted-queues/{name}-q"), 200, {"queue": f"{name}-q", "owners": [name]})
    assert payload(login(api, (name, "the-secret-of-this-client"))["access_token"])["permissions"]["role"] == "manager"
    text = admin.good("clients", "list", name)
    for part in (name, "manager", "*=5", "lab=30000", f"{name}-q", "a@example.com"):
        assert part in text
    refused(admin, 1, "already", "clients", "create", name, "--secret-stdin", text="x" * 20)


def test_generated_secret(api, admin, name):
    made = admin.json("clients", "create", name, "--generate")
    assert len(secret(made["client_secret"])) == 32
    login(api, (name, made["client_secret"]))
    shown = admin.good("clients", "edit", name, "--generate")
    new = secret(shown.split("only now: ")[1].strip())
    expect(api.post("/v1/oauth2/token", auth=(name, made["client_secret"])), 401)
    login(api, (name, new))


def test_edit(api, admin, name):
    queues = [f"{name}-q{i}" for i in range(3)]
    admin.create(name, "its-own-secret-key", "contributor", "--max-priority", "*=5", "--allow", queues[0])
    assert "changed" in admin.good("clients", "edit", name, "--max-priority", "*=", "--max-priority", "x=1",
                                   "--allow", queues[1], "--allow", queues[2], "--disallow", queues[0])
    made = admin.json("clients", "edit", name)
    assert made["max_priority"] == {"x": 1} and sorted(made["allowed_queues"]) == queues[1:]
    expect(api.get(f"/v1/restricted-queues/{queues[0]}"), 404)
    assert admin.json("clients", "edit", name, "--email", "x@example.com")["email"] == "x@example.com"
    assert "email" not in admin.json("clients", "edit", name, "--email", "")
    login(api, (name, "its-own-secret-key"))


def test_remove(api, admin, name):
    who = admin.create(name, "its-own-secret-key")
    refused(admin, 2, "--yes", "clients", "remove", name)
    login(api, who)
    assert admin.json("clients", "remove", name, "--yes") == {"removed": name}
    refused(admin, 1, "there is no client", "clients", "remove", name, "--yes")
    refused(admin, 1, "there is no client", "clients", "list", name)
    refused(admin, 1, "there is no client", "clients", "edit", name, "--role", "agent")
    expect(api.post("/v1/oauth2/token", auth=who), 401)


def test_init(private):
    """The first client of a new server, which then makes others over the API."""
    stack = private("--auth", "roles", env=auth.ENV)
    admin, api = Admin(stack), Api(stack.url)
    made = admin.json("clients", "init", "--generate")
    assert (made["client_id"], made["role"]) == ("testflinger-admin", "admin")
    headers = bearer(login(api, ("testflinger-admin", secret(made["client_secret"])))["access_token"])
    expect(api.request("PUT", "/v1/client-permissions/first", json={"client_secret": secret("k" * 18)},
                       headers=headers), 200)
    refused(admin, 1, "already", "clients", "init", "--generate")
    refused(admin, 2, "too many arguments", "clients", "init", "somebody")


@pytest.mark.alike
@pytest.mark.parametrize("args, text", [
    ((), "a command is missing"), (("clients",), "a command is missing"), (("clients", "fly"), "there is no command"),
    (("clients", "create"), "give the id of"), (("clients", "create", ""), "give the id of"),
    (("clients", "create", b"\xff"), "give the id of"), (("clients", "create", "a:b", "--generate"), "colon"),
    (("clients", "create", "a", "b"), "too many arguments"), (("clients", "create", "x"), "give a secret"),
    (("clients", "create", "x", "--secret-stdin"), "the secret is empty"),
    (("clients", "create", "x", "--role", "Admin"), "no role"),
    (("clients", "create", "x", "--max-priority", "5"), "not QUEUE=NUMBER"),
    (("clients", "create", "x", "--max-priority", "a=x"), "not QUEUE=NUMBER"),
    (("clients", "create", "x", "--email", "x"), "no e-mail address"),
    (("clients", "create", "x", "--secret", "y"), "there is no option --secret;"), (("tokens", "revoke"), "name ids"),
    (("tokens", "revoke", "zz"), "there is no refresh token"),
], ids=str)
def test_wrong_arguments(admin, args, text):
    done = subprocess.run([BIN / "testflinger-admin", "--store", admin.store, *args], capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=20)
    assert done.returncode == (1 if "there is no refresh token" in text else 2), done
    assert text in done.stderr.decode() and not done.stdout


def test_settings(tmp_path):
    """The store by environment, help, and what is wrong with a store."""
    tool = BIN / "testflinger-admin"
    env = {**os.environ, "TESTFLINGER_STORE": f"sqlite:{tmp_path}/new.db"}
    assert json.loads(subprocess.run([tool, "clients", "list", "--json"], env=env, capture_output=True, check=True,
                                     timeout=20).stdout) == []
    help_text = subprocess.run([tool, "--help"], capture_output=True, text=True, check=True, timeout=20).stdout
    for part in ("clients create", "tokens revoke", "--max-priority", "--store", "TESTFLINGER_BCRYPT_ROUNDS"):
        assert part in help_text
    for store, status in (("nonsense", 2), (f"sqlite:{tmp_path}/no/folder/x", 1), ("mongodb://127.0.0.1:9/x", 1)):
        done = subprocess.run([tool, "--store-timeout", "300", "--store", store, "clients", "list"], text=True,
                              capture_output=True, timeout=20)
        assert done.returncode == status and done.stderr, done


def talk(command, answers, env):
    """Runs a command on a terminal and answers its questions in turn; returns its output."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, env)
    shown, end, waiting = "", time.monotonic() + 60, list(answers)
    while time.monotonic() < end:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                data = os.read(terminal, 4096).decode()
            except OSError:
                break
            if not data:
                break
            shown += data
        elif waiting and waiting[0][0] in shown.rsplit("\n", 1)[-1] + shown[-200:]:
            os.write(terminal, (waiting.pop(0)[1] + "\n").encode())
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(terminal)
    assert not waiting, (waiting, shown)
    return status, shown


@pytest.mark.slow
def test_questions_on_a_terminal(api, admin, name):
    """It asks for whatever no option gives, and does not echo secrets."""
    tool = [str(BIN / "testflinger-admin"), "--store", admin.store]
    env = {**os.environ, "TESTFLINGER_BCRYPT_ROUNDS": "8"}
    key = secret("a-secret-that-is-typed-in")
    status, shown = talk([*tool, "clients", "create"], [
        ("Client id:", name), ("Role:", "boss"), ("Role:", "agent"), ("Highest priority", "x"),
        ("Highest priority", "*=9"), ("Highest priority", ""), ("Restricted queue", f"{name}-q"),
        ("Restricted queue", ""), ("Longest reservation", "lab=40000"), ("Longest reservation", ""),
        ("Secret:", key), ("The same again:", "another"), ("Secret:", key), ("The same again:", key)], env)
    assert status == 0 and f"Client {name} created." in shown and "They differ." in shown and key not in shown
    (made,) = admin.json("clients", "list", name)
    assert made == {"client_id": name, "max_priority": {"*": 9}, "allowed_queues": [f"{name}-q"],
                    "max_reservation_time": {"lab": 40000}, "role": "agent"}
    login(api, (name, key))
    status, shown = talk([*tool, "clients", "edit", name], [
        ("Role: admin, manager, contributor or agent [agent]:", ""), ("Highest priority", "*="),
        ("Highest priority", ""), ("Restricted queue", ""), ("Longest reservation", "")], env)
    assert status == 0 and admin.json("clients", "list", name) == [{**made, "max_priority": {}}]
    status, _ = talk([*tool, "clients", "remove", name], [("Remove client", "n")], env)
    assert status == 2 and admin.json("clients", "list", name)
    status, _ = talk([*tool, "clients", "remove", name], [("Remove client", "y")], env)
    assert status == 0
    refused(admin, 1, "there is no client", "clients", "list", name)


# Refresh tokens


@pytest.mark.slow
def test_tokens(api, admin, name):
    who = admin.create(name, "its-own-secret-key")
    refresh = [login(api, who)["refresh_token"] for _ in range(3)]
    listed = admin.json("tokens", "list", "--client", name)
    assert [set(t) for t in listed] == [{"id", "client_id", "issued_at", "expires_at", "revoked", "last_accessed"}] * 3
    assert not any(t in str(listed) for t in refresh)
    assert admin.json("tokens", "revoke", listed[0]["id"]) == {"revoked": [listed[0]["id"]]}
    assert admin.json("tokens", "revoke", listed[0]["id"]) == {"revoked": []}
    good = [api.post("/v1/oauth2/refresh", {"refresh_token": t}).status_code for t in refresh]
    assert sorted(good) == [200, 200, 400]
    assert sorted(admin.json("tokens", "revoke", "--client", name)["revoked"]) == sorted(
        t["id"] for t in listed[1:])
    for text in refresh:
        expect(api.post("/v1/oauth2/refresh", {"refresh_token": text}), 400, message("Refresh token revoked."))
    assert name in admin.good("tokens", "list") and "revoked" in admin.good("tokens", "list", "--client", name)


# Databases of the existing server


@pytest.fixture
def db(roles_server):
    return storage_of(roles_server).db


def as_the_existing_tool_writes(db, client_id, key, **fields):
    hashed = bcrypt.hashpw(key.encode(), bcrypt.gensalt(fields.pop("rounds", 12))).decode()
    db.client_permissions.insert_one({"client_id": client_id, "client_secret_hash": hashed, "max_priority": {},
                                      "allowed_queues": [], "max_reservation_time": {}, **fields})
    return client_id, secret(key)


@pytest.mark.stores("mongodb")
@pytest.mark.parametrize("rounds", [4, 8, 12, 13])
def test_clients_of_the_existing_tool(api, admin, db, name, rounds):
    who = as_the_existing_tool_writes(db, name, "my_client_key", rounds=rounds, max_priority={"*": 3},
                                      allowed_queues=[f"{name}-q"], max_reservation_time={"*": 30000.0})
    db.restricted_queues.insert_one({"queue_name": f"{name}-q"})
    answer = login(api, who)
    assert payload(answer["access_token"])["permissions"] == {
        "client_id": name, "role": "contributor", "max_priority": {"*": 3}, "allowed_queues": [f"{name}-q"],
        "max_reservation_time": {"*": 30000.0}}
    headers = bearer(answer["access_token"])
    expect(api.post("/v1/job", {"job_queue": f"{name}-q", "job_priority": 3, "reserve_data": {"timeout": 30000}},
                    headers=headers), 200)
    expect(api.post("/v1/job", {"job_queue": f"{name}-q", "job_priority": 4}, headers=headers), 403)
    expect(api.post("/v1/oauth2/token", auth=(name, "my_client_kez")), 401)
    assert admin.json("clients", "list", name)[0]["max_priority"] == {"*": 3}
    admin.good("clients", "edit", name, "--max-priority", "*=9")
    assert db.client_permissions.find_one({"client_id": name})["max_priority"] == {"*": 9}
    login(api, who)


@pytest.mark.stores("mongodb")
def test_what_other_fields_there_are(api, db, name):
    """All fields but the hash go into the token at login; only the known ones at refresh."""
    who = as_the_existing_tool_writes(db, name, "my_client_key", role="Manager", team="x",
                                      created_at=datetime.datetime(2026, 1, 2, 3, 4, 5))
    answer = login(api, who)
    found = payload(answer["access_token"])["permissions"]
    assert (found["role"], found["team"], found["created_at"]) == ("Manager", "x", "2026-01-02T03:04:05Z")
    assert not {"_id", "client_secret_hash"} & set(found)
    expect(api.get("/v1/client-permissions", headers=bearer(answer["access_token"])), 200)
    again = expect(api.post("/v1/oauth2/refresh", {"refresh_token": answer["refresh_token"]}), 200).json()
    assert set(payload(secret(again["access_token"]))["permissions"]) == {
        "client_id", "role", "max_priority", "allowed_queues", "max_reservation_time"}


@pytest.mark.stores("mongodb")
@pytest.mark.slow
def test_clients_that_cannot_log_in(api, db, name):
    """No secret, or one that is no bcrypt hash, or one that would take a day to check."""
    hashes = [None, "", "my_client_key", "$6$a$b", "$2b$31$" + "a" * 53, "$2b$12$short", 5, ["x"]]
    for i, stored in enumerate(hashes):
        db.client_permissions.insert_one({"client_id": f"{name}-{i}", "client_secret_hash": stored})
        expect(api.post("/v1/oauth2/token", auth=(f"{name}-{i}", "my_client_key")), 401)
    db.client_permissions.insert_one({"client_id": f"{name}-none"})
    expect(api.post("/v1/oauth2/token", auth=(f"{name}-none", "my_client_key")), 401)


@pytest.mark.stores("mongodb")
def test_refresh_tokens_of_the_existing_server(api, admin, db, name):
    """Theirs are stored in plain text; ours never are."""
    as_the_existing_tool_writes(db, name, "my_client_key", rounds=4)
    hour = datetime.timedelta(hours=1)

    def add(**fields):
        text = secret(secrets.token_urlsafe(48))
        db.refresh_tokens.insert_one({"client_id": name, "refresh_token": text, "issued_at": now(), "revoked": False,
                                      "expires_at": now() + hour, "last_accessed": now(), **fields})
        return {"refresh_token": text}

    good, gone, late = add(), add(revoked=True), add(expires_at=now() - hour)
    expect(api.post("/v1/oauth2/refresh", good), 200)
    expect(api.post("/v1/oauth2/refresh", gone), 400, message("Refresh token revoked."))
    expect(api.post("/v1/oauth2/refresh", late), 400, message("Refresh token expired"))
    expect(api.post("/v1/oauth2/revoke", good, headers=as_role("admin")), 200)
    assert db.refresh_tokens.find_one(good)["revoked"] is True
    own = login(api, (name, "my_client_key"))["refresh_token"]
    (stored,) = [d for d in db.refresh_tokens.find({"client_id": name}) if d.get("hashed")]
    assert stored["refresh_token"] != own and stored["revoked"] is False
    assert (stored["expires_at"] - stored["issued_at"]) == datetime.timedelta(days=6)
    expect(api.post("/v1/oauth2/refresh", {"refresh_token": stored["refresh_token"]}), 400,
           message("Invalid refresh token."))
    assert len(admin.json("tokens", "list", "--client", name)) == 4


@pytest.mark.stores("mongodb")
def test_documents_for_the_existing_server(api, admin, db, name):
    """The existing tools read what ours writes."""
    who = admin.create(name, "its-own-secret-key", "agent", "--max-priority", "a=5", "--allow", f"{name}-q")
    expect(api.request("PUT", f"/v1/client-permissions/{name}-2", headers=as_role("admin"), json={
        "client_secret": secret("the-other-secret"), "max_reservation_time": {"*": 1 << 40}}), 200)
    one, two = (db.client_permissions.find_one({"client_id": n}) for n in (name, f"{name}-2"))
    assert bcrypt.checkpw(who[1].encode(), one.pop("client_secret_hash").encode())
    assert bcrypt.checkpw(b"the-other-secret", two.pop("client_secret_hash").encode())
    one.pop("_id"), two.pop("_id")
    assert one == {"client_id": name, "role": "agent", "max_priority": {"a": 5}, "allowed_queues": [f"{name}-q"],
                   "max_reservation_time": {}}
    assert two == {"client_id": f"{name}-2", "role": "contributor", "max_priority": {}, "allowed_queues": [],
                   "max_reservation_time": {"*": 1 << 40}}
    assert db.restricted_queues.count_documents({"queue_name": f"{name}-q"}) == 1
    assert set(db.restricted_queues.find_one({"queue_name": f"{name}-q"})) == {"_id", "queue_name"}
