"""The mode of an agent, set by its page."""

import pytest

import auth
from client import Api, expect
from test_web_forms import FOREIGN, send
from test_web_signin import Visitor, client_of, form
from web import HOSTILE, Page, page, shown, text_of


@pytest.fixture
def agent(roles_server, queue):
    api = Api(roles_server.url)
    expect(api.post(f"/v1/agents/data/{queue}", {"state": "waiting", "queues": [queue]}, headers=auth.as_role("agent")),
           200)
    return queue


def mode_of(server, agent):
    return expect(Api(server.url).get(f"/v1/agents/data/{agent}"), 200).json().get("mode")


def test_modes(roles_server, agent):
    visitor = Visitor(roles_server.url, client_of(roles_server, "manager"))
    path = f"/agents/{agent}/mode"
    assert page(visitor, f"/agents/{agent}").links()["Set mode"] == path
    found = page(visitor, path)
    assert [f.get("action") for f in found.all("main//form")] == [path]
    reason = HOSTILE.replace("\0", "").replace("\x1b", "").replace("\x85", "")
    answer = visitor.act(path, mode="maintenance", comment=reason)
    assert answer.headers["Location"] == f"/agents/{agent}?done=mode" and "Set-Cookie" not in answer.headers
    found = page(visitor, answer.headers["Location"])
    assert shown(reason) in text_of(found.one("main")) and "The mode is set." in found.text
    assert mode_of(roles_server, agent) == "MAINTENANCE"
    visitor.act(path, mode="maintenance", comment=reason)
    visitor.act(path, mode="offline", comment="new disk")
    assert mode_of(roles_server, agent) == "OFFLINE"
    visitor.act(path, mode="online")
    assert mode_of(roles_server, agent) == "ONLINE"
    visitor.act(path, mode="restart")
    entries = expect(Api(roles_server.url).get(f"/v1/audit?target={agent}&action=agent.mode",
                                               headers=auth.as_role("admin")), 200).json()
    assert [e["detail"]["mode"] for e in entries] == ["RESTART", "ONLINE", "OFFLINE", "MAINTENANCE", "MAINTENANCE"]


@pytest.mark.parametrize("fields", [
    {}, {"mode": ""}, {"mode": "maintenance"}, {"mode": "offline", "comment": ""}, {"mode": "nope", "comment": "x"},
    {"mode": HOSTILE.replace("\0", ""), "comment": "x"}, {"mode": "offline", "comment": "x" * 20000},
])
def test_faults(roles_server, agent, fields):
    visitor = Visitor(roles_server.url, client_of(roles_server, "admin"))
    Page(visitor.act(f"/agents/{agent}/mode", 422, **fields))
    assert mode_of(roles_server, agent) is None


def test_who_may(roles_server, agent):
    path = f"/agents/{agent}/mode"
    for role in (None, "contributor", "agent"):
        visitor = Visitor(roles_server.url, role and client_of(roles_server, role))
        if role != "agent":
            assert "Set mode" not in page(visitor, f"/agents/{agent}").links()
        page(visitor, path, 403)
        expect(send(visitor, path, form(mode="online", csrf=getattr(visitor, "csrf", ""))), 403)
    manager = Visitor(roles_server.url, client_of(roles_server, "manager"))
    other = Visitor(roles_server.url, client_of(roles_server, "manager"))
    for csrf in ("", "x", other.csrf):
        manager.act(path, 403, mode="restart", csrf=csrf)
    for headers in FOREIGN:
        expect(send(manager, path, form(mode="restart", csrf=manager.csrf), **headers), 403)
    manager.act(path, 413, mode="offline", comment="x" * 2**20)
    assert mode_of(roles_server, agent) is None
    manager.act(f"/agents/{agent}-no/mode", 404, mode="restart")
    page(manager, f"/agents/{agent}-no/mode", 404)
    expect(Api(roles_server.url).get(f"/v1/agents/data/{agent}-no"), 404)
