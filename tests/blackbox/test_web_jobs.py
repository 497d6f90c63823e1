"""The pages of jobs and of a queue."""

import datetime
import re
import uuid
from urllib.parse import quote

import pytest

import auth
from client import Api, UNKNOWN, expect, new_id
from stack import wait_until
from storage import now
from web import HOSTILE, HTML, JSON, SVG, model, page, shown, text_of

COLUMNS = ["Job", "Queue", "State", "Agent", "Submitted by", "Created", "Waited", "Took", "Tags", "Actions"]


def ids(api, **params):
    return [job["id"] for job in model(api, "/jobs", params=params)["jobs"]]


def finish(api, queue, state="complete", **result):
    job = api.submit(queue)
    api.claimed(queue, cookie=f"agent_name={queue}")
    expect(api.post(f"/v1/result/{job}", result), 200)
    api.set_state(job, state)
    return job


def test_a_job_is_a_row(api, storage, queue):
    job = api.submit(queue, name="my 🐧", tags=["b", "a"])
    row, = page(api, f"/jobs?queue={queue}").rows()
    assert list(row) == COLUMNS and re.fullmatch(r"[-\d]{10} [:\d]{8}", row.pop("Created"))
    assert row == {"Job": f"{job[:8]} my 🐧", "Queue": queue, "State": "○ waiting", "Agent": "", "Submitted by": "",
                   "Waited": "", "Took": "", "Tags": "b a", "Actions": "Cancel"}
    found = page(api, f"/jobs?queue={queue}")
    assert found.links()[job[:8]] == f"/jobs/{job}" and found.links()[queue] == f"/queues/{queue}"
    assert found.links()["Cancel"] == f"/jobs/{job}/cancel"
    assert [a.get("title") for a in found.all("a") if a.get("title")] == [job]
    api.claimed(queue, cookie=f"agent_name={queue}")
    api.set_state(job, "test")
    row, = page(api, f"/jobs?queue={queue}").rows()
    assert (row["State"], row["Agent"], row["Waited"]) == ("▶ test", queue, "0 s")
    api.set_state(job, "complete")
    row, = page(api, f"/jobs?queue={queue}").rows()
    assert row["State"] == "✔ passed" and row["Took"] and row["Actions"] == ""


def test_outcomes(api, queue):
    passed = finish(api, queue, status={"setup": 0, "test": 0})
    new = finish(api, queue, status={"provision": 0, "test": 3})
    old = finish(api, queue, "completed", provision_status=46, test_status=1)
    cut = finish(api, queue, "cancelled", status={"test": 1})
    states = {job["id"]: job["outcome"] for job in model(api, f"/jobs?queue={queue}")["jobs"]}
    assert states[passed]["word"] == "passed" and states[cut]["word"] == "cancelled"
    assert states[new]["failed"] == {"phase": "test", "code": 3}
    assert states[old]["failed"] == {"phase": "provision", "code": 46}
    assert [r["State"] for r in page(api, f"/jobs?queue={queue}").rows()] == [
        "⊘ cancelled", "✘ failed in provision (46)", "✘ failed in test (3)", "✔ passed"]
    assert ids(api, queue=queue, state="failed") == [old, new] and ids(api, queue=queue, state="passed") == [passed]
    assert ids(api, queue=queue, state="cancelled") == [cut] and ids(api, queue=queue, state="active") == []


def test_filters(api, storage, queue, name):
    first = api.submit(queue, tags=[f"{queue}-a"])
    other = api.submit(name, tags=[f"{queue}-a", "x"])
    storage.set_age(first, 300)
    assert ids(api, tag=f"{queue}-a") == [other, first] and ids(api, tag=[f"{queue}-a", "x"]) == [other]
    assert ids(api, queue=queue) == [first] and ids(api, queue=new_id()) == []
    assert api.claimed(queue, cookie=f"agent_name={name}") == first
    assert ids(api, agent=name) == [first] and ids(api, tag=f"{queue}-a", state=["running", "waiting"]) == [other, first]
    ago = (now() - datetime.timedelta(seconds=100)).isoformat()
    assert ids(api, queue=name, since=ago) == [other] and ids(api, queue=queue, until=ago) == [first]
    assert ids(api, queue=queue, since=ago) == ids(api, queue=name, until=ago) == []
    # a form sends the fields that are not filled in, too
    empty = dict.fromkeys(("state", "tag", "agent", "submitter", "since", "until", "search", "limit", "cursor"), "")
    assert ids(api, queue=queue, **empty) == [first]
    found = page(api, "/jobs", params={"queue": queue, "state": "active", "tag": HOSTILE})
    boxes = {e.get("name"): e.get("value") for e in found.all("main//input")}
    assert boxes["queue"] == queue and boxes["search"] == ""
    assert boxes["tag"] == re.sub("[\x1b\x85\ufffe]", "\ufffd", HOSTILE)
    option, = [e for e in found.all("option") if e.get("selected") is not None]
    assert text_of(option) == "active"


def test_bad_queries(api):
    for params, name, text in (({"nope": "1"}, "nope", UNKNOWN), ({"since": "x"}, "since", "Not a valid datetime."),
                               ({"sort": "x"}, "sort", "There is no such column."),
                               ({"limit": "0"}, "limit", "Must be a whole number from 1 on."),
                               ({"cursor": "x"}, "cursor", "Not a cursor of this list with these filters.")):
        assert expect(api.get("/jobs", params=params, headers=JSON), 422).json()["detail"]["query"] == {name: [text]}
        assert f"{name}: {text}" in text_of(page(api, "/jobs", 422, params=params).one("main"))
    page(api, "/jobs", 422, params={"state": HOSTILE, HOSTILE: "1"})
    page(api, "/jobs", 401, params={"submitter": "me"})


def test_search(api, queue):
    one = api.submit(queue, name="Kernel of the day", tags=["x1"])
    two = api.submit(queue, name="kernel", tags=["y1"])
    api.submit(queue)
    assert ids(api, queue=queue, search="KERNEL") == [two, one] == ids(api, search=f"{queue} kernel")
    assert ids(api, queue=queue, search="day kernel") == [one] == ids(api, search=f"x1 {queue}")
    assert ids(api, search=one) == ids(api, search=one[:13] + " " + one[-6:]) == [one]
    assert ids(api, queue=queue, search="waiting kernel") == [two, one]
    assert ids(api, search=f"{queue} {HOSTILE}") == ids(api, search=f"{queue} \0") == []
    found = page(api, "/jobs", params={"search": one})
    assert found.links()["open it"] == f"/jobs/{one}"
    api.agent(queue, state="waiting")
    assert page(api, "/jobs", params={"search": queue}).links()["open it"] == f"/agents/{queue}"
    nothing = page(api, "/jobs", params={"search": new_id()})
    assert not nothing.all("table") and nothing.links()["All jobs"] == "/jobs"


@pytest.mark.parametrize("filters", [{}, {"search": "job"}, {"state": "passed"}], ids=str)
def test_pages_have_each_job_once(api, queue, filters):
    """Also while jobs come."""
    made = [finish(api, queue, status={"test": 0}) for _ in range(7)][::-1]
    if "search" in filters:
        filters = {"search": queue[:-1]}
    seen, path = [], "/jobs?limit=3&queue=" + queue + "".join(f"&{k}={v}" for k, v in filters.items())
    while path:
        found = page(api, path)
        seen += [a.get("title") for a in found.all("a") if a.get("title")]
        assert ("Newest" in found.links()) == ("Newer" in found.links()) == ("cursor" in path)
        last, path = path, found.links().get("Older")
        path = path and "/jobs" + path
        api.submit(queue)
    assert [job for job in seen if job in made] == made and len(set(seen)) == len(seen)
    back, path = [], page(api, last).links().get("Newer")
    while path:
        found = page(api, "/jobs" + path)
        back = [a.get("title") for a in found.all("a") if a.get("title")] + back
        path = found.links().get("Newer")
    assert "Newest" not in found.links()
    before = [job for job in back if job in made]
    assert before and before == made[:len(before)] and len(set(back)) == len(back)


def test_oldest_first(api, queue):
    made = [api.submit(queue) for _ in range(7)]
    assert ids(api, queue=queue, sort="created") == made == ids(api, queue=queue, sort="-created")[::-1]
    found = page(api, f"/jobs?queue={queue}&sort=created&limit=3")
    header, = [th for th in found.all("th") if th.get("aria-sort")]
    assert header.get("aria-sort") == "ascending" and "Older" not in found.links()
    pages = []
    for way in ("Newer", "Newer", "Older", "Older"):
        found = page(api, "/jobs" + found.links()[way])
        pages.append([a.get("title") for a in found.all("a") if a.get("title")])
    assert pages == [made[3:6], made[6:], made[3:6], made[:3]] and "Oldest" not in found.links()


def test_limits(api, queue):
    for _ in range(51):
        api.submit(queue)
    assert len(ids(api, queue=queue)) == 50 and len(ids(api, queue=queue, limit=200)) == 51
    assert len(ids(api, queue=queue, limit=100000)) == 51


def test_hostile_jobs(api, queue):
    name = f"{queue}<b>"
    job = api.submit(name, name=HOSTILE, tags=[HOSTILE, "<i>"])
    row, = page(api, "/jobs", params={"queue": name}).rows()
    assert row["Job"] == f"{job[:8]} {shown(HOSTILE)}" and row["Queue"] == name
    assert row["Tags"] == f"{shown(HOSTILE)} <i>"
    api.claimed(name, cookie=f"agent_name={queue}")
    expect(api.post(f"/v1/result/{job}", {"job_state": "<u>x"}), 200)
    assert page(api, "/jobs", params={"queue": name}).rows()[0]["State"] == "▶ <u>x"


def test_submitters(roles_server, queue):
    api = Api(roles_server.url)
    who = auth.as_role("contributor", client_id=f"{queue}-a")
    job = expect(api.post("/v1/job", {"job_queue": queue}, headers=who), 200).json()["job_id"]
    assert page(api, f"/jobs?submitter={queue}-a").rows()[0]["Submitted by"] == f"{queue}-a"
    assert ids(api, submitter=f"{queue}-a") == [job] and ids(api, submitter=queue) == []


# ---- /queues/NAME ----

def tables(found):
    """{caption's heading: [first cells]} of a page with several tables."""
    result = {}
    for element in found.one("main").iter():
        if element.tag == "h2":
            heading = text_of(element)
        if element.tag == "table":
            result[heading] = [[text_of(cell) for cell in row] for row in element.iter("tr")][1:]
    return result


def test_queue(api, storage, queue):
    expect(api.post("/v1/agents/queues", {queue: "about <it>"}), 200)
    api.agent(f"{queue}-1", state="waiting", queues=[queue, "b", "c", "d"], location="lab", provision_type="maas")
    api.agent(f"{queue}-2", state="offline", queues=[queue], comment="broken")
    ended = finish(api, queue, status={"test": 2})
    running = api.submit(queue)
    api.claimed(queue, cookie=f"agent_name={queue}-1")
    low, high = api.submit(queue), api.submit(queue)
    storage.set_priority(high, 5)
    found = page(api, f"/queues/{queue}")
    assert text_of(found.one("h1")) == f"Queue {queue}" and "about <it>" in text_of(found.one("main"))
    shown = tables(found)
    assert [row[:2] for row in shown["Jobs that wait"]] == [["1", high[:8]], ["2", low[:8]]]
    assert [row[0] for row in shown["Jobs with agents"]] == [running[:8]]
    assert [(row[0], row[2]) for row in shown["Jobs that ended"]] == [(ended[:8], "✘ failed in test (2)")]
    one, two = shown["Agents"]
    assert one[1:6] == [f"{queue}-1", "waiting", "lab", "maas", f"{queue} b c and 1 more"]
    assert two[1:4] == [f"{queue}-2", "offline broken", "unknown"]
    assert [row[0] for row in shown["How long jobs have waited"]] == ["5 %", "10 %", "50 %", "90 %", "95 %"]
    assert model(api, f"/queues/{queue}")["queue"]["unfinished"] == 3


def test_charts_of_a_queue(api, storage, queue):
    assert model(api, f"/queues/{queue}")["depth"] is None
    name = f"{queue}<&"
    jobs = [api.submit(name) for _ in range(5)]
    expect(api.post("/v1/agents/images", {name: {"a&b": "url: x"}}), 200)
    for job, hours in zip(jobs, (4 * 24, 3 * 24, 2)):
        storage.set_age(job, hours * 3600)
    assert api.claimed(name) == jobs[0]  # jobs[1] came before what the chart reads, and counts
    found = model(api, "/queues/" + quote(name))
    depth = found["depth"]
    assert (depth["most"], depth["now"], len(depth["hours"])) == (4, 4, 24)
    assert depth["hours"][1]["most"] == 2 and depth["hours"][5]["most"] == 1
    assert len(found["waits"]) == 5 and found["waits"][-1]["width"] in (0, 100)
    shown = page(api, "/queues/" + quote(name))
    assert "At most 4 jobs waited at a time" in text_of(shown.one("figcaption"))
    assert [p.get("d") for p in shown.all(SVG + "path")] == [depth["area"]]
    assert shown.links()["Reserve"] == f"/jobs/new?queue={quote(name)}&reserve=1&image=a%26b"


def test_a_queue_shows_its_newest(api, queue):
    ended = [finish(api, queue) for _ in range(22)]
    assert [job["id"] for job in model(api, f"/queues/{queue}")["ended"]] == ended[:1:-1]


def test_an_unknown_queue(api):
    for name in (new_id(), "%00", "%F0%9F%90%A7", "%3Cscript%3E", "a%2Fb"):
        found = page(api, f"/queues/{name}")
        assert not found.all("table") and "Nobody serves this queue" in found.text and found.links()["all queues"] == "/queues"
        assert model(api, f"/queues/{name}")["queue"] is None


def test_a_restricted_queue(roles_server, queue, name):
    api, admin = Api(roles_server.url), auth.as_role("admin")
    expect(api.request("PUT", f"/v1/client-permissions/{name}", json={"client_secret": "s" * 20}, headers=admin), 200)
    expect(api.post(f"/v1/agents/data/{queue}", {"state": "waiting", "queues": [queue]}, headers=admin), 200)
    expect(api.post(f"/v1/restricted-queues/{queue}", {"client_id": name}, headers=admin), 200)
    wait_until(lambda: "Restricted to:" in page(api, f"/queues/{queue}").text, "the restriction is seen", 10)
    assert f"Restricted to: {name}" in text_of(page(api, f"/queues/{queue}").one("main"))
    assert page(api, f"/queues?search={queue}").rows()[0]["Marks"] == "restricted"
