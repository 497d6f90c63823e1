"""The API document's own examples, by curl as a user types them."""

import json
import subprocess

import pytest


@pytest.fixture
def curl(server):
    """curl METHOD-OR-OPTIONS... PATH: (status, body)."""
    def run(path, *options):
        done = subprocess.run(["curl", "--silent", "--show-error", "--write-out", "\n%{http_code}",
                               *options, server.url + path],
                              capture_output=True, text=True, timeout=20, check=True)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    return run


def data(value):
    return "-X", "POST", "--header", "Content-Type: application/json", "--data", value


def test_the_way_of_a_job(curl, queue):
    status, body = curl("/v1/job", *data('{ "job_queue": "%s", "option":"foo" }' % queue))
    job_id = json.loads(body)["job_id"]
    assert (status, json.loads(body)) == (200, {"job_id": job_id})
    assert curl(f"/v1/job/{job_id}/position") == (200, "0")
    status, body = curl(f"/v1/job?queue=foo&queue={queue}")
    assert status == 200 and json.loads(body)["option"] == "foo"
    assert curl(f"/v1/job?queue=foo&queue={queue}") == (204, "")
    assert curl(f"/v1/result/{job_id}", *data('{ "exit_code": 0, "output":"foo" }')) == (200, "OK")
    status, body = curl(f"/v1/result/{job_id}", "-X", "GET")
    assert (status, json.loads(body)) == (
        200, {"exit_code": 0, "output": "foo", "job_state": "running"})
    assert curl(f"/v1/job/{job_id}/action", *data('{ "action":"cancel" }')) == (200, "OK")
    assert curl(f"/v1/job/{job_id}/action", *data('{ "action":"cancel" }')) == (
        400, "The job is already completed or cancelled")


def test_a_large_body_with_and_without_expect(curl, queue, tmp_path):
    """curl asks for 100-continue from 1 MiB on."""
    for size, status in [(2, 200), (17, 413)]:
        file = tmp_path / "job.json"
        file.write_text(json.dumps({"job_queue": queue, "name": "x" * (size * 2**20)}))
        for options in [(), ("--header", "Expect:"), ("--http1.0",), ("--header", "Expect: 100-continue")]:
            assert curl("/v1/job", *data(f"@{file}"), *options)[0] == status
