"""/v1/oauth2: log in, refresh, revoke; keys."""

import base64
import hashlib
import re
import subprocess
import time

import pytest

import auth
from auth import Admin, as_role, bearer, claims, events, login, payload, secret, sign, token
from client import MISSING, NULL, Api, expect, invalid, message
from stack import BIN, wait_until

NO_HEADER = "No authorization header specified"
NO_CREDENTIALS = "Client id and key must be specified in authorization header"
BAD = "Invalid client id or client key"
JSON, TEXT = {"Accept": "application/json"}, {"Accept": "text/plain"}


@pytest.fixture(scope="module")
def api(roles_server):
    return Api(roles_server.url)


@pytest.fixture
def client(admin, name):
    """A client with all permissions there are, and its secret."""
    return admin.create(name, "its-own-secret-key", "manager", "--max-priority", "*=7",
                        "--max-reservation", "lab=30000", "--email", "a@example.com")


def basic(text):
    raw = text if isinstance(text, bytes) else text.encode()
    return {"Authorization": "Basic " + base64.b64encode(raw).decode()}


# Logging in


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_login(api, client, method):
    answer = expect(api.request(method, "/v1/oauth2/token", auth=client), 200).json()
    assert list(answer) == ["access_token", "token_type", "expires_in", "refresh_token"]
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 600)
    assert re.fullmatch(r"[\w-]{64}", answer["refresh_token"])
    found = payload(answer["access_token"])
    assert found["exp"] - found["iat"] == 600 and abs(found["iat"] - time.time()) < 5
    assert isinstance(found["iat"], int) and found["sub"] == "access_token"
    assert found["permissions"] == {
        "client_id": client[0], "role": "manager", "max_priority": {"*": 7}, "allowed_queues": [],
        "max_reservation_time": {"lab": 30000}, "email": "a@example.com"}
    expect(api.get("/v1/client-permissions", headers=bearer(answer["access_token"])), 200)


def test_login_ignores_the_body(api, client):
    for body in (b"{", b'{"grant_type": "x"}', b"x" * 1000):
        expect(api.request("POST", "/v1/oauth2/token", data=body, auth=client), 200)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_failed_logins(api, client, method, name):
    def post(**options):
        """503: a busy machine has no room for it now."""
        answers = []

        def answered():
            answers.append(api.request(method, "/v1/oauth2/token", **options))
            return answers[-1].status_code != 503

        wait_until(answered, "an answer", 60)
        return answers[-1]

    expect(post(), 401, NO_HEADER)
    for header in ("Bearer x", "Basic", "Basic ", "Basic !", "Digest YTpi", "YTpi", "",
                   *(basic(x)["Authorization"] for x in ("", "nocolon", ":", "a:", ":b", b"\xff:b",
                                                         b"a\0b:c"))):
        expect(post(headers={"Authorization": header}), 401, NO_CREDENTIALS if header else None)
    for user, key in ((name, "wrong"), ("nobody", "its-own-secret-key"), (name.upper(), client[1]),
                      (name, client[1] + "x"), (name, client[1][:-1]), (name + " ", client[1])):
        expect(post(auth=(user, key)), 401, BAD)
    for raw in (f"{name}:{client[1]}\0", f"{name}:\0", f"{name}:" + "x" * 5000):
        expect(post(headers=basic(raw)), 401, BAD)
    expect(post(auth=client), 200)
    expect(post(headers={"Authorization": basic(":".join(client))["Authorization"].replace(
        "Basic", "bASIC")}), 200)


def test_secrets_of_any_form(api, admin, name):
    for i, key in enumerate(("with:colons:in:it", " spaces at both ends ", "p\u00e4ssw\u00f6rd-\u65e5\u672c\u8a9e", "7f3e9a1c" * 9)):
        who = admin.create(f"{name}-{i}", key)
        expect(api.post("/v1/oauth2/token", headers=basic(":".join(who))), 200)


OLD = {"data": b"{}", "headers": {"Content-Type": "application/json"}}


@pytest.mark.alike
@pytest.mark.parametrize("method, options, text", [
    ("POST", {}, None), ("POST", {"headers": {"Accept": "text/html"}}, None), ("POST", {"data": b""}, None),
    ("POST", OLD, True), ("GET", {}, True), ("POST", {"data": b"{}"}, True), ("GET", OLD, True),
    ("POST", {"headers": JSON}, False), ("POST", {"headers": TEXT}, True), ("GET", {"headers": JSON}, False),
    ("POST", {"data": b"{}", "headers": JSON}, False), ("GET", {"headers": TEXT}, True),
    ("POST", {"headers": {"Accept": "text/plain, application/json"}}, True),
    ("POST", {"headers": {"Accept": "APPLICATION/JSON;q=0.9, text/plain;q=0.5"}}, False),
], ids=str)
def test_forms(api, open_server, client, method, options, text):
    """JSON for today's clients. The first ones, which the open mode tells by how they ask, take the body for the token."""
    Admin(open_server).create(client[0], client[1])
    accept = "Accept" in options.get("headers", {})
    for one, is_text in ((api, text if accept else False), (Api(open_server.url), bool(text))):
        response = expect(one.request(method, "/v1/oauth2/token", auth=client, **options), 200)
        if is_text:
            assert response.headers["Content-Type"].startswith("text/plain")
            assert payload(response.text)["permissions"]["client_id"] == client[0]
        else:
            assert payload(response.json()["access_token"])["permissions"]["client_id"] == client[0]


@pytest.mark.parametrize("scheme", ["", "Bearer "])
def test_whole_answer_as_token(api, open_server, admin, name, queue, scheme):
    """The first command line sends what it got, be it JSON: in the open mode its token counts."""
    Admin(open_server).create(name, "its-own-secret-key", "contributor", "--max-priority", "*=7")
    one = Api(open_server.url)
    text = expect(one.post("/v1/oauth2/token", auth=(name, "its-own-secret-key")), 200).text.strip()

    def submit(to, header):
        return to.post("/v1/job", {"job_queue": queue, "job_priority": 5}, headers={"Authorization": header})

    expect(submit(one, scheme + text), 200)
    for bad in ('{"access_token": 5}', '{"access_token": ""}', "{", "{}", '{"access_token": {"access_token": "x"}}', "{" * 3000,
                text.replace('"access_token": "', '"access_token": "x')):
        expect(submit(one, scheme + bad), 403)
    assert submit(api, scheme + text).status_code in (401, 403)


@pytest.mark.parametrize("aud", ["testflinger", ["x", "y"], {"x": 1}, 5, True])
def test_audience_of_another_service(api, open_server, aud):
    now = time.time()
    foreign = sign({"exp": now + 60, "iat": now, "sub": "access_token", "aud": aud,
                    "permissions": {"client_id": "x", "role": "admin"}})
    for one in (api, Api(open_server.url)):
        expect(one.post("/v1/job", {"job_queue": "q", "job_priority": 1}, headers={"Authorization": f"Bearer {foreign}"}),
               403, message("Invalid Token"))


@pytest.mark.stores("sqlite")  # a setting of the worker, no matter of the store
@pytest.mark.parametrize("setting, mode, text", [("json", "open", False), ("text", "roles", True)])
def test_form_setting(private, name, setting, mode, text):
    stack = private("--auth", mode, "--token-reply", setting, "--token-lifetime", 77, env=auth.ENV)
    who = Admin(stack).create(name, "its-own-secret-key")
    response = expect(Api(stack.url).post("/v1/oauth2/token", auth=who), 200)
    found = payload(response.text if text else response.json()["access_token"])
    assert found["exp"] - found["iat"] == 77


def test_head_stores_nothing(api, admin, client):
    assert api.head("/v1/oauth2/token", auth=client).status_code == 200
    assert admin.json("tokens", "list", "--client", client[0]) == []


def test_text_stores_nothing(api, admin, client):
    """A client that gets the token alone never shows a refresh token again."""
    expect(api.post("/v1/oauth2/token", auth=client, headers=TEXT), 200)
    assert admin.json("tokens", "list", "--client", client[0]) == []


# Refreshing


def test_refresh(api, client, admin):
    first = login(api, client)
    answer = expect(api.post("/v1/oauth2/refresh", {"refresh_token": first["refresh_token"]}), 200)
    assert list(answer.json()) == ["access_token", "token_type", "expires_in"]
    assert payload(answer.json()["access_token"])["permissions"] == payload(first["access_token"])["permissions"]
    admin.good("clients", "edit", client[0], "--role", "manager", "--max-priority", "*=", "--allow", "lab")
    answer = expect(api.post("/v1/oauth2/refresh", {"refresh_token": first["refresh_token"]}), 200)
    found = payload(answer.json()["access_token"])["permissions"]
    assert (found["role"], found["max_priority"], found["allowed_queues"]) == ("manager", {}, ["lab"])


@pytest.mark.parametrize("body, errors", [
    ({}, {"refresh_token": [MISSING]}), ({"refresh_token": None}, {"refresh_token": [NULL]}),
    ({"refresh_token": ""}, {"refresh_token": ["Shorter than minimum length 1."]}),
    ({"refresh_token": 5}, {"refresh_token": ["Not a valid string."]}),
    ([], {"_schema": ["Invalid input type."]}),
    ({"refresh_token": "x", "y": 1}, {"y": ["Unknown field."]}),
], ids=str)
def test_bodies(api, roles_server, body, errors):
    before = len(events(roles_server))
    expect(api.post("/v1/oauth2/refresh", body), 422, invalid(errors))
    (event,) = wait_until(lambda: events(roles_server)[before:], "its event")
    assert (event["event"], event["level"]) == ("authn_login_fail:unknown", "WARN")
    expect(api.post("/v1/oauth2/revoke", body, headers=as_role("admin")), 422, invalid(errors))


def test_unknown_refresh_tokens(api, client):
    known = login(api, client)["refresh_token"]
    digest = hashlib.sha256(known.encode()).hexdigest()
    for text in ("x", known[:-1], known + "x", known.lower(), digest, "\0", "x" * 60000, known + "\0"):
        body = {"refresh_token": text}
        expect(api.post("/v1/oauth2/refresh", body), 400, message("Invalid refresh token."))
        expect(api.post("/v1/oauth2/revoke", body, headers=as_role("admin")), 400,
               message("Refresh token not found"))
    expect(api.post("/v1/oauth2/refresh", {"refresh_token": known}), 200)


def test_refresh_of_a_removed_client(api, client, admin):
    body = {"refresh_token": login(api, client)["refresh_token"]}
    admin.good("clients", "remove", client[0], "--yes")
    expect(api.post("/v1/oauth2/refresh", body), 400, message("Invalid refresh token."))


def test_expired_refresh_token(private, name):
    stack = private("--auth", "roles", "--refresh-lifetime", 3, env=auth.ENV)
    api = Api(stack.url)
    body = {"refresh_token": login(api, Admin(stack).create(name, "its-own-secret-key"))["refresh_token"]}
    expect(api.post("/v1/oauth2/refresh", body), 200)
    refused, = wait_until(lambda: (r := api.post("/v1/oauth2/refresh", body)).status_code != 200 and (r,), "it expires")
    expect(refused, 400, message("Refresh token expired"))
    assert [e["level"] for e in events(stack) if e["event"].startswith(f"authn_token_reuse:{name},")] == ["CRITICAL"]


def test_revoke(api, roles_server, client, admin):
    body = {"refresh_token": login(api, client)["refresh_token"]}
    other = {"refresh_token": login(api, client)["refresh_token"]}
    expect(api.post("/v1/oauth2/revoke", body, headers=as_role("admin")), 200, {"status": "OK"})
    expect(api.post("/v1/oauth2/revoke", body, headers=as_role("admin")), 400,
           message("Refresh token has already been revoked"))
    expect(api.post("/v1/oauth2/refresh", body), 400, message("Refresh token revoked."))
    expect(api.post("/v1/oauth2/refresh", other), 200)
    states = {t["id"]: t["revoked"] for t in admin.json("tokens", "list", "--client", client[0])}
    assert sorted(states.values()) == [False, True]
    (gone,) = [t for t, revoked in states.items() if revoked]
    names = [e["event"] for e in events(roles_server)]
    assert f"authn_token_revoked:{client[0]},{gone}" in names
    assert f"authn_token_reuse:{client[0]},{gone}" in names


def test_last_use_is_kept(api, client, admin):
    body = {"refresh_token": login(api, client)["refresh_token"]}
    (before,) = admin.json("tokens", "list", "--client", client[0])
    time.sleep(1.1)
    expect(api.post("/v1/oauth2/refresh", body), 200)
    (after,) = admin.json("tokens", "list", "--client", client[0])
    assert after["last_accessed"] > before["last_accessed"]
    assert {**after, "last_accessed": 0} == {**before, "last_accessed": 0}


# Keys


def accepted(api, text):
    return api.get("/v1/audit", headers=bearer(text)).status_code == 200


@pytest.mark.stores("sqlite")  # a setting of the worker, no matter of the store
def test_leeway(private):
    stack = private("--auth", "roles", "--jwt-leeway", 100, env=auth.ENV)
    api = Api(stack.url)
    for age, lifetime, good in ((90, 0, True), (110, 0, False), (-90, 600, True), (-110, 600, False)):
        assert accepted(api, token({"client_id": "c", "role": "admin"}, age=age, lifetime=lifetime)) == good


@pytest.mark.slow
def test_rotation_of_keys(private, store_uri, name):
    """A change of keys logs nobody out: the first key signs, all are accepted."""
    uri, new = store_uri(), secret("a-new-signing-key-that-comes-later")
    tokens = []
    for keys in (auth.KEY, f"{new},{auth.KEY}", f"{new}\n{auth.KEY}\n", new):
        stack = private("--auth", "roles", store=uri, env={**auth.ENV, "JWT_SIGNING_KEY": keys})
        if not tokens:
            who = Admin(stack).create(name, "its-own-secret-key", "admin")
            uri = stack.store
        api = Api(stack.url)
        tokens.append(login(api, who)["access_token"])
        assert [accepted(api, t) for t in tokens] == (
            [True] * len(tokens) if keys != new else [False, True, True, True])


def test_key_of_the_store(private, store_uri, name):
    """Without a key in the settings, all processes of all servers share a random one."""
    first = private("--auth", "roles", store=store_uri(), workers=3)
    who = Admin(first).create(name, "its-own-secret-key", "admin")
    texts = [login(Api(first.url), who)["access_token"]]
    second = private("--auth", "roles", store=first.store, workers=3)
    texts.append(login(Api(second.url), who)["access_token"])
    for _ in range(12):
        assert all(accepted(Api(stack.url), text) for stack in (first, second) for text in texts)
    for key in ("", auth.KEY):
        assert not accepted(Api(first.url), sign(claims({"role": "admin"}), key=key))


@pytest.mark.parametrize("mode", ["roles", "login"])
@pytest.mark.parametrize("keys", ["short", f"{auth.KEY},short", ",".join(str(i) * 32 for i in range(9))])
def test_keys_that_are_refused(tmp_path, mode, keys):
    done = subprocess.run([BIN / "testflinger-worker", "--auth", mode, "--bus", tmp_path, "--store",
                           f"sqlite:{tmp_path}/x"], env={"JWT_SIGNING_KEY": keys}, text=True,
                          capture_output=True, timeout=20)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "JWT_SIGNING_KEY" in done.stderr and "short" not in done.stderr.replace("shorter", "")


def test_short_key_in_open_mode(private, name):
    """Any key is accepted, as by the first servers, but a weak one is logged with its risk."""
    stack = private(env={**auth.ENV, "JWT_SIGNING_KEY": secret("a-short-key")})
    who = Admin(stack).create(name, "its-own-secret-key", "contributor", "--max-priority", "*=3")
    headers = bearer(expect(Api(stack.url).post("/v1/oauth2/token", auth=who), 200).text)
    expect(Api(stack.url).post("/v1/job", {"job_queue": "q", "job_priority": 3}, headers=headers), 200)
    assert stack.log_contains("JWT_SIGNING_KEY is shorter than 32 bytes")


@pytest.mark.stores("sqlite")  # a setting of the worker, no matter of the store
def test_key_file(private, tmp_path, name):
    file = tmp_path / "key"
    file.write_text(auth.KEY + "\n")
    stack = private("--auth", "roles", env={"JWT_SIGNING_KEY_FILE": str(file)})
    assert accepted(Api(stack.url), token({"client_id": "c", "role": "admin"}))


def test_the_frontend_never_sees_the_key(roles_server):
    from pathlib import Path

    for role, sees in (("frontend", False), ("broker", False), ("worker", True)):
        for pid in roles_server.pids(role):
            assert (auth.KEY in Path(f"/proc/{pid}/environ").read_text()) == sees
