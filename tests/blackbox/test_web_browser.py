"""The pages in a browser: what is true of each one, and what their script does. On one store: the other one's
pages are the same."""

import re
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect as see
from playwright.sync_api import sync_playwright

from client import expect, new_id
from stack import SANITIZED
from test_web_signin import Visitor, client_of
from web import HOSTILE

CHROMIUM = shutil.which("chromium")
see.set_options(timeout=20_000)
LAB = "lab"  # a name of the server that is not localhost
PERIOD = 10_000  # ms between two looks of a live list
pytestmark = [
    pytest.mark.stores("sqlite"),
    pytest.mark.skipif(SANITIZED, reason="what browsers do is the same in the release run"),
]


@pytest.fixture(scope="module")
def chromium():
    assert CHROMIUM, "chromium is missing: see tests/packages.txt"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-dev-shm-usage", f"--host-resolver-rules=MAP {LAB} 127.0.0.1"])
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium, api):
    """Opens pages of the server. Errors in the console, also those of the policy, fail the test."""
    faults, contexts = [], []

    def open_tab(path, **options):
        context = chromium.new_context(base_url=api.url, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type == "error" and faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.clock.install()
        page.goto(path)
        return page

    yield open_tab
    for context in contexts:
        context.close()
    # Chromium says that it ignores this header without TLS.
    assert not [text for text in faults if "404" not in text and "Cross-Origin-Opener-Policy" not in text]


def look(page):
    """The next look of a live list, which is answered."""
    with page.expect_response(lambda response: response.url == page.url):
        page.clock.run_for(PERIOD)


def is_for_everybody(page, path):
    for scheme, options in (("dark", {"runOnly": ["color-contrast"]}), ("light", None)):
        # Without motion: a button that script presses has the colours of neither state for 0.1 s.
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.goto(path)  # a page that is there already takes the new colours when it likes
        found = Axe().run(page, options=options).response["violations"]
        assert not found, (path, scheme, [(v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found])
    page.set_viewport_size({"width": 320, "height": 600})
    wide = page.evaluate("document.scrollingElement.scrollWidth")
    assert wide <= 320, (path, wide)
    page.set_viewport_size({"width": 1280, "height": 720})


@pytest.mark.slow
def test_the_pages_of_admins_are_for_everybody(server, tab):
    me = client_of(server, "admin")
    visitor = Visitor(server.url, me)
    cookie, _, value = visitor.cookie.partition("=")
    page = tab("/")
    page.context.add_cookies([{"name": cookie, "value": value, "url": server.url}])
    page.goto("/admin/clients")
    page.get_by_label("Client id").fill(f"new-{new_id()}")
    page.get_by_role("button", name="Make the client and its secret").click()
    see(page.locator("#the-secret")).to_have_text(re.compile("^[0-9a-f]{48}$"))
    page.get_by_role("link", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove the client").click()
    see(page.get_by_text("The client is removed.")).to_be_visible()
    for path in ("/admin/clients", f"/admin/clients/{me}", f"/admin/clients/{me}/delete",
                 "/admin/queues", f"/admin/tokens?client_id={me}", "/admin/dead-letters", "/admin/audit",
                 "/admin/status", "/admin/dead-letters/resend"):
        is_for_everybody(page, path)


@pytest.mark.slow
def test_every_page_is_for_everybody(api, tab, queue):
    """By axe, in both schemes; on a small screen nothing but tables and logs scrolls sideways."""
    agent = f"{queue}-a"
    job = api.submit(queue, name="<b>", tags=["a"], test_data={"test_cmds": "true\nfalse"})
    api.submit(queue, parent_job_id=job)
    api.claimed(queue, cookie=f"agent_name={agent}")
    api.set_state(job, "complete")
    api.submit(queue, job_id=job, name="<b>")
    api.agent(agent, state="test", queues=[queue], job_id=job, comment=HOSTILE, log=["one " * 100])
    expect(api.post(f"/v1/agents/provision_logs/{agent}", {"job_id": job, "exit_code": 1}), 200)
    expect(api.post(f"/v1/result/{job}", {"provision_status": 1, "provision_output": "x" * 500}), 200)
    page = tab("/")
    for path in ("/", f"/jobs?queue={queue}", f"/jobs/{job}", f"/agents?search={queue}", f"/agents/{agent}",
                 f"/queues?search={queue}", f"/queues/{queue}", "/docs", f"/jobs/{new_id()}", f"/jobs/{job}/cancel",
                 "/login", f"/agents/{agent}/mode", f"/jobs/new?from={job}",
                 f"/jobs/new?queue={queue}&reserve=1", f"/queues/{queue}/pause"):
        is_for_everybody(page, path)


def test_a_list_follows_what_happens(api, tab, queue):
    path = f"/agents?search={queue}"
    page = tab(path)
    see(page.get_by_text("No agents fit these filters.")).to_be_visible()
    api.agent(f"{queue}-b", state="waiting", queues=[queue])
    look(page)
    link = page.get_by_role("link", name=f"{queue}-b", exact=True)
    see(link).to_be_visible()
    link.focus()
    api.agent(f"{queue}-a", comment=HOSTILE, state="test")
    look(page)
    see(page.locator("tbody tr")).to_have_count(2)
    see(link).to_be_focused()
    with page.expect_response(lambda response: response.url.endswith(path) and response.status == 304):
        page.clock.run_for(PERIOD)
    assert page.get_by_label("Search", exact=True).input_value() == queue


def test_a_list_that_is_not_to_change(api, tab, queue):
    """While text is selected, and once it is switched off, also after a new load."""
    api.agent(f"{queue}-a", state="waiting")
    page = tab(f"/agents?search={queue}")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('tbody'))")
    api.agent(f"{queue}-b")
    page.clock.run_for(2 * PERIOD)
    see(page.locator("tbody tr")).to_have_count(1)
    page.evaluate("getSelection().removeAllRanges()")
    look(page)
    see(page.locator("tbody tr")).to_have_count(2)
    box = page.get_by_role("checkbox", name="live")
    box.uncheck()
    page.reload()
    see(box).not_to_be_checked()
    api.agent(f"{queue}-c")
    page.clock.run_for(2 * PERIOD)
    see(page.locator("tbody tr")).to_have_count(2)
    with page.expect_response(lambda response: response.url == page.url):
        box.check()
    see(page.locator("tbody tr")).to_have_count(3)


def test_times_are_local_and_say_how_long_ago(api, tab, queue):
    api.agent(queue)
    page = tab(f"/agents?search={queue}", timezone_id="Asia/Tokyo", locale="en-GB")
    time = page.locator("tbody time")
    see(time).to_have_text(re.compile(r"^(now|\d+ seconds? ago)$"))
    assert re.search(r"\(20[-\d]{8} [:\d]{8} UTC\)$", time.get_attribute("title"))
    page.clock.run_for(5 * 60_000)
    see(time).to_have_text(re.compile("^[56] minutes ago$"))


def test_the_definition_is_copied(api, tab, queue):
    job = api.submit(queue, test_data={"test_cmds": "echo <b>\ntrue"})
    page = tab(f"/jobs/{job}", permissions=["clipboard-read", "clipboard-write"])
    button = page.get_by_role("button", name="Copy YAML")
    button.scroll_into_view_if_needed()
    button.click()
    see(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#job-yaml-content").text_content()


def test_the_definition_is_copied_without_tls(api, tab, queue):
    """Browsers have no navigator.clipboard there."""
    job = api.submit(queue, test_data={"test_cmds": "echo <b>\ntrue"})
    page = tab(api.url.replace("127.0.0.1", LAB) + f"/jobs/{job}")
    assert not page.evaluate("window.isSecureContext")
    yaml = page.locator("#job-yaml-content").text_content()
    page.get_by_role("button", name="Copy YAML").click()
    see(page.get_by_role("button", name="Copied")).to_be_visible()
    page.get_by_role("searchbox").press("Control+v")
    pasted = page.get_by_role("searchbox").input_value()  # one line
    assert pasted.split() == yaml.split()


def test_without_script(api, tab, queue):
    api.agent(f"{queue}-a", state="waiting", queues=[queue])
    page = tab(f"/agents?search={queue}", java_script_enabled=False)
    see(page.locator("tbody tr")).to_have_count(1)
    see(page.get_by_role("checkbox")).to_have_count(0)
    see(page.locator("tbody time")).to_have_text(re.compile(r"^20[-\d]{8} [:\d]{8}$"))


def test_a_job_is_cancelled_in_a_dialog(api, tab, queue):
    job = api.submit(queue)
    page = tab(f"/jobs/{job}")
    page.get_by_role("link", name="Cancel", exact=True).click()
    dialog = page.get_by_role("dialog", name="Cancel a job")
    see(dialog).to_be_visible()
    dialog.get_by_role("link", name="Back").click()
    see(dialog).to_have_count(0)
    assert page.url.endswith(f"/jobs/{job}") and api.state(job) == "waiting"
    page.get_by_role("link", name="Cancel", exact=True).press("Enter")
    dialog.get_by_role("button", name="Cancel the job").click()
    see(page.get_by_text("The job is cancelled.")).to_be_visible()
    see(page.get_by_role("link", name="Cancel", exact=True)).to_have_count(0)
    assert api.state(job) == "cancelled"
