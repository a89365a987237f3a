// SPDX-License-Identifier: Apache-2.0
// The worked example of docs/replication-protocol.md: its bodies are signed anew from the seed that
// it gives, and its stream is given to what reads other regions. What the document shows is what
// comes out, byte for byte.
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/keys.h"
#include "replication/cursor.h"
#include "replication/feed_line.h"
#include "tests/support/check_main.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#define INDENT "    "
#define STREAM_LINES 4
#define KEY_ID "eastus-feed-1"

// Blocks of the section, without their indent; each line ends with "\n".
static struct {
    char *blocks[8];
    size_t n;
} example;

static struct arena arena;
static struct topology *t;
static struct feed_rules rules;

static const char *const bodies_begin = "meridian-feed-2\n";

static char *document_read(void)
{
    struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(file_read(PROTOCOL, 1 << 20, &b), 0);
    char *text = arena_strndup(&arena, b.p, b.n);
    ck_assert_ptr_nonnull(text);
    buf_done(&b);
    return text;
}

static void block_end(struct buf *b)
{
    if (!b->n)
        return;
    ck_assert_uint_lt(example.n, ARRAY_LEN(example.blocks));
    example.blocks[example.n++] = arena_strndup(&arena, b->p, b->n);
    buf_clear(b);
}

static void example_read(void)
{
    char *text = document_read(), *at = strstr(text, "\n## A worked example\n");
    ck_assert_ptr_nonnull(at);
    struct buf b;
    buf_init(&b, 1 << 20);
    example.n = 0;
    for (char *line = at; *line;) {
        char *end = strchr(line, '\n');
        ck_assert_ptr_nonnull(end);
        *end = '\0';
        if (strncmp(line, INDENT, strlen(INDENT)) == 0)
            buf_printf(&b, "%s\n", line + strlen(INDENT));
        else
            block_end(&b);
        line = end + 1;
    }
    block_end(&b);
    buf_done(&b);
}

// The text behind "name: " in one of the blocks.
static const char *said(const char *name)
{
    char *start = arena_printf(&arena, "%s: ", name);
    for (size_t i = 0; i < example.n; i++) {
        const char *line = example.blocks[i];
        for (; *line; line = strchr(line, '\n') + 1)
            if (strncmp(line, start, strlen(start)) == 0)
                return arena_strndup(&arena, line + strlen(start),
                                     strcspn(line + strlen(start), "\n"));
    }
    ck_abort_msg("the example does not say its %s", name);
    return "";
}

// The n-th block that begins so, from 0 on.
static char *block_of(const char *start, size_t n)
{
    for (size_t i = 0; i < example.n; i++)
        if (strncmp(example.blocks[i], start, strlen(start)) == 0 && n-- == 0)
            return example.blocks[i];
    ck_abort_msg("no block begins with %s", start);
    return NULL;
}

// The lines of the stream; the block stays as it is.
static void stream_of(struct bytes out[STREAM_LINES])
{
    const char *p = block_of("{\"progress\":", 0);
    for (size_t i = 0; i < STREAM_LINES; i++) {
        const char *end = strchr(p, '\n');
        ck_assert_ptr_nonnull(end);
        out[i] = bytes_of(p, (size_t)(end - p));
        p = end + 1;
    }
    ck_assert_int_eq(*p, '\0');
}

// eastus has both registries, westeurope, which reads, only contoso.
static struct topology *topology_make(void)
{
    struct buf b;
    struct diag diag;
    struct topology *made = NULL;
    buf_init(&b, 0);
    buf_str(&b, "version: 57\ndomain: example.io\nhostmaster: hostmaster@example.io\nregions:\n");
    buf_str(
        &b,
        "  - { name: eastus, stamps: [{ name: s-0, ipv4: [192.0.2.1] }], peer: 192.0.2.1:8443 }\n"
        "  - { name: westeurope, stamps: [{ name: s-1, ipv4: [192.0.2.2] }], peer: 192.0.2.2:8443 "
        "}\n"
        "name_servers: [s-0.eastus]\nregistries:\n"
        "  - { name: contoso, incarnation: 42, replicas: [{ region: eastus }, { region: westeurope "
        "}] }\n"
        "  - { name: fabrikam, replicas: [{ region: eastus }] }\n"
        "routing:\n  order: [eastus, westeurope]\nidentities:\n");
    buf_printf(&b, "  eastus:\n    feed_keys:\n      - { id: " KEY_ID ", key: \"%s\" }\n",
               said("key"));
    diag_init(&diag);
    if (topology_parse(b.p, b.n, "example", &diag, &made))
        diag_print(&diag, stderr);
    diag_done(&diag);
    buf_done(&b);
    ck_assert_ptr_nonnull(made);
    return made;
}

static void begin(void)
{
    struct head_row row = {.registry = "contoso@42"};
    arena_init(&arena, 0);
    example_read();
    t = topology_make();
    rules = (struct feed_rules){.topology = t,
                                .self = topology_region(t, "westeurope"),
                                .origin = topology_region(t, "eastus"),
                                .verify = ed25519_verify,
                                .vouched = true};
    ck_assert_int_eq(feed_heads_new(&rules.said), 0);
    ck_assert_int_eq(feed_heads_new(&rules.held), 0);
    ck_assert_int_eq(feed_heads_set(rules.held, &row), 0);
}

static void end(void)
{
    feed_heads_free(rules.said);
    feed_heads_free(rules.held);
    snapshot_unref(t);
    arena_done(&arena);
}

static int take(struct bytes line, struct feed_line *out)
{
    const char *why = NULL;
    int rc = feed_line_accept(&rules, line, &arena, out, &why);
    if (rc)
        fprintf(stderr, "%s\n", why ? why : err_text(rc));
    return rc;
}

static void expect_hex(const uint8_t *hash, const char *name)
{
    char hex[2 * ENTRY_HASH_BYTES + 1];
    hex_format(hash, ENTRY_HASH_BYTES, hex);
    ck_assert_str_eq(hex, said(name));
}

static EVP_PKEY *key_of_seed(void)
{
    uint8_t seed[32];
    const char *hex = said("seed");
    ck_assert_int_eq(hex_parse(hex, strlen(hex), seed, sizeof seed), 0);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
    ck_assert_ptr_nonnull(key);
    return key;
}

static void sign(EVP_PKEY *key, const void *p, size_t n, uint8_t sig[ENTRY_SIG_BYTES])
{
    size_t size = ENTRY_SIG_BYTES;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    ck_assert_int_eq(EVP_DigestSignInit(ctx, NULL, NULL, NULL, key), 1);
    ck_assert_int_eq(EVP_DigestSign(ctx, sig, &size, p, n), 1);
    ck_assert_uint_eq(size, ENTRY_SIG_BYTES);
    EVP_MD_CTX_free(ctx);
}

START_TEST(the_stream_is_taken_as_it_stands)
{
    static const enum feed_line_kind kinds[] = {FEED_PROGRESS, FEED_ENTRY, FEED_ENTRY,
                                                FEED_PROGRESS};
    struct bytes lines[STREAM_LINES];
    struct feed_line l;
    char cur[CURSOR_TEXT_SIZE];
    begin();
    stream_of(lines);
    for (size_t i = 0; i < STREAM_LINES; i++) {
        ck_assert_int_eq(take(lines[i], &l), 0);
        ck_assert_int_eq(l.kind, kinds[i]);
        if (i == 0)
            ck_assert(rules.strict && l.n_registries == 1 && l.beat_ms == 2000);
    }
    ck_assert(l.caught_up);
    ck_assert_str_eq(cursor_format(&rules.proven, cur), said("cursor"));
    expect_hex(rules.last.hash, "hash 3");
    end();
}
END_TEST

START_TEST(bodies_hashes_and_lines_are_those_of_the_page)
{
    struct bytes lines[STREAM_LINES];
    uint8_t prev[ENTRY_HASH_BYTES] = {0}, hash[ENTRY_HASH_BYTES];
    begin();
    stream_of(lines);
    for (size_t i = 0; i < 2; i++) {
        struct feed_entry e;
        struct buf line;
        buf_init(&line, 0);
        ck_assert_int_eq(entry_parse(lines[1 + i], &arena, &e), 0);
        ck_assert_int_eq(e.kind, i ? ENTRY_TAG : ENTRY_MANIFEST);
        ck_assert(bytes_equal(e.body, bytes_str(block_of(bodies_begin, i))));
        entry_body_hash(&e, hash);
        expect_hex(hash, i ? "body 2" : "body 1");
        ck_assert_int_eq(entry_hash(prev, &e, hash), 0);
        ck_assert_mem_eq(hash, e.hash, sizeof hash);
        expect_hex(hash, i ? "hash 2" : "hash 1");
        memcpy(prev, hash, sizeof prev);
        ck_assert_int_eq(entry_format(&e, &line), 0);
        ck_assert(bytes_equal(bytes_of(line.p, line.n - 1), lines[1 + i]));
        buf_done(&line);
    }
    end();
}
END_TEST

// The body is made from its members too, so the page shows the one form that this program writes.
START_TEST(a_writer_makes_these_bodies)
{
    struct bytes lines[STREAM_LINES];
    begin();
    stream_of(lines);
    for (size_t i = 0; i < 2; i++) {
        struct feed_entry e;
        struct buf body;
        buf_init(&body, 0);
        ck_assert_int_eq(entry_parse(lines[1 + i], &arena, &e), 0);
        e.body = (struct bytes){0};
        ck_assert_int_eq(entry_body_make(&e, &body), 0);
        ck_assert_str_eq(body.p, block_of(bodies_begin, i));
        buf_done(&body);
    }
    end();
}
END_TEST

START_TEST(signatures_follow_from_the_seed)
{
    struct bytes lines[STREAM_LINES];
    uint8_t sig[ENTRY_SIG_BYTES];
    char text[b64_size(ENTRY_SIG_BYTES)];
    begin();
    stream_of(lines);
    EVP_PKEY *key = key_of_seed();
    for (size_t i = 0; i < 2; i++) {
        struct feed_entry e;
        struct buf b;
        buf_init(&b, 0);
        ck_assert_int_eq(entry_parse(lines[1 + i], &arena, &e), 0);
        ck_assert_int_eq(entry_sign_input(&e, &b), 0);
        sign(key, b.p, b.n, sig);
        ck_assert_mem_eq(sig, e.sig, sizeof sig);
        buf_done(&b);
    }
    b64url_format(sig, sizeof sig, text);
    ck_assert_str_eq(text, said("sig 2"));
    // the heads
    const char *signed_text = block_of("meridian-heads-1\n", 0);
    sign(key, signed_text, strlen(signed_text), sig);
    b64url_format(sig, sizeof sig, text);
    ck_assert_ptr_nonnull(memmem(lines[3].p, lines[3].n, text, strlen(text)));
    EVP_PKEY_free(key);
    end();
}
END_TEST

START_TEST(signed_heads_are_as_written_down)
{
    struct bytes lines[STREAM_LINES];
    struct feed_line l;
    struct buf b;
    begin();
    stream_of(lines);
    for (size_t i = 0; i < STREAM_LINES; i++)
        ck_assert_int_eq(take(lines[i], &l), 0);
    buf_init(&b, 0);
    ck_assert_int_eq(feed_heads_text(rules.said, "eastus", &rules.last, &b), 0);
    ck_assert_str_eq(b.p, block_of("meridian-heads-1\n", 0));
    buf_done(&b);
    end();
}
END_TEST

// Any other byte of body, hash, signature or content, and it is not taken.
START_TEST(a_changed_byte_is_refused)
{
    static const char *const parts[] = {
        "seq=2", "restates=0", "tag:1.0", "\"by\\\":\\\"ada", "\"hash\":\"d4", "\"sig\":\"bL"};
    struct bytes lines[STREAM_LINES];
    struct feed_line l;
    begin();
    stream_of(lines);
    ck_assert_int_eq(take(lines[0], &l), 0);
    ck_assert_int_eq(take(lines[1], &l), 0);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        char *line = arena_strndup(&arena, (const char *)lines[2].p, lines[2].n);
        char *at = strstr(line, parts[i]);
        ck_assert_msg(at != NULL, "%s", parts[i]);
        char *last = at + strlen(parts[i]) - 1;
        *last ^= 1;
        ck_assert_msg(take(bytes_str(line), &l) != 0, "%s", parts[i]);
    }
    ck_assert_int_eq(take(lines[2], &l), 0);
    // without the signed heads the hole is seen
    char *line = arena_strndup(&arena, (const char *)lines[3].p, lines[3].n);
    memcpy(strstr(line, "headsSig"), "headsXyz", 8);
    memcpy(strstr(line, "headsKey"), "headsXyy", 8);
    ck_assert_int_eq(take(bytes_str(line), &l), ERR_GAP);
    end();
}
END_TEST

CHECK_MAIN("replication/protocol", the_stream_is_taken_as_it_stands,
           bodies_hashes_and_lines_are_those_of_the_page, a_writer_makes_these_bodies,
           signatures_follow_from_the_seed, signed_heads_are_as_written_down,
           a_changed_byte_is_refused)
