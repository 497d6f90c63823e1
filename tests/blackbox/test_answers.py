"""What makes polls cheap: chosen fields of results, 304 for what a client has, gzip."""

import gzip
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import BAD_ID, PHASES, Api, Raw, expect, expect_none, new_id, raw

AT = "2025-01-02T03:04:05Z"
MIB = 1024 * 1024


@pytest.fixture
def job(api, queue):
    """The id of a job that an agent has taken."""
    api.submit(queue)
    return api.claimed(queue)


def post_log(api, job_id, number, text, phase="setup", kind="output"):
    body = {"fragment_number": number, "timestamp": AT, "phase": phase, "log_data": text}
    expect(api.post(f"/v1/result/{job_id}/log/{kind}", body), 200, "OK")


def plain(api, path, **headers):
    """The answer as it is on the wire to a client that takes no coding unless told."""
    return api.get(path, headers={"Accept-Encoding": None, **headers}, stream=True)


# Fields

STORED = {"status": {"setup": 0, "test": 7}, "provision_status": 3, "provision_output": "po",
          "cleanup_serial": "cs", "device_info": {"a": 1}, "x": 5, "a.b": [1]}
SHOWN = {"setup_status": 0, "test_status": 7, "provision_status": 3, "provision_output": "po",
         "cleanup_serial": "cs", "device_info": {"a": 1}, "x": 5, "a.b": [1], "job_state": "test",
         "setup_output": "one", "test_output": "two", "setup_serial": "s"}


@pytest.mark.alike
@pytest.mark.parametrize("fields", [
    "job_state", "device_info", "test_status", "job_state,setup_status", "x", "a.b", "provision_output",
    "setup_output", "setup_serial,cleanup_serial", "test_output,job_state", "setup_output,test_output",
    "none", "status", "none,job_state,,job_state", "Job_state", "job_state,a%00b",
    ",".join([*SHOWN, *(f"{p}_{k}" for p in PHASES for k in ("status", "output", "serial"))]),
])
def test_fields(api, job, fields):
    expect(api.post(f"/v1/result/{job}", {**STORED, "job_state": "test"}), 200)
    post_log(api, job, 0, "one")
    post_log(api, job, 1, "two", "test")
    post_log(api, job, 0, "s", kind="serial")
    wanted = fields.split(",")
    expected = {name: value for name, value in SHOWN.items() if name in wanted}
    expect(api.get(f"/v1/result/{job}?fields={fields}"), 200, expected)
    several = "&".join(f"fields={name}" for name in wanted)
    expect(api.get(f"/v1/result/{job}?{several}"), 200, expected)


@pytest.mark.alike
@pytest.mark.parametrize("query", ["fields=", "fields", "fields=,", "field=job_state", ""])
def test_no_fields_are_all(api, job, query):
    expect(api.post(f"/v1/result/{job}", {"x": 1}), 200)
    expect(api.get(f"/v1/result/{job}?{query}"), 200, {"x": 1, "job_state": "running"})


def test_fields_of_no_job(api):
    expect_none(api.get(f"/v1/result/{new_id()}?fields=job_state"))
    expect_none(api.get(f"/v1/result/{new_id()}?fields=setup_output"))
    expect(api.get("/v1/result/zz?fields=job_state"), 400, BAD_ID)


def test_fields_in_one_bundle(server, api, queue):
    """Parallel requests, each for another part of another job."""
    ids = [api.submit(queue, name=str(i)) for i in range(8)]
    for i, job_id in enumerate(ids):
        expect(api.post(f"/v1/result/{job_id}", {"x": i, "test_output": str(i)}), 200)
        post_log(api, job_id, 0, f"log {i}")

    def read(n):
        names = [None, "job_state", "x", "test_output", "setup_output"]
        name, job_id = names[n % 5], ids[n % 8]
        full = {"x": n % 8, "test_output": str(n % 8), "setup_output": f"log {n % 8}",
                "job_state": "waiting"}
        answer = Api(server.url).get(f"/v1/result/{job_id}", params={"fields": name} if name else {})
        return answer.json() == (full if not name else {name: full[name]})

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(read, range(120)))


# ETag

def changes(api, job):
    """What changes a job, with the paths whose answers it changes."""
    result, output, serial = f"/v1/result/{job}", f"/v1/result/{job}/log/output", f"/v1/result/{job}/log/serial"
    yield lambda: post_log(api, job, 0, "a"), {result, output}
    yield lambda: post_log(api, job, 0, "b"), {result, output}
    yield lambda: post_log(api, job, 5, "a", "test"), {result, output}
    yield lambda: post_log(api, job, 0, "a"), set()
    yield lambda: post_log(api, job, -1, "a"), set()
    yield lambda: post_log(api, job, 0, "a", kind="serial"), {result, serial}
    yield lambda: api.set_state(job, "test"), {result}
    yield lambda: api.set_state(job, "test"), set()
    yield lambda: api.post(f"/v1/result/{job}", {"device_info": {"a": "b"}}), {result}
    yield lambda: api.post(f"/v1/result/{job}", {"cleanup_output": "x"}), {result}
    yield lambda: api.post_body(f"/v1/result/{job}/output", b"x", None), {output}
    yield lambda: api.post_body(f"/v1/result/{job}/serial_output", b"x", None), {serial}
    yield lambda: api.get(f"/v1/result/{job}/output"), {output}


def test_etags_change_with_the_answer(api, job):
    paths = [f"/v1/result/{job}", f"/v1/result/{job}/log/output", f"/v1/result/{job}/log/serial",
             f"/v1/job/{job}"]
    before = {path: expect(api.get(path), 200) for path in paths}
    for number, (change, changed) in enumerate(changes(api, job)):
        change()
        for path in paths:
            tag = before[path].headers["ETag"]
            answer = api.get(path, headers={"If-None-Match": tag})
            if path in changed:
                assert answer.status_code == 200, (number, path)
                assert answer.headers["ETag"] != tag and answer.content != before[path].content
                before[path] = answer
            else:
                assert answer.status_code == 304, (number, path)
                assert answer.content == b"" and answer.headers["ETag"] == tag
                assert answer.headers["Vary"] == "Accept-Encoding"
                assert "Content-Length" not in answer.headers


def test_etags_of_parts(api, job):
    """Each part has its own ETag, which changes of other parts leave as it is."""
    def tag(query):
        return expect(api.get(f"/v1/result/{job}{query}"), 200).headers["ETag"]

    post_log(api, job, 0, "a")
    queries = ["", "?fields=job_state", "?fields=setup_output", "?fields=job_state,device_info"]
    before = [tag(q) for q in queries]
    post_log(api, job, 1, "b")
    after = [tag(q) for q in queries]
    assert [a == b for a, b in zip(before, after)] == [False, True, False, True]
    logs = [tag(f"/log/output{q}") for q in ("", "?start_fragment=1", "?phase=setup", "?phase=test")]
    assert len(set(logs)) == 4


@pytest.mark.alike
@pytest.mark.parametrize("header, status", [
    ("{tag}", 304), ("*", 304), ("{strong}", 304), ('"x", {tag}', 304), ('W/"x",{strong} , "y"', 304),
    ('"x"', 200), ("", 200), ("x", 200), ('W/"', 200), ('"', 200), (", ,", 200), ("W/{tag}", 200),
])
def test_if_none_match(api, job, header, status):
    for path in (f"/v1/result/{job}", f"/v1/result/{job}/status", f"/v1/job/{job}", f"/v1/result/{job}/log/serial"):
        tag = api.get(path).headers["ETag"]
        assert tag.startswith('W/"') and tag == api.get(path).headers["ETag"]
        sent = header.format(tag=tag, strong=tag.removeprefix("W/"))
        for method in ("GET", "HEAD"):
            answer = api.request(method, path, headers={"If-None-Match": sent})
            assert answer.status_code == status
            assert answer.headers["ETag"] == tag


def test_no_tag_without_an_answer(api):
    job_id = new_id()
    for path in (f"/v1/result/{job_id}", f"/v1/result/{job_id}/status", f"/v1/job/{job_id}"):
        answer = api.get(path, headers={"If-None-Match": "*"})
        assert answer.status_code == 204 and "ETag" not in answer.headers


def test_304_keeps_the_connection(server, job):
    request = f"GET /v1/result/{job} HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n".encode()
    with Raw(server) as connection:
        for _ in range(3):
            assert connection.send(request).reply().status_code == 304


# gzip

@pytest.fixture
def long(api, job):
    """The path of a long log and its text."""
    text = "".join(f"line {i} of a log\n" for i in range(5000))
    post_log(api, job, 0, text)
    return f"/v1/result/{job}", text


@pytest.mark.alike
@pytest.mark.parametrize("header, zipped", [
    (None, False), ("", False), ("identity", False), ("br, deflate", False), ("gzip", True),
    ("GZip", True), ("x-gzip", True), ("deflate, gzip", True), ("gzip;q=0", False),
    ("gzip; q=0.0", False), ("gzip;q=0.001", True), ("gzip;Q=1.000", True), ("*", True),
    ("*;q=0", False), ("gzip;q=0, *", False), ("*;q=0, gzip", True), ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
    ("identity, gzip;q=0.5", False), ("identity;q=0.5, gzip;q=0.5", True), ("identity;q=0, gzip", True),
    ("gzip;q=2", False), ("gzip;q=x", False), ("gzip;q=", False), ("gzipp", False), (",,gzip,", True),
])
def test_accept_encoding(api, long, header, zipped):
    path, text = long
    answer = plain(api, path, **({"Accept-Encoding": header} if header is not None else {}))
    assert answer.status_code == 200
    body = answer.raw.read(decode_content=False)
    assert answer.headers.get("Content-Encoding") == ("gzip" if zipped else None)
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert int(answer.headers["Content-Length"]) == len(body)
    assert (len(body) < len(text) / 4) == zipped
    assert json.loads(gzip.decompress(body) if zipped else body)["setup_output"] == text


def test_tags_are_those_of_the_plain_answer(api, long):
    path, _ = long
    answers = [plain(api, path, **{"Accept-Encoding": coding}) for coding in ("gzip", "identity")]
    assert answers[0].headers["ETag"] == answers[1].headers["ETag"]
    tag = {"Accept-Encoding": "gzip", "If-None-Match": answers[0].headers["ETag"]}
    answer = plain(api, path, **tag)
    assert answer.status_code == 304 and "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_head(api, long, coding):
    """The headers of the GET, without its body."""
    path, _ = long
    for url in (path, f"{path}/log/output"):
        get, head = (api.request(m, url, headers={"Accept-Encoding": coding}) for m in ("GET", "HEAD"))
        assert head.content == b"" and head.status_code == 200
        for name in ("Content-Length", "Content-Encoding", "Vary", "ETag", "Content-Type"):
            assert get.headers.get(name) == head.headers.get(name), name


def test_small_answers_are_not_compressed(api, job):
    answer = expect(api.get(f"/v1/result/{job}"), 200)
    assert "Content-Encoding" not in answer.headers
    answer = expect(api.get("/v1/nope"), 404)
    assert "Content-Encoding" not in answer.headers


def test_incompressible_text(api, job):
    text = "".join(map(chr, random.Random(1).choices(range(0x4e00, 0x9fff), k=2000)))
    post_log(api, job, 0, text)
    assert expect(api.get(f"/v1/result/{job}"), 200).json()["setup_output"] == text


def test_other_answers(api, queue):
    """Lists, live output and jobs are compressed, files never."""
    job_id = api.submit(queue, test_data={"test_cmds": "x" * 5000})
    answer = expect(api.get(f"/v1/job/{job_id}"), 200)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.json()["test_data"]["test_cmds"] == "x" * 5000
    expect(api.post_body(f"/v1/result/{job_id}/output", b"y" * 5000, None), 200)
    answer = expect(api.get(f"/v1/result/{job_id}/output"), 200, "y" * 5000)
    assert answer.headers["Content-Encoding"] == "gzip"
    expect(api.post(f"/v1/result/{job_id}/artifact", files={"file": ("a", b"z" * 5000)}), 200)
    answer = plain(api, f"/v1/result/{job_id}/artifact", **{"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in answer.headers and answer.raw.read() == b"z" * 5000
    answer = expect(api.claim(queue), 200)
    assert answer.headers["Content-Encoding"] == "gzip" and answer.json()["job_id"] == job_id


def test_large_answer(api, job):
    text = "0123456789abcde\n" * (MIB // 4)
    for i in range(4):
        post_log(api, job, i, text)
    start = time.monotonic()
    answer = plain(api, f"/v1/result/{job}", **{"Accept-Encoding": "gzip"})
    body = answer.raw.read()
    assert len(body) < MIB and json.loads(gzip.decompress(body))["setup_output"] == text * 4
    assert time.monotonic() - start < 20


# Plain HTTP

def test_one_header_line_each(server, long):
    path, _ = long
    reply = raw(server, f"GET {path} HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n".encode())
    assert reply.status_code == 200 and json.loads(gzip.decompress(reply.content))
