# SPDX-License-Identifier: Apache-2.0
"""The pages of docs/runbooks as steps that a test can take. docs/runbooks/README.md has the convention."""
import glob, os, re

COMMENT = re.compile(r"<!--\s*(.*?)\s*-->\s*")
FENCE = re.compile(r"```(\w*)\s*")


class BadPage(Exception):
    """A page that says its steps wrongly, or does not say one of them."""


class Block:
    """One ```sh block. `machines`: where it is run, at once; none: `reason` says why it is not run."""

    def __init__(self, line, text, machines, expects, fails, reason):
        self.line, self.text, self.machines, self.expects, self.fails, self.reason = line, text, machines, expects, fails, reason


class Carry:
    """A file that somebody carries from one machine to another."""

    def __init__(self, line, source, path, target, to):
        self.line, self.source, self.path, self.target, self.to = line, source, path, target, to


class Lost:
    """A machine that is gone with its disk. Another one takes its place, with nothing on it."""

    def __init__(self, line, machine):
        self.line, self.machine = line, machine


class Page:
    """`begins` and `ends` name fleets; `slow` says why it waits long, or is None; `steps` in the page's order."""

    def __init__(self, name, text, machines):
        self.name, self.known = name, machines
        self.begins = self.ends = None
        self.slow = None
        self.steps, self.pending = [], {}
        self._read(text.splitlines())
        if not self.begins:
            raise BadPage(f"{name}: no comment says which fleet it begins from: <!-- fleet: two regions -->")
        if not any(isinstance(s, Block) and s.machines for s in self.steps):
            raise BadPage(f"{name}: nothing in it is run")

    def _bad(self, line, what):
        raise BadPage(f"{self.name}:{line}: {what}")

    def _read(self, lines):
        i = 0
        while i < len(lines):
            at, line = i + 1, lines[i].strip()
            i += 1
            if comment := COMMENT.fullmatch(line):
                self._comment(at, comment[1])
            elif fence := FENCE.fullmatch(line):
                body = []
                while i < len(lines) and lines[i].strip() != "```":
                    body.append(lines[i])
                    i += 1
                if i == len(lines):
                    self._bad(at, "a block without an end")
                i += 1
                self._block(at, fence[1], "\n".join(body))
            elif line and self.pending:
                self._bad(at, "between a comment and its block stands text")
            elif line.startswith("<!--"):
                self._bad(at, "a comment of more than one line, or with text behind it")
        if self.pending:
            self._bad(len(lines), "a comment without a block")

    def _machines(self, line, words):
        names = words.split()
        for name in names:
            if name not in self.known:
                self._bad(line, f"no machine is called {name}: {', '.join(self.known)}")
        if not names:
            self._bad(line, "on which machine?")
        return names

    def _comment(self, line, text):
        key, _, value = text.partition(":")
        value = value.strip()
        if key == "fleet":
            self.begins, _, ends = (part.strip() for part in value.partition("->"))
            self.ends = ends or self.begins
        elif key == "slow" and value:
            self.slow = value
        elif key == "on":
            self.pending["on"] = self._machines(line, value)
        elif key == "expect" and value:
            self.pending.setdefault("expect", []).append(value)
        elif key == "fails":
            self.pending["fails"] = True
        elif key == "not run" and value:
            self.pending["reason"] = value
        elif key == "carry":
            self._carry(line, value)
        elif key == "lost":
            self.steps += [Lost(line, name) for name in self._machines(line, value)]
        else:
            self._bad(line, f"a comment that says nothing to the test: {text}")

    def _carry(self, line, value):
        parts = re.fullmatch(r"(\w+):(\S+) -> (\w+):(\S+)", value)
        if not parts:
            self._bad(line, "carry: ONE:PATH -> TWO:PATH")
        self._machines(line, f"{parts[1]} {parts[3]}")
        self.steps.append(Carry(line, *parts.groups()))

    def _block(self, line, language, text):
        said, self.pending = self.pending, {}
        if language != "sh":
            if said:
                self._bad(line, "a comment before a block that is not of commands")
            return
        if ("on" in said) == ("reason" in said):
            self._bad(line, "say where it is run, <!-- on: one -->, or why not, <!-- not run: WHY -->")
        self.steps.append(Block(line, text, said.get("on", []), said.get("expect", []), said.get("fails", False), said.get("reason")))


def read_pages(folder, machines):
    """Every page of the folder but its index."""
    pages = []
    for path in sorted(glob.glob(f"{folder}/*.md")):
        name = os.path.basename(path)
        if name == "README.md":
            continue
        with open(path) as f:
            pages.append(Page(name, f.read(), machines))
    return pages


def leads_to(pages, begin, wanted):
    """The shortest list of pages that leads from a fleet to where `wanted` begins; None: there is none."""
    ways, seen = [(begin, [])], {begin}
    for at, way in ways:
        if at == wanted.begins:
            return way
        for page in pages:
            if page.begins == at and page.ends not in seen:
                seen.add(page.ends)
                ways.append((page.ends, [*way, page]))
    return None


def in_order(pages):
    """Lives of fleets, each a list of pages, so that each page is run, few fleets are made, and every page begins from the fleet
    that it names. Pages that leave the fleet as it was come before those that change it; a slow one has a fleet of its own."""
    quick = [p for p in pages if not p.slow]
    lives, left = [], list(quick)
    while left:
        life = one_life(quick, left)
        if not any(p in left for p in life):
            raise BadPage(f"no page leads to the fleet that {left[0].name} begins from: {left[0].begins}")
        lives.append(life)
        left = [p for p in left if p not in life]
    for page in pages:
        if page.slow:
            lives.append(way_to(pages, page))
    return lives


def way_to(pages, page):
    way = leads_to([p for p in pages if not p.slow], "nothing", page)
    if way is None:
        raise BadPage(f"no page leads to the fleet that {page.name} begins from: {page.begins}")
    return [*way, page]


def one_life(pages, left):
    at, life, left = "nothing", [], list(left)
    reach = lambda page: len([q for q in left if q is not page and leads_to(left, page.ends, q) is not None])
    while True:
        here = [p for p in left if p.begins == at]
        stay = [p for p in here if p.ends == at]
        if not here:
            ways = [w for p in left for w in [leads_to(pages, at, p)] if w is not None]
            if not ways:
                return life
            way = min(ways, key=len)  # of pages that were run before
            life += way
            at = way[-1].ends
            continue
        page = stay[0] if stay else max(here, key=reach)
        left.remove(page)
        life.append(page)
        at = page.ends
