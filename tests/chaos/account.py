"""The account at the end: what clients were told against what the server has."""

import json
import time
from collections import Counter

from load import Client

EVENTS_SECONDS = 90  # for those that wait for their next try


class Account:
    """The faults as sentences; none: the server kept every promise."""

    def __init__(self, port, submitters, agents, receiver):
        self.receiver = receiver
        self.client = Client(port)
        self.submitters, self.agents = submitters, agents
        self.faults = []
        self.facts = {}

    def check(self):
        for thread in [*self.submitters, *self.agents]:
            if thread.fault:
                self.faults.append(f"{thread.name}: {thread.fault!r}")
        self.check_jobs()
        self.check_work()
        self.check_events()
        return self.faults

    def check_jobs(self):
        """Every acknowledged job reached one agent, none two; nothing came that nobody sent."""
        acknowledged = {i: m for s in self.submitters for i, m in s.acknowledged.items()}
        unknown = {m for s in self.submitters for m in s.unknown}
        holders = {}
        for agent in self.agents:
            for job_id in agent.received:
                holders.setdefault(job_id, []).append(agent.name_)
            self.faults += [f"{j} was given to {agent.name_} again" for j in agent.twice]
        doubled = [j for j, names in holders.items() if len(names) > 1]
        missing = [j for j in acknowledged if j not in holders]
        markers = Counter(r.marker for a in self.agents for r in a.received.values())
        strange = set(markers) - set(acknowledged.values()) - unknown
        self.faults += [f"{j} was received by {holders[j]}" for j in doubled]
        lost = sum(a.lost_answers for a in self.agents)
        parked = [j for j in missing if self.state(j) == "running"]
        if len(parked) <= lost:  # handed out in an answer that was lost
            missing = [j for j in missing if j not in parked]
        self.faults += [f"{j} was acknowledged and never received ({self.state(j)})" for j in missing]
        self.faults += [f"{m}: nobody has submitted it" for m in strange]
        self.faults += [f"{m} became {n} jobs" for m, n in markers.items() if n > 1 and m not in doubled]
        self.facts.update({"jobs acknowledged": len(acknowledged), "jobs received": len(holders),
                           "submissions without an answer": len(unknown),
                           "claims without an answer": lost, "jobs in them": len(parked)})

    def state(self, job_id):
        answer = self.client.call("GET", f"/v1/result/{job_id}")
        return answer and (json.loads(answer[1]).get("job_state") if answer[0] == 200 else answer[0])

    def check_work(self):
        """Every acknowledged result and line is there; a line that was sent once is there once."""
        lines = 0
        for agent in self.agents:
            for job_id, seen in agent.received.items():
                self.check_result(job_id, seen)
                lines += self.check_lines(job_id, seen)
                self.check_file(job_id, seen)
        self.facts["lines of output"] = lines

    def check_result(self, job_id, seen):
        answer = self.client.call("GET", f"/v1/result/{job_id}")
        if not answer or answer[0] != 200:
            self.faults.append(f"{job_id}: its result gives {answer}")
            return
        found = json.loads(answer[1])
        for name, value in seen.results.items():
            if found.get(name) != value:
                self.faults.append(f"{job_id}: {name} is {found.get(name)!r}, posted was {value!r}")

    def check_lines(self, job_id, seen):
        answer = self.client.call("GET", f"/v1/result/{job_id}/output")
        text = answer[1].decode().splitlines() if answer and answer[0] == 200 else []
        found = Counter(text)
        if [line for line in dict.fromkeys(text) if line in seen.lines] != [x for x in seen.lines if found[x]]:
            self.faults.append(f"{job_id}: its lines are in another order: {text}")
        for line, sent in seen.lines.items():
            # A post whose answer was lost is another request when the client sends it again.
            if not 1 <= found[line] <= sent:
                self.faults.append(f"{line!r} is there {found[line]} times; it was sent {sent} times")
        self.faults += [f"{line!r}: nobody has posted it" for line in found if line not in seen.lines]
        return sum(found.values())

    def check_file(self, job_id, seen):
        """The artifact, byte for byte."""
        if seen.file is None:
            return
        self.facts["artifacts"] = self.facts.get("artifacts", 0) + 1
        answer = self.client.call("GET", f"/v1/result/{job_id}/artifact")
        if not answer or answer[0] != 200 or answer[1] != seen.file:
            what = f"{len(answer[1])} other bytes" if answer else "no answer"
            self.faults.append(f"{job_id}: its artifact of {len(seen.file)} bytes gives "
                               f"{answer and answer[0]}, {what}")

    def check_events(self):
        """Each acknowledged event has come, under the id that its answer told."""
        expected = {i: path for a in self.agents for r in a.received.values() for i, path in r.events.items()}
        end = time.monotonic() + EVENTS_SECONDS
        while True:
            came = {r["headers"].get("webhook-id"): r["path"] for r in self.receiver.requests()}
            if expected.items() <= came.items() or time.monotonic() > end:
                break
            time.sleep(0.2)
        self.faults += [f"the event {i} of {path} gave {came.get(i)}" for i, path in expected.items()
                        if came.get(i) != path]
        self.facts["events"] = len(expected)
