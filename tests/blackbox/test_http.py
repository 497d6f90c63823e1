"""General rules of HTTP: routing, methods, paths, limits, connections."""

import re
import uuid

import pytest

from client import (BAD_ID, NOT_FOUND, OVER, Api, Raw, expect, expect_none, message, new_id, raw)

# Heads, paths, methods and bodies are read, and refused, before any store is asked.
pytestmark = pytest.mark.stores("sqlite")

J = "11111111-2222-3333-4444-555555555555"
GET, POST = {"OPTIONS", "GET", "HEAD"}, {"OPTIONS", "POST"}
PATHS = {
    "/v1/": GET,
    "/v1": GET,
    "/v1/job": GET | POST,
    f"/v1/job/{J}": GET,
    f"/v1/job/{J}/position": GET,
    f"/v1/job/{J}/action": POST,
    f"/v1/result/{J}": GET | POST,
    f"/v1/result/{J}/output": GET | POST,
    f"/v1/result/{J}/serial_output": GET | POST,
}


def allowed(response):
    return set(re.split(r",\s*", response.headers["Allow"]))


@pytest.mark.parametrize("path", ["/v1", "/v1/"])
def test_version(api, path):
    response = expect(api.get(path), 200)
    assert re.fullmatch(rb"Testflinger Server v\S+", response.content)
    assert response.headers["Content-Type"].startswith("text/")


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/nope", "/nope", "/V1/", "/v1/JOB", f"/v1/job/{J}/nope",
                                  f"/v1/result/{J}/output/x"])
def test_unknown_path(api, method, path):
    expect(api.request(method, path), 404, NOT_FOUND)


@pytest.mark.parametrize("target", ["/v1/./job", "/v1/x/../job", "/../v1/", "/v1/.", "/."])
def test_dots_are_not_resolved(server, target):
    expect(raw(server, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()), 404, NOT_FOUND)


@pytest.mark.parametrize("path", PATHS)
def test_methods(api, path):
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "TRACE"]:
        if method in PATHS[path]:
            continue
        response = expect(api.request(method, path), 405, message("Method Not Allowed"))
        assert allowed(response) == PATHS[path]
    response = expect(api.request("OPTIONS", path), 200)
    assert response.content == b"" and allowed(response) == PATHS[path]


def test_made_up_method(server):
    expect(raw(server, b"BREW /v1/job HTTP/1.1\r\nHost: x\r\n\r\n"), 405)


def test_head(api, queue):
    job_id = api.submit(queue)
    for path, status in [("/v1/", 200), (f"/v1/job/{job_id}", 200), (f"/v1/result/{job_id}", 200),
                         (f"/v1/job/{new_id()}", 204), ("/v1/job/zz", 400), ("/v1/nope", 404)]:
        response = api.head(path)
        assert (response.status_code, response.content) == (status, b""), path


@pytest.mark.parametrize("path", ["/v1/job/", f"/v1/job/{J}/", "/v1/job/zz/"])
def test_trailing_slash(api, path):
    same = api.get(path[:-1])
    response = api.get(path)
    assert (response.status_code, response.content) == (same.status_code, same.content)


def test_trailing_slash_of_post(api, queue):
    expect(api.post("/v1/job/", {"job_queue": queue}), 200)


@pytest.mark.parametrize("path, location", [
    ("/v1//job", "/v1/job"), ("//v1///job", "/v1/job"), (f"/v1/job//{J}", f"/v1/job/{J}"),
    ("/v1//", "/v1/"), ("/v1//job?queue=a//b", "/v1/job?queue=a//b"),
])
def test_doubled_slash(server, path, location):
    response = expect(raw(server, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()), 308)
    assert re.sub(r"^https?://[^/]+", "", response.headers["Location"]) == location


def test_redirect_can_be_followed(api, queue):
    expect(api.post("/v1//job", {"job_queue": queue}, allow_redirects=True), 200)


@pytest.mark.parametrize("head", [
    "GET /v1/ HTTP/1.0\r\n", "GET /v1/ HTTP/1.0\r\nHost: x\r\n", "GET /v1/ HTTP/1.1\r\nHost:\r\n",
    "GET http://h.example.com/v1/ HTTP/1.1\r\nHost: h.example.com\r\n",
    "GET http://h.example.com:81/v1 HTTP/1.1\r\nHost: other\r\n",
], ids=["HTTP/1.0", "HTTP/1.0 with Host", "empty Host", "absolute", "another Host"])
def test_forms_of_requests(server, head):
    expect(raw(server, f"{head}\r\n".encode()), 200)


def test_http_1_0_closes(server):
    with Raw(server) as connection:
        expect(connection.send(b"GET /v1/ HTTP/1.0\r\n\r\n").reply(), 200)
        assert connection.is_closed()


def test_connection_close_is_obeyed(server):
    with Raw(server) as connection:
        connection.send(b"GET /v1/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        expect(connection.reply(), 200)
        assert connection.is_closed()


def test_one_connection_many_requests(server, queue):
    body = f'{{"job_queue": "{queue}"}}'.encode()
    post = (b"POST /v1/job HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    with Raw(server) as connection:
        for request, status in [(post, 200), (b"GET /v1/nope HTTP/1.1\r\nHost: x\r\n\r\n", 404),
                                (b"PUT /v1/job HTTP/1.1\r\nHost: x\r\n\r\n", 405),
                                (b"GET /v1/job/zz HTTP/1.1\r\nHost: x\r\n\r\n", 400), (post, 200)]:
            expect(connection.send(request).reply(), status)


def test_pipelining_keeps_the_order(server):
    requests = b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path
                        for path in [b"/v1/job/zz", b"/v1/", b"/v1/nope", b"/v1/result/zz"])
    with Raw(server) as connection:
        connection.send(requests)
        assert [connection.reply().status_code for _ in range(4)] == [400, 200, 404, 400]


def test_request_arrives_byte_by_byte(server, queue):
    body = f'{{"job_queue": "{queue}"}}'
    data = (f"POST /v1/job HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}")
    with Raw(server) as connection:
        for byte in data.encode():
            connection.send(bytes([byte]))
        expect(connection.reply(), 200)


@pytest.mark.parametrize("pieces", [[1] * 20, [5, 100000], [1]], ids=["small", "large", "one"])
def test_chunked_body(api, queue, pieces):
    body = f'{{"job_queue": "{queue}", "name": "{"n" * 50000}"}}'.encode()

    def chunks(rest=body):
        for size in pieces:
            if rest[:size]:
                yield rest[:size]
            rest = rest[size:]
        if rest:
            yield rest

    response = api.post_body("/v1/job", chunks())
    assert response.request.headers["Transfer-Encoding"] == "chunked"
    expect(response, 200)
    assert expect(api.claim(queue), 200).json()["name"] == "n" * 50000


def test_chunk_extensions_and_trailers(server, queue):
    body = f'{{"job_queue": "{queue}"}}'.encode()
    expect(raw(server, b"POST /v1/job HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                       b"Content-Type: application/json\r\n\r\n%x;a=b\r\n%s\r\n0\r\nX-T: y\r\n\r\n"
                       % (len(body), body)), 200)


@pytest.mark.parametrize("head", [
    "Content-Length: abc", "Content-Length: -1", "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 5\r\nTransfer-Encoding: chunked", "Transfer-Encoding: gzip",
    "Transfer-Encoding: chunked\r\n\r\nzz",
])
def test_unclear_end_of_the_body(server, head):
    """A request that two parsers could read differently is refused."""
    expect(raw(server, f"POST /v1/job HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode()), 400)


def test_expect_100_continue(server, queue):
    body = f'{{"job_queue": "{queue}"}}'.encode()
    with Raw(server) as connection:
        connection.send(b"POST /v1/job HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                        b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert connection.reply().status_code == 100
        expect(connection.send(body).reply(), 200)
        expect(connection.send(b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n").reply(), 200)


@pytest.mark.parametrize("length, status", [(4094, 204), (4095, 400), (20000, 400)])
def test_length_of_the_request_line(server, queue, length, status):
    start, end = f"GET /v1/job?queue={queue}&x=", " HTTP/1.1"
    line = start + "y" * (length - len(start + end)) + end
    expect(raw(server, f"{line}\r\nHost: x\r\n\r\n".encode()), status)
    expect(raw(server, b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n"), 200)


@pytest.mark.parametrize("size, status", [(8000, 200), (8200, 431), (60000, 431)])
def test_size_of_a_header(server, size, status):
    reply = raw(server, b"GET /v1/ HTTP/1.1\r\nHost: x\r\nX-A: %s\r\n\r\n" % (b"a" * size))
    expect(reply, status, message("Request Header Fields Too Large") if status == 431 else None)


@pytest.mark.parametrize("count, status", [(100, 200), (101, 431), (1000, 431)])
def test_number_of_headers(server, count, status):
    lines = b"".join(b"X-%d: a\r\n" % i for i in range(count - 1))
    expect(raw(server, b"GET /v1/ HTTP/1.1\r\nHost: x\r\n%s\r\n" % lines), status)


@pytest.mark.parametrize("data", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"hello\r\n\r\n", b"GET\r\n\r\n",
    b"GET /v1/\r\n\r\n", b"GET /v1/ HTTP/9.9\r\n\r\n", b"GET /v1/ HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET /v1/ HTTP/1.1\r\n folded: x\r\n\r\n", b"GET /v1/\x00 HTTP/1.1\r\n\r\n",
    b"\r\n\r\n\r\n", b"GET /v1/%zz%\x80\xff HTTP/1.1\r\nHost: x\r\n\r\n",
])
def test_malformed_request(server, data):
    """An answer of class 4xx or a closed connection; the server goes on."""
    with Raw(server) as connection:
        connection.send(data)
        connection.socket.shutdown(1)
        try:
            status = connection.reply().status_code
        except ConnectionError:
            status = 400
        assert 400 <= status < 500 or status == 505
    expect(raw(server, b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n"), 200)


def test_encoded_path(api, queue):
    job_id = "{%s}" % new_id()
    api.submit(queue, job_id=job_id)
    encoded = "".join(f"%{byte:02X}" for byte in job_id.encode())
    assert expect(api.get(f"/v1/job/{encoded}"), 200).json()["job_id"] == job_id
    expect(api.get("/v1/job/%FF%00"), 400, BAD_ID)


@pytest.mark.parametrize("name, query", [
    ("a b", "a+b"), ("a b", "a%20b"), ("a+b", "a%2Bb"), ("caf\u00e9", "caf%C3%A9"),
    ("x/y?z#", "x/y%3Fz%23"), ("a&b=c", "a%26b%3Dc"), ("a;b", "a;b"),
])
def test_encoded_query(api, name, query):
    suffix = uuid.uuid4().hex
    job_id = api.submit(name + suffix)
    response = expect(api.get(f"/v1/job?x=1&queue={query}{suffix}&other"), 200)
    assert response.json()["job_id"] == job_id


@pytest.mark.parametrize("query", ["queue=%FF", "queue=%", "queue=%4", "queue=%zz", "queue=%00"])
def test_odd_encodings_are_names(api, query):
    expect_none(api.get(f"/v1/job?{query}"))


def test_request_id(api):
    """Each answer carries the id of its request; a new job's id is that of its request."""
    response = api.post("/v1/job", {"job_queue": "request-ids"})
    assert uuid.UUID(response.headers["X-Request-Id"]).version == 4
    assert response.json()["job_id"] == response.headers["X-Request-Id"]
    assert api.get("/v1/").headers["X-Request-Id"] != response.headers["X-Request-Id"]


@pytest.mark.parametrize("line, framing, body, status", [
    ("POST /v1/nope", "Content-Length: 70000", b"x" * 70000, 413),
    ("POST /v1/nope", "Content-Length: 99999999999", b"", 413),
    ("POST /v1/nope", "Transfer-Encoding: chunked", b"11170\r\n" + b"x" * 70000 + b"\r\n0\r\n\r\n", 413),
    ("POST /v1/job", "Transfer-Encoding: chunked", b"zz\r\n", 400),
    ("BREW /v1/job", "Content-Length: 5", b"12345", 405),
    ("BREW /v1/job", "Accept: */*", b"", 405),
    ("POST /v1/nope", "Content-Length: 70000\r\nExpect: 100-continue", b"", 413),
    ("GET /v1/", "X: y\r\n" * 101 + "Z: z", b"", 431),
])
def test_request_id_of_what_is_refused_early(server, line, framing, body, status):
    """Each refusal, however early, carries the client's own id."""
    text = f"{line} HTTP/1.1\r\nHost: x\r\nx-request-id: theirs-1\r\n{framing}\r\n\r\n"
    reply = expect(raw(server, text.encode() + body), status)
    assert reply.headers["X-Request-Id"] == "theirs-1"
    if "Accept" not in framing:
        return
    for odd in ("a b", "x" * 129, "caf\u00e9", "<x>"):
        reply = raw(server, text.replace("theirs-1", odd).encode())
        assert uuid.UUID(reply.headers["X-Request-Id"]).version == 4


BIG = b"x" * (17 * 1024 * 1024)


@pytest.mark.parametrize("path, text", [
    ("/v1/job", "Request Entity Too Large"), (f"/v1/result/{J}", "Payload too large"),
])
def test_body_of_17_mib(api, queue, path, text):
    """The answer arrives whether or not the length is told, and the next request works."""
    expect(api.post_body(path, BIG), 413, message(text))
    expect(api.post("/v1/job", {"job_queue": queue}), 200)
    expect(api.post_body(path, iter([BIG])), 413, message(text))
    expect(api.post("/v1/job", {"job_queue": queue}), 200)


@pytest.mark.parametrize("size, status", [(16 * 2**20 - 1, 422), (16 * 2**20, 413)])
def test_limit_of_a_result(api, size, status):
    """Exactly 16 MiB is refused by its size alone; one byte less is looked at."""
    body = b'{"job_state":5,"x":"' + b"x" * (size - 22) + b'"}'
    assert len(body) == size
    expect(api.post_body(f"/v1/result/{J}", body), status)


def test_reference_answers_for_an_unknown_job(strict):
    expect(strict.post(f"/v1/job/{new_id()}/action", {"action": "cancel"}), 400, OVER)


def test_servers_share_nothing(private, queue):
    one, two = Api(private().url), Api(private().url)
    one.submit(queue)
    expect_none(two.claim(queue))
    expect(one.claim(queue), 200)


@pytest.mark.parametrize("sent, kept", [
    ("abc-123", True), ("a:b/c+d=e._", True), ("x" * 128, True), ("x" * 129, False), ("a b", False),
    ('a"b', False), ("é", False), ("", False)])
def test_request_id_of_the_client(api, sent, kept):
    """A sane id is used in the answer; a job's id is always the server's own."""
    headers = {"X-Request-Id": sent.encode("latin-1")}
    response = expect(api.request("POST", "/v1/job", json={"job_queue": "q"}, headers=headers), 200)
    job_id = response.json()["job_id"]
    assert uuid.UUID(job_id).version == 4
    assert response.headers["X-Request-Id"] == (sent if kept else job_id)
