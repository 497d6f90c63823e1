"""/openapi.json: the server answers as it says, to requests that follow it and to others."""

import json
import subprocess
import sys

import pytest

import openapi
from auth import as_role
from client import expect
from stack import ROOT, SANITIZED

CHECKS = ("not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
          "unsupported_method,negative_data_rejection")
# Events go to the receivers that they name; /readyz is 503 where a role has not started yet.
LEFT_OUT = ("/v1/job/{job_id}/events", "/readyz")


def test_document(api):
    """The one in the program is the one of the docs; HEAD has its length."""
    answer = expect(api.get("/openapi.json"), 200)
    assert answer.content == (ROOT / "docs/openapi.json").read_bytes()
    assert answer.headers["Content-Type"] == "application/json"
    head = api.head("/openapi.json")
    assert head.headers["Content-Length"] == str(len(answer.content)) and head.content == b""


class Answer:
    """What check() looks at."""

    def __init__(self, status, body, media="application/json"):
        self.status_code, self.content, self.headers = status, body.encode(), {"Content-Type": media}

    def json(self):
        return json.loads(self.content)


@pytest.mark.parametrize("method,path,answer", [
    ("GET", "/v1/jobs?limit=1", Answer(200, '[{"job_id": 5}]')),
    ("GET", "/v1/jobs", Answer(200, '[{"extra": 5}]')),
    ("GET", "/v1/jobs", Answer(200, "[]", "text/plain")),
    ("GET", "/v1/jobs", Answer(202, "[]")),
    ("GET", "/v1/jobs/", Answer(422, '{"message": 5, "detail": {}}')),
    ("GET", "/v1/job/search", Answer(200, '{"job_id": "x", "job_queue": "q"}')),
    ("GET", "/v1/job/x", Answer(204, "x", "text/plain")),
    ("POST", "/v1/job", Answer(200, "{}")),
    ("GET", "/v1/audit", Answer(200, '[{"id": "x", "at": "yesterday", "action": "x"}]')),
])
def test_the_client_finds_faults(method, path, answer):
    """The client of the tests fails at an answer that the document does not have."""
    with pytest.raises(AssertionError):
        openapi.check(method, path, answer)


# With sanitizers on MongoDB only, whose documents are built by this server's code: the requests are the same.
@pytest.mark.stores(*(["mongodb"] if SANITIZED else ["sqlite", "mongodb"]))
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_answers_conform(roles_server, tmp_path):
    """Bodies and parameters at the edges of their schemas and beyond, by an admin: some 2,000 requests."""
    headers = [x for name, value in as_role("admin").items() for x in ("-H", f"{name}: {value}")]
    left_out = [x for path in LEFT_OUT for x in ("--exclude-path", path)]
    found = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "run", f"{roles_server.url}/openapi.json", "--phases", "coverage",
         "--checks", CHECKS, "--seed", "1", "--request-timeout", "20", "--no-color", *headers, *left_out],
        cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]
    assert "generated" in found.stdout
