"""Fixtures: one server a store for many tests, others for those of a module; private servers for those that
need their own."""

import contextlib
import uuid

import pytest

import auth
from client import Api
from mongo import Mongod
from stack import SANITIZED, Stack
from storage import storage_of

STORES = ("sqlite", "mongodb")
Stack.on_start = auth.introduce


def pytest_addoption(parser):
    parser.addoption("--store", choices=STORES, help="run on this store only")


def pytest_generate_tests(metafunc):
    """Every test with a server runs once on each store."""
    if "store" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("stores")
    chosen = metafunc.config.getoption("--store")
    stores = [s for s in (marker.args if marker else STORES) if chosen in (None, s)]
    metafunc.parametrize("store", stores, indirect=True, scope="session")


def repeated(items):
    """Cases of tests marked alike, every other one of each store, so that what is left has each case once. The same
    lines of C would run again, and with sanitizers that costs much."""
    tests = {}  # {test: {store: cases, in the same order on each}}
    for item in items:
        if item.get_closest_marker("alike") and hasattr(item, "callspec"):
            stores = tests.setdefault((item.path, item.originalname), {})
            stores.setdefault(item.callspec.params["store"], []).append(item)
    return {case[i % 2] for stores in tests.values() if len(stores) == 2 and len(stores["sqlite"]) > 1
            for i, case in enumerate(zip(*stores.values(), strict=True))}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Tests with a time limit of their own are the longest: they begin first, since nothing runs beside a
    long one that begins last."""
    if SANITIZED:
        left_out = repeated(items)
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)
    items.sort(key=lambda item: -max((mark.args[0] for mark in item.iter_markers("timeout")), default=0))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of its server's log."""
    report = (yield).get_result()
    server = getattr(item, "funcargs", {}).get("server")
    if report.failed and server:
        report.sections.append(("server", server.tail()))


@pytest.fixture(scope="session")
def store(request):
    return request.param


@pytest.fixture(scope="session")
def mongod():
    Mongod.of_session = process = Mongod()
    yield process
    Mongod.of_session = None
    process.remove()


@pytest.fixture(scope="session")
def store_uri(store, request):
    """Makes the URI of a new, empty store; `{folder}` is filled in by the Stack. A database goes with the module,
    unless it is to be kept."""
    if store == "sqlite":
        return lambda keep=False: "sqlite:{folder}/data.db"
    process = request.getfixturevalue("mongod")
    return lambda keep=False: process.keep(process.new()) if keep else process.new()


@pytest.fixture(scope="module", autouse=True)
def databases():
    yield
    if Mongod.of_session:
        Mongod.of_session.drop()


@pytest.fixture(scope="session")
def server(store_uri):
    with Stack(store_uri(keep=True)) as stack:
        yield stack


@pytest.fixture
def private(store, store_uri, request):
    """Starts servers with other options: private("--compat", "reference", workers=1)."""
    started, own = [], []
    mongod = request.getfixturevalue("mongod") if store == "mongodb" else None

    def start(*options, **counts):
        uri = counts.pop("store", None)
        mine = not uri and mongod
        if mine:
            uri = mongod.take()
            own.append(uri)
        started.append(Stack(uri or store_uri(), *options, **counts).start())
        if mine:
            mongod.has_started(uri)
        return started[-1]

    yield start
    faults = []
    for stack in started:
        try:
            stack.stop()
        except AssertionError as fault:
            faults.append(str(fault))
    for uri in own:
        mongod.give_back(uri)
    assert not faults, "\n".join(faults)


@contextlib.contextmanager
def of_module(request, *options, **how):
    """A server that ends with the module: ten seconds of a server at rest cost as much as its start."""
    store = request.getfixturevalue("store")
    mongod = request.getfixturevalue("mongod") if store == "mongodb" else None
    uri = mongod.take() if mongod else "sqlite:{folder}/data.db"
    with Stack(uri, *options, **how) as stack:
        if mongod:
            mongod.has_started(uri)
        yield stack
    if mongod:
        mongod.give_back(uri)


@pytest.fixture(scope="module")
def reference(store, request):
    """A server that follows the reference server where the API document differs."""
    with of_module(request, "--compat", "reference") as stack:
        yield stack


@pytest.fixture(scope="module")
def roles_server(store, request):
    """A server that looks at the roles of tokens. Tests count its events: none is left out."""
    with of_module(request, "--auth", "roles", "--log-limit", 0, env=auth.ENV, webhooks=1) as stack:
        yield stack


@pytest.fixture(scope="module")
def login_server(store, request):
    """A server that nobody may use without a token; its log is as whole."""
    with of_module(request, "--auth", "login", "--log-limit", 0, env=auth.ENV, webhooks=1) as stack:
        yield stack


@pytest.fixture(scope="module")
def open_server(store, request):
    """A server as the first ones, which signs with the tests' key."""
    with of_module(request, env=auth.ENV, webhooks=1) as stack:
        yield stack


@pytest.fixture
def api(server):
    return Api(server.url)


@pytest.fixture
def strict(reference):
    return Api(reference.url)


@pytest.fixture
def storage(server):
    """What no call of the API can do: changes and reads in the store itself."""
    return storage_of(server)


@pytest.fixture
def db(storage):
    """The database of a test that runs on MongoDB only."""
    return storage.db


@pytest.fixture
def queue():
    return f"q-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="module")
def admin(roles_server):
    """The admin tool on the store of the server that looks at roles."""
    return auth.Admin(roles_server)


@pytest.fixture
def name():
    """Of a client that no other test makes."""
    return f"client-{uuid.uuid4().hex[:12]}"
