"""A client of the API, the contract's fixed answers, and raw HTTP for what clients do not send."""

import datetime
import http.cookiejar
import re
import socket
import uuid

import requests

import openapi
from session import Session

NOT_FOUND = (
    "Not found: 404 Not Found: The requested URL was not found on the server. If you entered the "
    "URL manually please check your spelling and try again.\n"
)
OVER = "The job is already completed or cancelled"
NOT_WAITING = "Job not found or already started\n"
BAD_ID_TEXT = "Invalid job id\n"
PHASES = ("setup", "provision", "firmware_update", "test", "allocate", "reserve", "cleanup")
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def date_of(shown, form="extended"):
    """The time of a date as the API shows it in jobs and agents, with milliseconds."""
    text = shown["$date"] if form == "extended" else shown
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text) and shown in (text, {"$date": text})
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))


def message(text):
    return {"detail": {}, "message": text}


def invalid(errors):
    return {"detail": {"json": errors}, "message": "Validation error"}


BAD_REQUEST = message("Bad Request")
BAD_ID = message("Invalid job_id specified")
UNAUTHORIZED = message("Unauthorized")
WRONG_TYPE = invalid({"_schema": ["Invalid input type."]})
MISSING = "Missing data for required field."
UNKNOWN = "Unknown field."
NULL = "Field may not be null."


def expect(response, status, body=None):
    """Checks the status and, unless None, the body: text to the byte, JSON as a value."""
    shown = f"{response.status_code} {response.content[:500]!r}"
    assert response.status_code == status, shown
    if isinstance(body, str):
        assert response.content == body.encode(), shown
        assert response.headers["Content-Type"].startswith("text/"), response.headers
    elif body is not None:
        assert response.headers["Content-Type"] == "application/json", response.headers
        assert response.json() == body
    return response


def expect_none(response):
    """204: nothing in the body and no word about its length."""
    expect(response, 204)
    assert response.content == b""
    assert "Content-Length" not in response.headers
    return response


def new_id():
    return str(uuid.uuid4())


class Api:
    """requests with the server's address. Cookies are sent only when a test says so."""

    def __init__(self, url):
        self.url = url
        self.documented = True  # answers are as docs/openapi.json has them
        self.session = Session()
        self.session.trust_env = False  # proxies and passwords of the environment: looked up each time
        self.session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))

    def request(self, method, path, **options):
        options = {"timeout": 30, "allow_redirects": False, **options}
        response = self.session.request(method, self.url + path, **options)
        if self.documented and not options.get("stream"):
            openapi.check(method, path, response)
        return response

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def head(self, path, **options):
        return self.request("HEAD", path, **options)

    def post(self, path, json=None, **options):
        return self.request("POST", path, json=json, **options)

    def post_body(self, path, body, content_type="application/json", **headers):
        if content_type is not None:
            headers["Content-Type"] = content_type
        return self.request("POST", path, data=body, headers=headers)

    def submit(self, queue, **fields):
        """Submits a job that must be accepted; returns its id."""
        return expect(self.post("/v1/job", {"job_queue": queue, **fields}), 200).json()["job_id"]

    def claim(self, *queues, cookie=None):
        headers = {"Cookie": cookie} if cookie else {}
        return self.get("/v1/job", params=[("queue", q) for q in queues], headers=headers)

    def claimed(self, *queues, cookie=None):
        """The id of the job that a claim gets."""
        return expect(self.claim(*queues, cookie=cookie), 200).json()["job_id"]

    def state(self, job_id):
        return expect(self.get(f"/v1/result/{job_id}"), 200).json()["job_state"]

    def set_state(self, job_id, state):
        expect(self.post(f"/v1/result/{job_id}", {"job_state": state}), 200, "OK")

    def agent(self, name, **fields):
        return expect(self.post(f"/v1/agents/data/{name}", fields), 200)


class Reply:
    """One response read from a raw connection."""

    def __init__(self, file, head=False):
        line = file.readline().decode("latin-1")
        if not line:
            raise ConnectionError("closed without an answer")
        self.version, status, *_ = line.split(None, 2)
        self.status_code = int(status)
        self.headers = requests.structures.CaseInsensitiveDict()
        for line in iter(lambda: file.readline().decode("latin-1").strip(), ""):
            name, _, value = line.partition(":")
            self.headers[name] = value.strip()
        self.content = b"" if head or status < "200" or status in ("204", "304") else self._body(file)

    def _body(self, file):
        if self.headers.get("Transfer-Encoding") == "chunked":
            chunks = []
            while (size := int(file.readline().split(b";")[0], 16)) > 0:
                chunks.append(file.read(size))
                file.readline()
            file.readline()
            return b"".join(chunks)
        if "Content-Length" in self.headers:
            return file.read(int(self.headers["Content-Length"]))
        return file.read()

    def json(self):
        return requests.compat.json.loads(self.content)


class Raw:
    """A connection to which a test writes bytes."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port.number), 10)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)
        return self

    def reply(self, **options):
        return Reply(self.file, **options)

    def is_closed(self):
        return self.file.read(1) == b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()


def raw(server, data, **options):
    """Sends the bytes on a new connection and returns the first response."""
    with Raw(server) as connection:
        return connection.send(data).reply(**options)
