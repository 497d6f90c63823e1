"""Dead letters: listed and sent again, by admins and on the command line; metrics; upkeep."""

import json
import os
import subprocess
from urllib.parse import urljoin

import pytest
import requests

import auth
from client import Api, expect, message, new_id
from receiver import Receiver
from stack import BIN, Port, Stack, secret, wait_until
from test_metrics import samples
from test_web_signin import Visitor, client_of
from test_webhooks import post, state
from web import model, page

pytestmark = pytest.mark.waits

USER = secret("user-of-the-receiver")


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as process:
        yield process


@pytest.fixture(scope="module")
def ports():
    port = Port(4)
    yield port.number
    port.release()


@pytest.fixture(scope="module")
def hooks(store_uri, ports):
    with Stack(store_uri(), "--webhook-tries", 2, "--webhook-backoff",
               100, "--metrics-port", ports, webhooks=1, env=auth.ENV) as stack:
        yield stack


@pytest.fixture
def api(hooks):
    return Api(hooks.url)


@pytest.fixture
def admin(hooks):
    client = Api(hooks.url)
    client.session.headers.update(auth.as_role("admin"))
    return client


def letters(admin, **params):
    return expect(admin.get("/v1/webhooks/dead", params=params), 200).json()


def letter(admin, response):
    id_ = response.headers["X-Webhook-Event-Id"]
    return next((x for x in letters(admin) if x["id"] == id_), None)


def command(hooks, *args):
    done = subprocess.run([BIN / "testflinger-webhook", *args], capture_output=True, text=True,
                          env={**os.environ, "TESTFLINGER_STORE": hooks.store}, timeout=30)
    return done.returncode, done.stdout, done.stderr


def test_refused_event_is_a_letter(api, admin, receiver):
    job = new_id()
    url = receiver.url.replace("//", f"//{USER}:pw@") + f"/status/410/{job}"
    response = expect(post(api, url, job), 410)
    found = letter(admin, response)
    assert found.pop("created_at") <= found.pop("dead_at")
    assert found == {
        "id": response.headers["X-Webhook-Event-Id"], "job_id": job, "receiver": receiver.url,
        "url": receiver.url.replace("//", "//***@") + f"/status/410/{job}", "status": 410,
        "reason": "the receiver's answer is not 2xx", "answer": "status 410", "tries": 1}


def test_tries_end(api, admin, receiver):
    """Two tries, then the next event of the job."""
    job = new_id()
    url = f"{receiver.url}/fails/2/{job}"
    first = post(api, url, job, agent_id="1")
    assert state(first) == "queued"
    assert wait_until(lambda: letter(admin, first), "it is given up")["tries"] == 2
    assert state(post(api, url, job, agent_id="2")) in ("delivered", "queued")  # it may take more than a moment
    assert [r["headers"]["webhook-attempt"] for r in receiver.wait_for(3, job)] == ["1", "2", "1"]


def test_sent_again(api, admin, receiver):
    job = new_id()
    response = post(api, f"{receiver.url}/fails/2/{job}", job)
    wait_until(lambda: letter(admin, response), "it is given up")
    id_ = response.headers["X-Webhook-Event-Id"]
    expect(admin.post(f"/v1/webhooks/dead/{id_}/resend"), 200, "OK")
    got = receiver.wait_for(3, job)
    assert {r["headers"]["webhook-id"] for r in got} == {id_}
    wait_until(lambda: not letter(admin, response), "it is no letter any more")
    expect(admin.post(f"/v1/webhooks/dead/{id_}/resend"), 404)
    for other in ("nonsense", "x" * 300, "%00"):
        expect(admin.post(f"/v1/webhooks/dead/{other}/resend"), 404,
               message("There is no dead letter of this id"))


def test_pages(api, admin, receiver):
    for _ in range(3):
        post(api, f"{receiver.url}/status/404")
    everything = letters(admin)
    pages, path = [], "/v1/webhooks/dead?limit=2"
    while path:
        response = expect(admin.get(path), 200)
        pages += response.json()
        link = response.links.get("next", {}).get("url")
        path = link and urljoin(path, link)
    assert len(pages) == len(everything) >= 3 and pages == everything
    expect(admin.get("/v1/webhooks/dead?cursor=nonsense"), 422)
    expect(admin.get("/v1/webhooks/dead?limit=0"), 422)


def test_only_admins(api, hooks):
    """In the open mode, too."""
    expect(api.get("/v1/webhooks/dead"), 403)
    for role in ("manager", "contributor", "agent"):
        for method, path in (("GET", "/v1/webhooks/dead"), ("POST", "/v1/webhooks/dead/x/resend")):
            expect(api.request(method, path, headers=auth.as_role(role)), 403)


def test_command_line(api, admin, hooks, receiver):
    job = new_id()
    response = post(api, f"{receiver.url}/fails/2/{job}", job)
    wait_until(lambda: letter(admin, response), "it is given up")
    status, out, err = command(hooks, "--list-dead")
    assert (status, err) == (0, "")
    assert [json.loads(line) for line in out.splitlines()] == letters(admin)
    id_ = response.headers["X-Webhook-Event-Id"]
    assert command(hooks, "--resend", id_) == (0, "", "")
    receiver.wait_for(3, job)
    status, out, err = command(hooks, "--resend", "nonsense")
    assert (status, out) == (1, "") and "no dead letter nonsense" in err
    other = post(api, f"{receiver.url}/status/404")
    wait_until(lambda: letter(admin, other), "there is one to send again")
    count = len(letters(admin))
    status, out, _ = command(hooks, "--resend", "all")
    assert status == 0 and len(out.splitlines()) == count
    assert command(hooks, "--list-dead", "--resend", "x")[0] == 2
    assert "--list-dead" in command(hooks, "--help")[1]


def test_metrics(api, admin, hooks, ports, receiver):
    def value(name, **labels):
        found = samples(requests.get(f"http://127.0.0.1:{ports + 3}/metrics", timeout=10).text)
        return found.get((f"testflinger_webhook_{name}", frozenset(labels.items())), 0)

    names = [("events_total", {}), ("tries_total", {}), ("delivered_total", {}),
             ("retries_total", {}), ("faults_total", {"reason": "server"}),
             ("faults_total", {"reason": "status"}), ("dead_total", {"reason": "status"}),
             ("delivery_seconds_count", {}), ("try_seconds_count", {})]
    wait_until(lambda: value("backlog") == 0, "what other tests have left has arrived")
    before = [value(name, **labels) for name, labels in names]
    dead = value("dead_letters")
    job = new_id()
    post(api, f"{receiver.url}/ok")
    post(api, f"{receiver.url}/status/404")
    post(api, f"{receiver.url}/fails/1/{job}", job)
    receiver.wait_for(2, job)
    wait_until(lambda: value("backlog") == 0, "everything has arrived")
    after = [value(name, **labels) for name, labels in names]
    assert [b - a for a, b in zip(before, after)] == [3, 4, 2, 1, 1, 1, 1, 2, 4]
    assert value("dead_letters") == dead + 1 and value("oldest_seconds") == 0


def test_ready(ports, hooks):
    wait_until(lambda: requests.get(f"http://127.0.0.1:{ports + 3}/readyz", timeout=10).ok, "ready")


@pytest.mark.parametrize("env, text", [
    ({"WEBHOOK_URL": "nonsense"}, "WEBHOOK_URL"),
    ({"TESTFLINGER_WEBHOOK_SECRET": "short"}, "TESTFLINGER_WEBHOOK_SECRET"),
    ({"TESTFLINGER_WEBHOOK_CA": "/no/such/file"}, "webhook-ca"),
    ({"TESTFLINGER_WEBHOOK_TRIES": "0"}, "webhook-tries")])
def test_wrong_settings(tmp_path, env, text):
    done = subprocess.run([BIN / "testflinger-webhook", "--bus", tmp_path], capture_output=True,
                          text=True, timeout=30,
                          env={**os.environ, "TESTFLINGER_STORE": f"sqlite:{tmp_path}/x", **env})
    assert done.returncode == 2 and text in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_page_of_dead_letters(api, hooks, admin, receiver):
    """Filtered by receiver; one is sent again, or all."""
    visitor, jobs = Visitor(hooks.url, client_of(hooks, "admin")), [new_id() for _ in range(3)]
    here = jobs[0] = api.submit(new_id())
    for job in jobs:
        expect(post(api, f"{receiver.url}/status/410/{job}?<b>", job), 410)
    path = f"/admin/dead-letters?receiver={receiver.url[-6:]}"
    row, = [r for r in page(visitor, path).rows() if r["Job"] == jobs[0]]
    assert row["Address"].endswith(f"/status/410/{jobs[0]}?<b>") and (row["Status"], row["Tries"]) == ("410", "1")
    line, = [li for li in model(api, f"/jobs/{here}")["around"]["events"]]
    assert (line["word"], line["tries"], line["receiver"]) == ("given up", 1, receiver.url)
    assert "No event of such a receiver" in page(visitor, "/admin/dead-letters?receiver=nowhere").text
    page(visitor, "/admin/dead-letters?cursor=nothing", 422)
    assert page(visitor, "/").links()["Dead letters"] == "/admin/dead-letters"
    assert "Dead letters" not in page(api, "/").links()
    id_ = next(x["id"] for x in letters(admin) if x["job_id"] == jobs[0])
    answer = visitor.act("/admin/dead-letters", event_id=id_)
    assert answer.headers["Location"] == "/admin/dead-letters?done=resent"
    assert {r["headers"]["webhook-id"] for r in receiver.wait_for(2, jobs[0])} == {id_}
    visitor.act("/admin/dead-letters", 404, event_id=new_id())
    visitor.act("/admin/dead-letters", 422)
    asked = page(visitor, page(visitor, path).links()["Resend all of them"])
    assert receiver.url[-6:] in asked.text
    visitor.act("/admin/dead-letters", all="1", receiver=receiver.url[-6:])
    for job in jobs[1:]:
        receiver.wait_for(2, job)
    entry = expect(admin.get("/v1/audit?action=webhook.resend&limit=1"), 200).json()[0]
    assert entry["target"] == receiver.url[-6:] and entry["detail"]["events"] >= 2
