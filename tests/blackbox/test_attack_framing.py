"""Attacks on the framing of HTTP/1.1: bytes in which two readers could see different requests, and
connections that send without an end. Whatever comes, the server answers others."""

import re
import socket
import threading
from pathlib import Path

import pytest

import auth
from client import Raw, Reply, expect, raw
from stack import SANITIZED

J = "11111111-1111-1111-1111-111111111111"
GET = b"GET /v1/ HTTP/1.1\r\nHost: x\r\n\r\n"
MIB = 1024 * 1024

pytestmark = pytest.mark.stores("sqlite")  # no request gets so far that the store matters


def statuses(server, data, half=False):
    """The statuses of all answers on a connection that sends this; it must end by itself."""
    with Raw(server) as connection:
        connection.send(data)
        if half:
            connection.socket.shutdown(socket.SHUT_WR)
        found = []
        while True:
            try:
                found.append(connection.reply().status_code)
            except ConnectionError:
                return found


def still_serves(server):
    expect(raw(server, GET), 200)


def rss(server):
    """Bytes of memory that the frontend's process holds."""
    (pid,) = server.children("frontend")
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


# Two requests in the bytes of one

POST_EMPTY = b"POST /v1/job HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
UPLOAD = (f"POST /v1/job/{J}/attachments HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde"
          .encode())


@pytest.mark.parametrize("mode", ["open", "roles", "login"])
def test_packet_that_ended_all_service(private, mode):
    server = private("--auth", mode, env=auth.ENV)
    packet = (b"GET /v1/ HTTP/1.1\r\nHost: x\n\nPOST /v1/job HTTP/1.1\r\nContent-Length: 0\r\n\r\n"
              b"POST /v1/job/" + J.encode() + b"/attachments HTTP/1.1\r\nContent-Length: 5\r\n\r\n"
              b"abcde")
    assert statuses(server, packet) == [400]
    still_serves(server)


@pytest.mark.parametrize("end", [b"\n\n", b"\n\r\n", b"\r\n\n", b"\r\r", b"\r\n\r", b"\n", b"\r"])
@pytest.mark.parametrize("hidden", [POST_EMPTY + UPLOAD, UPLOAD,
                                    b"POST /v1/job HTTP/1.1\r\nHost: x\r\n"
                                    b"Content-Length: 99999999999\r\n\r\n"])
def test_end_of_a_head_is_two_crlf(server, end, hidden):
    """Bytes behind any other end are not served as a request."""
    assert statuses(server, b"GET /v1/ HTTP/1.1\r\nHost: x" + end + hidden) == [400]
    assert statuses(server, GET + b"GET /v1/ HTTP/1.1\r\nHost: x" + end + hidden) == [200, 400]
    still_serves(server)


def test_hidden_length_collects_nothing(server):
    """The HTTP library once buffered such a body without a limit."""
    with Raw(server) as connection:
        connection.send(b"GET /v1/ HTTP/1.1\r\nHost: x\n\nPOST /v1/job HTTP/1.1\r\n"
                        b"Content-Length: 99999999999\r\n\r\n")
        assert connection.reply().status_code == 400
        with pytest.raises(OSError):
            for _ in range(64):
                connection.send(b"x" * MIB)
    still_serves(server)


# One table of what RFC 9112 refuses, and what it takes

def post(*headers, body=b"", host=b"Host: x\r\n", version=b"1.1"):
    lines = b"".join(h + b"\r\n" for h in headers)
    return b"POST /v1/job HTTP/" + version + b"\r\n" + host + lines + b"\r\n" + body


def chunked(body):
    return post(b"Content-Type: application/json", b"Transfer-Encoding: chunked", body=body)


def get(*headers, line=b"GET /v1/ HTTP/1.1"):
    return line + b"\r\n" + b"".join(h + b"\r\n" for h in headers) + b"\r\n"


JOB = b'{"job_queue": "framing"}'
CHUNK = b"%x\r\n%s\r\n" % (len(JOB), JOB)

REFUSED = {
    "size with 0x": chunked(b"0x11\r\n" + b"a" * 17 + b"\r\n0\r\n\r\n"),
    "size with NUL": chunked(b"11\0z\r\n" + b"a" * 17 + b"\r\n0\r\n\r\n"),
    "size with a letter": chunked(b"1g\r\na\r\n0\r\n\r\n"),
    "empty size": chunked(b"\r\n0\r\n\r\n"),
    "size of an extension only": chunked(b";a=b\r\n0\r\n\r\n"),
    "size with a plus": chunked(b"+1\r\na\r\n0\r\n\r\n"),
    "size with a minus": chunked(b"-1\r\na\r\n0\r\n\r\n"),
    "size after a blank": chunked(b" 1\r\na\r\n0\r\n\r\n"),
    "size of 16 digits": chunked(b"0000000000000001\r\na\r\n0\r\n\r\n"),
    "size of 2^64": chunked(b"10000000000000000\r\na\r\n0\r\n\r\n"),
    "chunk line of 257 bytes": chunked(b"1;" + b"e" * 255 + b"\r\na\r\n0\r\n\r\n"),
    "endless chunk line": chunked(b"1;" + b"e" * 4096),
    "extensions without an end": chunked(b"1;" + b"e" * 200 + b"\r\na\r\n" +
                                         (b"1;" + b"e" * 200 + b"\r\na\r\n") * 100),
    "control character in an extension": chunked(b"1;a\x01\r\na\r\n0\r\n\r\n"),
    "bare LF after the size": chunked(b"1\na\r\n0\r\n\r\n"),
    "bare CR after the size": chunked(b"1\ra\r\n0\r\n\r\n"),
    "bare LF after the data": chunked(b"1\r\na\n0\r\n\r\n"),
    "bare LF after the last chunk": chunked(b"0\n\r\n"),
    "bare LF at the end": chunked(b"0\r\n\n"),
    "bare LF after a trailer": chunked(b"0\r\nX: y\n\r\n"),
    "data longer than its chunk": chunked(b"1\r\nab\r\n0\r\n\r\n"),
    "trailer without a colon": chunked(b"0\r\nnothing\r\n\r\n"),
    "trailer with a blank in its name": chunked(b"0\r\nX : y\r\n\r\n"),
    "trailers of 17 KiB": chunked(b"0\r\n" + b"X: %s\r\n" % (b"y" * 1000) * 17 + b"\r\n"),
    "no Host": get(),
    "no Host, absolute": get(line=b"GET http://x/v1/ HTTP/1.1"),
    "two Hosts": get(b"Host: x", b"Host: x"),
    "two Hosts, 1.0": get(b"Host: x", b"Host: y", line=b"GET /v1/ HTTP/1.0"),
    "Host with a blank": get(b"Host: a b"),
    "Host with a slash": get(b"Host: a/b"),
    "Host with an at sign": get(b"Host: a@b"),
    "Host with a list": get(b"Host: a, b"),
    "Host with a port of letters": get(b"Host: a:http"),
    "Host with half a literal": get(b"Host: [::1"),
    "Host with an empty literal": get(b"Host: []"),
    "Host with a half escape": get(b"Host: a%4"),
    "Host of other bytes": get("Host: caf\u00e9".encode()),
    "two codings": post(b"Transfer-Encoding: gzip, chunked"),
    "coding twice in a line": post(b"Transfer-Encoding: chunked, chunked"),
    "coding in two lines": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "coding and none": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
    "unknown coding": post(b"Transfer-Encoding: xchunked"),
    "empty coding": post(b"Transfer-Encoding:"),
    "coding behind a control character": post(b"Transfer-Encoding: \x0bchunked"),
    "coding in 1.0": post(b"Transfer-Encoding: chunked", version=b"1.0"),
    "coding and length": post(b"Transfer-Encoding: chunked", b"Content-Length: 1"),
    "length and coding": post(b"Content-Length: 1", b"Transfer-Encoding: chunked"),
    "two lengths": post(b"Content-Length: 5", b"Content-Length: 6"),
    "list of lengths": post(b"Content-Length: 5, 5"),
    "length with a plus": post(b"Content-Length: +5"),
    "length with a minus": post(b"Content-Length: -5"),
    "length in hexadecimal": post(b"Content-Length: 0x5"),
    "empty length": post(b"Content-Length:"),
    "length with a blank in it": post(b"Content-Length: 1 2"),
    "length of 2^64": post(b"Content-Length: 18446744073709551617"),
    "blank before a colon": post(b"Content-Length : 5"),
    "folded line": get(b"Host: x", b"X: a", b" b"),
    "folded first line": get(b" Host: x"),
    "line without a colon": get(b"Host: x", b"nothing"),
    "empty name": get(b"Host: x", b": y"),
    "name with other bytes": get(b"Host: x", "\u00e9: y".encode()),
    "name with a quote": get(b"Host: x", b'"a": y'),
    "NUL in a value": get(b"Host: x", b"X: a\0b"),
    "control character in a value": get(b"Host: x", b"X: a\x1bb"),
    "DEL in a value": get(b"Host: x", b"X: a\x7fb"),
    "bare CR in a value": get(b"Host: x", b"X: a\rb"),
    "NUL in the target": get(b"Host: x", line=b"GET /v1/\0 HTTP/1.1"),
    "tab in the target": get(b"Host: x", line=b"GET /v1/\t HTTP/1.1"),
    "blank in the target": get(b"Host: x", line=b"GET /v1/ x HTTP/1.1"),
    "two blanks": get(b"Host: x", line=b"GET  /v1/ HTTP/1.1"),
    "blank at the end": get(b"Host: x", line=b"GET /v1/ HTTP/1.1 "),
    "blank at the beginning": get(b"Host: x", line=b" GET /v1/ HTTP/1.1"),
    "method that is no token": get(b"Host: x", line=b"G@T /v1/ HTTP/1.1"),
    "version in small letters": get(b"Host: x", line=b"GET /v1/ http/1.1"),
    "version with two digits": get(b"Host: x", line=b"GET /v1/ HTTP/1.10"),
    "no version": get(b"Host: x", line=b"GET /v1/"),
    "bare LF before a request": b"\n" + GET,
    "nine empty lines before a request": b"\r\n" * 9 + GET,
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_refused(server, data):
    """400, and the connection ends, since the start of the next request is unknown."""
    assert statuses(server, data + GET) == [400]
    still_serves(server)


@pytest.mark.parametrize("version", [b"2.0", b"3.0", b"0.9", b"9.9"])
def test_other_versions(server, version):
    assert statuses(server, get(line=b"GET /v1/ HTTP/" + version) + GET) == [505]


TAKEN = {
    "chunks": chunked(CHUNK + b"0\r\n\r\n"),
    "chunk line of 256 bytes": chunked(b"%06x;" % len(JOB) + b"e" * 249 + b"\r\n" + JOB +
                                       b"\r\n0\r\n\r\n"),
    "extensions": chunked(b'%X ; a = "b\tc" ;d\r\n' % len(JOB) + JOB + b"\r\n000;last\r\n\r\n"),
    "chunks of one byte": chunked(b"".join(b"1;a=b\r\n%c\r\n" % c for c in JOB.ljust(20000)) +
                                  b"0\r\n\r\n"),
    "trailers": chunked(CHUNK + b"0\r\nX-A: y\r\nHost: z\r\nContent-Length: 7\r\n\r\n"),
    "coding in capitals": post(b"Content-Type: application/json",
                               b"TRANSFER-ENCODING:\tChunked ", body=CHUNK + b"0\r\n\r\n"),
    "equal lengths": post(b"Content-Type: application/json", *[b"Content-Length: 24"] * 2,
                          body=JOB),
    "length with zeros": post(b"Content-Type: application/json", b"Content-Length: 0000024",
                              body=JOB),
    "Host with a port": get(b"Host: a.example_1.com:8000"),
    "Host of an IPv6 address": get(b"Host: [2001:db8::1]:80"),
    "Host with an escape": get(b"Host: a%20b:"),
    "empty Host": get(b"Host:"),
    "tab in a value": get(b"Host: x", b"X: a\tb"),
    "other bytes in a value": get(b"Host: x", b"X: \xff\xfe"),
    "empty value": get(b"Host: x", b"X:"),
    "lines of the connection": get(b"Host: x", b"Connection: keep-alive, Upgrade", b"Upgrade: h2c",
                                   b"TE: trailers", b"Keep-Alive: 5", b"Trailer: X",
                                   b"Proxy-Connection: close"),
    "absolute target": get(b"Host: x", line=b"GET http://user@h:1/v1/ HTTP/1.1"),
    "higher minor version": get(b"Host: x", line=b"GET /v1/ HTTP/1.2"),
    "empty lines before a request": b"\r\n" * 8 + GET,
}


@pytest.mark.parametrize("data", TAKEN.values(), ids=TAKEN.keys())
def test_taken(server, data):
    """200, and the next request on the connection is served."""
    with Raw(server) as connection:
        connection.send(data + GET)
        expect(connection.reply(), 200)
        expect(connection.reply(), 200)


@pytest.mark.parametrize("target, status", [
    (b"//a:b@[/x", 308), (b"//evil.example.com/v1/", 308), (b"http://a:b:c/v1/", 200), (b"*", 404),
    (b"x:y:z", 404), (b"1:2", 404), (b"http://", 200), (b"/%", 404), (b"/v1/%00%zz%", 404),
    (b"/v1/#x", 200), (b"/v1/?#", 200), (b"/2", 404), (b"/v1/\xff", 404),
])
def test_targets_that_the_library_does_not_know(server, target, status):
    """Each target is answered by the server, in order, whatever the HTTP library thinks of it."""
    line = b"GET " + target + b" HTTP/1.1"
    with Raw(server) as connection:
        connection.send(get(b"Host: x", line=line) + GET)
        assert connection.reply().status_code == status
        expect(connection.reply(), 200)


@pytest.mark.parametrize("size", [1, 70_000, 20 * MIB])
def test_unknown_method_with_a_body(server, size):
    """405 however large the body is."""
    head = b"BREW /v1/job HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size
    with Raw(server) as connection:
        response = connection.send(head + b"x" * size).reply()
        assert response.status_code == 405 and "POST" in response.headers["Allow"]
        expect(connection.send(GET).reply(), 200)
    head = b"BREW /v1/job HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with Raw(server) as connection:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size)
        assert connection.send(head + body).reply().status_code == 405
        expect(connection.send(GET).reply(), 200)


@pytest.mark.parametrize("options, closes", [
    (b"close", True), (b"Close", True), (b"x, close", True), (b"keep-alive, close", True),
    (b"keep-alive", False), (b"closed", False), (b"", False),
])
def test_options_of_the_connection(server, options, closes):
    with Raw(server) as connection:
        connection.send(get(b"Host: x", b"Connection: " + options))
        expect(connection.reply(), 200)
        if closes:
            assert connection.is_closed()
        else:
            expect(connection.send(GET).reply(), 200)


@pytest.mark.parametrize("options, closes", [(b"keep-alive", False), (b"Keep-Alive, x", False),
                                             (b"keep-alive, close", True), (b"x", True)])
def test_options_of_the_connection_in_1_0(server, options, closes):
    head = get(b"Connection: " + options, line=b"GET /v1/ HTTP/1.0")
    with Raw(server) as connection:
        expect(connection.send(head).reply(), 200)
        if closes:
            assert connection.is_closed()
        else:
            expect(connection.send(head).reply(), 200)


def test_size_of_a_head(server):
    """Heads up to 64 KiB, however split; the server does not wait for the rest of a larger one."""
    line = b"X: " + b"a" * 8000 + b"\r\n"
    fits = b"GET /v1/ HTTP/1.1\r\nHost: x\r\n" + line * 8 + b"\r\n"
    with Raw(server) as connection:
        expect(connection.send(fits + GET).reply(), 200)
        expect(connection.reply(), 200)
    assert statuses(server, b"GET /v1/ HTTP/1.1\r\nHost: x\r\n" + line * 9) == [431]
    still_serves(server)


# Bytes one by one

def test_head_byte_by_byte(server):
    """Each piece is parsed once: the cost stays linear."""
    head = b"GET /v1/ HTTP/1.1\r\nHost: x\r\n" + b"X: %s\r\n" % (b"a" * 4000) * 4 + b"\r\n"
    with Raw(server) as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(head)):
            connection.send(head[i:i + 1])
        expect(connection.reply(), 200)
        expect(connection.send(GET).reply(), 200)


def test_body_in_small_pieces_takes_no_more_memory(server):
    size = 200_000
    before = rss(server)
    with Raw(server) as connection:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.send(post(b"Content-Type: application/json", b"Content-Length: %d" % size))
        for _ in range(size - 1):
            connection.send(b"x")
        if not SANITIZED:
            assert rss(server) - before < 8 * MIB
        assert connection.send(b"x").reply().status_code == 400
    still_serves(server)


# Requests without an end

def numbered(first, count):
    return b"".join(b"GET /v1/ HTTP/1.1\r\nHost: x\r\nX-Request-Id: %d\r\n\r\n" % i
                    for i in range(first, first + count))


def test_10000_requests_at_once(server):
    """All are answered, in order."""
    count = 10_000
    with Raw(server) as connection:
        sender = threading.Thread(target=connection.send, args=(numbered(0, count),))
        sender.start()
        for i in range(count):
            assert connection.reply().headers["X-Request-Id"] == str(i)
        sender.join()
        expect(connection.send(GET).reply(), 200)


@pytest.mark.slow
def test_requests_without_reading_the_answers(server):
    """The server stops reading; its buffers are bounded, and no request is lost."""
    before = rss(server)
    with Raw(server) as connection:
        connection.socket.settimeout(1)
        sent, left, number = 0, b"", 0
        with pytest.raises(TimeoutError):  # the server has stopped reading
            while sent < 64 * MIB:
                if not left:
                    left, number = numbered(number, 1000), number + 1000
                n = connection.socket.send(left)
                sent, left = sent + n, left[n:]
        if not SANITIZED:
            assert rss(server) - before < 8 * MIB
        still_serves(server)
        connection.socket.settimeout(20)
        sender = threading.Thread(target=connection.send, args=(left,))
        sender.start()
        for i in range(number):
            assert Reply(connection.file).headers["X-Request-Id"] == str(i)
        sender.join()


@pytest.mark.slow
def test_uploads_that_wait_have_no_files(server):
    """A temporary file is opened when the upload's turn comes."""
    (pid,) = server.children("frontend")
    files = Path(f"/proc/{pid}/fd")
    before = len(list(files.iterdir()))
    with Raw(server) as connection:
        sender = threading.Thread(target=connection.send, args=(UPLOAD * 4000,))
        sender.start()
        most = 0
        for _ in range(4000):
            connection.reply()
            most = max(most, len(list(files.iterdir())))
        sender.join()
    assert most < before + 20
    still_serves(server)
