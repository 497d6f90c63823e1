"""The load: submitters and agents over plain HTTP connections. Each keeps a journal of what it was
told, which account.py compares with what the server has in the end."""

import http.client
import json
import os
import random
import threading
import time

BROKEN = (OSError, http.client.HTTPException)
TRIES_SECONDS = 60  # an agent's call that must succeed is tried for so long
PAUSE_SECONDS = 0.1
FILE_EVERY = 5      # jobs of an agent, one of which has an artifact
FILE_MAX = 1_500_000
PHASES = ("setup", "provision", "test")


class Fault(Exception):
    """An answer that the server must never give."""


class Gap:
    """The longest time without any answer (a 5xx is none)."""

    lock, last, most = threading.Lock(), 0.0, 0.0

    @classmethod
    def begin(cls):
        cls.last, cls.most = time.monotonic(), 0.0

    @classmethod
    def answered(cls):
        now = time.monotonic()
        with cls.lock:
            cls.last, cls.most = now, max(cls.most, now - cls.last)

    @classmethod
    def longest(cls):
        return max(cls.most, time.monotonic() - cls.last)


class Client:
    """One keep-alive connection, made anew when it breaks."""

    def __init__(self, port, cookie=None):
        self.port, self.cookie = port, cookie
        self.connection = None
        self.event_id = None  # of the last answer
        self.counts = {}   # answers by status; "broken": connections that broke
        self.slowest = 0.0

    def call(self, method, path, body=None, text=None, content_type=None):
        """(status, body); None: the connection broke, the request may have been carried out."""
        headers = {"Cookie": self.cookie} if self.cookie else {}
        if body is not None:
            text, content_type = json.dumps(body), "application/json"
        if content_type:
            headers["Content-Type"] = content_type
        started = time.monotonic()
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            self.connection.request(method, path, text, headers)
            response = self.connection.getresponse()
            content = response.read()
            if response.will_close:
                self.close()
            answer = response.status, content
            self.event_id = response.headers.get("X-Webhook-Event-Id")
            if answer[0] < 500:
                Gap.answered()
        except BROKEN:
            self.close()
            answer = None
        key = answer[0] if answer else "broken"
        self.counts[key] = self.counts.get(key, 0) + 1
        self.slowest = max(self.slowest, time.monotonic() - started)
        if answer and (answer[0] == 500 or 400 <= answer[0] < 500):
            raise Fault(f"{method} {path}: {answer[0]} {answer[1][:300]!r}")
        return answer

    def until_done(self, method, path, body=None, text=None, content_type=None):
        """Repeats a call as agents do until it succeeds; returns how often it was sent."""
        end = time.monotonic() + TRIES_SECONDS
        tries = 0
        while True:
            tries += 1
            answer = self.call(method, path, body, text, content_type)
            if answer and answer[0] < 300:
                return tries
            if time.monotonic() > end:
                raise Fault(f"{method} {path}: no success within {TRIES_SECONDS} s: {answer}")
            time.sleep(PAUSE_SECONDS)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


class Submitter(threading.Thread):
    """Submits jobs. `acknowledged`: {id: marker}; `unknown`: markers of jobs whose answer was lost."""

    def __init__(self, number, port, queues, over, is_enough):
        super().__init__(daemon=True)
        self.number, self.queues, self.over, self.is_enough = number, queues, over, is_enough
        self.client = Client(port)
        self.acknowledged, self.unknown, self.fault = {}, set(), None

    def run(self):
        try:
            count = 0
            while not self.over.is_set():
                if self.is_enough():
                    time.sleep(0.02)
                    continue
                self.submit(f"job-{self.number}-{count}")
                count += 1
        except Exception as fault:  # told in the account
            self.fault = fault

    def submit(self, marker):
        answer = self.client.call("POST", "/v1/job",
                                  {"job_queue": random.choice(self.queues), "tags": [marker]})
        if answer and answer[0] == 200:
            self.acknowledged[json.loads(answer[1])["job_id"]] = marker
        else:
            self.unknown.add(marker)
            time.sleep(PAUSE_SECONDS)


class Received:
    """What an agent has done with a job: how often each line and result was sent."""

    def __init__(self, agent, marker):
        self.agent, self.marker = agent, marker
        self.lines, self.results = {}, {}
        self.file = None    # the artifact
        self.events = {}    # id of the event: its path at the receiver
        self.complete = False


class Agent(threading.Thread):
    """Claims jobs and runs them: states, output, results. `received`: {id: Received}."""

    def __init__(self, number, port, queues, over, receiver):
        super().__init__(daemon=True)
        self.receiver = receiver  # its URL
        self.name_ = f"chaos-agent-{number}"
        self.queues, self.over = queues, over
        self.client = Client(port, f"agent_name={self.name_}")
        self.received, self.twice, self.lost_answers, self.fault = {}, [], 0, None

    def run(self):
        try:
            self.client.until_done("POST", f"/v1/agents/data/{self.name_}",
                                   {"state": "waiting", "queues": self.queues})
            while not self.over.is_set():
                if not self.one_job():
                    time.sleep(0.02)
        except Exception as fault:  # told in the account
            self.fault = fault

    def claim(self):
        """The claimed job; None: there is none, or the answer was lost."""
        queues = "&".join(f"queue={q}" for q in self.queues)
        answer = self.client.call("GET", f"/v1/job?{queues}")
        if answer is None or answer[0] >= 500:
            self.lost_answers += 1
            time.sleep(PAUSE_SECONDS)
            return None
        return json.loads(answer[1]) if answer[0] == 200 else None

    def one_job(self):
        job = self.claim()
        if not job:
            return False
        job_id = job["job_id"]
        if job_id in self.received:
            self.twice.append(job_id)
            return True
        seen = self.received[job_id] = Received(self.name_, job["tags"][0])
        for phase in PHASES:
            self.post_result(job_id, seen, "job_state", phase)
            self.post_line(job_id, seen, f"{job_id} {phase} line")
        self.post_result(job_id, seen, "test_output", f"output of {job_id}")
        if len(self.received) % FILE_EVERY == 0:
            self.post_file(job_id, seen)
        self.post_event(job_id, seen)
        self.post_result(job_id, seen, "job_state", "complete")
        seen.complete = True
        return True

    def post_result(self, job_id, seen, name, value):
        seen.results[name] = value
        self.client.until_done("POST", f"/v1/result/{job_id}", {name: value})

    def post_line(self, job_id, seen, line):
        seen.lines[line] = self.client.until_done("POST", f"/v1/result/{job_id}/output", text=line)

    def post_file(self, job_id, seen):
        content = os.urandom(random.randrange(FILE_MAX))
        while b"--B" in content:
            content = os.urandom(len(content))
        body = (b'--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + content +
                b"\r\n--B--\r\n")
        self.client.until_done("POST", f"/v1/result/{job_id}/artifact", text=body,
                               content_type="multipart/form-data; boundary=B")
        seen.file = content

    def post_event(self, job_id, seen):
        path = f"/ok/{job_id}"
        self.client.until_done("POST", f"/v1/job/{job_id}/events", {
            "agent_id": self.name_, "job_queue": self.queues[0], "job_status_webhook": self.receiver + path,
            "events": [{"event_name": "chaos", "timestamp": "2024-05-03T19:11:33", "detail": ""}]})
        seen.events[self.client.event_id] = path
