"""What a job may ask for, in every mode; owners of jobs; agents and their tokens."""

import uuid

import pytest

import auth
from auth import FAULTS, Admin, as_role, bearer, claims, sign, token
from client import Api, expect, message, new_id
from storage import storage_of

UNAUTHORIZED = message("Unauthorized")
LONG = {"ssh_keys": ["lp:me"], "timeout": "6h1m"}  # 21660 s


@pytest.fixture(scope="module")
def roles(roles_server):
    return Api(roles_server.url)


@pytest.fixture(scope="module")
def old(open_server):
    return Api(open_server.url)


@pytest.fixture
def queue():
    return f"q-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def restricted(roles_server, open_server, queue):
    """A queue that is restricted on both servers, with one owner."""
    for stack in (roles_server, open_server):
        Admin(stack).create(f"owner-{queue}", "its-own-secret-key", "contributor", "--allow", queue)
    return queue


def submit(api, queue, headers=None, **fields):
    return api.post("/v1/job", {"job_queue": queue, **fields}, headers=headers)


def permissions(**given):
    return bearer(token({"client_id": "c", **given}))


# (what the job asks for, permissions, answer): Q is the queue's name
P, R = "Not enough permissions to push to Q with priority {}", \
    "Not enough permissions to push to Q with reservation timeout {}"
CASES = [
    ({"job_priority": 0}, None, 200),
    ({"job_priority": 5}, None, "Authentication required for setting priority: 5"),
    ({"job_priority": "5"}, None, "Authentication required for setting priority: 5"),
    ({"job_priority": -3}, None, "Authentication required for setting priority: -3"),
    ({"job_priority": 1}, {}, P.format(1)),
    ({"job_priority": -3}, {}, 200),
    ({"job_priority": 5}, {"max_priority": {"Q": 5}}, 200),
    ({"job_priority": 6}, {"max_priority": {"Q": 5}}, P.format(6)),
    ({"job_priority": 5}, {"max_priority": {"*": 5}}, 200),
    ({"job_priority": 6}, {"max_priority": {"*": 5, "x": 9}}, P.format(6)),
    ({"job_priority": 9}, {"max_priority": {"*": 9, "Q": 5}}, 200),
    ({"job_priority": 5}, {"max_priority": {"*": 1, "Q": 5}}, 200),
    ({"job_priority": 1}, {"max_priority": {"other": 100}}, P.format(1)),
    ({"reserve_data": {"timeout": 21600}}, None, 200),
    ({"reserve_data": {}}, None, 200),
    ({"reserve_data": {"timeout": None}}, None, 200),
    ({"reserve_data": {"timeout": 21601}}, None, "Authentication required for setting timeout: 21601"),
    ({"reserve_data": LONG}, None, "Authentication required for setting timeout: 21660"),
    ({"reserve_data": LONG}, {}, R.format(21660)),
    ({"reserve_data": LONG}, {"max_reservation_time": {"Q": 21660}}, 200),
    ({"reserve_data": LONG}, {"max_reservation_time": {"*": 30000}}, 200),
    ({"reserve_data": LONG}, {"max_reservation_time": {"*": 21659, "Q": 1}}, R.format(21660)),
    ({"job_priority": 2, "reserve_data": LONG}, {"max_priority": {"*": 2}}, R.format(21660)),
    ({"job_priority": 3, "reserve_data": LONG}, {"max_reservation_time": {"*": 99999}}, P.format(3)),
]


@pytest.mark.alike
@pytest.mark.parametrize("fields, given, answer", CASES, ids=str)
def test_permissions(roles, old, queue, fields, given, answer):
    """The first servers answered only Unauthorized to calls without a token."""
    def named(value):
        return {queue if k == "Q" else k: named(v) if isinstance(v, dict) else v for k, v in value.items()}

    headers = None if given is None else permissions(**named(given))
    for api in (roles, old):
        response = submit(api, queue, headers, **fields)
        if answer == 200:
            expect(response, 200)
        elif given is None:
            expect(response, 401, message(answer) if api is roles else UNAUTHORIZED)
        else:
            expect(response, 403, message(answer.replace("Q", queue)))


def test_restricted_queues(roles, old, restricted):
    for api in (roles, old):
        expect(submit(api, restricted), 401, UNAUTHORIZED if api is old else message(
            f"Authentication required to push to restricted queue: {restricted}"))
        refusal = message(f"Not enough permissions to push to the restricted queue: {restricted}")
        for allowed in ([], ["*"], [restricted + "x"], [restricted[:-1]]):
            expect(submit(api, restricted, permissions(allowed_queues=allowed)), 403, refusal)
        expect(submit(api, restricted, permissions(allowed_queues=["x", restricted])), 200)


def test_a_token_from_login_to_job(roles, old, restricted, roles_server, open_server):
    """The owner logs in and submits; a client without further permissions gets nothing more."""
    for api in (roles, old):
        headers = bearer(auth.login(api, (f"owner-{restricted}", "its-own-secret-key"))["access_token"])
        expect(submit(api, restricted, headers), 200)
        expect(submit(api, restricted, headers, job_priority=1), 403)


def test_order_of_the_checks(roles, restricted):
    """Priority, then the queue, then the reservation; all of it after the rest of the job."""
    expect(submit(roles, restricted, job_priority=1, reserve_data=LONG), 401,
           message("Authentication required for setting priority: 1"))
    expect(submit(roles, restricted, reserve_data=LONG), 401,
           message(f"Authentication required to push to restricted queue: {restricted}"))
    expect(submit(roles, restricted, job_priority=1, job_id="x"), 400, message("Invalid job_id specified"))
    expect(submit(roles, restricted, job_priority="x"), 422)
    expect(submit(roles, restricted, job_priority=1, exclude_agents=["a"]), 422)


@pytest.mark.alike
@pytest.mark.parametrize("fault", FAULTS)
def test_bad_tokens_of_the_first_clients(old, queue, fault):
    """Bad tokens are ignored where nothing depends on them, else refused as by the first servers."""
    make, _, (status, text) = FAULTS[fault]
    for headers in (bearer(make()), {"Authorization": make()}):
        expect(submit(old, queue, headers), 200)
        expect(submit(old, queue, headers, job_priority=1), status, message(text))


def test_bare_tokens(old, roles, queue):
    """The first clients send no "Bearer"."""
    good = token({"client_id": "c", "max_priority": {"*": 3}})
    expect(submit(old, queue, {"Authorization": good}, job_priority=3), 200)
    expect(submit(roles, queue, {"Authorization": good}, job_priority=3), 403,
           message("Specified action requires role: admin, manager, contributor"))


def test_tokens_of_the_first_servers(old, queue):
    """They had no client id and no role in them."""
    good = sign(claims({"max_priority": {queue: 3}, "allowed_queues": [], "max_reservation_time": {}}, lifetime=30))
    expect(submit(old, queue, bearer(good), job_priority=3), 200)
    for odd in (None, [], "x", 5):
        expect(submit(old, queue, bearer(sign(claims() | {"permissions": odd})), job_priority=1), 401, UNAUTHORIZED)


def test_priorities_order_the_queue(roles, queue):
    headers = permissions(max_priority={queue: 10})
    ids = [expect(submit(roles, queue, headers, job_priority=n), 200).json()["job_id"] for n in (1, 10, -5, 5)]
    agent = {**as_role("agent"), "Cookie": "agent_name=a"}
    taken = [expect(roles.get(f"/v1/job?queue={queue}", headers=agent), 200).json()["job_id"] for _ in ids]
    assert taken == [ids[1], ids[3], ids[0], ids[2]]


def test_multi_device_jobs(roles, queue):
    """The children are jobs of their own: what they ask for is checked when they are submitted."""
    expect(submit(roles, queue, provision_data={"jobs": [{"job_queue": queue, "job_priority": 100}]}), 200)
    for priority, status in ((100, 401), (0, 200)):
        expect(submit(roles, queue, parent_job_id=new_id(), allocate_data={"allocate": True},
                      job_priority=priority), status)


NO_AGENT = message("Specified action requires role: admin, manager, contributor")


@pytest.fixture
def parent(roles, roles_server, name, queue):
    """A job of a client with permissions, and the headers of the agent that has it."""
    Admin(roles_server).create(name, "its-own-secret-key", "contributor", "--max-priority", f"{queue}=50",
                               "--allow", f"{queue}-r")
    job_id = expect(submit(roles, queue, as_role("contributor", name)), 200).json()["job_id"]
    agent = {**as_role("agent", f"a-{name}"), "Cookie": f"agent_name=a-{name}"}
    assert expect(roles.get(f"/v1/job?queue={queue}", headers=agent), 200).json()["job_id"] == job_id
    return job_id, agent


def test_children_have_their_parents_rights(roles, roles_server, queue, name, parent):
    job_id, agent = parent
    for wish, status in (({"job_priority": 50}, 200), ({"job_priority": 51}, 403), ({"job_queue": f"{queue}-r"}, 200),
                         ({"job_queue": f"{queue}-r", "job_priority": 50}, 403), ({}, 200),
                         ({"reserve_data": {"timeout": 90000}}, 403)):
        answer = expect(roles.post("/v1/job", {"job_queue": queue, "parent_job_id": job_id, **wish}, headers=agent), status)
        if status == 200:
            child = answer.json()["job_id"]
            assert expect(roles.get(f"/v1/job/{child}", headers=as_role("contributor", name)), 200)
    # what its client loses, the children lose
    Admin(roles_server).good("clients", "edit", name, "--max-priority", f"{queue}=")
    expect(submit(roles, queue, agent, parent_job_id=job_id, job_priority=1), 403)
    # once the parent is over there are no more children
    expect(roles.post(f"/v1/result/{job_id}", {"job_state": "complete"}, headers=agent), 200)
    expect(submit(roles, queue, agent, parent_job_id=job_id), 403, NO_AGENT)


def test_those_who_are_no_parents_agent(roles, queue, parent):
    job_id, agent = parent
    other = {**as_role("agent", "somebody-else"), "Cookie": agent["Cookie"]}
    waiting = expect(submit(roles, f"{queue}-2"), 200).json()["job_id"]
    expect(submit(roles, queue, other, parent_job_id=job_id), 403, NO_AGENT)
    for parent_job_id in (waiting, new_id(), "x", "", f"{job_id}x"):
        expect(submit(roles, queue, agent, parent_job_id=parent_job_id), 403, NO_AGENT)
    expect(submit(roles, queue, agent), 403, NO_AGENT)
    for body in ({}, {"parent_job_id": 5}, {"job_queue": queue, "parent_job_id": None}, []):
        expect(roles.post("/v1/job", body, headers=agent), 403, NO_AGENT)
    # a contributor that names the parent has its own rights only
    expect(submit(roles, queue, as_role("contributor", "x"), parent_job_id=job_id, job_priority=5), 403)
    expect(submit(roles, queue, parent_job_id=job_id, job_priority=5), 401)


@pytest.mark.stores("mongodb")
def test_submitter_in_the_document(roles, roles_server, queue):
    db = storage_of(roles_server).db
    job_id = new_id()
    expect(submit(roles, queue, as_role("contributor", "alice"), job_id=job_id), 200)
    assert db.jobs.find_one({"job_id": job_id})["submitter"] == "alice"
    assert "submitter" not in str(expect(roles.get(f"/v1/job/{job_id}"), 200).json())
    expect(submit(roles, queue, as_role("contributor", "bob"), job_id=job_id, name="n"), 200)
    assert db.jobs.find_one({"job_id": job_id})["submitter"] == "bob"
    expect(submit(roles, queue, job_id=job_id, name="other"), 200)
    assert "submitter" not in db.jobs.find_one({"job_id": job_id})


# Owners


@pytest.fixture(scope="module")
def owned(store_uri):
    from stack import Stack

    with Stack(store_uri(), "--auth", "roles", "--owner-rules", "yes", env=auth.ENV) as stack:
        yield Api(stack.url)


NOT_OWNER = message("Only the submitter of the job, managers and admins may do this")


def cancel(api, job_id, headers=None):
    return api.post(f"/v1/job/{job_id}/action", {"action": "cancel"}, headers=headers)


@pytest.mark.parametrize("who, status", [
    (as_role("contributor", "alice"), 200), (as_role("manager", "eve"), 200), (as_role("admin", "eve"), 200),
    (as_role("contributor", "eve"), 403), (None, 401)], ids=["owner", "manager", "admin", "other", "nobody"])
def test_owners_cancel(owned, queue, who, status):
    job_id = expect(submit(owned, queue, as_role("contributor", "alice")), 200).json()["job_id"]
    expect(cancel(owned, job_id, who), status, NOT_OWNER if status > 200 else "OK")
    expect(submit(owned, queue, who, job_id=job_id), status, NOT_OWNER if status > 200 else None)


def test_jobs_of_nobody(owned, queue):
    """A submitter without a token owns no job; a missing job has no owner."""
    job_id = expect(submit(owned, queue), 200).json()["job_id"]
    expect(cancel(owned, job_id, as_role("contributor", "eve")), 200, "OK")
    expect(cancel(owned, new_id(), as_role("contributor", "eve")), 404, message("Job not found"))


@pytest.mark.parametrize("mode", ["open", "roles"])
def test_owners_fetch_attachments(private, queue, mode):
    """Agents with a token may act as before; else only the submitter, managers and admins may."""
    api = Api(private("--auth", mode, "--owner-rules", "yes", env=auth.ENV).url)
    alice = as_role("contributor", "alice")
    job_id = expect(submit(api, queue, alice, test_data={"attachments": [{"agent": "a"}]}), 200).json()["job_id"]
    path = f"/v1/job/{job_id}/attachments"
    expect(api.post(path, files={"file": ("a", b"content")}, headers=alice), 200)
    for who in (alice, as_role("agent", "a1"), as_role("manager", "eve"), as_role("admin", "eve")):
        assert expect(api.get(path, headers=who), 200).content == b"content"
    expect(api.get(path, headers=as_role("contributor", "eve")), 403, NOT_OWNER)
    expect(api.get(path), 401, NOT_OWNER)
    expect(api.get(path, headers=as_role("root", "eve")), 403)


def test_without_the_rule_everyone_cancels(roles, queue):
    job_id = expect(submit(roles, queue, as_role("contributor", "alice")), 200).json()["job_id"]
    expect(cancel(roles, job_id, as_role("contributor", "eve")), 200, "OK")


def test_owner_rules_with_every_mode(private, queue):
    """In the open mode, too, the token names the owner."""
    api = Api(private("--owner-rules", "yes", env=auth.ENV).url)
    job_id = expect(submit(api, queue, as_role("contributor", "alice")), 200).json()["job_id"]
    expect(cancel(api, job_id), 401, NOT_OWNER)
    expect(cancel(api, job_id, bearer("bad")), 401, NOT_OWNER)
    expect(cancel(api, job_id, as_role("contributor", "alice")), 200, "OK")


# Agents


def claim(api, *queues, headers=None, cookie=None):
    headers = {**(headers or {}), **({"Cookie": f"agent_name={cookie}"} if cookie else {})}
    return api.get("/v1/job", params=[("queue", q) for q in queues], headers=headers)


def test_claims_by_role(roles, old, queue):
    agent = as_role("agent", "a1")
    expect(submit(roles, queue), 200)
    expect(claim(roles, queue, cookie="a1"), 403, message("Specified action requires role: agent"))
    expect(claim(roles, headers=agent, cookie="a1"), 400, message("No queue(s) specified in request"))
    expect(claim(roles, queue, headers=agent), 401, message("Agent not identified"))
    expect(claim(roles, headers=agent), 400)
    expect(claim(roles, queue, headers=agent, cookie="a1"), 200)
    expect(claim(roles, queue, headers=agent, cookie="a1"), 204)
    expect(claim(old, headers=agent), 400, {})
    expect(claim(old, queue), 204)
    expect(claim(old, queue, headers=bearer("bad")), 204)


@pytest.mark.parametrize("mode", ["open", "roles"])
def test_restricted_claims(private, queue, mode):
    """An agent whose token is not allowed on a restricted queue gets the jobs of the others."""
    stack = private("--auth", mode, "--restricted-claims", "allowed", env=auth.ENV)
    api, other = Api(stack.url), queue + "-2"
    Admin(stack).create("owner", "its-own-secret-key", "contributor", "--allow", queue)
    owner = permissions(allowed_queues=[queue])
    for name in (queue, other):
        expect(submit(api, name, owner), 200)
    plain, allowed = as_role("agent", "a1"), as_role("agent", "a2", allowed_queues=[queue])
    expect(claim(api, queue, headers=plain, cookie="a1"), 403,
           {} if mode == "open" else message("Not enough permissions to take jobs of a restricted queue"))
    assert expect(claim(api, queue, other, headers=plain, cookie="a1"), 200).json()["job_queue"] == other
    expect(claim(api, queue, other, headers=plain, cookie="a1"), 204)
    assert expect(claim(api, queue, headers=allowed, cookie="a2"), 200).json()["job_queue"] == queue


def test_without_the_setting_any_agent_claims(roles, restricted):
    expect(submit(roles, restricted, permissions(allowed_queues=[restricted])), 200)
    expect(claim(roles, restricted, headers=as_role("agent"), cookie="a"), 200)


@pytest.mark.parametrize("mode", ["open", "roles"])
def test_agent_identity(private, queue, mode):
    """An agent's token speaks for the agent of its client's name, and for those that it lists."""
    stack = private("--auth", mode, "--agent-identity", "token", env=auth.ENV)
    api = Api(stack.url)
    one, two = as_role("agent", "a1"), as_role("agent", "host", agents=["b1", "b2"])
    other = message("The token is not one of agent 'a1'")
    expect(api.post("/v1/agents/data/a1", {}, headers=one), 200)
    expect(api.post("/v1/agents/data/a1", {}, headers=two), 403, other)
    expect(api.post("/v1/agents/data/b2", {}, headers=two), 200)
    expect(api.post("/v1/agents/data/a1", {"state": "offline"}, headers=as_role("manager")), 200)
    log = {"job_id": new_id(), "exit_code": 0}
    expect(api.post("/v1/agents/provision_logs/a1", log, headers=one), 200)
    expect(api.post("/v1/agents/provision_logs/a1", log, headers=two), 403, other)
    expect(api.post("/v1/agents/provision_logs/b2", log, headers=two), 200)
    expect(submit(api, queue), 200)
    expect(claim(api, queue, headers=two, cookie="a1"), 403, other if mode == "roles" else {})
    expect(claim(api, queue, headers=two, cookie="b1"), 200)
    if mode == "open":
        expect(api.post("/v1/agents/data/a1", {}), 401, other)
        expect(api.post("/v1/agents/provision_logs/a1", log), 401, other)
        expect(claim(api, queue, cookie="a1"), 401, {})
        expect(claim(api, queue, headers=one), 403, {})


def test_agents_of_a_client(private):
    """The admin tool says which agents a client speaks for; login and refresh pass it on."""
    stack = private("--auth", "roles", "--agent-identity", "token", env=auth.ENV)
    api, admin = Api(stack.url), Admin(stack)
    who = admin.create("host", "its-own-secret-key", "agent", "--agent", "a1", "--agent", "a2")
    answer = auth.login(api, who)
    expect(api.post("/v1/agents/data/a2", {}, headers=bearer(answer["access_token"])), 200)
    admin.good("clients", "edit", "host", "--not-agent", "a2", "--agent", "a3")
    again = expect(api.post("/v1/oauth2/refresh", {"refresh_token": answer["refresh_token"]}), 200).json()
    headers = bearer(auth.secret(again["access_token"]))
    expect(api.post("/v1/agents/data/a2", {}, headers=headers), 403)
    expect(api.post("/v1/agents/data/a3", {}, headers=headers), 200)


def test_answer_to_agents(roles, old):
    """Both eras, with and without a token; the cookie always."""
    for api, headers, body in ((roles, as_role("agent"), {"status": "OK"}), (old, None, "OK"),
                               (old, as_role("agent"), {"status": "OK"})):
        response = expect(api.post("/v1/agents/data/rpi", {"state": "waiting"}, headers=headers), 200, body)
        assert response.headers["Set-Cookie"].startswith("agent_name=rpi;")
