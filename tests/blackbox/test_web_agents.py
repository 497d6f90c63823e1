"""The pages of agents: columns, filters, sorts; all about one."""

import datetime
import re

import pytest

import auth
from client import Api, expect, new_id
from storage import storage_of
from web import HOSTILE, HTML, SVG, model, page, shown, text_of

HTML_QUEUE = "<i>\"'&{{{site}}}"
DATE = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d"


def rows(api, **params):
    found = page(api, "/agents", params=params)
    return found.rows() if found.all("table") else []


def names(api, **params):
    return [row["Agent"] for row in rows(api, **params)]


def provision(api, agent, *codes):
    for code in codes:
        entry = {"job_id": new_id(), "exit_code": code}
        expect(api.post(f"/v1/agents/provision_logs/{agent}", entry), 200)


@pytest.fixture
def lab(api, queue):
    """Agents that are idle, busy, offline and out of service."""
    idle, busy, away, held = (f"{queue}-{state}" for state in ("idle", "test", "offline", "maintenance"))
    api.agent(idle, state="waiting", queues=[queue], location=f"b-{queue}", provision_type="cm3")
    api.agent(busy, state="test", queues=[f"{queue}-{i}" for i in range(5)], location="a")
    api.agent(away, state="offline", queues=[queue], comment="new disk")
    api.agent(held, state="maintenance")
    provision(api, idle, 1, 0, 0)
    provision(api, busy, 0, 46)
    return idle, busy, away, held


def test_columns(api, lab, queue):
    idle, busy, away, held = lab
    first, second, third, fourth = rows(api, search=queue)
    for row in (first, second, third, fourth):
        assert re.fullmatch(DATE, row.pop("Updated"))
    empty = {"Outcome": "", "Job": "", "Submitted by": "", "Free in": ""}
    assert first == {**empty, "Outcome": "✔ 2 passed", "Agent": idle, "State": "waiting", "Location": f"b-{queue}",
                     "Type": "cm3", "Queues": queue}
    assert third == {**empty, "Agent": held, "State": "maintenance", "Location": "unknown", "Type": "", "Queues": ""} \
        or third["Agent"] == away
    offline, = rows(api, search=f"{queue} DISK")
    assert (offline["Agent"], offline["State"], offline["Location"]) == (away, "offline new disk", "unknown")
    running, = rows(api, search=busy)
    assert running["Outcome"] == "✘ 1 failed"
    assert running["Queues"] == f"{queue}-0 {queue}-1 {queue}-2 and 2 more"
    links = page(api, f"/agents?search={queue}").links()
    assert links[idle] == f"/agents/{idle}" and links[queue] == f"/queues/{queue}"


def test_filters(api, lab, queue):
    idle, busy, away, held = lab
    for params, wanted in (
            ({"state": "idle"}, [idle]), ({"state": "busy"}, [busy]), ({"state": "offline"}, [away]),
            ({"state": "maintenance"}, [held]), ({"state": "waiting"}, [idle]), ({"state": ["idle", "busy"]}, [idle, busy]),
            ({"state": "nope"}, []), ({"state": ""}, [idle, held, away, busy]), ({"queue": queue}, [idle, away]),
            ({"queue": f"{queue}-4"}, [busy]), ({"location": f"b-{queue}"}, [idle]), ({"type": "cm3"}, [idle]),
            ({"type": "cm3", "location": "a"}, []), ({"queue": queue, "state": "offline"}, [away])):
        assert names(api, search=queue, **params) == wanted, params
    found = page(api, "/agents", params={"search": queue, "state": "nope"})
    assert "No agents fit these filters." in text_of(found.one("main"))
    assert found.links()["All agents"] == "/agents"
    group, = [a for a in page(api, f"/agents?search={queue}&state=busy").all("a") if a.get("aria-current") == "true"]
    assert text_of(group).endswith(" busy") and group.get("href") == f"?search={queue}&state=busy"


def test_counts_are_filters(api, lab, queue):
    idle, *_ = lab
    groups = model(api, "/agents")["groups"]
    assert [g["name"] for g in groups] == ["idle", "busy", "offline", "maintenance"]
    assert all(g["count"] >= 1 for g in groups) and groups[0]["url"] == "?state=idle"
    assert idle in names(api, state="idle", limit=1000, search=queue)
    overview = page(api, "/").links()
    assert "/agents?state=idle" in overview.values()


def test_sorts(api, lab, queue):
    idle, busy, away, held = lab
    for sort, wanted in (("name", [idle, held, away, busy]), ("-name", [busy, away, held, idle]),
                         ("streak", [busy, idle, held, away]), ("-streak", [idle, busy, held, away]),
                         ("location", [busy, idle, held, away]), ("-location", [idle, busy, held, away]),
                         ("state", [held, away, busy, idle]), ("-type", [idle, held, away, busy])):
        assert names(api, search=queue, sort=sort) == wanted, sort
    assert set(names(api, search=queue, sort="updated")) == set(lab)
    page(api, "/agents?sort=nope", 422)


@pytest.mark.parametrize("header, sort", [("Name", "name"), ("State", "state"), ("Location", "location"),
                                          ("Outcome", "streak"), ("UpdatedAt", "updated"), ("JobId", "job")])
def test_addresses_of_the_reference(api, lab, queue, header, sort):
    old = {"search": queue, "tableId": "agentsTable", "headerId": f"agents{header}Header"}
    assert names(api, **old, sortOrder="ascending") == names(api, search=queue, sort=sort)
    assert names(api, **old, sortOrder="descending") == names(api, search=queue, sort=f"-{sort}")
    for other in ({"sortOrder": "none"}, {"sortOrder": "ascending", "headerId": "nope"}, {"headerId": HOSTILE}):
        assert names(api, **{**old, **other}) == names(api, search=queue)
    found = page(api, "/agents", params={**old, "sortOrder": "descending"})
    column, = [th for th in found.all("th") if th.get("aria-sort")]
    assert column.get("aria-sort") == "descending"


def test_pages(api, lab, queue):
    path, seen = f"/agents?search={queue}&limit=3&sort=-name", []
    while path:
        found = page(api, path)
        seen.append([row["Agent"] for row in found.rows()])
        path = found.links().get("Next")
        path = path and f"/agents{path}"
    assert seen == [names(api, search=queue, sort="-name")[:3], names(api, search=queue, sort="-name")[3:]]
    assert rows(api, search=queue, cursor=4) == []
    for bad in ("cursor=x", "cursor=-1", "cursor=", "limit=0", "limit=x"):
        page(api, f"/agents?{bad}", 422)
    page(api, f"/agents?cursor={10 ** 17}&limit=1000000")


def test_the_job_of_an_agent(api, storage, queue):
    agent = f"{queue}-a"
    job = api.submit(queue, name="nightly <b>", reserve_data={"timeout": 600})
    api.agent(agent, state="waiting", queues=[queue])
    assert api.claimed(queue, cookie=f"agent_name={agent}") == job
    api.agent(agent, state="test", job_id=job)
    row, = rows(api, search=agent)
    assert row["Job"] == f"{job[:8]} nightly <b>"
    assert re.fullmatch(f"{DATE} unless it goes on", row["Free in"])
    api.set_state(job, "reserve")
    row, = rows(api, search=agent)
    assert re.fullmatch(DATE, row["Free in"])
    found, = model(api, f"/agents?search={job}")["agents"]
    assert found["free"]["is_lease"] is False and found["job"]["url"] == f"/jobs/{job}"
    api.set_state(job, "complete")
    assert rows(api, search=agent)[0]["Free in"] == ""
    api.agent(agent, job_id=new_id())
    row, = rows(api, search=agent)
    assert row["Job"] == row["Free in"] == ""


def test_who_has_a_device(roles_server, queue):
    api, agent = Api(roles_server.url), f"{queue}-a"
    client, role = auth.as_role("contributor"), auth.as_role("agent")
    job = expect(api.post("/v1/job", {"job_queue": queue}, headers=client), 200).json()["job_id"]
    fields = {"state": "test", "queues": [queue], "job_id": job}
    expect(api.post(f"/v1/agents/data/{agent}", fields, headers=role), 200)
    row, = rows(api, search=agent)
    assert row["Submitted by"] and row["Job"] == job[:8]


def test_hostile_agents(api, queue):
    agent = f"{queue}-<b>\"'&{{{{x}}}} 🐧"
    api.agent(agent, state=HOSTILE, location=HOSTILE, comment=HOSTILE, provision_type=HOSTILE,
              queues=[queue, HTML_QUEUE], job_id="x\" onload=x")
    row, = rows(api, search=queue)
    assert row["Agent"] == shown(agent) and row["State"] == f"{shown(HOSTILE)} {shown(HOSTILE)}"
    assert row["Location"] == row["Type"] == shown(HOSTILE) and row["Queues"] == f"{queue} {HTML_QUEUE}"
    link = page(api, "/agents", params={"queue": HTML_QUEUE}).links()[shown(agent)]
    assert re.fullmatch(r"/agents/[A-Za-z0-9%._~-]+", link)
    for search in (HOSTILE, "\0", "x" * 3000, "%", "\"><script>"):
        for name in ("search", "state", "queue", "location", "type"):
            page(api, "/agents", params={name: search})
    expect(api.get(f"/agents?search={queue}", headers={**HTML, "Accept": "application/json"}), 200)


# ---- /agents/NAME ----

def agent_page(api, name, **params):
    return page(api, f"/agents/{name}", params=params)


def table(found, caption):
    """The rows of a table, without its head."""
    for element in found.all("table"):
        if text_of(element.find("caption")).startswith(caption):
            return [[text_of(cell) for cell in row] for row in element.find("tbody")]
    return []


def facts(found):
    """{name: value} of the list of facts."""
    element = found.one("dl")
    return dict(zip(map(text_of, element.findall("dt")), map(text_of, element.findall("dd"))))


def test_an_agent(api, queue):
    agent = f"{queue}-a"
    api.agent(agent, state="waiting", queues=[queue, f"{queue}-b"], location="lab 2", provision_type="cm3",
              identifier="007", comment="new disk", log=["one", "", "  <three> 🐧"])
    expect(api.post("/v1/agents/queues", {queue: "for all"}), 200)
    api.submit(queue)
    found = agent_page(api, agent)
    assert re.fullmatch(DATE, facts(found).pop("Updated"))
    assert {**facts(found), "Updated": ""} == {"State": "waiting", "Comment": "new disk", "Location": "lab 2",
                                               "Provision type": "cm3", "Updated": "", "Identifier": "007"}
    assert table(found, "Queues") == [[queue, "1", "for all"], [f"{queue}-b", "0", ""]]
    assert "".join(found.one("pre").itertext()) == "one\n\n  <three> 🐧\n"
    assert re.search(r"Provision success rate for this range:</strong>\s*0%", found.text)
    assert found.links()[queue] == f"/queues/{queue}"
    assert text_of(found.one("h1")) == f"Agent {agent}" and "It has had no job." in found.text


def test_an_agent_of_which_little_is_known(api, queue):
    api.agent(queue)
    found = agent_page(api, queue)
    assert facts(found).keys() == {"State", "Location", "Provision type", "Updated"}
    assert (facts(found)["State"], facts(found)["Location"]) == ("unknown", "unknown")
    assert not found.all("table") and not found.all("pre")


@pytest.mark.alike
@pytest.mark.parametrize("name", ["nope", "%00", "%F0%9F%90%A7", "a%2Fb", "%3Cscript%3E", "x" * 3000, "%C3%A4" * 300])
def test_no_such_agent(api, name):
    found = page(api, f"/agents/{name}", 404)
    assert "Agent not found:" in text_of(found.one("main"))
    if name == "nope":
        assert "Agent not found: nope" in found.text
    expect(api.get(f"/agents/{name}", headers={"Accept": "application/json"}), 404)


def test_provisionings(api, storage, queue):
    agent, job = f"{queue}-a", new_id()
    api.agent(agent, state="waiting")
    for code, detail in ((0, ""), (1, "no power"), (0, ""), (0, HOSTILE)):
        entry = {"job_id": job, "exit_code": code, "detail": detail}
        expect(api.post(f"/v1/agents/provision_logs/{agent}", entry), 200)
    found = agent_page(api, agent)
    assert re.search(r"Provision success rate for this range:</strong>\s*75%", found.text)
    entries = table(found, "Newest")
    assert all(re.fullmatch(DATE, row.pop(0)) for row in entries)
    assert entries == [[job, "0", shown(HOSTILE)], [job, "0", ""], [job, "✘ 1", "no power"], [job, "0", ""]]
    assert facts(found)["Last provisionings"] == "✔ 2 passed in a row"
    assert found.links()[job] == f"/jobs/{job}"
    assert "3 of 4 provisionings passed" in text_of(found.one("figcaption"))

    shown_days = model(api, f"/agents/{agent}")["provisionings"]
    first, last = shown_days["start"], shown_days["stop"]
    storage.age_provisionings(agent, 5)
    found = agent_page(api, agent)
    assert re.search(r"for this range:</strong>\s*0%", found.text) and "in these days" in found.text
    day = shown_days["entries"][0]["finished"]["iso"][:10]
    old = (datetime.date.fromisoformat(day) - datetime.timedelta(days=5)).isoformat()
    for start, stop, count in ((old, old, 4), ("2000-01-01", "9999-12-31", 4), (old, last, 4), (first, old, 0)):
        part = model(api, f"/agents/{agent}?start={start}&stop={stop}")["provisionings"]
        assert (part["start"], part["stop"], len(part["entries"])) == (start, stop, count)
    for bad in ("nope", "2026-13-01", "2026-1-1", "0000-00-00", HOSTILE, "\0", "2026-01-01T00:00:00Z"):
        found = agent_page(api, agent, start=bad, stop=bad)
        assert "A date is written as" in found.text
        assert [e.get("value") for e in found.all("input") if e.get("type") == "date"] == [first, last]


def test_the_jobs_of_an_agent(api, queue):
    agent = f"{queue}-a"
    old, new = api.submit(queue, name="old"), api.submit(queue, name=HOSTILE, reserve_data={"timeout": 600})
    for job in (old, new):
        assert api.claimed(queue, cookie=f"agent_name={agent}") == job
        api.agent(agent, state="test", job_id=job)
        assert re.search(f"taken for lost {DATE}, unless", text_of(agent_page(api, agent).one("main")))
        api.set_state(job, "complete" if job == old else "reserve")
    found = agent_page(api, agent)
    assert [row[0] for row in table(found, "What ran")] == [new[:8], old[:8]]
    assert [a.get("href") for a in found.all(SVG + "a")] == [f"/jobs/{new}", f"/jobs/{old}"]
    assert [row[0] for row in table(found, "Newest")] == [f"{new[:8]} {shown(HOSTILE)}", f"{old[:8]} old"]
    card, = [text_of(e) for e in found.all("section") if e.get("aria-labelledby") == "job"]
    assert re.fullmatch(f"Its job {new[:8]} {re.escape(shown(HOSTILE))}, created {DATE}: ▶ reserve", card)
    assert re.search(f"The reservation ends {DATE}\\.", text_of(found.one("main")))


def test_modes_and_restricted_queues(roles_server, queue):
    api, agent = Api(roles_server.url), f"{queue}-a"
    boss, role = auth.as_role("admin"), auth.as_role("agent")
    expect(api.post(f"/v1/agents/data/{agent}", {"state": "waiting", "queues": [queue]}, headers=role), 200)
    for client in (f"{queue}-b", f"{queue}-a"):
        storage_of(roles_server).add_client(client, role="contributor")
        expect(api.post(f"/v1/restricted-queues/{queue}", {"client_id": client}, headers=boss), 200)
    post = {"mode": "MAINTENANCE", "comment": HOSTILE}
    expect(api.post(f"/v1/agents/data/{agent}", post, headers=boss), 200)
    found = agent_page(api, agent)
    assert facts(found)["State"] == "maintenance" and facts(found)["Comment"] == shown(HOSTILE)
    assert facts(found)["Mode"].startswith("MAINTENANCE, set by ")
    (name, count, description), = table(found, "Queues")
    assert name in (f"{queue} (restricted to: {queue}-a, {queue}-b)", f"{queue} (restricted to: {queue}-b, {queue}-a)")


def test_a_hostile_agent(api, queue):
    agent = f"{queue}-<b>\"'&{{{{x}}}} 🐧"
    api.agent(agent, state=HOSTILE, location=HOSTILE, comment=HOSTILE, provision_type=HOSTILE, identifier=HOSTILE,
              queues=[HTML_QUEUE], job_id=HOSTILE[:40], log=[HOSTILE] * 100)
    link = page(api, "/agents", params={"search": queue}).links()[shown(agent)]
    found = page(api, link)
    assert {facts(found)[name] for name in ("State", "Location", "Comment", "Provision type", "Identifier")} == {
        shown(HOSTILE)}
    assert text_of(found.one("pre")) == " ".join([shown(HOSTILE)] * 100)
    assert text_of(found.one("h1")) == f"Agent {shown(agent)}"
