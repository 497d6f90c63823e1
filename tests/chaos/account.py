"""The account at the end: what clients were told against what the server has."""

import json
from collections import Counter

from load import Client


class Account:
    """Faults are sentences; none: every promise was kept."""

    def __init__(self, port, submitters, agents):
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
        found = Counter(answer[1].decode().splitlines() if answer and answer[0] == 200 else [])
        for line, sent in seen.lines.items():
            # A post whose answer was lost is another request when the client sends it again.
            if not 1 <= found[line] <= sent:
                self.faults.append(f"{line!r} is there {found[line]} times; it was sent {sent} times")
        self.faults += [f"{line!r}: nobody has posted it" for line in found if line not in seen.lines]
        return sum(found.values())
