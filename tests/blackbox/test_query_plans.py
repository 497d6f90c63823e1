"""How MongoDB finds what the server asks for with 100,000 jobs: its profiler sees each operation.

(SQLite's plans: tests/store/sqlite_plans_test.c)"""

import concurrent.futures
import datetime
import re
import uuid

import pytest
import requests
from bson import Timestamp
from bson.codec_options import CodecOptions, DatetimeConversion

import auth
from apipage import examples, variables
from client import Api, expect
from curl import run
from stack import ROOT, SANITIZED, Port, wait_until
from storage import MongoStorage, now
from test_metrics import samples
from test_web_signin import Visitor, client_of
from web import page

JOBS = 100_000
LOOKED = 10_000  # jobs that a page of GET /v1/jobs looks at: LIST_LOOK_MAX
CLAIMED = 1000  # jobs that a claim looks at when others took the first ones meanwhile: LOOK_JOBS
EXAMINED = 200  # documents or index entries that an operation may look at beside what it returns

# Collections that may be read as a whole, by queries without a filter, and why.
LISTED = {
    "agents": "GET /v1/agents/data lists all",
    "queues": "GET /v1/agents/queues lists all",
    "queue_wait_times": "GET /v1/queues/wait_times lists all when no queue is named",
    "client_permissions": "GET /v1/client-permissions lists all",
    "restricted_queues": "GET /v1/restricted-queues lists all; agents are shown with theirs",
}

# Operations of the store that no call below reaches, and why that may be.
UNSEEN = {
    "agents_heard": "only some seconds after a call; agents by their names",
    "agents_silent": "the sweep begins with it only some time after the start",
    "agents_left": "only with the setting agent-names own, which test_agents_again.py has",
    "job_holders": "only with the setting agent-identity; jobs by their ids, as jobs_get",
    "job_submitter": "only with the setting owner-rules; a job by its id, as jobs_get",
    "job_unfit": "only of a job that an older release stored; by its id, as jobs_cancel",
    "leases_overdue": "the sweep begins with it only some time after the start",
    "orphan_get": "only of a job that asks for retries; by its id, as jobs_get",
    "orphan_end": "follows leases_overdue; a job by its id",
    "outbox_look": "only of an event that is posted again; by its id",
    "outbox_purge": "a webhook worker does it once a minute",
    "refresh_list": "only the admin tool lists tokens",
    "refresh_rotate": "only with the setting refresh-rotation; a token by its id",
    "refresh_revoke_family": "only with the setting refresh-rotation, of a token that is used twice",
    "secrets_look": "only of jobs with secrets; by their paths, as secret_put",
    "secrets_take": "only of jobs with secrets; by their paths, as secret_put",
    "secrets_sweep": "every 5 s",
    "secrets_walk": "only the admin tool lists secrets",
    "secrets_rotate": "only the admin tool; in the key vault, which has one document",
    "signing_key": "only without a key in the settings; the one document of its collection",
}
TABLE, = (ROOT / "worker").rglob("store.def")
OPERATIONS = re.findall(r"^STORE_OP\((\w+)", TABLE.read_text(), re.M)


def fill(db):
    """Half of the jobs wait in one queue, in the order of their numbers; most others are over."""
    begin = now() - datetime.timedelta(days=1)
    states = ["complete"] * 97 + ["cancelled", "running", "test", "completed"]
    for first in range(0, JOBS, 10_000):
        db.jobs.insert_many([{
            "job_id": str(uuid.UUID(int=i + 1)),
            "created_at": begin + datetime.timedelta(milliseconds=i),
            "job_priority": 0,
            "result_data": {"job_state": states[i // 2 % 101] if i % 2 else "waiting"},
            "job_data": {"job_queue": f"q{i % 50}" if i % 2 else "big", "exclude_agents": [],
                         "tags": ["often"] * (i % 10 == 1) + ["seldom"] * (i % 1000 == 1)},
        } for i in range(first, first + 10_000)], ordered=False)


def fill_old(db):
    """What the sweeps remove."""
    old = now() - datetime.timedelta(days=9)
    ids = [str(uuid.uuid4()) for _ in range(250)]
    db.jobs.insert_many([{"job_id": i, "created_at": old, "job_priority": 0,
                          "result_data": {"job_state": "complete"},
                          "job_data": {"job_queue": "old", "tags": ["old"]}} for i in ids])
    db.output.insert_many([{"job_id": i, "output": ["x"], "updated_at": old} for i in ids])
    db.serial_output.insert_many([{"job_id": i, "serial_output": ["x"], "updated_at": old} for i in ids])
    db.output.insert_many([{"job_id": ids[0], "output": ["x"], "updated_at": old, "order": Timestamp(1, i)}
                           for i in range(1000)])  # that nobody has read
    db.logs.insert_many([{"job_id": i, "log_type": "output", "phase": "test", "fragment_number": 0,
                          "timestamp": old, "log_data": "x", "updated_at": old} for i in ids])
    db.fs.files.insert_many([{"filename": f"{i}.artifact", "chunkSize": 261120, "length": 0,
                              "uploadDate": old} for i in ids])
    for collection in (db.agents, db.queues):
        collection.insert_many([{"name": i, "queues": [i], "updated_at": old} for i in ids])


def is_swept(db):
    return (db.jobs.find_one({"job_data.job_queue": "old"}) is None
            and not any(db[name].count_documents({"updated_at": {"$lt": now() - datetime.timedelta(days=8)}})
                        for name in ("output", "serial_output", "logs", "agents", "queues"))
            and db.fs.files.find_one({"length": 0}) is None)


def watch(db):
    """From now on the profiler notes each operation on the database."""
    db.command("profile", 0)
    db.drop_collection("system.profile")
    db.create_collection("system.profile", capped=True, size=64 * 2**20)
    db.command("profile", 2)


def seen(db):
    """What it has noted of the server's collections; its dates may be any."""
    db.command("profile", 0)
    options = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)
    for op in db.get_collection("system.profile", options).find():
        op["collection"] = op["ns"].partition(".")[2]
        if op.get("appName") != "test" and not op["collection"].startswith(("system.", "$cmd")):
            yield op


def called(ports):
    """{operation of the store: how often workers and webhook workers have called it}"""
    counts = dict.fromkeys(OPERATIONS, 0)
    for port in (ports + 2, ports + 3):
        found = samples(requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text)
        for (name, labels), value in found.items():
            if name == "testflinger_store_operation_seconds_count":
                counts[dict(labels)["operation"]] += value
    return counts


def is_look(command):
    """Whether it is a part of a list of jobs whose filters have no index of their own: where the look ends, or jobs
    to there."""
    return any("$skip" in stage for stage in command.get("pipeline", ())) or "$nor" in command.get("filter", {})


def fault(op):
    """What is wrong with how an operation went, None: nothing."""
    plan = op.get("planSummary", "")
    command = op.get("command", {})
    if "COLLSCAN" in plan and not (op["collection"] in LISTED and command.get("filter") == {}):
        return "it looks through the collection: it needs an index, or a row with a reason in LISTED"
    if op["collection"] == "jobs" and any("$group" in stage for stage in command.get("pipeline", ())):
        # queue_depths counts what waits from the index alone, and sorts one group a queue
        return "it reads jobs, not the index alone" if op.get("docsExamined") or "IXSCAN" not in plan else None
    if op.get("hasSortStage"):
        return "it sorts in memory: it needs an index with this order"
    if is_look(command):
        return f"it looks at {op['keysExamined']} jobs" if op["keysExamined"] > LOOKED + EXAMINED else None
    may = EXAMINED + CLAIMED * any(stage.get("$limit") == CLAIMED for stage in command.get("pipeline", ()))
    found = max(op.get(n, 0) for n in ("nreturned", "nMatched", "ndeleted", "ninserted"))
    for examined in ("docsExamined", "keysExamined"):
        if op.get(examined, 0) > may + 2 * found:
            return f"{examined} {op[examined]} for {found}"
    return None


@pytest.mark.slow
@pytest.mark.stores("mongodb")
@pytest.mark.timeout(300)
@pytest.mark.skipif(SANITIZED, reason="what MongoDB does is the same in the release run, and 100,000 jobs cost a minute")
def test_every_operation_with_100_000_jobs(private, store_uri, tmp_path):
    uri = store_uri()
    fill(MongoStorage(uri).db)
    locked = Port(4)
    ports = locked.number
    server = private("--sweep-interval", 100, "--metrics-port", ports, store=uri,
                     env={**auth.ENV, **auth.SECRETS}, webhooks=1)
    api = Api(server.url)
    wait_until(lambda: api.get("/readyz").status_code == 200, "the indexes are made", 60)
    db = MongoStorage(uri, appname="test").db
    given = variables(server)
    before = called(ports)
    watch(db)
    fill_old(db)
    for _, command, status, _, _ in examples():  # each endpoint has some
        assert run(server, command, tmp_path, **given).status == status, command
    who = auth.Admin(server).create("plans", "its-own-secret-key")
    expect(api.post("/v1/oauth2/token", auth=(who[0], "wrong")), 401)
    auth.login(api, who)
    searches(api)
    administration(server)
    claims(api)
    wait_until(lambda: is_swept(db), "what is old is gone", 60)
    after = called(ports)
    unseen = {name for name in OPERATIONS if after[name] == before[name]}
    assert unseen <= UNSEEN.keys(), (
        f"nothing here calls {', '.join(sorted(unseen - UNSEEN.keys()))} of {TABLE.name}: add a call, so "
        "that the plans are looked at, or a row with the reason to UNSEEN")
    operations = list(seen(db))
    assert len(operations) > 500
    faults = {f"{op['collection']} {fault(op)}: {op.get('planSummary')} {op.get('command')}"[:600]
              for op in operations if fault(op)}
    assert not faults, "\n\n".join(faults)


def pages(api, path, query, count=3):
    """The ids in some pages of a list, which must go on."""
    ids = []
    for _ in range(count):
        answer = expect(api.get(path + query), 200)
        ids += [job["job_id"] for job in answer.json()]
        query = answer.links["next"]["url"]
    assert len(set(ids)) == len(ids) == 20 * count
    return ids


def both_ways(api, path):
    """Some pages of a list of jobs and back."""
    def get(path):
        return expect(api.get(path, headers={"Accept": "application/json"}), 200).json()

    ways = ("newer", "older") if "sort=created" in path else ("older", "newer")
    pages = [get(path)]
    for way in (*ways[:1] * 3, *ways[1:] * 3):
        pages.append(get("/jobs" + pages[-1]["pager"][way]))
    ids = [[job["id"] for job in found["jobs"]] for found in pages]
    assert ids == ids[::-1] and len(set(sum(ids[:4], []))) == 80


def searches(api):
    def number(job_id):
        return uuid.UUID(job_id).int - 1

    for query in ("", "state=active&", "state=test&", "state=complete&state=test&", "tags=often&",
                  "tags=often&tags=seldom&match=all&", "tags=seldom&state=complete&"):
        found = [number(i) for i in pages(api, "/v1/job/search", f"?{query}limit=20")]
        assert found == sorted(found)
    assert [number(i) // 2 % 101 for i in pages(api, "/v1/job/search", "?state=test&limit=20")] == [99] * 60
    pages(api, "/v1/queues/q1/jobs", "?limit=20")
    for query in ("", "state=active&", "state=test&", "state=complete&state=test&", "tag=often&", "queue=q1&",
                  "since=2020-01-01T00:00:00Z&"):
        found = [n for n in map(number, pages(api, "/v1/jobs", f"?{query}limit=20")) if n < JOBS]
        assert found == sorted(found, reverse=True) != []
    expect(api.get("/v1/jobs?submitter=nobody"), 200, [])
    for query in ("agent=nobody", "state=active&agent=nobody", "tag=seldom&queue=nothing"):
        assert "next" not in expect(api.get(f"/v1/jobs?{query}"), 200, []).links
    for query in ("tag=often&tag=seldom&queue=nothing", "queue=big&state=complete"):
        assert "next" in expect(api.get(f"/v1/jobs?{query}"), 200, []).links
    for query in ("", "state=active&", "state=test&", "tag=often&", "queue=q1&"):
        both_ways(api, f"/jobs?{query}sort=created&limit=20")
    # a page from the middle of all jobs on, and the one before it
    middle = now() - datetime.timedelta(days=1) + datetime.timedelta(milliseconds=JOBS // 2)
    both_ways(api, f"/jobs?limit=20&until={middle.isoformat().replace('+00:00', 'Z')}")
    expect(api.get("/v1/agents?state=nothing"), 200, [])
    expect(api.get("/v1/queues/wait_times"), 200)
    job, *_ = pages(api, "/v1/job/search", "?state=test&limit=20")
    api.agent("web", state="test", queues=["web"], job_id=job)
    for path in ("/", "/queues?search=q1", "/agents?search=web", "/agents/web", f"/jobs?search={job}",
                 f"/jobs/{job}", f"/jobs/{job}/log/output?tail=9", "/queues/big", "/jobs?search=nothing"):
        expect(api.get(path), 200)


def administration(server):
    name = client_of(server, "admin")
    admin = Visitor(server.url, name)
    for path in ("clients", f"clients/{name}", "queues", f"tokens?client_id={name}", "dead-letters", "audit",
                 "audit?target=x", "status"):
        page(admin, f"/admin/{path}")


def claims(api):
    """Alone and together, for agents with and without names."""
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda i: api.claimed("big", cookie=f"agent_name=agent-{i}"), range(60)))
        jobs += list(pool.map(lambda i: api.claimed("other", "big"), range(60)))
        assert len(set(jobs)) == 120
        list(pool.map(lambda job_id: api.set_state(job_id, "test"), jobs))
        list(pool.map(api.state, jobs))
    assert expect(api.get(f"/v1/job/{uuid.UUID(int=301)}/position"), 200).content == b"30"
