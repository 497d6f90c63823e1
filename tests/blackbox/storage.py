"""Direct access to a server's store, for what no call of the API can do."""

import contextlib
import datetime
import json
import os
import sqlite3

import bson
import pymongo


def now():
    return datetime.datetime.now(datetime.timezone.utc)


# What changes by itself, or with every sign of life: not in a dump.
VOLATILE = {"lease", "lease_ms", "open", "wake", "due_ms", "due_at", "last_accessed", "accessed_ms"}
UNSTABLE = {"sweeps", "login_failures"}


class MongoStorage:
    def dump(self):
        """{name of a collection: its documents}"""
        def steady(value):
            if isinstance(value, dict):
                return {k: steady(v) for k, v in value.items() if k not in VOLATILE}
            return value
        return {name: sorted(repr(steady(document)) for document in self.db[name].find())
                for name in self.db.list_collection_names() if name not in UNSTABLE}

    def __init__(self, uri, **options):
        self.client = pymongo.MongoClient(uri, tz_aware=True, **options)
        self.db = self.client.get_default_database()

    def _set(self, job_id, **fields):
        names = {name.replace("__", "."): value for name, value in fields.items()}
        assert self.db.jobs.update_one({"job_id": job_id}, {"$set": names}).matched_count == 1

    def set_priority(self, job_id, priority):
        self._set(job_id, job_priority=priority)

    def set_age(self, job_id, seconds):
        self._set(job_id, created_at=now() - datetime.timedelta(seconds=seconds))

    def set_created(self, job_id, date):
        self._set(job_id, created_at=date)

    def set_silent(self, agent, seconds):
        """Sets how long ago the agent posted."""
        seen = now() - datetime.timedelta(seconds=seconds)
        assert self.db.agents.update_one({"name": agent}, {"$set": {"updated_at": seen}}).matched_count == 1

    def age_provisionings(self, agent, days):
        """Moves the entries of the agent's provision log back."""
        log = self.db.provision_logs.find_one({"name": agent})["provision_log"]
        for entry in log:
            entry["timestamp"] -= datetime.timedelta(days=days)
        self.db.provision_logs.update_one({"name": agent}, {"$set": {"provision_log": log}})

    def set_ended(self, job_id, seconds):
        """Sets how long ago the job reached its state."""
        self._set(job_id, history=[{"at": now() - datetime.timedelta(seconds=seconds)}])

    def attempts(self, job_id):
        """The results of a job's earlier runs."""
        job = self.db.jobs.find_one({"job_id": job_id})
        return [attempt["result_data"] for attempt in job.get("attempts", [])]

    def attachments_arrived(self, job_id):
        self._set(job_id, job_data__attachments_status="complete")

    def enlarge(self, job_id, character, times):
        self._set(job_id, job_data__name=character * times)

    def fill(self, job_id, size):
        """Enlarges the job's document to so many bytes."""
        self._set(job_id, job_data__name="")
        now = len(bson.encode(self.db.jobs.find_one({"job_id": job_id})))
        self._set(job_id, job_data__name="x" * (size - now))

    def wait_times(self, queue):
        document = self.db.queue_wait_times.find_one({"name": queue})
        return document["wait_times"] if document else []

    def move_pause(self, queue, seconds):
        hold = self.db.holds.find_one({"_id": f"q:{queue}"})
        self.db.holds.update_one({"_id": hold["_id"]}, {"$set": {"at": hold["at"] + datetime.timedelta(seconds=seconds)}})

    def restrict(self, queue):
        self.db.restricted_queues.insert_one({"queue_name": queue})

    def allow(self, client_id, queue):
        self.db.client_permissions.update_one({"client_id": client_id}, {"$set": {"allowed_queues": [queue]}})

    def set_client(self, client_id, **fields):
        assert self.db.client_permissions.update_one({"client_id": client_id}, {"$set": fields}).matched_count == 1

    def open_claim(self, job_id):
        """Makes the job look as if nobody knew whether its agent got it."""
        self._set(job_id, claim__open=True)

    def has_arrived(self, job_id):
        """Whether the server knows that an agent got the job."""
        claim = self.db.jobs.find_one({"job_id": job_id})["claim"]
        return "token" in claim and "open" not in claim

    def age_refreshes(self, seconds):
        """Moves the first use of each refresh token back."""
        self.db.refresh_tokens.update_many({"used_at": {"$type": "date"}}, [
            {"$set": {"used_at": {"$subtract": ["$used_at", seconds * 1000]}}}])

    def make_files_due(self):
        """What is noted of files for later is due now. Gives what tells how much of it is not swept."""
        at = now() - datetime.timedelta(seconds=1)
        self.db.file_drops.update_many({}, {"$set": {"due_at": at}})
        return lambda: self.db.file_drops.count_documents({"due_at": {"$lte": at}})

    def lose_chunk(self, name, n):
        file = self.db.fs.files.find_one({"filename": name})
        assert self.db.fs.chunks.delete_one({"files_id": file["_id"], "n": n}).deleted_count == 1

    def login_keys(self, start):
        return [d["_id"] for d in self.db.login_failures.find() if d["_id"].startswith(start)]

    def move_logins(self, seconds):
        """Moves the end of the stored login failures by so many seconds."""
        for document in self.db.login_failures.find():
            self.db.login_failures.update_one({"_id": document["_id"]}, {"$set": {
                "until": document["until"] + datetime.timedelta(seconds=seconds)}})

    def forget_owner(self, job_id):
        """Makes the job look handed out by a release that did not store the agent."""
        assert self.db.jobs.update_one({"job_id": job_id}, {"$unset": {"claim.owner": 1}}).matched_count == 1

    def refresh_digests(self, client_id):
        return [d["refresh_token"] for d in self.db.refresh_tokens.find({"client_id": client_id})]

    def tokens_end(self, client_id):
        """When the client's only refresh token or session expires, in seconds since 1970."""
        document, = self.db.refresh_tokens.find({"client_id": client_id})
        return document["expires_at"].timestamp()

    def move_tokens_end(self, client_id, seconds):
        for document in self.db.refresh_tokens.find({"client_id": client_id}):
            self.db.refresh_tokens.update_one({"_id": document["_id"]}, {"$set": {
                "expires_at": document["expires_at"] + datetime.timedelta(seconds=seconds)}})

    def expire_tokens(self, client_id):
        self.move_tokens_end(client_id, -10**7)

    def add_client(self, client_id, **fields):
        """Makes a client older than any token, unless one of this id exists."""
        made = bson.ObjectId(f"{631152000:08x}{os.urandom(8).hex()}")  # in 1990
        document = {"_id": made, "client_id": client_id, **fields}
        self.db.client_permissions.update_one({"client_id": client_id}, {"$setOnInsert": document}, upsert=True)


class SqliteStorage:
    """Writes to the file as another process of the server would."""

    def dump(self):
        """{name of a table: its rows}"""
        with contextlib.closing(sqlite3.connect(self.path, timeout=10)) as file:
            def rows(sql):
                return file.execute(sql).fetchall()

            names = [n for n, in rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
            columns = {n: [row[1] for row in rows(f"PRAGMA table_info({n})") if row[1] not in VOLATILE]
                       for n in names if n not in UNSTABLE and not n.startswith("sqlite_")}
            return {n: rows(f"SELECT {', '.join(shown)} FROM {n} ORDER BY 1") for n, shown in columns.items()}

    def __init__(self, path):
        self.path = path

    def _run(self, sql, *values):
        with contextlib.closing(sqlite3.connect(self.path, timeout=10)) as file, file:
            cursor = file.execute(sql, values)
            return cursor.fetchall() if cursor.description else cursor.rowcount

    def _set(self, job_id, field, value):
        assert self._run(f"UPDATE jobs SET {field} = ? WHERE job_id = ?", value, job_id) == 1

    def set_priority(self, job_id, priority):
        self._set(job_id, "priority", priority)

    def set_age(self, job_id, seconds):
        self._set(job_id, "created_us", int((now().timestamp() - seconds) * 1e6))

    def age_provisionings(self, agent, days):
        assert self._run("UPDATE provision_logs SET at_ms = at_ms - ? WHERE agent = ?", days * 86_400_000, agent)

    def set_created(self, job_id, date):
        self._set(job_id, "created_us", int(date.timestamp() * 1e6))

    def set_silent(self, agent, seconds):
        assert self._run("UPDATE agents SET updated_ms = ? WHERE name = ?",
                         int((now().timestamp() - seconds) * 1e3), agent) == 1

    def set_ended(self, job_id, seconds):
        self._run("UPDATE history SET at_ms = ? WHERE job = (SELECT id FROM jobs WHERE job_id = ?)",
                  int((now().timestamp() - seconds) * 1e3), job_id)

    def attempts(self, job_id):
        rows = self._run("SELECT a.state, a.result FROM attempts a JOIN jobs j ON j.id = a.job"
                         " WHERE j.job_id = ? ORDER BY a.id", job_id)
        return [{**json.loads(result or "{}"), "job_state": state} for state, result in rows]

    def attachments_arrived(self, job_id):
        self._set(job_id, "attachments", "complete")

    def enlarge(self, job_id, character, times):
        assert self._run("UPDATE job_data SET data = json_set(data, '$.name', ?)"
                         " WHERE job = (SELECT id FROM jobs WHERE job_id = ?)",
                         character * times, job_id) == 1

    def wait_times(self, queue):
        rows = self._run("SELECT seconds FROM queue_wait_times WHERE queue = ? ORDER BY n", queue)
        return [seconds for seconds, in rows]

    def move_pause(self, queue, seconds):
        assert self._run("UPDATE holds SET at_ms = at_ms + ? WHERE id = ?", seconds * 1000, f"q:{queue}") == 1

    def restrict(self, queue):
        self._run("INSERT INTO restricted_queues (queue_name) VALUES (?)", queue)

    def set_client(self, client_id, **fields):
        for name, value in fields.items():
            assert self._run(f"UPDATE clients SET fields = json_set(fields, '$.{name}', json(?)) WHERE client_id = ?",
                             json.dumps(value), client_id) == 1

    def allow(self, client_id, queue):
        self._run("INSERT INTO client_queues (queue, client_id) VALUES (?, ?)", queue, client_id)

    def open_claim(self, job_id):
        self._set(job_id, "open", 1)

    def has_arrived(self, job_id):
        return self._run("SELECT token IS NOT NULL AND open IS NULL FROM jobs WHERE job_id = ?", job_id) == [(1,)]

    def age_refreshes(self, seconds):
        self._run("UPDATE refresh_tokens SET used_ms = used_ms - ?", seconds * 1000)

    def make_files_due(self):
        at = int(now().timestamp() * 1e3) - 1000
        self._run("UPDATE file_drops SET due_ms = ?", at)
        return lambda: self._run("SELECT count(*) FROM file_drops WHERE due_ms <= ?", at)[0][0]

    def lose_chunk(self, name, n):
        assert self._run("DELETE FROM file_chunks WHERE n = ? AND file = (SELECT id FROM files WHERE name = ?)",
                         n, name) == 1

    def login_keys(self, start):
        return [key for key, in self._run("SELECT key FROM login_failures") if key.startswith(start)]

    def move_logins(self, seconds):
        self._run("UPDATE login_failures SET until_ms = until_ms + ?", seconds * 1000)

    def forget_owner(self, job_id):
        self._set(job_id, "owner", None)

    def refresh_digests(self, client_id):
        return [d for d, in self._run("SELECT digest FROM refresh_tokens WHERE client_id = ?", client_id)]

    def tokens_end(self, client_id):
        """When the client's only refresh token or session expires, in seconds since 1970."""
        (end,), = self._run("SELECT expires_ms FROM refresh_tokens WHERE client_id = ?", client_id)
        return end / 1000

    def move_tokens_end(self, client_id, seconds):
        self._run("UPDATE refresh_tokens SET expires_ms = expires_ms + ? WHERE client_id = ?", seconds * 1000, client_id)

    def expire_tokens(self, client_id):
        self.move_tokens_end(client_id, -10**7)

    def add_client(self, client_id, **fields):
        self._run("INSERT OR IGNORE INTO clients (client_id, fields) VALUES (?, ?)", client_id, json.dumps(fields))


def storage_of(stack):
    scheme, _, path = stack.store.partition(":")
    return MongoStorage(stack.store) if scheme == "mongodb" else SqliteStorage(path)
