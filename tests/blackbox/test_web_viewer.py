"""The viewer of a job's log, in a browser."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect as see

from client import expect
from test_web_browser import chromium, pytestmark, tab  # noqa: F401
from test_web_job import log, started

MIB = 1 << 20
ROWS = ".view .row"
NODES = 112  # rows at most, of any log


def ended(api, queue, code=0):
    job = started(api, queue)
    api.set_state(job, "test")
    expect(api.post(f"/v1/result/{job}", {"status": {"test": code}}), 200)
    api.set_state(job, "complete")
    return job


def note(page):
    return page.locator(".logbar [role=status]")


def top(page):
    """The number of the first line in view."""
    return page.evaluate("""() => {
        const view = document.querySelector(".view"), edge = view.getBoundingClientRect().top;
        return [...view.querySelectorAll(".row")].map(row => [row.getBoundingClientRect().bottom - edge, +row.dataset.n])
            .filter(([bottom]) => bottom > 1).sort((a, b) => a[0] - b[0])[0][1];
    }""")


@pytest.mark.slow
def test_a_log_of_50_mb(api, tab, queue):  # noqa: F811
    job = ended(api, queue)
    lines = [f"{i:08} {'needle' if i % 300_000 == 250_000 else 'line'} of a log that is long enough, to its end" for i in range(840_000)]
    for number in range(7):
        log(api, job, "test", number, "\n".join(lines[120_000 * number:120_000 * (number + 1)]) + "\n")
    page = tab(f"/jobs/{job}")
    see(page.locator(f"{ROWS} >> nth=0")).to_have_text(lines[0])
    see(note(page)).to_have_text("840,000 lines")
    assert page.locator(ROWS).count() <= NODES
    page.locator(".view").press("G")
    see(page.locator(f"{ROWS} >> nth=-1")).to_have_text(lines[-1])
    assert page.locator(ROWS).count() <= NODES
    page.get_by_label("Search this log").fill("NEEDLE")
    see(note(page)).to_have_text("1 of 2 lines")
    see(page.locator(".row.current")).to_have_text(lines[250_000])
    page.locator(".view").press("n")
    see(page.locator(".row.current")).to_have_text(lines[550_000])
    page.get_by_label("only matching").check()
    see(page.locator(ROWS)).to_have_count(2)
    see(page.locator(f"{ROWS} mark")).to_have_text(["needle", "needle"])


def test_colours_and_copies(api, tab, queue):  # noqa: F811
    job = ended(api, queue, 1)
    text = ("\x1b[31mred\x1b[0m <b>plain</b>\n\nprogress 1\rprogress 2\n\x1b[1;92mgreen\nstill\x1b[0m\x00\x07\n"
            "\x1b]0;title\x07<script>alert(1)</script>\n")
    log(api, job, "test", 0, text)
    page = tab(f"/jobs/{job}", permissions=["clipboard-read", "clipboard-write"])
    see(page.locator(".row .f1")).to_have_text("red")
    see(page.locator(".row .bold.f10")).to_have_text(["green", "still"])
    see(page.locator(ROWS)).to_have_text(["red <b>plain</b>", "", "progress 2", "green", "still", "<script>alert(1)</script>"])
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.rows'))")
    page.locator(".view").press("Control+c")
    assert page.evaluate("navigator.clipboard.readText()") == (
        "red <b>plain</b>\n\nprogress 2\ngreen\nstill\n<script>alert(1)</script>")


def test_lines_of_the_address_keys_and_times(api, tab, queue):  # noqa: F811
    job = ended(api, queue)
    lines = [f"line {i}" for i in range(1, 501)]
    lines[399] = "an ERROR here"
    for number in range(5):
        log(api, job, "test", number, "\n".join(lines[100 * number:100 * number + 100]) + "\n")
    page = tab(f"/jobs/{job}#L120-L140")
    see(page.locator(".row.marked")).to_have_count(21)
    see(page.locator(".row.marked >> nth=0")).to_have_text("line 120")
    view = page.locator(".view")
    view.press("e")
    see(page.locator(".row.current")).to_have_text("an ERROR here")
    view.press("g")
    assert top(page) == 1
    view.press("?")
    see(note(page)).to_contain_text("search")
    view.press("/")
    see(page.get_by_label("Search this log")).to_be_focused()
    page.get_by_role("button", name="Times").click()
    see(page.locator(".row[data-n='1']")).to_have_attribute("data-t", re.compile(r"^\d\d:\d\d:\d\d$"))
    see(page.locator(".row[data-n='2']")).to_have_attribute("data-t", "")
    page.locator(".row[data-n='3']").click(position={"x": 5, "y": 5})
    assert page.url.endswith("#log-output-test-L3")
    page.reload()
    see(page.locator(".row.marked")).to_have_text("line 3")


def test_a_log_that_is_followed(api, tab, queue):  # noqa: F811
    job = started(api, queue)
    api.set_state(job, "test")
    log(api, job, "test", 0, "".join(f"line {i}\n" for i in range(100)))
    page = tab(f"/jobs/{job}")
    see(page.locator(".view")).to_be_visible()
    page.locator(".view").evaluate("view => view.scrollIntoView()")
    see(page.get_by_text("line 99", exact=True)).to_be_in_viewport()
    log(api, job, "test", 1, "more\n" * 50 + "the end\n")
    see(page.get_by_text("the end", exact=True)).to_be_in_viewport()
    page.locator(".view").press("g")
    log(api, job, "test", 2, "later\n")
    see(page.get_by_role("button", name="1 new lines")).to_be_visible()
    page.locator(".view").press("f")
    see(page.get_by_text("later", exact=True)).to_be_visible()
    see(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "true")


def test_a_log_of_an_older_agent_that_is_followed(api, tab, queue):  # noqa: F811
    job = started(api, queue)
    api.set_state(job, "test")
    for text in ("one", "two"):
        expect(api.post_body(f"/v1/result/{job}/output", text, "text/plain"), 200)
    page = tab(f"/jobs/{job}")
    see(page.locator(ROWS)).to_have_text(["one", "two"])
    expect(api.post_body(f"/v1/result/{job}/output", "three", "text/plain"), 200)
    see(page.locator(ROWS)).to_have_text(["one", "two", "three"])


def test_a_failed_phase_is_open_at_its_end(api, tab, queue):  # noqa: F811
    job = ended(api, queue, 3)
    log(api, job, "test", 0, "".join(f"line {i}\n" for i in range(5000)))
    page = tab(f"/jobs/{job}")
    see(page.get_by_text("line 4999", exact=True)).to_be_visible()


def test_wrapped_lines(api, tab, queue):  # noqa: F811
    """The first and the last one can be reached, however few and long they are."""
    job = ended(api, queue, 1)
    log(api, job, "test", 0, "".join(f"begin of {i} " + "word " * 1500 + f"end of {i}\n" for i in range(9)))
    page = tab(f"/jobs/{job}")
    see(page.locator("details[data-loaded]")).to_have_count(1)  # it goes to its end then
    page.get_by_role("button", name="Wrap").click()
    view = page.locator(".view")
    view.evaluate("view => view.scrollIntoView()")
    inside = """([view, text]) => {
        const row = [...view.querySelectorAll(".row")].find(row => row.textContent.includes(text));
        const range = document.createRange(), at = row?.firstChild.data.indexOf(text), box = view.getBoundingClientRect();
        if (!row)
            return false;
        range.setStart(row.firstChild, at);
        range.setEnd(row.firstChild, at + text.length);
        const part = range.getBoundingClientRect();
        return part.top >= box.top && part.bottom <= box.bottom + 1;
    }"""
    view.press("G")
    assert page.evaluate(inside, [view.element_handle(), "end of 8"])
    view.press("g")
    assert page.evaluate(inside, [view.element_handle(), "begin of 0"])


@pytest.mark.slow
def test_the_viewer_is_for_everybody(api, tab, queue):  # noqa: F811
    job = ended(api, queue)
    log(api, job, "test", 0, "".join(f"\x1b[{code}mcolour {code}\x1b[0m\n" for code in
                                     (*range(1, 5), 7, *range(30, 38), *range(40, 48), *range(90, 98), *range(100, 108))))
    page = tab(f"/jobs/{job}")
    for scheme, options in (("dark", {"runOnly": ["color-contrast"]}), ("light", None)):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.goto(f"/jobs/{job}")
        see(page.locator(ROWS).first).to_be_visible()
        found = Axe().run(page, options=options).response["violations"]
        assert not found, (scheme, [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found])
    page.set_viewport_size({"width": 320, "height": 600})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 320


def test_the_earlier_part_of_a_log(api, tab, queue):  # noqa: F811
    """Of a log that is too long its end, and more on demand; the first line stays in view, the search goes on."""
    job = ended(api, queue)
    lines = [f"{i:05} of a log" for i in range(4000)]
    for number in range(4):
        log(api, job, "test", number, "\n".join(lines[1000 * number:1000 * number + 1000]) + "\n")
    page = tab("/")

    def shorter(route):
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace("data-log=", 'data-whole="32000" data-log='))

    page.route(f"**/jobs/{job}", shorter)
    page.goto(f"/jobs/{job}")
    see(note(page)).to_contain_text("The last")
    first = page.locator(".row[data-n='1']")
    see(first).to_have_text(re.compile("^03[45]"))
    page.get_by_label("Search this log").fill("of a log")
    see(note(page)).to_contain_text("1 of 5")
    for count in ("2,1", "4,000"):
        page.locator(".view").press("g")
        text = first.inner_text()
        page.get_by_role("button", name="Load earlier").press("Enter")
        see(note(page)).to_contain_text(f"of {count}")
        see(page.get_by_text(text)).to_be_in_viewport()
        see(page.locator(".view")).to_be_focused()
    see(page.get_by_role("button", name="Load earlier")).to_have_count(0)
    page.locator(".view").press("g")
    see(first).to_have_text(lines[0])
