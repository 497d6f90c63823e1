"""Answers too large for a message of the bus: none stops a worker, none is truncated."""

import itertools
import json
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

import auth
from client import PHASES, Api, expect, expect_none, invalid, message, new_id
from stack import ROOT, secret
from storage import storage_of

MIB = 1024 * 1024
TOO_LONG = message("The answer is larger than the server can send")


def submit(api, **job):
    """The same without escapes, which would make the body larger."""
    body = json.dumps(job, ensure_ascii=False).encode()
    return expect(api.post_body("/v1/job", body), 200).json()["job_id"]


@pytest.mark.slow
def test_a_large_job_of_non_ascii_is_served_beside_others(private, queue):
    """14 MB of UTF-8; as \\u escapes it would have three times as much."""
    server = private("--request-timeout", 60000)  # large reads take turns
    api = Api(server.url)
    text = "é" * 7_000_000
    job_id = submit(api, job_queue=queue, name=text)
    answers, small = [], []

    def read():
        answers.append(Api(server.url).get(f"/v1/job/{job_id}", timeout=60))

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    while any(reader.is_alive() for reader in readers):
        small.append(expect(api.get(f"/v1/result/{job_id}"), 200).json())
    assert [answer.status_code for answer in answers] == [200] * 8
    assert all(answer.json()["name"] == text for answer in answers)
    assert small
    second = api.submit(queue)
    assert expect(api.claim(queue), 200).json()["name"] == text
    assert api.claimed(queue) == second
    assert "is dead" not in server.tail()


@pytest.mark.slow
@pytest.mark.parametrize("value", ["é" * (8 * MIB - 1000), "\u0001" * (16 * MIB // 6 - 1000)])
def test_a_job_that_leaves_no_room_for_its_result_is_refused(api, queue, value):
    body = json.dumps({"job_queue": queue, "name": value}, ensure_ascii=False).encode()
    assert len(body) < 16 * MIB
    response = expect(api.post_body("/v1/job", body), 413)
    assert "bytes" in response.json()["message"]
    assert expect(api.claim(queue), 204)


@pytest.mark.slow
@pytest.mark.parametrize("value", ["[%s]" % ",".join("1" * 4_000_000), "[%s0]" % ("0.1," * 1_500_000)])
def test_numbers_that_grow_count_as_they_are_stored_and_read(api, queue, value):
    """A body of 6 to 8 MB that takes 24 MB and more in an answer, or in MongoDB."""
    body = f'{{"job_queue": "{queue}", "allocate_data": {{"n": {value}}}}}'
    expect(api.post_body("/v1/job", body), 413)


def claims_pass_over(api, queue, large, small, several):
    """Claims, all at once if `several`, get the small jobs and cancel the large one with a reason."""
    with ThreadPoolExecutor(len(small) if several else 1) as pool:
        claimed = list(pool.map(lambda _: Api(api.url).claimed(queue), small))
    assert sorted(claimed) == sorted(small)
    result = api.get(f"/v1/result/{large}").json()
    assert result["job_state"] == "cancelled" and "larger than" in result["end_reason"]


@pytest.mark.slow
@pytest.mark.parametrize("several", [False, True])
def test_a_stored_job_that_no_answer_can_hold_is_passed_over(private, queue, several):
    """A document as an older release may have stored it."""
    server = private(workers=1)
    api, storage = Api(server.url), storage_of(server)
    large, small = api.submit(queue), [api.submit(queue) for _ in range(3)]
    storage.enlarge(large, "\u0001", 4 * MIB)
    expect(api.get(f"/v1/job/{large}"), 500, TOO_LONG)
    assert large in server.tail() and "OP_JOB_GET" in server.tail()
    claims_pass_over(api, queue, large, small, several)
    assert f"cancelled job {large}" in server.tail()


@pytest.mark.slow
@pytest.mark.stores("mongodb")
@pytest.mark.parametrize("several", [False, True])
def test_a_stored_job_without_room_for_a_claim_is_passed_over(api, storage, queue, several):
    """The document has 16 MiB but a few bytes: not even a state can be changed in it."""
    large, small = api.submit(queue), [api.submit(queue) for _ in range(3)]
    storage.fill(large, 16 * MIB - 4)
    claims_pass_over(api, queue, large, small, several)


# ---- documents that grow ----

GROWING = {
    "plain": lambda i: {f"field_{i}": "x" * 5_000_000},
    "escapes": lambda i: {f"field_{i}": "\u0001" * 800_000},
    "numbers": lambda i: {f"field_{i}": [1] * 400_000},
    "dotted": lambda i: {f"field.{i}": "é" * 2_000_000},
    "a phase": lambda i: {f"{PHASES[i % 7]}_output": "x" * 5_000_000},
}


@pytest.mark.slow
@pytest.mark.alike
@pytest.mark.parametrize("kind", GROWING)
def test_a_result_grows_to_its_limit_and_can_be_read(api, queue, kind):
    job_id = api.submit(queue)
    assert api.claimed(queue) == job_id
    stored, statuses = {}, []
    for i in range(30):
        fields = GROWING[kind](i)
        statuses.append(api.post(f"/v1/result/{job_id}", fields).status_code)
        if statuses[-1] == 413:
            break
        stored.update(fields)
    assert statuses[-1] == 413 and set(statuses[:-1]) == {200} and len(statuses) > 2
    api.set_state(job_id, "test")
    shown = expect(api.get(f"/v1/result/{job_id}"), 200).json()
    assert shown == {**stored, "job_state": "test"}
    api.set_state(job_id, "complete")
    assert api.state(job_id) == "complete"


@pytest.mark.slow
def test_a_job_of_the_largest_size_runs_to_its_end(api, queue):
    """The room reserved in its document is enough for the states and for a result as agents post it."""
    size = 16 * MIB - 256 * 1024 - 200
    job_id = submit(api, job_queue=queue, name="é" * (size // 2))
    job = expect(api.claim(queue), 200).json()
    assert job["job_id"] == job_id and len(job["name"]) == size // 2
    for phase in PHASES:
        expect(api.post(f"/v1/result/{job_id}", {"job_state": phase, "status": {phase: 0}}), 200)
    expect(api.post(f"/v1/result/{job_id}", {"test_output": "x" * 150_000}), 200)
    expect(api.post(f"/v1/result/{job_id}", {"setup_output": "x" * 150_000}), 413)
    api.set_state(job_id, "complete")
    assert api.get(f"/v1/result/{job_id}").json()["test_output"] == "x" * 150_000
    again = submit(api, job_queue=queue, name="é" * (size // 2), job_id=job_id)
    assert again == job_id == api.claimed(queue)
    expect(api.post(f"/v1/job/{job_id}/action", {"action": "cancel"}), 200, "OK")


def test_a_smaller_limit_is_a_setting(private, queue):
    api = Api(private("--max-document", 2 * MIB).url)
    expect(api.post("/v1/job", {"job_queue": queue, "name": "x" * (2 * MIB - 256 * 1024)}), 413)
    job_id = api.submit(queue, name="x" * MIB)
    expect(api.post(f"/v1/result/{job_id}", {"a": "x" * MIB}), 413)
    expect(api.post(f"/v1/result/{job_id}", {"a": "x" * (MIB // 2)}), 200)


# ---- names and texts ----

LONG, CONTROL = ["Longer than maximum length 256."], ["Must not hold control characters."]
BAD_NAMES = [("n" * 257, LONG), ("é" * 129, LONG), ("a\u0000b", CONTROL), ("a\nb", CONTROL),
             ("\x1b[31m", CONTROL), ("\x7f", CONTROL), ("a\u009bb", CONTROL)]
GOOD_NAMES = ["n" * 256, "é" * 128, "\U0001f600" * 64, "a b/c;\"\\,"]


@pytest.mark.alike
@pytest.mark.parametrize("name, fault", BAD_NAMES, ids=ascii)
def test_names_that_are_refused(api, name, fault):
    quoted, job = quote(name, safe=""), api.submit("names")
    path = {"message": "Validation error"}
    expect(api.post("/v1/job", {"job_queue": name}), 422, invalid({"job_queue": fault}))
    expect(api.post("/v1/job", {"job_queue": "q", "exclude_agents": ["a", name]}), 422,
           invalid({"exclude_agents": {"1": fault}}))
    if fault is LONG:
        expect(api.post("/v1/job", {"job_queue": "q", "tags": [name]}), 422,
               invalid({"tags": {"0": fault}}))
        expect(api.post(f"/v1/result/{job}", {"job_state": name}), 422, invalid({"job_state": fault}))
    expect(api.post(f"/v1/agents/data/{quoted}", {}), 422,
           {"detail": {"path": {"agent_name": fault}}, **path})
    expect(api.post(f"/v1/agents/provision_logs/{quoted}", {"job_id": job, "exit_code": 0}), 422,
           {"detail": {"path": {"agent_name": fault}}, **path})
    expect(api.post("/v1/agents/data/a", {"queues": [name]}), 422, invalid({"queues": {"0": fault}}))
    for table in ("queues", "images"):
        response = expect(api.post(f"/v1/agents/{table}", {name: {} if table == "images" else ""}), 422)
        if "\0" not in name:
            assert fault[0] in response.text
    expect_none(api.claim(name))
    expect(api.get(f"/v1/agents/data/{quoted}"), 404, {})
    expect(api.get(f"/v1/agents/images/{quoted}"), 200, {})
    expect(api.get(f"/v1/queues/{quoted}/agents"), 200, [])
    expect_none(api.get(f"/v1/queues/{quoted}/jobs"))
    expect(api.get("/v1/queues/wait_times", params={"queue": name}), 200, {})


@pytest.mark.alike
@pytest.mark.parametrize("name, fault", BAD_NAMES, ids=ascii)
def test_names_of_clients_and_restricted_queues_that_are_refused(roles_server, name, fault):
    api, quoted = Api(roles_server.url), quote(name, safe="")
    admin = auth.as_role("admin")
    key = {"client_secret": secret("the-key-of-an-odd-client")}
    expect(api.request("PUT", f"/v1/client-permissions/{quoted}", json=key, headers=admin), 422,
           {"detail": {"path": {"client_id": fault}}, "message": "Validation error"})
    expect(api.get(f"/v1/client-permissions/{quoted}", headers=admin), 404)
    expect(api.post(f"/v1/restricted-queues/{quoted}", {"client_id": "c"}, headers=admin), 422,
           {"detail": {"path": {"queue": fault}}, "message": "Validation error"})
    expect(api.post("/v1/restricted-queues/q", {"client_id": name}, headers=admin), 422,
           invalid({"client_id": fault}))
    expect(api.get(f"/v1/restricted-queues/{quoted}", headers=admin), 404)


@pytest.mark.parametrize("name", GOOD_NAMES, ids=ascii)
def test_other_names_are_taken(api, name):
    quoted = quote(name, safe="")
    api.agent(quoted, queues=[name], state="waiting")
    job_id = api.submit(name, tags=[name])
    assert api.claimed(name) == job_id
    expect(api.post("/v1/agents/queues", {name: name}), 200)
    expect(api.post("/v1/agents/images", {name: {name: name}}), 200)
    assert api.get(f"/v1/agents/data/{quoted}").json()["name"] == name
    assert api.get(f"/v1/agents/images/{quoted}").json() == {name: name}
    assert [agent["name"] for agent in api.get(f"/v1/queues/{quoted}/agents").json()] == [name]
    assert name in api.get("/v1/queues/wait_times", params={"queue": name}).json()
    assert job_id in [job["job_id"] for job in
                      api.get("/v1/job/search", params={"tags": name}).json()]


@pytest.mark.slow
def test_texts_and_lists_have_limits(api):
    text, name = "t" * (64 * 1024 + 1), f"texts-{new_id()}"
    for field in ("identifier", "job_id", "location", "provision_type", "state", "comment"):
        expect(api.post(f"/v1/agents/data/{name}", {field: text}), 422)
        expect(api.post(f"/v1/agents/data/{name}", {field: text[1:]}), 200)
    expect(api.post(f"/v1/agents/data/{name}", {"log": [text]}), 422)
    expect(api.post(f"/v1/agents/data/{name}", {"queues": [str(i) for i in range(1001)]}), 422)
    expect(api.post(f"/v1/agents/data/{name}", {"log": [""] * 1_000_000}), 200)
    expect(api.post("/v1/agents/queues", {name: text}), 422)
    expect(api.post("/v1/agents/images", {name: {"image": text}}), 422)
    expect(api.post("/v1/agents/queues", {f"{name}-{i}": "" for i in range(1001)}), 422)
    expect(api.post("/v1/agents/images", {name: {str(i): "" for i in range(1001)}}), 422)
    for _ in range(2):
        for _ in range(5):
            expect(api.post(f"/v1/agents/data/{name}", {"log": ["é" * 32768] * 15}), 200)
        expect(api.post(f"/v1/agents/data/{name}", {"queues": ["é" * 128] * 1000}), 200)
    assert len(api.get(f"/v1/agents/data/{name}").json()["queues"]) == 1000


# ---- lists ----

def send(api, path, content, **options):
    """Posts JSON without escapes, so that more fits into the limits of bodies."""
    headers = {"Content-Type": "application/json", **options.pop("headers", {})}
    body = json.dumps(content, ensure_ascii=False).encode()
    return expect(api.request("POST", path, data=body, headers=headers, **options), 200)


def walk(api, path, **options):
    """The answers of all pages of a list."""
    pages, query = [], ""
    while True:
        response = expect(api.get(path + query, timeout=60, **options), 200)
        assert len(response.content) < 20 * MIB
        pages.append(response.json())
        if "Link" not in response.headers:
            return pages
        query = re.fullmatch('<([^>]*)>; rel="next"', response.headers["Link"]).group(1)


@pytest.mark.slow
def test_lists_of_agents_and_queues_beyond_a_message(private):
    """Lists of 26 MB and more: each answer ends in time and has the cursor of the next page."""
    api, text = Api(private().url), "é" * 32768
    fields = ("identifier", "job_id", "location", "provision_type", "state", "comment")
    agents = [f"agent-{i:02d}" for i in range(80)]
    for name in agents:
        send(api, f"/v1/agents/data/{name}", {"queues": ["q"], **dict.fromkeys(fields, text)})
    queues = [f"queue-{i:03d}" for i in range(420)]
    for i in range(0, len(queues), 60):
        send(api, "/v1/agents/queues", dict.fromkeys(queues[i:i + 60], text))
    for path in ("/v1/agents/data", "/v1/queues/q/agents"):
        pages = walk(api, path)
        assert len(pages) == 2
        assert [agent["name"] for page in pages for agent in page] == agents
    pages = walk(api, "/v1/agents/queues")
    assert len(pages) == 2 and len(pages[0]) > 200
    assert [name for page in pages for name in page] == queues
    assert all(value == text for page in pages for value in page.values())


def test_pages_of_every_list(private):
    server = private(env=auth.ENV)
    api, admin, names = Api(server.url), auth.as_role("admin"), ["a", "b/c", "é", "😀 x"]
    for name in names:
        quoted = quote(name, safe="")
        api.agent(quoted, queues=[*names, "all"])
        send(api, "/v1/agents/queues", {name: name})
        job_id = api.submit(name)
        assert api.claimed(name) == job_id
        expect(api.request("PUT", f"/v1/client-permissions/{quoted}", headers=admin,
                           json={"client_secret": secret("of-a-client-in-a-list")}), 200)
        send(api, f"/v1/restricted-queues/{quoted}", {"client_id": name}, headers=admin)
    order = sorted(names, key=str.encode)
    for path, key in [("/v1/agents/data", "name"), ("/v1/queues/all/agents", "name"),
                      ("/v1/agents/queues", None), ("/v1/queues/wait_times", None),
                      ("/v1/queues/wait_times?queue=a&queue=é&queue=😀 x&queue=b/c&queue=z", None),
                      ("/v1/restricted-queues", "queue"), ("/v1/client-permissions", "client_id")]:
        whole = [name for page in walk(api, path, headers=admin) for name in page]
        for limit in (1, 3):
            mark = "&" if "?" in path else "?"
            first = expect(api.get(f"{path}{mark}limit={limit}", headers=admin), 200)
            assert len(first.json()) == limit
            seen, link = list(first.json()), first.headers.get("Link")
            while link:
                query = re.fullmatch('<([^>]*)>; rel="next"', link).group(1)
                page = expect(api.get(path.partition("?")[0] + query, headers=admin), 200)
                seen += page.json()
                link = page.headers.get("Link")
            assert seen == whole, path
        found = [entry[key] if key else entry for entry in whole]
        assert [name for name in found if name in names] == order, path
        for query in ("limit=0", "limit=x", "cursor=", "cursor=%21", "cursor=" + "A" * 600, "cursor=AAAA"):
            response = api.get(f"{path.partition('?')[0]}?{query}", headers=admin)
            assert response.status_code == 422, f"{path} {query}"


@pytest.mark.slow
def test_every_route_with_the_largest_content(private):
    """Whatever the store has accepted, no answer is a 500, truncated or lost."""
    server = private("--request-timeout", 60000, env=auth.ENV, webhooks=1)
    api, admin, text = Api(server.url), auth.as_role("admin"), "é" * 32768
    job_id = submit(api, job_queue="q", name="é" * (4 * MIB), tags=["t" * 256] * 100,
                    test_data={"test_cmds": "😀\u0000" * 600_000})
    assert api.claimed("q") == job_id
    for i in range(4):
        send(api, f"/v1/result/{job_id}", {f"field-{i}": "é" * 500_000, "test_output": "é" * 500_000})
        fragment = {"fragment_number": i, "timestamp": "2026-01-01T00:00:00Z", "phase": "test"}
        for kind in ("output", "serial"):
            send(api, f"/v1/result/{job_id}/log/{kind}", {**fragment, "log_data": "é\u0000" * 300_000})
        for kind in ("output", "serial_output"):
            expect(api.post_body(f"/v1/result/{job_id}/{kind}", ("é\0" * 2 * MIB).encode(), "text/plain"), 200)
    agent = {"queues": ["😀" * 64] * 1000, "log": ["é" * 1000] * 100, "state": text, "comment": text}
    send(api, "/v1/agents/data/a", {**agent, "queues": [*agent["queues"][1:], "q"]})
    send(api, "/v1/agents/queues", {"q" * (i + 1): text for i in range(50)})
    send(api, "/v1/agents/images", {"q": {str(i): "é" * 2000 for i in range(900)}})
    send(api, "/v1/agents/provision_logs/a", {"job_id": job_id, "exit_code": 0, "detail": "é" * 20_000})
    expect(api.request("PUT", "/v1/client-permissions/c", headers=admin, json={
        "client_secret": secret("of-a-client-with-much"),
        "max_priority": {f"{i}-{'n' * 200}": 1 for i in range(1000)}}), 200)
    send(api, "/v1/restricted-queues/q", {"client_id": "c"}, headers=admin)
    values = {"job_id": job_id, "agent_name": "a", "queue": "q", "client_id": "c"}
    fits = {"/v1/oauth2/token": 401}
    paths = json.loads((ROOT / "docs/openapi.json").read_text())["paths"]
    asked = [path for path, item in paths.items() if "get" in item and not path.endswith("/follow")]
    assert len(asked) > 20
    with api.get(f"/v1/job/{job_id}/follow", headers=admin, stream=True) as stream:
        assert stream.status_code == 200  # goes on for as long as the job does
        events = itertools.takewhile(lambda line: line != b"event: log", stream.iter_lines())
        assert any(line.startswith(b"data: ") for line in events)
    for path in asked:
        response = api.get(path.format(**values), headers=admin, timeout=90)
        assert response.status_code in (fits.get(path, 200), 204, 410, 400), (path, response.status_code)
        assert len(response.content) < 20 * MIB
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        if response.headers.get("Content-Type") == "application/json" and response.content:
            response.json()
    assert "is dead" not in server.tail() and "this is a defect" not in server.tail()
