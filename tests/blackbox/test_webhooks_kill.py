"""Events survive the death of any process, arrive in order, and one receiver delays no other."""

import json
import signal
import threading
import time

import pytest

from client import Api, new_id
from receiver import Receiver
from stack import wait_until
from test_webhooks import post, state

pytestmark = [pytest.mark.waits, pytest.mark.slow]

JOBS, EVENTS = 12, 6


def bodies(receiver, part):
    return [json.loads(r["body"])["agent_id"] for r in receiver.requests(part)]


def without_repeats(texts):
    return [t for i, t in enumerate(texts) if i == 0 or t != texts[i - 1]]


class Agents:
    """Post the events of some jobs, one after the other in each, until each post is taken."""

    def __init__(self, url, target):
        self.api, self.target = url, target
        self.jobs = [new_id() for _ in range(JOBS)]
        self.ids = {}  # (job, event): the ids that answers told
        self.threads = [threading.Thread(target=self.run, args=(j,)) for j in self.jobs]
        for thread in self.threads:
            thread.start()

    def run(self, job):
        api = Api(self.api)
        for n in range(EVENTS):
            for _ in range(60):
                response = post(api, f"{self.target}/{job}", job, agent_id=str(n))
                told = response.headers.get("X-Webhook-Event-Id")
                if told:
                    self.ids.setdefault((job, n), set()).add(told)
                    break
                time.sleep(0.1)

    def join(self):
        for thread in self.threads:
            thread.join()


def test_killed_all_the_time(private):
    """Dispatchers and brokers die by SIGKILL while events come; all arrive, in order of their jobs;
    what arrives twice has the same id."""
    stack = private("--webhook-timeout", 500, "--webhook-backoff", 200, webhooks=2)
    with Receiver() as receiver:
        agents = Agents(stack.url, f"{receiver.url}/sleep/20")
        for n in range(4):
            wait_until(lambda: len(receiver.requests()) >= 8 * (n + 1), "events arrive", 30)
            for pid in stack.children("webhook"):
                stack.signal(signal.SIGKILL, [pid])
            if n == 1:
                stack.kill("broker")
            wait_until(lambda: len(stack.children("webhook")) == 2, "they are replaced", 20)
        agents.join()
        wait_until(lambda: all(str(EVENTS - 1) in bodies(receiver, j) for j in agents.jobs),
                   "the last event of each job has arrived", 40)
        for job in agents.jobs:
            assert without_repeats(bodies(receiver, job)) == [str(n) for n in range(EVENTS)]
            for n in range(EVENTS):
                ids = {r["headers"]["webhook-id"] for r in receiver.requests(job)
                       if json.loads(r["body"])["agent_id"] == str(n)}
                assert len(ids) == 1 and agents.ids[job, n] == ids


def test_all_killed_while_the_receiver_is_away(private):
    """The whole server and the receiver; what was acknowledged arrives."""
    stack = private("--webhook-timeout", 500, "--webhook-backoff", 200, webhooks=1)
    receiver = Receiver().start()
    receiver.stop()
    api, job = Api(stack.url), new_id()
    for n in range(3):
        assert state(post(api, f"{receiver.url}/ok/{job}", job, agent_id=str(n))) == "queued"
    stack.kill_all()
    stack.start()
    with receiver:
        receiver.wait_for(3, job, 30)
        assert without_repeats(bodies(receiver, job)) == ["0", "1", "2"]


def test_a_dispatcher_that_ends_in_order_loses_no_answer(private):
    stack = private("--webhook-timeout", 10000, webhooks=1)
    with Receiver() as receiver:
        found = []
        job = new_id()
        thread = threading.Thread(target=lambda: found.append(
            post(Api(stack.url), f"{receiver.url}/sleep/700/{job}", job)))
        thread.start()
        receiver.wait_for(1, job)
        stack.signal(signal.SIGHUP, stack.pids("webhook")[:1])
        thread.join()
        assert found[0].status_code == 200 and state(found[0]) == "delivered"
        assert len(receiver.requests(job)) == 1


def test_hanging_receivers_delay_no_other(private):
    """Sixty receivers hang, each with two events; another one gets its events at once."""
    stack = private("--webhook-timeout", 3000, webhooks=1)
    names = [f"127.0.{n // 250}.{n % 250 + 2}" for n in range(60)]
    with Receiver(host="0.0.0.0") as receiver:
        hanging = [threading.Thread(target=post, args=(
            Api(stack.url), f"http://{name}:{receiver.port.number}/hang")) for name in names * 2]
        for thread in hanging:
            thread.start()
        wait_until(lambda: len(receiver.requests("/hang")) >= 100, "they hang", 20)
        took = []
        for _ in range(10):
            began = time.monotonic()
            assert post(Api(stack.url), f"{receiver.url}/ok").status_code == 200
            took.append(time.monotonic() - began)
        assert min(took) < 1, took  # not the time that the others take
        for thread in hanging:
            thread.join()


def test_a_slow_receiver_is_not_flooded(private):
    """As many tries at a time as the setting says; the others wait for their turn."""
    stack = private("--webhook-timeout", 10000, "--webhook-parallel", 2, webhooks=1)
    with Receiver() as receiver:
        posts = [threading.Thread(target=post, args=(Api(stack.url), f"{receiver.url}/sleep/200"))
                 for _ in range(8)]
        for thread in posts:
            thread.start()
        for thread in posts:
            thread.join()
        at = sorted(r["at"] for r in receiver.requests("/sleep"))
        assert len(at) == 8
        assert all(b - a > 0.15 for a, b in zip(at, at[2:])), at


def test_dead_receiver_is_left_alone(private):
    """After five failures in a row it is tried now and then; when it is back, all arrives."""
    stack = private("--webhook-backoff", 100, "--webhook-backoff-max", 100, webhooks=1)
    api = Api(stack.url)
    with Receiver() as receiver:
        for _ in range(8):
            assert post(api, f"{receiver.url}/close/{new_id()}").status_code == 202
        seen = len(receiver.requests())
        time.sleep(0.7)
        assert len(receiver.requests()) - seen <= 1
        url = f"http://127.0.0.2:{receiver.port.number}/x"  # another one
        assert post(api, url).status_code == 202


def test_patience_that_a_receiver_asks_for(private):
    stack = private("--webhook-backoff", 50, webhooks=1)
    api, job = Api(stack.url), new_id()
    with Receiver() as receiver:
        url = f"{receiver.url}/busy/2/{job}"
        response = post(api, url, job)
        assert response.status_code == 429 and state(response) == "queued"
        again = post(api, f"{receiver.url}/ok")  # the receiver, not the event, wants to rest
        assert again.status_code == 429 and state(again) == "queued"
        got = receiver.wait_for(2, job)
        assert got[1]["at"] - got[0]["at"] >= 1.9
        receiver.wait_for(1, "/ok")
