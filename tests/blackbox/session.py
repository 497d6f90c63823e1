"""requests.Session for thousands of small requests, which are sent without most of its work."""

import collections
import contextlib
import http.client
import json as json_module
import re
import select
import socket
import types
import urllib.parse
import zlib

import requests

URL = re.compile(r"http://([\w.-]+):(\d+)(/[\w/?=&:,-]*)", re.A)  # nothing in it that requests would change
NAME = re.compile(r"[\w-]+", re.A)
VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
FRAMING = {"Content-Length", "Transfer-Encoding", "Expect", "Connection"}
LARGE = 65536  # the server may answer before it has read all of such a body


class Session(requests.Session):
    """What is unusual goes through requests itself: other bodies, TLS, redirects, streams, other adapters."""

    def __init__(self):
        super().__init__()
        self.adapter = self.adapters["http://"]
        self.idle = collections.deque()  # connections: (address, socket)

    def request(self, method, url, **options):
        usual = self._pack(method, url, **options)
        return self._exchange(method, url, *usual, options["timeout"]) if usual else super().request(
            method, url, **options)

    def close(self):
        with contextlib.suppress(IndexError):
            while True:
                self.idle.pop()[1].close()
        super().close()

    def _pack(self, method, url, timeout=None, allow_redirects=True, headers=None, params=None, data=None,
              json=None, **unusual):
        """The address and the bytes of a request, None where it is unusual."""
        address = URL.fullmatch(url)
        if (unusual or allow_redirects or not isinstance(timeout, (int, float)) or not address or self.auth
                or self.params or self.trust_env or self.adapters["http://"] is not self.adapter):
            return None
        host, port, target = address.groups()
        if params:
            pairs = list(params.items() if isinstance(params, dict) else params)
            if "?" in target or not all(isinstance(x, (str, int)) for pair in pairs for x in pair):
                return None
            target += "?" + urllib.parse.urlencode(pairs)
        fields = {"Host": f"{host}:{port}", **self.headers, **{k.title(): v for k, v in (headers or {}).items()}}
        del fields["Connection"]
        if FRAMING & fields.keys() or not all(isinstance(v, str) and NAME.fullmatch(k) and VALUE.fullmatch(v)
                                              for k, v in fields.items()):
            return None
        if not data and json is not None:
            data = json_module.dumps(json, allow_nan=False)
            fields.setdefault("Content-Type", "application/json")
        if isinstance(data, str):
            data = data.encode()
        if not isinstance(data, (bytes, types.NoneType)) or len(data or b"") > LARGE:
            return None
        if data or method not in ("GET", "HEAD"):
            fields["Content-Length"] = len(data or b"")
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items()), "", ""]
        return (host, int(port)), "\r\n".join(lines).encode("ascii") + (data or b"")

    def _connection(self, address, timeout):
        with contextlib.suppress(IndexError):
            while True:
                known, connection = self.idle.pop()
                poll = select.poll()
                poll.register(connection, select.POLLIN)
                if known == address and not poll.poll(0):  # the server has not closed it
                    connection.settimeout(timeout)
                    return connection
                connection.close()
        connection = socket.create_connection(address, timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _exchange(self, method, url, address, request, timeout):
        """The answer. Faults are those that requests would raise."""
        try:
            connection = self._connection(address, timeout)
        except TimeoutError as e:
            raise requests.ConnectTimeout(e) from e
        except OSError as e:
            raise requests.ConnectionError(e) from e
        try:
            with contextlib.suppress(BrokenPipeError):  # there may be an answer
                connection.sendall(request)
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
        except (OSError, http.client.HTTPException) as e:
            connection.close()
            raise (requests.ReadTimeout if isinstance(e, TimeoutError) else requests.ConnectionError)(e) from e
        try:
            content = answer.read()
        except (OSError, http.client.HTTPException) as e:
            connection.close()
            raise (requests.ConnectionError if isinstance(e, TimeoutError)
                   else requests.exceptions.ChunkedEncodingError)(e) from e
        if answer.will_close:
            connection.close()
        else:
            self.idle.append((address, connection))
        return self._response(method, url, answer, content)

    def _response(self, method, url, answer, content):
        response = requests.Response()
        response.status_code, response.reason, response.url = answer.status, answer.reason, url
        for name, value in answer.headers.items():
            before = response.headers.get(name)
            response.headers[name] = value if before is None else f"{before}, {value}"
        if content and response.headers.get("Content-Encoding") in ("gzip", "deflate"):
            content = zlib.decompress(content, 32 + zlib.MAX_WBITS)
        response.encoding = requests.utils.get_encoding_from_headers(response.headers)
        response._content, response._content_consumed = content, True
        if "Set-Cookie" in response.headers:
            requests.cookies.extract_cookies_to_jar(
                response.cookies, requests.Request(method, url).prepare(),
                types.SimpleNamespace(_original_response=answer))
        return response
