"""POST /v1/job: each field's type, its coercion and its texts; provision data; order of checks.

Rows are (fields, what is stored) or (fields, errors): the queue is added to what is sent, and the
stored form is read back by GET /v1/job/<id>."""

import pytest

from client import (BAD_ID, MISSING, NULL, UNAUTHORIZED, UNKNOWN, expect, invalid, message, new_id)

STRING, INTEGER = "Not a valid string.", "Not a valid integer."
BOOLEAN, LIST, MAPPING = "Not a valid boolean.", "Not a valid list.", "Not a valid mapping type."
INPUT, PATTERN = {"_schema": ["Invalid input type."]}, "String does not match expected pattern."
NO_AGENTS = message("There are no agents on the specified queue that are allowed to run this job")
NO_SECRETS = message("No secrets store")
NOT_GIVEN = object()  # stored: the field is not there


def submit(api, fields):
    return api.post("/v1/job", {"job_queue": "validation", **fields})


def accepted(api, fields, stored):
    """The job is accepted and shows `stored` among its fields."""
    job_id = expect(submit(api, fields), 200).json()["job_id"]
    job = api.get(f"/v1/job/{job_id}").json()
    for name, value in stored.items():
        if value is NOT_GIVEN:
            assert name not in job
        else:
            assert name in job and same(job[name], value), (name, job.get(name))


def same(a, b):
    """Equal in value and in type: 1, 1.0 and true are three things."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def cases(*rows):
    return [pytest.param(*row, id=f"{i}-{str(row[0])[:40]}") for i, row in enumerate(rows)]


# Simple types. Each value is tried in each of the fields.

STRINGS = ["parent_job_id", "name", "job_status_webhook"]
INTEGERS = ["global_timeout", "output_timeout", "allocation_timeout"]


@pytest.mark.alike
@pytest.mark.parametrize("field", STRINGS)
def test_strings(api, field):
    for value in ["", " ", "x", "no url", "1", "a\nb"]:
        accepted(api, {field: value}, {field: value})
    for value, text in [(5, STRING), (1.5, STRING), (True, STRING), ([], STRING), ({}, STRING),
                        (None, NULL)]:
        expect(submit(api, {field: value}), 422, invalid({field: [text]}))


@pytest.mark.alike
@pytest.mark.parametrize("value, stored", cases(
    (5, 5), (0, 0), (-7, -7), (5.0, 5), (5.7, 5), (-5.7, -5), (0.9, 0), (2**31, 2**31),
    (2**63 - 1, 2**63 - 1), (-(2**63), -(2**63)), ("5", 5), (" 5 ", 5), ("+5", 5), ("-5", -5),
    ("1_000", 1000), ("\t12\n", 12), ("007", 7), ("-0", 0), ("1_2_3", 123),
    ("\u0665\u0666", 56), ("\uff11\uff12", 12), ("\u09675", 15), ("\u00a05\u2003", 5), (1e3, 1000),
))
def test_integers(api, value, stored):
    for field in INTEGERS:
        accepted(api, {field: value}, {field: stored})


@pytest.mark.alike
@pytest.mark.parametrize("value, text", cases(
    *[(v, INTEGER) for v in [
        True, False, "5.0", "1e3", "0x5", "", " ", "_1", "1_", "1__0", "+", "- 5", "5 5", "abc", [],
        {}, [5], "\u00b2", "5\u0000", "99999999999999999999", 1e30, -1e30]],
    (None, NULL)))
def test_not_integers(api, value, text):
    for field in [*INTEGERS, "job_priority"]:
        expect(submit(api, {field: value}), 422, invalid({field: [text]}))


def test_booleans(api):
    for value in [True, 1, 1.0, "1", *"t T true True TRUE on On ON y Y yes Yes YES".split()]:
        accepted(api, {"debug": value}, {"debug": True})
    for value in [False, 0, 0.0, "0", *"f F false False FALSE off Off OFF n N no No NO".split()]:
        accepted(api, {"debug": value}, {"debug": False})
    for value in ["tRue", "", " ", "yes ", 2, -1, 0.5, "2", "oN", "nO", [], {}, "1.0"]:
        expect(submit(api, {"debug": value}), 422, invalid({"debug": [BOOLEAN]}))
    expect(submit(api, {"debug": None}), 422, invalid({"debug": [NULL]}))


@pytest.mark.alike
@pytest.mark.parametrize("fields, errors", cases(
    ({"job_queue": 5}, {"job_queue": [STRING]}),
    ({"job_queue": None}, {"job_queue": [NULL]}),
    ({"job_queue": ["q"]}, {"job_queue": [STRING]}),
    ({"job_id": 5}, {"job_id": [STRING]}),
    ({"job_id": None}, {"job_id": [NULL]}),
    ({"tags": "x"}, {"tags": [LIST]}),
    ({"tags": {}}, {"tags": [LIST]}),
    ({"tags": {"0": "a"}}, {"tags": [LIST]}),
    ({"tags": None}, {"tags": [NULL]}),
    ({"tags": ["a", 1, None]}, {"tags": {"1": [STRING], "2": [NULL]}}),
    ({"tags": [["a"], "b", {}]}, {"tags": {"0": [STRING], "2": [STRING]}}),
    ({"exclude_agents": None}, {"exclude_agents": [NULL]}),
    ({"exclude_agents": "a"}, {"exclude_agents": [LIST]}),
    ({"exclude_agents": ["a"] * 101}, {"exclude_agents": ["Longer than maximum length 100."]}),
    ({"tags": ["a"] * 101}, {"tags": ["Longer than maximum length 100."]}),
    ({"exclude_agents": ["a", 5]}, {"exclude_agents": {"1": [STRING]}}),
    *[({f: v}, {f: [t]}) for f in ("firmware_update_data", "allocate_data")
      for v, t in [([], MAPPING), ("x", MAPPING), (5, MAPPING), (True, MAPPING), (None, NULL)]],
    ({"test_data": None}, {"test_data": [NULL]}),
    ({"test_data": []}, {"test_data": INPUT}),
    ({"test_data": "x"}, {"test_data": INPUT}),
    ({"test_data": {"zz": 1}}, {"test_data": {"zz": [UNKNOWN]}}),
    ({"test_data": {"test_cmds": ["ls", "pwd"]}}, {"test_data": {"test_cmds": [STRING]}}),
    ({"test_data": {"test_cmds": None, "test_username": 5, "test_password": {}}},
     {"test_data": {"test_cmds": [NULL], "test_username": [STRING], "test_password": [STRING]}}),
    ({"test_data": {"attachments": {}}}, {"test_data": {"attachments": [LIST]}}),
    ({"test_data": {"attachments": None}}, {"test_data": {"attachments": [NULL]}}),
    ({"test_data": {"attachments": ["x", 5]}}, {"test_data": {"attachments": {"0": INPUT, "1": INPUT}}}),
    ({"test_data": {"attachments": [{}]}}, {"test_data": {"attachments": {"0": {"agent": [MISSING]}}}}),
    ({"test_data": {"attachments": [{"agent": "a"}, {"agent": 5, "device": None}]}},
     {"test_data": {"attachments": {"1": {"agent": [STRING], "device": [NULL]}}}}),
    ({"test_data": {"attachments": [{"agent": "a", "local": "l"}]}},
     {"test_data": {"attachments": {"0": {"local": [UNKNOWN]}}}}),
    ({"test_data": {"secrets": []}}, {"test_data": {"secrets": [MAPPING]}}),
    ({"test_data": {"secrets": None}}, {"test_data": {"secrets": [NULL]}}),
    ({"test_data": {"secrets": {"1A": "!"}}},
     {"test_data": {"secrets": {"1A": {"key": [PATTERN], "value": [PATTERN]}}}}),
    ({"test_data": {"secrets": {"A": 5, "B": None}}},
     {"test_data": {"secrets": {"A": {"value": [STRING]}, "B": {"value": [NULL]}}}}),
    ({"test_data": {"secrets": {"A": "", "B c": "x"}}},
     {"test_data": {"secrets": {"A": {"value": [PATTERN]}, "B c": {"key": [PATTERN]}}}}),
    ({"reserve_data": []}, {"reserve_data": INPUT}),
    ({"reserve_data": None}, {"reserve_data": [NULL]}),
    ({"reserve_data": {"zz": 1}}, {"reserve_data": {"zz": [UNKNOWN]}}),
    ({"reserve_data": {"ssh_keys": "lp:me"}}, {"reserve_data": {"ssh_keys": [LIST]}}),
    ({"reserve_data": {"ssh_keys": ["lp:", "me", "gh:a b", "LP:x", "gl:x", " lp:x", "lp: x", 5]}},
     {"reserve_data": {"ssh_keys": {**{str(i): [PATTERN] for i in range(7)}, "7": [STRING]}}}),
    # all faults at once
    ({"tags": "x", "job_queue": 5, "test_data": {"y": 1}},
     {"tags": [LIST], "job_queue": [STRING], "test_data": {"y": [UNKNOWN]}}),
    ({"job_queue": 5, "provision_data": "x", "reserve_data": {"timeout": "4x"}, "debug": 7},
     {"job_queue": [STRING], "provision_data": {"_schema": "Invalid data type: x"}, "reserve_data":
      {"timeout": ["Invalid duration format: Invalid duration format: '4x'"]}, "debug": [BOOLEAN]}),
))
def test_faults(api, fields, errors):
    expect(submit(api, fields), 422, invalid(errors))


@pytest.mark.alike
@pytest.mark.parametrize("fields, stored", cases(
    ({"job_queue": " "}, {"job_queue": " "}),
    ({"tags": []}, {"tags": []}),
    ({"tags": ["b", "a", "b", ""]}, {"tags": ["b", "a", "b", ""]}),
    ({"exclude_agents": []}, {"exclude_agents": NOT_GIVEN}),
    ({}, {"exclude_agents": NOT_GIVEN, "job_priority": NOT_GIVEN, "debug": NOT_GIVEN}),
    ({"job_priority": 0}, {"job_priority": 0}),
    ({"job_priority": " -0_0 "}, {"job_priority": 0}),
    ({"job_priority": -0.9}, {"job_priority": 0}),
    ({"firmware_update_data": {}}, {"firmware_update_data": {}}),
    ({"allocate_data": {"allocate": True, "x": [1, {"y": None}]}},
     {"allocate_data": {"allocate": True, "x": [1, {"y": None}]}}),
    ({"test_data": {}}, {"test_data": {}}),
    ({"test_data": {"test_cmds": "", "test_username": "u", "test_password": "p"}},
     {"test_data": {"test_cmds": "", "test_username": "u", "test_password": "p"}}),
    ({"test_data": {"attachments": [{"agent": ""}, {"agent": "a", "device": "d"}]}},
     {"test_data": {"attachments": [{"agent": ""}, {"agent": "a", "device": "d"}]}}),
    ({"reserve_data": {}}, {"reserve_data": {}}),
    ({"reserve_data": {"ssh_keys": []}}, {"reserve_data": {"ssh_keys": []}}),
    ({"reserve_data": {"ssh_keys": ["lp:me", "gh:you!", "lp:x\n", "gh:\u00e9"]}},
     {"reserve_data": {"ssh_keys": ["lp:me", "gh:you!", "lp:x\n", "gh:\u00e9"]}}),
    ({"provision_data": None}, {"provision_data": None}),
    ({"job_status_webhook": "http://hook"}, {"job_status_webhook": "http://hook"}),
))
def test_accepted(api, fields, stored):
    accepted(api, fields, stored)


def test_queue_missing_and_empty(api):
    expect(api.post("/v1/job", {}), 422, invalid({"job_queue": [MISSING]}))
    expect(api.post("/v1/job", {"name": "n"}), 422, invalid({"job_queue": [MISSING]}))
    expect(api.post("/v1/job", {"JOB_QUEUE": "q"}), 422, invalid({"job_queue": [MISSING]}))
    empty = expect(api.post("/v1/job", {"job_queue": ""}), 422).json()
    assert empty == {"message": "Invalid data or no job_queue specified",
                     "detail": {"json": {"job_queue": ["Shorter than minimum length 1."]}}}


# Durations

@pytest.mark.alike
@pytest.mark.parametrize("value, seconds", cases(
    (0, 0), (5, 5), (21600, 21600), ("90", 90), (" 90 ", 90), ("+90", 90), ("1_000", 1000),
    ("1h", 3600), ("30m1h", 5400), ("1h 30m", 5400), ("1h30m15s", 5415), ("0s", 0), ("6h", 21600),
    ("10 mins", 600), ("2 hours 1 sec", 7201), ("\t1\nHOUR ", 3600), ("5S", 5), ("1m1m", 120),
    ("45secs", 45), ("3min", 180), ("0 days 1 s", 1), ("0d", 0),
))
def test_durations(api, value, seconds):
    accepted(api, {"reserve_data": {"timeout": value}}, {"reserve_data": {"timeout": seconds}})


def duration(detail):
    return ["Invalid duration format: " + detail]


@pytest.mark.alike
@pytest.mark.parametrize("value, texts", cases(
    (-1, duration("Duration cannot be negative")),
    ("", duration("Duration cannot be empty")),
    ("  ", duration("Duration cannot be empty")),
    *[(v, duration(f"Invalid duration format: '{v.lower()}'"))
      for v in ["4x", "1W", "h", "1h2", "1.5h", "1h,2m", "1hourr", "-1h", "1h -2m", "soon"]],
))
def test_not_durations(api, value, texts):
    errors = {"reserve_data": {"timeout": texts}}
    expect(submit(api, {"reserve_data": {"timeout": value}}), 422, invalid(errors))


@pytest.mark.alike
@pytest.mark.parametrize("value", [5.5, [], {}, True, False, "-5", "99999999999999999999h"], ids=str)
def test_not_durations_of_other_types(api, value):
    response = expect(submit(api, {"reserve_data": {"timeout": value}}), 422)
    assert list(response.json()["detail"]["json"]["reserve_data"]) == ["timeout"]


def test_a_duration_of_null_is_none(api):
    job_id = expect(submit(api, {"reserve_data": {"timeout": None}}), 200).json()["job_id"]
    assert api.get(f"/v1/job/{job_id}").json()["reserve_data"].get("timeout") is None


# Provision data. U is a URL; AGENT one attachment.

U, AGENT = "http://img.example.com/core.img.xz", {"agent": "a"}
NO_VARIANT = invalid({"provision_data": {"_schema": ["Invalid provision data schema."]}})


@pytest.mark.alike
@pytest.mark.parametrize("sent, coerced", cases(
    # cm3, oem_script
    ({"url": U}, {}),
    # maas
    ({}, {}),
    ({"distro": "noble"}, {}),
    ({"distro": "", "kernel": "k", "user_data": "u", "disks": [{"id": 1}, {}], "ephemeral": True}, {}),
    ({"ephemeral": "no"}, {"ephemeral": False}),
    # multi
    ({"jobs": [{"job_queue": "x", "anything": [1, 2.5]}]}, {}),
    ({"jobs": [{}]}, {}),
    # muxpi
    ({"url": U, "media": "sd"}, {}),
    ({"use_attachment": "a", "media": "usb"}, {}),
    ({"use_attachment": "a", "attachments": [AGENT]}, {}),
    ({"url": U, "create_user": "f", "boot_check_url": "any text"}, {"create_user": False}),
    # noprovision
    ({"skip": True}, {}),
    ({"skip": "off"}, {"skip": False}),
    # oem_autoinstall
    ({"url": U, "token_file": "t", "user_data": "u", "redeploy_cfg": "r", "authorized_keys": "k"}, {}),
    ({"attachments": []}, {}),
    ({"attachments": [AGENT, {"agent": "b", "device": "d"}]}, {}),
    ({"user_data": "x", "redeploy_cfg": "y"}, {}),
    ({"control_host_iso_url": "any text", "control_host_iso_type": "t", "update_user_data": 1},
     {"update_user_data": True}),
    # control_host_iot_custom
    ({"provision_plan": {}, "url": U}, {}),
    ({"provision_plan": {"a": [1]}, "urls": [U, U], "ubuntu_sso_email": "me@example.com"}, {}),
    ({"provision_plan": {}, "attachments": [AGENT], "agent_ssh_access": "y",
      "provisioning_timeout": "60"}, {"agent_ssh_access": True, "provisioning_timeout": 60}),
    ({"provision_plan": {}, "url": U, "attachments": []}, {}),
    # control_host_iot_preset
    ({"preset": "p", "url": U, "preset_kwargs": {"a": 1}}, {}),
    ({"preset": "", "urls": [U], "agent_ssh_access": "n"}, {"agent_ssh_access": False}),
    ({"preset": "p", "attachments": [AGENT], "provisioning_timeout": 5.9}, {"provisioning_timeout": 5}),
    # control_host_kvm_autoinstall
    ({"url": U, "robot_tasks": []}, {}),
    ({"url": U, "robot_tasks": ["a", "b"], "robot_retries": "2", "autoinstall_oem": "on",
      "autoinstall_storage_layout": "lvm", "ubuntu_sso_email": "me@example.com", "cmdline_append": "",
      "autoinstall_base_user_data": "x"}, {"robot_retries": 2, "autoinstall_oem": True}),
    # control_host_kvm_generic
    ({"url": U, "robot_tasks": ["a"], "live_image": "true", "wait_until_ssh": 0, "robot_retries": 1},
     {"live_image": True, "wait_until_ssh": False}),
    # control_host_kvm_oem_2204
    ({"alloem_url": U, "robot_tasks": ["a"]}, {}),
    ({"alloem_url": U, "url": U, "robot_tasks": ["a"], "oem": "o", "robot_retries": "3"},
     {"robot_retries": 3}),
    # control_host_kvm_preset
    ({"preset": "x"}, {}),
    ({"preset": "x", "oem": "y", "live_image": 1, "wait_until_ssh": "F", "robot_tasks": ["a"],
      "alloem_url": U, "url": U}, {"live_image": True, "wait_until_ssh": False}),
    # names of the older release
    ({"zapper_provisioning_timeout": 60, "provision_plan": {}, "urls": [U]}, {}),
    ({"zapper_provisioning_timeout": 60, "url": U, "robot_tasks": ["a"],
      "autoinstall_storage_layout": "lvm"}, {}),
    ({"zapper_provisioning_timeout": 60, "alloem_url": U, "robot_tasks": ["a"]}, {}),
))
def test_provision_data(api, sent, coerced):
    accepted(api, {"provision_data": sent}, {"provision_data": {**sent, **coerced}})


@pytest.mark.alike
@pytest.mark.parametrize("sent", [
    {"type": "cm3", "url": U}, {"zz": 1}, {"url": U, "distro": "noble"}, {"url": "nope"},
    {"url": 5}, {"url": None}, {"url": U, "zz": 1}, {"distro": 5}, {"distro": None}, {"disks": [1]},
    {"disks": {}}, {"ephemeral": "maybe"}, {"jobs": []}, {"jobs": [5]}, {"jobs": {}}, {"media": "sd"},
    {"url": U, "media": "cf"}, {"url": U, "media": "SD"}, {"url": U, "create_user": 7},
    {"skip": "maybe"}, {"skip": True, "url": U}, {"skip": None}, {"attachments": [{}]},
    {"attachments": [{"agent": "a", "local": "l"}]}, {"token_file": 5}, {"provision_plan": {}},
    {"provision_plan": [], "url": U}, {"provision_plan": {}, "url": U, "urls": [U]},
    {"provision_plan": {}, "urls": []}, {"provision_plan": {}, "url": U, "urls": []},
    {"provision_plan": {}, "urls": ["nope"]}, {"provision_plan": {}, "attachments": [AGENT, AGENT]},
    {"provision_plan": {}, "url": U, "attachments": [AGENT]}, {"provision_plan": {}, "attachments": []},
    {"provision_plan": {}, "url": U, "ubuntu_sso_email": "nope"},
    {"provision_plan": {}, "url": U, "provisioning_timeout": "1h"},
    {"preset": 5}, {"preset": "p", "preset_kwargs": {}}, {"preset": "p", "url": U, "urls": [U]},
    {"preset": "p", "url": U, "preset_kwargs": []}, {"robot_tasks": ["a"]},
    {"url": U, "robot_tasks": [5]}, {"url": U, "robot_tasks": "a"},
    {"url": U, "robot_tasks": ["a"], "live_image": True}, {"alloem_url": U}, {"robot_retries": 1},
    {"alloem_url": "nope", "robot_tasks": ["a"]}, {"alloem_url": U, "robot_tasks": ["a"], "oem": 5},
    {"preset": "x", "ubuntu_sso_email": "nope"}, {"URL": U},
], ids=lambda sent: str(sent)[:60])
def test_no_variant_of_provision_data(api, sent):
    expect(submit(api, {"provision_data": sent}), 422, NO_VARIANT)


@pytest.mark.alike
@pytest.mark.parametrize("value, text", [("skip", "skip"), ([], "[]"), (5, "5"), (1.5, "1.5"),
                                         ("", ""), ("\u00e9", "\u00e9")])
def test_provision_data_of_other_types(api, value, text):
    errors = {"provision_data": {"_schema": f"Invalid data type: {text}"}}
    expect(submit(api, {"provision_data": value}), 422, invalid(errors))


@pytest.mark.alike
@pytest.mark.parametrize("url, valid", [
    *[(u, True) for u in [
        "http://example.com", "https://example.com/", "ftp://example.com/f", "ftps://example.com/f",
        "HTTP://EXAMPLE.com/X", "http://me@example.com/", "http://me:pw@example.com:8080/x",
        "http://localhost", "http://localhost:8000/x", "http://10.0.0.1/x",
        "http://999.1.1.1/", "http://[::1]/", "http://[fe80::1]:80/x", "http://a-b.c1.example.org/?q",
        "http://example.com./x", "http://example.com?x=1", "http://example.com/a?b#c%20",
        "http://1.example.com", "http://example.c-m/", "http://" + "a" * 63 + ".com/",
        "http://example.com/\u00e9"]],
    *[(u, False) for u in [
        "", "example.com", "//example.com/x", "gopher://example.com/", "file:///etc/passwd", "http:",
        "http://", "http:///x", "http://maas/x", "http://h.c/x", "http://a_b.com/", "http://a..com/",
        "http://-a.com/", "http://a-.com/", "http://" + "a" * 64 + ".com/", "http://example.com/a b",
        "http://example.com/\u2003x", "http://example.com/\u00a0", "http:// example.com/",
        "http://example.com:port/", "http://[::g]/", "http://[1]/", "http://[]/", "http://10.0.0/",
        "http://1000.1.1.1/", "http://example.com#x", "http://example.com?", "mailto:a@b.co",
        "http:/example.com/", "http//example.com/", " http://example.com/", "http://.com/"]],
])
def test_urls(api, url, valid):
    response = submit(api, {"provision_data": {"url": url}})
    expect(response, *((200,) if valid else (422, NO_VARIANT)))


@pytest.mark.alike
@pytest.mark.parametrize("email, valid", [
    *[(e, True) for e in ["me@example.com", "a.b+c@x-y.example.org", '"me"@example.com',
                          "me@localhost", "me@[127.0.0.1]", "ME_1!#$%&'*/=?^`{|}~-@EXAMPLE.COM"]],
    *[(e, False) for e in ["", "me", "me@", "@example.com", "me me@example.com", "a..b@example.com",
                           ".a@example.com", "me@example", "me@-a.com", "me@a_b.com", "me@exa mple.com",
                           "a@b@example.com"]],
])
def test_emails(api, email, valid):
    data = {"provision_plan": {}, "url": U, "ubuntu_sso_email": email}
    expect(submit(api, {"provision_data": data}), *((200,) if valid else (422, NO_VARIANT)))


# Unknown fields

def test_unknown_fields_are_passed_along(api, queue):
    """The API document's own example; nested unknown fields stay faults."""
    job_id = api.submit(queue, option="foo", another={"x": [1]})
    job = expect(api.claim(queue), 200).json()
    assert (job["job_id"], job["option"], job["another"]) == (job_id, "foo", {"x": [1]})


SERVER_MADE = ["attachments_status", "client_id", "started_at", "created_at"]


def test_reference_refuses_unknown_fields(strict):
    for name in ["option", *SERVER_MADE]:
        expect(submit(strict, {name: "x"}), 422, invalid({name: [UNKNOWN]}))
    body = {"JOB_QUEUE": "q"}
    expect(strict.post("/v1/job", body), 422, invalid({"job_queue": [MISSING], "JOB_QUEUE": [UNKNOWN]}))
    body = {"tags": "x", "job_queue": 5, "test_data": {"y": 1}, "zz": 1}
    expect(strict.post("/v1/job", body), 422, invalid(
        {"tags": [LIST], "job_queue": [STRING], "test_data": {"y": [UNKNOWN]}, "zz": [UNKNOWN]}))


@pytest.mark.alike
@pytest.mark.parametrize("name", SERVER_MADE)
def test_fields_of_the_server_are_refused(api, name):
    expect(submit(api, {name: "complete"}), 422, invalid({name: [UNKNOWN]}))


# Checks after validation, each before the next

def test_exclude_agents(api, queue):
    job = {"job_queue": queue, "exclude_agents": ["one"]}
    expect(api.post("/v1/job", job), 422, NO_AGENTS)
    api.agent(f"{queue}-one", queues=["other", queue], state="offline")
    expect(api.post("/v1/job", job), 200)
    job["exclude_agents"] = [f"{queue}-one"]
    expect(api.post("/v1/job", job), 422, NO_AGENTS)
    api.agent(f"{queue}-two", queues=[queue])
    expect(api.post("/v1/job", job), 200)
    api.agent(f"{queue}-two", queues=["other"])
    expect(api.post("/v1/job", job), 422, NO_AGENTS)


def test_secrets_without_a_store(api):
    for secrets in [{}, {"A": "path/to_it-1"}, {"_a1": "x", "B": "y"}]:
        expect(submit(api, {"test_data": {"secrets": secrets}}), 422, NO_SECRETS)


@pytest.mark.alike
@pytest.mark.parametrize("fields", [
    {"job_priority": 5}, {"job_priority": -3}, {"job_priority": "1"}, {"job_priority": 1.9},
    {"job_priority": 2**63 - 1}, {"reserve_data": {"timeout": 21601}},
    {"reserve_data": {"timeout": "7h"}}, {"reserve_data": {"timeout": "2d 5h30m"}},
    {"reserve_data": {"timeout": "1 day"}}, {"job_priority": 1, "reserve_data": {"timeout": 99999}},
], ids=str)
def test_what_needs_a_permission(api, fields, queue):
    expect(submit(api, {"job_queue": queue, **fields}), 401, UNAUTHORIZED)
    expect(api.claim(queue), 204)


def test_restricted_queue(api, storage, queue):
    job_id = api.submit(queue)
    storage.restrict(queue)
    expect(api.post("/v1/job", {"job_queue": queue}), 401, UNAUTHORIZED)
    expect(api.post("/v1/job", {"job_queue": queue + "x"}), 200)
    assert api.claimed(queue) == job_id


def test_order_of_the_checks(api):
    """Each row lacks the fault that the row before it was answered with."""
    faults = {"name": 5, "exclude_agents": ["a"], "test_data": {"secrets": {}}, "job_id": "nope",
              "job_priority": 5}
    answers = [(422, invalid({"name": [STRING]})), (422, NO_AGENTS), (422, NO_SECRETS), (400, BAD_ID),
               (401, UNAUTHORIZED)]
    for status, body in answers:
        expect(submit(api, faults), status, body)
        faults.pop(next(iter(faults)))
    expect(submit(api, faults), 200)


# Job ids

HEX = "0123456789abcdef0123456789abcdef"


@pytest.mark.alike
@pytest.mark.parametrize("spelling", [
    "{}", "{{{}}}", "urn:uuid:{}", "uuid:{}", "urn:{}", "urn:uuid:{{{}}}",
])
@pytest.mark.parametrize("form", [str, lambda s: s.upper(), lambda s: s.replace("-", "")],
                         ids=["plain", "upper", "hex"])
def test_spellings_of_a_job_id(api, spelling, form):
    """Any is valid, none is changed, and each is another job."""
    plain = new_id()
    job_id = spelling.format(form(plain))
    assert expect(submit(api, {"job_id": job_id}), 200).json() == {"job_id": job_id}
    assert expect(api.get(f"/v1/job/{job_id}"), 200).json()["job_id"] == job_id
    assert api.get(f"/v1/job/{plain}").status_code == (200 if job_id == plain else 204)


@pytest.mark.alike
@pytest.mark.parametrize("job_id", [
    "nope", " ", HEX[1:], HEX + "0", "0x" + HEX[2:], "+" + HEX[1:], "-" * 32, HEX[:15] + "_" + HEX[16:],
    "g" + HEX[1:], " " + HEX, HEX + "\n", HEX[1:] + "\u0665", HEX + "\u0000", "x" * 5000,
])
def test_no_job_ids(api, job_id):
    expect(submit(api, {"job_id": job_id}), 400, BAD_ID)


def test_an_empty_job_id_is_none(api):
    job_id = expect(submit(api, {"job_id": ""}), 200).json()["job_id"]
    assert len(job_id) == 36 and job_id == job_id.lower() and job_id[14] == "4"
