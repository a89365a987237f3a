# SPDX-License-Identifier: Apache-2.0
# Calls that no room makes, each with what to call instead, and `goto`. `banned.py ROOT`; `banned.py --self-test ROOT` first proves
# that a bad tree fails. strerror and readdir may be called: glibc (since 2.32) and musl keep their state by thread and by DIR.
import pathlib, re, sys, tempfile

LEXEME = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
BOUNDED = 'it does not know the size of what it writes to: snprintf, memcpy, or base/bytes.h'
CHECKED = 'it does not tell a number from garbage: strtoul, and a look at where it ended'
BY_THREAD = 'it answers from a buffer that all threads share'
BANNED = {
    **dict.fromkeys(['strcpy', 'strcat', 'stpcpy', 'sprintf', 'vsprintf', 'gets', 'scanf', 'getwd', 'bcopy'], BOUNDED),
    **dict.fromkeys(['strncpy', 'strncat', 'stpncpy'], 'it may leave the text without its end: snprintf, or base/bytes.h'),
    **dict.fromkeys(['atoi', 'atol', 'atoll', 'atof', 'sscanf', 'fscanf', 'vsscanf'], CHECKED),
    **dict.fromkeys(['strtok', 'localtime', 'gmtime', 'asctime', 'ctime', 'inet_ntoa', 'strsignal', 'gethostbyname', 'gethostbyaddr',
                     'getservbyname', 'getprotobyname', 'getlogin', 'ttyname', 'crypt', 'ptsname', 'asctime_r', 'ctime_r'], BY_THREAD),
    **dict.fromkeys(['rand', 'srand', 'random', 'srandom', 'drand48', 'lrand48', 'rand_r'], 'it can be guessed: getrandom or RAND_bytes'),
    **dict.fromkeys(['tmpnam', 'tempnam', 'mktemp', 'tmpfile'], 'somebody else can make that file first: mkstemp, O_TMPFILE or O_EXCL'),
    **dict.fromkeys(['system', 'popen', 'wordexp'], 'a shell reads its words: posix_spawn or fork and execve'),
    **dict.fromkeys(['signal', 'bsd_signal', 'sigset', 'siginterrupt'], 'what it does differs by system: sigaction'),
    **dict.fromkeys(['alloca', 'strdupa', 'strndupa'], 'it takes as much stack as the input says: an arena'),
    **dict.fromkeys(['setjmp', 'sigsetjmp', 'longjmp', 'siglongjmp'], 'it leaves what functions hold between: return an error'),
    **dict.fromkeys(['vfork'], 'parent and child share a stack: posix_spawn or fork'),
    **dict.fromkeys(['pthread_cancel', 'pthread_kill'], 'what a thread holds stays held: ask it to end'),
    **dict.fromkeys(['select', 'FD_SET'], 'it writes past its set from descriptor 1024 on: poll or epoll'),
}
CALL = re.compile(r'(?<![\w.>])(' + '|'.join(BANNED) + r')\s*\(|\b(goto)\b')


def code_of(text):
    """the text without comments and strings; lines stay where they are"""
    return LEXEME.sub(lambda m: ' ' + '\n' * m[0].count('\n'), text)


def banned_calls(name, text):
    found = []
    for i, line in enumerate(code_of(text).splitlines(), 1):
        for m in CALL.finditer(line):
            found.append(f'{name}:{i}: goto: return, or a function of its own' if m[2] else f'{name}:{i}: {m[1]}: {BANNED[m[1]]}')
    return found


def check(root):
    rows = (line for line in (root / 'tools/rooms.txt').read_text().splitlines() if line and line[0] not in '#<')
    rooms = {row.split(':')[0].split('/')[0] for row in rows}
    files = sorted(f for room in rooms for end in ('*.c', '*.h') for f in (root / room).rglob(end))
    return [b for f in files for b in banned_calls(f.relative_to(root).as_posix(), f.read_text())]


root = pathlib.Path(sys.argv[-1])
if sys.argv[1] == '--self-test':
    with tempfile.TemporaryDirectory() as d:
        tree = pathlib.Path(d)
        for folder in ('tools', 'base', 'net/inner'):
            (tree / folder).mkdir(parents=True)
        (tree / 'tools/rooms.txt').write_text('base:\nnet: base\nnet/inner: base\n')
        (tree / 'base/good.c').write_text('// strcpy(a, b)\n/* goto\n */ x = "system(1)"; my_strcpy(a); h->signal(1); h.select(1);\n'
                                          'gmtime_r(&t, &tm); sigaction(a); struct strcpy *p; random_fill(b);\n')
        good = check(tree)
        assert not good, f'a good tree failed: {good}'
        (tree / 'net/inner/bad.c').write_text('strcpy (a, b);\nif (x)\n    goto out;\nreturn atoi(s) + rand();\nn = system(s);\n')
        assert [b.split(': ')[0] for b in check(tree)] == [f'net/inner/bad.c:{n}' for n in (1, 3, 4, 4, 5)], 'a bad tree passed'
bad = check(root)
print('\n'.join(bad))
sys.exit(1 if bad else 0)
