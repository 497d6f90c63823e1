"""MongoDB: documents as other tools read and write them, and databases of older servers."""

import datetime
import uuid
from concurrent.futures import ThreadPoolExecutor

import bson
import pymongo
import pytest

from client import Api, expect, expect_none, new_id
from mongo import Mongod
from storage import now, storage_of

pytestmark = pytest.mark.stores("mongodb")

# What the server may add to a job beside the layout that it shares with other tools.
OURS = {"claim", "lease", "attempts", "history"}


def recent(date):
    return isinstance(date, datetime.datetime) and abs((now() - date).total_seconds()) < 60


def job_document(db, job_id):
    (document,) = db.jobs.find({"job_id": job_id})
    return {name: value for name, value in document.items() if name not in OURS}


def test_new_job(api, db, queue):
    fields = {"name": "a\u0000b", "tags": [], "global_timeout": "5", "output_timeout": 2**40,
              "provision_data": {"ephemeral": "yes"}, "reserve_data": {"timeout": "1m"},
              "allocate_data": {"a.b": 1.5, "$c": None, "": {"$date": "x"}}, "debug": 1}
    document = job_document(db, api.submit(queue, **fields))
    assert isinstance(document.pop("_id"), bson.ObjectId)
    assert recent(document.pop("created_at"))
    assert uuid.UUID(document.pop("job_id")).version == 4
    assert document == {
        "result_data": {"job_state": "waiting"}, "job_priority": 0,
        "job_data": {
            "job_queue": queue, "name": "a\u0000b", "tags": [], "global_timeout": 5,
            "output_timeout": 2**40, "provision_data": {"ephemeral": True},
            "reserve_data": {"timeout": 60}, "debug": True, "exclude_agents": [],
            "allocate_data": {"a.b": 1.5, "$c": None, "": {"$date": "x"}}}}
    assert document["job_data"]["debug"] is True
    assert type(document["job_data"]["allocate_data"]["a.b"]) is float


@pytest.mark.parametrize("fields, added", [
    ({"job_priority": "0"}, {"job_priority": 0}),
    ({"provision_data": None}, {"provision_data": None}),
    ({"test_data": {"attachments": []}},
     {"test_data": {"attachments": []}, "attachments_status": "waiting"}),
    ({"job_id": ""}, {}),
    ({"job_id": "GIVEN"}, {}),
    ({"x": 1}, {"x": 1}),
])
def test_job_data(api, db, queue, fields, added):
    given = new_id().upper()
    fields = {n: given if v == "GIVEN" else v for n, v in fields.items()}
    document = job_document(db, api.submit(queue, **fields))
    assert document["job_data"] == {"job_queue": queue, "exclude_agents": [], **added}
    assert fields.get("job_id") in (None, "", document["job_id"])


def test_claimed_job(api, db, queue):
    job_id = api.submit(queue)
    waiting = job_document(db, job_id)
    api.claimed(queue)
    document = job_document(db, job_id)
    assert recent(document.pop("started_at"))
    waiting["result_data"] = {"job_state": "running"}
    assert document == waiting
    (wait,) = db.queue_wait_times.find({"name": queue}, {"_id": 0})
    assert wait in [{"name": queue, "wait_times": [n]} for n in (0, 1)]


def test_result(api, db, queue):
    job_id = api.submit(queue)
    api.claimed(queue)
    info = {"a.b": {"$c": 2**33}, "": [1, 1.0, None]}
    for body in [{"status": {"setup": "0"}, "device_info": info}, {"test_status": 7, "test_output": "o"},
                 {"status": {"test": 1}, "job_state": "complete", "x": {"y.z": 1}}]:
        expect(api.post(f"/v1/result/{job_id}", body), 200)
    assert job_document(db, job_id)["result_data"] == {
        "job_state": "complete", "status": {"test": 1}, "device_info": info, "test_status": 7,
        "test_output": "o", "x": {"y.z": 1}}


def test_cancelled_job(api, db, queue):
    job_id = api.submit(queue)
    expect(api.post(f"/v1/job/{job_id}/action", {"action": "cancel"}), 200)
    assert job_document(db, job_id)["result_data"] == {"job_state": "cancelled"}


def test_refused_jobs_are_not_stored(api, db, queue):
    for fields in [{"name": 5}, {"job_id": "nope"}, {"job_priority": 1}, {"exclude_agents": ["a"]}]:
        assert api.post("/v1/job", {"job_queue": queue, **fields}).status_code >= 400
    assert db.jobs.count_documents({"job_data.job_queue": queue}) == 0


@pytest.mark.parametrize("kind", ["output", "serial_output"])
def test_output(api, db, kind):
    path, job_id = "/v1/result/{}/" + kind, new_id()
    for entry in [b"a\n", b"", b"\x00"]:
        expect(api.post_body(path.format(job_id), entry, None), 200)
    documents = list(db[kind].find({"job_id": job_id}).sort("_id"))
    assert all(recent(d["updated_at"]) and isinstance(d["_id"], bson.ObjectId) for d in documents)
    assert [d[kind] for d in documents] == [["a\n"], [""], ["\0"]]
    expect(api.get(path.format(job_id)), 200)
    assert db[kind].count_documents({"job_id": job_id}) == 0


def test_output_of_another_server(api, db):
    job_id = new_id()
    db.output.insert_one({"job_id": job_id, "output": ["x", "y"], "updated_at": now()})
    expect(api.post_body(f"/v1/result/{job_id}/output", b"z", None), 200)
    expect(api.get(f"/v1/result/{job_id}/output"), 200, "x\ny\nz")


def test_agent(api, db, queue):
    """Fields that are not sent stay; of the log, the newest 100 lines."""
    fields = {"state": "waiting", "queues": ["a", queue], "location": "", "comment": "c"}
    api.agent(queue, **fields)
    document = db.agents.find_one({"name": queue})
    first = document.pop("updated_at")
    assert recent(first) and isinstance(document.pop("_id"), bson.ObjectId)
    assert len(document.pop("requests")) == 1  # ours: finds repeats
    assert document == {"name": queue, "log": [], **fields}
    api.agent(queue, job_id="j", log=["x", "y"])
    api.agent(queue, state="offline", log=[str(i) for i in range(99)])
    document = db.agents.find_one({"name": queue}, {"_id": 0, "requests": 0})
    assert document.pop("updated_at") >= first
    assert document == {**fields, "name": queue, "state": "offline", "job_id": "j",
                        "log": ["y", *map(str, range(99))]}
    api.agent(queue, log=[str(i) for i in range(250)])
    assert db.agents.find_one({"name": queue})["log"] == [str(i) for i in range(150, 250)]
    assert db.agents.count_documents({"name": queue}) == 1


@pytest.mark.parametrize("path, name", [
    ("a%20b", "a b"), ("a%2Fb", "a/b"), ("caf%C3%A9", "caf\u00e9"), ("a%FFb", "a\ufffdb"), ("%24x.y", "$x.y"),
    ("a+b", "a+b"), ("a%2525", "a%25"),
])
def test_names_of_agents(api, db, queue, path, name):
    api.agent(f"{queue}{path}", state="x")
    assert db.agents.find_one({"name": queue + name})["state"] == "x"


def test_agent_of_another_server(api, db, queue):
    db.agents.insert_one({"name": queue, "updated_at": now(), "log": ["a"], "provision_streak_count": 3,
                          "foreign": {"x": 1}})
    api.agent(queue, state="waiting", log=["b"])
    document = db.agents.find_one({"name": queue}, {"_id": 0, "updated_at": 0, "requests": 0})
    assert document == {"name": queue, "log": ["a", "b"], "provision_streak_count": 3,
                        "foreign": {"x": 1}, "state": "waiting"}


# Jobs of other servers

def insert_job(db, queue, job_id=None, data=None, result=None, **fields):
    document = {"created_at": now(), "result_data": {"job_state": "waiting"} if result is None else result,
                "job_priority": 0, "job_id": job_id or new_id(),
                "job_data": {"job_queue": queue, **(data or {})}, **fields}
    db.jobs.insert_one(document)
    return document["job_id"]


def test_job_of_the_older_release(api, db, queue):
    """No exclude_agents, provision data that no variant accepts now, results stored flat."""
    data = {"name": "old", "provision_data": {"zapper_x": 1, "type": "y"}, "global_timeout": 5.0}
    job_id = insert_job(db, queue, data=data)
    cookie = api.agent(f"{queue}-agent", queues=[queue]).headers["Set-Cookie"].split(";")[0]
    assert api.get(f"/v1/job/{job_id}").json() == {"job_id": job_id, "job_queue": queue, **data}
    expect(api.get(f"/v1/job/{job_id}/position"), 200, "0")
    job = expect(api.claim(queue, cookie=cookie), 200).json()
    assert job["provision_data"] == data["provision_data"]
    db.jobs.update_one({"job_id": job_id}, {"$set": {
        "result_data": {"job_state": "complete", "setup_status": 1.0, "setup_output": "o",
                        "test_serial": "s"}}})
    assert api.get(f"/v1/result/{job_id}").json() == {
        "setup_status": 1, "setup_output": "o", "test_serial": "s", "job_state": "complete"}


def test_claims_at_one_time(api, db, queue):
    """Jobs with and without what the server adds; each goes to one claim, with what belongs to it."""
    jobs = [api.submit(queue, name=f"j{i}") if i % 3 else
            insert_job(db, queue, data={"name": f"j{i}", "x": {"$c": None, "a.b": 1}}, attempts=[],
                       **({"_id": f"key {i}", "created_at": None} if i % 2 else {})) for i in range(32)]
    with ThreadPoolExecutor(16) as pool:
        claimed = list(pool.map(lambda i: api.claim(queue, cookie=f"agent_name={queue}-{i}").json(), range(32)))
    assert {c["job_id"]: c["name"] for c in claimed} == {job: f"j{i}" for i, job in enumerate(jobs)}
    expect_none(api.claim(queue))
    for agent, claim in enumerate(claimed):
        job = db.jobs.find_one({"job_id": claim["job_id"]})
        assert job["claim"]["owner"] == f"{queue}-{agent}" and job["lease"] > now()
        assert job["history"][-1]["state"] == "running" and recent(job["started_at"])
        assert [a for a in job["job_data"].get("x", {})] in ([], ["$c", "a.b"])


def test_spelling_of_ids_is_free(api, db, queue):
    for job_id in [new_id().upper(), "{%s}" % new_id(), new_id().replace("-", "")]:
        assert insert_job(db, queue, job_id) == api.claimed(queue) == job_id
        api.set_state(job_id, "complete")
        assert api.state(job_id) == "complete"


def test_numbers_of_any_width(api, db, queue):
    ids = [insert_job(db, queue, job_priority=p)
           for p in (1, bson.Int64(3), 2.0, bson.Int64(-1), 0)]
    assert [api.claimed(queue) for _ in ids] == [ids[i] for i in (1, 2, 0, 4, 3)]


def test_result_without_anything(api, db, queue):
    job_id = insert_job(db, queue, result={})
    expect_none(api.get(f"/v1/result/{job_id}"))
    db.jobs.delete_one({"job_id": job_id})  # lists of other tests would show it without a state


def test_two_documents_of_one_id(api, db, queue):
    """Older servers stored a resubmission as a second document: the newest counts."""
    old = now() - datetime.timedelta(hours=1)
    job_id = insert_job(db, queue, data={"name": "old"}, result={"job_state": "complete"}, created_at=old)
    insert_job(db, queue, job_id, data={"name": "new"})
    assert api.get(f"/v1/job/{job_id}").json()["name"] == "new"
    expect(api.get(f"/v1/job/{job_id}/position"), 200, "0")
    assert api.claim(queue).json()["name"] == "new"
    assert api.state(job_id) == "running"
    api.set_state(job_id, "test")
    assert api.state(job_id) == "test"
    expect(api.post(f"/v1/job/{job_id}/action", {"action": "cancel"}), 200, "OK")
    states = [d["result_data"]["job_state"] for d in db.jobs.find({"job_id": job_id}).sort("created_at")]
    assert states == ["complete", "cancelled"]


@pytest.mark.slow
def test_only_the_job_without_room_is_cancelled(private, queue):
    """Two workers meet a job without room for a claim: the second one looks for it when the first
    one has ended it, and must leave the next job alone."""
    mongod = Mongod("--setParameter", "enableTestCommands=1")
    try:
        api = Api(private(store=mongod.uri("test")).url)
        job_id = api.submit(queue)
        mongod.client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data={
            "failCommands": ["findAndModify"], "errorCode": 17419})
        assert api.claimed(queue) == job_id
        assert api.state(job_id) == "running"
    finally:
        mongod.remove()


@pytest.mark.parametrize("status, handed_out", [("waiting", False), ("complete", True), (None, True)])
def test_attachments_status(api, db, queue, status, handed_out):
    insert_job(db, queue, data={"attachments_status": status} if status else {})
    assert api.claim(queue).status_code == (200 if handed_out else 204)


# Databases

REFERENCE_INDEXES = [
    ("jobs", [("created_at", 1)], {"expireAfterSeconds": 604800}), ("jobs", [("job_id", 1)], {}),
    ("jobs", [("result_data.job_state", 1), ("job_data.job_queue", 1)], {}),
    ("logs", [("updated_at", 1)], {"expireAfterSeconds": 604800}),
    ("logs", [("job_id", 1), ("log_type", 1), ("phase", 1), ("fragment_number", 1)], {}),
    ("output", [("updated_at", 1)], {"expireAfterSeconds": 14400}),
    ("agents", [("updated_at", 1)], {"expireAfterSeconds": 604800}),
    ("agents", [("name", 1)], {"unique": True}),
    ("queues", [("updated_at", 1)], {"expireAfterSeconds": 604800}),
    ("fs.files", [("uploadDate", 1)], {"expireAfterSeconds": 604800}),
    ("client_permissions", [("client_id", 1)], {"unique": True}),
    ("client_permissions", [("sub", 1)], {"sparse": True}),
    ("client_permissions", [("last_login", 1)],
     {"expireAfterSeconds": 7776000, "partialFilterExpression": {"sub": {"$exists": True}}}),
    ("refresh_tokens", [("refresh_token", 1)], {"unique": True}),
    ("refresh_tokens", [("client_id", 1)], {}),
    ("refresh_tokens", [("last_accessed", 1)], {"expireAfterSeconds": 7776000}),
]
EXPIRING = {"client_permissions", "refresh_tokens", "login_failures"}  # nothing of jobs


def indexes(db):
    """{(collection, key): options} of all indexes but those of _id."""
    found = {}
    for name in db.list_collection_names():
        for index, spec in db[name].index_information().items():
            key, options = tuple(map(tuple, spec.pop("key"))), {k: v for k, v in spec.items() if k != "v"}
            if index != "_id_":
                found[name, key] = options
    return found


def use(stack, queue):
    """The way of one job."""
    api = Api(stack.url)
    api.agent(f"{queue}-agent", queues=[queue], log=["x"])
    job_id = api.submit(queue, job_id=new_id())
    api.submit(queue, job_id=job_id)
    assert api.claimed(queue) == job_id
    expect(api.post_body(f"/v1/result/{job_id}/output", b"x", None), 200)
    expect(api.get(f"/v1/result/{job_id}/output"), 200, "x")
    api.set_state(job_id, "complete")
    assert api.state(job_id) == "complete"


@pytest.mark.slow
def test_database_of_the_reference(private, store_uri, queue):
    """Its indexes are in place; a start neither fails nor changes them."""
    uri = store_uri()
    db = pymongo.MongoClient(uri).get_default_database()
    for collection, key, options in REFERENCE_INDEXES:
        db[collection].create_index(key, **options)
    before = indexes(db)
    use(private(store=uri), queue)
    after = indexes(db)
    assert {key: after[key] for key in before} == before


def test_database_with_doubles(private, store_uri, queue):
    """A start succeeds although older servers left names that are not unique."""
    uri = store_uri()
    db = pymongo.MongoClient(uri).get_default_database()
    job_id = new_id()
    for _ in range(2):
        insert_job(db, "other", job_id)
        db.agents.insert_one({"name": "twice", "updated_at": now(), "log": []})
        db.output.insert_one({"job_id": job_id, "output": ["x"], "updated_at": now()})
        db.queue_wait_times.insert_one({"name": queue, "wait_times": []})
    use(private(store=uri), queue)


def test_indexes_of_earlier_versions_are_removed(private, store_uri, queue):
    """Those that a version before made, and none that has their name or their keys."""
    uri = store_uri()
    db = pymongo.MongoClient(uri).get_default_database()
    for collection in (db.output, db.serial_output):
        collection.create_index([("job_id", 1), ("_id", 1)])
    db.logs.create_index([("job_id", 1), ("fragment_number", 1)], name="testflinger_unread")
    db.jobs.create_index([("job_id", 1), ("_id", 1)], name="theirs")
    stack = private(store=uri)
    use(stack, queue)
    assert "job_id_1__id_1" not in db.output.index_information()
    assert "job_id_1__id_1" not in db.serial_output.index_information()
    assert "testflinger_unread" in db.logs.index_information()
    assert "theirs" in db.jobs.index_information()
    assert "index theirs of collection jobs is used by no query" in stack.log()
    db.logs.drop_index("testflinger_unread")
    db.logs.create_index([("job_id", 1), ("log_type", 1), ("fragment_number", 1)], name="testflinger_unread")
    use(private(store=uri), queue)
    assert "testflinger_unread" not in db.logs.index_information()


def test_indexes_of_a_new_database(private, queue):
    """No index conflicts with the reference's; the database expires nothing of jobs but what was read of
    live output."""
    stack = private()
    use(stack, queue)
    db = storage_of(stack).db
    expiring = {(name, str(key)) for (name, key), options in indexes(db).items()
                if name not in EXPIRING and "expireAfterSeconds" in options}
    assert {name for name, _ in expiring} == {"output", "serial_output"} and len(expiring) == 2
    assert all("taken_at" in key for _, key in expiring)
    for hot in [{"result_data.job_state": "waiting", "job_data.job_queue": queue}, {"job_id": "x"}]:
        plan = db.jobs.find(hot).explain()["queryPlanner"]["winningPlan"]
        assert "COLLSCAN" not in str(plan)
    for collection, key, options in REFERENCE_INDEXES:
        db[collection].create_index(key, **options)
