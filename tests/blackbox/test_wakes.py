"""Which held polls ask again on a WAKE: a real frontend, and a broker that this file plays."""

import pytest

from client import Raw
from test_attack_bus import lonely_frontend  # noqa: F401  (a fixture)
from test_broker import REPLY, REQUEST, msgpack, pack

pytestmark = [pytest.mark.waits, pytest.mark.stores("sqlite")]  # no store is asked

WAKE = 8
PASS_MAX = 4  # polls that ask for one WAKE
NONE = msgpack.packb({0: 1, 1: 204, 2: [], 3: b""})
JOB = msgpack.packb({0: 1, 1: 200, 2: [b"Content-Type", b"application/json"], 3: b"{}"})


class Frontend:
    """Its polls, as the broker sees them."""

    def __init__(self, broker):
        self.broker, self.connections = broker, []

    def poll(self, queue):
        """A new poll: the id of its question."""
        connection = Raw(self.broker).send(f"GET /v1/job?queue={queue}&wait=20 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        self.connections.append(connection)
        return self.question()

    def question(self):
        self.peer, ((head, _),) = self.broker.take(REQUEST)
        return head["id"]

    def wake(self, queue, any_agent=False):
        self.broker.send(self.peer, pack(WAKE, key=queue.encode(), attempt=int(any_agent)), b"")

    def answer(self, question, reply=NONE):
        self.broker.send(self.peer, pack(REPLY, id=question), reply)

    def questions(self):
        """How many come, until none does for a while; each one is answered that there is no job."""
        n = 0
        while self.broker.socket.poll(400 if n else 10000):
            pairs = self.broker.next()
            if pairs and pairs[0][0]["type"] == REQUEST:
                self.answer(pairs[0][0]["id"])
                n += 1
        return n

    def close(self):
        for connection in self.connections:
            connection.file.close()
            connection.socket.close()


@pytest.fixture
def frontend(lonely_frontend):  # noqa: F811
    frontend = Frontend(lonely_frontend)
    yield frontend
    frontend.close()


@pytest.mark.slow
@pytest.mark.parametrize("any_agent, most", [(False, PASS_MAX), (True, 1)])
def test_a_wake_while_many_ask(frontend, queue, any_agent, most):
    """One of them asks again, and as it gets no job that another agent may have, some more: not all."""
    asked = [frontend.poll(queue) for _ in range(20)]
    frontend.wake(queue, any_agent)
    for question in asked:
        frontend.answer(question)
    assert 1 <= frontend.questions() <= most


@pytest.mark.parametrize("status, headers", [(503, []), (204, [b"X-Claim-Held", b"yes"])], ids=["fault", "held"])
def test_a_wake_whose_poll_may_have_no_job(frontend, queue, status, headers):
    """The next one asks, though the WAKE is for any agent."""
    for _ in range(2):
        frontend.answer(frontend.poll(queue))
    frontend.wake(queue, True)
    frontend.answer(frontend.question(), msgpack.packb({0: 1, 1: status, 2: headers, 3: b""}))
    frontend.answer(frontend.question(), JOB)
    assert 200 in [c.reply().status_code for c in frontend.connections[1:]]


def test_a_wake_whose_poll_gets_nothing(frontend, queue):
    """A poll whose question is older than the WAKE asks for it then."""
    older = frontend.poll(queue)
    frontend.answer(frontend.poll(queue))
    frontend.wake(queue)
    frontend.answer(frontend.question())
    frontend.answer(older)
    frontend.answer(frontend.question(), JOB)
    assert frontend.connections[0].reply().status_code == 200


def test_each_wake_has_a_poll(frontend, queue):
    """Two jobs, two polls that have just asked: both ask again."""
    asked = [frontend.poll(queue) for _ in range(2)]
    for _ in asked:
        frontend.wake(queue)
    for question in asked:
        frontend.answer(question)
    for _ in asked:
        frontend.answer(frontend.question(), JOB)
    assert [c.reply().status_code for c in frontend.connections] == [200, 200]
