"""The page of a job, and its logs as text."""

import datetime
import random
import re

import pytest
import yaml

import auth
from client import Api, expect, new_id
from stack import wait_until
from test_logs import body as fragment
from test_web_signin import Visitor, client_of
from web import HOSTILE, HTML, JSON, Page, model, page, shown, text_of


def started(api, queue, **fields):
    job = api.submit(queue, **fields)
    assert api.claimed(queue, cookie=f"agent_name={queue}") == job
    return job


def log(api, job, phase, number, text, kind="output"):
    expect(api.post(f"/v1/result/{job}/log/{kind}", fragment(number, text, phase=phase)), 200)


def facts(found):
    names, values = found.all("dl/dt"), found.all("dl/dd")
    assert len(names) == len(values)
    return dict(zip(map(text_of, names), map(text_of, values)))


def logs(found):
    """{title: (open, text)}"""
    return {text_of(d.find("summary")): (d.get("open") is not None, "".join(d.find("pre").itertext()))
            for d in found.all("details") if d.find("pre[@role='log']") is not None}


def definition(found):
    code, = [e for e in found.all("code") if e.get("id") == "job-yaml-content"]
    assert not list(code)
    return code.text


def test_a_job_that_failed(api, queue):
    job = started(api, queue, name="<b>my job</b>", tags=["a", "b"], provision_data={"distro": "x"},
                  test_data={"test_cmds": "echo 1\necho 2\n"})
    codes = {}
    for phase, code in (("provision", 0), ("test", 1)):
        api.set_state(job, phase)
        log(api, job, phase, int(phase == "test"), f"line of {phase}\n")
        log(api, job, phase, 2 + (phase == "test"), "end\n")
        codes[phase] = code
        expect(api.post(f"/v1/result/{job}", {"status": codes}), 200)
    api.set_state(job, "complete")
    found = page(api, f"/jobs/{job}")
    assert text_of(found.one("h1")) == "<b>my job</b>"
    outcome, = [p for p in found.all("p") if p.get("class") == "outcome"]
    assert text_of(outcome) == "✘ failed in test (1)"
    seen = facts(found)
    assert seen["Job"] == job and seen["Queue"] == queue and seen["Agent"] == queue and seen["Tags"] == "a b"
    assert "Ended" in seen and "Took" in seen
    phases = found.rows()
    assert [(p["Phase"], p["Outcome"], p["Exit code"]) for p in phases] == [
        ("provision", "✔ passed", "0"), ("test", "✘ failed", "1")]
    assert all(re.fullmatch(r"[-\d]{10} [:\d]{8}", p["Began"]) and p["Took"] for p in phases)
    assert logs(found) == {"provision": (False, "line of provision\nend\n"), "test": (True, "line of test\nend\n")}
    assert "<span>Exit Status:</span> 0" in found.text and "<span>Exit Status:</span> 1" in found.text
    assert [text_of(li).split(",")[0] for li in found.all("ol/li")] == ["running", "provision", "test", "complete"]


def test_facts_that_others_rely_on(api, queue):
    """Texts and names of the HTML by which existing checks and scrapers find the job's definition."""
    fields = {"tags": ["x"], "test_data": {"test_cmds": "a\nb\n"}, "job_priority": 0}
    job = api.submit(queue, **fields)
    for text in ('data-copy-target="#job-yaml-content"', 'id="job-yaml-tab"', 'aria-controls="job-yaml"',
                 'class="language-yaml pygments"', 'class="language-bash pygments"', 'id="phase-results"',
                 'id="job-definition"', "test_cmds: |"):
        assert text in page(api, f"/jobs/{job}").text, text
    text = definition(page(api, f"/jobs/{job}"))
    assert not text.startswith("\n") and "job_id" not in text
    assert yaml.safe_load(text) == {"job_queue": queue, **fields}


def test_the_definition_is_what_was_submitted(api, queue):
    fields = {"test_data": {"test_cmds": "x: 'y'\n  z\n", "attachments": []}, "name": "yes", "tags": ["1", "0x1f", ""],
              "reserve_data": {"ssh_keys": ["lp:me"], "timeout": 60}, "output_timeout": 30,
              "provision_data": {"distro": "x"},
              "extra": {"a": None, "b": True, "c": 1.5e300, "d": 1e100, "e": -0.1, "f": [], "g": {}, "h": "~",
                        "i": "2026-01-31", "j": "12:30", "k": HOSTILE, "l": "a\tb", "m": "  x\n\n y \n",
                        "n": "<<", "o": "1_000", "p": ".inf", "q": "- x", "r": "a: b #c", "s": "\u2028",
                        "NO": 2**53, "t": 12345678901234567, "u": "line\r\n", "v": "null ", "w": "é" * 200}}
    job = api.submit(queue, **fields)
    found = page(api, f"/jobs/{job}")
    text = model(api, f"/jobs/{job}")["definition"]["yaml"]
    assert yaml.safe_load(text) == {"job_queue": queue, **fields} and text.endswith("\n")
    assert definition(found) == text.replace("\ufffe", "\ufffd")


WORDS = ["", "~", "null", "yes", "Off", "1", "1.5", "1e3", "0o7", "0x1F", "12:30:45", "2001-12-14", "<<", "=", "-", "?",
         "a: b", "a #b", "[x", "{x", "&a", "*a", "!t", "|", ">", "%d", "@x", "`x", "'", "\"", "\\", " x", "x ", "\n", "a\n",
         "a\nb", "\na", " a\nb", "a \nb", "a\n\n", "\t", "a\tb\n", "\x00", "\x1b[1m", "\x7f", "\x85", "\u2028", "é", "🐧",
         "\ufeff", "\ufffe", "#", "-x", "- x", "...", "---", "x" * 300, "a" + " b" * 100, "+1", "-.5", ".5", "1_0", "y", "N"]


def random_value(chance, depth=0):
    kind = chance.randrange(9 if depth < 3 else 7)
    if kind < 4:
        return "".join(chance.choice(WORDS) for _ in range(chance.randrange(1, 3)))
    if kind == 7:
        return [random_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind == 8:
        return {"".join(chance.choice(WORDS).replace("\0", "0") for _ in range(2)): random_value(chance, depth + 1)
                for _ in range(chance.randrange(4))}
    return chance.choice([None, True, False, 0, -1, 2**40, 0.1, 1e100, -2.5e-7, 1e16, 123456789.0, 3.0])


@pytest.mark.stores("sqlite")
def test_random_definitions(api, queue):
    chance = random.Random(17)
    for _ in range(30):
        data = {f"k{i}": random_value(chance) for i in range(20)}
        job = api.submit(queue, extra=data)
        text = model(api, f"/jobs/{job}")["definition"]["yaml"]
        assert yaml.safe_load(text)["extra"] == data, text


def test_a_definition_without_provision_data(api, queue):
    assert yaml.safe_load(definition(page(api, f"/jobs/{api.submit(queue)}"))) == {"job_queue": queue}


@pytest.mark.stores("mongodb")
def test_provision_data_of_other_servers(api, db, queue):
    """They took a text, too."""
    job = api.submit(queue)
    db.jobs.update_one({"job_id": job}, {"$set": {"job_data.provision_data": "skip"}})
    found = page(api, f"/jobs/{job}")
    assert yaml.safe_load(definition(found)) == {"job_queue": queue, "provision_data": "skip"}


def test_a_job_that_waits(api, storage, queue):
    first, second = api.submit(queue), api.submit(queue)
    found = text_of(page(api, f"/jobs/{first}").one("main"))
    assert "It is the next job of its queue." in found and "No agent serves its queue." in found
    api.agent(queue, state="waiting", queues=[queue])
    found = text_of(page(api, f"/jobs/{second}").one("main"))
    assert "1 jobs of its queue are handed out before it." in found and "No agent serves" not in found
    assert "1 of 1 agents online." in found and "Half of the jobs" not in found
    assert api.claimed(queue) == first
    api.agent(f"{queue}-b", state="offline", queues=[queue])
    wait_until(lambda: "Half of the jobs there waited less than " in text_of(page(api, f"/jobs/{second}").one("main")),
               "how long jobs wait")
    assert "1 of 2 agents online." in page(api, f"/jobs/{second}").text
    assert text_of(page(api, f"/jobs/{second}").one("h1")) == second[:8]
    waits = api.submit(queue, test_data={"attachments": [{"agent": "x"}], "test_cmds": "x"})
    assert "It waits for its attachments." in page(api, f"/jobs/{waits}").text


def test_a_job_that_is_reserved(api, queue):
    job = started(api, queue, reserve_data={"ssh_keys": ["lp:me"], "timeout": 600})
    api.set_state(job, "reserve")
    expect(api.post(f"/v1/result/{job}", {"device_info": {"device_ip": "10.0.0.9"}}), 200)
    found = page(api, f"/jobs/{job}")
    until = datetime.datetime.fromisoformat(found.one("p/time").get("datetime").replace("Z", "+00:00"))
    left = (until - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    bar = found.one("progress")
    assert int(bar.get("max")) == 600 and 0 <= int(bar.get("value")) <= 600
    assert re.search(r"Reserved until [-\d: ]{19}, \d+ (min|s)( \d+ s)? left\.", text_of(found.one("main")))
    assert 0 < left <= 600 and facts(found)["Device address"] == "10.0.0.9"
    api.set_state(job, "complete")
    assert not page(api, f"/jobs/{job}").all("p/time")


def test_a_job_without_logs_says_how_long_they_are_kept(api, queue):
    assert "There is no log. Logs are kept for 7 d." in page(api, f"/jobs/{api.submit(queue)}").text


def test_a_cancelled_job_has_its_reason(api, queue):
    job = api.submit(queue)
    expect(api.post(f"/v1/job/{job}/action", {"action": "cancel"}), 200)
    outcome, = [p for p in page(api, f"/jobs/{job}").all("p") if p.get("class") == "outcome"]
    assert text_of(outcome).startswith("⊘ cancelled")


@pytest.mark.parametrize("id_", ["job1", "x" * 900, "%00", "%F0%9F%90%A7", "%3Cscript%3E", "11111111-2222-3333-4444-555555555555"])
def test_unknown_jobs(api, id_):
    for path in (f"/jobs/{id_}", f"/jobs/{id_}/log/output", f"/jobs/{id_}/log/serial"):
        found = page(api, path, 404)
        assert "Job not found: " in found.text
        assert expect(api.get(path, headers=JSON), 404).json()["message"].startswith("Job not found: ")
    if "%" not in id_ and len(id_) < 100:
        assert f"Job not found: {id_}" in page(api, f"/jobs/{id_}", 404).text


# ---- logs ----

def test_the_end_of_a_long_log(api, queue):
    """64 KiB of the log that is open, 16 of the others; whole lines."""
    job = started(api, queue)
    for number in range(40):
        log(api, job, "provision", number, "".join(f"{number:02} {i:04} provision\n" for i in range(400)))
        log(api, job, "test", 100 + number, "".join(f"{number:02} {i:04} test é\n" for i in range(400)))
    api.set_state(job, "test")
    shown_logs = logs(page(api, f"/jobs/{job}"))
    opened, text = shown_logs["test"]
    assert opened and text.endswith("39 0399 test é\n") and 60_000 < len(text.encode()) <= 65536
    assert all(re.fullmatch(r"\d\d \d{4} test é", line) for line in text.splitlines())
    opened, text = shown_logs["provision"]
    assert not opened and text.endswith("39 0399 provision\n") and 15_000 < len(text) <= 16384
    whole = expect(api.get(f"/jobs/{job}/log/output?phase=test"), 200)
    assert whole.text.count("\n") == 16000 and whole.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "this is the end" in page(api, f"/jobs/{job}").text


def test_logs_as_text(api, queue):
    job = started(api, queue)
    raw = "\x1b[31mred\x1b[0m <b>\r\nprogress 1\rprogress 2\n\x1b]0;title\x07\0\x08 é 🐧\n"
    log(api, job, "setup", 0, "first\n")
    log(api, job, "test", 1, raw)
    log(api, job, "test", 0, "serial\n", "serial")
    assert expect(api.get(f"/jobs/{job}/log/output"), 200).content == ("first\n" + raw).encode()
    assert expect(api.get(f"/jobs/{job}/log/output?phase=test"), 200).content == raw.encode()
    assert expect(api.get(f"/jobs/{job}/log/output?start=1"), 200).content == raw.encode()
    assert expect(api.get(f"/jobs/{job}/log/serial"), 200).text == "serial\n"
    assert expect(api.get(f"/jobs/{job}/log/serial?phase=setup"), 200).text == ""
    answer = expect(api.get(f"/jobs/{job}/log/output?download=1"), 200)
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{job[:8]}-output.log"'
    same = {"If-None-Match": answer.headers["ETag"]}
    expect(api.get(f"/jobs/{job}/log/output", headers=same), 304)
    found = logs(page(api, f"/jobs/{job}"))
    assert found["test"] == (True, "red <b>\nprogress 2\n é 🐧\n") and found["test (serial)"] == (False, "serial\n")
    for query in ("phase=nope", "start=x", "start=-1", "start=" + "9" * 30):
        page(api, f"/jobs/{job}/log/output?{query}", 422)


def test_logs_of_older_agents(api, queue):
    """Live output while the job runs, fields of the result at its end."""
    job = started(api, queue)
    api.set_state(job, "test")
    expect(api.post_body(f"/v1/result/{job}/output", "one <b>", "text/plain"), 200)
    expect(api.post_body(f"/v1/result/{job}/output", "two", "text/plain"), 200)
    assert logs(page(api, f"/jobs/{job}")) == {"test": (True, "one <b>\ntwo\n")}
    assert expect(api.get(f"/jobs/{job}/log/output"), 200).text == "one <b>\ntwo\n"
    expect(api.post(f"/v1/result/{job}", {"test_output": "whole\n", "test_status": 3, "setup_output": "s\n",
                                          "setup_status": 0, "test_serial": "boot\n"}), 200)
    api.set_state(job, "complete")
    assert logs(page(api, f"/jobs/{job}")) == {"setup": (False, "s\n"), "test": (True, "whole\n"),
                                               "test (serial)": (False, "boot\n")}
    assert expect(api.get(f"/jobs/{job}/log/output"), 200).text == "s\nwhole\n"


def test_hostile_jobs(api, queue):
    job = started(api, queue, name=HOSTILE, tags=[HOSTILE], test_data={"test_cmds": HOSTILE},
                  extra={HOSTILE: HOSTILE})
    log(api, job, "test", 0, HOSTILE * 3)
    expect(api.post(f"/v1/result/{job}", {"job_state": HOSTILE[:20], "device_info": {"device_ip": HOSTILE}}), 200)
    found = page(api, f"/jobs/{job}")
    assert text_of(found.one("h1")) == shown(HOSTILE) and facts(found)["Device address"] == shown(HOSTILE)
    assert "<script>alert(1)</script>" in logs(found)["test"][1]


def test_large_texts(api, queue):
    """A definition of nearly 1 MiB is shown, a larger one is not; a long name is cut."""
    text = ("<&" * 100 + "\n") * 4000
    job = api.submit(queue, test_data={"test_cmds": text}, name="é" * 10000)
    assert model(api, f"/jobs/{job}")["definition"]["script"] == text
    answer = expect(api.get(f"/jobs/{job}", headers=HTML), 200)
    assert answer.text.count("&lt;&amp;") >= 2 * 400_000 and len(answer.text.partition("</title>")[0]) < 1000
    large = api.submit(queue, test_data={"test_cmds": "<\n" * 5_000_000})
    found = page(api, f"/jobs/{large}")
    assert found.links()["as JSON"] == f"/v1/job/{large}" and not definition_of(found)
    assert len(page(api, f"/jobs?queue={queue}").rows()) == 2


def definition_of(found):
    return [e for e in found.all("code") if e.get("id") == "job-yaml-content"]


def test_files(api, queue):
    job = started(api, queue)
    expect(api.request("POST", f"/v1/result/{job}/artifact", files={"file": ("a.tgz", b"x" * 1234)}), 200)
    found = page(api, f"/jobs/{job}")
    assert found.links()["artifact"] == f"/jobs/{job}/artifact"
    file = expect(api.get(f"/jobs/{job}/artifact"), 200)
    assert file.content == b"x" * 1234 and file.headers["Content-Disposition"].startswith("attachment")
    assert file.headers["Cache-Control"] == "private, no-cache" and "Cookie" in file.headers["Vary"]
    assert "sandbox" in file.headers["Content-Security-Policy"]
    assert "artifact: 1234 bytes" in text_of(found.one("main"))


def test_the_queue_of_a_job_is_paused(api, queue):
    job = api.submit(queue)
    expect(api.post(f"/v1/queues/{queue}/pause", {"reason": HOSTILE, "until": "2099-01-01T00:00:00Z"}), 200)
    line, = [text_of(e) for e in page(api, f"/jobs/{job}").all("span") if e.get("class") == "warn"]
    assert line == f"The queue is paused: {shown(HOSTILE)}, until 2099-01-01T00:00:00Z"
    paused = model(api, f"/jobs/{job}")["waiting"]["paused"]
    assert paused["reason"] == HOSTILE and paused["by"] is None
    expect(api.post(f"/v1/queues/{queue}/resume", {}), 200)
    assert model(api, f"/jobs/{job}")["waiting"]["paused"] is None


def test_earlier_attempts(api, queue):
    job = started(api, queue)
    expect(api.post(f"/v1/result/{job}", {"provision_status": 0, "test_status": 7, "job_state": "complete"}), 200)
    api.submit(queue, job_id=job)
    found = page(api, f"/jobs/{job}")
    assert facts(found)["Attempt"] == "2" and found.links()["2"] == "#attempts"
    row, = found.rows()
    assert (row["Attempt"], row["Outcome"], row["Exit codes"], row["Agent"]) == (
        "1", "✘ failed in test (7)", "provision 0 test 7", queue)
    assert "Attempt" not in facts(page(api, f"/jobs/{api.submit(queue)}"))


def test_parent_and_children(api, queue):
    parent = api.submit(queue, name="a parent")
    child = api.submit(queue, parent_job_id=parent, name=HOSTILE.replace("\0", ""))
    row, = page(api, f"/jobs/{parent}").rows()
    assert row["Job"].startswith(child[:8]) and row["State"] == "○ waiting"
    found = facts(page(api, f"/jobs/{child}"))
    assert found["Parent"] == parent and found["State of the parent"] == "○ waiting"
    for name in ("nobody", HOSTILE.replace("\0", "")):
        found = facts(page(api, f"/jobs/{api.submit(queue, parent_job_id=name)}"))
        assert found["Parent"] == shown(name) and "State of the parent" not in found


def test_audit_of_a_job(roles_server, queue):
    api, admin = Api(roles_server.url), Visitor(roles_server.url, client_of(roles_server, "admin"))
    job = api.submit(queue)
    admin.act(f"/jobs/{job}/cancel")
    line, = [text_of(li) for li in page(admin, f"/jobs/{job}").all("li") if "job.cancel" in text_of(li)]
    assert "job.cancel by admin-" in line
    assert not model(api, f"/jobs/{job}")["around"]["has_audit"]
