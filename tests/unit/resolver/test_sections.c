// SPDX-License-Identifier: Apache-2.0
// resolver/answer_sections: a response read back, octet by octet: what holds together, and
// everything that does not.
#include "resolver/answer/sections.h"

#include "base/mem.h"
#include "resolver/packet/wire.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/fixture.h"

#include <stdio.h>
#include <string.h>

struct made {
    struct answer a;
    struct dns_query q;
    uint8_t query[64], wire[70000];
};

// A response to a question of 12 octets at offset 12 ("a.b"), with these octets behind it and as
// many answers.
static void make(struct made *m, const void *records, size_t n, uint16_t n_records)
{
    memset(m, 0, sizeof *m);
    size_t n_query = fixture_query(m->query, "a.b", T_A, -1);
    ck_assert_int_eq(dns_query_parse(m->query, n_query, &m->q), 0);
    m->a.q = &m->q;
    dns_writer_init(&m->a.w, m->wire, sizeof m->wire);
    dns_write_header(&m->a.w, &m->q, 0, false);
    dns_write_bytes(&m->a.w, records, n);
    ck_assert(!m->a.w.full);
    m->a.n_answer = n_records;
}

static struct sections got;

static bool reads(const void *records, size_t n, uint16_t n_records)
{
    static struct made m;
    make(&m, records, n, n_records);
    return sections_read(&got, &m.a);
}

#define READS(text, n) reads(text, sizeof text - 1, n)
#define HEAD "\0\1\0\1\0\0\0\x3c" // A, IN, 60 s
#define TYPE(t) "\0" t "\0\1\0\0\0\x3c"

START_TEST(records_are_read_back)
{
    ck_assert(READS("\xc0\x0c" HEAD "\0\4\1\2\3\4\xc0\x0c" HEAD "\0\4\1\2\3\5", 2));
    ck_assert_uint_eq(got.rr[0].owner_n, 5);
    ck_assert_ptr_eq(got.rr[0].owner, got.rr[1].owner);
    ck_assert(READS("\1C\xc0\x0c" HEAD "\0\0"
                    "\1C\xc0\x0c" HEAD "\0\0",
                    2)); // owners written out
    ck_assert(!memcmp(got.rr[1].owner, "\1c\1a\1b", 6));
    ck_assert(READS("\xc0\x0c" TYPE("\5") "\0\4\1X\xc0\x0c", 1)); // CNAME
    ck_assert_uint_eq(got.rr[0].rdata.n, 7);
    ck_assert(READS("\xc0\x0c" TYPE("\x0c") "\0\2\xc0\x0c", 1));       // PTR
    ck_assert(READS("\xc0\x0c" TYPE("\x0f") "\0\4\0\x0a\xc0\x0c", 1)); // MX
    ck_assert(!memcmp(got.rr[0].rdata.p, "\0\x0a\1a\1b", 7));
    ck_assert(READS("\xc0\x0c" TYPE("\6") "\0\x18\xc0\x0c\xc0\x0c"
                                          "12345678901234567890",
                    1)); // SOA
    ck_assert_uint_eq(got.rr[0].rdata.n, 30);
}
END_TEST

START_TEST(what_does_not_hold_together)
{
    ck_assert(!READS("\xc0", 1)); // half a pointer
    ck_assert(!READS("\x3f"
                     "abc",
                     1));                         // a label past the end
    ck_assert(!READS("\1c", 1));                  // a name without its root
    ck_assert(!READS("\xc0\x15" HEAD "\0\0", 1)); // a pointer to itself
    ck_assert(!READS("\xc0\x0c"
                     "\0\1\0\1\0\0\0\x3c\0",
                     1));                                       // half a head
    ck_assert(!READS("\xc0\x0c" HEAD "\0\5\1\2\3\4", 1));       // RDATA past the end
    ck_assert(!READS("\xc0\x0c" TYPE("\5") "\0\2\1c", 1));      // a name that RDATA cuts off
    ck_assert(!READS("\xc0\x0c" TYPE("\x0f") "\0\1\0", 1));     // MX without a name
    ck_assert(!READS("\xc0\x0c" TYPE("\6") "\0\2\xc0\x0c", 1)); // SOA with one name
    ck_assert(!READS("\xc0\x0c" HEAD "\0\4\1\2\3\4", 2));       // fewer than it says
    ck_assert(!READS("\xc0\x0c" HEAD "\0\4\1\2\3\4\0", 1));     // more than it says
    char name[300], record[400];
    memset(name, 'a', sizeof name);
    for (size_t i = 0; i < 256; i += 64)
        name[i] = 63;
    name[256] = 0;
    memcpy(record, name, 257);
    memcpy(record + 257, HEAD "\0\0", 10);
    ck_assert(!reads(record, 267, 1)); // a name of 257 octets
    // two names and 80 octets more than a SOA has
    memcpy(record, "\xc0\x0c" TYPE("\6") "\0\x54", 12);
    memset(record + 12, 0, 84);
    ck_assert(reads(record, 12 + 84, 1));
    static char large[12 + 1200];
    memcpy(large, "\xc0\x0c" TYPE("\5") "\4\xb0", 12); // CNAME with much behind its name
    ck_assert(!reads(large, sizeof large, 1));
}
END_TEST

START_TEST(more_than_there_is_room_for)
{
    static char many[16 * 400];
    for (int i = 0; i < 400; i++)
        memcpy(many + 16 * i, "\xc0\x0c" HEAD "\0\4\1\2\3\4", 16);
    ck_assert(reads(many, sizeof(char[16]) * SECTION_RECORDS_MAX, SECTION_RECORDS_MAX));
    ck_assert(!reads(many, sizeof(char[16]) * (SECTION_RECORDS_MAX + 1), SECTION_RECORDS_MAX + 1));
    // Owners and RDATA that must be kept use the scratch up.
    static char big[40 * 300];
    size_t n = 0;
    for (int i = 0; i < 40; i++) {
        size_t begin = n;
        memset(big + n, 'a' + i % 26, 251);
        big[n] = big[n + 64] = big[n + 128] = 63;
        big[n + 192] = 54; // 63, 63, 63, 54
        n = begin + 247;
        memcpy(big + n, "\xc0\x0c" HEAD "\0\0", 12);
        n += 12;
    }
    ck_assert(reads(big, 259 * 30, 30));
    ck_assert(!reads(big, n, 40));
    static char names[6000 + 16 * 100]; // an owner that is kept leaves nothing for its RDATA
    n = 0;
    for (int i = 0; i < 1000 && n + 30 < sizeof names; i++) {
        memcpy(names + n, "\xc0\x0c" TYPE("\5") "\0\4\1x\xc0\x0c", 16);
        n += 16;
    }
    ck_assert(reads(names, 16 * 200, 200));
    // After the answers RDATA moves: it is copied.
    static struct made m;
    make(&m, "\xc0\x0c" HEAD "\0\4\1\2\3\4", 16, 0);
    m.a.n_authority = 1;
    ck_assert(sections_read(&got, &m.a));
    ck_assert_ptr_ne(got.rr[0].rdata.p, m.wire + m.a.w.n - 4);
    ck_assert(!memcmp(got.rr[0].rdata.p, "\1\2\3\4", 4));
    static char txt[12 + 9000];
    memcpy(txt, "\xc0\x0c" TYPE("\x10") "\x23\x28", 12);
    make(&m, txt, sizeof txt, 0);
    m.a.n_authority = 1;
    ck_assert(!sections_read(&got, &m.a));
    make(&m, "\xc0\x0c" HEAD "\0\0", 12, 0); // nothing to copy
    m.a.n_additional = 1;
    ck_assert(sections_read(&got, &m.a));
}
END_TEST

START_TEST(a_name_at_an_offset)
{
    static struct made m;
    uint8_t name[DNS_NAME_MAX];
    make(&m, "\1X\xc0\x0c\xc0\x1a\xc0\x18", 8, 0);
    ck_assert_uint_eq(sections_name(&m.a, 12, name), 5);
    ck_assert_uint_eq(sections_name(&m.a, 21, name), 7);
    ck_assert(!memcmp(name, "\1x\1a\1b", 7));
    ck_assert_uint_eq(sections_name(&m.a, 25, name), 0); // in a circle
    ck_assert_uint_eq(sections_name(&m.a, m.a.w.n, name), 0);
}
END_TEST

CHECK_MAIN("resolver/sections", records_are_read_back, what_does_not_hold_together,
           more_than_there_is_room_for, a_name_at_an_offset)
