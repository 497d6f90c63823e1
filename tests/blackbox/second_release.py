"""A second release, built from this tree with changed tables: rows in another order, one more, one less."""

import fcntl
import re
import shutil
import subprocess

from stack import BIN, ROOT

ROLES = ("frontend", "broker", "worker")
REMOVED = "/v1/queues/wait_times"
ADDED = "/v1/next"
ROW = re.compile(r"^(?:API|LOGIN|WEBHOOK)\((?:[^()]|\([^()]*\))*\)\n", re.M)


def changed_api(text):
    rows = [row for row in ROW.findall(text) if "OP_WAIT_TIMES" not in row]
    assert len(rows) > 40
    rows.append(f'API(OP_NEXT, h_readyz, .wire = 200, .method = HTTP_GET, .path = "{ADDED}",\n'
                '    .roles = ROLES_ANYONE, .summary = "New")\n')
    first = "LOCAL(OP_VERSION"
    return ROW.sub("", text).replace(f"\n{first}", "\n" + "".join(rows[::-1]) + first)


def changed_headers(text):
    rows = [line for line in text.splitlines() if line.startswith("HEADER(")]
    return "\n".join(['HEADER(HDR_NEXT, 30, "X-Next")', *rows[::-1]]) + "\n"


CHANGED = {"api.def": changed_api, "headers.def": changed_headers}


def copy_tree(root):
    """Files that did not change keep their times, so that they are not compiled again."""
    for name in ("cmake", "frontend", "broker", "worker", "deploy", "tests", "common"):
        shutil.copytree(ROOT / name, root / name, dirs_exist_ok=True,
                        ignore=lambda folder, names: CHANGED if folder.endswith("common") else ())
    shutil.copy2(ROOT / "CMakeLists.txt", root)
    (root / "docs").mkdir(exist_ok=True)
    for name in ("openapi.json", "api.md"):  # parts of the frontend and the worker
        shutil.copy2(ROOT / "docs" / name, root / "docs")
    for name, change in CHANGED.items():
        text, path = change((ROOT / "common" / name).read_text()), root / "common" / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def second_release():
    """The folder of its programs, which are built by the first process that asks."""
    root = BIN.parent / "second-release"
    root.mkdir(exist_ok=True)
    launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
    with open(root / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        copy_tree(root)
        for command in (["cmake", "-G", "Ninja", "-S", root, "-B", root / "build",
                         "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS_DEBUG=-O0", *launcher],
                        ["ninja", "-C", root / "build", *(f"testflinger-{role}" for role in ROLES)]):
            done = subprocess.run(command, text=True, capture_output=True, timeout=600)
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return root / "build/bin"
