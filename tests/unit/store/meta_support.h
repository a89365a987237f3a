// SPDX-License-Identifier: Apache-2.0
// What the tests of the metadata share: stores in a folder of their own, a signer that only hashes,
// small manifests.
//
// TEST_META in the environment names the backend: "sqlite" (also when it is not set), "memory", or
// "conflicts": in memory, and each transaction loses a conflict once and runs again.
#ifndef MERIDIAN_TESTS_META_SUPPORT_H
#define MERIDIAN_TESTS_META_SUPPORT_H

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/meta.h"
#include "store/sqlite/sqlite_store.h"
#include "tests/support/check_main.h"
#include "tests/support/hot_shadow.h"
#include "tests/support/memory_backend.h"

#include <stdio.h>
#include <string.h>

#define TYPE "application/vnd.oci.image.manifest.v1+json"
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"
#define REG "contoso"

struct region_store {
    char dir[64], path[96];
    // what is stored, for the backend in memory: outlives its openers
    struct memory_db *db;
    const char *region;
    // NULL: "feed-key-1"
    const char *key;
    struct meta *m;
    // what the signer answers
    int sign_rc;
    // on_commit calls
    _Atomic int n_commits;
};

static inline bool backend_is(const char *name)
{
    const char *which = getenv("TEST_META");
    return strcmp(which ? which : "sqlite", name) == 0;
}

// Leaves a test that looks into the database's file, or at its locks.
#define NEEDS_SQLITE               \
    do {                           \
        if (!backend_is("sqlite")) \
            return;                \
    } while (0)

// Not Ed25519: SHA-256 of the text, twice. The store does not look into signatures.
static inline int test_sign(void *ctx, const void *p, size_t n, uint8_t sig[ENTRY_SIG_BYTES])
{
    sha256(p, n, sig);
    sha256(p, n, sig + 32);
    return ((struct region_store *)ctx)->sign_rc;
}

static inline void test_on_commit(void *ctx)
{
    ((struct region_store *)ctx)->n_commits++;
}

static inline int store_try(struct region_store *s, struct diag *diag)
{
    struct meta_options o = {.region = s->region,
                             .key_id = s->key ? s->key : "feed-key-1",
                             .sign = test_sign,
                             .sign_ctx = s,
                             .on_commit = test_on_commit,
                             .on_commit_ctx = s};
    if (backend_is("sqlite"))
        return sqlite_meta_open(s->path, &o, diag, &s->m);
    if (!s->db)
        s->db = memory_db_new(s->region);
    if (!s->db)
        return ERR_NOMEM;
    memory_db_conflicts(s->db, backend_is("conflicts"));
    return memory_meta_open(s->db, &o, &s->m);
}

static inline void store_reopen(struct region_store *s)
{
    struct diag d;
    diag_init(&d);
    int rc = store_try(s, &d);
    if (rc)
        diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_int_eq(rc, 0);
    meta_gate_open(s->m, META_GATE_RECOVERY);
}

static inline void store_begin_in(struct region_store *s, const char *region, const char *where)
{
    *s = (struct region_store){.region = region};
    snprintf(s->dir, sizeof s->dir, "%s/meridian-meta-XXXXXX", where);
    ck_assert_ptr_nonnull(mkdtemp(s->dir));
    snprintf(s->path, sizeof s->path, "%s/meta.db", s->dir);
    store_reopen(s);
}

static inline void store_begin(struct region_store *s, const char *region)
{
    store_begin_in(s, region, "/tmp");
}

static inline void store_end(struct region_store *s)
{
    meta_close(s->m);
    s->m = NULL;
    memory_db_free(s->db);
    s->db = NULL;
    ck_assert_int_eq(dir_remove_tree(s->dir), 0);
}

// --- a backup, and the loss of a disk; the store is closed ---

static inline void file_copy(const char *from, const char *to)
{
    struct buf b;
    buf_init(&b, 0);
    ck_assert_int_eq(file_read(from, 64 << 20, &b), 0);
    ck_assert_int_eq(file_write_atomic(to, b.p, b.n, 0600), 0);
    buf_done(&b);
}

static inline void store_backup(struct region_store *s)
{
    AUTO_FREE char *backup = mem_printf("%s/backup", s->dir);
    if (s->db)
        memory_db_backup(s->db);
    else
        file_copy(s->path, backup);
}

static inline void store_restore(struct region_store *s)
{
    AUTO_FREE char *backup = mem_printf("%s/backup", s->dir);
    if (s->db)
        memory_db_restore(s->db);
    else
        file_copy(backup, s->path);
}

static inline void store_lose(struct region_store *s)
{
    if (s->db)
        memory_db_lose(s->db);
    else
        ck_assert_int_eq(remove(s->path), 0);
}

static inline struct digest digest_str(const char *s)
{
    struct digest d = {.alg = DIGEST_SHA256, .n = SHA256_BYTES};
    sha256(s, strlen(s), d.b); // allocates nothing: used while memory fails, too
    return d;
}

// A manifest is its text here; its references are given beside it, as the parser would.
static inline int put_refs(struct region_store *s, const char *repo, const char *tag,
                           const char *text, const struct manifest_ref *refs, size_t n_refs,
                           struct put_result *out)
{
    struct manifest_put p = {.registry = REG,
                             .repository = repo,
                             .digest = digest_str(text),
                             .media_type = TYPE,
                             .content = bytes_str(text),
                             .refs = refs,
                             .n_refs = n_refs,
                             .tag = tag};
    return meta_manifest_put(s->m, &p, out);
}

static inline int put(struct region_store *s, const char *repo, const char *tag, const char *text)
{
    struct put_result r;
    return put_refs(s, repo, tag, text, NULL, 0, &r);
}

static inline uint64_t head_seq(struct region_store *s, const char *origin)
{
    struct feed_mark m;
    ck_assert_int_eq(meta_head(s->m, origin, &m), 0);
    return m.seq;
}

// All entries of an origin that s holds, into the arena.
static inline size_t feed_all(struct region_store *s, const char *origin, struct arena *a,
                              struct feed_entry **out)
{
    struct feed_mark zero = {0}, last;
    size_t n;
    ck_assert_int_eq(meta_feed_read(s->m, origin, &zero, NULL, 0, 5000, a, out, &n, &last), 0);
    return n;
}

// Sequences without a gap, stamps that rise, hashes that chain, signatures of the right text.
static inline void feed_verify(struct region_store *s, const char *origin)
{
    struct arena a;
    struct feed_entry *e;
    uint8_t prev[ENTRY_HASH_BYTES] = {0}, want[ENTRY_HASH_BYTES], sig[ENTRY_SIG_BYTES];
    uint64_t epoch = 0, seq = 0, stamp = 0;
    arena_init(&a, 0);
    size_t n = feed_all(s, origin, &a, &e);
    struct region_store quiet = {0};
    for (size_t i = 0; i < n; i++) {
        ck_assert_uint_ge(e[i].epoch, epoch);
        seq = e[i].epoch == epoch ? seq + 1 : 1;
        epoch = e[i].epoch;
        ck_assert_uint_eq(e[i].seq, seq);
        ck_assert_uint_gt(e[i].stamp, stamp);
        stamp = e[i].stamp;
        ck_assert_int_eq(entry_hash(prev, &e[i], want), 0);
        ck_assert_mem_eq(want, e[i].hash, ENTRY_HASH_BYTES);
        memcpy(prev, want, sizeof prev);
        struct buf b;
        buf_init(&b, 0);
        ck_assert_int_eq(entry_sign_input(&e[i], &b), 0);
        test_sign(&quiet, b.p, b.n, sig);
        ck_assert_mem_eq(sig, e[i].sig, ENTRY_SIG_BYTES);
        buf_done(&b);
    }
    arena_done(&a);
}

static inline void expect_tag(struct region_store *s, const char *repo, const char *tag,
                              const char *text)
{
    struct arena a;
    struct manifest_row row;
    arena_init(&a, 0);
    int rc = meta_manifest_get(s->m, REG, repo, tag, NULL, &a, &row);
    if (!text) {
        ck_assert_int_eq(rc, ERR_NOTFOUND);
    } else {
        ck_assert_int_eq(rc, 0);
        ck_assert(bytes_equal(row.content, bytes_str(text)));
    }
    arena_done(&a);
}

// Every repository, tag with its register and history, as one text: equal states give equal texts.
static inline void listing(struct region_store *s, struct buf *out)
{
    struct arena a;
    arena_init(&a, 0);
    const char **repos, **tags;
    size_t n_repos, n_tags, n_versions;
    ck_assert_int_eq(meta_repositories_list(s->m, REG, NULL, 1000, &a, &repos, &n_repos), 0);
    for (size_t i = 0; i < n_repos; i++) {
        buf_printf(out, "%s\n", repos[i]);
        ck_assert_int_eq(meta_tags_list(s->m, REG, repos[i], NULL, 1000, &a, &tags, &n_tags), 0);
        for (size_t k = 0; k < n_tags; k++) {
            struct tag_version *v;
            struct manifest_row row;
            ck_assert_int_eq(meta_manifest_get(s->m, REG, repos[i], tags[k], NULL, &a, &row), 0);
            buf_printf(out, " %s %.*s %llu\n", tags[k], (int)row.content.n,
                       (const char *)row.content.p, (unsigned long long)row.stamp);
            ck_assert_int_eq(
                meta_tag_history(s->m, REG, repos[i], tags[k], 1000, &a, &v, &n_versions), 0);
            ck_assert(digest_equal(&v[0].digest, &row.digest) && v[0].stamp == row.stamp);
            for (size_t j = 0; j < n_versions; j++)
                buf_printf(out, "  %02x%02x %llu %s\n", v[j].digest.b[0], v[j].digest.b[1],
                           (unsigned long long)v[j].stamp, v[j].origin);
        }
    }
    ck_assert_int_eq(out->err, 0);
    arena_done(&a);
}

#endif
