# SPDX-License-Identifier: Apache-2.0
"""The runbooks (docs/runbooks): every command of every page, word for word, on machines that have only the packages, under systemd.
docs/runbooks/README.md says how pages tell this test what to do. RUNBOOK=NAME.md takes that page alone, and those that lead to it;
MERIDIAN_SLOW_RUNBOOKS=1 those that wait for minutes, too (make test-runbooks)."""
import os, signal, subprocess, sys, tempfile, threading, time

from lab import BUILD, SOURCE, need_root
from runbook_pages import BadPage, Block, Carry, Page, in_order, read_pages, way_to
from runbook_servers import MACHINES, Servers
from test_packages import repacked

FOLDER = f"{SOURCE}/docs/runbooks"
VERSION, LATER = "0.1.0~test1", "0.1.0~test2"
BLOCK_S = int(os.environ.get("RUNBOOK_BLOCK_S", 180))  # for a block that hangs; none takes that long


class Failed(Exception):
    pass


def packages(home):
    """What a page has at hand on each machine: the packages, and those of a later version."""
    subprocess.run([f"{SOURCE}/tools/build-deb", f"{home}/made", "--programs", BUILD, "--version", VERSION], check=True, stdout=subprocess.DEVNULL)
    os.mkdir(f"{home}/new")
    for name in os.listdir(f"{home}/made"):
        if name.endswith(".deb"):
            os.rename(f"{home}/made/{name}", f"{home}/{name}")
            os.rename(repacked(f"{home}/{name}", f"{home}/new", LATER), f"{home}/new/{name.replace(VERSION, LATER)}")
    subprocess.run(["rm", "-r", f"{home}/made"], check=True)


def judge(block, where, status, said):
    last = "\n".join(said.splitlines()[-60:])
    shown = f"{where}: on {{}}:\n{block.text}\n--- exit {status}\n{last}"
    if (status != 0) != block.fails:
        raise Failed(shown)
    for text in block.expects:
        if text not in said:
            raise Failed(f"{shown}\n--- it was to say: {text}")


def run_block(servers, page, block):
    where = f"{page.name}:{block.line}"
    if block.reason:
        print(f"{where}: not run: {block.reason}")
        return
    failed = []

    def on(name):
        try:
            r = servers[name].shell(block.text, BLOCK_S)
            judge(block, where, r.returncode, r.stdout)
        except Failed as e:
            failed.append(str(e).replace("{}", name, 1))
        except Exception as e:
            failed.append(f"{where}: on {name}: {e}")
    threads = [threading.Thread(target=on, args=(name,)) for name in block.machines]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failed:
        raise Failed("\n".join(failed))


def carry(servers, step):
    with open(servers[step.source].file(step.path), "rb") as f:
        data = f.read()
    path = servers[step.target].file(step.to)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
        f.write(data)


def run_page(servers, page):
    began = time.monotonic()
    for step in page.steps:
        at = time.monotonic()
        if isinstance(step, Block):
            run_block(servers, page, step)
        elif isinstance(step, Carry):
            carry(servers, step)
        else:
            servers.lose(step.machine)
            servers.begin(step.machine)
        print(f"  {page.name}:{step.line}: {time.monotonic() - at:.1f} s", flush=True)
    print(f"{page.name}: {time.monotonic() - began:.1f} s", flush=True)


# ---- the reader of pages can fail ----
GOOD = """\
<!-- fleet: nothing -> a -->
<!-- on: one two -->
<!-- expect: x y -->
```sh
true
```
<!-- carry: one:/a -> two:/b -->
<!-- not run: no such thing here -->
```sh
false
```
"""
BAD = {"no fleet": GOOD.split("\n", 1)[1], "no machine": GOOD.replace("two -->", "nine -->", 1), "not said where": GOOD.replace("<!-- on: one two -->\n", ""),
       "no reason": GOOD.replace(": no such thing here", ":"), "text between": GOOD.replace("x y -->\n", "x y -->\nText.\n"),
       "no end": GOOD[:-4], "unknown": GOOD.replace("expect:", "expects:"), "nothing run": GOOD.replace("on: one two", "not run: x").replace("<!-- expect: x y -->\n", "")}


def self_test():
    page = Page("good", GOOD, MACHINES)
    assert (page.begins, page.ends, [type(s) for s in page.steps]) == ("nothing", "a", [Block, Carry, Block]), page.__dict__
    assert (page.steps[0].machines, page.steps[0].expects, page.steps[2].reason) == (["one", "two"], ["x y"], "no such thing here")
    for why, text in BAD.items():
        try:
            Page(why, text, MACHINES)
        except BadPage:
            continue
        raise AssertionError(f"this page was taken: {why}")
    for status, said in ((1, "x y"), (0, "x z")):
        try:
            judge(page.steps[0], "good", status, said)
        except Failed:
            continue
        raise AssertionError("a block that fails was taken")
    made = lambda name, begins, ends=None: Page(name, GOOD.replace("nothing -> a", f"{begins} -> {ends or begins}"), MACHINES)
    pages = [made("add", "2", "3"), made("lost", "2", "other"), made("remove", "3", "2"), made("stay", "3"), made("two", "nothing", "2"), made("more", "other")]
    names = lambda: [[p.name for p in life] for life in in_order(pages)]
    assert names() == [["two", "add", "stay", "remove", "lost", "more"]], names()
    pages[2].slow = "it waits"
    assert names() == [["two", "add", "stay"], ["two", "lost", "more"], ["two", "add", "remove"]], names()
    pages.append(made("nowhere", "7"))
    try:
        in_order(pages)
    except BadPage:
        return
    raise AssertionError("a page from no fleet was taken")


def live(home, life):
    """One fleet, from nothing to the end of its last page."""
    with Servers(home) as servers:
        servers.begin_all()
        for page in life:
            run_page(servers, page)


def live_beside(home, lives):
    """Each in a process of its own, as namespaces are. They wait much more than they work."""
    children = []
    try:
        for i, life in enumerate(lives):
            out = tempfile.TemporaryFile("w+")
            children.append((out, subprocess.Popen([sys.executable, __file__, "--life", home, *(p.name for p in life)], stdout=out, stderr=out)))
        for out, child in children:
            child.wait()
    finally:
        for out, child in children:
            if child.poll() is None:
                child.send_signal(signal.SIGINT)  # it takes its machines down
                child.wait()
            out.seek(0)
            print(out.read(), flush=True)
            out.close()
    failed = [" ".join(child.args[4:]) for _, child in children if child.returncode]
    if failed:
        raise Failed("of these fleets a page failed: " + "; ".join(failed))


def chosen(pages):
    """Without the slow ones, unless they are asked for; each is read all the same."""
    if os.environ.get("MERIDIAN_SLOW_RUNBOOKS"):
        return pages
    for page in pages:
        if page.slow:
            way_to(pages, page)
            print(f"{page.name}: not run here (make test-runbooks does): {page.slow}")
    return [p for p in pages if not p.slow]


def main(words):
    need_root()
    pages = read_pages(FOLDER, MACHINES)
    named = lambda name: next(p for p in pages if p.name == name)
    if words[:1] == ["--life"]:
        live(words[1], [named(name) for name in words[2:]])
        return
    self_test()
    one = os.environ.get("RUNBOOK")
    if one:
        lives = [way_to(pages, named(one))]
    else:
        lives = in_order(chosen(pages))
    with tempfile.TemporaryDirectory(prefix="meridian-runbooks.") as home:
        began = time.monotonic()
        os.mkdir(f"{home}/root")
        packages(f"{home}/root")
        print(f"packages: {time.monotonic() - began:.1f} s", flush=True)
        live_beside(f"{home}/root", lives)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (BadPage, Failed) as e:
        print(e, file=sys.stderr)
        sys.exit(1)
