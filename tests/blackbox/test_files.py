"""Attachments and artifacts: uploads in any legal form, downloads, what is refused."""

import hashlib
import os
import subprocess

import pytest

from client import BAD_ID_TEXT, BAD_REQUEST, Api, Raw, expect, expect_none, message, new_id, raw

CHUNK = 261120
PIECE = 4 * CHUNK
TOO_LARGE = message("Request Entity Too Large")
AWAITING = {"test_data": {"attachments": [{"agent": "a.txt"}]}}
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, PIECE, 3 * PIECE + 77]


def artifact(job):
    return f"/v1/result/{job}/artifact"


def attachments(job):
    return f"/v1/job/{job}/attachments"


def put(api, path, content, name="artifact.tgz"):
    return api.post(path, files={"file": (name, content, "application/x-gzip")})


def part(headers, content=b"x"):
    return b"--B\r\n" + headers + b"\r\n\r\n" + content + b"\r\n"


def file_part(content=b"x", name=b'"file"', filename=b'"a"'):
    return part(b"Content-Disposition: form-data; name=%s; filename=%s" % (name, filename), content)


FIELD = part(b'Content-Disposition: form-data; name="other"', b"value")
END = b"--B--\r\n"


def post_parts(api, path, body, content_type="multipart/form-data; boundary=B"):
    return api.post_body(path, body, content_type)


@pytest.mark.parametrize("size", SIZES)
def test_artifact_comes_back(api, size):
    job, content = new_id(), os.urandom(size)
    expect_none(api.get(artifact(job)))
    expect(put(api, artifact(job), content), 200, "OK")
    got = expect(api.get(artifact(job)), 200)
    assert got.content == content
    assert got.headers["Content-Type"] == "application/gzip"
    assert got.headers["Content-Disposition"] == "attachment; filename=artifact.tar.gz"
    assert got.headers["Cache-Control"] == "no-cache"
    assert got.headers["Content-Length"] == str(size)
    assert got.headers["Accept-Ranges"] == "bytes"
    assert "Content-Encoding" not in got.headers and "Transfer-Encoding" not in got.headers


def test_curl_as_the_document_has_it(server, tmp_path):
    """The API document's examples."""
    path = f"{server.url}/v1/result/00000000-0000-0000-0000-000000000000/artifact"
    (tmp_path / "README.rst").write_bytes(b"read me")

    def curl(*options):
        return subprocess.run(["curl", "--silent", *options], cwd=tmp_path, capture_output=True,
                              timeout=20).stdout

    assert curl("-X", "POST", "-F", "file=@README.rst", path) == b"OK"
    curl(path, "-X", "GET", "-O")
    assert (tmp_path / "artifact").read_bytes() == b"read me"


def test_paths(api, queue):
    """As clients have them."""
    job, file = api.submit(queue, **AWAITING), {"file": ("a", b"x")}
    expect(api.post(f"/v1/job/{job}/attachments", files=file), 200, "OK")
    assert expect(api.get(f"/v1/job/{job}/attachments"), 200).content == b"x"
    expect(api.post(f"/v1/result/{job}/artifact", files=file), 200, "OK")
    assert expect(api.get(f"/v1/result/{job}/artifact"), 200).content == b"x"


def test_the_newest_artifact_counts(api):
    job = new_id()
    for content in (b"a" * (PIECE + 5), b"bb", b"", b"c" * CHUNK):
        expect(put(api, artifact(job), content), 200, "OK")
        assert expect(api.get(artifact(job)), 200).content == content


def test_artifacts_of_jobs_are_apart(api, queue):
    job = api.submit(queue)
    other = job.upper()
    expect(put(api, artifact(job), b"1"), 200)
    expect_none(api.get(artifact(other)))
    expect(put(api, artifact(other), b"2"), 200)
    assert api.get(artifact(job)).content == b"1"


def test_attachments_release_the_job(api, queue):
    job = api.submit(queue, **AWAITING)
    expect_none(api.get(attachments(job)))
    expect_none(api.claim(queue))
    content = os.urandom(CHUNK + 3)
    expect(put(api, attachments(job), content, "attachments.tar.gz"), 200, "OK")
    # A client that had no answer sends it again.
    expect(put(api, attachments(job), b"other"), 200, "OK")
    expect(api.post_body(attachments(job), b"nonsense", "text/plain"), 200, "OK")
    claimed = expect(api.claim(queue), 200).json()
    assert claimed["job_id"] == job and claimed["attachments_status"] == "complete"
    got = expect(api.get(attachments(job)), 200)
    assert got.content == content
    assert got.headers["Content-Type"] == "application/gzip"
    assert got.headers["Content-Length"] == str(len(content))
    assert "Content-Disposition" not in got.headers
    expect(put(api, attachments(job), b"late"), 422, f"Job {job} is not valid\n")


def test_attachments_that_nobody_awaits(api, queue):
    job, unknown = api.submit(queue), new_id()
    expect(put(api, attachments(job), b"x"), 422, f"Job {job} not awaiting attachments\n")
    expect(put(api, attachments(unknown), b"x"), 422, f"Job {unknown} is not valid\n")
    cancelled = api.submit(queue, **AWAITING)
    expect(api.post(f"/v1/job/{cancelled}/action", {"action": "cancel"}), 200)
    expect(put(api, attachments(cancelled), b"x"), 422, f"Job {cancelled} is not valid\n")
    expect_none(api.get(attachments(job)))


def test_order_of_the_checks(api, queue):
    """The id, then the job, then the body."""
    bad = {"body": b"nonsense", "content_type": "text/plain"}
    expect(api.post_body(attachments("zz"), **bad), 400, BAD_ID_TEXT)
    expect(api.post_body(artifact("zz"), **bad), 400, BAD_ID_TEXT)
    job = api.submit(queue)
    expect(api.post_body(attachments(job), **bad), 422, f"Job {job} not awaiting attachments\n")
    awaiting = api.submit(queue, **AWAITING)
    expect(api.post_body(attachments(awaiting), **bad), 400, BAD_REQUEST)
    expect(api.post_body(artifact(job), **bad), 400, BAD_REQUEST)


@pytest.mark.parametrize("path", [artifact, attachments])
def test_bad_ids(api, path):
    expect(put(api, path("zz"), b"x"), 400, BAD_ID_TEXT)
    expect(api.get(path("zz")), 400, BAD_ID_TEXT)
    expect(api.request("PUT", path(new_id())), 405, message("Method Not Allowed"))


@pytest.mark.alike
@pytest.mark.parametrize("body, content_type", [
    (b"", None),
    (b"", "multipart/form-data; boundary=B"),
    (END, "multipart/form-data; boundary=B"),
    (FIELD + END, "multipart/form-data; boundary=B"),
    (part(b'Content-Disposition: form-data; name="file"') + END, "multipart/form-data; boundary=B"),
    (file_part(name=b'"files"') + END, "multipart/form-data; boundary=B"),
    (file_part(name=b'"File"') + END, "multipart/form-data; boundary=B"),
    (file_part() + END, "multipart/form-data"),
    (file_part() + END, "multipart/form-data; boundary="),
    (file_part() + END, "multipart/mixed; boundary=B"),
    (file_part() + END, "multipart/form-data; boundary=C"),
    (file_part() + END, "application/json"),
    (file_part(), "multipart/form-data; boundary=B"),
    (file_part()[:-2], "multipart/form-data; boundary=B"),
    (b"--B\r\nContent-Disposition: form-data; name=file; filename=a\r\n", "multipart/form-data; boundary=B"),
    (b"--B\r\n" + b"X: y\r\n" * 10000 + b"\r\n" + file_part() + END, "multipart/form-data; boundary=B"),
    (os.urandom(100000), "multipart/form-data; boundary=B"),
])
def test_bodies_without_a_file(api, body, content_type):
    job = new_id()
    expect(api.post_body(artifact(job), body, content_type), 400, BAD_REQUEST)
    expect_none(api.get(artifact(job)))


@pytest.mark.alike
@pytest.mark.parametrize("body", [
    file_part() + END,
    file_part() + b"--B--",
    FIELD + file_part() + FIELD + END,
    b"preamble\r\n" + file_part() + END + b"epilogue\r\n--B\r\n",
    b"\r\n" + file_part() + END,
    file_part(name=b"file", filename=b"a") + END,
    file_part(filename=b'""') + END,
    file_part(filename=b'"a\\"b;c.tgz"') + END,
    file_part(filename=b'"C:\\dir\\a.tgz"') + END,
    file_part(filename=b'"; name=\\"x\\""') + END,
    file_part(filename="\"\u00e9.tgz\"".encode()) + END,
    part(b"content-disposition:form-data;filename=a;NAME=file") + END,
    part(b'Content-Type: a/b\r\nCONTENT-DISPOSITION: form-data; name = "file" ; filename="a"') + END,
    part(b"Content-Disposition: form-data;\r\n name=file;\r\n\tfilename=a\r\nX: y") + END,
    part(b"Content-Disposition: form-data; name=file; filename*=utf-8''a%20b") + END,
    (file_part() + END).replace(b"--B", b"--B \t", 1),
    file_part() + file_part(b"second") + END,
    (FIELD + file_part() + END).replace(b"\r\n", b"\n"),
])
def test_forms_of_multipart(api, body):
    job = new_id()
    expect(post_parts(api, artifact(job), body), 200, "OK")
    assert api.get(artifact(job)).content == b"x"


@pytest.mark.parametrize("content_type", [
    "multipart/form-data; boundary=B", 'multipart/form-data; boundary="B"',
    "Multipart/Form-Data;charset=utf-8;BOUNDARY=B", 'multipart/form-data; a="b;c" ; boundary = "B"',
])
def test_forms_of_the_boundary(api, content_type):
    job = new_id()
    expect(post_parts(api, artifact(job), file_part() + END, content_type), 200, "OK")


@pytest.mark.alike
@pytest.mark.parametrize("content", [
    b"--B", b"--B\r\n", b"\r\n--BB\r\n", b"\r\n", b"\n", b"\r\n\r\n", b"\r", b"a\r\n--", b"\r\n--B-",
    b"--B--\r\n", b"x\r\n--B x\r\n", b"\x00\xff" * 70000, b"\r\n--" * 50000,
])
def test_contents_that_look_like_boundaries(api, content):
    job = new_id()
    expect(post_parts(api, artifact(job), file_part(content) + END), 200, "OK")
    assert api.get(artifact(job)).content == content


def test_limits_of_multipart(api):
    path = artifact(new_id())
    field = b'Content-Disposition: form-data; name="f"'
    large, many = part(field, b"x" * 500_001), part(field) * 1000
    expect(post_parts(api, path, large + file_part() + END), 413, TOO_LARGE)
    expect(post_parts(api, path, many + file_part() + END), 413, TOO_LARGE)
    expect_none(api.get(path))
    expect(post_parts(api, path, part(field, b"x" * 500_000) + file_part() + END), 200)
    expect(post_parts(api, path, part(field) * 999 + file_part() + END), 200)


def test_chunked_upload(api):
    job = new_id()
    body = file_part(b"y" * 300_000) + END
    pieces = (body[i:i + 70_001] for i in range(0, len(body), 70_001))
    expect(api.post_body(artifact(job), pieces, "multipart/form-data; boundary=B"), 200, "OK")
    assert api.get(artifact(job)).content == b"y" * 300_000


# Downloads


@pytest.fixture(scope="module")
def stored(server):
    api, job, content = Api(server.url), new_id(), os.urandom(2 * PIECE + 1000)
    expect(put(api, artifact(job), content), 200)
    return artifact(job), content


def test_head(api, stored):
    path, content = stored
    got = expect(api.head(path), 200)
    assert got.headers["Content-Length"] == str(len(content)) and not got.content
    assert got.headers["ETag"] == api.get(path).headers["ETag"]
    ranged = expect(api.head(path, headers={"Range": "bytes=0-1"}), 200)
    assert ranged.headers["Content-Length"] == str(len(content))
    expect(api.head(artifact(new_id())), 204)


@pytest.mark.parametrize("first, last", [
    (0, 0), (0, 9), (5, None), (CHUNK - 1, CHUNK), (CHUNK, PIECE), (PIECE - 1, 2 * PIECE),
    (2 * PIECE, None), (7, 10 ** 17), (2 * PIECE + 999, None),
])
def test_ranges(api, stored, first, last):
    path, content = stored
    got = api.get(path, headers={"Range": f"bytes={first}-{'' if last is None else last}"})
    expect(got, 206)
    end = len(content) if last is None else min(last + 1, len(content))
    assert got.content == content[first:end]
    assert got.headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(content)}"
    assert got.headers["Content-Length"] == str(end - first)


@pytest.mark.parametrize("suffix", [1, 1000, PIECE, 10 ** 12])
def test_suffix_ranges(api, stored, suffix):
    path, content = stored
    assert expect(api.get(path, headers={"Range": f"bytes=-{suffix}"}), 206).content == content[-suffix:]


@pytest.mark.parametrize("text", ["bytes=9999999999-", "bytes=-0", f"bytes={2 * PIECE + 1000}-"])
def test_ranges_that_cannot_be_served(api, stored, text):
    path, content = stored
    got = expect(api.get(path, headers={"Range": text}), 416)
    assert got.headers["Content-Range"] == f"bytes */{len(content)}"


@pytest.mark.alike
@pytest.mark.parametrize("text", ["bytes=5-1", "bytes=", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4",
                                  "bytes=--1", "1-2", "bytes=1"])
def test_ranges_that_are_ignored(api, stored, text):
    path, content = stored
    assert expect(api.get(path, headers={"Range": text}), 200).content == content


def test_conditions(api, stored):
    path, content = stored
    head = api.head(path).headers
    part_of = {"Range": "bytes=0-9"}
    for value in (head["ETag"], head["Last-Modified"]):
        assert expect(api.get(path, headers={**part_of, "If-Range": value}), 206).content == content[:10]
    for value in ('"0"', "Tue, 24 Nov 2020 12:25:45 GMT"):
        assert expect(api.get(path, headers={**part_of, "If-Range": value}), 200).content == content
    for value in (head["ETag"], f'"x", W/{head["ETag"]}', "*"):
        expect(api.get(path, headers={"If-None-Match": value}), 304)
    expect(api.get(path, headers={"If-None-Match": '"x"'}), 200)


def test_an_interrupted_download_resumes(api, stored, server):
    path, content = stored
    with Raw(server) as connection:
        connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.file.read(1)
        got = connection.file.read(700_000)
    got += expect(api.get(path, headers={"Range": f"bytes={len(got)}-"}), 206).content
    assert hashlib.sha256(got).digest() == hashlib.sha256(content).digest()


def test_connection_goes_on_after_a_download(server, stored):
    path, content = stored
    with Raw(server) as connection:
        for _ in range(2):
            connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert connection.reply().content == content
        connection.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n"
                        .encode())
        assert connection.reply().content == content
        assert connection.reply().status_code == 200


def test_old_http(server, stored):
    path, content = stored
    got = raw(server, f"GET {path} HTTP/1.0\r\n\r\n".encode())
    assert got.status_code == 200 and got.content == content
    assert got.headers["Content-Length"] == str(len(content))


# The limit


@pytest.fixture
def small(private):
    return private("--max-upload", 1 << 20)


def test_limit(small):
    api, job = Api(small.url), new_id()
    overhead = len(file_part(b"") + END)
    fits = b"x" * ((1 << 20) - overhead)
    expect(post_parts(api, artifact(job), file_part(fits) + END), 200, "OK")
    expect(post_parts(api, artifact(job), file_part(fits + b"x") + END), 413, TOO_LARGE)
    body = iter([file_part(fits), b"x" * 100_000, END])
    expect(post_parts(api, artifact(job), body), 413, TOO_LARGE)
    assert api.get(artifact(job)).content == fits


def test_limit_is_told_before_the_body(small):
    head = (f"POST {artifact(new_id())} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            "Content-Type: multipart/form-data; boundary=B\r\nContent-Length: ")
    got = raw(small, f"{head}{(1 << 20) + 1}\r\n\r\n".encode())
    assert got.status_code == 413 and got.json() == TOO_LARGE
    body = file_part(b"z") + END
    with Raw(small) as connection:
        connection.send(f"{head}{len(body)}\r\n\r\n".encode())
        assert connection.reply().status_code == 100
        assert connection.send(body).reply().content == b"OK"
