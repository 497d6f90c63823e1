"""Logs of jobs as text and as lines of JSON, of any length."""

import http.client
import json
import urllib.parse

import pytest

from client import Api, expect, new_id
from test_logs import body as fragment
from web import HOSTILE, page

LINES = {"Accept": "application/x-ndjson"}
NASTY = HOSTILE + "\0\r\n\u2028\x7f\ud7ff\U0010ffff\r\r\x1b]0;x\x07"


def log(api, job, number, text, phase="test", kind="output"):
    expect(api.post(f"/v1/result/{job}/log/{kind}", fragment(number, text, phase=phase)), 200)


def raw(api, job, query="", kind="output", **options):
    return expect(api.get(f"/jobs/{job}/log/{kind}{query}", **options), 200)


def lines(api, job, query="", kind="output"):
    answer = raw(api, job, query, kind, headers=LINES)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not answer.content or answer.content.endswith(b"\n")
    return [json.loads(line) for line in answer.content.splitlines()]


def opened(api, path):
    """An answer whose body has not been read."""
    url = urllib.parse.urlsplit(api.url)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 200
    return connection, answer


def filled(api, sizes=(3_000_000, 0, 700_000, 2_200_000)):
    """A job's id and the texts of its fragments, several parts long."""
    job = new_id()
    texts = ["".join(f"{i}é{at:09}\n" for at in range(size // 13)) for i, size in enumerate(sizes)]
    for number, text in enumerate(texts):
        log(api, job, number, text, "test" if number % 2 else "provision")
    return job, texts


def test_a_log_of_several_parts(api):
    job, texts = filled(api)
    whole = "".join(texts).encode()
    answer = raw(api, job)
    assert answer.content == whole
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Log-Last"] == "3" and "Next-Part" not in answer.headers
    assert raw(api, job, "?phase=provision").content == (texts[0] + texts[2]).encode()
    assert raw(api, job, "?start=1&until=2").content == (texts[1] + texts[2]).encode()
    for size in (1_000_000, 3_000_000):
        tail = raw(api, job, f"?tail={size}")
        assert tail.content == whole[-size - 1:].partition(b"\n")[2] and tail.headers["Log-Cut"] == "start"
    all_of_it = raw(api, job, f"?tail={len(whole)}")
    assert all_of_it.content == whole and "Log-Cut" not in all_of_it.headers
    head = expect(api.request("HEAD", f"/jobs/{job}/log/output"), 200)
    assert not head.content and "Content-Length" not in head.headers and head.headers["Log-Last"] == "3"


def test_a_log_as_lines_of_json(api):
    job, texts = filled(api)
    found = lines(api, job)
    assert [(f["n"], f["phase"], f["text"]) for f in found] == [
        (i, "test" if i % 2 else "provision", text) for i, text in enumerate(texts)]
    assert all(f["at"].endswith("Z") for f in found)
    sizes = lines(api, job, "?texts=no")
    assert sizes == [{"n": f["n"], "phase": f["phase"], "at": f["at"], "bytes": len(f["text"].encode())} for f in found]
    assert [f["n"] for f in lines(api, job, "?start=1&phase=test")] == [1, 3]
    assert [f["n"] for f in lines(api, job, "?tail=2500000")] == [2, 3]
    page(api, f"/jobs/{job}/log/output?texts=yes", 422, headers={"Accept": "text/html, application/x-ndjson;q=0.1"})


def test_any_bytes_in_a_log(api):
    """Also where a part ends within them; six bytes of JSON for one."""
    job = new_id()
    texts = [NASTY, "\x01" * 700_000, NASTY * 20_000, "", "\n"]
    for number, text in enumerate(texts):
        log(api, job, number, text)
    assert raw(api, job).content == "".join(texts).encode()
    assert [f["text"] for f in lines(api, job)] == texts
    assert raw(api, job, "?tail=0").content == b"" and raw(api, job, "?tail=1").content == b""
    assert raw(api, job, "?until=0&download=1").headers["Content-Disposition"] == (
        f'attachment; filename="{job[:8]}-output.log"')


def test_several_fragments_of_one_number(api):
    """Agents that were started anew count from the same number."""
    job = new_id()
    texts = sorted(f"{i}" * 150_000 + "\n" for i in range(9))
    for text in texts:
        log(api, job, 7, text)
    assert sorted(raw(api, job).text.splitlines(True)) == texts
    assert sorted(f["text"] for f in lines(api, job)) == texts


def test_many_small_fragments(api):
    job = new_id()
    texts = [f"line {i}\n" for i in range(150)]
    for number, text in enumerate(texts):
        log(api, job, number, text)
    assert raw(api, job).text == "".join(texts)
    assert raw(api, job, "?tail=27").text == raw(api, job, "?tail=28").text == "".join(texts[-3:])
    assert [f["text"] for f in lines(api, job)] == texts and len(lines(api, job, "?texts=no")) == 150


def test_a_log_that_grows_while_it_is_read(api):
    """It ends where it ended when the reading began; from the next number on a reader goes on."""
    job, texts = filled(api)
    connection, answer = opened(api, f"/jobs/{job}/log/output")
    begin = answer.read(1000)
    last = int(answer.headers["Log-Last"])
    log(api, job, last + 1, "more\n")
    assert begin + answer.read() == "".join(texts).encode()
    connection.close()
    assert raw(api, job, f"?start={last + 1}").text == "more\n"


def test_a_log_is_read_on_after_its_worker_was_killed(private):
    server = private(workers=2)
    api = Api(server.url)
    job, texts = filled(api, (8_000_000, 8_000_000, 8_000_000))
    connection, answer = opened(api, f"/jobs/{job}/log/output")
    begin = answer.read(1000)
    server.kill("worker")
    assert begin + answer.read() == "".join(texts).encode()
    connection.close()


def test_logs_of_older_agents_in_parts(api, queue):
    """Live output while the job runs, fields of the result at its end."""
    job = api.submit(queue)
    api.claimed(queue)
    api.set_state(job, "test")
    entries = ["é" * 200_000, "\x02", "end"]
    for text in entries:
        expect(api.post_body(f"/v1/result/{job}/output", text.encode(), "text/plain"), 200)
    whole = "".join(text + "\n" for text in entries)
    assert raw(api, job).text == whole
    assert [(f["n"], f["text"]) for f in lines(api, job)] == [(i, text + "\n") for i, text in enumerate(entries)]
    assert [f["bytes"] for f in lines(api, job, "?texts=no")] == [400_001, 2, 4]
    assert raw(api, job, "?tail=4").text == "end\n" and raw(api, job, "?tail=0").text == ""
    fields = {"setup_output": "s\n", "test_output": "t" * 600_000 + "\n", "test_serial": "boot\n"}
    expect(api.post(f"/v1/result/{job}", fields), 200)
    assert raw(api, job).text == fields["setup_output"] + fields["test_output"]
    assert raw(api, job, "?tail=600001").text == fields["test_output"]
    assert [f["phase"] for f in lines(api, job)] == ["setup", "test"]
    serial, = lines(api, job, kind="serial")
    assert (serial["phase"], serial["at"], serial["text"]) == ("test", None, "boot\n")


@pytest.mark.parametrize("query", ["until=x", "tail=-1", "tail=" + "9" * 30, "start=1.5", "phase="])
def test_bad_queries(api, query):
    page(api, f"/jobs/{new_id()}/log/output?{query}", 422)
