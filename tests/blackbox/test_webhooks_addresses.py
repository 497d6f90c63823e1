"""Where events may go by the receiver's address, which others choose in the open mode."""

import os
import time

import pytest

import auth
from client import Api, expect, message
from receiver import Receiver
from stack import Stack
from test_open_mode import Elsewhere
from test_webhooks import post, state

pytestmark = pytest.mark.stores("sqlite")
PATIENT = ("--webhook-timeout", 20000)  # what is refused is not waited for
FORBIDDEN = message("Invalid job_status_webhook URL specified")
NEVER = ["169.254.169.254", "169.254.170.2", "[fe80::1]", "[fd00:ec2::254]", "100.100.100.200", "0.0.0.0",
         "224.0.0.1", "255.255.255.255", "[::]", "[::7f00:1]", "[64:ff9b::a9fe:a9fe]",
         "[2002:a9fe:a9fe::1]", "[::ffff:a9fe:a9fe]", "192.88.99.1",
         # Other ways to write the first one.
         "0251.0376.0251.0376", "169.254.43518"]
PRIVATE = ["127.0.0.1", "10.0.0.1", "192.168.1.1", "100.64.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1",
           "[::1]", "[fc00::1]", "[2001:db8::1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]",
           "localhost"]


class Hosts(Stack):
    """A server with names of its own: two that stand for a metadata service, one also for here."""

    NAMES = "127.0.0.1 localhost both.test\n169.254.169.254 metadata.test both.test\n"

    def command(self):
        (self.folder / "hosts").write_text(self.NAMES)
        return ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"',
                str(self.folder / "hosts"), *super().command()]


@pytest.fixture(scope="module")
def receiver():
    with Receiver() as process:
        yield process


@pytest.fixture(scope="module")
def inside(store_uri):
    with Stack(store_uri(), *PATIENT, webhooks=1) as stack:
        yield Api(stack.url)


@pytest.fixture(scope="module")
def reached(store_uri):
    """A server that other machines reach."""
    with Elsewhere(store_uri(), "--auth", "open", *PATIENT, webhooks=1) as stack:
        yield Api(stack.url)


def refused(api, url):
    """Refused at once, without a connection."""
    began = time.monotonic()
    response = post(api, url, api.submit("q"))
    expect(response, 403, FORBIDDEN)
    assert state(response) == "dead" and time.monotonic() - began < 15


@pytest.mark.alike
@pytest.mark.parametrize("host", NEVER)
def test_never_a_receiver(inside, reached, host):
    refused(inside, f"http://{host}/latest/meta-data/")
    refused(reached, f"http://{host}/latest/meta-data/")


@pytest.mark.parametrize("host", PRIVATE)
def test_private_ones_of_a_server_that_others_reach(reached, host):
    refused(reached, f"http://{host}/")


def test_private_ones_of_a_server_that_is_inside(inside, receiver):
    job = inside.submit("q")
    expect(post(inside, f"{receiver.url}/ok/{job}", job), 200)
    assert len(receiver.requests(job)) == 1


@pytest.mark.parametrize("options", [["--webhook-private", "allow"], None])
def test_private_ones_by_a_setting(store_uri, receiver, options):
    """Allowed by name, or by WEBHOOK_URL; a metadata service is not among the private ones."""
    env = None if options else {"WEBHOOK_URL": receiver.url}
    with Elsewhere(store_uri(), "--auth", "open", *PATIENT, *(options or []), env=env, webhooks=1) as stack:
        api = Api(stack.url)
        job = api.submit("q")
        expect(post(api, f"{receiver.url}/ok/{job}", job), 200)
        if options:
            refused(api, "http://169.254.169.254/")


@pytest.mark.slow
def test_private_ones_are_refused_by_a_setting(store_uri, receiver):
    with Stack(store_uri(), "--webhook-private", "refuse", *PATIENT, webhooks=1) as stack:
        refused(Api(stack.url), receiver.url)


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="mounts a file")
def test_names(store_uri, receiver):
    """Each address of a name is checked when it is connected to."""
    with Hosts(store_uri(), *PATIENT, webhooks=1) as stack:
        api = Api(stack.url)
        refused(api, "http://metadata.test/")
        job = api.submit("q")
        url = receiver.url.replace("127.0.0.1", "both.test")
        expect(post(api, f"{url}/ok/{job}", job), 200)
        assert len(receiver.requests(job)) == 1


@pytest.mark.slow
def test_a_connection_that_is_used_again(store_uri, receiver):
    """Another URL of the same host gets no connection that only the own receiver may have."""
    options = ("--auth", "roles", "--webhook-hosts", f"127.0.0.1:{receiver.port.number}")
    env = {**auth.ENV, "WEBHOOK_URL": receiver.url}
    with Stack(store_uri(), *options, env=env, webhooks=1) as stack:
        agent = Api(stack.url)
        agent.session.headers["Authorization"] = "Bearer " + auth.token({"role": "agent"})
        job = Api(stack.url).submit("q")
        expect(post(agent, f"{receiver.url}/ok/{job}", job), 200)
        other = Api(stack.url).submit("q")
        url = receiver.url.replace("//", "//user@")
        expect(post(agent, f"{url}/ok/{other}", other), 403, FORBIDDEN)
        assert receiver.requests(other) == []
