# SPDX-License-Identifier: Apache-2.0
"""The programs as they were linked have what docs/security.md says ("How it is built"), read off the ELF files themselves.
`hardening.py [--fortified] PROGRAM… -- COMPILER…`; first it proves with the compiler that a program without is found out.
`hardening.py --without REASON`: skipped."""
import os, struct, subprocess, sys, tempfile

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_GNU_STACK, PT_GNU_RELRO = 1, 2, 3, 0x6474e551, 0x6474e552
DT_NULL, DT_STRTAB, DT_SYMTAB, DT_BIND_NOW, DT_FLAGS, DT_RPATH, DT_TEXTREL, DT_RUNPATH, DT_FLAGS_1 = 0, 5, 6, 24, 30, 15, 22, 29, 0x6ffffffb
DF_BIND_NOW, DF_1_NOW, DF_1_PIE = 8, 1, 0x08000000
SHT_DYNSYM, EM_X86_64, ET_DYN = 11, 62, 3
NT_GNU_PROPERTY, X86_FEATURE_1_AND, IBT, SHSTK = 5, 0xc0000002, 1, 2


class Elf:
    """A 64-bit little-endian ELF file, as far as it is needed here."""

    def __init__(self, path):
        with open(path, 'rb') as f:
            self.data = d = f.read()
        assert d[:6] == b'\x7fELF\x02\x01', f'{path}: not a 64-bit little-endian ELF file'
        self.type, self.machine = struct.unpack_from('<HH', d, 16)
        ph_at, sh_at = struct.unpack_from('<QQ', d, 32)
        ph_size, ph_n, sh_size, sh_n, names = struct.unpack_from('<HHHHH', d, 54)
        self.segments = [struct.unpack_from('<IIQQQQQQ', d, ph_at + i * ph_size) for i in range(ph_n)]  # type flags at vaddr paddr filesz memsz align
        raw = [struct.unpack_from('<IIQQQQIIQQ', d, sh_at + i * sh_size) for i in range(sh_n)]  # name type flags addr at size link info align entsize
        self.sections = {self.text_at(raw[names][4] + s[0]): s for s in raw} if sh_n else {}
        self.raw_sections = raw

    def text_at(self, at):
        return self.data[at:self.data.index(b'\0', at)].decode()

    def segment(self, kind):
        return next((s for s in self.segments if s[0] == kind), None)

    def section_bytes(self, name):
        s = self.sections.get(name)
        return self.data[s[4]:s[4] + s[5]] if s else b''

    def dynamic(self):
        s, out = self.segment(PT_DYNAMIC), {}
        for at in range(s[2], s[2] + s[5], 16) if s else ():
            tag, value = struct.unpack_from('<QQ', self.data, at)
            if tag == DT_NULL:
                break
            out[tag] = value
        return out

    def imported(self):
        table = next((s for s in self.raw_sections if s[1] == SHT_DYNSYM), None)
        if not table:
            return set()
        strings = self.raw_sections[table[6]][4]
        entries = (struct.unpack_from('<IBBHQQ', self.data, at) for at in range(table[4], table[4] + table[5], 24))
        return {self.text_at(strings + name) for name, _, _, section, _, _ in entries if section == 0 and name}

    def x86_features(self):
        """The bits of .note.gnu.property that say what all of the program is ready for."""
        data, at = self.section_bytes('.note.gnu.property'), 0
        while at + 16 <= len(data):
            n_name, n_desc, kind = struct.unpack_from('<III', data, at)
            at += 12 + (n_name + 3 & ~3)
            end, p = at + n_desc, at
            while kind == NT_GNU_PROPERTY and p + 8 <= end:
                prop, size = struct.unpack_from('<II', data, p)
                if prop == X86_FEATURE_1_AND:
                    return struct.unpack_from('<I', data, p + 8)[0]
                p += 8 + (size + 7 & ~7)
            at = end + 7 & ~7
        return 0


def libc_is_marked(compiler):
    """Have the C library's start files the marks of CET? The linker marks a program only when all of its parts have them."""
    path = subprocess.run([*compiler, '-print-file-name=Scrt1.o'], capture_output=True, text=True).stdout.strip()
    return os.path.isabs(path) and Elf(path).x86_features() & (IBT | SHSTK) == IBT | SHSTK


def faults(path, fortified, marked):
    e = Elf(path)
    dyn, stack, names = e.dynamic(), e.segment(PT_GNU_STACK), e.imported()
    out = []

    def want(good, what):
        if not good:
            out.append(f'{path}: {what}')
    want(e.type == ET_DYN and e.segment(PT_INTERP) and dyn.get(DT_FLAGS_1, 0) & DF_1_PIE, 'is no position-independent program (PIE)')
    want(e.segment(PT_GNU_RELRO), 'has no read-only relocations (PT_GNU_RELRO)')
    want(DT_BIND_NOW in dyn or dyn.get(DT_FLAGS, 0) & DF_BIND_NOW or dyn.get(DT_FLAGS_1, 0) & DF_1_NOW, 'binds late: its relocations stay writable')
    want(stack and not stack[1] & 1, 'has a stack that can be executed')
    want(not any(s[0] == PT_LOAD and s[1] & 3 == 3 for s in e.segments), 'has memory that can be written and executed')
    want(DT_TEXTREL not in dyn, 'relocates its code')
    want(DT_RPATH not in dyn and DT_RUNPATH not in dyn, 'looks for libraries in a place of its own')
    want('__stack_chk_fail' in names, 'has no stack protector')
    if fortified:
        want({n for n in names if n.startswith('__') and n.endswith('_chk')} - {'__stack_chk_fail'}, 'calls no checking form of libc (_FORTIFY_SOURCE)')
    if e.machine == EM_X86_64:
        code = e.section_bytes('.text')
        want(code.count(b'\xf3\x0f\x1e\xfa') > 20, 'has no landing places for indirect branches (-fcf-protection)')
        # `or $0, (%rsp)` or `mov $0, (%rsp)` for each page of a large frame
        want(code.count(b'\x48\x83\x0c\x24\x00') + code.count(b'\x48\xc7\x04\x24\0\0\0\0') > 5, 'does not touch the pages of its stack in turn (-fstack-clash-protection)')
        want(not marked or e.x86_features() & (IBT | SHSTK) == IBT | SHSTK, 'is not marked for CET (IBT, SHSTK)')
    return out


def self_test(compiler):
    """What this file looks for is missed when it is missing."""
    text = '#include <stdio.h>\n#include <string.h>\nint main(int c, char **v) { char b[9]; strcpy(b, v[c - 1]); return puts(b); }\n'
    with tempfile.TemporaryDirectory() as d:
        with open(f'{d}/a.c', 'w') as f:
            f.write(text)
        bare = ['-fno-stack-protector', '-U_FORTIFY_SOURCE', '-no-pie', '-fno-pie', '-fcf-protection=none', '-Wl,-z,norelro', '-Wl,-z,lazy', '-Wl,-z,execstack']
        if Elf('/proc/self/exe').machine != EM_X86_64:
            bare.remove('-fcf-protection=none')
        subprocess.run([*compiler, *bare, '-w', '-o', f'{d}/bare', f'{d}/a.c'], check=True)
        said = '\n'.join(faults(f'{d}/bare', True, True))
        for word in ('PIE', 'PT_GNU_RELRO', 'binds late', 'stack that can be executed', 'stack protector', '_FORTIFY_SOURCE'):
            assert word in said, (word, said)


if __name__ == '__main__':
    words = sys.argv[1:]
    if words[0] == '--without':
        print('skipped:', words[1])
        sys.exit(77)
    fortified = '--fortified' in words
    programs = [w for w in words[:words.index('--')] if w != '--fortified']
    compiler = words[words.index('--') + 1:]
    self_test(compiler)
    marked = Elf('/proc/self/exe').machine == EM_X86_64 and libc_is_marked(compiler)
    bad = [f for p in programs for f in faults(p, fortified, marked)]
    print(*bad, sep='\n', end='\n' if bad else '')
    if not marked:
        print("the C library's start files are not marked for CET: the linker marks no program, and only its code was looked at")
    sys.exit(1 if bad else 0)
