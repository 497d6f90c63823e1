"""What a page of another site can make a browser do to a server that asks for no token: nothing.

The headers are those that Firefox and Chromium send; Sec-Fetch-* goes to https and loopback addresses
only, so there are rows without it."""

import socket
import uuid

import pytest
import requests

from stack import Stack

pytestmark = pytest.mark.stores("sqlite")
BROWSER = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
           "Accept-Language": "en-US,en;q=0.5"}
JOB = '{"job_queue": "%s", "test_data": {"test_cmds": "evil"}}'


def fetch(site, mode="no-cors", dest="empty", **more):
    return {**BROWSER, "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest, **more}


def submit(stack, queue, headers):
    """The headers that fetch() of a page sends."""
    return requests.post(f"{stack.url}/v1/job", data=JOB % queue, timeout=10,
                         headers={"Content-Type": "application/json", **headers})


def claim(stack, queue, headers=None):
    return requests.get(f"{stack.url}/v1/job", params={"queue": queue}, headers=headers, timeout=10)


def refused(response):
    assert response.status_code == 403, (response.status_code, response.text)
    body = response.json()
    assert body["detail"] == {} and "rowser" in body["message"]
    return body["message"]


@pytest.fixture
def here(server):
    """The server's own host and port, as a page of its own would send it."""
    return server.url.removeprefix("http://")


@pytest.mark.parametrize("headers", [
    fetch("cross-site", Origin="http://evil.example"),
    fetch("cross-site", "navigate", "document", Origin="http://evil.example"),  # a form
    fetch("cross-site", "navigate", "iframe", Origin="null"),
    fetch("same-site", Origin="http://127.0.0.1:3000"),  # another program of this machine
    {**BROWSER, "Origin": "http://evil.example"},
    {**BROWSER, "Origin": "null"},
    {"Origin": "http://evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
])
def test_another_site_changes_nothing(server, queue, headers):
    refused(submit(server, queue, headers))
    assert claim(server, queue).status_code == 204
    job = submit(server, queue, {}).json()["job_id"]
    for path, body in ((f"/v1/job/{job}/action", '{"action": "cancel"}'),
                       (f"/v1/result/{job}", '{"job_state": "cancelled"}'),
                       ("/v1/agents/data/evil", '{"state": "waiting"}')):
        refused(requests.post(server.url + path, data=body, headers=headers, timeout=10))
    assert claim(server, queue).json()["job_id"] == job
    assert requests.get(f"{server.url}/v1/agents/data/evil", timeout=10).status_code == 404


@pytest.mark.parametrize("headers", [
    fetch("cross-site", dest="image"),
    fetch("cross-site", "navigate", "document"),  # a link: it would take the job
    fetch("cross-site", "navigate", "iframe"),
    BROWSER,  # an image over plain HTTP: no header tells its origin
    {**BROWSER, "Referer": "http://evil.example/"},
    {"Accept-Language": ""},
])
def test_another_site_takes_no_job(server, queue, headers):
    job = submit(server, queue, {}).json()["job_id"]
    refused(claim(server, queue, headers))
    assert claim(server, queue).json()["job_id"] == job


def test_another_site_reads_nothing(server, queue):
    job = submit(server, queue, {}).json()["job_id"]
    url = f"{server.url}/v1/job/{job}"
    for headers in (fetch("cross-site", "cors", Origin="http://evil.example"),
                    fetch("cross-site", dest="script"), fetch("cross-site", "navigate", "iframe"),
                    {**BROWSER, "Origin": "http://evil.example"}):
        refused(requests.get(url, headers=headers, timeout=10))


def test_what_people_do_goes_on(server, queue, here):
    """A link is followed, an address is typed in, and a page of the server itself works."""
    job = submit(server, queue, fetch("same-origin", "cors", Origin=f"http://{here}")).json()["job_id"]
    for headers in (fetch("cross-site", "navigate", "document"), fetch("none", "navigate", "document"),
                    fetch("same-origin", "cors"), BROWSER, {**BROWSER, "Origin": f"http://{here}"}):
        assert requests.get(f"{server.url}/v1/job/{job}", headers=headers, timeout=10).status_code == 200
    assert submit(server, queue, {**BROWSER, "Origin": f"http://{here}"}).status_code == 200
    assert claim(server, queue, fetch("none", "navigate", "document")).json()["job_id"] == job


def test_what_needs_no_worker_is_for_everyone(server):
    for path in ("/v1/", "/healthz"):
        answer = requests.get(server.url + path, headers=fetch("cross-site"), timeout=10)
        assert answer.status_code == 200
    preflight = requests.options(f"{server.url}/v1/job", timeout=10, headers={
        **BROWSER, "Origin": "http://evil.example", "Access-Control-Request-Method": "POST"})
    assert not [h for h in preflight.headers if h.lower().startswith("access-control")]


# DNS rebinding: the page's own name is made to point at 127.0.0.1.

def test_a_name_that_points_here(server, queue):
    job = submit(server, queue, {}).json()["job_id"]
    host = f"evil.example:{server.port.number}"
    for headers in ({**BROWSER, "Host": host, "Origin": f"http://{host}"}, {**BROWSER, "Host": host},
                    {"Accept-Language": "x", "User-Agent": "curl/8", "Host": host},
                    fetch("same-origin", "cors", Host=host)):
        assert "allowed-hosts" in refused(submit(server, queue, headers))
        refused(requests.get(f"{server.url}/v1/job/{job}", headers=headers, timeout=10))
        refused(claim(server, queue, headers))
    assert claim(server, queue).json()["job_id"] == job


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "testflinger"])
def test_names_of_this_machine(server, queue, name):
    host = f"{name}:{server.port.number}"
    assert submit(server, queue, {**BROWSER, "Host": host, "Origin": f"http://{host}"}).status_code == 200


def test_clients_use_any_name(server, queue):
    """A name in /etc/hosts, a tunnel: the check does not apply to clients that are no browsers."""
    headers = {"Host": "tf.lab.example", "User-Agent": "python-requests/2.31"}
    job = submit(server, queue, headers).json()["job_id"]
    assert claim(server, queue, headers).json()["job_id"] == job


def test_names_of_the_setting(store_uri):
    queue = uuid.uuid4().hex
    with Stack(store_uri(), "--allowed-hosts", "tf.lab.example,*.pool.example") as stack:
        for name, status in (("tf.lab.example", 200), ("a.pool.example", 200), ("127.0.0.1", 200),
                             ("evil.example", 403), ("pool.example", 403)):
            answer = submit(stack, queue, {**BROWSER, "Host": name, "Origin": f"https://{name}"})
            assert answer.status_code == status, name


@pytest.mark.parametrize("mode, status", [("roles", 403), ("login", 401)])
def test_other_modes(store_uri, mode, status):
    """With --auth roles, callers without a token may submit, so the rule holds; with login all need a token."""
    with Stack(store_uri(), "--auth", mode) as stack:
        headers = fetch("cross-site", Origin="http://evil.example")
        assert submit(stack, "q", headers).status_code == status
        if mode == "roles":  # behind a proxy of this machine it has any name
            answer = requests.get(f"{stack.url}/v1/agents/data", timeout=10,
                                  headers={**BROWSER, "Host": "tf.lab.example"})
            assert answer.status_code == 200


def test_a_large_body_is_not_waited_for(server):
    """The head alone is enough for the refusal: no byte of an upload is read."""
    head = (f"POST /v1/result/{uuid.uuid4()}/artifact HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            "Origin: http://evil.example\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            "Content-Length: 1000000000\r\n\r\n")
    with socket.create_connection(("127.0.0.1", server.port.number), timeout=10) as sock:
        sock.sendall(head.encode())
        assert sock.recv(4096).startswith(b"HTTP/1.1 403 ")
