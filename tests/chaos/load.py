"""The load: submitters and agents over plain HTTP connections. Each keeps a journal of what it was
told, which account.py compares with what the server has in the end."""

import http.client
import json
import random
import threading
import time

BROKEN = (OSError, http.client.HTTPException)
TRIES_SECONDS = 60  # an agent's call that must succeed is tried for so long
PAUSE_SECONDS = 0.1
PHASES = ("setup", "provision", "test")


class Fault(Exception):
    """An answer that the server must never give."""


class Client:
    """One keep-alive connection, made anew when it breaks."""

    def __init__(self, port, cookie=None):
        self.port, self.cookie = port, cookie
        self.connection = None
        self.counts = {}   # answers by status; "broken": connections that broke
        self.slowest = 0.0

    def call(self, method, path, body=None, text=None):
        """(status, body); None: the connection broke, the request may have been carried out."""
        headers = {"Cookie": self.cookie} if self.cookie else {}
        if body is not None:
            text, headers["Content-Type"] = json.dumps(body), "application/json"
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
        except BROKEN:
            self.close()
            answer = None
        key = answer[0] if answer else "broken"
        self.counts[key] = self.counts.get(key, 0) + 1
        self.slowest = max(self.slowest, time.monotonic() - started)
        if answer and (answer[0] == 500 or 400 <= answer[0] < 500):
            raise Fault(f"{method} {path}: {answer[0]} {answer[1][:300]!r}")
        return answer

    def until_done(self, method, path, body=None, text=None):
        """Repeats a call as agents do until it succeeds; returns how often it was sent."""
        end = time.monotonic() + TRIES_SECONDS
        tries = 0
        while True:
            tries += 1
            answer = self.call(method, path, body, text)
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
        self.complete = False


class Agent(threading.Thread):
    """Claims jobs and runs them: states, output, results. `received`: {id: Received}."""

    def __init__(self, number, port, queues, over):
        super().__init__(daemon=True)
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
        self.post_result(job_id, seen, "job_state", "complete")
        seen.complete = True
        return True

    def post_result(self, job_id, seen, name, value):
        seen.results[name] = value
        self.client.until_done("POST", f"/v1/result/{job_id}", {name: value})

    def post_line(self, job_id, seen, line):
        seen.lines[line] = self.client.until_done("POST", f"/v1/result/{job_id}/output", text=line)
