"""Requests that a worker gets in one bundle and carries out together: each has its own answer."""

import contextlib
import time
from pathlib import Path

import pytest
import requests

from client import BAD_ID, Api, Raw, expect, invalid, new_id
from stack import wait_until
from test_idle_fleet import Cost


def is_read(server, connection):
    """Whether the server has read all that was sent on a connection; it begins with it at once then."""
    port, ours = f":{server.port.number:04X}", f":{connection.socket.getsockname()[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = {(row[1][-5:], row[2][-5:]): row for row in rows}
    mine, theirs = ends[(ours, port)], ends[(port, ours)]
    return mine[4].startswith("00000000:") and theirs[4].endswith(":00000000") and theirs[9] != "0"


@pytest.fixture
def together(private):
    """Sends calls, one behind the other, while the only worker stands still; then it gets them at once."""
    stack = private("--request-timeout", 20000, "--max-document", 1048576, workers=1)

    def begin(method, path, options):
        call = requests.Request(method, stack.url + path, **options).prepare()
        lines = [f"{method} {call.path_url} HTTP/1.1", "Host: x", *(f"{k}: {v}" for k, v in call.headers.items())]
        body = call.body.encode() if isinstance(call.body, str) else call.body or b""
        connection = Raw(stack).send("\r\n".join([*lines, "", ""]).encode() + body)
        if len(body) < 64 * 1024:  # the frontend asks a worker before it reads the rest of a larger one
            wait_until(lambda: is_read(stack, connection), "the request is read")
        return connection

    def send(calls):
        workers = stack.children("worker")
        with contextlib.ExitStack() as cleanup:
            stack.freeze(workers)
            connections = [cleanup.enter_context(begin(*call)) for call in calls]
            time.sleep(0.2)
            stack.thaw(workers)
            for connection in connections:
                connection.socket.settimeout(30)
            return [connection.reply() for connection in connections]

    send.api, send.stack = Api(stack.url), stack
    return send


def post(path, **json):
    return "POST", path, {"json": json}


@pytest.mark.slow
def test_results(together, queue):
    api = together.api
    ids = [api.submit(queue) for _ in range(4)]
    calls = [post(f"/v1/result/{i}", job_state="setup", status={"setup": n}) for n, i in enumerate(ids)]
    calls += [post(f"/v1/result/{new_id()}", job_state="test"), post("/v1/result/zz", job_state="test"),
              post(f"/v1/result/{ids[0]}", job_state=5), post(f"/v1/result/{ids[1]}"),
              post(f"/v1/result/{ids[2]}", job_state="complete"),
              post(f"/v1/result/{ids[2]}", job_state="test"),
              post(f"/v1/result/{ids[3]}", **{"a.b": 1})]
    answers = together(calls)
    for i in (0, 1, 2, 3, 4, 7, 8, 9, 10):
        expect(answers[i], 200, "OK")
    expect(answers[5], 400, BAD_ID)
    expect(answers[6], 422, invalid({"job_state": ["Not a valid string."]}))
    states = ["setup", "setup", "complete", "setup"]
    for n, job_id in enumerate(ids):
        expected = {"setup_status": n, "job_state": states[n], **({"a.b": 1} if n == 3 else {})}
        assert api.get(f"/v1/result/{job_id}").json() == expected


@pytest.mark.slow
def test_results_that_fit_but_not_together(together, queue):
    """Two posts about one job: the second counts what the first has stored."""
    api = together.api
    job_id, other = api.submit(queue), api.submit(queue)
    escape = "\u0001"  # six bytes in an answer, one as it is stored
    before, more, most = escape * 160_000, escape * 10_000, escape * 10_001
    expect(api.post(f"/v1/result/{job_id}", {"before": before}), 200, "OK")
    answers = together([post(f"/v1/result/{other}", job_state="test"),  # the idle worker gets it alone
                        post(f"/v1/result/{job_id}", more=more),
                        post(f"/v1/result/{job_id}", most=most, job_state="test")])
    for answer in answers[:2]:
        expect(answer, 200, "OK")
    assert "as it is read" in expect(answers[2], 413).json()["message"]
    assert api.get(f"/v1/result/{job_id}").json() == {"before": before, "more": more, "job_state": "waiting"}
    assert api.state(other) == "test"


@pytest.mark.slow
def test_reads(together, queue):
    api = together.api
    ids = [api.submit(queue, name=f"n{n}") for n in range(5)]
    paths = [*ids, ids[0], new_id(), "zz", ids[1].upper()]
    answers = together([("GET", f"/v1/job/{p}", {}) for p in paths] +
                       [("GET", f"/v1/result/{p}", {}) for p in paths])
    for n, job_id in enumerate([*ids, ids[0]]):
        assert expect(answers[n], 200).json()["job_id"] == job_id
        assert answers[n].json()["name"] == f"n{n % 5}"
        expect(answers[len(paths) + n], 200, {"job_state": "waiting"})
    for first in (0, len(paths)):
        expect(answers[first + 6], 204)
        expect(answers[first + 7], 400, BAD_ID)
        expect(answers[first + 8], 204)


@pytest.mark.slow
def test_agents(together, queue):
    """MongoDB: those of a bundle are found by one query."""
    api = together.api
    names = [f"{queue}-{n}" for n in range(6)]
    for name in names:
        api.agent(name, queues=[name], comment=name)
    paths = [*names, names[0], names[1] + "?dates=iso", names[2] + "?dates=x"]
    with Cost(together.stack) as cost:
        answers = together([("GET", f"/v1/agents/data/{p}", {}) for p in paths])
    for n, name in enumerate([*names, *names[:2]]):
        assert expect(answers[n], 200).json()["comment"] == name
    assert isinstance(answers[7].json()["updated_at"], str)
    assert isinstance(answers[6].json()["updated_at"], dict)
    expect(answers[8], 422)
    assert not cost.mongodb or len(cost.of("agents")) < len(names)
    answers = together([("GET", f"/v1/agents/data/{n}", {}) for n in (names[0], f"{queue}-none", names[1])])
    assert [a.status_code for a in answers] == [200, 404, 200]


@pytest.mark.slow
def test_output(together, queue):
    """The entries of a job stay in the order in which they came."""
    api = together.api
    one, two = api.submit(queue), api.submit(queue)
    big = "x" * 300000
    texts = [(one, "a"), (two, "b"), (one, ""), (one, "c\n"), (two, big), (one, "d"), (one, "e")]
    answers = together([("POST", f"/v1/result/{i}/output", {"data": t}) for i, t in texts] +
                       [("POST", f"/v1/result/{one}/output", {"data": b"\xff"}),
                        ("POST", f"/v1/result/{two}/serial_output", {"data": "s"})])
    assert [a.status_code for a in answers] == [200] * 7 + [400, 200]
    expect(api.get(f"/v1/result/{one}/output"), 200, "a\n\nc\n\nd\ne")
    expect(api.get(f"/v1/result/{two}/output"), 200, "b\n" + big)
    expect(api.get(f"/v1/result/{two}/serial_output"), 200, "s")
