// SPDX-License-Identifier: Apache-2.0
// store/meta: deletions, locks, create-only and several tags, as a client causes them; what they
// announce, and how another region shows it.
#include "store/meta_collect.h"
#include "store/meta_delete.h"
#include "store/meta_unknown.h"
#include "tests/support/leases.h"
#include "tests/unit/store/meta_support.h"

static struct region_store east, west;
static struct arena a;

static void begin(void)
{
    arena_init(&a, 0);
    store_begin(&east, "eastus");
}

static void end(void)
{
    feed_verify(&east, "eastus");
    store_end(&east);
    arena_done(&a);
}

static int tag_delete(const char *tag)
{
    struct delete_result r;
    const struct delete_request q = {.registry = REG, .repository = "app", .tag = tag, .by = "ada"};
    return meta_tag_delete(east.m, &q, &a, &r);
}

static int manifest_delete(const char *text, struct delete_result *out)
{
    struct digest d = digest_str(text);
    struct delete_request q = {.registry = REG, .repository = "app", .digest = &d, .by = "ada"};
    return meta_manifest_delete(east.m, &q, &a, out);
}

static bool lives(struct region_store *s, const char *text)
{
    struct manifest_row row;
    struct digest d = digest_str(text);
    int rc = meta_manifest_get(s->m, REG, "app", NULL, &d, &a, &row);
    ck_assert(rc == 0 || rc == ERR_NOTFOUND);
    return rc == 0;
}

static int lock(const char *tag, const char *text, bool write, bool del)
{
    struct digest d = digest_str(text ? text : "");
    const struct lock_request q = {.registry = REG,
                                   .repository = "app",
                                   .tag = tag,
                                   .digest = text ? &d : NULL,
                                   .write = write,
                                   .del = del,
                                   .by = "ada"};
    uint64_t stamp;
    return meta_lock_set(east.m, &q, &stamp);
}

static int put_as(const struct manifest_put *p, struct put_result *r)
{
    struct manifest_put q = *p;
    q.registry = REG;
    q.repository = "app";
    q.media_type = TYPE;
    return meta_manifest_put(east.m, &q, r);
}

static struct manifest_put of(const char *text, const char *tag)
{
    return (struct manifest_put){
        .digest = digest_str(text), .content = bytes_str(text), .tag = tag};
}

// All that east announced, applied in west in its order.
static void west_reads(void)
{
    struct feed_entry *e;
    size_t n = feed_all(&east, "eastus", &a, &e);
    for (size_t i = 0; i < n; i++) {
        struct digest missing;
        struct bytes content = {0};
        const char *type;
        if (e[i].kind == ENTRY_MANIFEST)
            (void)meta_manifest_content(east.m, REG, "app", &e[i].digest, &a, &content, &type);
        struct feed_entry read = e[i];
        ck_assert_int_eq(meta_apply(west.m, &read, content, NULL, 0, &missing), 0);
    }
}

// --- tags ---

START_TEST(a_deleted_tag_is_gone_and_its_manifest_stays)
{
    begin();
    store_begin(&west, "westeurope");
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    uint64_t seq = head_seq(&east, "eastus");
    ck_assert_int_eq(tag_delete("v2"), ERR_NOTFOUND);
    ck_assert_uint_eq(head_seq(&east, "eastus"), seq);
    ck_assert_int_eq(tag_delete("v1"), 0);
    ck_assert_uint_eq(head_seq(&east, "eastus"), seq + 1); // announced once
    ck_assert_int_eq(tag_delete("v1"), ERR_NOTFOUND);
    ck_assert_uint_eq(head_seq(&east, "eastus"), seq + 1);
    expect_tag(&east, "app", "v1", NULL);
    ck_assert(lives(&east, "{1}"));
    struct feed_entry *e;
    size_t n = feed_all(&east, "eastus", &a, &e);
    ck_assert_int_eq(e[n - 1].kind, ENTRY_TAG_GONE);
    ck_assert_str_eq(e[n - 1].by, "ada");
    ck_assert(!e[n - 1].judged && e[n - 1].digest.n == 0);
    // the history still tells, and the value can be restored
    struct tag_version *v;
    ck_assert_int_eq(meta_tag_history(east.m, REG, "app", "v1", 10, &a, &v, &n), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert(v[0].gone && !v[0].here && v[0].digest.n == 0 && !strcmp(v[0].by, "ada"));
    ck_assert(!v[1].gone && v[1].here);
    west_reads();
    expect_tag(&west, "app", "v1", NULL);
    ck_assert(lives(&west, "{1}"));
    struct put_result r;
    const struct tag_put back = {REG, "app", "v1", v[1].digest, false, "bob"};
    ck_assert_int_eq(meta_tag_put(east.m, &back, &r), 0);
    expect_tag(&east, "app", "v1", "{1}");
    const struct tag_put absent = {REG, "app", "v1", digest_str("none"), false, ""};
    ck_assert_int_eq(meta_tag_put(east.m, &absent, &r), ERR_NOTFOUND);
    west_reads();
    expect_tag(&west, "app", "v1", "{1}");
    store_end(&west);
    end();
}
END_TEST

START_TEST(a_tag_is_deleted_under_a_condition)
{
    begin();
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    struct digest one = digest_str("{1}"), two = digest_str("{2}");
    struct delete_result r;
    struct delete_request q = {.registry = REG, .repository = "app", .tag = "v1", .if_match = &two};
    ck_assert_int_eq(meta_tag_delete(east.m, &q, &a, &r), ERR_CONFLICT);
    expect_tag(&east, "app", "v1", "{1}");
    q.if_match = &one;
    ck_assert_int_eq(meta_tag_delete(east.m, &q, &a, &r), 0);
    ck_assert_uint_gt(r.stamp, 0);
    q.tag = ".bad";
    ck_assert_int_eq(meta_tag_delete(east.m, &q, &a, &r), ERR_INVAL);
    end();
}
END_TEST

// --- manifests ---

START_TEST(a_deleted_manifest_takes_its_tags_and_comes_back_without_them)
{
    begin();
    store_begin(&west, "westeurope");
    struct delete_result r;
    const char **tags;
    size_t n;
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(put(&east, "app", "v2", "{1}"), 0);
    ck_assert_int_eq(put(&east, "app", "v3", "{3}"), 0);
    uint64_t seq = head_seq(&east, "eastus");
    ck_assert_int_eq(manifest_delete("{2}", &r), ERR_NOTFOUND);
    ck_assert_int_eq(manifest_delete("{1}", &r), 0);
    ck_assert_uint_eq(head_seq(&east, "eastus"), seq + 1);
    ck_assert_uint_eq(r.n_tags, 2);
    ck_assert_str_eq(r.tags[0], "v1");
    ck_assert_str_eq(r.tags[1], "v2");
    ck_assert_int_eq(manifest_delete("{1}", &r), ERR_NOTFOUND);
    ck_assert(!lives(&east, "{1}"));
    ck_assert_int_eq(meta_tags_list(east.m, REG, "app", NULL, 10, &a, &tags, &n), 0);
    ck_assert_uint_eq(n, 1);
    west_reads();
    ck_assert(!lives(&west, "{1}"));
    expect_tag(&west, "app", "v1", NULL);
    expect_tag(&west, "app", "v3", "{3}");
    // by digest it comes back alone
    ck_assert_int_eq(put(&east, "app", NULL, "{1}"), 0);
    ck_assert(lives(&east, "{1}"));
    expect_tag(&east, "app", "v1", NULL);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    expect_tag(&east, "app", "v1", "{1}");
    west_reads();
    ck_assert(lives(&west, "{1}"));
    expect_tag(&west, "app", "v1", "{1}");
    expect_tag(&west, "app", "v2", NULL);
    store_end(&west);
    end();
}
END_TEST

// What an own tag rests on is asserted anew above what deleted it.
START_TEST(a_push_by_tag_after_a_deletion_asserts_its_manifest_again)
{
    begin();
    struct delete_result r;
    struct feed_entry *e;
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(manifest_delete("{1}", &r), 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    size_t n = feed_all(&east, "eastus", &a, &e);
    ck_assert_uint_eq(n, 5);
    ck_assert_int_eq(e[3].kind, ENTRY_MANIFEST);
    ck_assert_int_eq(e[4].kind, ENTRY_TAG);
    end();
}
END_TEST

START_TEST(the_last_manifest_takes_the_repository_out_of_the_catalogue)
{
    begin();
    struct delete_result r;
    const char **names;
    size_t n;
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(manifest_delete("{1}", &r), 0);
    ck_assert_int_eq(meta_repositories_list(east.m, REG, NULL, 10, &a, &names, &n), 0);
    ck_assert_uint_eq(n, 0);
    ck_assert(meta_repository_exists(east.m, REG, "app"));
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(meta_repositories_list(east.m, REG, NULL, 10, &a, &names, &n), 0);
    ck_assert_uint_eq(n, 1);
    end();
}
END_TEST

START_TEST(a_child_of_a_live_index_is_refused_with_its_parents)
{
    begin();
    struct put_result p;
    struct delete_result r;
    struct manifest_ref ref = {REF_MANIFEST, digest_str("{1}"), 3};
    ck_assert_int_eq(put(&east, "app", NULL, "{1}"), 0);
    ck_assert_int_eq(put_refs(&east, "app", "all", "{i}", &ref, 1, &p), 0);
    ck_assert_int_eq(put_refs(&east, "app", NULL, "{j}", &ref, 1, &p), 0);
    ck_assert_int_eq(manifest_delete("{1}", &r), ERR_CONFLICT);
    ck_assert_uint_eq(r.n_parents, 2);
    struct digest i = digest_str("{i}"), j = digest_str("{j}");
    bool in_order = digest_equal(&r.parents[0], &i) && digest_equal(&r.parents[1], &j);
    bool other = digest_equal(&r.parents[0], &j) && digest_equal(&r.parents[1], &i);
    ck_assert(in_order || other);
    ck_assert_int_eq(manifest_delete("{i}", &r), 0);
    ck_assert_int_eq(manifest_delete("{1}", &r), ERR_CONFLICT);
    ck_assert_int_eq(manifest_delete("{j}", &r), 0);
    ck_assert(lives(&east, "{1}")); // asserted by itself
    ck_assert_int_eq(manifest_delete("{1}", &r), 0);
    ck_assert(!lives(&east, "{1}"));
    end();
}
END_TEST

// A manifest that is deleted between the HEAD of a blob and the PUT that follows takes nothing away.
START_TEST(blobs_of_a_deleted_manifest_are_under_lease)
{
    begin();
    struct put_result p;
    struct delete_result r;
    struct blob_here here;
    struct digest blob = digest_str("blob");
    struct manifest_ref ref = {REF_BLOB, blob, 4};
    ck_assert_int_eq(lease_give(east.m, REG, "app", &blob, 4, NULL), 0);
    ck_assert_int_eq(put_refs(&east, "app", "v1", "{1}", &ref, 1, &p), 0);
    ck_assert_int_eq(meta_blob_look(east.m, REG, "app", &blob, &here), 0);
    ck_assert(here.linked);
    ck_assert_int_eq(manifest_delete("{1}", &r), 0);
    ck_assert_int_eq(meta_blob_look(east.m, REG, "app", &blob, &here), 0);
    ck_assert(!here.linked);
    ck_assert_int_eq(put_refs(&east, "app", "v2", "{2}", &ref, 1, &p), 0);
    ck_assert_int_eq(put_refs(&east, "app", "v1", "{1}", &ref, 1, &p), 0);
    ck_assert_int_eq(meta_blob_look(east.m, REG, "app", &blob, &here), 0);
    ck_assert(here.linked);
    end();
}
END_TEST

// Content that is dead goes with the first blob that it relied on, and comes back with a push.
START_TEST(dead_content_goes_before_its_blobs)
{
    begin();
    struct put_result p;
    struct delete_result r;
    struct collect_counts c = {0};
    struct bytes content;
    const char *type;
    struct digest blob = digest_str("blob"), one = digest_str("{1}");
    struct manifest_ref ref = {REF_BLOB, blob, 4};
    ck_assert_int_eq(lease_give(east.m, REG, "app", &blob, 4, NULL), 0);
    ck_assert_int_eq(put_refs(&east, "app", "v1", "{1}", &ref, 1, &p), 0);
    ck_assert_int_eq(manifest_delete("{1}", &r), 0);
    ck_assert_int_eq(meta_manifest_content(east.m, REG, "app", &one, &a, &content, &type), 0);
    meta_set_lease_grace(east.m, -1000); // every lease is over
    ck_assert_int_eq(meta_collect_leases(east.m, 10, &c), 0);
    ck_assert(c.n_leases == 1 && c.n_manifests == 1);
    ck_assert_int_eq(meta_manifest_content(east.m, REG, "app", &one, &a, &content, &type),
                     ERR_NOTFOUND);
    ck_assert(meta_content_lacks(east.m, REG, "app", &one, NULL));
    ck_assert_int_eq(put_refs(&east, "app", "v1", "{1}", &ref, 1, &p), ERR_NOTFOUND);
    ck_assert_int_eq(lease_give(east.m, REG, "app", &blob, 4, NULL), 0);
    ck_assert_int_eq(put_refs(&east, "app", "v1", "{1}", &ref, 1, &p), 0);
    expect_tag(&east, "app", "v1", "{1}");
    end();
}
END_TEST

// --- absent children ---

static bool is_absent_marked(size_t i)
{
    struct feed_entry *e;
    size_t n = feed_all(&east, "eastus", &a, &e);
    for (size_t k = n; k-- > 0;)
        if (e[k].kind == ENTRY_MANIFEST && e[k].absent.n)
            return e[k].absent.p[i / 8] >> (i % 8) & 1;
    return false;
}

START_TEST(a_sparse_index_neither_holds_nor_blocks_what_it_marks)
{
    begin();
    struct put_result r;
    struct delete_result gone;
    const struct manifest_ref refs[] = {{REF_MANIFEST, digest_str("{1}"), 3},
                                        {REF_MANIFEST, digest_str("{2}"), 3}};
    struct manifest_put p = of("{i}", "all");
    p.refs = refs;
    p.n_refs = 2;
    ck_assert_int_eq(put(&east, "app", NULL, "{1}"), 0);
    ck_assert_int_eq(put_as(&p, &r), ERR_NOTFOUND);
    ck_assert(digest_equal(&r.missing, &refs[1].digest));
    p.allow_absent = true;
    ck_assert_int_eq(put_as(&p, &r), 0);
    ck_assert(!is_absent_marked(0) && is_absent_marked(1));
    ck_assert_int_eq(put(&east, "app", NULL, "{2}"), 0);
    ck_assert_int_eq(manifest_delete("{2}", &gone), 0);
    ck_assert_int_eq(manifest_delete("{1}", &gone), ERR_CONFLICT);
    // pushed again when both are there, it holds both
    ck_assert_int_eq(put(&east, "app", NULL, "{2}"), 0);
    ck_assert_int_eq(put_as(&p, &r), 0);
    ck_assert_int_eq(manifest_delete("{2}", &gone), ERR_CONFLICT);
    end();
}
END_TEST

// --- create-only and several tags ---

static bool is_release(void *ctx, const char *tag)
{
    ck_assert_str_eq(ctx, "ctx");
    return *tag == 'v';
}

START_TEST(a_tag_that_may_only_be_created)
{
    begin();
    struct put_result r;
    struct feed_entry *e;
    struct manifest_put one = of("{1}", "v1"), two = of("{2}", "v1");
    one.create_only = two.create_only = true;
    ck_assert_int_eq(put_as(&one, &r), 0);
    uint64_t seq = head_seq(&east, "eastus");
    ck_assert_int_eq(put_as(&one, &r), 0); // the same digest: nothing is minted
    ck_assert_int_eq(put_as(&two, &r), ERR_EXISTS);
    ck_assert_str_eq(r.exists, "v1");
    ck_assert_uint_eq(head_seq(&east, "eastus"), seq);
    ck_assert(!lives(&east, "{2}"));
    ck_assert_int_eq(tag_delete("v1"), 0);
    ck_assert_int_eq(put_as(&two, &r), 0);
    expect_tag(&east, "app", "v1", "{2}");
    size_t n = feed_all(&east, "eastus", &a, &e);
    ck_assert(e[1].create_only && e[1].generation == 0);
    ck_assert_int_eq(e[2].kind, ENTRY_TAG_GONE);
    ck_assert(e[n - 1].create_only && e[n - 1].generation == e[2].stamp);
    // and after its manifest was deleted
    struct delete_result gone;
    ck_assert_int_eq(manifest_delete("{2}", &gone), 0);
    ck_assert_int_eq(put_as(&one, &r), 0);
    n = feed_all(&east, "eastus", &a, &e);
    ck_assert_uint_eq(e[n - 1].generation, gone.stamp);
    expect_tag(&east, "app", "v1", "{1}");
    // an immutable tag among others: nothing is written when it is refused
    struct manifest_put both = of("{2}", NULL);
    const char *const tags[] = {"latest", "v1"};
    both.tags = tags;
    both.n_tags = 2;
    both.is_immutable = is_release;
    both.immutable_ctx = (char[]){"ctx"};
    seq = head_seq(&east, "eastus");
    ck_assert_int_eq(put_as(&both, &r), ERR_EXISTS);
    ck_assert_str_eq(r.exists, "v1");
    ck_assert_uint_eq(head_seq(&east, "eastus"), seq);
    both.digest = digest_str("{1}");
    both.content = bytes_str("{1}");
    ck_assert_int_eq(put_as(&both, &r), 0);
    ck_assert_uint_eq(head_seq(&east, "eastus"), seq + 1); // of `latest` alone
    end();
}
END_TEST

START_TEST(several_tags_are_one_push)
{
    begin();
    struct put_result r;
    struct manifest_put p = of("{1}", "a");
    const char *const tags[] = {"b", "c"}, *const twice[] = {"b", "b"}, *const again[] = {"a"},
                      *const bad[] = {"-"};
    p.tags = tags;
    p.n_tags = 2;
    ck_assert_int_eq(put_as(&p, &r), 0);
    ck_assert_uint_eq(head_seq(&east, "eastus"), 4);
    expect_tag(&east, "app", "a", "{1}");
    expect_tag(&east, "app", "b", "{1}");
    expect_tag(&east, "app", "c", "{1}");
    p.tags = twice;
    ck_assert_int_eq(put_as(&p, &r), ERR_INVAL);
    p.n_tags = 1;
    p.tags = again;
    ck_assert_int_eq(put_as(&p, &r), ERR_INVAL);
    p.tags = bad;
    ck_assert_int_eq(put_as(&p, &r), ERR_INVAL);
    ck_assert_uint_eq(head_seq(&east, "eastus"), 4);
    end();
}
END_TEST

// --- locks ---

START_TEST(a_delete_lock_refuses_deletions)
{
    begin();
    struct delete_result r;
    struct lock_state l;
    struct digest one = digest_str("{1}");
    ck_assert_int_eq(lock("v1", NULL, false, true), ERR_NOTFOUND);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(lock("v1", NULL, false, true), 0);
    uint64_t seq = head_seq(&east, "eastus");
    ck_assert_int_eq(lock("v1", NULL, false, true), 0); // it is so
    ck_assert_uint_eq(head_seq(&east, "eastus"), seq);
    ck_assert_int_eq(meta_lock_get(east.m, REG, "app", "v1", NULL, &a, &l), 0);
    ck_assert(!l.write && l.del && l.stamp && !strcmp(l.by, "ada"));
    ck_assert_str_eq(l.origin, "eastus");
    ck_assert_int_eq(tag_delete("v1"), ERR_LOCKED);
    ck_assert_int_eq(manifest_delete("{1}", &r), ERR_LOCKED); // it would take the tag with it
    ck_assert_int_eq(put(&east, "app", "v1", "{2}"), 0);      // it may move
    ck_assert_int_eq(manifest_delete("{1}", &r), 0);
    ck_assert_int_eq(lock("v1", NULL, false, false), 0);
    ck_assert_int_eq(tag_delete("v1"), 0);
    ck_assert_int_eq(put(&east, "app", NULL, "{1}"), 0);
    ck_assert_int_eq(lock(NULL, "{1}", false, true), 0);
    ck_assert_int_eq(manifest_delete("{1}", &r), ERR_LOCKED);
    ck_assert_int_eq(lock(NULL, "{1}", false, false), 0);
    ck_assert_int_eq(lock(NULL, NULL, false, true), 0); // the repository
    ck_assert_int_eq(manifest_delete("{1}", &r), ERR_LOCKED);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(tag_delete("v1"), ERR_LOCKED);
    ck_assert_int_eq(lock(NULL, NULL, false, false), 0);
    ck_assert_int_eq(manifest_delete("{1}", &r), 0);
    ck_assert_int_eq(meta_lock_get(east.m, REG, "app", NULL, &one, &a, &l), ERR_NOTFOUND);
    end();
}
END_TEST

START_TEST(a_write_lock_refuses_pushes)
{
    begin();
    struct put_result r;
    struct manifest_put one = of("{1}", "v1"), two = of("{2}", "v1");
    ck_assert_int_eq(put_as(&one, &r), 0);
    ck_assert_int_eq(lock("v1", NULL, true, false), 0);
    uint64_t seq = head_seq(&east, "eastus");
    ck_assert_int_eq(put_as(&two, &r), ERR_LOCKED);
    ck_assert_str_eq(r.locked, "v1");
    ck_assert_int_eq(put_as(&one, &r), 0); // as it is
    ck_assert_uint_eq(head_seq(&east, "eastus"), seq);
    // what is deleted comes back unlocked, whoever deleted what
    struct delete_result gone;
    ck_assert_int_eq(manifest_delete("{1}", &gone), 0);
    ck_assert_int_eq(put_as(&two, &r), 0);
    struct lock_state l;
    ck_assert_int_eq(meta_lock_get(east.m, REG, "app", "v1", NULL, &a, &l), 0);
    ck_assert(!l.write);
    ck_assert_int_eq(put_as(&one, &r), 0);
    ck_assert_int_eq(lock("v1", NULL, true, false), 0);
    ck_assert_int_eq(tag_delete("v1"), 0);
    ck_assert_int_eq(put_as(&two, &r), 0);
    ck_assert_int_eq(put_as(&one, &r), 0);
    // the repository
    ck_assert_int_eq(lock(NULL, NULL, true, false), 0);
    struct manifest_put three = of("{3}", "v3");
    ck_assert_int_eq(put_as(&three, &r), ERR_LOCKED);
    ck_assert_str_eq(r.locked, "");
    ck_assert_int_eq(lock(NULL, NULL, false, false), 0);
    ck_assert_int_eq(put_as(&three, &r), 0);
    end();
}
END_TEST

// --- rules ---

static struct rule_delete judged(const char *tag)
{
    struct tag_detail t;
    ck_assert_int_eq(meta_tag_detail(east.m, REG, "app", tag, &a, &t), 0);
    return (struct rule_delete){.registry = REG,
                                .repository = "app",
                                .tag = tag,
                                .stamp = t.stamp,
                                .epoch = t.epoch,
                                .origin = t.origin,
                                .rule = "keep-last"};
}

static struct rule_delete judged_manifest(const struct digest *d)
{
    struct manifest_detail m;
    ck_assert_int_eq(meta_manifest_detail(east.m, REG, "app", d, &a, &m), 0);
    return (struct rule_delete){.registry = REG,
                                .repository = "app",
                                .digest = d,
                                .stamp = m.stamp,
                                .epoch = m.epoch,
                                .origin = m.origin,
                                .rule = "untagged"};
}

START_TEST(a_rule_deletes_what_it_judged_and_nothing_else)
{
    begin();
    uint64_t stamp;
    struct put_result r;
    struct feed_entry *e;
    struct digest one = digest_str("{1}"), two = digest_str("{2}");
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    struct rule_delete t = judged("v1");
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(meta_rule_delete(east.m, &t, &stamp), ERR_CONFLICT); // another value by now
    t = judged("v1");
    ck_assert_int_eq(lock("v1", NULL, false, true), 0);
    ck_assert_int_eq(meta_rule_delete(east.m, &t, &stamp), ERR_LOCKED);
    ck_assert_int_eq(lock("v1", NULL, false, false), 0);
    struct rule_delete m = judged_manifest(&one);
    ck_assert_int_eq(meta_rule_delete(east.m, &m, &stamp), ERR_CONFLICT); // a tag leads to it
    ck_assert_int_eq(meta_rule_delete(east.m, &t, &stamp), 0);
    ck_assert_int_eq(meta_rule_delete(east.m, &t, &stamp), ERR_NOTFOUND);
    expect_tag(&east, "app", "v1", NULL);
    size_t n = feed_all(&east, "eastus", &a, &e);
    ck_assert(e[n - 1].judged && e[n - 1].judged_stamp == t.stamp);
    ck_assert_str_eq(e[n - 1].rule, "keep-last");
    // an index and a subject hold
    struct manifest_ref child = {REF_MANIFEST, one, 3};
    ck_assert_int_eq(put_refs(&east, "app", NULL, "{i}", &child, 1, &r), 0);
    ck_assert_int_eq(meta_rule_delete(east.m, &m, &stamp), ERR_CONFLICT);
    struct delete_result gone;
    ck_assert_int_eq(manifest_delete("{i}", &gone), 0);
    struct manifest_ref subject = {REF_SUBJECT, one, 3};
    ck_assert_int_eq(put_refs(&east, "app", NULL, "{2}", &subject, 1, &r), 0);
    struct rule_delete s = judged_manifest(&two);
    ck_assert_int_eq(meta_rule_delete(east.m, &s, &stamp), ERR_CONFLICT);
    ck_assert_int_eq(meta_rule_delete(east.m, &m, &stamp), 0);
    ck_assert(!lives(&east, "{1}"));
    ck_assert_int_eq(meta_rule_delete(east.m, &s, &stamp), 0);
    ck_assert(!lives(&east, "{2}"));
    end();
}
END_TEST

// --- lists ---

START_TEST(lists_tell_in_detail)
{
    begin();
    struct put_result r;
    struct tag_detail *t;
    struct manifest_detail *m;
    size_t n;
    struct digest one = digest_str("{1}");
    struct manifest_ref child = {REF_MANIFEST, one, 3}, subject = {REF_SUBJECT, one, 3};
    struct manifest_put p = of("{1}", "a");
    p.by = "ada";
    ck_assert_int_eq(put_as(&p, &r), 0);
    ck_assert_int_eq(put_refs(&east, "app", "b", "{i}", &child, 1, &r), 0);
    ck_assert_int_eq(put_refs(&east, "app", NULL, "{s}", &subject, 1, &r), 0);
    ck_assert_int_eq(lock("a", NULL, true, false), 0);
    ck_assert_int_eq(lock(NULL, "{1}", false, true), 0);
    ck_assert_int_eq(meta_tags_detail(east.m, REG, "app", NULL, 10, &a, &t, &n), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(t[0].tag, "a");
    ck_assert_str_eq(t[0].by, "ada");
    ck_assert_str_eq(t[0].media_type, TYPE);
    ck_assert(t[0].size == 3 && t[0].lock_write && !t[0].lock_delete && t[0].stamp);
    ck_assert(!t[1].lock_write && !strcmp(t[1].by, ""));
    ck_assert_int_eq(meta_tags_detail(east.m, REG, "app", "a", 10, &a, &t, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(meta_manifests_list(east.m, REG, "app", NULL, 10, &a, &m, &n), 0);
    ck_assert_uint_eq(n, 3);
    for (size_t i = 0; i < n; i++) {
        if (digest_equal(&m[i].digest, &one)) {
            ck_assert_uint_eq(m[i].held,
                              HELD_ASSERTED | HELD_BY_TAG | HELD_BY_INDEX | HELD_BY_LOCK);
            ck_assert(m[i].lock_delete && !m[i].lock_write && m[i].n_tags == 1);
            ck_assert_str_eq(m[i].tags[0], "a");
            ck_assert_str_eq(m[i].by, "ada");
            ck_assert(!m[i].has_subject && m[i].untagged_ms == 0);
        }
        if (m[i].has_subject)
            ck_assert(m[i].subject_live && digest_equal(&m[i].subject, &one) && !m[i].n_tags);
    }
    ck_assert_int_eq(meta_manifests_list(east.m, REG, "app", &m[0].digest, 1, &a, &m, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(put(&east, "app", "c", "{1}"), 0);
    ck_assert_int_eq(put(&east, "app", "c", "{2}"), 0);
    struct manifest_detail d;
    ck_assert_int_eq(meta_manifest_detail(east.m, REG, "app", &one, &a, &d), 0);
    ck_assert(d.untagged_ms == 0); // one tag leads to it still
    ck_assert_int_eq(lock("a", NULL, false, false), 0);
    ck_assert_int_eq(tag_delete("a"), 0);
    ck_assert_int_eq(meta_manifest_detail(east.m, REG, "app", &one, &a, &d), 0);
    ck_assert_int_gt(d.untagged_ms, 0);
    struct meta_register reg;
    ck_assert_int_eq(meta_tag_register(east.m, REG, "app", "a", &a, &reg), 0);
    ck_assert(!reg.live && reg.top.gone);
    ck_assert_int_eq(meta_manifest_register(east.m, REG, "app", &one, &a, &reg), 0);
    ck_assert(reg.live && !reg.top.gone);
    ck_assert_int_eq(meta_tag_register(east.m, REG, "app", "z", &a, &reg), ERR_NOTFOUND);
    ck_assert_int_eq(meta_tag_detail(east.m, REG, "app", "a", &a, t), ERR_NOTFOUND);
    end();
}
END_TEST

// --- what becomes void ---

static uint8_t chain[32];

// The next entry of westus, signed by a key that was stolen. text NULL: of the tag v1.
static struct feed_entry foreign(uint64_t seq, uint64_t stamp, enum entry_kind kind,
                                 const char *text)
{
    struct feed_entry e = {.version = 2,
                           .origin = "westus",
                           .epoch = 1,
                           .seq = seq,
                           .stamp = stamp,
                           .kind = kind,
                           .registry = REG,
                           .repository = "app",
                           .tag = text ? "" : "v1",
                           .media_type = "",
                           .by = "eve",
                           .rule = "",
                           .registry_seq = seq,
                           .lock_delete = kind == ENTRY_TAG_LOCK};
    struct buf body;
    buf_init(&body, 0);
    if (text)
        e.digest = digest_str(text);
    memcpy(e.registry_prev, chain, sizeof chain);
    ck_assert_int_eq(entry_body_make(&e, &body), 0);
    const void *copy = arena_copy(&a, body.p, body.n);
    ck_assert_int_eq(entry_body_parse(bytes_of(copy, body.n), &a, &e), 0);
    buf_done(&body);
    entry_body_hash(&e, chain);
    e.key = "stolen";
    e.hash[0] = (uint8_t)seq;
    return e;
}

static void take(struct feed_entry e)
{
    struct feed_mark mark = entry_mark(&e);
    struct digest missing;
    ck_assert_int_eq(meta_ingest(east.m, "westus", &e, 1, &mark), 0);
    ck_assert_int_eq(meta_apply(east.m, &e, (struct bytes){0}, NULL, 0, &missing), 0);
}

static void revoke(void)
{
    struct meta_revoked told;
    struct meta_swept swept = {.more = true};
    const struct meta_revocation r = {.origin = "westus", .key = "stolen", .epoch = 1};
    ck_assert_int_eq(meta_revoke(east.m, &r, 1, &told), 0);
    while (swept.more)
        ck_assert_int_eq(meta_revoke_sweep(east.m, 100, &swept), 0);
}

START_TEST(a_deletion_that_is_void_gives_back_what_it_ended)
{
    begin();
    struct job *jobs;
    struct digest missing;
    int64_t next;
    size_t n;
    bool more;
    memset(chain, 0, sizeof chain);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(put(&east, "app", "v2", "{2}"), 0);
    ck_assert_int_eq(put(&east, "app", "v3", "{3}"), 0);
    uint64_t now = meta_stamp_limit(east.m) - 1000;
    take(foreign(1, now, ENTRY_TAG_GONE, NULL));
    take(foreign(2, now + 1, ENTRY_MANIFEST_GONE, "{2}"));
    ck_assert_int_eq(meta_dead_content_drop(east.m, clock_wall_ms() + 1, 10, &n, &more), 0);
    ck_assert_uint_eq(n, 1);
    take(foreign(3, now + 2, ENTRY_MANIFEST_GONE, "{3}"));
    expect_tag(&east, "app", "v1", NULL);
    ck_assert(!lives(&east, "{2}") && !lives(&east, "{3}"));
    revoke();
    expect_tag(&east, "app", "v1", "{1}");
    expect_tag(&east, "app", "v3", "{3}");
    // What is not here any more is fetched: its entries are jobs again.
    ck_assert(!lives(&east, "{2}"));
    ck_assert_int_eq(meta_jobs_due(east.m, clock_mono_ms(), 10, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_int_eq(jobs[0].entry.kind, ENTRY_MANIFEST);
    ck_assert_int_eq(meta_apply(east.m, &jobs[0].entry, bytes_str("{2}"), NULL, 0, &missing), 0);
    ck_assert_int_eq(meta_apply(east.m, &jobs[1].entry, (struct bytes){0}, NULL, 0, &missing), 0);
    expect_tag(&east, "app", "v2", "{2}");
    ck_assert_int_eq(meta_jobs_due(east.m, clock_mono_ms(), 10, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, 0);
    end();
}
END_TEST

START_TEST(a_lock_that_is_void_keeps_nothing)
{
    begin();
    struct lock_state l;
    memset(chain, 0, sizeof chain);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    take(foreign(1, meta_stamp_limit(east.m) - 1000, ENTRY_TAG_LOCK, NULL));
    ck_assert_int_eq(tag_delete("v1"), ERR_LOCKED);
    revoke();
    ck_assert_int_eq(meta_lock_get(east.m, REG, "app", "v1", NULL, &a, &l), 0);
    ck_assert(!l.del && l.stamp == 0);
    ck_assert_int_eq(tag_delete("v1"), 0);
    end();
}
END_TEST

CHECK_MAIN("store/meta delete", a_deleted_tag_is_gone_and_its_manifest_stays,
           a_tag_is_deleted_under_a_condition,
           a_deleted_manifest_takes_its_tags_and_comes_back_without_them,
           a_push_by_tag_after_a_deletion_asserts_its_manifest_again,
           the_last_manifest_takes_the_repository_out_of_the_catalogue,
           a_child_of_a_live_index_is_refused_with_its_parents,
           blobs_of_a_deleted_manifest_are_under_lease, dead_content_goes_before_its_blobs,
           a_sparse_index_neither_holds_nor_blocks_what_it_marks, a_tag_that_may_only_be_created,
           several_tags_are_one_push, a_delete_lock_refuses_deletions, a_write_lock_refuses_pushes,
           a_rule_deletes_what_it_judged_and_nothing_else, lists_tell_in_detail,
           a_deletion_that_is_void_gives_back_what_it_ended, a_lock_that_is_void_keeps_nothing)
