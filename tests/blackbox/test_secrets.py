"""Secrets of jobs: stored by clients, checked at the submission, given to the agent with its job."""

import base64
import concurrent.futures
import datetime
import re
import secrets as random_secrets
import socket
import struct
import time
import uuid
from pathlib import Path

import pymongo
import pytest
from bson import ObjectId
from bson.binary import STANDARD, Binary
from bson.codec_options import CodecOptions
from pymongo.encryption import Algorithm, ClientEncryption

import auth
from client import Api, Raw, expect, invalid, message, new_id
from mongo import Mongod
from stack import Stack, secret, wait_until
from storage import storage_of
from test_claim_delivery import WATCHED, answered, insist

ENV = {**auth.ENV, **auth.SECRETS}
OTHER_KEY = secret(base64.b64encode(bytes(range(7, 103))).decode())
NO_STORE = message("No secrets store")
NO_CLIENT = message("Missing client ID (user not authenticated)")
LOGIN = message("A login (known client_id) is required to securely store information.")
AGENT = auth.as_role("agent")


def missing(paths):
    return message(f"Inaccessible secret paths: {paths}")


class Client:
    """A client of a server, with its own secrets."""

    def __init__(self, stack, client_id=None):
        self.api, self.id = Api(stack.url), client_id or f"c-{new_id()}"
        storage_of(stack).add_client(self.id, role="contributor")
        self.headers = auth.as_role("contributor", self.id)

    def request(self, method, path, **options):
        return self.api.request(method, path, headers=self.headers, **options)

    def put(self, path, value="v", status=200, body=None, **fields):
        return expect(self.request("PUT", f"/v1/secrets/{self.id}/{path}", json={"value": value, **fields}),
                      status, body)

    def delete(self, path):
        expect(self.request("DELETE", f"/v1/secrets/{self.id}/{path}"), 200, "OK")

    def post(self, queue, secrets, status=200, body=None, **headers):
        return expect(self.api.post("/v1/job", {"job_queue": queue, "test_data": {"test_cmds": "x", "secrets": secrets}},
                                    headers={**self.headers, **headers}), status, body)

    def submit(self, queue, secrets):
        return self.post(queue, secrets).json()["job_id"]

    def claim(self, queue):
        """The secrets that the next job of the queue comes with."""
        return claimed(self.api, queue)["test_data"].get("secrets")


def claimed(api, queue, agent="a"):
    return expect(api.get("/v1/job", params={"queue": queue},
                          headers={**AGENT, "Cookie": f"agent_name={agent}"}), 200).json()


@pytest.fixture(scope="module")
def safe(store_uri):
    with Stack(store_uri(keep=True), "--auth", "roles", "--log-limit", 0, env=ENV) as stack:
        yield stack


@pytest.fixture
def ann(safe):
    return Client(safe)


def value():
    """One that stands nowhere else."""
    return secret(f"value-{random_secrets.token_hex(12)}")


def test_put_and_delete(ann):
    year = ann.put("a/b", value()).json()["expires_at"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", year)
    left = datetime.datetime.fromisoformat(year) - datetime.datetime.now(datetime.timezone.utc)
    assert 364 < left.total_seconds() / 86400 < 366
    for fields in ({"expire_after": None}, {"ephemeral": True}, {"ephemeral": True, "expire_after": None}):
        ann.put("a/b", body={"expires_at": None}, **fields)
    for seconds in (60, "60", 60.9):
        assert ann.put("a/b", expire_after=seconds).json()["expires_at"] < year
    ann.put("a/b", value="é\n" * 64_000, status=422,
            body=invalid({"value": ["Longer than maximum length 128000."]}))
    ann.put("a/b", value="x" * 128_000)
    ann.put("a%2Fc")
    ann.post(new_id(), {"K": "a/c"})
    ann.delete("a/b")
    ann.delete("a/b")
    ann.post(new_id(), {"K": "a/b"}, 422, missing("a/b"))


def test_faults(ann, safe, roles_server):
    path = f"/v1/secrets/{ann.id}/a"
    greater = "Must be greater than or equal to 1."
    for body, errors in (
            ({"zz": 1}, {"value": ["Missing data for required field."], "zz": ["Unknown field."]}),
            ({"value": "", "expire_after": 0, "ephemeral": None},
             {"value": ["Shorter than minimum length 1."], "expire_after": [greater],
              "ephemeral": ["Field may not be null."]}),
            ({"value": "v", "expire_after": 3155760001},
             {"expire_after": ["Must be less than or equal to 3155760000."]}),
            ({"value": "a\0b"}, {"value": ["Must not hold a NUL character."]}),
            ({"value": "v", "ephemeral": True, "expire_after": 60},
             {"_schema": ["Provide either 'ephemeral' or 'expire_after', not both."]})):
        expect(ann.request("PUT", path, json=body), 422, invalid(errors))
    expect(ann.api.request("PUT", path, data="{", headers={**ann.headers, "Content-Type": "application/json"}), 400)
    for bad in ("a//b", "a/", "a.b", "a%20b", "%C3%A9", "a%00", "x" * 513):
        answer = expect(ann.request("PUT", f"/v1/secrets/{ann.id}/{bad}", json={"value": "v"}), 422)
        assert answer.json()["message"].startswith("Invalid value '")
        assert "not a valid path. \nPaths must only contain alphanumeric" in answer.json()["message"]
    answer = expect(ann.request("PUT", f"/v1/secrets/{ann.id}//a", json={"value": "v"}), 308)
    assert answer.headers["Location"] == path
    for nothing in (f"/v1/secrets/{ann.id}", f"/v1/secrets/{ann.id}/"):
        expect(ann.request("PUT", nothing, json={"value": "v"}), 404)
    for method in ("GET", "POST"):
        assert expect(ann.request(method, path), 405).headers["Allow"] == "OPTIONS, PUT, DELETE"
    body = {"json": {"value": "v"}}
    for method in ("PUT", "DELETE"):
        expect(ann.request(method, "/v1/secrets/bob/a%20b", **body), 403,
               message("'bob' doesn't match authenticated client id"))
        expect(ann.api.request(method, path, **body), 401, LOGIN)
        expect(ann.api.request(method, path, headers=AGENT, **body), 403)
        expect(Api(roles_server.url).request(method, path, headers=auth.as_role("admin"), **body), 400, NO_STORE)
    wait_until(lambda: f"authz_fail:{ann.id},/v1/secrets/bob/a" in safe.log(), "the refusal is in the security log")


def test_submission(ann, queue, roles_server):
    ann.put("b/c")
    ann.post(queue, {"K": "none/such", "L": "also", "M": "b/c", "N": "also"}, 422, missing("also, also, none/such"))
    for secrets in ({"K": "b/c"}, {}):
        expect(ann.api.post("/v1/job", {"job_queue": queue, "test_data": {"secrets": secrets}}), 422, NO_CLIENT)
        expect(Api(roles_server.url).post("/v1/job", {"job_queue": queue, "test_data": {"secrets": secrets}},
                                          headers=auth.as_role("admin")), 422, NO_STORE)
    ann.post(queue, {"K-1": "b c"}, 422)
    ann.post(queue, {f"K{i}": "b/c" for i in range(101)}, 422)
    job = ann.submit(queue, {"K": "b/c"})
    assert expect(ann.request("GET", f"/v1/job/{job}"), 200).json()["test_data"]["secrets"] == {"K": "b/c"}
    assert "client_id" not in ann.request("GET", f"/v1/job/{job}").json()
    ann.submit(queue, {})
    assert ann.claim(queue) == {"K": "v"} and ann.claim(queue) is None
    ann.put("short", expire_after=1)
    wait_until(lambda: ann.api.post("/v1/job", {"job_queue": queue, "test_data": {"secrets": {"K": "short"}}},
                                    headers=ann.headers).status_code == 422, "it has expired")


def test_claim(ann, safe, queue):
    """Values of the client alone; single use once, of two names the first; a changed value is the new one."""
    one, once, new = value(), value(), value()
    other = Client(safe)
    other.put("one", "not this one")
    ann.put("one", one)
    ann.put("once", once, ephemeral=True)
    ann.put("gone")
    job = ann.submit(queue, {"ONE": "one", "ONE2": "one", "EPH": "once", "EPH2": "once", "GONE": "gone"})
    ann.submit(queue, {"ONE": "one", "EPH": "once"})
    ann.delete("gone")
    got = claimed(ann.api, queue)
    assert got["job_id"] == job and got["client_id"] == ann.id
    assert list(got["test_data"]["secrets"].items()) == [
        ("ONE", one), ("ONE2", one), ("EPH", once), ("EPH2", ""), ("GONE", "")]
    ann.post(queue, {"EPH": "once"}, 422, missing("once"))
    ann.put("one", new)
    assert ann.claim(queue) == {"ONE": new, "EPH": ""}
    wait_until(lambda: f"sensitive_read:{ann.id},once" in safe.log(), "the read is in the security log")
    entries = expect(ann.api.get(f"/v1/audit?target={ann.id}&action=secret.read", headers=auth.as_role("admin")), 200)
    assert entries.json()[-1]["detail"] == {"job_id": job, "agent": "a", "paths": ["one", "one", "once"]}


def test_in_bundles_and_held_polls(ann, queue):
    """Claims that wait, and several at once: each job comes with its own."""
    values = {f"p{i}": value() for i in range(8)}
    for path, v in values.items():
        ann.put(path, v)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        polls = [pool.submit(ann.api.get, "/v1/job", params={"queue": queue, "wait": 20},
                             headers={**AGENT, "Cookie": f"agent_name=b{i}"}) for i in range(8)]
        for path in values:
            ann.submit(queue, {path: path})
        got = [expect(p.result(), 200).json()["test_data"]["secrets"] for p in polls]
    assert {k: v for one in got for k, v in one.items()} == values


def test_a_submission_that_is_sent_again(ann, queue):
    """It is answered as the first, although the secret is used up; another one of the key is refused."""
    key, other = ({"Idempotency-Key": new_id()} for _ in range(2))
    ann.put("once", ephemeral=True)
    job = ann.post(queue, {"K": "once"}, **key).json()["job_id"]
    assert ann.claim(queue) == {"K": "v"}
    for _ in range(2):
        assert ann.post(queue, {"K": "once"}, **key).json()["job_id"] == job
        ann.post(queue, {"K": "once"}, 422, missing("once"), **other)
    ann.put("once", ephemeral=True)
    assert ann.post(queue, {"K": "once"}, **other).json()["job_id"] != job
    assert ann.claim(queue) == {"K": "v"}


def test_a_new_attempt_does_not_get_a_secret_again(ann, queue):
    """A job of the client's own id is repeated by its key alone: by a new key it would get the used secret once more."""
    ann.put("once", "first", ephemeral=True)
    job, key = str(uuid.uuid4()), {"Idempotency-Key": new_id()}
    body = {"job_id": job, "job_queue": queue, "test_data": {"test_cmds": "x", "secrets": {"K": "once"}}}

    def post(status, body_out=None, **headers):
        expect(ann.api.post("/v1/job", body, headers={**ann.headers, **headers}), status, body_out)

    post(200, {"job_id": job}, **key)
    answer = ann.api.get("/v1/job", params={"queue": queue}, headers={**AGENT, "Cookie": "agent_name=a"})
    assert expect(answer, 200).json()["test_data"]["secrets"] == {"K": "first"}
    assert answer.headers["Cache-Control"] == "no-store"
    post(200, {"job_id": job}, **key)
    post(422, missing("once"), **{"Idempotency-Key": new_id()})
    expect(ann.api.get("/v1/job", params={"queue": queue}, headers={**AGENT, "Cookie": "agent_name=a"}), 204)
    ann.put("once", "second", ephemeral=True)
    post(200, {"job_id": job}, **{"Idempotency-Key": new_id()})
    assert ann.claim(queue) == {"K": "second"}


def test_values_of_more_than_a_mebibyte(ann, queue):
    """Those beyond it are missing, and one of single use stays for another job."""
    large = "x" * 128_000
    ann.put("large", large)
    ann.put("once", large, ephemeral=True)
    names = [f"K{i}" for i in range(8)]
    for secrets in ({**dict.fromkeys(names, "large"), "O": "once"}, {"O": "once"}):
        ann.submit(queue, secrets)
    assert ann.claim(queue) == {**dict.fromkeys(names, large), "O": ""}
    assert ann.claim(queue) == {"O": large}


def test_a_put_during_a_claim(ann, queue):
    """The new value is not used up by the job that got the old one."""
    def race(i):
        path, first, second = f"p{i}", f"{queue}-{i}-a", f"{queue}-{i}-b"
        ann.put(path, "old", ephemeral=True)
        ann.submit(first, {"K": path})
        ann.submit(second, {"K": path})
        with concurrent.futures.ThreadPoolExecutor(2) as pair:
            got = pair.submit(ann.claim, first)
            pair.submit(ann.put, path, "new", ephemeral=True).result()
        return got.result()["K"], ann.claim(second)["K"]

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        got = set(pool.map(race, range(40)))
    assert got <= {("old", "new"), ("new", "")}


@pytest.mark.slow
def test_two_jobs_claim_one_single_use_secret(ann, queue):
    """100 pairs of simultaneous claims: one value each."""
    pairs = range(100)

    def make(i):
        ann.put(f"once{i}", f"value {i}", ephemeral=True)
        for _ in range(2):
            ann.submit(f"{queue}-{i}", {"K": f"once{i}"})

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(make, pairs))
        got = list(pool.map(lambda i: (i, claimed(ann.api, f"{queue}-{i}", new_id())["test_data"]["secrets"]["K"]),
                            [i for i in pairs for _ in range(2)]))
    assert sorted(got) == sorted((i, v) for i in pairs for v in ("", f"value {i}"))


@pytest.mark.slow
def test_a_claim_that_does_not_arrive(ann, safe, queue):
    """Its job gets the single-use secret again, nobody else does; once it arrived the secret is removed."""
    def attempt():
        path = f"once-{time.monotonic_ns()}"
        ann.put(path, "only", ephemeral=True)
        ann.submit(f"{queue}-{path}", {"K": path})
        connection = Raw(safe).send((
            f"GET /v1/job?queue={queue}-{path} HTTP/1.1\r\nHost: a\r\nCookie: agent_name=gone\r\n"
            f"Authorization: {AGENT['Authorization']}\r\n\r\n").encode())
        before = answered([connection])
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.file.close()
        connection.socket.close()
        return time.monotonic() - before < WATCHED and path

    path = insist(attempt)
    name = f"{queue}-{path}"
    api = ann.api

    def again():
        answer = api.get("/v1/job", params={"queue": name}, headers={**AGENT, "Cookie": "agent_name=next"})
        return answer.status_code == 200 and answer.json()

    ann.post(queue, {"K": path}, 422, missing(path))
    assert wait_until(again, "the job waits again")["test_data"]["secrets"] == {"K": "only"}
    wait_until(lambda: path not in str({k: v for k, v in storage_of(safe).dump().items() if "secret" in k}),
               "the secret is removed", 60)


def test_a_removed_client_takes_its_secrets_along(safe):
    name = f"who@{new_id()}.org"
    one = Client(safe, name)
    one.put("mine", value())
    expect(one.api.request("DELETE", f"/v1/client-permissions/{name}", headers=auth.as_role("admin")), 200, "OK")
    Client(safe, name).post(new_id(), {"K": "mine"}, 422, missing("mine"))


def test_no_value_is_anywhere(ann, safe, queue):
    """The log is looked at when the server ends."""
    v = value()
    ann.put("hidden/one", v)
    key = {"Idempotency-Key": new_id()}
    job = ann.post(queue, {"K": "hidden/one"}, **key).json()["job_id"]
    assert ann.claim(queue) == {"K": v}
    for path in (f"/jobs/{job}", f"/v1/job/{job}", f"/v1/result/{job}", f"/v1/events/job/{job}", "/v1/audit", "/v1/jobs"):
        assert v not in ann.api.get(path, headers=auth.as_role("admin")).text, path
    assert expect(ann.post(queue, {"K": "hidden/one"}, **key), 200).json()["job_id"] == job
    assert v not in str(storage_of(safe).dump())
    for file in safe.folder.rglob("*"):
        assert not file.is_file() or v.encode() not in file.read_bytes(), file
    for pid in safe.tree():
        assert int(Path(f"/proc/{pid}/coredump_filter").read_text(), 16) == 0, pid


def refused(store, **env):
    """What a server says that does not start, as it must not."""
    stack = Stack(store, env={**auth.ENV, **env})
    stack.launch()
    try:
        assert stack.process.wait(60) == 2, stack.tail()
        return stack.log()
    finally:
        if stack.process.poll() is None:
            stack.kill_all()
        stack.port.release()


def test_settings_that_do_not_fit(store_uri, ann):
    """What is configured is used, or the server does not start. `ann`: a key vault is there, of another key."""
    short = base64.b64encode(b"short").decode()
    for keys in (short, f"{auth.MASTER_KEY},{short}", "no base64!"):
        assert "is not base64 of" in refused(store_uri(), TESTFLINGER_SECRETS_MASTER_KEY=keys)
    assert "keeps secrets in its own store only" in refused(store_uri(), TESTFLINGER_VAULT_URL="http://127.0.0.1:1")


def test_another_key_than_that_of_the_store(safe, ann):
    ann.put("a")
    store = safe.store
    assert "TESTFLINGER_SECRETS_MASTER_KEY" in refused(store, TESTFLINGER_SECRETS_MASTER_KEY=OTHER_KEY)


@pytest.mark.stores("sqlite")
def test_admin_on_sqlite(private):
    """The file beside the database; rotation while the server runs; no command shows a value."""
    first = private("--auth", "roles", env=auth.ENV)
    admin = auth.Admin(first)
    expect(Client(first).request("PUT", "/v1/secrets/x/y", json={"value": "v"}), 400, NO_STORE)
    assert admin.run("secrets", "list").returncode == 2
    admin.good("secrets", "init")
    file = first.folder / "secrets-key"
    assert file.stat().st_mode & 0o777 == 0o600 and admin.run("secrets", "init").returncode == 1
    second = private("--auth", "roles", env=auth.ENV, store=first.store)
    one, v = Client(second), value()
    one.put("a/b", v)
    one.put("c", value(), ephemeral=True)
    shown = admin.json("secrets", "list")
    assert [(s["client_id"], s["path"], s["single_use"], s["readable"]) for s in shown] == [
        (one.id, "a/b", False, True), (one.id, "c", True, True)]
    assert v not in admin.good("secrets", "list") + admin.good("secrets", "check")
    new, old = secret(admin.good("secrets", "make-key").strip()), secret(file.read_text().strip())
    assert len(base64.b64decode(new)) == 96
    file.write_text(f"{new}\n{old}\n")
    assert "1 data keys" in admin.good("secrets", "rotate") and "0 data keys" in admin.good("secrets", "rotate")
    file.write_text(f"{new}\n")
    assert "all of 2 secrets" in admin.good("secrets", "check")
    queue = new_id()
    one.submit(queue, {"K": "a/b"})
    assert one.claim(queue) == {"K": v}
    for pid in second.tree():
        assert int(Path(f"/proc/{pid}/coredump_filter").read_text(), 16) == 0, pid
    file.write_text(f"{old}\n")
    assert admin.run("secrets", "check").returncode == 2
    file.write_text("\n")
    assert "holds no key" in admin.run("secrets", "check").stderr
    file.write_text(f"{new}\n")
    file.chmod(0o644)
    assert "open to other users" in admin.run("secrets", "check").stderr


# ---- MongoDB: what the reference and other tools share ----


def encryption(client, key=auth.MASTER_KEY):
    return ClientEncryption({"local": {"key": base64.b64decode(key)}}, "encryption.__keyVault", client,
                            CodecOptions(uuid_representation=STANDARD))


@pytest.mark.stores("mongodb")
def test_pymongo_reads_and_writes_them(safe, queue):
    """Documents of the reference's form, both ways."""
    one = Client(safe, f"a.b@{new_id()}$")
    db = storage_of(safe).db
    docs = db["secrets." + one.id.replace("@", "_at_").replace(".", "_dot_").replace("$", "_dollar_")]
    v, w = value(), value()
    one.put("ours", v, expire_after=60)
    one.put("never", v, expire_after=None)
    document = docs.find_one({"key": "ours"})
    assert set(document) == {"_id", "key", "value", "updated_at", "ephemeral", "expire_at", "client_id"}
    assert "expire_at" not in docs.find_one({"key": "never"})
    assert document["value"].subtype == 6 and document["value"][:1] == b"\x02" and document["value"][17] == 5
    assert docs.index_information()["expire_at_1"]["expireAfterSeconds"] == 0
    docs.drop_indexes()
    docs.create_index("expire_at", expireAfterSeconds=60, name="another")
    one.put("ours", v, expire_after=60)
    with pymongo.MongoClient(safe.store) as client, encryption(client) as box:
        assert box.decrypt(document["value"]) == v.encode()
        theirs = box.encrypt(Binary(w.encode()), Algorithm.AEAD_AES_256_CBC_HMAC_SHA_512_Random,
                             key_alt_name="testflinger-secrets")
        text = box.encrypt("a text inside", Algorithm.AEAD_AES_256_CBC_HMAC_SHA_512_Random,
                           key_alt_name="testflinger-secrets")
    now = datetime.datetime.now(datetime.timezone.utc)
    plain = {"updated_at": now, "ephemeral": False}
    docs.replace_one({"key": "theirs"}, {"key": "theirs", "value": theirs, **plain}, upsert=True)
    docs.insert_many([
        {"key": "once", "value": theirs, **plain, "ephemeral": True},
        {"key": "text", "value": text, **plain}, {"key": "broken", "value": "no ciphertext", **plain},
        {"key": "old", "value": theirs, **plain, "expire_at": now - datetime.timedelta(seconds=1)},
        {"key": "foreign", "value": theirs, **plain, "client_id": "another"}])
    one.post(queue, {"K": "old", "L": "foreign"}, 422, missing("foreign, old"))
    one.put("foreign", status=400, body=message(f"Unable to access 'foreign' under '{one.id}'"))
    one.submit(queue, {name.upper(): name for name in ("theirs", "once", "text", "broken", "ours")})
    assert one.claim(queue) == {"THEIRS": w, "ONCE": w, "TEXT": "", "BROKEN": "", "OURS": v}
    assert docs.find_one({"key": "once"}) is None


@pytest.mark.stores("mongodb")
def test_two_documents_of_one_path(safe, queue):
    """As two first PUTs at the same time can leave them: the newer one is used, once."""
    one = Client(safe, f"c{new_id()}")
    docs = storage_of(safe).db[f"secrets.{one.id}"]
    one.put("once", "v", ephemeral=True)
    document = docs.find_one({"key": "once"})
    docs.insert_one({**document, "_id": ObjectId(), "updated_at": document["updated_at"] - datetime.timedelta(seconds=9)})
    for _ in range(2):
        one.submit(queue, {"K": "once"})
    assert [one.claim(queue), one.claim(queue)] == [{"K": "v"}, {"K": ""}]


@pytest.mark.stores("mongodb")
def test_a_job_whose_secrets_cannot_be_read(ann, safe, queue):
    """Its client's collection fails: it is handed out without them, and holds up no other job."""
    db, name, other = storage_of(safe).db, f"secrets.{ann.id}", Client(safe)
    other.put("a")
    ann.put("a")
    jobs = [ann.submit(queue, {"A": "a"}), other.submit(queue, {"A": "a"})]
    db.drop_collection(name)
    db.command("create", name, viewOn="jobs", pipeline=[{"$project": {"key": {"$divide": ["$created_at", 0]}}}])
    try:
        got = [claimed(ann.api, queue) for _ in jobs]
    finally:
        db.drop_collection(name)
    assert [one["job_id"] for one in got] == jobs
    assert [one["test_data"]["secrets"] for one in got] == [{"A": ""}, {"A": "v"}]


@pytest.mark.stores("mongodb")
def test_jobs_that_wait_do_not_hold_up_the_sweep(ann, safe, queue):
    """A full batch of open jobs, then one that is gone: its secrets are removed."""
    db = storage_of(safe).db
    ago = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = list(pool.map(lambda _: ann.api.submit(queue), range(100)))
    note = {"client_id": ann.id, "at": ago}
    gone = new_id()
    db.secret_claims.insert_many([{**note, "_id": job} for job in jobs]
                                 + [{**note, "_id": gone, "at": ago + datetime.timedelta(minutes=1)}])
    wait_until(lambda: not db.secret_claims.find_one({"_id": gone}), "the note is gone", 60)
    assert db.secret_claims.delete_many({"_id": {"$in": jobs}}).deleted_count == 100


@pytest.mark.slow
@pytest.mark.stores("mongodb")
def test_a_key_vault_of_its_own(store_uri, private, queue):
    """Away: jobs with secrets wait and others do not; then rotation under a server with both keys."""
    vault, uri = Mongod(), store_uri()
    env = {**auth.ENV, "TESTFLINGER_KEY_VAULT_URI": f"mongodb://{vault.address}/",
           "TESTFLINGER_SECRETS_MASTER_KEY": f"{OTHER_KEY},{auth.MASTER_KEY}"}
    old = {**env, "TESTFLINGER_SECRETS_MASTER_KEY": auth.MASTER_KEY}
    try:
        with Stack(uri, "--auth", "roles", env=old) as stack:
            one, v = Client(stack), value()
            one.put("a", v)
            one.put("once", v, ephemeral=True)
            job = one.submit(queue, {"A": "a", "B": "once"})
            plain = one.api.submit(queue)
        vault.kill()
        with Stack(uri, "--auth", "roles", env={**env, "TESTFLINGER_STORE_TIMEOUT": "1000"}) as stack:
            one.api = Api(stack.url)
            assert claimed(one.api, queue)["job_id"] == plain
            expect(one.api.get("/v1/job", params={"queue": queue}, headers={**AGENT, "Cookie": "agent_name=b"}), 204)
            expect(one.request("PUT", f"/v1/secrets/{one.id}/a", json={"value": "v"}), 503)
            expect(one.api.get(f"/v1/result/{job}"), 200)
            assert one.api.state(job) == "waiting"
            vault.start()
            got = wait_until(lambda: one.api.get("/v1/job", params={"queue": queue}, headers={
                **AGENT, "Cookie": "agent_name=c"}).text, "the job is handed out")
            assert got.count(v) == 2 and job in got
            admin = auth.Admin(stack)
            assert "1 data keys" in admin.good("secrets", "rotate", **env)
            assert "0 data keys" in admin.good("secrets", "rotate", **env)
            new = {**env, "TESTFLINGER_SECRETS_MASTER_KEY": OTHER_KEY}
            assert "the keys open all" in admin.good("secrets", "check", **new)
            assert admin.run("secrets", "check", **old).returncode == 2
            with encryption(vault.client, OTHER_KEY) as box:
                docs = storage_of(stack).db[f"secrets.{one.id}"]
                assert box.decrypt(docs.find_one({"key": "a"})["value"]) == v.encode()
            one.put("b", v)
            one.submit(queue, {"A": "a", "B": "b"})
            assert one.claim(queue) == {"A": v, "B": v}
    finally:
        vault.remove()
