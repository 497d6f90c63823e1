"""Signing in to the web pages, and what a session is worth: to pages all, to the API nothing."""

import re
import urllib.parse

import pytest

import auth
from client import Api, expect, message, new_id
from stack import secret
from storage import storage_of
from test_web_forms import FORM, send
from web import HOSTILE, HTML, JSON, ROWS, Page, page, text_of

SIGN_IN = "You need to sign in to access this page."
KEY = "a secret of these tests"


def form(**fields):
    return urllib.parse.urlencode(fields)


class Visitor(Api):
    """A browser: it has the cookie, and what the forms of its pages carry."""

    def __init__(self, url, client_id=None, key=KEY, **more):
        super().__init__(url)
        if client_id:
            self.answer = expect(send(self, "/login", form(client_id=client_id, secret=key, **more)), 303)
            self.cookie = secret(self.answer.headers["Set-Cookie"].partition(";")[0])
            self.session.headers["Cookie"] = self.cookie
            self.csrf = csrf_of(page(self, "/"))

    def act(self, path, status=303, **fields):
        """Sends a form with what it needs; `csrf` among the fields replaces it."""
        return expect(send(self, path, form(**{"csrf": self.csrf, **fields})), status)


def csrf_of(found):
    values = {e.get("value") for e in found.all("input") if e.get("name") == "csrf"}
    assert len(values) <= 1
    return values.pop() if values else None


def client_of(server, role="contributor"):
    """A new client with the secret KEY."""
    name = f"{role}-{new_id()}"
    auth.Admin(server).create(name, KEY, role)
    return name


@pytest.fixture(params=["server", "roles_server", "login_server"])
def any_server(request, store):
    """In every mode."""
    return request.getfixturevalue(request.param)


def token_of(server, client_id):
    """Headers of the client for the API."""
    return auth.bearer(auth.login(Api(server.url), (client_id, KEY))["access_token"])


# ---- signing in ----

def test_sign_in(any_server):
    name = client_of(any_server)
    nobody = Api(any_server.url)
    found = page(nobody, "/login?next=/jobs%3Fqueue%3Da%2520b")
    asked, = [f for f in found.all("main//form") if f.get("action") == "/login"]
    assert {e.get("name"): e.get("value") for e in asked.iter("input")} == {
        "client_id": "", "secret": None, "next": "/jobs?queue=a%20b"}
    assert page(nobody, "/").links()["Sign in"] == "/login?next=%2F" and not csrf_of(page(nobody, "/"))
    visitor = Visitor(any_server.url, name, next="/jobs?queue=a%20b")
    assert visitor.answer.headers["Location"] == "/jobs?queue=a%20b"
    assert visitor.answer.headers["Cache-Control"] == "no-store"
    name_and_text, *attributes = visitor.answer.headers["Set-Cookie"].split("; ")
    assert re.fullmatch(r"tf_session=[\w-]{64}", name_and_text)
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Lax"]
    found = page(visitor, "/")
    assert name in text_of(found.one("header")) and "Sign in" not in found.links()
    assert found.links()["My jobs"] == "/jobs?submitter=me" and re.fullmatch("[0-9a-f]{64}", visitor.csrf)
    page(visitor, "/jobs?submitter=me")
    expect(visitor.get("/login?next=/queues", headers=HTML), 303)
    out = visitor.act("/logout")
    assert out.headers["Location"] == "/" and "Max-Age=0" in out.headers["Set-Cookie"]
    assert "Sign in" in page(visitor, "/").links()  # the cookie is worth nothing, also if it is sent


@pytest.mark.parametrize("fields", [
    {}, {"client_id": "x"}, {"secret": KEY}, {"client_id": "nobody", "secret": KEY}, {"client_id": "", "secret": ""},
    {"client_id": HOSTILE.replace("\0", ""), "secret": HOSTILE.replace("\0", "")},
    {"client_id": "x" * 20000, "secret": "y" * 20000},
])
def test_wrong_credentials(server, fields):
    answer = expect(send(Api(server.url), "/login", form(**fields, next="/queues")), 401)
    found = Page(answer)
    assert "is wrong" in text_of(found.one("main")) and "Set-Cookie" not in answer.headers
    assert [e.get("value") for e in found.all("input") if e.get("name") == "next"] == ["/queues"]
    assert not [e for e in found.all("input") if e.get("name") == "secret" and e.get("value")]


def test_a_wrong_secret(server):
    name = client_of(server)
    expect(send(Api(server.url), "/login", form(client_id=name, secret=KEY + "x")), 401)
    expect(send(Api(server.url), "/login", form(client_id=name, secret="")), 401)
    expect(send(Api(server.url), "/login", form(client_id=name, secret=KEY)), 303)


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("asked, goes", [
    ("/jobs?queue=a%20b#x", None), ("//evil.example/", "/"), ("/\\evil.example", "/"), ("https://evil.example", "/"),
    ("javascript:alert(1)", "/"), ("", "/"), ("/a\r\nSet-Cookie: x=1", "/"), ("/é", "/"), ("/a b", "/"), ("/a\\b", "/"),
    ("/" + "x" * 3000, "/"), ("jobs", "/"),
])
def test_where_signing_in_leads(server, asked, goes):
    storage_of(server).add_client("goes", role="contributor")
    found = page(Api(server.url), "/login", params={"next": asked})
    shown, = [e.get("value") for e in found.all("input") if e.get("name") == "next"]
    assert shown == (goes or asked)


@pytest.mark.stores("sqlite")
def test_where_the_form_leads(server):
    name = client_of(server)
    for asked, goes in (("//evil.example", "/"), ("/queues", "/queues"), ("/\t/evil.example", "/")):
        assert Visitor(server.url, name, next=asked).answer.headers["Location"] == goes


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("setting, forwarded, secure", [
    ("auto", "https", True), ("auto", "http", False), ("yes", "http", True), ("no", "https", False)])
def test_a_cookie_for_https(private, setting, forwarded, secure):
    stack = private("--web-secure", setting, "--trusted-proxies", "127.0.0.0/8", workers=1, webhooks=0)
    headers = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": forwarded}
    answer = expect(send(Api(stack.url), "/login", form(client_id=client_of(stack), secret=KEY), **headers), 303)
    assert ("; Secure" in answer.headers["Set-Cookie"]) == secure


@pytest.mark.stores("sqlite")
def test_too_many_failed_logins(private):
    stack = private("--login-failures", 2, "--login-failures-address", 0, workers=1, webhooks=0)
    api, name = Api(stack.url), client_of(stack)
    for _ in range(2):
        expect(send(api, "/login", form(client_id=name, secret="wrong")), 401)
    locked = expect(send(api, "/login", form(client_id=name, secret=KEY)), 429)
    assert int(locked.headers["Retry-After"]) > 0 and "Too many failed logins" in Page(locked).text
    assert f"authn_login_fail:{name}" in stack.log() and KEY not in stack.log()


# ---- modes ----

@pytest.mark.parametrize("path", [p for p in ROWS.values() if p not in ("/", "/login")])
def test_pages_need_a_session_in_the_mode_login(login_server, path):
    address = re.sub("<.*?>", "nope", path)
    nobody = Api(login_server.url)
    found = page(nobody, address + "?a=b c", 401)
    assert SIGN_IN in found.text and not found.all("nav")
    expected = "/login?next=" + urllib.parse.quote(address + "?a=b%20c", safe="")
    assert found.links()["Sign in"] == expected
    expect(nobody.get(address, headers=JSON), 401, message(SIGN_IN))
    expect(nobody.get(address, headers={**JSON, "Authorization": "Bearer x"}), 401, message(SIGN_IN))


def test_roles_of_pages(login_server):
    assert page(Visitor(login_server.url, client_of(login_server)), "/queues").all("nav")
    agent = Visitor(login_server.url, client_of(login_server, "agent"))
    page(agent, "/queues", 403)
    assert not page(agent, "/").all("nav")


# ---- what a session is worth ----

def test_the_api_looks_at_no_cookie(login_server, queue):
    visitor = Visitor(login_server.url, client_of(login_server, "admin"))
    page(visitor, "/queues")
    expect(visitor.post("/v1/job", {"job_queue": queue}), 401)
    expect(visitor.get("/v1/client-permissions"), 401)


def test_pages_look_at_no_token(login_server):
    page(Api(login_server.url), "/queues", 401, headers=auth.as_role("admin"))


def test_a_session_is_no_refresh_token(any_server):
    """Nor the other way round, nor what the database holds of either."""
    name, api = client_of(any_server), Api(any_server.url)
    admin = token_of(any_server, client_of(any_server, "admin"))
    visitor, storage = Visitor(any_server.url, name), storage_of(any_server)
    text = visitor.cookie.partition("=")[2]
    sessions = storage.refresh_digests(name)
    for token in (text, *sessions):
        expect(api.post("/v1/oauth2/refresh", {"refresh_token": token}), 400, message("Invalid refresh token."))
        expect(api.post("/v1/oauth2/revoke", {"refresh_token": token}, headers=admin), 400,
               message("Refresh token not found"))
    assert len(sessions) == 1 and page(visitor, "/jobs")
    refresh = auth.login(api, (name, KEY))["refresh_token"]
    for token in (refresh, *storage.refresh_digests(name), "", "x", '"\\000"', "x" * 5000, "é", '"a\\000b"'):
        api.session.headers["Cookie"] = f"tf_session={token}".encode()
        assert "Sign in" in page(api, "/").links()
    kinds = [t.get("kind") for t in auth.Admin(any_server).json("tokens", "list", "--client", name)]
    assert sorted(kinds, key=str) == [None, "web"]


def test_sessions_end(login_server):
    """With sign-out, by an admin, with the client's secret or role, with the client; by themselves."""
    admin, storage, tool = auth.as_role("admin"), storage_of(login_server), auth.Admin(login_server)
    api, name = Api(login_server.url), client_of(login_server)
    url = f"/v1/client-permissions/{name}"

    def ends(end, client_id=name):
        one, other = (Visitor(login_server.url, client_id) for _ in range(2))
        end(one)
        page(one, "/jobs", 401)
        return other

    page(ends(lambda v: v.act("/logout")), "/jobs")
    page(ends(lambda v: tool.good("tokens", "revoke", "--client", name)), "/jobs", 401)
    page(ends(lambda v: storage.expire_tokens(name)), "/jobs", 401)
    page(ends(lambda v: expect(api.request("PUT", url, json={"role": "manager"}, headers=admin), 200)),
         "/jobs", 401)
    page(ends(lambda v: expect(api.request("DELETE", url, headers=admin), 200)), "/jobs", 401)
    auth.Admin(login_server).create(name, KEY)  # another one of the name
    Visitor(login_server.url, name)


def test_permissions_are_those_of_now(login_server, queue):
    name = client_of(login_server, "contributor")
    storage = storage_of(login_server)
    visitor = Visitor(login_server.url, name)
    page(visitor, "/jobs")
    storage.allow(name, queue)  # as another program would: neither secret nor role changes
    page(visitor, "/jobs")


def test_a_session_goes_on(login_server):
    """A page late in the session renews it, and not each page does."""
    storage, name = storage_of(login_server), client_of(login_server)
    visitor = Visitor(login_server.url, name)
    first = storage.tokens_end(name)
    page(visitor, "/jobs")
    assert storage.tokens_end(name) == first
    storage.move_tokens_end(name, -700)
    page(visitor, "/jobs")
    assert storage.tokens_end(name) > first - 600


# ---- forms of a session ----

def test_forms_carry_the_token_of_their_session(any_server, queue):
    name = client_of(any_server, "admin")
    visitor, other = Visitor(any_server.url, name), Visitor(any_server.url, name)
    job = expect(Api(any_server.url).post("/v1/job", {"job_queue": queue}, headers=token_of(any_server, name)),
                 200).json()["job_id"]
    path = f"/jobs/{job}/cancel"
    assert csrf_of(page(visitor, path)) == visitor.csrf != other.csrf
    for wrong in ("", "x", other.csrf, visitor.csrf.upper(), visitor.csrf + "0", visitor.csrf[:-1], HOSTILE[:-2]):
        if "\0" not in wrong:
            assert "not of your session" in Page(visitor.act(path, 403, csrf=wrong)).text
    expect(send(visitor, path), 403)
    expect(visitor.get("/logout"), 405)
    visitor.act("/logout", 403, csrf=other.csrf)
    # the form of a session that has ended
    nobody = Api(any_server.url)
    answer = Page(expect(send(nobody, path, form(csrf=visitor.csrf)), 401))
    assert answer.links()["Sign in"] == "/login?next=" + urllib.parse.quote(path, safe="")
    visitor.act(path)
    visitor.act(path, 409)


def test_owners(private, queue):
    """With --owner-rules, a page's button does what the API allows."""
    stack = private("--auth", "login", "--owner-rules", "yes", workers=1, webhooks=0)
    api, owner, other = Api(stack.url), client_of(stack), client_of(stack)
    job = expect(api.post("/v1/job", {"job_queue": queue}, headers=token_of(stack, owner)), 200).json()["job_id"]
    refused = Visitor(stack.url, other).act(f"/jobs/{job}/cancel", 403)
    assert "Only the submitter" in Page(refused).text
    visitor = Visitor(stack.url, owner)
    assert [r["Job"] for r in page(visitor, "/jobs?submitter=me").rows()][0].startswith(job[:8])
    visitor.act(f"/jobs/{job}/cancel")
    entries = expect(api.get("/v1/audit?action=job.cancel", headers=token_of(stack, client_of(stack, "admin"))), 200).json()
    assert [(e["actor"], e["target"]) for e in entries] == [(owner, job)]


def test_uploads_carry_it_in_their_address(login_server, queue):
    """The body of an upload is not read before it is wanted."""
    name = client_of(login_server)
    visitor, other = Visitor(login_server.url, name), Visitor(login_server.url, name)
    job = expect(visitor.post("/v1/job", {"job_queue": queue, "test_data": {"attachments": [
        {"agent": "b"}]}}, headers=token_of(login_server, name)), 200).json()["job_id"]
    action, = [f.get("action") for f in page(visitor, f"/jobs/{job}").all("form") if f.get("enctype")]
    assert action == f"/jobs/{job}/attachments?csrf={visitor.csrf}"
    file = {"files": {"file": ("a.tar.gz", b"x")}, "headers": HTML}
    for wrong in ("", f"?csrf={other.csrf}", "?csrf=", f"?csrf=x&csrf={visitor.csrf}"):
        expect(visitor.post(action.partition("?")[0] + wrong, **file), 403)
    expect(visitor.post(action, **file), 303)
