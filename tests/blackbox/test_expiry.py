"""Expired data is removed, but nothing that belongs to an active job."""

import datetime
import time

import pytest

from client import Api, expect, expect_none, new_id
from stack import wait_until
from storage import now, storage_of

pytestmark = pytest.mark.waits

DAY = 86400
SWEEPS = ("--sweep-interval", 50)
KINDS = ("jobs", "output", "logs", "files", "agents", "queues")


def short(seconds=2):
    return [x for kind in KINDS for x in (f"--expire-{kind}", seconds)]


def log(api, job_id):
    fragment = {"fragment_number": 0, "timestamp": "2025-01-02T03:04:05+00:00", "phase": "test",
                "log_data": "text"}
    expect(api.post(f"/v1/result/{job_id}/log/output", fragment), 200, "OK")


def logged(api, job_id):
    response = expect(api.get(f"/v1/result/{job_id}/log/output", params={"phase": "test"}), 200)
    return response.json()["output"]["test"]["log_data"]


def upload(api, path):
    expect(api.post(path, files={"file": ("a.tar.gz", b"content" * 100)}), 200, "OK")


@pytest.mark.slow
def test_what_goes(private, queue):
    """Each kind expires a short time after its last use; a younger one stays."""
    server = private(*SWEEPS, *short())
    api = Api(server.url)
    job_id, unknown = api.submit(queue, tags=[queue]), new_id()
    assert api.claimed(queue) == job_id
    for path in ("output", "serial_output"):
        expect(api.post_body(f"/v1/result/{job_id}/{path}", b"text", "text/plain"), 200)
        expect(api.post_body(f"/v1/result/{unknown}/{path}", b"text", "text/plain"), 200)
    upload(api, f"/v1/result/{job_id}/artifact")
    log(api, job_id)
    log(api, unknown)
    api.set_state(job_id, "complete")
    api.agent(queue, queues=[queue])
    expect(api.post("/v1/agents/queues", {queue: "described"}), 200)
    expect(api.post("/v1/agents/images", {queue + "-images": {"i": "url: http://a.b/c"}}), 200)
    gone = [lambda: api.get(f"/v1/job/{job_id}").status_code == 204,
            lambda: api.get(f"/v1/result/{job_id}").status_code == 204,
            lambda: api.get(f"/v1/result/{job_id}/artifact").status_code == 204,
            lambda: logged(api, job_id) == "" and logged(api, unknown) == "",
            lambda: api.get("/v1/job/search", params={"tags": queue}).json() == [],
            lambda: api.get(f"/v1/agents/data/{queue}").status_code == 404,
            lambda: api.get(f"/v1/queues/{queue}/agents").json() == [],
            lambda: queue not in api.get("/v1/agents/queues").json()]
    wait_until(lambda: all(is_gone() for is_gone in gone), "all are gone", 15)
    time.sleep(1)
    for id_ in (job_id, unknown):
        for path in ("output", "serial_output"):
            expect_none(api.get(f"/v1/result/{id_}/{path}"))
    assert queue + "-images" in api.get("/v1/agents/queues").json()
    fresh = api.submit(queue)
    assert api.claimed(queue) == fresh


@pytest.mark.slow
def test_what_an_active_job_keeps(private, queue):
    """A running job of any age stays, with its output, its files and its agent."""
    server = private(*SWEEPS, *short(1))
    api = Api(server.url)
    job_id, waiting = api.submit(queue), api.submit(queue)
    api.agent(queue, queues=[queue], job_id=job_id)
    assert api.claimed(queue) == job_id
    api.set_state(job_id, "test")
    expect(api.post_body(f"/v1/result/{job_id}/output", b"text", "text/plain"), 200)
    upload(api, f"/v1/result/{job_id}/artifact")
    log(api, job_id)
    other = new_id()
    upload(api, f"/v1/result/{other}/artifact")
    wait_until(lambda: api.get(f"/v1/result/{other}/artifact").status_code == 204, "the others go")
    time.sleep(1.5)
    assert api.state(job_id) == "test" and api.state(waiting) == "waiting"
    expect(api.get(f"/v1/result/{job_id}/artifact"), 200)
    expect(api.get(f"/v1/agents/data/{queue}"), 200)
    assert "text" in logged(api, job_id)
    assert "text" in expect(api.get(f"/v1/result/{job_id}/output"), 200).text
    api.set_state(job_id, "complete")
    wait_until(lambda: api.get(f"/v1/result/{job_id}").status_code == 204, "it goes once it is over")
    assert api.claimed(queue) == waiting


@pytest.mark.slow
def test_output_goes_as_a_whole(private, queue):
    """Unread output stays as long as more of it comes."""
    server = private(*SWEEPS, "--expire-output", 5)
    api, id_ = Api(server.url), new_id()
    for i in range(5):
        expect(api.post_body(f"/v1/result/{id_}/output", b"%d" % i, "text/plain"), 200)
        time.sleep(1.4)
    expect(api.get(f"/v1/result/{id_}/output"), 200, "\n".join("01234"))


def test_waiting_job_is_cancelled(private, queue):
    """It ends visibly, with the reason, and is not handed out."""
    server = private(*SWEEPS, "--expire-waiting", 1)
    api = Api(server.url)
    job_id = api.submit(queue)
    wait_until(lambda: api.state(job_id) == "cancelled", "it is cancelled")
    assert "expired" in api.get(f"/v1/result/{job_id}").json()["end_reason"]
    expect_none(api.claim(queue))


@pytest.mark.slow
def test_times_of_the_contract(private, queue):
    """With the defaults: a week from its submission on, but a job that has just ended stays for a
    minute."""
    server = private(*SWEEPS)
    api, storage = Api(server.url), storage_of(server)
    ids = {name: api.submit(queue) for name in ("old", "ended", "young", "waits", "runs")}
    for name in ("old", "ended", "young"):
        api.set_state(ids[name], "complete")
    api.set_state(ids["runs"], "test")
    for name in ("old", "ended", "waits", "runs"):
        storage.set_age(ids[name], 7 * DAY + 60)
    storage.set_age(ids["young"], 7 * DAY - 60)
    storage.set_ended(ids["old"], 120)
    wait_until(lambda: api.get(f"/v1/result/{ids['old']}").status_code == 204, "the old one goes")
    time.sleep(1)
    states = {name: api.state(ids[name]) for name in ids if name != "old"}
    assert states == {"ended": "complete", "young": "complete", "waits": "waiting", "runs": "test"}


@pytest.mark.stores("mongodb")
def test_data_of_other_servers(private, mongod):
    """Documents that the existing server made, with ids and names of its own; one that deletes by
    itself is reported with the command that removes it."""
    # mongod deletes by that index once a minute, active jobs too; not while the server's work is
    # looked at.
    mongod.client.admin.command("setParameter", 1, ttlMonitorEnabled=False)
    try:
        look_at_data_of_other_servers(private, mongod)
    finally:
        mongod.client.admin.command("setParameter", 1, ttlMonitorEnabled=True)


def look_at_data_of_other_servers(private, mongod):
    uri = mongod.uri(f"test_{new_id().replace('-', '')}")
    db = mongod.client.get_database(uri.rpartition("/")[2])
    db.jobs.create_index("created_at", expireAfterSeconds=604800)
    old = now() - datetime.timedelta(days=8)
    states = {new_id(): s for s in ("complete", "completed", "cancelled", "test", "waiting")}
    for job_id, state in states.items():
        db.jobs.insert_one({"created_at": now(), "job_id": job_id, "job_priority": 0,
                            "result_data": {"job_state": state}, "job_data": {"job_queue": "q"}})
        for name, size in ((f"{job_id}.artifact", 300000), (f"{job_id}.attachments", 10)):
            file = db["fs.files"].insert_one({"filename": name, "chunkSize": 261120, "length": size,
                                              "uploadDate": old}).inserted_id
            db["fs.chunks"].insert_one({"files_id": file, "n": 0, "data": b"x" * 10,
                                        "uploadDate": old})
        db.output.insert_one({"job_id": job_id, "output": ["a"], "updated_at": old})
        db.logs.insert_one({"job_id": job_id, "log_type": "output", "phase": "test", "timestamp": old,
                            "fragment_number": 0, "log_data": "a", "updated_at": old})
        db.serial_output.insert_one({"job_id": job_id, "serial_output": ["a"], "updated_at": old})
    db.agents.insert_one({"name": "old", "updated_at": old, "log": []})
    db.queues.insert_many([{"name": "old", "updated_at": old}, {"name": "no-age"}])
    db.jobs.update_many({}, {"$set": {"created_at": old}})
    server = private(*SWEEPS, store=uri)
    active = {i for i, s in states.items() if s in ("test", "waiting")}

    def left(collection, field="job_id"):
        return {d[field].split(".")[0] for d in db[collection].find()}

    def is_done():
        return (all(left(c) == active for c in ("jobs", "output", "serial_output", "logs"))
                and left("fs.files", "filename") == active and left("queues", "name") == {"no-age"}
                and not db.agents.count_documents({}))

    wait_until(is_done, "what is old is gone", 15)
    time.sleep(1)
    assert is_done()
    assert server.log_contains('db.getCollection(\\"jobs\\").dropIndex(\\"created_at_1\\")')
