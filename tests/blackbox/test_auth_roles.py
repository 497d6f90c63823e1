"""Every endpoint of common/api.def: who may call it, in every mode."""

import re

import pytest

import auth
from client import Api, expect, message, new_id
from stack import ROOT

U = "admin, manager, contributor"
EVERY = "admin, manager, contributor, agent"
ANYONE = None
# The contract's table of roles, and at its end what is ours.
TABLE = {
    ("POST", "/v1/job"): U,
    ("GET", "/v1/job/<job_id>"): U,
    ("GET", "/v1/job/<job_id>/position"): U,
    ("GET", "/v1/job/search"): U,
    ("POST", "/v1/job/<job_id>/attachments"): U,
    ("POST", "/v1/job/<job_id>/action"): U,
    ("POST", "/v1/jobs/cancel"): U,
    ("GET", "/v1/jobs"): U,
    ("GET", "/v1/job/<job_id>/follow"): U,
    ("GET", "/v1/agents"): U,
    ("GET", "/v1/result/<job_id>/artifact"): U,
    ("GET", "/v1/result/<job_id>/log/output"): U,
    ("GET", "/v1/result/<job_id>/log/serial"): U,
    ("GET", "/v1/result/<job_id>/output"): U,
    ("GET", "/v1/result/<job_id>/serial_output"): U,
    ("GET", "/v1/agents/queues"): U,
    ("GET", "/v1/agents/images/<queue>"): U,
    ("GET", "/v1/agents/data"): U,
    ("GET", "/v1/queues/wait_times"): U,
    ("GET", "/v1/queues/<queue>/agents"): U,
    ("GET", "/v1/queues/<queue>/jobs"): U,
    ("GET", "/v1/restricted-queues"): U,
    ("GET", "/v1/restricted-queues/<queue>"): U,
    ("GET", "/v1/job"): "agent",
    ("GET", "/v1/job/<job_id>/attachments"): "agent",
    ("POST", "/v1/result/<job_id>"): "agent",
    ("POST", "/v1/result/<job_id>/artifact"): "agent",
    ("POST", "/v1/result/<job_id>/log/output"): "agent",
    ("POST", "/v1/result/<job_id>/log/serial"): "agent",
    ("POST", "/v1/result/<job_id>/output"): "agent",
    ("POST", "/v1/result/<job_id>/serial_output"): "agent",
    ("POST", "/v1/agents/provision_logs/<agent_name>"): "agent",
    ("POST", "/v1/job/<job_id>/events"): "agent",
    ("GET", "/v1/result/<job_id>"): EVERY,
    ("GET", "/v1/result/<job_id>/status"): EVERY,
    ("GET", "/v1/events/job/<job_id>"): EVERY,
    ("GET", "/v1/agents/data/<agent_name>"): EVERY,
    ("POST", "/v1/agents/queues"): "admin, manager, agent",
    ("POST", "/v1/agents/images"): "admin, manager, agent",
    ("POST", "/v1/agents/data/<agent_name>"): "admin, manager, agent",
    ("POST", "/v1/queues/<queue>/pause"): "admin, manager",
    ("POST", "/v1/queues/<queue>/resume"): "admin, manager",
    ("POST", "/v1/restricted-queues/<queue>"): "admin, manager",
    ("DELETE", "/v1/restricted-queues/<queue>"): "admin, manager",
    ("GET", "/v1/client-permissions"): "admin, manager",
    ("GET", "/v1/client-permissions/<client_id>"): "admin, manager",
    ("PUT", "/v1/client-permissions/<client_id>"): "admin, manager",
    ("DELETE", "/v1/client-permissions/<client_id>"): "admin",
    ("POST", "/v1/oauth2/revoke"): "admin",
    ("POST", "/v1/oauth2/token"): ANYONE,
    ("GET", "/v1/oauth2/token"): ANYONE,
    ("POST", "/v1/oauth2/refresh"): ANYONE,
    ("GET", "/readyz"): ANYONE,
    ("PUT", "/v1/secrets/<client_id>/<path>"): U,
    ("DELETE", "/v1/secrets/<client_id>/<path>"): U,
    ("GET", "/v1/audit"): "admin",
    ("GET", "/v1/webhooks/dead"): "admin",
    ("POST", "/v1/webhooks/dead/<event_id>/resend"): "admin",
}
GUARDED = {key for key, roles in TABLE.items() if key[1].startswith((
    "/v1/client-permissions", "/v1/audit", "/v1/oauth2/revoke", "/v1/webhooks/dead", "/v1/secrets"))} | {
    key for key in TABLE if key[1] == "/v1/restricted-queues/<queue>" and key[0] != "GET"}
ROW = re.compile(r'^(?:API|LOGIN|WEBHOOK)\(\w+,[^()]*?\.method = HTTP_(\w+),\s*\.path = "([^"]+)"', re.M)
ENDPOINTS = ROW.findall((ROOT / "common/api.def").read_text())
AUTHENTICATION = message("Authentication is required for specified endpoint")


def roles_of(endpoint):
    """None: anyone. Rows that the contract does not have must be added to the table above."""
    method, path = endpoint
    found = [roles for (m, p), roles in TABLE.items()
             if m == method and re.sub("<.*?>", "<>", p) == re.sub("<.*?>", "<>", path)]
    assert found, f"TABLE has no row for {method} {path}: who may call it?"
    return found[0]


def call(api, endpoint, headers=None):
    method, path = endpoint
    path = path.replace("<job_id>", new_id())
    return api.request(method, re.sub("<.*?>", new_id(), path), headers=headers)


def passed(response):
    """Whether access control let it through, whatever the handler answered."""
    text = response.text
    return "Specified action requires role" not in text and AUTHENTICATION["message"] not in text


def check(response, may, status, body):
    """It may pass the gate, or gets this answer."""
    if may:
        assert passed(response), response.text
    else:
        expect(response, status, body)


def refused(endpoint):
    return message(f"Specified action requires role: {roles_of(endpoint)}")


def test_the_table_is_complete():
    for endpoint in ENDPOINTS:
        roles_of(endpoint)
    assert len(ENDPOINTS) > 25


@pytest.fixture(scope="module")
def api(roles_server):
    return Api(roles_server.url)


@pytest.fixture(scope="module")
def login_api(login_server):
    return Api(login_server.url)


@pytest.fixture(scope="module")
def open_api(open_server):
    return Api(open_server.url)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
def test_roles(api, login_api, endpoint):
    roles = roles_of(endpoint)
    for one in (api, login_api):
        for role in auth.ROLES:
            for spelled in (role, role.upper()):
                response = call(one, endpoint, auth.as_role(spelled))
                check(response, roles is None or role in roles.split(", "), 403, refused(endpoint))
        for role in ("root", "", "admin ", 5, ["admin"]):
            response = call(one, endpoint, auth.as_role(role, client_id="odd"))
            check(response, roles is None, 403, refused(endpoint))
        nameless = call(one, endpoint, auth.bearer(auth.token({"client_id": "c"})))
        assert passed(nameless) == (roles is None or "contributor" in roles)


@pytest.mark.stores("sqlite")  # the gate answers before the store is asked
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
def test_without_a_token(api, login_api, open_api, endpoint):
    roles = roles_of(endpoint)
    response = call(api, endpoint)
    check(response, roles is None or "contributor" in roles, 403, refused(endpoint))
    response = call(login_api, endpoint)
    check(response, roles is None, 401, AUTHENTICATION)
    response = call(open_api, endpoint)
    check(response, endpoint not in GUARDED or "contributor" in (roles or ""), 403, refused(endpoint))


@pytest.mark.stores("sqlite")  # the gate answers before the store is asked
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
def test_headers_that_are_no_bearer(api, login_api, open_api, endpoint):
    roles = roles_of(endpoint)
    good = auth.token({"client_id": "c", "role": "admin"})
    for header in (good, "Basic YTpi", "Bearer", "Token x"):
        headers = {"Authorization": header}
        response = call(api, endpoint, headers)
        check(response, roles is None, 403, refused(endpoint))
        response = call(login_api, endpoint, headers)
        check(response, roles is None, 401, AUTHENTICATION)
        if endpoint not in GUARDED:
            assert passed(call(open_api, endpoint, headers))


@pytest.mark.stores("sqlite")  # the gate answers before the store is asked
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=" ".join)
def test_bad_tokens(api, login_api, open_api, endpoint):
    for fault, (make, (status, text), _) in auth.FAULTS.items():
        print(fault)
        headers = auth.bearer(make())
        for one in (api, login_api):
            response = call(one, endpoint, headers)
            if roles_of(endpoint) is None:
                assert response.status_code != status or text not in response.text
            else:
                expect(response, status, message(text))
        response = call(open_api, endpoint, headers)
        if endpoint in GUARDED:
            expect(response, status, message(text))
        else:
            assert text not in response.text and passed(response)


def test_the_gate_comes_before_the_body(api, login_api):
    """A refused role gets that answer, whatever else is wrong with the request."""
    for body in (b"{", b'{"x": 1}', b"\xff"):
        headers = {"Content-Type": "application/json", **auth.as_role("agent")}
        expect(api.request("POST", "/v1/job", data=body, headers=headers), 403,
               refused(("POST", "/v1/job")))
        expect(login_api.request("POST", "/v1/job", data=body,
                                 headers={"Content-Type": "application/json"}), 401, AUTHENTICATION)
        expect(api.request("POST", "/v1/job", data=body, headers={
            "Content-Type": "application/json", **auth.bearer("x")}), 403, message("Unable to decode token"))


def test_spelling_of_bearer(api):
    good = auth.token({"client_id": "c", "role": "admin"})
    for header in (f"bearer {good}", f"BEARER {good}", f"Bearer   {good}"):
        expect(api.get("/v1/audit", headers={"Authorization": header}), 200)


def test_huge_token(roles_server, api):
    """1 MiB in a header is refused before it gets anywhere; the server goes on."""
    response = api.get("/v1/restricted-queues", headers=auth.bearer("a" * 8000))
    expect(response, 403, message("Unable to decode token"))
    try:
        status = api.get("/v1/restricted-queues", headers=auth.bearer("a" * (1 << 20))).status_code
    except OSError:
        status = 431  # the answer came while it still sent
    assert status == 431
    expect(api.get("/v1/restricted-queues"), 200)


def test_head_is_as_get(api):
    assert api.head("/v1/client-permissions").status_code == 403
    assert api.head("/v1/client-permissions", headers=auth.as_role("manager")).status_code == 200


def test_open_mode_on_a_loopback_address(open_server):
    """The warning is for addresses that others can reach (its unit test knows which)."""
    assert not open_server.log_contains("access control is off")
