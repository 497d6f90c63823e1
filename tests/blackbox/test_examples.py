"""The examples of the API's first document, word for word, by curl as a user types them."""

import json

import pytest

import auth
from client import BAD_REQUEST, Api, expect
from curl import run
from receiver import Receiver

JOB = "00000000-0000-0000-0000-000000000000"
EXAMPLES = {
    "submit": r"""curl http://localhost:8000/v1/job -X POST \
  --header "Content-Type: application/json" \
  --data '{ "job_queue": "myqueue", "option":"foo" }'""",
    "claim": r"""curl http://localhost:8000/v1/job?queue=foo\&queue=bar""",
    "search": r"""curl 'http://localhost:8000/v1/job/search?tags=foo&tags=bar&match=all'""",
    "post result": r"""curl http://localhost:8000/v1/result/00000000-0000-0000-0000-000000000000 \
  -X POST --header "Content-Type: application/json" \
  --data '{ "exit_code": 0, "output":"foo" }'""",
    "get result": r"""curl http://localhost:8000/v1/result/00000000-0000-0000-0000-000000000000 -X GET""",
    "post artifact": r"""curl -X POST -F "file=@README.rst" localhost:8000/v1/result/00000000-0000-0000-0000-000000000000/artifact""",
    "get artifact": r"""curl http://localhost:8000/v1/result/00000000-0000-0000-0000-000000000000/artifact \
  -X GET -O artifact.tar.gz""",
    "post queues": r"""curl http://localhost:8000/v1/agents/queues \
  -X POST --header "Content-Type: application/json" \
  --data '{ "myqueue": "queue 1", "myqueue2": "queue 2" }'""",
    "get queues": r"""curl http://localhost:8000/v1/agents/queues -X GET""",
    "post images": r"""curl http://localhost:8000/v1/agents/images \
  -X POST --header "Content-Type: application/json" \
  --data '{ "myqueue": { "image1": "url: http://place/imgae1" }}'""",
    "get images": r"""curl http://localhost:8000/v1/agents/images/myqueue -X GET""",
    "cancel": r"""curl http://localhost:8000/v1/job/00000000-0000-0000-0000-000000000000/action \
  -X POST --header "Content-Type: application/json" \
  --data '{ "action":"cancel" }'""",
    "agents": r"""curl -X GET http://localhost:8000/v1/agents/data""",
    # The backslash is inside of the quotes, so it is sent.
    "provision log": r"""curl http://localhost:8000/v1/agents/provision_logs/myagent \
  -X POST --header "Content-Type: application/json" \
  --data '{ "job_id": "00000000-0000-0000-0000-000000000000", \
            "exit_code": 1, "detail":"foo" }'""",
    "events": r"""curl -X POST \
  -H "Content-Type: application/json" \
  -d '{"agent_id": "agent-00", "job_queue": "myqueue", "job_status_webhook": "http://mywebhook", "events": [{"event_name": "started_provisioning", "timestamp": "2024-05-03T19:11:33.541130+00:00", "detail": "my_detailed_message"}]}' http://localhost:8000/v1/job/00000000-0000-0000-0000-000000000000/events""",
    "wait times": r"""curl http://localhost:8000/v1/queues/wait_times?queue=foo\&queue=bar""",
    "queue agents": r"""curl http://localhost:8000/v1/queues/foo/agents""",
    "token": r'''curl http://localhost:8000/v1/oauth2/token \
  -X GET --header "Authorization: Basic ABCDEF12345"'''
}


class Examples:
    """Runs examples on a server and remembers which ones."""

    def __init__(self, server, folder):
        self.server, self.folder, self.left = server, folder, set(EXAMPLES)

    def __call__(self, name, change=("", "")):
        self.left.discard(name)
        answer = run(self.server, EXAMPLES[name].replace(*change), self.folder)
        is_json = answer.body[:1] in ("{", "[")
        return answer.status, json.loads(answer.body) if is_json else answer.body


@pytest.fixture
def example(private, tmp_path):
    """All examples, on a new server; the test must run each."""
    examples = Examples(private("--webhook-timeout", 500, env=auth.ENV, webhooks=1), tmp_path)
    yield examples
    assert not examples.left


@pytest.mark.slow
def test_examples(example):
    api = Api(example.server.url)
    the_jobs_of_users(example, api)
    results_and_artifacts(example, api)
    agents_and_queues(example, api)
    tokens(example, api)
    events(example)


def the_jobs_of_users(example, api):
    status, body = example("submit")
    assert status == 200 and list(body) == ["job_id"]
    assert api.claim("myqueue").json()["option"] == "foo", "passed along to the agent"
    assert example("claim") == (204, "")
    jobs = {queue: api.submit(queue, tags=["foo", "bar", queue]) for queue in ("bar", "foo")}
    api.submit("other", tags=["foo"])
    status, found = example("search")
    assert status == 200 and [job["job_id"] for job in found] == list(jobs.values())
    for job_id in jobs.values():
        status, job = example("claim")
        assert status == 200 and job["job_id"] == job_id
    assert example("cancel")[0] == 404
    api.submit("other", job_id=JOB)
    assert example("cancel") == (200, "OK")
    assert example("cancel")[0] == 400
    assert example("cancel", ("cancel", "dance"))[0] == 422
    assert api.state(JOB) == "cancelled"


def results_and_artifacts(example, api):
    """The job has no document of a result yet: 204."""
    other = (JOB, JOB.replace("0", "1"))
    assert example("get result", other) == (204, "")
    assert example("post result") == (200, "OK")
    assert example("get result") == (200, {"exit_code": 0, "output": "foo", "job_state": "cancelled"})
    (example.folder / "README.rst").write_text("some text")
    assert example("get artifact")[0] == 204
    assert example("post artifact") == (200, "OK")
    assert example("get artifact")[0] == 200
    assert (example.folder / "artifact").read_text() == "some text"  # -O: the URL's last part


def agents_and_queues(example, api):
    assert example("post queues") == (200, "OK")
    assert example("get queues") == (200, {"myqueue": "queue 1", "myqueue2": "queue 2"})
    assert example("post images") == (200, "OK")
    assert example("get images") == (200, {"image1": "url: http://place/imgae1"})
    assert example("agents") == (200, [])
    assert example("queue agents") == (200, [])
    api.agent("myagent", state="waiting", queues=["foo"])
    assert example("provision log") == (200, "OK")
    status, (agent,) = example("agents")
    assert (status, agent["provision_streak_type"]) == (200, "fail")
    assert example("queue agents") == (
        200, [{"name": "myagent", "state": "waiting", "queues": ["foo"]}])
    status, waits = example("wait times")
    assert status == 200 and set(waits) == {"foo", "bar"}


def tokens(example, api):
    assert example("token")[0] == 401
    login = auth.Admin(example.server).create("a client", "the-secret-of-the-client")
    basic = auth.base64.b64encode(":".join(login).encode()).decode()
    status, token = example("token", ("ABCDEF12345", basic))
    assert status == 200 and auth.payload(auth.secret(token))["permissions"]["client_id"] == "a client"


def events(example):
    """The host of the example is no name of the Internet, so the argument is refused."""
    host = "http://mywebhook"
    assert example("events")[0] == 400
    with Receiver() as receiver:
        assert example("events", (host, receiver.url + "/ok")) == (200, "thanks")
        assert example("events", (host, receiver.url + "/hang")) == (504, "Webhook Timeout")
        assert json.loads(receiver.requests("/ok")[0]["body"])["agent_id"] == "agent-00"


def test_a_continued_line(api, queue, strict):
    """A backslash at the end of a line of a body, as one of the examples has it."""
    body = '{"job_queue": \\\n "%s", \\\r\n "name": "a\\\\"}' % queue
    job_id = expect(api.post_body("/v1/job", body), 200).json()["job_id"]
    assert api.get(f"/v1/job/{job_id}").json()["name"] == "a\\"
    expect(strict.post_body("/v1/job", body), 400, BAD_REQUEST)
    for broken in ('{"job_queue": "a\\\n"}', '{"job_queue": \\ "a"}', '{"job_queue": "a" \\', '{\\\n'):
        expect(api.post_body("/v1/job", broken), 400, BAD_REQUEST)


@pytest.mark.slow
def test_a_large_body_with_and_without_expect(server, queue, tmp_path):
    """curl asks for 100-continue from 1 MiB on."""
    for size, status in [(2, 200), (17, 413)]:
        (tmp_path / "job").write_text(json.dumps({"job_queue": queue, "name": "x" * (size * 2**20)}))
        for options in ("", "-H Expect:", "--http1.0", "-H 'Expect: 100-continue'"):
            answer = run(server, "curl localhost:8000/v1/job -H 'Content-Type: application/json' "
                                 f"--data @job {options}", tmp_path)
            assert answer.status == status, options
