"""Queues that are paused and resumed by the form of a page."""

from urllib.parse import urlencode

import pytest

import auth
from client import Api, expect
from test_web_signin import Visitor, client_of
from web import HOSTILE, HTML, JSON, Page, model, page, shown, text_of

FORM = "application/x-www-form-urlencoded"
LATER = "2099-01-31T20:30"


def send(api, path, **fields):
    headers = {**HTML, **fields.pop("headers", {})}
    return api.post_body(path, urlencode(fields), FORM, **headers)


def form_of(found):
    """The address of the form, and the names of its fields."""
    form, = [f for f in found.all("main//form") if f.get("method") == "post"]
    return form.get("action"), [e.get("name") for e in form.iter("input")]


def test_a_queue_is_paused_and_resumed(api, queue):
    job = api.submit(queue)
    assert page(api, f"/queues/{queue}").links()["Pause"] == f"/queues/{queue}/pause"
    address, names = form_of(page(api, f"/queues/{queue}/pause"))
    assert (address, names) == (f"/queues/{queue}/pause", ["reason", "until"])
    answer = expect(send(api, address, reason=HOSTILE.replace("\0", ""), until=LATER), 303)
    assert answer.headers["Location"] == f"/queues/{queue}?done=paused"
    found = page(api, answer.headers["Location"])
    assert "The queue is paused." in text_of(found.one("main"))
    assert model(api, f"/queues/{queue}")["queue"]["paused"] == {
        "by": None, "reason": HOSTILE, "until": LATER + ":00Z"}
    expect(api.claim(queue), 204)
    address, names = form_of(page(api, found.links()["Resume"]))
    assert (address, names) == (f"/queues/{queue}/resume", [])
    assert shown(HOSTILE) in text_of(page(api, f"/queues/{queue}/pause").one("main"))
    assert expect(send(api, address), 303).headers["Location"] == f"/queues/{queue}?done=resumed"
    assert "The queue is resumed." in text_of(page(api, f"/queues/{queue}?done=resumed").one("main"))
    assert api.claimed(queue) == job
    expect(send(api, address), 303)


@pytest.mark.stores("sqlite")
@pytest.mark.parametrize("fields, says", [
    ({}, "A reason is required."), ({"reason": ""}, "A reason is required."), ({"reason": "x" * 1025}, "1024"),
    ({"reason": "x", "until": "2020-01-01T00:00"}, "Must be in the future."), ({"reason": "x", "until": "soon"}, "until"),
])
def test_forms_that_are_refused(api, queue, fields, says):
    found = Page(expect(send(api, f"/queues/{queue}/pause", **fields), 422))
    assert says in text_of(found.one("main"))
    assert not model(api, f"/queues/{queue}/pause")["is_paused"]


@pytest.mark.stores("sqlite")
def test_other_sites_may_not(api, queue):
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        expect(send(api, f"/queues/{queue}/pause", reason="x", headers=headers), 403)
    assert not model(api, f"/queues/{queue}/pause")["is_paused"]


def test_only_managers_may(roles_server, queue):
    manager, path = client_of(roles_server, "manager"), f"/queues/{queue}/pause"
    for api, csrf in ((Api(roles_server.url), {}),
                      (visitor := Visitor(roles_server.url, client_of(roles_server)), {"csrf": visitor.csrf})):
        assert "Pause" not in page(api, f"/queues/{queue}").links()
        for address, fields in ((path, {"reason": "x"}), (f"/queues/{queue}/resume", {})):
            expect(send(api, address, **fields, **csrf), 403)
        page(api, path, 403)
    api = Visitor(roles_server.url, manager)
    assert page(api, f"/queues/{queue}").links()["Pause"] == path
    expect(send(api, path, reason="x"), 403)
    api.act(path, reason="new disks")
    assert f"The queue is paused by {manager}: new disks." in text_of(page(api, path).one("main"))
    api.act(f"/queues/{queue}/resume")
    found = Api(roles_server.url).get("/v1/audit", headers=auth.as_role("admin"), params={"actor": manager}).json()
    assert {e["action"] for e in found if e["target"] == queue} == {"queue.pause", "queue.resume"}


def test_a_queue_with_a_hostile_name(api, queue):
    name = f"{queue}/<b>\"'&{{{{x}}}} 🐧"
    expect(api.post("/v1/agents/queues", {name: ""}), 200)
    link = page(api, f"/queues?search={queue}").links()[shown(name)]
    address, _ = form_of(page(api, link + "/pause"))
    expect(send(api, address, reason="x"), 303)
    assert model(api, link)["queue"]["paused"]["reason"] == "x"
    page(api, "/queues/" + "x" * 3000 + "/pause")
    assert send(api, "/queues/" + "x" * 3000 + "/pause", reason="x").status_code == 422
