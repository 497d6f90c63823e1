"""The layers of the sources: an include or a call may only go down, and no two modules need each
other. A module is a .c file with its header; who calls whom is read off the sources."""

import re
from pathlib import Path

# From above to below. A folder may use those of lower layers, and itself; of its own layer only
# itself. The first prefix that fits counts.
LAYERS = (
    ("tests/",),
    ("deploy/",),
    ("worker/webhook/", "worker/admin/", "worker/openapi/"),
    ("worker/main", "worker/loop", "worker/handlers.", "worker/dispatch", "worker/lease_touch",
     "frontend/", "broker/"),
    ("worker/web/",),
    ("worker/handlers/", "worker/upkeep/"),
    ("worker/events/",),
    ("worker/auth/",),
    ("worker/http/",),
    ("worker/logs/",),
    ("worker/request/",),
    ("worker/store/monitor_probe", "worker/store/store.c"),
    ("worker/store/mongo/", "worker/store/sqlite/"),
    ("worker/store/",),
    ("worker/clients/", "worker/jobs/", "worker/secrets/", "worker/validation/"),
    ("worker/encoding/",),
    ("common/",),
)
INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)
DEFINITION = re.compile(r"^(?!static\b|typedef\b|struct \w+ \{)[a-z][\w \*]*?[ \*](\w+)\([^;{}]*\)\n\{", re.M)
STATIC = re.compile(r"^static\b[^;{}=]*?[ \*](\w+)\(", re.M)
CALL = re.compile(r"\b(\w+)\(")


def layer(name):
    """Position of a file's layer from the top, and the prefix that says so."""
    for rank, prefixes in enumerate(LAYERS):
        for prefix in prefixes:
            if name.startswith(prefix):
                return rank, prefix
    return None, None


def module(name):
    """A .c file and its header are one."""
    return re.sub(r"\.(c|h|def)$", "", name)


def edges(root, paths, without_comments):
    """(from file, to file, line, what) of all includes and calls between the project's files."""
    texts = {str(p.relative_to(root)): without_comments(p.read_text(), literals=False) for p in paths}
    defined = {}
    for name, text in texts.items():
        if name.endswith(".c"):
            for match in DEFINITION.finditer(text):
                defined.setdefault(match[1], []).append(name)
    for name, text in texts.items():
        for match in INCLUDE.finditer(text):
            if match[1] in texts:
                yield name, match[1], text.count("\n", 0, match.start()) + 1, "includes"
        if not name.endswith(".c"):
            continue
        own = {m[1] for m in STATIC.finditer(text)}
        seen = set()
        for match in CALL.finditer(text):
            where = [] if match[1] in own else defined.get(match[1], [])
            if len(where) == 1 and where[0] != name and (match[1], where[0]) not in seen:
                seen.add((match[1], where[0]))
                yield name, where[0], text.count("\n", 0, match.start()) + 1, f"calls {match[1]}() of"


def loops(graph):
    """Strongly connected components of more than one node (Tarjan), each sorted."""
    index, low, stack, on, found, counter = {}, {}, [], set(), [], [0]

    def visit(v):
        index[v] = low[v] = counter[0]
        counter[0] += 1
        stack.append(v)
        on.add(v)
        for w in graph.get(v, ()):
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in on:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            part = []
            while True:
                w = stack.pop()
                on.discard(w)
                part.append(w)
                if w == v:
                    break
            if len(part) > 1:
                found.append(sorted(part))

    for v in sorted(graph):
        if v not in index:
            visit(v)
    return found


def goes_up(name, other):
    """Whether a file of `name` may not use one of `other`: it is above, or beside it in another
    folder."""
    (rank, prefix), (below, other_prefix) = layer(name), layer(other)
    if below is None:
        return True
    beside = below == rank and prefix != other_prefix
    return below < rank or (beside and Path(name).parent != Path(other).parent)


def check(root, paths, without_comments):
    """Findings as (file, line, text)."""
    paths = list(paths)
    for path in paths:
        if layer(str(path.relative_to(root)))[0] is None:
            yield str(path.relative_to(root)), 1, "the file is in none of the layers of tests/lint/layers.py"
    graph, where = {}, {}
    for name, other, line, what in edges(root, paths, without_comments):
        a, b = module(name), module(other)
        if a != b:
            graph.setdefault(a, set()).add(b)
            where.setdefault((a, b), (name, line, f"{what} {other}"))
        if layer(name)[0] is not None and goes_up(name, other):
            yield name, line, f"{what} {other}, which is in a layer above, or beside it"
    for part in loops(graph):
        for a, b in sorted((a, b) for a in part for b in graph.get(a, ()) if b in part):
            name, line, what = where[a, b]
            yield name, line, f"{what}; they are in a loop: {', '.join(part)}"
