# SPDX-License-Identifier: Apache-2.0
# docs/replication-protocol.md says what the code does, both ways round: paths with their methods, kinds of entries, members
# of values and of progress lines, limits. `protocol.py [--self-test] ROOT`.
import pathlib, re, sys

BELOW = '/replication/v1/'
SUBJECTS = {'SUBJECT_MANIFEST': 'manifest', 'SUBJECT_TAG': 'tag', 'SUBJECT_REPOSITORY': 'repository'}
NUMBER = r'(?:\([a-z_0-9]+\))?(\d+)[uUlL]*'


# --- the document ---

def section(text, title):
    """From the heading to the next one of its depth or above."""
    m = re.search(rf'^(#+) {re.escape(title)}\n', text, re.M)
    if not m:
        sys.exit(f'the document has no section "{title}"')
    end = re.search(rf'^#{{1,{len(m[1])}}} ', text[m.end():], re.M)
    return text[m.end():m.end() + end.start()] if end else text[m.end():]


def rows(text):
    """Cells of the rows of its tables."""
    lines = [[c.strip() for c in l.strip('|').split('|')] for l in text.splitlines() if l.startswith('|')]
    return [l for l in lines if l[0].startswith('`') or len(l) == 4]


def words(cell):
    return re.findall(r'`(\w+)`', cell)


def said_paths(text):
    return {(m, p) for m, p in re.findall(rf'^\| (GET|POST) `{BELOW}(\w+)`', section(text, 'The paths'), re.M)}


def said_kinds(text):
    """(name, number, subject, attribute, members, in order); `?` behind those that may be left out."""
    found = set()
    for cells in rows(section(text, 'Kinds')):
        if len(cells) == 5:
            found.add((words(cells[0])[0], int(cells[1]), cells[2], words(cells[3])[0], cells[4].replace('`', '').replace(' ', '')))
    return found


def said_members(text):
    return {w for cells in rows(section(text, 'Kinds')) if len(cells) == 2 for w in words(cells[0])}


def said_progress(text):
    return {w for cells in rows(section(text, 'The stream')) if len(cells) == 2 for w in words(cells[0])}


def said_limits(text):
    return {(words(c[3])[0], int(c[1])) for c in rows(section(text, 'What is bounded')) if len(c) == 4 and words(c[3])}


# --- the code ---

def routes(code):
    table = re.search(r'struct route routes\[\] = \{(.*?)\n\};', code, re.S)[1]
    return {('POST' if posts == 'true' else 'GET', name) for name, posts in re.findall(r'\{"(\w+)", \w+, (true|false), \w+\}', table)}


def members_of(flags, ident):
    """What entry_value.c writes for a kind with these flags, in its order."""
    out = []
    if 'ENTRY_HAS_CONTENT' in flags:
        out += ['mediaType', 'size', 'absent?']
    if ident == 'tag':
        out += ['digest', 'createOnly?', 'generation?']
    if 'ENTRY_IS_GONE' in flags:
        out += ['gone', 'judged?', 'rule?']
    if 'ENTRY_IS_LOCK' in flags:
        out += ['write', 'delete']
    return ','.join(out + ['by?'])


def kinds(entry_h, entry_kind):
    found = set()
    for number, ident in re.findall(r'KIND\(ENTRY_\w+, (\d+), (\w+)\)', entry_h):
        form = re.search(rf'entry_form form_{ident} = \{{(.*?)\n\}};', entry_kind, re.S)[1]
        subject, attribute = re.search(r'\.subject = (\w+)', form)[1], re.search(r'\.attribute = "([^"]+)"', form)[1]
        found.add((ident, int(number), SUBJECTS[subject], attribute, members_of(re.search(r'\.members = ([^,]+)', form)[1], ident)))
    return found


def members(entry_value):
    """All that are read of a value; `stamp`, `origin` and `epoch` stand inside of `judged`."""
    return set(re.findall(r'(?:member|_read)\(v, "(\w+)"', entry_value))


def progress(feed_line):
    return set(re.findall(r'json_object_get\(o, "(\w+)"\)', re.search(r'void progress_read\(.*?\n\}', feed_line, re.S)[0]))


def constants(sources):
    found = {}
    for name, text in re.findall(r'^#define ([A-Z][A-Z_0-9]+) +\(?([^/\n]+?)\)?(?: *//.*)?$', '\n'.join(sources), re.M):
        m = re.fullmatch(rf'{NUMBER}(?: << (\d+))?', text.strip())
        if m:
            found[name] = int(m[1]) << int(m[2] or 0)
        elif re.fullmatch(r'[A-Z_0-9]+', text.strip()):
            found[name] = text.strip()
    return {n: found.get(v) if isinstance(v, str) else v for n, v in found.items()}


# --- one against the other ---

def differences(what, code, document):
    if not code:
        return [f'{what}: nothing is found in the code: this check looks for the wrong words']
    return ([f'{what}: the document lacks {c}' for c in sorted(code - document)] +
            [f'{what}: the document has {d}, the code has not' for d in sorted(document - code)])


def judge(text, read, sources):
    there = constants(sources)
    limits = said_limits(text)
    prose = {p for p in re.findall(rf'{BELOW}(\w+)', text)}
    must = {n for n in re.findall(r'#define (ENTRY_\w+_MAX|FEED_\w+_MAX)\b', read('store/entry.h') + read('replication/feed_line.h'))} - {'FEED_LINE_MAX'}
    titles = {(m, p) for m, p in re.findall(rf'^### (GET|POST) {BELOW}(\w+)$', text, re.M)}
    bad = differences('path', routes(read('replication/serve.c')), said_paths(text))
    bad += differences('section of a path', routes(read('replication/serve.c')), titles)
    bad += [f'path: {BELOW}{p} is named, the code has none' for p in sorted(prose - {n for _, n in routes(read('replication/serve.c'))})]
    bad += differences('kind', kinds(read('store/entry.h'), read('store/entry_kind.c')), said_kinds(text))
    bad += differences('member of a value', members(read('store/entry_value.c')), said_members(text))
    bad += differences('member of a progress line', progress(read('replication/feed_line.c')), said_progress(text))
    bad += [f'limit: {n} is {there.get(n)} in the code, {v} in the document' for n, v in sorted(limits) if there.get(n) != v]
    bad += [f'limit: the document lacks {n}' for n in sorted(must - {n for n, _ in limits})]
    return bad


def self_test(text, read, sources):
    """Each change of the document is seen, and so is a kind, a path, a member or a limit more in the code."""
    assert not judge(text, read, sources), 'a good document failed'
    for old, new in (('| GET `/replication/v1/reach`', '| GET `/replication/v1/rich`'), ('| POST `/replication/v1/holds`', '| GET `/replication/v1/holds`'),
                     ('### POST /replication/v1/ahead', '### POST ahead'), ('| `tag_lock` | 6 |', '| `tag_lock` | 8 |'), ('tag_gone` | 4 | tag', 'tag_gone` | 4 | manifest'),
                     ('| `rule` |', '| `ruler` |'), ('| `headsSig`, `headsKey` |', '| `headsSig` |'), ('| 32768 |', '| 32769 |'),
                     ('| `locked` | `write`, `delete`', '| `held` | `write`, `delete`'), ('`gone`, `judged`?, `rule`?', '`gone`, `rule`?')):
        assert old in text, old
        assert judge(text.replace(old, new, 1), read, sources), f'not seen: {old} as {new}'
    for path, old, new in (('replication/serve.c', '{"feed", FOR_PEERS', '{"spread", FOR_PEERS, false, feed}, {"feed", FOR_PEERS'),
                           ('store/entry.h', 'KIND(ENTRY_TAG, 2, tag)', 'KIND(ENTRY_TAG, 2, tag) KIND(ENTRY_HOLD, 8, tag_gone)'),
                           ('store/entry_value.c', 'member(v, "judged"', 'member(v, "signed", false), member(v, "judged"'),
                           ('replication/feed_line.c', 'json_object_get(o, "speaks")', 'json_object_get(o, "speaks"), json_object_get(o, "zip")'),
                           ('store/entry_kind.c', '.attribute = "locked"', '.attribute = "closed"'),
                           ('store/entry.h', '#define ENTRY_RULE_MAX 128', '#define ENTRY_RULE_MAX 128\n#define ENTRY_NOTE_MAX 9')):
        assert old in read(path), old
        later = lambda p: read(p).replace(old, new, 1) if p == path else read(p)
        assert judge(text, later, sources), f'not seen: {new} in {path}'


root = pathlib.Path(sys.argv[-1])
read = lambda path: (root / path).read_text()
sources = [f.read_text() for room in ('store', 'replication', 'content', 'config') for f in sorted((root / room).glob('*.[ch]'))]
text = read('docs/replication-protocol.md')
bad = judge(text, read, sources)
if bad:
    print('docs/replication-protocol.md and the code differ:', *bad, sep='\n')
    sys.exit(1)
if sys.argv[1] == '--self-test':
    self_test(text, read, sources)
