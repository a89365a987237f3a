# SPDX-License-Identifier: Apache-2.0
# Source rules over the rooms: includes go only where tools/rooms.txt allows and carry their room, a library's headers
# are seen only in the rooms named there, every file opens with its SPDX line, and only base/clock.c reads the time.
# `rooms.py ROOT`; `rooms.py --self-test ROOT` first proves that a bad tree fails.
import pathlib, re, sys, tempfile

TIME = re.compile(r'\b(clock_gettime|gettimeofday|time)\s*\(')


def read_table(table):
    rooms, libraries = {}, {}
    for line in table.splitlines():
        if line and line[0] != '#':
            name, edges = line.split(':')
            (libraries if name[0] == '<' else rooms)[name.strip('<>')] = edges.split()
    return rooms, libraries


def room_of(name, rooms):
    found = [r for r in rooms if name.startswith(r + '/')]
    return max(found, key=len, default=name.split('/')[0])


def check(root, table):
    allowed, libraries = read_table(table)
    bad = []
    for room in sorted({r.split('/')[0] for r in allowed} - set(allowed)):
        bad += [f'{f.relative_to(root).as_posix()}:1: no row of tools/rooms.txt holds this file'
                for f in sorted((root / room).rglob('*.[ch]')) if room_of(f.relative_to(root).as_posix(), allowed) == room]
    for room, edges in allowed.items():
        for f in sorted([*(root / room).rglob('*.c'), *(root / room).rglob('*.h')]):
            name, text = f.relative_to(root).as_posix(), f.read_text()
            if room_of(name, allowed) != room:
                continue
            if not text.startswith('// SPDX-License-Identifier: Apache-2.0\n'):
                bad.append(f'{name}:1: no SPDX line')
            for i, line in enumerate(text.splitlines(), 1):
                m = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
                to = m and room_of(m[1], allowed)
                if m and '/' not in m[1]:
                    bad.append(f'{name}:{i}: include "{m[1]}" does not carry its room')
                elif m and to != room and to not in edges and m[1] not in edges:
                    bad.append(f'{name}:{i}: {room} may not include {m[1]}')
                m = re.match(r'\s*#\s*include\s*<([^>]+)>', line)
                for library, rooms in libraries.items():
                    if m and room not in rooms and (m[1] == library or library[-1] == '/' and m[1].startswith(library)):
                        bad.append(f'{name}:{i}: {room} may not include <{m[1]}>, only {", ".join(rooms)}')
                code = re.sub(r'"(\\.|[^"\\])*"', '""', line.split('//')[0])
                if name != 'base/clock.c' and TIME.search(code):
                    bad.append(f'{name}:{i}: only base/clock.c reads the time')
    return bad


root = pathlib.Path(sys.argv[-1])
table = (root / 'tools/rooms.txt').read_text()
if sys.argv[1] == '--self-test':
    assert room_of('a/b/c.h', {'a': [], 'a/b': []}) == 'a/b' and room_of('a/c.h', {'a': [], 'a/b': []}) == 'a'
    with tempfile.TemporaryDirectory() as d:
        (pathlib.Path(d) / 'base').mkdir()
        (pathlib.Path(d) / 'base/bad.c').write_text('#include "net/http.h"\n#include "err.h"\nx = time(0);\n'
                                                    '#include <sqlite3.h>\n#include <curl/curl.h>\n')
        assert len(check(pathlib.Path(d), table)) == 6, 'a bad tree passed'
bad = check(root, table)
print('\n'.join(bad))
sys.exit(1 if bad else 0)
