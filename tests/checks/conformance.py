# SPDX-License-Identifier: Apache-2.0
# Every test that docs/dns-conformance.md names is there: `conformance.py [--self-test] ROOT`.
import pathlib, re, sys

NAMED = re.compile(r'`(test_\w+\.(?:c|py)):(\w+)`')


def missing(text, files):
    """`files`: name -> contents. What the text names and they do not define; or that it names nothing."""
    named = set(NAMED.findall(text))
    defines = lambda f, t: re.search(rf'START_TEST\({t}\)|def {t}\(', files.get(f, ''))
    return [f'{f}:{t} is not there' for f, t in sorted(named) if not defines(f, t)] + ([] if named else ['no test is named'])


root = pathlib.Path(sys.argv[-1])
if sys.argv[1] == '--self-test':
    there = {'test_a.c': 'START_TEST(good)', 'test_b.py': 'def test_x(self):'}
    assert not missing('`test_a.c:good`, `test_b.py:test_x`', there), 'a good text failed'
    assert len(missing('`test_a.c:goo` `test_b.py:test_y` `test_c.c:good`', there)) == 3 and missing('', there), 'a bad text passed'
bad = missing((root / 'docs/dns-conformance.md').read_text(), {f.name: f.read_text() for f in (root / 'tests').rglob('test_*.*') if f.suffix in ('.c', '.py')})
print('\n'.join(bad))
sys.exit(1 if bad else 0)
