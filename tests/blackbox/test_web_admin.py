"""The pages of admins and managers: clients, restricted queues, tokens, audit, status. (Dead letters:
test_webhooks_dead.py)"""

import re
from urllib.parse import quote

import pytest

import auth
from client import Api, expect, new_id
from stack import secret
from storage import storage_of
from test_web_forms import FOREIGN, send
from test_web_signin import SIGN_IN, Visitor, client_of, form
from web import HOSTILE, ROWS, Page, model, page, shown, text_of

PAGES = {path: op for op, path in ROWS.items() if path.startswith("/admin/")}
FOR_MANAGERS = {"/admin/clients", "/admin/clients/<client_id>", "/admin/queues"}
FORMS = ["/admin/clients", "/admin/clients/<client_id>/delete", "/admin/queues", "/admin/queues/remove",
         "/admin/tokens/<client_id>/<token_id>/revoke", "/admin/dead-letters"]
# What names may hold: no control character.
NAME = "<script>\"'>{{title}}{{{site}}}&lt;🐧"


@pytest.fixture(scope="module")
def admin(roles_server):
    return Visitor(roles_server.url, client_of(roles_server, "admin"))


@pytest.fixture(scope="module")
def manager(roles_server):
    return Visitor(roles_server.url, client_of(roles_server, "manager"))


def percent(name):
    return quote(name, safe="")


def address(path):
    return re.sub("<.*?>", "nope", path)


def rows(visitor, path, **params):
    found = page(visitor, path, params=params)
    return found.rows() if found.all("table") else []


def secret_of(answer):
    """What a page shows once."""
    code, = [e for e in Page(answer).all("code") if e.get("id") == "the-secret"]
    assert answer.headers["Cache-Control"] == "no-store" and "ETag" not in answer.headers
    return secret(text_of(code))


def fields_of(visitor, path):
    """What the form of a client sends, but for its role."""
    asked, = [f for f in page(visitor, path).all("main//form") if f.get("action") == "/admin/clients"]
    return {e.get("name"): e.text or "" if e.tag == "textarea" else e.get("value")
            for e in asked.iter() if e.tag in ("input", "textarea") and e.get("name") not in ("csrf", "secret")}


def audited(server, **filters):
    return expect(Api(server.url).get("/v1/audit", headers=auth.as_role("admin"), params=filters), 200).json()


# ---- who may ----

def test_nobody_without_a_session(server, roles_server):
    """In the open mode, too. (The mode login: test_web_signin.py)"""
    for stack in (server, roles_server):
        nobody = Api(stack.url)
        for path in PAGES:
            assert SIGN_IN in page(nobody, address(path), 401).text
        for path in FORMS:
            assert SIGN_IN in Page(expect(send(nobody, address(path)), 401)).text
        assert "Admin" not in page(nobody, "/").links()


def test_roles(roles_server, admin, manager):
    contributor = Visitor(roles_server.url, client_of(roles_server))
    assert "Admin" not in page(contributor, "/").links()
    for path in PAGES:
        page(contributor, address(path), 403)
        if path not in FOR_MANAGERS:
            page(manager, address(path), 403)
    for path in FORMS:
        contributor.act(address(path), 403)
        if "delete" in path or "tokens" in path or "letters" in path:
            manager.act(address(path), 403)
    sections = {"Clients": "/admin/clients", "Restricted queues": "/admin/queues"}
    links = page(manager, "/admin/clients").links()
    assert links["Admin"] == "/admin/clients" and sections.items() <= links.items()
    assert not {"Tokens", "Dead letters", "Audit", "Status"} & links.keys()
    for text, path in {**sections, "Tokens": "/admin/tokens", "Dead letters": "/admin/dead-letters",
                       "Audit": "/admin/audit", "Status": "/admin/status"}.items():
        found = page(admin, path)
        assert [text_of(a) for a in found.all("main//a") if a.get("aria-current")] == [text]
        assert "Admin" in [text_of(a) for a in found.all("header//a") if a.get("aria-current")]


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("path", FORMS)
def test_forms_of_others(admin, path):
    for headers in FOREIGN:
        expect(send(admin, address(path), form(csrf=admin.csrf), **headers), 403)
    admin.act(address(path), 403, csrf="")
    admin.act(address(path), 403, csrf="x" * 64)


# ---- clients ----

def test_a_client(roles_server, admin):
    name = f"{new_id()} {NAME}"
    path = f"/admin/clients/{percent(name)}"
    answer = admin.act("/admin/clients", 200, new="1", client_id=name, role="contributor",
                       max_priority=f"* 5\na b {NAME} -7\n\n  3", max_reservation_time="")
    first = secret_of(answer)
    assert auth.login(Api(roles_server.url), (name.encode(), first))
    kept = expect(Api(roles_server.url).get(f"/v1/client-permissions/{percent(name)}",
                                            headers=auth.as_role("admin")), 200).json()
    assert (kept["role"], kept["max_priority"], kept["max_reservation_time"]) == (
        "contributor", {"*": 5, f"a b {NAME}": -7, " ": 3}, {})
    # once
    assert first not in page(admin, path).text
    assert first not in admin.act("/admin/clients", 409, new="1", client_id=name).text
    assert first not in roles_server.log()
    # changed without and with a secret
    fields = fields_of(admin, path)
    assert fields["client_id"] == name and fields["max_priority"].count("\n") == 2
    answer = admin.act("/admin/clients", **fields, role="manager")
    assert answer.headers["Location"] == f"{path}?done=saved"
    row, = rows(admin, "/admin/clients", search=name.split()[0])
    assert (row["Client"], row["Role"]) == (shown(name), "manager")
    second = secret_of(admin.act("/admin/clients", 200, **fields, secret="1"))
    assert second != first
    auth.login(Api(roles_server.url), (name.encode(), second))
    expect(Api(roles_server.url).post("/v1/oauth2/token", auth=(name.encode(), first)), 401)
    # removed
    assert page(admin, path).links()["Remove"] == f"{path}/delete"
    assert shown(name) in text_of(page(admin, f"{path}/delete").one("main"))
    assert admin.act(f"{path}/delete").headers["Location"] == "/admin/clients?done=removed"
    page(admin, path, 404)
    admin.act("/admin/clients", 404, **fields)
    assert [e["action"] for e in audited(roles_server, target=name)][-1:] == ["client.create"]
    assert {e["action"] for e in audited(roles_server, target=name)} >= {"client.update", "client.delete"}


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("fields, status, says", [
    ({}, 422, "client_id"), ({"client_id": ""}, 422, "client_id"), ({"client_id": "nobody-knows"}, 404, "not found"),
    ({"client_id": "x" * 257, "new": "1"}, 422, "client_id"), ({"client_id": "a\nb", "new": "1"}, 422, "client_id"),
    ({"client_id": "x", "new": "1", "role": "king"}, 422, "role"),
    ({"client_id": "x", "new": "1", "max_priority": "a"}, 422, "max_priority"),
    ({"client_id": "x", "new": "1", "max_priority": "a b"}, 422, "max_priority"),
    ({"client_id": "x", "new": "1", "max_reservation_time": "a 99999999999999999999"}, 422, "max_reservation_time"),
    ({"client_id": "x", "new": "1", "max_priority": HOSTILE.replace("\0", "")}, 422, "max_priority"),
    ({"client_id": "testflinger-admin", "new": "1"}, 422, "cannot"),
])
def test_faults_of_clients(admin, fields, status, says):
    assert says in text_of(Page(admin.act("/admin/clients", status, **fields)).one("main"))
    assert page(admin, "/admin/clients", params={"search": "x" * 300}).text.count("No client fits") == 1


def test_permissions_that_no_form_holds_stay(roles_server, admin):
    """Many, and what other programs have stored."""
    name, storage = client_of(roles_server), storage_of(roles_server)
    many = {f"{'q' * 240}-{i}": i for i in range(1000)}
    api, url = Api(roles_server.url), f"/v1/client-permissions/{name}"
    expect(api.request("PUT", url, json={"max_priority": many}, headers=auth.as_role("admin")), 200)
    storage.set_client(name, max_reservation_time={"a\nb": 1})
    fields = fields_of(admin, f"/admin/clients/{name}")
    assert "max_reservation_time" not in fields and fields["max_priority"].count("\n") == 999
    admin.act("/admin/clients", **fields)
    kept = expect(api.get(url, headers=auth.as_role("admin")), 200).json()
    assert (kept["max_priority"], kept["max_reservation_time"]) == (many, {"a\nb": 1})


@pytest.mark.parametrize("kept, chosen", [("Contributor", "contributor"), ("AGENT", "agent"), (None, "contributor"),
                                          ("king", None), (7, None)])
def test_a_form_that_is_saved_keeps_the_role(roles_server, admin, kept, chosen):
    """As a browser sends it: the first option where none is chosen."""
    name = client_of(roles_server)
    storage_of(roles_server).set_client(name, role=kept)
    found, fields = page(admin, f"/admin/clients/{name}"), fields_of(admin, f"/admin/clients/{name}")
    assert [text_of(o) for o in found.all("option") if o.get("selected") is not None] == ([chosen] if chosen else [])
    assert bool(found.all("option")) == bool(chosen) == ("was_role" in fields)
    if chosen:
        admin.act("/admin/clients", **fields, role=chosen)
        # another tab has given another role meanwhile
        admin.act("/admin/clients", **fields, role="agent" if chosen == "contributor" else "manager")
        assert "another role" in admin.act("/admin/clients", 409, **fields, role="admin").text
    else:
        admin.act("/admin/clients", **fields)
        row, = rows(admin, "/admin/clients", search=name)
        assert row["Role"] == str(kept)


def test_managers_change_nobody_above_them(roles_server, manager):
    above = client_of(roles_server, "admin")
    assert "You may not change this client" in page(manager, f"/admin/clients/{above}").text
    manager.act("/admin/clients", 403, client_id=above, role="agent")
    manager.act("/admin/clients", 403, client_id=new_id(), new="1", role="admin")
    options = [text_of(o) for o in page(manager, "/admin/clients").all("option")]
    assert options == ["manager", "contributor", "agent"]


# ---- restricted queues ----

def test_restricted_queues(roles_server, manager, queue):
    name, owner = f"{queue} {NAME}", client_of(roles_server)
    expect(Api(roles_server.url).post(f"/v1/agents/data/{queue}", {"queues": [name]}, headers=auth.as_role("agent")), 200)
    assert manager.act("/admin/queues", queue=name, client_id=owner).headers["Location"] == "/admin/queues?done=allowed"
    assert rows(manager, "/admin/queues", search=queue) == [
        {"Queue": shown(name), "Client": owner, "Actions": "Remove"}]
    asked, = [f for f in page(manager, "/admin/queues", params={"search": queue}).all("td//form")]
    fields = {e.get("name"): e.get("value") for e in asked.iter("input")}
    assert fields == {"csrf": manager.csrf, "queue": name, "client_id": owner}
    manager.act(asked.get("action"), **fields)
    assert not rows(manager, "/admin/queues", search=queue)
    manager.act("/admin/queues/remove", 404, **fields)
    manager.act("/admin/queues", 404, queue=name, client_id=new_id())
    manager.act("/admin/queues", 404, queue=new_id(), client_id=owner)
    manager.act("/admin/queues", 422, queue=name)
    manager.act("/admin/queues", 422, client_id=owner)
    assert [e["action"] for e in audited(roles_server, target=name)] == ["queue.unrestrict", "queue.restrict"]


# ---- tokens ----

def test_tokens(roles_server, admin):
    name = client_of(roles_server)
    visitor = Visitor(roles_server.url, name)
    refresh = auth.login(Api(roles_server.url), (name, secret("a secret of these tests")))["refresh_token"]
    found = page(admin, "/admin/tokens", params={"client_id": name})
    assert [(r["Kind"], r["Actions"]) for r in found.rows()] == [("refresh token", "Revoke"), ("session", "Revoke")]
    token, session = [a.get("href") for a in found.all("td//a")]
    for path in (token, session):
        assert name in text_of(page(admin, path).one("main"))
        assert admin.act(path).headers["Location"] == f"/admin/tokens?client_id={name}&done=revoked"
        page(admin, path, 404)
        admin.act(path, 404)
    page(visitor, "/")
    assert "Sign in" in page(visitor, "/").links()
    expect(Api(roles_server.url).post("/v1/oauth2/refresh", {"refresh_token": refresh}), 400)
    assert not rows(admin, "/admin/tokens", client_id=name)
    assert [e["action"] for e in audited(roles_server, target=name)[:2]] == ["token.revoke"] * 2
    for cursor in ("nope", "0", "x" * 500, "\0"):
        page(admin, "/admin/tokens", params={"client_id": name, "cursor": cursor})
    for path in (f"/admin/tokens/{name}/nope/revoke", f"/admin/tokens/{'x' * 500}/{'y' * 500}/revoke"):
        page(admin, path, 404)


@pytest.mark.stores("sqlite")
def test_a_token_of_another_client(roles_server, admin):
    one, other = client_of(roles_server), client_of(roles_server)
    Visitor(roles_server.url, one)
    path, = [a.get("href") for a in page(admin, "/admin/tokens", params={"client_id": one}).all("td//a")]
    admin.act(path.replace(one, other), 404)
    assert len(rows(admin, "/admin/tokens", client_id=one)) == 1


# ---- audit ----

def test_audit(roles_server, admin, manager, queue):
    for _ in range(2):
        manager.act(f"/queues/{queue}/pause", reason=HOSTILE.replace("\0", ""))
        manager.act(f"/queues/{queue}/resume")
    found = rows(admin, "/admin/audit", target=queue)
    assert [r["Action"] for r in found] == ["queue.resume", "queue.pause"] * 2
    assert {r["Role"] for r in found} == {"manager"} and shown(HOSTILE.replace("\0", ""))[:20] in found[1]["Detail"]
    assert len(rows(admin, "/admin/audit", target=queue, action="queue.pause", actor="")) == 2
    assert not rows(admin, "/admin/audit", target=queue, actor="nobody")
    for params in ({"target": HOSTILE}, {"before": "x" * 500}, {"before": "\0"}, {"actor": "x" * 3000}):
        page(admin, "/admin/audit", params=params)


@pytest.mark.stores("sqlite")
def test_audit_page_by_page(roles_server, admin, queue):
    api = Api(roles_server.url)
    for i in range(51):
        for verb in ("pause", "resume"):
            expect(api.post(f"/v1/queues/{queue}/{verb}", {"reason": f"no {i}"}, headers=auth.as_role("admin")), 200)
    first = page(admin, "/admin/audit", params={"target": queue})
    second = page(admin, "/admin/audit" + first.links()["Next"])
    details = [(r["Action"], r["Detail"]) for r in first.rows() + second.rows()]
    assert (len(first.rows()), len(second.rows()), len(set(details))) == (100, 2, 102)
    assert "Next" not in second.links()


# ---- status ----

def test_status(roles_server, admin):
    found = page(admin, "/admin/status")
    text = text_of(found.one("main"))
    assert "TESTFLINGER_AUTH roles set" in text and "JWT_SIGNING_KEY (set, not shown)" in text
    assert "Store answers yes" in text and auth.KEY not in found.text
    facts, settings = model(admin, "/admin/status")["tables"]
    assert facts["rows"][0]["cells"][0]["text"] == "Version" and len(settings["rows"]) > 40
