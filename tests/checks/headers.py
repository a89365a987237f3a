# SPDX-License-Identifier: Apache-2.0
# Every header compiles alone, as the first thing a translation unit sees. `headers.py ROOT COMPILER…`; one compiler per
# folder at a time, as many at once as there are processors. `--self-test` first proves that a bad header fails.
import concurrent.futures, os, pathlib, subprocess, sys, tempfile


def folders(root):
    rooms = [l.split(':')[0] for l in (root / 'tools/rooms.txt').read_text().splitlines() if l and l[0] not in '#<']
    groups = {}
    for room in rooms + ['tests', 'bench']:
        for f in sorted((root / room).rglob('*.h')):
            groups.setdefault(room, []).append(f.relative_to(root).as_posix())
    return groups


def compile_alone(root, compiler, headers):
    flags = ['-std=gnu17', '-D_GNU_SOURCE', '-DMERIDIAN_VERSION="0"',
             '-Wall', '-Werror', '-Wno-unused-function', '-I.', '-fsyntax-only', '-x', 'c']
    r = subprocess.run(compiler + flags + headers, cwd=root, stderr=subprocess.PIPE, text=True)
    return r.stderr or f'{headers}: compiler failed\n' if r.returncode else ''


self_test = sys.argv[1] == '--self-test'
root, compiler = pathlib.Path(sys.argv[1 + self_test]), sys.argv[2 + self_test:]
if self_test:
    with tempfile.TemporaryDirectory() as d:
        (pathlib.Path(d) / 'bad.h').write_text('size_t needs_stddef(void);\n')
        (pathlib.Path(d) / 'good.h').write_text('#include <stddef.h>\nsize_t fine(void);\n')
        assert compile_alone(pathlib.Path(d), compiler, ['bad.h']), 'a bad header passed'
        assert not compile_alone(pathlib.Path(d), compiler, ['good.h']), 'a good header failed'
with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    bad = ''.join(pool.map(lambda h: compile_alone(root, compiler, h), folders(root).values()))
print(bad, end='')
sys.exit(1 if bad else 0)
