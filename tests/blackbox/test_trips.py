"""MongoDB: what a request writes; its profiler sees each statement."""

import pytest

from client import Api, expect, new_id
from stack import wait_until
from storage import MongoStorage, now

pytestmark = pytest.mark.stores("mongodb")

FRAGMENT = {"fragment_number": 0, "timestamp": "2026-01-02T03:04:05Z", "phase": "test", "log_data": "x\n"}


class Noted:
    """A server whose writes are noted."""

    def __init__(self, private, uri):
        self.api = Api(private("--sweep-interval", 3600_000, store=uri, workers=1).url)
        self.db = MongoStorage(uri).db

    def operations(self, call):
        """What the profiler notes during a call."""
        self.db.drop_collection("system.profile")
        self.db.command("profile", 2)
        call()
        self.db.command("profile", 0)
        return list(self.db["system.profile"].find({"appName": {"$regex": "^testflinger"}}).sort("ts"))

    def writes(self, call):
        return [op for op in self.operations(call) if op["op"] in ("insert", "update", "remove")
                or "findandmodify" in map(str.lower, op["command"])]

    def reads(self, call):
        """The collections that are read during a call, by the id of a job."""
        return [op["ns"].partition(".")[2] for op in self.operations(call)
                if {"_id", "job_id"} & set(op["command"].get("filter", {}))]

    def kinds(self, call):
        return [f"{op['op']} {op['ns'].partition('.')[2]}" for op in self.writes(call)]

    def running(self, queue):
        """A job that is handed out, and known to have arrived."""
        job_id = self.api.claimed(queue)
        wait_until(lambda: "open" not in self.db.jobs.find_one({"job_id": job_id})["claim"],
                   "the claim to be confirmed")
        return job_id

    def put(self, job_id, **fields):
        expect(self.api.post(f"/v1/result/{job_id}", fields), 200)


@pytest.fixture
def noted(private, store_uri):
    return Noted(private, store_uri())


def test_a_post_is_one_write(noted, queue):
    """None more waits for the journal: the one carries the write concern."""
    api = noted.api
    assert noted.kinds(lambda: api.submit(queue)) == ["insert jobs"]
    job_id = noted.running(queue)
    for fields in ({"job_state": "test"}, {"job_state": "test", "status": {"setup": 0}}, {"status": {"setup": 1}},
                   {"device_info": {"a.b": "$c"}}):
        (write,) = noted.writes(lambda fields=fields: noted.put(job_id, **fields))
        assert (write["op"], write["planSummary"]) == ("update", "IDHACK"), write
    assert noted.kinds(lambda: expect(api.post(f"/v1/result/{job_id}/log/output", FRAGMENT), 200)) == ["insert logs"]
    assert noted.kinds(lambda: expect(api.post_body(f"/v1/result/{job_id}/output", "x", "text/plain"), 200)) == [
        "insert output"]


def test_a_post_of_the_same_state_moves_no_index(noted, queue):
    noted.api.submit(queue)
    job_id = noted.running(queue)
    noted.put(job_id, job_state="test")
    (write,) = noted.writes(lambda: noted.put(job_id, job_state="test", status={"setup": 0}))
    assert not write.get("keysInserted") and not write.get("keysDeleted"), write


def test_reads_of_a_running_job(noted, queue):
    noted.api.submit(queue)
    job_id = noted.running(queue)
    noted.put(job_id, job_state="test", status={"setup": 0})
    for path, read in (("", ["jobs", "logs"]), ("/status", ["jobs"]), ("?fields=job_state", ["jobs"])):
        assert noted.reads(lambda path=path: expect(noted.api.get(f"/v1/result/{job_id}{path}"), 200)) == read, path


def test_documents_of_the_reference_are_found_at_once_when_they_are_known(noted, queue):
    job_id = new_id()
    noted.db.jobs.insert_one({"created_at": now(), "result_data": {"job_state": "running"}, "job_priority": 0,
                               "job_id": job_id, "job_data": {"job_queue": queue}, "started_at": now()})
    noted.put(job_id, job_state="setup")
    for state in "setup", "firmware_update", "test":
        (write,) = noted.writes(lambda state=state: noted.put(job_id, job_state=state))
        assert write["nMatched"] == 1, write
    assert noted.api.state(job_id) == "test"
    noted.api.set_state(job_id, "complete")
    assert [entry["state"] for entry in noted.db.jobs.find_one({"job_id": job_id})["history"]] == [
        "setup", "firmware_update", "test", "complete"]
