"""Live output of a job, both kinds: appended by the agent, taken once by whoever reads first."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from client import BAD_ID, BAD_ID_TEXT, Api, expect, expect_none, new_id


@pytest.fixture(params=["output", "serial_output"])
def path(request):
    """The path of a job that the server need not know."""
    return f"/v1/result/{new_id()}/{request.param}"


def add(api, path, *entries):
    for entry in entries:
        expect(api.post_body(path, entry, None), 200, "OK")


@pytest.mark.parametrize("entries, text", [
    (["line1\n", "line2\n"], "line1\n\nline2\n"),
    (["a"], "a"),
    ([""], ""),
    (["", ""], "\n"),
    (["a", "", "b"], "a\n\nb"),
    (["caf\u00e9 \U0001f600", "\u0000\u0001\x1b[0m\r\n", "{\"a\": 1}"],
     "caf\u00e9 \U0001f600\n\u0000\u0001\x1b[0m\r\n\n{\"a\": 1}"),
    ([str(i) for i in range(150)], "\n".join(map(str, range(150)))),
], ids=lambda value: repr(value)[:20])
def test_taken_once(api, path, entries, text):
    expect_none(api.get(path))
    add(api, path, *[entry.encode() for entry in entries])
    expect(api.get(path), 200, text)
    expect_none(api.get(path))
    add(api, path, b"more")
    expect(api.get(path), 200, "more")


def test_kinds_are_apart(api):
    job = f"/v1/result/{new_id()}"
    add(api, f"{job}/output", b"o")
    expect_none(api.get(f"{job}/serial_output"))
    add(api, f"{job}/serial_output", b"s")
    expect(api.get(f"{job}/output"), 200, "o")
    expect(api.get(f"{job}/serial_output"), 200, "s")


def test_jobs_are_apart(api):
    job_id = new_id()
    add(api, f"/v1/result/{job_id}/output", b"x")
    expect_none(api.get(f"/v1/result/{job_id.upper()}/output"))
    expect_none(api.get(f"/v1/result/{job_id.replace('-', '')}/output"))
    expect(api.get(f"/v1/result/{job_id}/output"), 200, "x")


def test_output_of_a_known_job(api, queue):
    """Live output is no part of the result."""
    job_id = api.submit(queue)
    add(api, f"/v1/result/{job_id}/output", b"x")
    expect(api.get(f"/v1/result/{job_id}"), 200, {"job_state": "waiting"})
    expect(api.get(f"/v1/result/{job_id}/output"), 200, "x")


@pytest.mark.alike
@pytest.mark.parametrize("content_type", [None, "text/plain; charset=utf-8", "application/json",
                                          "application/x-www-form-urlencoded",
                                          "application/octet-stream"])
def test_any_content_type(api, path, content_type):
    expect(api.post_body(path, b'{"a": "b"&c=d}', content_type), 200, "OK")
    expect(api.get(path), 200, '{"a": "b"&c=d}')


@pytest.mark.alike
@pytest.mark.parametrize("body", [b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"])
def test_invalid_utf8(api, path, body):
    expect(api.post_body(path, body, None), 400)
    expect_none(api.get(path))


@pytest.mark.parametrize("kind", ["output", "serial_output"])
def test_bad_id(api, kind):
    for job_id in ["zz", "0x" + "1" * 30, new_id() + "x"]:
        expect(api.post_body(f"/v1/result/{job_id}/{kind}", b"x", None), 400, BAD_ID)
        expect(api.get(f"/v1/result/{job_id}/{kind}"), 400, BAD_ID_TEXT)


def test_head_takes_nothing(api, path):
    assert api.head(path).status_code == 204
    add(api, path, b"x", b"y")
    for _ in range(2):
        response = expect(api.head(path), 200)
        assert response.content == b""
    expect(api.get(path), 200, "x\ny")


def test_large_entries(api, path):
    pieces = [bytes([65 + i]) * (1024 * 1024) for i in range(6)]
    add(api, path, *pieces)
    expect(api.get(path), 200, b"\n".join(pieces).decode())
    expect_none(api.get(path))


def test_writers_at_a_time(server, api, path):
    """Each entry is there once, those of one writer in their order."""
    def write(writer):
        one = Api(server.url)
        add(one, path, *[f"{writer} {i}".encode() for i in range(25)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    lines = expect(api.get(path), 200).text.split("\n")
    assert sorted(lines) == sorted(f"{w} {i}" for w in range(8) for i in range(25))
    for writer in range(8):
        assert [l for l in lines if l.startswith(f"{writer} ")] == [f"{writer} {i}" for i in range(25)]


@pytest.mark.slow
def test_readers_and_a_writer_at_a_time(server, api, path):
    """Each entry is read by one of the readers."""
    def read(_):
        one, mine = Api(server.url), []
        while "end" not in mine and not done:
            response = one.get(path)
            if response.status_code == 200:
                mine += response.text.split("\n")
        done.append(True)
        return mine

    done = []
    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read, i) for i in range(3)]
        add(api, path, *[str(i).encode() for i in range(100)], b"end")
        found = sum((r.result() for r in readers), [])
    assert sorted(found) == sorted([*map(str, range(100)), "end"])


@pytest.mark.stores("mongodb")
def test_ids_are_in_order(api, db, path):
    """Older releases, which may run beside this one during an upgrade, read in the order of ids."""
    texts = [str(i) for i in range(20)]
    add(api, path, *map(str.encode, texts))
    job_id, name = path.split("/")[-2:]
    assert [d[name] for d in db[name].find({"job_id": job_id}).sort("_id")] == [[text] for text in texts]
