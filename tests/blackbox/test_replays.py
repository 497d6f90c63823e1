"""Every request that changes something, carried out a second time: as a repeat after a worker's death, as a
late first run (a process that was paused has it still), and both after another request. The second run
answers as the first and changes nothing in the store.

tests/lint names the row of common/api.def that has neither a case here nor a place in READS."""

import json
import time
import uuid

import pytest

import auth
from client import Api, expect, new_id
from receiver import Receiver
from stack import Stack, secret, wait_until
from storage import storage_of
from test_attack_bus import HEADERS, OPS, Intruder
from test_broker import API, BYE, HELLO, PING, REPLY, WEBHOOK
from test_logs import body as fragment

pytestmark = pytest.mark.waits

msgpack = pytest.importorskip("msgpack")

# Rows that change nothing.
READS = {"OP_READYZ", "OP_JOB_GET", "OP_JOB_POSITION", "OP_RESULT_GET", "OP_RESULT_STATUS",
         "OP_RESTRICTED_LIST", "OP_RESTRICTED_GET", "OP_CLIENTS_LIST", "OP_CLIENT_GET", "OP_AUDIT_LIST",
         "OP_ATTACHMENTS_GET", "OP_ARTIFACT_GET", "OP_FILE_READ", "OP_JOB_SEARCH", "OP_QUEUES_GET",
         "OP_IMAGES_GET", "OP_AGENTS_GET", "OP_AGENT_GET", "OP_WAIT_TIMES", "OP_QUEUE_AGENTS", "OP_QUEUE_JOBS",
         "OP_LOG_OUTPUT_GET", "OP_LOG_SERIAL_GET", "OP_EVENTS_GET", "OP_WEBHOOKS_DEAD", "OP_ASK",
         "OP_JOBS_LIST", "OP_AGENTS_LIST", "OP_LOG_PART", "OP_JOB_FOLLOW",
         "OP_FOLLOW_LOOK"}

LOGIN, WAKE = 3, 8
SERVICES = {"OP_TOKEN": LOGIN, "OP_TOKEN_GET": LOGIN, "OP_CLIENT_PUT": LOGIN, "OP_JOB_EVENTS": WEBHOOK}
AUTHORIZATION, CONTENT_TYPE, ACCEPT, IDEMPOTENCY = 0, 2, 3, 7
SECRET = secret("a secret of these tests")


class Request:
    """One request of a client, as a frontend sends it."""

    def __init__(self, bus, op, *params, query=(), headers=None, body=b""):
        self.bus, self.op, self.id = bus, op, uuid.uuid4()
        if not isinstance(body, bytes):
            body, headers = json.dumps(body).encode(), {CONTENT_TYPE: "application/json", **(headers or {})}
        headers = [(headers or {}).get(n) for n in range(HEADERS)]
        self.envelope = msgpack.packb({
            0: 1, 1: str(self.id).encode(), 2: OPS[op], 3: 0, 4: int(time.time() * 1e6),
            5: [p.encode() for p in params], 6: [q.encode() for q in query],
            7: [h.encode() if isinstance(h, str) else h for h in headers], 8: b"127.0.0.1", 9: body})

    def send(self, attempt=0):
        """Status and body of the answer."""
        self.bus.request(self.envelope, id=self.id.bytes, attempt=attempt, ttl=20000,
                         service=SERVICES.get(self.op, API))
        pair, = self.bus.get(PING, HELLO, BYE, WAKE, want=REPLY, seconds=20)
        assert pair["id"] == self.id.bytes
        fields = msgpack.unpackb(pair["payload"], strict_map_key=False)
        return fields[1], fields[3]


class Place:
    """A server, a peer on its bus, and a receiver of webhooks."""

    def __init__(self, stack, receiver):
        self.stack, self.receiver, self.bus = stack, receiver, Intruder(stack)
        self.api, self.storage = Api(stack.url), storage_of(stack)
        self.admin_token = auth.as_role("admin")["Authorization"]
        self.seen = None  # the last dump

    def request(self, op, *params, **options):
        return Request(self.bus, op, *params, **options)

    def guarded(self, op, *params, **options):
        return self.request(op, *params, headers={AUTHORIZATION: self.admin_token}, **options)

    def http(self, method, path, status=200, **options):
        return expect(self.api.request(method, path, headers={"Authorization": self.admin_token}, **options), status)

    def running(self, queue=None, **fields):
        """A job that its agent has."""
        queue = queue or new_id()
        job = self.api.submit(queue, **fields)
        assert self.api.claimed(queue) == job
        return job

    def claim(self, queue):
        """The request of a claim whose job its agent gets."""
        claim = self.request("OP_JOB_CLAIM", query=["queue", queue])
        assert claim.send()[0] == 200
        return claim

    def settle(self, sign, claim):
        return self.request("OP_CLAIMS_SETTLE", body=f"{sign}{claim.id}\n".encode())

    def dead_letter(self):
        """The id of an event that its receiver refused, once it is dead."""
        job = new_id()
        event = self.event(job, f"status/500/{job}")
        event.send()
        self.await_dead(event.id)
        return str(event.id)

    def await_dead(self, id_):
        wait_until(lambda: str(id_) in self.http("GET", "/v1/webhooks/dead").text, "the event is dead")

    def event(self, job, path):
        return self.request("OP_JOB_EVENTS", job, body={
            "agent_id": "a", "job_queue": "q", "job_status_webhook": f"{self.receiver.url}/{path}",
            "events": [{"event_name": "e", "timestamp": "t", "detail": ""}]})

    def dump(self):
        """The store once it is at rest."""
        return wait_until(self._steady, "the store is at rest", 20)

    def _steady(self):
        time.sleep(0.1)
        before, self.seen = self.seen, self._dump()
        waits = self.seen.get("webhook_lanes") or "'pending'" in str(self.seen.get("webhook_outbox"))
        return self.seen if before == self.seen and not waits else None

    def _dump(self):
        return {**self.storage.dump(), "delivered": len(self.receiver.requests())}


@pytest.fixture(scope="module")
def place(store_uri):
    # Notes of agents that were heard of are stored now and then.
    options = ("--webhook-tries", 1, "--refresh-rotation", "yes", "--refresh-grace", 0, "--agent-silent", 0)
    with Receiver() as receiver, Stack(store_uri(), *options, env={**auth.ENV, **auth.SECRETS}, webhooks=1) as stack:
        place = Place(stack, receiver)
        yield place
        place.bus.close()


CASES = []


def row(op, grows=(), alike=lambda body: body, late=True):
    """Of a function that prepares a case of this row, and returns the request and a function that makes
    another one. `grows`: parts of the store that each run adds to. `alike`: what is the same of all answers.
    `late`: a late first run changes nothing, too."""
    def add(prepare):
        CASES.append(pytest.param(prepare, grows, alike, late, id=f"{op}-{prepare.__name__}"))
        return prepare
    return add


def differences(before, now):
    return {part: (before.get(part), now[part]) for part in now if before.get(part) != now[part]}


# ---- jobs ----

@row("OP_JOB_ADD")
def a_job(p):
    queue = new_id()
    return p.request("OP_JOB_ADD", body={"job_queue": queue}), lambda: p.api.claimed(queue)


@row("OP_JOB_ADD")
def a_job_of_a_given_id(p):
    """It runs by then: it must not wait again."""
    queue, job = new_id(), new_id()
    return (p.request("OP_JOB_ADD", body={"job_queue": queue, "job_id": job}),
            lambda: p.api.claimed(queue) == job)


@row("OP_JOB_ADD")
def another_attempt(p):
    queue = new_id()
    job = p.running(queue)

    def between():
        assert p.api.claimed(queue) == job
        p.api.set_state(job, "complete")
    return p.request("OP_JOB_ADD", body={"job_queue": queue, "job_id": job}), between


@row("OP_JOB_ADD")
def the_same_job_once_more(p):
    queue = new_id()
    job = p.api.submit(queue)
    return p.request("OP_JOB_ADD", body={"job_queue": queue, "job_id": job}), lambda: p.api.claimed(queue)


@row("OP_JOB_ADD")
def a_job_with_a_key(p):
    queue, headers = new_id(), {IDEMPOTENCY: new_id()}
    return p.request("OP_JOB_ADD", body={"job_queue": queue}, headers=headers), lambda: p.api.claimed(queue)


@row("OP_JOB_CLAIM", late=False)
def a_claim(p):
    queue = new_id()
    for _ in range(2):
        p.api.submit(queue)
    claim = p.request("OP_JOB_CLAIM", query=["queue", queue])
    return claim, lambda: p.settle("+", claim).send()


@row("OP_CLAIMS_SETTLE")
def an_arrival(p):
    queue = new_id()
    p.api.submit(queue)
    return p.settle("+", p.claim(queue)), lambda: p.api.submit(queue)


@row("OP_CLAIMS_SETTLE")
def a_claim_that_goes_back(p):
    queue = new_id()
    p.api.submit(queue)
    return p.settle("-", p.claim(queue)), lambda: p.api.claimed(queue)


@row("OP_RESULT_PUT")
def a_result(p):
    job = p.running()
    return (p.request("OP_RESULT_PUT", job, body={"job_state": "setup", "x": 1}),
            lambda: expect(p.api.post(f"/v1/result/{job}", {"job_state": "test", "x": 2}), 200))


@row("OP_RESULT_PUT")
def a_result_of_an_earlier_attempt(p):
    queue = new_id()
    job = p.running(queue)
    return (p.request("OP_RESULT_PUT", job, body={"job_state": "complete", "x": 1}),
            lambda: p.api.submit(queue, job_id=job))


@row("OP_JOB_ACTION")
def a_cancellation(p):
    queue = new_id()
    job = p.api.submit(queue)
    return p.request("OP_JOB_ACTION", job, body={"action": "cancel"}), lambda: p.api.submit(queue, job_id=job)


@row("OP_JOB_ACTION")
def an_extension(p):
    job = p.running(reserve_data={"timeout": 60})
    p.api.set_state(job, "reserve")
    action = f"/v1/job/{job}/action"
    return (p.request("OP_JOB_ACTION", job, body={"action": "extend", "seconds": 21000}),
            lambda: expect(p.api.post(action, {"action": "extend", "seconds": 100}), 200))


@row("OP_JOB_ACTION")
def a_priority(p):
    job = p.api.submit(new_id())
    other = {"action": "priority", "priority": 0}
    return (p.guarded("OP_JOB_ACTION", job, body={"action": "priority", "priority": 0}),
            lambda: expect(p.api.post(f"/v1/job/{job}/action", other), 200))


@row("OP_JOBS_CANCEL")
def a_cancellation_of_many(p):
    """Another job with the tag comes before the second run, and one of the first waits again."""
    queue = new_id()
    jobs = [p.api.submit(queue, tags=[queue]) for _ in range(3)]

    def more():
        p.api.submit(queue, tags=[queue])
        p.api.submit(queue, job_id=jobs[1], tags=[queue])
    return p.request("OP_JOBS_CANCEL", body={"tags": [queue], "dry_run": False}), more


# ---- output ----

def output(p, op, path):
    job = p.running()
    return (p.request(op, job, headers={CONTENT_TYPE: "text/plain"}, body=b"one\n"),
            lambda: expect(p.api.post_body(f"/v1/result/{job}/{path}", "two\n", "text/plain"), 200))


@row("OP_OUTPUT_ADD")
def a_line(p):
    return output(p, "OP_OUTPUT_ADD", "output")


@row("OP_SERIAL_ADD")
def a_serial_line(p):
    return output(p, "OP_SERIAL_ADD", "serial_output")


@row("OP_OUTPUT_ADD")
def a_line_that_was_taken(p):
    job = p.running()
    return (p.request("OP_OUTPUT_ADD", job, headers={CONTENT_TYPE: "text/plain"}, body=b"one\n"),
            lambda: expect(p.api.get(f"/v1/result/{job}/output"), 200))


def taken(p, op, path):
    job = p.running()
    expect(p.api.post_body(f"/v1/result/{job}/{path}", "one\n", "text/plain"), 200)
    return (p.request(op, job),
            lambda: expect(p.api.post_body(f"/v1/result/{job}/{path}", "two\n", "text/plain"), 200))


@row("OP_OUTPUT_GET")
def what_was_not_read(p):
    return taken(p, "OP_OUTPUT_GET", "output")


@row("OP_SERIAL_GET")
def serial_output_that_was_not_read(p):
    return taken(p, "OP_SERIAL_GET", "serial_output")


def logged(p, op, path):
    job = p.running()
    return (p.request(op, job, body=fragment(0, "one")),
            lambda: expect(p.api.post(f"/v1/result/{job}/log/{path}", fragment(1, "two")), 200))


@row("OP_LOG_OUTPUT_ADD")
def a_fragment(p):
    return logged(p, "OP_LOG_OUTPUT_ADD", "output")


@row("OP_LOG_SERIAL_ADD")
def a_serial_fragment(p):
    return logged(p, "OP_LOG_SERIAL_ADD", "serial")


# ---- agents and queues ----

@row("OP_AGENT_PUT")
def an_agent(p):
    name = new_id()
    return (p.request("OP_AGENT_PUT", name, body={"state": "waiting", "queues": ["a"], "log": ["line"]}),
            lambda: p.api.agent(name, state="offline", queues=["b"], log=["line"]))


@row("OP_AGENT_PUT")
def an_agent_by_an_admin(p):
    name = new_id()
    p.api.agent(name, state="waiting", queues=["a"])
    return p.guarded("OP_AGENT_PUT", name, body={"state": "maintenance"}), lambda: p.api.agent(name, state="test")


@row("OP_PROVISION_ADD")
def a_provisioning(p):
    name = new_id()
    p.api.agent(name, state="provision")
    body = {"job_id": new_id(), "exit_code": 1}
    return (p.request("OP_PROVISION_ADD", name, body=body),
            lambda: expect(p.api.post(f"/v1/agents/provision_logs/{name}", body), 200))


@row("OP_QUEUES_PUT")
def a_description(p):
    queue = new_id()
    return (p.request("OP_QUEUES_PUT", body={queue: "older"}),
            lambda: expect(p.api.post("/v1/agents/queues", {queue: "newer"}), 200))


@row("OP_IMAGES_PUT")
def images(p):
    queue = new_id()
    return (p.request("OP_IMAGES_PUT", body={queue: {"a": "url: older"}}),
            lambda: expect(p.api.post("/v1/agents/images", {queue: {"b": "url: newer"}}), 200))


# ---- access control ----

def made(p):
    """A client with a secret, and what logs it in."""
    client = new_id()
    p.http("PUT", f"/v1/client-permissions/{client}", json={"client_secret": SECRET, "role": "contributor"})
    return client, (client, SECRET)


def queue_of(p):
    queue = new_id()
    p.api.agent(new_id(), state="waiting", queues=[queue])
    return queue


@row("OP_CLIENT_PUT")
def a_new_client(p):
    client = new_id()
    return (p.guarded("OP_CLIENT_PUT", client, body={"client_secret": SECRET, "role": "contributor"}),
            lambda: p.http("DELETE", f"/v1/client-permissions/{client}"))


@row("OP_CLIENT_PUT")
def a_changed_client(p):
    client, _ = made(p)
    return (p.guarded("OP_CLIENT_PUT", client, body={"max_priority": {"*": 1}}),
            lambda: p.http("PUT", f"/v1/client-permissions/{client}", json={"max_priority": {"*": 2}}))


@row("OP_CLIENT_DELETE")
def the_end_of_a_client(p):
    client, _ = made(p)
    return (p.guarded("OP_CLIENT_DELETE", client),
            lambda: p.http("PUT", f"/v1/client-permissions/{client}", json={"client_secret": SECRET}))


@row("OP_SECRET_PUT")
def a_secret(p):
    path = new_id()
    return (p.guarded("OP_SECRET_PUT", "the-admin", path, body={"value": "v", "expire_after": None}),
            lambda: p.http("PUT", f"/v1/secrets/the-admin/{path}", json={"value": "w"}))


@row("OP_SECRET_DELETE")
def the_end_of_a_secret(p):
    path = new_id()
    p.http("PUT", f"/v1/secrets/the-admin/{path}", json={"value": "v"})
    return (p.guarded("OP_SECRET_DELETE", "the-admin", path),
            lambda: p.http("PUT", f"/v1/secrets/the-admin/{path}", json={"value": "w"}))


@row("OP_RESTRICTED_ADD")
def a_restriction(p):
    queue, (client, _) = queue_of(p), made(p)
    body = {"client_id": client}
    return (p.guarded("OP_RESTRICTED_ADD", queue, body=body),
            lambda: p.http("DELETE", f"/v1/restricted-queues/{queue}", json=body))


@row("OP_RESTRICTED_DELETE")
def the_end_of_a_restriction(p):
    queue, (client, _) = queue_of(p), made(p)
    body = {"client_id": client}
    p.http("POST", f"/v1/restricted-queues/{queue}", json=body)
    return (p.guarded("OP_RESTRICTED_DELETE", queue, body=body),
            lambda: p.http("POST", f"/v1/restricted-queues/{queue}", json=body))


def names(body):
    return sorted(json.loads(body))


@row("OP_QUEUE_PAUSE")
def a_pause(p):
    queue = new_id()
    return (p.guarded("OP_QUEUE_PAUSE", queue, body={"reason": "r"}),
            lambda: p.http("POST", f"/v1/queues/{queue}/resume"))


@row("OP_QUEUE_RESUME")
def the_end_of_a_pause(p):
    queue, body = new_id(), {"reason": "r"}
    p.http("POST", f"/v1/queues/{queue}/pause", json=body)
    return p.guarded("OP_QUEUE_RESUME", queue), lambda: p.http("POST", f"/v1/queues/{queue}/pause", json=body)


@row("OP_AGENT_PUT")
def a_mode(p):
    name = new_id()
    return (p.guarded("OP_AGENT_PUT", name, body={"mode": "OFFLINE", "comment": "c"}),
            lambda: p.http("POST", f"/v1/agents/data/{name}", json={"mode": "ONLINE"}))


# Who has no answer gets tokens once more; those of the first run nobody knows.
TOKENS = {"grows": ("refresh_tokens",), "alike": names}


def basic(credentials):
    return {AUTHORIZATION: "Basic " + auth.base64.b64encode(":".join(credentials).encode()).decode(),
            ACCEPT: "application/json"}


@row("OP_TOKEN", **TOKENS)
def a_login(p):
    _, credentials = made(p)
    return p.request("OP_TOKEN", headers=basic(credentials)), lambda: auth.login(p.api, credentials)


@row("OP_TOKEN_GET", **TOKENS)
def a_login_by_get(p):
    _, credentials = made(p)
    return p.request("OP_TOKEN_GET", headers=basic(credentials)), lambda: auth.login(p.api, credentials)


@row("OP_TOKEN_REFRESH", **TOKENS)
def a_refreshed_token(p):
    """Used twice by other requests, the token would end its family."""
    _, credentials = made(p)
    body = {"refresh_token": auth.login(p.api, credentials)["refresh_token"]}
    return p.request("OP_TOKEN_REFRESH", body=body), lambda: auth.login(p.api, credentials)


@row("OP_TOKEN_REVOKE")
def a_revoked_token(p):
    _, credentials = made(p)
    body = {"refresh_token": auth.login(p.api, credentials)["refresh_token"]}
    return (p.guarded("OP_TOKEN_REVOKE", body=body),
            lambda: p.http("POST", "/v1/oauth2/revoke", 400, json=body))


# ---- files ----

FACTS = b"%24d" % 3  # the size of the file


def piece(p, op, info, body=b""):
    query = ["file", info, "at", "0", "size", "3"]
    return p.request(op, query=query, body=body)


def begun(p, job=None):
    """An upload: its job and what is known of its file."""
    job = job or p.running()
    status, info = p.request("OP_ARTIFACT_PUT", job, body=FACTS).send()
    assert status == 202
    return job, info.decode()


def committed(p, info):
    for op, body in (("OP_FILE_PUT", b"abc"), ("OP_FILE_COMMIT", b"")):
        assert piece(p, op, info, body).send()[0] < 300


@row("OP_ATTACHMENTS_PUT")
def the_beginning_of_attachments(p):
    queue = new_id()
    job = p.api.submit(queue, test_data={"attachments": [{"agent": "a.txt"}]})
    return p.request("OP_ATTACHMENTS_PUT", job, body=FACTS), lambda: p.api.submit(queue)


@row("OP_ARTIFACT_PUT")
def the_beginning_of_an_artifact(p):
    request = p.request("OP_ARTIFACT_PUT", p.running(), body=FACTS)
    return request, lambda: committed(p, request.send(1)[1].decode())


@row("OP_FILE_PUT")
def a_piece(p):
    _, info = begun(p)
    return piece(p, "OP_FILE_PUT", info, b"abc"), lambda: committed(p, info)


@row("OP_FILE_COMMIT")
def a_commit(p):
    job, info = begun(p)
    assert piece(p, "OP_FILE_PUT", info, b"abc").send()[0] < 300
    return piece(p, "OP_FILE_COMMIT", info), lambda: committed(p, begun(p, job)[1])


# ---- webhooks ----

@row("OP_JOB_EVENTS")
def an_event(p):
    job = new_id()
    return p.event(job, f"ok/{job}"), lambda: p.event(job, f"ok/{job}").send()


@row("OP_JOB_EVENTS")
def an_event_kept_with_its_job(p):
    job = p.api.submit(new_id())
    return p.event(job, f"ok/{job}"), lambda: p.event(job, f"ok/{job}/2").send()


@row("OP_JOB_EVENTS")
def a_dead_event(p):
    job = new_id()
    return p.event(job, f"status/500/{job}"), lambda: p.event(job, f"ok/{job}").send()


@row("OP_WEBHOOKS_RESEND")
def a_dead_letter(p):
    event = p.dead_letter()
    return p.guarded("OP_WEBHOOKS_RESEND", event), lambda: p.await_dead(event)


@pytest.mark.parametrize("prepare, grows, alike, late", CASES)
@pytest.mark.slow
def test_the_second_run_changes_nothing(place, prepare, grows, alike, late):
    request, other = prepare(place)
    status, body = request.send()
    assert status < 300 or prepare is a_dead_event, body
    wait_until(lambda: place.stack.children("worker"), "a worker lives", 20)
    place.stack.kill("worker")
    for then in (lambda: None, other):
        then()
        before = place.dump()
        for attempt in (1, 0) if late else (1,):
            again = request.send(attempt)
            assert again[0] == status and alike(again[1]) == alike(body)
            now = place.dump()
            changed = {k: v for k, v in differences(before, now).items() if k not in grows}
            assert not changed, f"attempt {attempt}, {'after another request' if then is other else 'at once'}"


def test_a_job_that_a_late_claim_took_comes_back(place):
    """The answer of a late claim reaches nobody, so that its claim stays open and the job waits again."""
    queue = new_id()
    jobs = [place.api.submit(queue) for _ in range(2)]
    claim = place.claim(queue)
    place.settle("+", claim).send()
    place.api.set_state(jobs[0], "complete")
    claim.send(attempt=0)
    found = wait_until(lambda: place.api.claim(queue).content, "the job waits again", 30)
    assert json.loads(found)["job_id"] == jobs[1]


def test_a_second_run_spares_a_later_pause(place):
    """The first run left no trace, and somebody has paused the queue since."""
    queue = new_id()
    request = place.guarded("OP_QUEUE_RESUME", queue)
    time.sleep(0.01)  # times are stored in milliseconds
    place.http("POST", f"/v1/queues/{queue}/pause", json={"reason": "later"})
    status, body = request.send(attempt=1)
    assert status == 409 and b"again after this request" in body
    assert place.guarded("OP_QUEUE_RESUME", queue).send(attempt=1)[0] == 200
