"""Security events carry the words that watchers of the log look for, and nobody can forge them."""

import re

import pytest
import requests

import auth
from auth import Admin, as_role, bearer, events, login, secret, token
from client import Api, expect
from stack import Stack, wait_until
from test_tls import TlsStack, certificate  # noqa: F401 (a fixture)

ADMIN = as_role("admin", "the-admin")


@pytest.fixture(scope="module")
def api(roles_server):
    return Api(roles_server.url)


@pytest.fixture
def new(roles_server):
    """The events since the test began, as (event, level, description)."""
    before = len(events(roles_server))
    return lambda: [(e["event"], e["level"], e["description"]) for e in events(roles_server)[before:]]


def put(api, name, body, headers=ADMIN):
    return api.request("PUT", f"/v1/client-permissions/{name}", json=body, headers=headers)


def refresh(api, text):
    return api.post("/v1/oauth2/refresh", {"refresh_token": text})


def test_failed_logins(api, new, name):
    expect(api.post("/v1/oauth2/token"), 401)
    for header in ("Bearer x", "Basic !", "Basic bm9jb2xvbg=="):
        expect(api.post("/v1/oauth2/token", headers={"Authorization": header}), 401)
    expect(api.post("/v1/oauth2/token", auth=(name, "wrong")), 401)
    assert new() == [
        ("authn_login_fail:unknown", "WARN", "Login failed: missing authorization header"),
        *[("authn_login_fail:unknown", "WARN", "Login failed: incomplete credentials")] * 3,
        (f"authn_login_fail:{name}", "WARN", "Login failed: invalid client id or client key")]


@pytest.mark.parametrize("options, status, why", [
    ({"json": {}}, 422, "faulty body"), ({"json": {"refresh_token": 5}}, 422, "faulty body"), ({"data": b""}, 422, "faulty body"),
    ({"data": b"{", "headers": {"Content-Type": "application/json"}}, 400, "faulty body"),
    ({"json": {"refresh_token": "x" * 48}}, 400, "unknown token"),
], ids=str)
def test_faulty_refreshes(api, new, options, status, why):
    expect(api.request("POST", "/v1/oauth2/refresh", **options), status)
    assert new() == [("authn_login_fail:unknown", "WARN", f"Refresh token request rejected: {why}")]


def test_tokens(api, new, admin, name):
    first = login(api, admin.create(name, "its-own-secret-key", "agent"))["refresh_token"]
    expect(refresh(api, first), 200)
    expect(api.post("/v1/oauth2/revoke", {"refresh_token": first}, headers=ADMIN), 200)
    expect(refresh(api, first), 400)
    (document,) = [t["id"] for t in admin.json("tokens", "list", "--client", name)]
    assert new() == [
        (f"authn_login_success:{name}", "INFO", "A client has logged in"),
        (f"authn_token_created:{name},agent", "INFO", f"Access token created for client {name}"),
        (f"authn_token_created:{name},agent", "INFO", f"Access token refreshed for client {name}"),
        (f"authn_token_revoked:{name},{document}", "INFO", "A refresh token was revoked"),
        (f"authn_token_reuse:{name},{document}", "CRITICAL", "A revoked refresh token was used")]


def test_expired_refresh_token(private, name):
    stack = private("--auth", "roles", "--refresh-lifetime", 1, env=auth.ENV)
    text = login(Api(stack.url), Admin(stack).create(name, "its-own-secret-key"))["refresh_token"]
    wait_until(lambda: refresh(Api(stack.url), text).status_code == 400, "it expires")
    last = events(stack)[-1]
    assert last["event"].startswith(f"authn_token_reuse:{name},") and "expired" in last["description"]


def test_ended_refresh_tokens_count_as_revoked(api, new, admin, name):
    """Also those that nobody revoked by hand: their client was changed or removed."""
    text = login(api, admin.create(name, "its-own-secret-key"))["refresh_token"]
    expect(put(api, name, {"client_secret": secret("another-secret-of-it")}), 200)
    expect(refresh(api, text), 400)
    reuses = [(level, why) for event, level, why in new() if event.startswith(f"authn_token_reuse:{name},")]
    assert [level for level, _ in reuses] == ["CRITICAL"] and "revoked" in reuses[0][1]


def test_clients(api, new, name):
    expect(put(api, name, {"client_secret": secret("a-secret-of-its-own"), "role": "agent", "max_priority": {"lab": 7}}), 200)
    expect(put(api, name, {"role": "manager"}), 200)
    expect(put(api, name, {}), 200)
    rest = 'max_priority={"lab":7},allowed_queues=[],max_reservation_time={}'
    assert new() == [
        (f"user_created:the-admin,{name},role=agent,{rest}", "WARN",
         f"the-admin created new client {name}: client_secret, max_priority, role"),
        (f"user_updated:the-admin,{name},role=manager,{rest}", "WARN", f"the-admin updated client {name}: role"),
        (f"user_updated:the-admin,{name},role=manager,{rest}", "WARN", f"the-admin updated client {name}: no field")]


def test_defaults_of_a_new_client(api, new, name):
    expect(put(api, name, {"client_secret": secret("a-secret-of-its-own")}), 200)
    assert new()[0][0].startswith(f"user_created:the-admin,{name},role=contributor,max_priority={{}},")


def test_many_permissions(api, roles_server, new, name):
    """What is too long is cut at its end; who, whom and the role stay."""
    name += "-" + "ä" * 100
    limits = {f'queue "{i}" \\ ä': i for i in range(300)}
    expect(put(api, name, {"client_secret": secret("a-secret-of-its-own"), "role": "admin", "max_priority": limits}), 200)
    ((event, _, why),) = new()
    assert event.startswith(f"user_created:the-admin,{name},role=admin,max_priority={{") and len(event.encode()) <= 800
    assert why.startswith(f"the-admin created new client {name}: ")
    assert all(len(line.encode()) < 4096 for line in roles_server.log().splitlines())


def test_who_may_not_change_a_client(api, new, admin, name):
    admin.create(name, "its-own-secret-key", "admin")
    headers = as_role("manager", "the-manager")
    expect(put(api, name, {"max_priority": {}}, headers), 403)
    expect(put(api, name + "-2", {"role": "admin", "client_secret": secret("k" * 20)}, headers), 403)
    path = "authz_fail:the-manager,/v1/client-permissions"
    assert new() == [
        (f"{path}/{name}", "CRITICAL", f"the-manager has insufficient permissions to modify client '{name}'"),
        (f"{path}/{name}-2", "CRITICAL",
         f"the-manager has insufficient permissions to assign role 'admin' to client '{name}-2'")]


def test_refused_acts_of_admins(api, new, name):
    expect(put(api, name, {"role": "agent"}), 400)
    expect(put(api, "testflinger-admin", {}), 422)
    expect(api.request("DELETE", "/v1/client-permissions/testflinger-admin", headers=ADMIN), 422)
    why = "An act of an admin was refused"
    assert sorted(new()) == [
        ("authz_admin:the-admin,change of client testflinger-admin", "WARN", why),
        (f"authz_admin:the-admin,creation without client_secret of client {name}", "WARN", why),
        ("authz_admin:the-admin,removal of client testflinger-admin", "WARN", why),
        ("user_deleted:the-admin,testflinger-admin", "WARN", "The removal of a client was refused")]


def test_calls_without_a_usable_token(login_server):
    """Each 401 of the role check, and each token that was forged."""
    api, path = Api(login_server.url), "/v1/agents/queues"
    faults = {"no header": {}, "no Bearer": {"Authorization": "Basic eDp5"}, "empty": {"Authorization": ""},
              **{name: bearer(make()) for name, (make, *_) in auth.FAULTS.items()}}
    before = len(events(login_server))
    answers = [api.get(path, headers=headers) for headers in faults.values()]
    assert {a.status_code for a in answers} == {401, 403}
    found = [(e["event"], e["level"], e["description"]) for e in events(login_server)[before:]]
    assert found == [(f"authz_fail:unauthenticated,{path}", "CRITICAL",
                      a.json()["message"]) for a in answers]


def test_wrong_tokens_where_none_is_needed(api, new):
    """The role check of --auth roles."""
    expect(api.get("/v1/agents/queues", headers=bearer(token({}, age=auth.LIFETIME + 100))), 401)
    expect(api.get("/v1/agents/queues", headers={"Authorization": "Basic eDp5"}), 403)
    assert [event for event, *_ in new()] == ["authz_fail:unauthenticated,/v1/agents/queues"] * 2


ODD = ["a\nb", "a\r\nauthn_login_success:admin", "\x1b[2J", "\u009b2J", "\u2028x", 'a"b\\', "%s%n", "ä" * 300, "\U0001f600" * 200]


@pytest.mark.parametrize("client", ODD, ids=range(len(ODD)))
def test_odd_callers(api, roles_server, client):
    """Of a token that another program signed: one line an event, no control character in it."""
    lines = len(roles_server.log().split("\n"))
    before = len(events(roles_server))
    headers = bearer(token({"client_id": client, "role": "agent"}))
    expect(api.get("/v1/client-permissions", headers=headers), 403)
    expect(put(api, "someone", {"role": "admin"}, bearer(token({"client_id": client, "role": "manager"}))), 401)
    found = events(roles_server)[before:]
    assert [e["event"].split(":")[0] for e in found] == ["authz_fail"] * 2
    assert len(roles_server.log().split("\n")) == lines + 2
    for e in found:
        text = e["event"] + e["description"]
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", text) and len(e["event"].encode()) <= 800
        assert e["event"].startswith("authz_fail:" + re.sub(r"[\x1b\u009b\u2028]", "?", client[:1]))


# How the client called


def failed_login(stack, url, **options):
    before = len(events(stack))
    with requests.Session() as session:
        session.trust_env = False
        expect(session.post(f"{url}/v1/oauth2/token", timeout=10, **options), 401)
    (event,) = wait_until(lambda: events(stack)[before:], "its event")
    return event["protocol"]


@pytest.mark.stores("sqlite")
def test_protocol_of_tls(certificate):  # noqa: F811
    with TlsStack(certificate, "--auth", "roles", env=auth.ENV) as stack:
        assert failed_login(stack, stack.url, verify=str(certificate[0])) == "https"


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("trusted", [True, False])
def test_protocol_behind_a_proxy(trusted):
    """A trusted proxy's word counts, nobody else's."""
    options = ["--trusted-proxies", "127.0.0.1"] if trusted else []
    with Stack("sqlite:{folder}/data.db", "--auth", "roles", *options, env=auth.ENV) as stack:
        for proto, shown in (("https", "https"), ("http", "http"), ("gopher", "http")):
            headers = {"X-Forwarded-For": "203.0.113.5", "X-Forwarded-Proto": proto}
            assert failed_login(stack, stack.url, headers=headers) == (shown if trusted else "http")
