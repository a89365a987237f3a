// SPDX-License-Identifier: Apache-2.0
// store/entry, version 2: bodies are as written down and read back as they were made; what is not
// known is kept to the byte and is never malformed; what breaks the grammar is refused.
#include "base/err.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "store/entry.h"
#include "store/entry_kind.h"
#include "tests/support/check_main.h"

#include <stdio.h>
#include <string.h>

#define TYPE "application/vnd.oci.image.manifest.v1+json"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define ONES "1111111111111111111111111111111111111111111111111111111111111111"
#define EMPTY_JSON "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

#define HEAD                                                                                   \
    "meridian-feed-2\norigin=eastus\nepoch=3\npartition=0\nseq=42\nstamp=117000000000000123\n" \
    "restates=0\nregistry=contoso@42\nregistry-seq=1\nregistry-prev=" ZEROS                    \
    "\nrepository=team/app\n"

static struct feed_entry made(enum entry_kind kind)
{
    const struct entry_form *form = entry_form(kind);
    struct feed_entry e = {.version = 2,
                           .origin = "eastus",
                           .epoch = 3,
                           .seq = 42,
                           .stamp = 117000000000000123,
                           .kind = kind,
                           .registry = "contoso@42",
                           .registry_seq = 1,
                           .repository = "team/app",
                           .tag = "",
                           .key = "eastus-feed-1"};
    if (form->members & ENTRY_HAS_TAG)
        e.tag = "v1";
    if (form->members & ENTRY_HAS_DIGEST)
        digest_of(DIGEST_SHA256, "{}", 2, &e.digest);
    if (form->members & ENTRY_HAS_CONTENT) {
        e.media_type = TYPE;
        e.size = 2;
    }
    return e;
}

static void body_of(const struct feed_entry *e, struct buf *out)
{
    buf_init(out, 0);
    ck_assert_int_eq(entry_body_make(e, out), 0);
}

// The body that the head and these lines make, read.
static int read_tail(const char *tail, struct arena *a, struct feed_entry *out)
{
    const char *body = arena_printf(a, "%s%s", HEAD, tail);
    return entry_body_parse(bytes_str(body), a, out);
}

START_TEST(a_body_is_as_written_down)
{
    struct feed_entry e = made(ENTRY_TAG);
    struct buf b;
    e.create_only = true;
    e.generation = 7;
    e.by = "ci \"x\"\\";
    body_of(&e, &b);
    ck_assert_str_eq(b.p, HEAD "must=0\nsubject=tag:v1\nattribute=value\n"
                               "value={\"digest\":\"" EMPTY_JSON
                               "\",\"createOnly\":true,\"generation\":\"7\","
                               "\"by\":\"ci \\\"x\\\"\\\\\"}\n");
    e.body = bytes_of(b.p, b.n);
    struct buf text;
    buf_init(&text, 0);
    uint8_t sum[ENTRY_HASH_BYTES], got[ENTRY_HASH_BYTES];
    ck_assert_int_eq(entry_signed_text(&e, &text), 0);
    ck_assert(bytes_equal(bytes_of(text.p, text.n), e.body));
    sha256(b.p, b.n, sum);
    entry_body_hash(&e, got);
    ck_assert_mem_eq(sum, got, sizeof sum);
    buf_clear(&text);
    uint8_t zero[ENTRY_HASH_BYTES] = {0};
    buf_add(&text, zero, sizeof zero);
    buf_add(&text, b.p, b.n);
    sha256(text.p, text.n, sum);
    ck_assert_int_eq(entry_hash(zero, &e, got), 0);
    ck_assert_mem_eq(sum, got, sizeof sum);
    buf_done(&text);
    buf_done(&b);
}
END_TEST

static struct feed_entry rich(enum entry_kind kind)
{
    static const uint8_t bits[] = {0x05, 0x80};
    struct feed_entry e = made(kind);
    e.by = "ci";
    e.restates = 99;
    if (entry_has(&e, ENTRY_HAS_CONTENT))
        e.absent = bytes_of(bits, sizeof bits);
    if (entry_has(&e, ENTRY_IS_GONE)) {
        e.judged = true;
        e.judged_stamp = 1234;
        e.judged_origin = "westeurope";
        e.judged_epoch = 5;
        e.rule = "untagged";
    }
    if (entry_has(&e, ENTRY_IS_LOCK))
        e.lock_delete = true;
    return e;
}

static void expect_same(const struct feed_entry *a, const struct feed_entry *b)
{
    ck_assert_int_eq(a->kind, b->kind);
    ck_assert_str_eq(a->origin, b->origin);
    ck_assert_uint_eq(a->epoch, b->epoch);
    ck_assert_uint_eq(a->seq, b->seq);
    ck_assert_uint_eq(a->stamp, b->stamp);
    ck_assert_uint_eq(a->restates, b->restates);
    ck_assert_str_eq(a->registry, b->registry);
    ck_assert_uint_eq(a->registry_seq, b->registry_seq);
    ck_assert_mem_eq(a->registry_prev, b->registry_prev, ENTRY_HASH_BYTES);
    ck_assert_str_eq(a->repository, b->repository);
    ck_assert_str_eq(a->tag, b->tag);
    ck_assert(digest_equal(&a->digest, &b->digest));
    ck_assert_str_eq(a->media_type ? a->media_type : "", b->media_type);
    ck_assert_uint_eq(a->size, b->size);
    ck_assert(bytes_equal(a->absent, b->absent));
    ck_assert_int_eq(a->create_only, b->create_only);
    ck_assert_uint_eq(a->generation, b->generation);
    ck_assert_int_eq(a->judged, b->judged);
    ck_assert_uint_eq(a->judged_stamp, b->judged_stamp);
    ck_assert_uint_eq(a->judged_epoch, b->judged_epoch);
    ck_assert_str_eq(a->rule ? a->rule : "", b->rule);
    ck_assert_int_eq(a->lock_write, b->lock_write);
    ck_assert_int_eq(a->lock_delete, b->lock_delete);
    ck_assert_str_eq(a->by ? a->by : "", b->by);
}

START_TEST(every_kind_reads_back_as_it_was_made)
{
#define KIND_OF(constant, number, ident) constant,
    static const enum entry_kind kinds[] = {ENTRY_KINDS(KIND_OF)};
#undef KIND_OF
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct feed_entry e = rich(kinds[i]), back, line_back;
        const struct entry_form *form = entry_form(kinds[i]);
        struct arena a;
        struct buf b, line;
        arena_init(&a, 0);
        body_of(&e, &b);
        ck_assert_int_eq(entry_body_parse(bytes_of(b.p, b.n), &a, &back), 0);
        expect_same(&e, &back);
        ck_assert_int_eq(back.subject, form->subject);
        ck_assert_str_eq(back.attribute, form->attribute);
        ck_assert_int_eq(entry_gone(&back),
                         kinds[i] == ENTRY_MANIFEST_GONE || kinds[i] == ENTRY_TAG_GONE);
        back.key = "eastus-feed-1";
        memset(back.hash, 0xa5, sizeof back.hash);
        memset(back.sig, 0x5a, sizeof back.sig);
        if (entry_has(&back, ENTRY_HAS_CONTENT))
            back.content = bytes_str("{}");
        buf_init(&line, 0);
        ck_assert_int_eq(entry_format(&back, &line), 0);
        ck_assert_ptr_eq(memchr(line.p, '\n', line.n), line.p + line.n - 1);
        ck_assert_int_eq(entry_parse(bytes_of(line.p, line.n), &a, &line_back), 0);
        expect_same(&e, &line_back);
        ck_assert(bytes_equal(line_back.body, back.body));
        ck_assert(bytes_equal(line_back.content, back.content));
        ck_assert_str_eq(line_back.key, back.key);
        ck_assert_mem_eq(line_back.hash, back.hash, sizeof back.hash);
        ck_assert_mem_eq(line_back.sig, back.sig, sizeof back.sig);
        buf_done(&line);
        buf_done(&b);
        arena_done(&a);
    }
}
END_TEST

START_TEST(a_register_counts_what_was_judged)
{
    struct feed_entry e = made(ENTRY_TAG_GONE);
    ck_assert_uint_eq(entry_register_stamp(&e), e.stamp);
    ck_assert_str_eq(entry_register_origin(&e), "eastus");
    e.restates = 99;
    ck_assert_uint_eq(entry_register_stamp(&e), 99);
    e.judged = true;
    e.judged_stamp = 7;
    e.judged_origin = "westeurope";
    e.judged_epoch = 2;
    ck_assert_uint_eq(entry_register_stamp(&e), 7);
    ck_assert_str_eq(entry_register_origin(&e), "westeurope");
    ck_assert_uint_eq(entry_register_epoch(&e), 2);
    ck_assert(!entry_malformed(&e));
    e.judged_stamp = e.stamp; // what it judged was not before it
    ck_assert(entry_malformed(&e));
    e = made(ENTRY_TAG);
    e.generation = e.stamp;
    ck_assert(entry_malformed(&e));
}
END_TEST

START_TEST(version_1_has_a_form_for_two_kinds)
{
    struct feed_entry e = made(ENTRY_TAG);
    e.registry = "contoso";
    ck_assert(!entry_needs_v2(&e));
    e.by = "ci"; // it is left out there
    ck_assert(!entry_needs_v2(&e));
    e.create_only = true;
    ck_assert(entry_needs_v2(&e));
    e = made(ENTRY_MANIFEST);
    ck_assert(entry_needs_v2(&e)); // an incarnation
    e.registry = "contoso";
    ck_assert(!entry_needs_v2(&e));
    e.absent = bytes_str("x");
    ck_assert(entry_needs_v2(&e));
    e.absent = (struct bytes){0};
    digest_of(DIGEST_SHA512, "{}", 2, &e.digest);
    ck_assert(entry_needs_v2(&e));
    e = made(ENTRY_TAG_LOCK);
    e.registry = "contoso";
    ck_assert(entry_needs_v2(&e));
}
END_TEST

// --- what is not known ---

// Each tail is good and unknown here.
START_TEST(what_is_not_known_is_kept)
{
    static const char *const tails[] = {
        "must=0\nsubject=tag:v1\nattribute=hold\nvalue={\"until\":7}\n",
        "must=1\nsubject=tag:v1\nattribute=hold\nvalue=anything but a control byte\n",
        "must=0\nsubject=blob:sha256:00\nattribute=value\nvalue={}\n",
        "must=0\nsubject=manifest:blake9:00\nattribute=present\nvalue={\"mediaType\":\"" TYPE
        "\",\"size\":2}\n",
        "must=0\nsubject=tag:v1\nattribute=value\nvalue={\"digest\":\"blake9:00\"}\n",
        "must=0\nsubject=tag:v1\nattribute=value\nvalue={\"alias\":\"v2\"}\n",
        "must=0\nsubject=tag:v1\nattribute=value\nvalue={\"gone\":false}\n",
        "must=0\nsubject=tag:v1\nattribute=value\nvalue=[]\n",
        "must=0\nsubject=tag:v1\nattribute=value\nvalue=\n",
        "must=0\nsubject=tag:v1\nattribute=value\nvalue={\"digest\":\"" EMPTY_JSON
        "\",\"digest\":\"" EMPTY_JSON "\"}\n",
        "must=0\nsubject=tag:v1\nattribute=value\nvalue={\"digest\":\"" EMPTY_JSON
        "\",\"createOnly\":false}\n",
        "must=0\nsubject=tag:v1\nattribute=value\nvalue={\"digest\":\"" EMPTY_JSON
        "\",\"generation\":7}\n",
        "must=1\nsubject=tag:v1\nattribute=value\nvalue={\"digest\":\"" EMPTY_JSON
        "\",\"later\":1}\n",
        "must=1\nsubject=tag:v1\nattribute=value\nvalue={\"digest\":\"" EMPTY_JSON "\"}\nlater=1\n",
        "must=0\nsubject=tag:v1\nattribute=locked\nvalue={\"write\":true}\n",
        "must=0\nsubject=tag:v1\nattribute=locked\nvalue={\"write\":1,\"delete\":true}\n",
        "must=0\nsubject=tag:v1\nattribute=value\nvalue={\"gone\":true,\"judged\":{\"stamp\":\"7\","
        "\"origin\":\"A B\",\"epoch\":1}}\n",
        "must=0\nsubject=tag:v1\nattribute=value\nvalue={\"gone\":true,\"judged\":{\"stamp\":\"7\","
        "\"origin\":\"westeurope\",\"epoch\":1,\"more\":1}}\n",
        "must=0\nsubject=repository:x\nattribute=locked\nvalue={\"write\":true,\"delete\":true}\n",
        "must=0\nsubject=manifest:" EMPTY_JSON "\nattribute=present\nvalue={\"mediaType\":\"" TYPE
        "\",\"size\":2,\"absent\":\"*\"}\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
        struct arena a;
        struct feed_entry e, back;
        struct buf b, line;
        arena_init(&a, 0);
        ck_assert_msg(read_tail(tails[i], &a, &e) == 0, "case %zu", i);
        ck_assert_msg(e.kind == ENTRY_UNKNOWN, "case %zu", i);
        ck_assert_str_eq(e.repository, "team/app");
        ck_assert(!e.judged && !e.create_only && !e.absent.n);
        e.key = "k";
        buf_init(&line, 0);
        ck_assert_int_eq(entry_format(&e, &line), 0); // relayed to the byte
        ck_assert_int_eq(entry_parse(bytes_of(line.p, line.n), &a, &back), 0);
        ck_assert(bytes_equal(e.body, back.body));
        ck_assert_int_eq(back.kind, ENTRY_UNKNOWN);
        e.seq++; // minted again: it says the same
        e.registry_seq = 2;
        memset(e.registry_prev, 0x11, sizeof e.registry_prev);
        body_of(&e, &b);
        ck_assert_msg(strstr(b.p, tails[i]) == b.p + b.n - strlen(tails[i]), "case %zu", i);
        ck_assert_ptr_nonnull(strstr(b.p, "\nseq=43\n"));
        ck_assert_ptr_nonnull(strstr(b.p, "\nregistry-prev=" ONES "\n"));
        buf_done(&b);
        buf_done(&line);
        arena_done(&a);
    }
}
END_TEST

// Without `must`, members and lines that are not known are passed over, and kept.
START_TEST(what_need_not_be_known_is_passed_over)
{
    struct arena a;
    struct feed_entry e;
    struct buf line;
    arena_init(&a, 0);
    ck_assert_int_eq(
        read_tail("must=0\nsubject=tag:v1\nattribute=value\nvalue={\"digest\":\"" EMPTY_JSON
                  "\",\"later\":{\"x\":[]}}\nlater=1\nmore=\n",
                  &a, &e),
        0);
    ck_assert_int_eq(e.kind, ENTRY_TAG);
    ck_assert_str_eq(e.tag, "v1");
    e.key = "k";
    buf_init(&line, 0);
    ck_assert_int_eq(entry_format(&e, &line), 0);
    ck_assert_ptr_nonnull(strstr(line.p, "\\nlater=1\\nmore=\\n"));
    // and members of the line that a later version may add
    struct feed_entry back;
    line.n -= 2;
    buf_str(&line, ",\"hint\":{\"x\":1}}");
    ck_assert_int_eq(entry_parse(bytes_of(line.p, line.n), &a, &back), 0);
    ck_assert(bytes_equal(e.body, back.body));
    buf_done(&line);
    arena_done(&a);
}
END_TEST

// --- what is refused ---

#define TAIL "must=0\nsubject=tag:v1\nattribute=value\nvalue={\"digest\":\"" EMPTY_JSON "\"}\n"

// Each: replace `from` by `to` in a good body.
START_TEST(bad_bodies_are_refused)
{
    static const struct {
        const char *from, *to;
    } bad[] = {
        {"meridian-feed-2\n", "meridian-feed-3\n"},
        {"meridian-feed-2\n", "meridian-feed-2 \n"},
        {"meridian-feed-2\n", ""},
        {"origin=eastus\n", ""},
        {"origin=eastus", "origin=East US"},
        {"epoch=3", "epoch=0"},
        {"epoch=3", "epoch=03"},
        {"epoch=3", "epoch=+3"},
        {"epoch=3", "epoch="},
        {"epoch=3", "epoch=9223372036854775808"},
        {"epoch=3", "epoch=33333333333333333333"},
        {"epoch=3\npartition=0", "partition=0\nepoch=3"},
        {"partition=0", "partition=2147483648"},
        {"seq=42", "seq=0"},
        {"stamp=1", "stamp=-1"},
        {"restates=0", "restates=00"},
        {"registry=contoso@42", "registry=con"},
        {"registry=contoso@42", "registry=contoso@0"},
        {"registry=contoso@42", "registry=contoso@042"},
        {"registry=contoso@42", "registry=contoso@"},
        {"registry=contoso@42", "registry=contoso@4@2"},
        {"registry=contoso@42", "registry=../x@1"},
        {"registry-seq=1", "registry-seq=0"},
        {"registry-seq=1", "registry-seq=2"},
        {ZEROS, ONES},
        {ZEROS, "00"},
        {ZEROS, "AA00000000000000000000000000000000000000000000000000000000000000"},
        {"repository=team/app", "repository=../app"},
        {"repository=team/app", "repository="},
        {"must=0", "must=2"},
        {"must=0\n", ""},
        {"subject=tag:v1", "subject=tag:v1\r"},
        {"subject=tag:v1", "subject=tag:v1\x7f"},
        {"subject=tag:v1", "subject=tag:v\xc3"},
        {"subject=tag:v1", "subject=tag:\xed\xa0\x80"},
        {"subject=tag:v1", "subject=tag:\xc0\xaf"},
        {"attribute=value", "attribute="},
        {"attribute=value", "attribute=Value"},
        {"attribute=value", "attribute=v a"},
        {"value={", "value\n={"},
        {"}\n", "}"},
        {"}\n", "}\n\n"},
        {"}\n", "}\nline without a sign\n"},
        {"}\n", "}\n=x\n"},
        {"}\n",
         "}\na=1\nb=1\nc=1\nd=1\ne=1\nf=1\ng=1\nh=1\ni=1\nj=1\nk=1\nl=1\nm=1\nn=1\no=1\np=1\n"
         "q=1\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct arena a;
        struct buf b;
        struct feed_entry e;
        const char *good = HEAD TAIL, *at = strstr(good, bad[i].from);
        ck_assert_msg(at != NULL, "case %zu", i);
        arena_init(&a, 0);
        buf_init(&b, 0);
        buf_add(&b, good, (size_t)(at - good));
        buf_str(&b, bad[i].to);
        buf_str(&b, at + strlen(bad[i].from));
        ck_assert_msg(entry_body_parse(bytes_of(b.p, b.n), &a, &e) == ERR_PROTO, "case %zu: %s", i,
                      b.p);
        buf_done(&b);
        arena_done(&a);
    }
}
END_TEST

static int read_long(size_t n_value, size_t n_attribute, size_t n_extra)
{
    struct arena a;
    struct buf b;
    struct feed_entry e;
    arena_init(&a, 0);
    buf_init(&b, 0);
    buf_str(&b, HEAD "must=0\nsubject=tag:v1\nattribute=");
    for (size_t i = 0; i < n_attribute; i++)
        buf_u8(&b, 'x');
    buf_str(&b, "\nvalue=");
    for (size_t i = 0; i < n_value; i++)
        buf_u8(&b, '"');
    buf_str(&b, "\n");
    if (n_extra) {
        buf_str(&b, "x=");
        for (size_t i = 2; i < n_extra; i++)
            buf_u8(&b, 'x');
        buf_str(&b, "\n");
    }
    int rc = entry_body_parse(bytes_of(b.p, b.n), &a, &e);
    if (!rc) { // the longest fits in a line
        struct buf line;
        buf_init(&line, 0);
        e.key = "k";
        ck_assert_int_eq(entry_format(&e, &line), 0);
        ck_assert_uint_le(line.n, ENTRY_LINE_MAX);
        buf_done(&line);
    }
    buf_done(&b);
    arena_done(&a);
    return rc;
}

START_TEST(all_is_bounded)
{
    ck_assert_int_eq(read_long(ENTRY_VALUE_MAX, ENTRY_ATTRIBUTE_SIZE - 1, ENTRY_EXTRA_LINE_MAX), 0);
    ck_assert_int_eq(read_long(ENTRY_VALUE_MAX + 1, 1, 0), ERR_PROTO);
    ck_assert_int_eq(read_long(1, ENTRY_ATTRIBUTE_SIZE, 0), ERR_PROTO);
    ck_assert_int_eq(read_long(1, 1, ENTRY_EXTRA_LINE_MAX + 1), ERR_PROTO);
    ck_assert_int_eq(read_long(ENTRY_BODY_MAX, 1, 0), ERR_PROTO);
}
END_TEST

START_TEST(what_would_not_read_back_is_not_made)
{
    static char long_by[ENTRY_BY_MAX + 2];
    struct feed_entry bad[14];
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        bad[i] = made(i < 7 ? ENTRY_TAG : ENTRY_MANIFEST_GONE);
    memset(long_by, 'x', sizeof long_by - 1);
    bad[0].tag = "-x";
    bad[1].registry_seq = 0;
    bad[2].by = "a\nb";
    bad[3].by = long_by;
    bad[4].by = "\xff";
    bad[5].digest.n = 0;
    bad[6].media_type = TYPE;
    bad[7].tag = "v1";
    bad[8].judged = true; // without whose
    bad[9].create_only = true;
    bad[10].kind = ENTRY_UNKNOWN; // and nothing to keep
    bad[11].restates = bad[11].stamp;
    bad[12].repository = "x\nmust=1";
    bad[13].body = bytes_str("meridian-feed-2\n");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct buf b;
        buf_init(&b, 0);
        ck_assert_msg(entry_body_make(&bad[i], &b) == ERR_INVAL, "case %zu", i);
        ck_assert_uint_eq(b.n, 0);
        buf_done(&b);
    }
    struct feed_entry e = made(ENTRY_TAG); // a line without a body
    struct buf line;
    buf_init(&line, 0);
    ck_assert_int_eq(entry_format(&e, &line), ERR_INVAL);
    buf_done(&line);
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
    struct feed_entry e = rich(ENTRY_TAG_GONE), back;
    struct buf b, line;
    body_of(&e, &b);
    e.body = bytes_of(b.p, b.n);
    buf_init(&line, 0);
    ck_assert_int_eq(entry_format(&e, &line), 0);
    e.body = (struct bytes){0};
    bool done = false;
    for (long n = 1; n < 400 && !done; n++) {
        struct arena a;
        struct buf again;
        arena_init(&a, 0);
        buf_init(&again, 0);
        mem_fault_after(n);
        int rc = entry_parse(bytes_of(line.p, line.n), &a, &back);
        if (!rc)
            rc = entry_format(&back, &again);
        if (!rc)
            rc = entry_body_make(&e, &again);
        done = rc == 0;
        ck_assert(done || rc == ERR_NOMEM);
        mem_fault_after(0);
        buf_done(&again);
        arena_done(&a);
    }
    ck_assert(done);
    buf_done(&line);
    buf_done(&b);
}
END_TEST

CHECK_MAIN("store/entry body", a_body_is_as_written_down, every_kind_reads_back_as_it_was_made,
           a_register_counts_what_was_judged, version_1_has_a_form_for_two_kinds,
           what_is_not_known_is_kept, what_need_not_be_known_is_passed_over, bad_bodies_are_refused,
           all_is_bounded, what_would_not_read_back_is_not_made, memory_may_end_anywhere)
