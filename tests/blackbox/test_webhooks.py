"""Events of jobs: what their receivers get, and what is answered to whom posts them."""

import base64
import hmac
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

import auth
from client import Api, BAD_ID, MISSING, Raw, expect, invalid, message, new_id
from receiver import Receiver
from stack import Port, secret, wait_until

pytestmark = pytest.mark.waits

EVENT = {"event_name": "started_provisioning", "timestamp": "2024-05-03T19:11:33.541130+00:00",
         "detail": "my_detailed_message"}
TIMEOUT = 3.0  # of the servers below, for the receivers' answers: also a busy machine answers in less


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as process:
        yield process


@pytest.fixture(scope="module")
def hooks(store_uri):
    """A server with webhooks that tries again soon."""
    from stack import Stack
    with Stack(store_uri(), "--webhook-timeout", int(TIMEOUT * 1000), "--webhook-backoff", 300,
               webhooks=1) as stack:
        yield stack


@pytest.fixture
def api(hooks):
    return Api(hooks.url)


def event(url, **fields):
    return {"agent_id": "agent-00", "job_queue": "myqueue", "job_status_webhook": url,
            "events": [EVENT], **fields}


def post(api, url, job=None, **fields):
    return api.post(f"/v1/job/{job or new_id()}/events", event(url, **fields))


def state(response):
    return response.headers["X-Webhook-Event-State"]


def test_event_arrives(api, receiver):
    job = new_id()
    url = f"{receiver.url}/ok/{job}?a=b"
    response = expect(post(api, url, job), 200, "thanks")
    assert state(response) == "delivered"
    (got,) = receiver.requests(job)
    assert got["method"] == "PUT" and got["path"] == f"/ok/{job}?a=b"
    assert got["headers"]["content-type"] == "application/json"
    assert json.loads(got["body"]) == {"agent_id": "agent-00", "job_queue": "myqueue",
                                       "events": [EVENT]}
    assert got["headers"]["webhook-id"] == response.headers["X-Webhook-Event-Id"]
    assert abs(int(got["headers"]["webhook-timestamp"]) - time.time()) < 60
    assert got["headers"]["webhook-attempt"] == "1"
    assert "authorization" not in got["headers"] and "expect" not in got["headers"]
    assert "webhook-signature" not in got["headers"]


def test_fields_in_the_order_of_the_contract(api, receiver):
    job = new_id()
    api.post(f"/v1/job/{job}/events", {
        "events": [{"timestamp": "x\u00e9\0", "event_name": "e"}], "agent_id": "a",
        "job_status_webhook": f"{receiver.url}/ok/{job}"})
    body = receiver.requests(job)[0]["body"]
    assert json.loads(body) == {"agent_id": "a",
                                "events": [{"event_name": "e", "timestamp": "x\u00e9\0"}]}
    assert body.index("agent_id") < body.index("events") < body.index("event_name")


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_what_the_receiver_answers_is_passed_on(api, receiver, status):
    response = post(api, f"{receiver.url}/status/{status}")
    expect(response, status, "" if status == 204 else f"status {status}")
    assert state(response) == "delivered"


@pytest.mark.alike
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
def test_refused_by_the_receiver(api, receiver, status):
    job = new_id()
    response = expect(post(api, f"{receiver.url}/status/{status}/{job}", job), status,
                      f"status {status}")
    assert state(response) == "dead"
    time.sleep(0.5)
    assert len(receiver.requests(job)) == 1


@pytest.mark.alike
@pytest.mark.parametrize("status", [302, 408, 425, 429, 500, 503, 504])
def test_refused_for_now(api, status):
    """Agents repeat what gets a 5xx, though the event is kept."""
    with Receiver() as receiver: # of its own, since it may be left alone for a while
        told = (202, "Webhook queued") if status >= 500 else (status, f"status {status}")
        response = expect(post(api, f"{receiver.url}/status/{status}"), *told)
        assert state(response) == "queued"


@pytest.mark.slow
def test_tried_again(api, receiver):
    job = new_id()
    response = expect(post(api, f"{receiver.url}/fails/2/{job}", job), 202, "Webhook queued")
    assert state(response) == "queued"
    got = receiver.wait_for(3, job)
    assert {r["headers"]["webhook-id"] for r in got} == {response.headers["X-Webhook-Event-Id"]}
    assert [r["headers"]["webhook-attempt"] for r in got] == ["1", "2", "3"]
    assert len({r["body"] for r in got}) == 1
    time.sleep(0.5)
    assert len(receiver.requests(job)) == 3


@pytest.mark.alike
@pytest.mark.parametrize("behaviour, status, body", [
    ("hang", 504, "Webhook Timeout"), ("headers", 504, "Webhook Timeout"),
    ("drip", 504, "Webhook Timeout"), ("reset", 202, "Webhook queued"),
    ("close", 202, "Webhook queued"), ("garbage", 202, "Webhook queued")])
def test_no_answer(api, behaviour, status, body):
    with Receiver() as receiver:
        began = time.monotonic()
        response = expect(post(api, f"{receiver.url}/{behaviour}"), status, body)
        assert state(response) == "queued"
        assert time.monotonic() - began < TIMEOUT + 10  # one that never comes is not waited for


def test_nobody_listens(api):
    port = Port()
    response = expect(post(api, f"http://127.0.0.1:{port.number}/x"), 202, "Webhook queued")
    assert state(response) == "queued"
    port.release()


def test_name_without_address(api):
    response = post(api, "http://no-such-host.invalid/x")
    assert response.status_code in (202, 504) and state(response) == "queued"


def test_endless_body(api, receiver):
    response = expect(post(api, f"{receiver.url}/endless"), 200)
    assert state(response) == "delivered"
    assert len(response.content) == 65536


def test_redirects(api):
    with Receiver() as receiver, Receiver() as other:  # of its own, since it fails
        job = new_id()
        expect(post(api, f"{receiver.url}/redirect//{job}", job), 200, "thanks")
        moved = receiver.requests("/ok/moved")[-1]
        assert moved["method"] == "PUT" and json.loads(moved["body"])["events"] == [EVENT]
        response = expect(post(api, f"{receiver.url}/redirect/{other.port.number}"), 307)
        assert state(response) == "queued" and other.requests() == []
        assert post(api, f"{receiver.url}/loop").status_code == 302


def test_events_of_a_job_in_order(api, receiver):
    """The second one comes while the first is tried."""
    job = new_id()
    url = f"{receiver.url}/sleep/300/{job}"
    sent = []
    with Raw(api_server(api)) as first, Raw(api_server(api)) as second:
        for connection, n in ((first, 1), (second, 2)):
            body = json.dumps(event(url, agent_id=str(n)))
            connection.send(f"POST /v1/job/{job}/events HTTP/1.1\r\nHost: x\r\n"
                            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                            f"{body}".encode())
            time.sleep(0.1)
        sent = [c.reply() for c in (first, second)]
    assert [r.status_code for r in sent] == [200, 200]
    got = receiver.requests(job)
    assert [json.loads(r["body"])["agent_id"] for r in got] == ["1", "2"]
    assert got[1]["at"] - got[0]["at"] >= 0.29


def api_server(api):
    class Server:
        class port:
            number = int(api.url.rpartition(":")[2])
    return Server


def test_after_a_failure_the_next_post_tries_at_once(private, receiver):
    """The waiting event is sent first, then the new one; both arrive. The post waits only a moment for that."""
    api = Api(private("--webhook-backoff", 3600000, webhooks=1).url)
    job = new_id()
    expect(post(api, f"{receiver.url}/fails/1/{job}", job, agent_id="1"), 202, "Webhook queued")
    assert len(receiver.requests(job)) == 1
    second = post(api, f"{receiver.url}/fails/1/{job}", job, agent_id="2")
    expect(second, *((200, "yes") if state(second) == "delivered" else (202, "Webhook queued")))
    got = [json.loads(r["body"])["agent_id"] for r in receiver.wait_for(3, job)]
    assert got == ["1", "1", "2"]


def test_posted_again_is_one_event(api, receiver):
    """Agents repeat what was answered with 5xx, or not at all."""
    job = new_id()
    ids = set()
    for _ in range(3):
        response = post(api, f"{receiver.url}/fails/3/{job}", job)
        ids.add(response.headers["X-Webhook-Event-Id"])
    got = receiver.wait_for(4, job)
    assert {r["headers"]["webhook-id"] for r in got} == ids and len(ids) == 1


@pytest.mark.parametrize("body, errors", [
    ({}, {"job_status_webhook": [MISSING]}),
    ({"job_status_webhook": "x"}, {"job_status_webhook": ["Not a valid URL."]}),
    ({"job_status_webhook": 5}, {"job_status_webhook": ["Not a valid URL."]}),
    ({"job_status_webhook": "http://localhost/", "events": [{"event_name": "e"}]},
     {"events": {"0": {"timestamp": [MISSING]}}}),
    ({"job_status_webhook": "http://localhost/", "more": 1}, {"more": ["Unknown field."]})])
def test_invalid(api, body, errors):
    response = api.post(f"/v1/job/{new_id()}/events", body)
    assert response.status_code == 400
    if body.get("job_status_webhook") != 5:
        assert response.json() == invalid(errors)


@pytest.mark.stores("sqlite")  # which receivers are allowed is no matter of the store
@pytest.mark.parametrize("url", ["ftp://localhost/x", "http://localhost:0/", "http://localhost:70000/"])
def test_urls_that_no_event_goes_to(api, url):
    expect(post(api, url), 403, message("Invalid job_status_webhook URL specified"))


def test_any_job_id_in_the_open_mode(api, receiver):
    expect(post(api, f"{receiver.url}/ok", "no uuid"), 200, "thanks")
    expect(api.post("/v1/job/a%00b/events", event(f"{receiver.url}/ok")), 400, BAD_ID)
    expect(api.post(f"/v1/job/{'x' * 600}/events", event(f"{receiver.url}/ok")), 400, BAD_ID)


@pytest.mark.stores("sqlite")  # which receivers are allowed is no matter of the store
def test_reference_answers_422(private, receiver):
    api = Api(private("--compat", "reference", webhooks=1).url)
    expect(api.post(f"/v1/job/{new_id()}/events", {}), 422, invalid({"job_status_webhook": [MISSING]}))


def test_more_than_are_in_hand(private, receiver):
    """What is put aside for want of room goes on as soon as there is some, not at the next look."""
    api = Api(private("--webhook-reply", "queued", "--webhook-transfers", "1", webhooks=1).url)
    jobs = [new_id() for _ in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda job: post(api, f"{receiver.url}/ok/{job}", job), jobs))
    assert {state(answer) for answer in answers} == {"queued"}
    wait_until(lambda: all(len(receiver.requests(job)) == 1 for job in jobs), "all are delivered", 15)


def test_queued_reply(private, receiver):
    api = Api(private("--webhook-reply", "queued", webhooks=1).url)
    job = new_id()
    began = time.monotonic()
    for n in range(3):
        response = expect(post(api, f"{receiver.url}/sleep/300/{job}", job, agent_id=str(n)), 202,
                          "Webhook queued")
        assert state(response) == "queued"
    assert time.monotonic() - began < 0.3 or len(receiver.requests(job)) < 3
    got = receiver.wait_for(3, job)
    assert [json.loads(r["body"])["agent_id"] for r in got] == ["0", "1", "2"]


# ---- the other modes ----

@pytest.fixture
def roles(private, receiver):
    """Starts a server with access control; (client of an agent, id of a job)."""
    def start(*options, **env):
        env = {**auth.ENV, "WEBHOOK_AUTH": secret("the-token-of-the-receiver"), **env}
        stack = private("--auth", "roles", "--webhook-timeout", int(TIMEOUT * 1000), *options,
                        webhooks=1, env=env)
        agent = Api(stack.url)
        agent.session.headers["Authorization"] = "Bearer " + auth.token({"role": "agent"})
        return agent, Api(stack.url).submit("q")
    return start


@pytest.mark.stores("sqlite")  # which receivers are allowed is no matter of the store
def test_roles(roles, receiver):
    agent, job = roles(WEBHOOK_URL=receiver.url + "/base")
    expect(post(agent, f"{receiver.url}/ok/{job}", job), 200, "thanks")
    assert receiver.requests(job)[0]["headers"]["authorization"] == "Bearer the-token-of-the-receiver"
    expect(post(agent, f"{receiver.url}/ok", "nonsense"), 400, BAD_ID)
    expect(post(agent, f"{receiver.url}/ok"), 404, message("Job not found"))
    for url in ("http://evil.example.com/x", receiver.url.replace("127.0.0.1", "localhost"),
                receiver.url.replace("http", "https"), receiver.url.replace("//", "//u:p@"),
                "http://127.0.0.1/"):
        expect(post(agent, url, job), 403, message("Invalid job_status_webhook URL specified"))
    for status in (401, 403):
        expect(post(agent, f"{receiver.url}/status/{status}", job), 500,
               message("Webhook authentication failed"))
    expect(post(agent, f"{receiver.url}/redirect//{job}", job), 307)  # not followed in this mode
    expect(post(agent, f"{receiver.url}/hang/1", Api(agent.url).submit("q")), 504, message("Webhook Timeout"))
    expect(requests.post(f"{agent.url}/v1/job/{job}/events", json=event(receiver.url)), 403)


@pytest.mark.stores("sqlite")  # which receivers are allowed is no matter of the store
def test_no_url_is_set(roles):
    agent, job = roles()
    expect(post(agent, "http://localhost/x", job), 500, message("Webhook URL not configured"))


@pytest.mark.stores("sqlite")  # which receivers are allowed is no matter of the store
def test_listed_hosts_and_private_addresses(roles, receiver):
    agent, job = roles("--webhook-hosts", f"*.example.com, 127.0.0.1:{receiver.port.number}")
    response = post(agent, f"{receiver.url}/ok/{job}", job)
    expect(response, 403, message("Invalid job_status_webhook URL specified"))
    assert state(response) == "dead" and receiver.requests(job) == []
    expect(post(agent, "http://127.0.0.1:1/", job), 403)
    assert "X-Webhook-Event-State" not in post(agent, "http://127.0.0.1:1/", job).headers


@pytest.mark.stores("sqlite")  # which receivers are allowed is no matter of the store
def test_private_addresses_allowed(roles, receiver):
    agent, job = roles("--webhook-hosts", "127.0.0.1", "--webhook-private", "allow")
    expect(post(agent, f"{receiver.url}/ok/{job}", job), 200, "thanks")


def certificate(folder, name):
    """A certificate of 127.0.0.1 that only itself vouches for, and its key."""
    files = folder / f"{name}.crt", folder / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]],
                   check=True, capture_output=True)
    return files


@pytest.mark.stores("sqlite")  # which receivers are allowed is no matter of the store
@pytest.mark.slow
def test_tls(private, tmp_path):
    good, bad = certificate(tmp_path, "good"), certificate(tmp_path, "bad")
    api = Api(private("--webhook-ca", good[0], webhooks=1).url)
    with Receiver(tls=good) as known, Receiver(tls=bad) as unknown, Receiver() as plain:
        expect(post(api, f"{known.url}/ok"), 200, "thanks")
        expect(post(api, f"{known.url}/ok"), 200, "thanks")
        expect(post(api, known.url.replace("127.0.0.1", "localhost")), 202)  # another name
        for url in (unknown.url, known.url.replace("https", "http")):
            response = expect(post(api, url), 202, "Webhook queued")
            assert state(response) == "queued"
        assert state(post(api, plain.url.replace("http", "https"))) == "queued"
        assert unknown.requests() == plain.requests() == []


@pytest.mark.slow
def test_kill_before_the_answer(private, receiver):
    """The successor of a dead process sends its event."""
    stack = private("--webhook-timeout", 1000, webhooks=1)
    job = new_id()
    with Raw(stack) as connection:
        body = json.dumps(event(f"{receiver.url}/hang/1/{job}"))
        connection.send(f"POST /v1/job/{job}/events HTTP/1.1\r\nHost: x\r\nContent-Type: "
                        f"application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        receiver.wait_for(1, job)
        stack.kill("webhook")
        assert connection.reply().status_code in (200, 504)
    got = receiver.wait_for(2, job)
    assert len({r["headers"]["webhook-id"] for r in got}) == 1
    wait_until(lambda: stack.children("webhook"), "it is replaced")


def test_signature(private, receiver):
    key = b"0123456789abcdef0123456789abcdef"
    secrets = secret("another-secret-that-is-long"), secret("whsec_" + base64.b64encode(key).decode())
    api = Api(private(webhooks=1, env={"TESTFLINGER_WEBHOOK_SECRET": ", ".join(secrets)}).url)
    job = new_id()
    expect(post(api, f"{receiver.url}/ok/{job}", job), 200)
    (got,) = receiver.requests(job)
    text = ".".join([got["headers"]["webhook-id"], got["headers"]["webhook-timestamp"], got["body"]])
    made = ["v1," + base64.b64encode(hmac.digest(k, text.encode(), "sha256")).decode()
            for k in (secrets[0].encode(), key)]
    assert got["headers"]["webhook-signature"].split(" ") == made
