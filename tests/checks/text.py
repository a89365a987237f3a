# SPDX-License-Identifier: Apache-2.0
# Rules over all committed text: `text.py paths ROOT`: no path of somebody's machine; `text.py format ROOT`: C files
# stand as clang-format 14 writes them (exit 77, "skipped", without that version). `text.py --self-test` proves that
# the path rules can fail. `text.py documents ROOT`: every source file that README.md and docs/ name is there.
import pathlib, re, shutil, subprocess, sys

PATH = re.compile(r'`([\w./-]+/[\w.-]+\.(?:c|h|py|txt|md|yaml|sh))`')
MACHINE = re.compile(r'(?<![\w.*])/(?:work|farm)/|/tmp/bash[_]jobs')


def tracked(root):
    try:
        out = subprocess.run(['git', 'ls-files', '-z'], cwd=root, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        names = [n for n in out.stdout.decode().split('\0') if n]
        return [f for f in (root / n for n in names) if f.is_file()]
    except (OSError, subprocess.CalledProcessError):  # a source archive: everything but build folders
        return [f for f in root.rglob('*') if f.is_file() and not re.match(r'(\.git|build)', f.relative_to(root).parts[0])]


def machine_paths(name, data):
    if b'\0' in data:
        return []
    text = data.decode('utf-8', 'replace')
    return [f'{name}:{i}: path of one machine' for i, l in enumerate(text.splitlines(), 1) if MACHINE.search(l)]


def missing_paths(name, text, exists):
    """Paths of sources that a document names (`room/file.ext`) and that are not there."""
    found = []
    for i, line in enumerate(text.splitlines(), 1):
        for path in PATH.findall(line):
            if exists(path.split('/')[0]) and not exists(path):
                found.append(f'{name}:{i}: {path} is not there')
    return found


def formatter():
    for name in ('clang-format-14', 'clang-format'):
        path = shutil.which(name)
        if path and ' version 14.' in subprocess.run([path, '--version'], stdout=subprocess.PIPE, text=True).stdout:
            return path
    print('clang-format 14 is not installed: format not checked')
    sys.exit(77)


what = sys.argv[1]
if what == '--self-test':
    assert machine_paths('x', b'a\nsee /wo' b'rk/x here\n') == ['x:2: path of one machine'], 'a bad text passed'
    there = {'base', 'base/a.c'}.__contains__
    assert missing_paths('x', 'see `base/b.c`,\n`base/a.c` or `state/b.c`', there) == ['x:1: base/b.c is not there'], 'a lost file passed'
    assert not machine_paths('x', b'net/work/x /var/lib/meridian\n'), 'a good text failed'
    sys.exit(0)
root = pathlib.Path(sys.argv[2])
if what == 'paths':
    bad = [b for f in tracked(root) for b in machine_paths(f.relative_to(root).as_posix(), f.read_bytes())]
    print('\n'.join(bad))
    sys.exit(1 if bad else 0)
if what == 'documents':
    documents = [root / 'README.md', *sorted((root / 'docs').rglob('*.md'))]
    exists = lambda path: (root / path).exists()
    bad = [b for f in documents for b in missing_paths(f.relative_to(root).as_posix(), f.read_text(), exists)]
    print('\n'.join(bad))
    sys.exit(1 if bad else 0)
files = [f.relative_to(root).as_posix() for f in tracked(root) if f.suffix in ('.c', '.h')]
r = subprocess.run([formatter(), '--dry-run', '-Werror', *files], cwd=root, stderr=subprocess.PIPE, text=True)
places = [l for l in r.stderr.splitlines() if 'error:' in l]
print('\n'.join(places[:40]) or r.stderr[-2000:])
if r.returncode:
    print('run: make fmt')
sys.exit(1 if r.returncode else 0)
