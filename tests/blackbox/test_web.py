"""What is true of all web pages: forms, headers, modes, files; /, /queues."""

import gzip
import re

import pytest

import auth
from client import Api, NOT_FOUND, expect, new_id
from stack import ROOT
from storage import storage_of
from web import HOSTILE, HTML, JSON, POLICY, ROWS, Page, model, page, shown, text_of


def address(path):
    """A row's path with a value that nothing has."""
    return re.sub("<.*?>", new_id(), path)


# ---- forms ----

@pytest.mark.alike
@pytest.mark.parametrize("accept, is_json", [
    (None, False), ("*/*", False), ("text/html", False), ("application/json", True), ("application/*", True),
    ("text/html, application/json", False), ("text/html;q=0.5, application/json", True), ("image/png", False),
    ("application/json;q=0.2, */*;q=0.1", True), ("", False), ("application/json;q=0", False), (",;q=,", False),
])
def test_the_form_that_is_asked_for(api, accept, is_json):
    response = expect(api.get("/queues", headers={"Accept": accept}), 200)
    assert (response.headers["Content-Type"] == "application/json") == is_json
    assert ("title" in response.json()) if is_json else ("<h1>" in response.text)


@pytest.mark.parametrize("path", ["/", "/queues"])
def test_addresses(api, path):
    one, other = page(api, path), page(api, path.rstrip("/") + "/")
    assert text_of(one.one("h1")) == text_of(other.one("h1"))
    head = api.head(path, headers=HTML)
    assert head.status_code == 200 and head.content == b"" and "ETag" in head.headers
    answer = expect(api.post(path), 405)
    assert set(answer.headers["Allow"].split(", ")) == {"OPTIONS", "GET", "HEAD"}


def test_a_client_that_has_the_page(api, queue):
    path = f"/queues?search={queue}"
    tags = {accept: expect(api.get(path, headers={"Accept": accept}), 200).headers["ETag"]
            for accept in ("text/html", "application/json")}
    assert tags["text/html"] != tags["application/json"]
    for accept, tag in tags.items():
        same = expect(api.get(path, headers={"Accept": accept, "If-None-Match": tag}), 304)
        assert same.content == b"" and same.headers["ETag"] == tag
        assert same.headers["Cache-Control"] == "private, no-cache"
    api.submit(queue)
    fresh = expect(api.get(path, headers={**HTML, "If-None-Match": tags["text/html"]}), 200)
    assert fresh.headers["ETag"] != tags["text/html"]


def test_pages_are_compressed(api):
    answers = [api.session.get(f"{api.url}/queues", headers={**HTML, "Accept-Encoding": coding}, stream=True)
               for coding in ("gzip", "identity")]
    packed, plain = (answer.raw.read() for answer in answers)
    assert [a.headers.get("Content-Encoding") for a in answers] == ["gzip", None]
    assert b"<h1>Queues</h1>" in plain and b"<h1>Queues</h1>" in gzip.decompress(packed)


# ---- errors ----

def test_unknown_addresses(api):
    for path in ("/nope", "/queues/a/b/c", "/v2/nope", "/v1x", "/static/nope"):
        found = expect(api.get(path, headers={"Accept": "text/html"}), 404)
        assert found.headers["Content-Type"] == "text/html; charset=utf-8"
    for path, accept in (("/nope", "*/*"), ("/nope", "text/*"), ("/nope", None), ("/v1/nope", "text/html"),
                         ("/nope", "text/html;q=0")):
        expect(api.get(path, headers={"Accept": accept}), 404, NOT_FOUND)
    parsed = Page(api.get("/nope", headers=HTML))
    assert text_of(parsed.one("h1")) == "Not found" and parsed.links() == {"Overview": "/"}
    assert parsed.headers["Content-Security-Policy"] == POLICY


def test_a_bad_query(api):
    found = page(api, "/queues?sort=nope", 422)
    assert "There is no such column." in text_of(found.one("main"))
    body = expect(api.get("/queues?sort=nope", headers=JSON), 422).json()
    assert body["detail"] == {"query": {"sort": ["There is no such column."]}}


def frontend_page(response, status):
    found = Page(expect(response, status))
    assert found.headers["Content-Type"] == "text/html; charset=utf-8"
    assert found.headers["Content-Security-Policy"] == POLICY and found.links() == {"Overview": "/"}
    return text_of(found.one("main"))


def test_errors_of_the_frontend(private):
    """A name that is not the server's, and workers that do not answer."""
    stack = private("--request-timeout", 300, workers=1, webhooks=0)
    api = Api(stack.url)
    foreign = {"Host": "evil.example", "Accept-Language": "en"}
    assert "allowed-hosts" in frontend_page(api.get("/queues", headers={**HTML, **foreign}), 403)
    assert "allowed-hosts" in expect(api.get("/queues", headers={**JSON, **foreign}), 403).json()["message"]
    workers = stack.children("worker")
    stack.freeze(workers)
    try:
        answer = api.get("/queues", headers=HTML)
        assert answer.status_code in (503, 504)
        assert "Not available" in frontend_page(answer, answer.status_code)
        assert "message" in api.get("/queues", headers=JSON).json()
    finally:
        stack.thaw(workers)


# ---- modes ----

def test_the_front_page_in_the_mode_login(login_server):
    api = Api(login_server.url)
    found = page(api, "/")
    assert not found.all("nav") and not found.all("table")
    assert model(api, "/") == {"title": "Overview", "is_open": False}


@pytest.mark.parametrize("path", ["/", "/queues"])
def test_pages_look_at_no_token(roles_server, path):
    api = Api(roles_server.url)
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": "nonsense"}):
        page(api, path, headers=headers)


@pytest.mark.stores("sqlite")
def test_settings(private):
    """One server without pages, one with a name of its own."""
    api = Api(private("--web", "no", workers=1, webhooks=0).url)
    for path in (*map(address, ROWS.values()), "/static/app.css", "/favicon.ico", "/robots.txt"):
        expect(api.get(path, headers=HTML), 404, NOT_FOUND)
    expect(api.get("/v1/"), 200)
    named = Api(private("--web-title", HOSTILE.replace("\0", ""), "--grafana-url", "https://g/d/1?x=1", workers=1,
                        webhooks=0).url)
    assert page(named, "/queues/a%26b").links()["History in Grafana"] == "https://g/d/1?x=1&var-queue=a%26b"
    found = page(named, "/")
    assert text_of(found.one("title")) == "Overview · " + shown(HOSTILE)
    assert shown(HOSTILE) in found.links()


def test_docs(api):
    """Each endpoint that docs/api.md has, with its examples."""
    text = (ROOT / "docs/api.md").read_text()
    found = page(api, "/docs")
    assert [text_of(e) for e in found.all("summary")] == re.findall("^### (.+)$", text, re.M)
    assert len(found.all("pre")) == len(re.findall("^```console$", text.partition("\n### ")[2], re.M))
    assert found.links()["the OpenAPI document"] == "/openapi.json"
    shown = [e for group in model(api, "/docs")["groups"] for e in group["endpoints"]]
    assert all(e["text"] for e in shown)


# ---- files ----

def static_of(found):
    return [e.get("href") or e.get("src") for e in (*found.all("link"), *found.all("script"))]


def test_files_of_pages(api):
    addresses = static_of(page(api, "/"))
    assert len(addresses) == 3
    for path in addresses:
        assert re.fullmatch(r"/static/\w+\.[0-9a-f]{12}\.(css|js|svg)", path)
        plain = expect(api.get(path, headers={"Accept-Encoding": "identity"}), 200)
        packed = expect(api.get(path, headers={"Accept-Encoding": "gzip"}), 200)
        assert packed.headers["Content-Encoding"] == "gzip" and "Content-Encoding" not in plain.headers
        assert packed.content == plain.content and len(plain.content) > 100
        assert "immutable" in plain.headers["Cache-Control"] and plain.headers["Vary"] == "Accept-Encoding"
        head = api.head(path)
        assert head.status_code == 200 and head.content == b""
        # of another release: what there is, not for ever
        for other in (re.sub(r"\.[0-9a-f]{12}\.", ".000000000000.", path), re.sub(r"\.[0-9a-f]{12}\.", ".", path)):
            old = expect(api.get(other), 200)
            assert old.content == plain.content and old.headers["Cache-Control"] == "no-cache"
    for name in ("nope.css", "app", "app.", ".css", "app..css", "app.a.b.css", "app.css%00", "%2e%2e%2fapp.css"):
        expect(api.get(f"/static/{name}"), 404)
    icon = expect(api.get("/favicon.ico"), 200)
    assert icon.headers["Content-Type"] == "image/svg+xml" and icon.content.startswith(b"<svg")
    expect(api.get("/robots.txt"), 200, "User-agent: *\nDisallow: /\n")


# ---- /queues ----

def rows(api, search, **params):
    return page(api, "/queues", params={"search": search, **params}).rows()


def test_queues(api, queue):
    described, served, silent = f"{queue}-a", f"{queue}-b", f"{queue}-c"
    expect(api.post("/v1/agents/queues", {described: "for\nall", served: ""}), 200)
    api.agent(f"{queue}-1", state="waiting", queues=[served, silent])
    api.agent(f"{queue}-2", state="offline", queues=[served])
    api.agent(f"{queue}-3")
    jobs = [api.submit(served) for _ in range(3)]
    api.set_state(jobs[0], "test")
    one, two, three = rows(api, queue)
    assert one.pop("Oldest waits since") == "" and re.fullmatch(r"[-\d]{10} [:\d]{8}", two.pop("Oldest waits since"))
    assert one == {"Queue": described, "Unfinished jobs": "0", "Waiting": "0", "Running": "0",
                   "Agents online": "0 of 0", "Marks": "", "Description": "for all"}
    assert two == {"Queue": served, "Unfinished jobs": "3", "Waiting": "2", "Running": "1",
                   "Agents online": "1 of 2", "Marks": "", "Description": ""}
    assert three["Queue"] == silent and three["Agents online"] == "1 of 1"
    assert page(api, f"/queues?search={queue}").links()[served] == f"/queues/{served}"
    assert [r["Queue"] for r in rows(api, queue, sort="-unfinished")] == [served, described, silent]
    assert [r["Queue"] for r in rows(api, queue, sort="-queue")] == [silent, served, described]
    assert [r["Queue"] for r in rows(api, queue, sort="oldest")] == [served, described, silent]
    assert [r["Queue"] for r in rows(api, f"{queue.upper()} FOR")] == [described]
    found = model(api, f"/queues?search={queue}")["rows"]
    assert [(r["name"], r["unfinished"], r["agents"], r["online"]) for r in found] == [
        (described, 0, 0, 0), (served, 3, 2, 1), (silent, 0, 1, 1)]
    api.set_state(jobs[0], "complete")
    assert rows(api, queue)[1]["Unfinished jobs"] == "2"


def test_sorted_columns(api, queue):
    expect(api.post("/v1/agents/queues", {queue: "x"}), 200)
    found = page(api, f"/queues?search={queue}&sort=waiting")
    column, = [th for th in found.all("th") if th.get("aria-sort")]
    assert (text_of(column), column.get("aria-sort")) == ("Waiting", "ascending")
    assert found.links()["Waiting"] == f"?search={queue}&sort=-waiting"
    assert found.links()["Queue"] == f"?search={queue}&sort=queue"


def test_no_queue(api):
    nothing = new_id()
    found = page(api, f"/queues?search={nothing}")
    assert not found.all("table") and f"No queue fits “{nothing}”." in text_of(found.one("main"))
    assert model(api, f"/queues?search={nothing}")["rows"] == []


def test_paused_and_restricted_queues(roles_server, queue):
    api = Api(roles_server.url)
    admin = auth.as_role("admin")
    expect(api.post(f"/v1/queues/{queue}/pause", {"reason": HOSTILE}, headers=admin), 200)
    expect(api.post("/v1/agents/queues", {queue: ""}, headers=admin), 200)
    row, = rows(api, queue)
    assert row["Marks"] == "paused: " + shown(HOSTILE)
    line, = [text_of(li) for li in page(api, "/").all("li") if queue in text_of(li)]
    assert "is paused" in line and shown(HOSTILE) in line
    expect(api.post(f"/v1/queues/{queue}/resume", {}, headers=admin), 200)
    assert rows(api, queue)[0]["Marks"] == ""


def test_hostile_queues(api, storage, queue):
    name = f"{queue}/<b>\"'&{{{{x}}}} 🐧"
    expect(api.post("/v1/agents/queues", {name: HOSTILE}), 200)
    row, = rows(api, queue)
    assert row["Queue"] == shown(name) and row["Description"] == shown(HOSTILE)
    link = page(api, f"/queues?search={queue}").links()[shown(name)]
    assert re.fullmatch(r"/queues/[A-Za-z0-9%._~-]+", link)
    for search in (HOSTILE, "\0", "x" * 3000, "%", "\"><script>"):
        found = page(api, "/queues", params={"search": search})
        box, = [e for e in found.all("main//input") if e.get("type") == "search"]
        assert box.get("value") == re.sub("[\0\x1b\x85\ufffe]", "\ufffd", search)


def test_a_description_of_the_largest_size(api, queue):
    text = "<&\"é" * 12000
    expect(api.post("/v1/agents/queues", {queue: text}), 200)
    row, = rows(api, queue)
    assert 1990 < len(row["Description"].encode()) < 2010 and row["Description"][-1] == "…"
    assert text.startswith(row["Description"][:-1])


def test_searches_of_many_and_long_words(api, queue):
    expect(api.post("/v1/agents/queues", {queue: "a b c d e f g h i"}), 200)
    assert rows(api, f"{queue} a b c d e f g") and not rows_of(api, f"{queue} a b zz")
    assert not rows_of(api, "a" * 300) and rows(api, f"  {queue}   a ")


def rows_of(api, search):
    return model(api, "/queues", params={"search": search})["rows"]


# ---- / ----

def line_of(api, name):
    found = [text_of(li) for li in page(api, "/").all("li") if name in text_of(li)]
    return found[0] if found else None


def counts(api, section):
    return {e["name"]: e["count"] for e in model(api, "/")[section]}


def test_overview_counts(private):
    stack = private(workers=1)
    api = Api(stack.url)
    found = page(api, "/")
    assert "No job waits." in found.text and "Nothing." in found.text
    for i, state in enumerate(("waiting", "test", "offline", "maintenance", "provision")):
        api.agent(f"a{i}", state=state, queues=["q"], comment="new disk")
    jobs = [api.submit("q") for _ in range(3)]
    api.set_state(jobs[0], "provision")
    api.set_state(jobs[1], "complete")
    assert counts(api, "agents") == {"idle": 1, "busy": 2, "offline": 1, "maintenance": 1}
    assert counts(api, "jobs") == {"waiting": 1, "provision": 1}
    row, = page(api, "/").rows()
    assert (row["Queue"], row["Waiting"], row["Running"], row["Agents online"]) == ("q", "1", "1", "3 of 5")
    assert line_of(api, "a2").startswith("a2 is offline: new disk; its last post: 20")
    assert line_of(api, "a3").startswith("a3 is in maintenance: new disk")
    for n in range(3):
        assert line_of(api, "a0") is None
        expect(api.post("/v1/agents/provision_logs/a0", {"job_id": jobs[0], "exit_code": 1}), 200)
    assert line_of(api, "a0") == "a0 has failed to provision 3 times in a row"
    expect(api.post("/v1/agents/provision_logs/a0", {"job_id": jobs[0], "exit_code": 0}), 200)
    assert line_of(api, "a0") is None


def test_the_longest_waits(private):
    stack = private(workers=1)
    api, storage = Api(stack.url), storage_of(stack)
    for i in range(7):
        storage.set_age(api.submit(f"q{i}"), 100 * (i * 3 % 7))
    assert [r["Queue"] for r in page(api, "/").rows()] == ["q2", "q4", "q6", "q1", "q3"]
