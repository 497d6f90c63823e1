"""Job files as this server reads them, beside PyYAML, with which the command-line client reads them."""

import json
import random
import subprocess

import pytest
import yaml

from stack import BIN

pytestmark = pytest.mark.stores("sqlite")  # no store takes part
READER = BIN.parent / "tests/yaml_in_test"


def read(texts):
    """Our answers, {"value"} or {"fault"}, of many texts."""
    done = subprocess.run([READER, "--read"], input=b"".join(t.encode() + b"\0" for t in texts),
                          capture_output=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with dates as texts: JSON has no others."""


Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)


def as_json(text):
    """What the client would send."""
    return json.loads(json.dumps(yaml.load(text, Loader)))


def check(texts):
    for text, answer in zip(texts, read(texts), strict=True):
        assert answer == {"value": as_json(text)}, text


SCALARS = """
yes No ON off True FALSE y n yEs ~ null Null nULL 0 00 017 018 0o17 0b101 0b2 0x1f 0xfg 1_000 _1 1_ +12 -12 -- +-1
1.5 1. .5 -.5 +.5 1e3 1.0e3 1.0e+3 1.5E-10 1_0.5_0 1.2.3 12:30 12:60 1:2:3 190:20:30.15 0:0 09:30 +1:30 -1:30
2026-11-28 2026-11-28T12:00:00Z 26-11-28 <<x a<< . .. ... .e .inf5 .nano 9223372036854775807 -9223372036854775808
-0 -0.0 +0 0. 1e 1E5 0x 0b null~ "1" '1' '' "" "~" "yes" a#b a:b http://x/y#z ~x 0_ 0__7 0x_1 0b_1_0 1__0 1.0e+0_0
""".split()


def test_plain_scalars():
    texts = [f"a: {s}" for s in SCALARS] + [f"[{s}]" for s in SCALARS] + [f"{s}: 1" for s in SCALARS]
    check(texts)


DOCUMENTS = [
    "job_queue: q\nprovision_data:\n  url: http://x/y.img\ntest_data:\n  test_cmds: |\n    a\n      b\n\n    c\n",
    "job_queue: q\nreserve_data:\n  ssh_keys:\n  - lp:me\n  - gh:me\n  timeout: 3600\n",
    "a: >\n  folded\n  text\n\n  more\n    kept\nb: >+\n  x\n\n\nc: |2-\n    y\nd: plain\n  over\n  lines\n",
    "a: 'x\n  y\n\n  z'\nb: \"x\\\n  y\\n\\t\\x41\\u00e9 \\U0001F427 \\_ \\N\"\n",
    "- - 1\n  - 2\n- - 3\n-\n  - 4\n- {a: [b, {c: d}], ? e : f, g, h: }\n- [a: 1, b]\n",
    "a: &a [1, &b {c: d}]\nb: *a\nc: *b\n",
    "x: &x {one: 1, two: 2}\ny: &y {<<: *x, two: 3, six: 4}\nz:\n  <<: [*y, *x]\n  d: 5\nw: {one: 0, <<: *x}\n",
    "x: &x {a: {b: 1}}\ny: {<<: *x, a: {c: 2}}\nz: {<<: *x, <<: {q: 1}}\n",
    "? a\n: b\n? |\n  c\n: d\n", "%YAML 1.1\n---\na: 1\n...\n", "# only\n# comments", "", "\n\n", "a", "- 1", "[]", "{}",
    "a: 1 # c\nb: '#' # d\nc: a#b\n", "a:\n- 1\n- 2\nb:\n", "\ufeffa: é🐧\n", "a: 1\r\nb: |\r\n  x\r\n  y\r\n",
    "provision_data: skip\ntest_data:\n  attachments:\n    - {local: a, agent: b}\n    - local: 'c d'\n",
    json.dumps({"a": [1, 2.5, None, True, "é\n\"'\\/"], "b": {"c": {}}}), json.dumps({"a": "x"}, indent=4),
]


def test_documents():
    check(DOCUMENTS)


PIECES = ["", " ", "a", "é", "🐧", "\n", "\t", ":", ": ", "#", " #", "-", "- ", "'", '"', "\\", "{", "}", "[", "]", ",",
          "&", "*", "!", "|", ">", "%", "@", "`", "?", "yes", "1", "0x1", "1.5", "~", "<<", "=", "2026-11-28", "\u2028",
          "\x85", "\xa0", "\ufeff", "\x1b", "x" * 90]


def value_of(r, depth=0):
    kind = r.randrange(9 if depth < 4 else 6)
    if kind < 4:
        return "".join(r.choice(PIECES) for _ in range(r.randrange(4)))
    if kind == 4:
        return r.choice([None, True, False, 0, -1, 2 ** 63 - 1, -2 ** 63, r.randrange(10 ** 6)])
    if kind == 5:
        return r.choice([0.0, 1.5, -2.25, 1e100, 1e-7, r.random(), 1e16])
    if kind == 6:
        return [value_of(r, depth + 1) for _ in range(r.randrange(4))]
    return {value_of(r, 9) if r.randrange(4) else str(i): value_of(r, depth + 1) for i in range(r.randrange(4))}


def dumped(r, value):
    return yaml.safe_dump(value, allow_unicode=r.random() < 0.5, default_style=r.choice([None, None, '"', "'", "|", ">"]),
                          default_flow_style=r.choice([None, True, False]), sort_keys=False, width=r.choice([20, 80, 9999]),
                          indent=r.choice([2, 4]))


def test_random_documents():
    """Whatever PyYAML writes and reads back is read as the same value."""
    r = random.Random(17)
    texts, values = [], []
    while len(texts) < 600:
        value = {str(i): value_of(r) for i in range(3)}
        text = dumped(r, value)
        # names that are one in JSON only are faults, and styles that cannot be make tags
        if "!!" not in text and "\n..." not in text and unique(yaml.load(text, Loader)):
            texts.append(text)
            values.append(as_json(text))
    different = [(t, a, v) for t, a, v in zip(texts, read(texts), values, strict=True) if a != {"value": v}]
    assert not different, different[0]


def unique(value):
    if isinstance(value, list):
        return all(map(unique, value))
    if not isinstance(value, dict):
        return True
    return len(json.loads(json.dumps(value))) == len(value) and all(map(unique, value.values())) and not any(
        isinstance(k, float) or k == "" for k in value)


def test_faults_are_faults_of_pyyaml_too():
    texts = ["a: [1, 2\nb: 3", "a: 1\n b: 2", "a: 'x", "a: *x", "- a\nb: c", "a: \x01", "[a]: 1\n", "{a: }}", "a: b: c",
             "a: @x", "%X", "a: !x 1", "a: &x 1\nb: &x 2\nc: !!y *z"]
    for text, answer in zip(texts, read(texts), strict=True):
        fault = answer["fault"]
        assert fault[0] > 0 and fault[2]
        with pytest.raises((yaml.YAMLError, TypeError)):
            as_json(text)
