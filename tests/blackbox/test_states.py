"""Every pair of states, posted by agents one after the other and at once; the table in the docs."""

import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import Api, OVER, expect, expect_none
from stack import ROOT

OTHER = "other text"  # as the docs call any state that is none of the table


def table():
    """{state: (rank, whether it is over)}."""
    rows = re.findall(r'^STATE\("(\w+)", +(\d+), (true|false)\)',
                      (ROOT / "worker/jobs/states.def").read_text(), re.M)
    return {name: (int(rank), over == "true") for name, rank, over in rows}


STATES = table()
ALL = [*STATES, OTHER]


def is_over(state):
    return STATES.get(state, (0, False))[1]


def after(state, posted):
    """The state of a job that was in one state and is posted another."""
    if state == OTHER:
        return posted
    if posted == OTHER:
        return state if is_over(state) else posted
    return posted if STATES[posted][0] >= STATES[state][0] else state


def test_docs():
    """The docs' table says the same."""
    text = (ROOT / "docs/job-states.md").read_text()
    lines = re.search(r"<!-- states: .*?-->\n(.*)<!-- end", text, re.S)[1].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0][1:] == ALL and [row[0] for row in rows[2:]] == ALL
    for state, *cells in rows[2:]:
        for posted, cell in zip(ALL, cells):
            expected = "=" if posted == state != OTHER else "yes" if after(state, posted) == posted else ""
            assert cell == expected, f"{state} -> {posted}"


def bring(api, queue, state):
    """A new job in this state; `running` by a claim, `cancelled` by a user."""
    job_id = api.submit(queue)
    if state == "waiting":
        return job_id
    assert api.claimed(queue) == job_id
    if state == "cancelled":
        expect(api.post(f"/v1/job/{job_id}/action", {"action": "cancel"}), 200, "OK")
    elif state != "running":
        api.set_state(job_id, state)
    assert api.state(job_id) == state
    return job_id


@pytest.mark.parametrize("state", ALL)
def test_every_pair(api, queue, state):
    for posted in ALL:
        job_id = bring(api, queue, state)
        expect(api.post(f"/v1/result/{job_id}",
                        {"job_state": posted, "status": {"setup": 7}}), 200, "OK")
        result = expect(api.get(f"/v1/result/{job_id}"), 200).json()
        assert result == {"setup_status": 7, "job_state": after(state, posted)}, posted
        if result["job_state"] == "waiting":
            assert api.claimed(queue) == job_id
    expect_none(api.claim(queue))


@pytest.mark.parametrize("state", ALL)
def test_cancel(api, queue, state):
    job_id = bring(api, queue, state)
    response = api.post(f"/v1/job/{job_id}/action", {"action": "cancel"})
    if is_over(state):
        expect(response, 400, OVER)
        assert api.state(job_id) == state
    else:
        expect(response, 200, "OK")
        assert api.state(job_id) == "cancelled"


def test_all_at_once(server, api, queue):
    """In whatever order they arrive, the job ends in the last of them, and no read shows an earlier state than
    the one before."""
    names = [name for name in STATES if not is_over(name)]
    for end in ([], ["cancelled"], ["cancelled", "complete"]):
        job_id = bring(api, queue, "running")
        posts = names * 2 + end
        random.shuffle(posts)
        with ThreadPoolExecutor(8) as pool:
            done = [pool.submit(Api(server.url).set_state, job_id, state) for state in posts]
            seen = [api.state(job_id)]
            while not all(post.done() for post in done):
                seen.append(api.state(job_id))
            for post in done:
                post.result()
        assert api.state(job_id) == (end or names)[-1]
        ranks = [STATES[state][0] for state in seen]
        assert ranks == sorted(ranks)


def test_cancel_among_phases(server, api, queue):
    """A cancel that was answered is not overwritten by phases that are posted at the same time."""
    for _ in range(5):
        job_id = bring(api, queue, "setup")
        with ThreadPoolExecutor(6) as pool:
            phases = [pool.submit(Api(server.url).set_state, job_id, state)
                      for state in ("provision", "test", "reserve", "cleanup", OTHER) * 2]
            expect(api.post(f"/v1/job/{job_id}/action", {"action": "cancel"}), 200, "OK")
            assert api.state(job_id) == "cancelled"
            for phase in phases:
                phase.result()
        assert api.state(job_id) == "cancelled"
