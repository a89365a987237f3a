// SPDX-License-Identifier: Apache-2.0
// store/meta and version 2 of the feed: chains by registry, entries that this program does not know,
// and which version is minted.
#include "store/entry_kind.h"
#include "store/meta_collect.h"
#include "store/meta_delete.h"
#include "store/meta_floor.h"
#include "tests/support/leases.h"
#include "tests/unit/store/meta_support.h"

#include <inttypes.h>
#include <sqlite3.h>

static struct region_store east, west;
static struct arena a;

static void begin(void)
{
    store_begin(&east, "eastus");
    store_begin(&west, "westeurope");
    arena_init(&a, 0);
}

static void end(void)
{
    arena_done(&a);
    store_end(&east);
    store_end(&west);
}

static void reopen(struct region_store *s)
{
    meta_close(s->m);
    store_reopen(s);
}

// --- a feed that is made by hand: what another program may have signed ---

struct feed {
    uint64_t epoch, seq, registry_seq, stamp;
    uint8_t hash[ENTRY_HASH_BYTES], prev[ENTRY_HASH_BYTES];
};

static struct feed feed_new(void)
{
    return (struct feed){.epoch = 1, .stamp = hlc_from_wall(1700000000000)};
}

// The next entry of westeurope's feed: `tail` is what stands behind the repository.
static struct feed_entry said(struct feed *f, const char *repository, const char *tail)
{
    struct feed_entry e;
    char prev[2 * ENTRY_HASH_BYTES + 1];
    hex_format(f->prev, ENTRY_HASH_BYTES, prev);
    const char *body =
        arena_printf(&a,
                     "meridian-feed-2\norigin=westeurope\nepoch=%" PRIu64
                     "\npartition=0\nseq=%" PRIu64 "\nstamp=%" PRIu64 "\nrestates=0\nregistry=" REG
                     "\nregistry-seq=%" PRIu64 "\nregistry-prev=%s\nrepository=%s\n%s",
                     f->epoch, ++f->seq, ++f->stamp, ++f->registry_seq, prev, repository, tail);
    ck_assert_int_eq(entry_body_parse(bytes_str(body), &a, &e), 0);
    e.key = "k";
    ck_assert_int_eq(entry_hash(f->hash, &e, e.hash), 0);
    memcpy(f->hash, e.hash, sizeof f->hash);
    struct region_store signer = {0};
    struct buf text;
    buf_init(&text, 0);
    ck_assert_int_eq(entry_sign_input(&e, &text), 0);
    test_sign(&signer, text.p, text.n, e.sig);
    buf_done(&text);
    entry_body_hash(&e, f->prev);
    return e;
}

#define UNKNOWN "must=0\nsubject=tag:v1\nattribute=hold\nvalue={\"until\":7}\n"
#define UNKNOWN_MUST "must=1\nsubject=tag:v1\nattribute=hold\nvalue={\"until\":7}\n"

static struct feed_entry said_tag(struct feed *f, const char *tag, const char *text)
{
    char digest[DIGEST_TEXT_SIZE];
    struct digest d = digest_str(text);
    const char *tail =
        arena_printf(&a, "must=0\nsubject=tag:%s\nattribute=value\nvalue={\"digest\":\"%s\"}\n",
                     tag, digest_format(&d, digest));
    return said(f, "app", tail);
}

static int take(struct region_store *s, const struct feed_entry *e, size_t n)
{
    struct feed_mark upto = entry_mark(&e[n - 1]);
    return meta_ingest(s->m, e[0].origin, e, n, &upto);
}

static size_t jobs_count(struct region_store *s)
{
    struct job *jobs;
    size_t n;
    int64_t next;
    ck_assert_int_eq(meta_jobs_due(s->m, INT64_MAX - 1, 64, &a, &jobs, &n, &next), 0);
    return n;
}

// --- minting ---

START_TEST(own_entries_are_a_chain_in_each_registry)
{
    begin();
    struct put_result r;
    struct manifest_put other = {.registry = "fabrikam@7",
                                 .repository = "app",
                                 .digest = digest_str("{f}"),
                                 .media_type = TYPE,
                                 .content = bytes_str("{f}"),
                                 .tag = "t"};
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(meta_manifest_put(east.m, &other, &r), 0);
    ck_assert_int_eq(put(&east, "lib", "v1", "{2}"), 0);
    reopen(&east);
    ck_assert_int_eq(put(&east, "app", "v1", "{3}"), 0);
    feed_verify(&east, "eastus");
    struct feed_entry *e;
    size_t n = feed_all(&east, "eastus", &a, &e);
    ck_assert_uint_eq(n, 8);
    uint8_t prev[2][ENTRY_HASH_BYTES] = {0}, hash[ENTRY_HASH_BYTES];
    uint64_t seq[2] = {0}, last;
    for (size_t i = 0; i < n; i++) {
        size_t which = strcmp(e[i].registry, REG) == 0;
        ck_assert_uint_eq(e[i].version, 2);
        ck_assert_uint_eq(e[i].registry_seq, ++seq[which]);
        ck_assert_mem_eq(e[i].registry_prev, prev[which], ENTRY_HASH_BYTES);
        entry_body_hash(&e[i], prev[which]);
    }
    ck_assert(seq[0] == 2 && seq[1] == 6);
    ck_assert_int_eq(meta_registry_head(east.m, "eastus", REG, NULL, &last, hash), 0);
    ck_assert_uint_eq(last, 6);
    ck_assert_mem_eq(hash, prev[1], sizeof hash);
    struct feed_mark place = entry_mark(&e[3]); // the second of fabrikam
    ck_assert_int_eq(meta_registry_head(east.m, "eastus", REG, &place, &last, hash), 0);
    ck_assert_uint_eq(last, 2);
    ck_assert_int_eq(meta_registry_has(east.m, "eastus", REG, 2, hash), 0);
    ck_assert_int_eq(meta_registry_has(east.m, "eastus", REG, 3, hash), ERR_NOTFOUND);
    ck_assert_int_eq(meta_registry_head(east.m, "nowhere", REG, NULL, &last, hash), 0);
    ck_assert_uint_eq(last, 0);
    // and they are taken as they are
    struct feed_mark upto = entry_mark(&e[n - 1]);
    ck_assert_int_eq(meta_ingest(west.m, "eastus", e, n, &upto), 0);
    feed_verify(&west, "eastus");
    ck_assert_uint_eq(jobs_count(&west), 8);
    end();
}
END_TEST

struct behind {
    bool is;
    int n_asked;
};

static bool is_behind(void *ctx, const char *registry, char out_region[HOSTNAME_REGION_SIZE])
{
    struct behind *b = ctx;
    b->n_asked++;
    if (b->is && strncmp(registry, REG, strlen(REG)) == 0)
        snprintf(out_region, HOSTNAME_REGION_SIZE, "oldregion");
    return b->is && strncmp(registry, REG, strlen(REG)) == 0;
}

static unsigned version_of(struct region_store *s, const char *registry)
{
    unsigned v = 0;
    ck_assert_int_eq(meta_registry_version(s->m, registry, &v), 0);
    return v;
}

START_TEST(version_1_is_minted_while_a_region_reads_no_other)
{
    begin();
    struct behind old = {.is = true};
    struct feed_entry *e;
    char region[HOSTNAME_REGION_SIZE] = "";
    meta_set_behind(east.m, is_behind, &old);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_uint_eq(feed_all(&east, "eastus", &a, &e), 2);
    ck_assert(e[0].version == 1 && e[1].version == 1 && !e[1].body.n);
    ck_assert_uint_eq(version_of(&east, REG), 1);
    // what version 1 cannot say is refused, and the region is named
    struct put_result r;
    struct manifest_put p = {.registry = REG "@7",
                             .repository = "app",
                             .digest = digest_str("{2}"),
                             .media_type = TYPE,
                             .content = bytes_str("{2}"),
                             .tag = "t"};
    ck_assert_int_eq(meta_manifest_put(east.m, &p, &r), ERR_BEHIND);
    p.registry = REG;
    ck_assert_int_eq(digest_of(DIGEST_SHA512, "{2}", 3, &p.digest), 0);
    ck_assert_int_eq(meta_manifest_put(east.m, &p, &r), ERR_BEHIND);
    ck_assert(meta_behind(east.m, REG, region));
    ck_assert_str_eq(region, "oldregion");
    ck_assert_uint_eq(head_seq(&east, "eastus"), 2); // nothing was written
    // the switch is for good
    old.is = false;
    ck_assert_int_eq(put(&east, "app", "v1", "{3}"), 0);
    ck_assert_uint_eq(version_of(&east, REG), 2);
    ck_assert_uint_eq(version_of(&east, "fabrikam"), 1);
    old.is = true;
    int n_asked = old.n_asked;
    ck_assert_int_eq(put(&east, "app", "v1", "{4}"), 0);
    ck_assert_int_eq(old.n_asked, n_asked);
    reopen(&east);
    meta_set_behind(east.m, is_behind, &old);
    ck_assert_int_eq(put(&east, "app", "v1", "{5}"), 0);
    ck_assert_uint_eq(feed_all(&east, "eastus", &a, &e), 8);
    for (size_t i = 2; i < 8; i++)
        ck_assert(e[i].version == 2 && e[i].registry_seq == i - 1);
    feed_verify(&east, "eastus");
    end();
}
END_TEST

// Another region has begun: all that hold the registry read version 2 then.
START_TEST(what_was_read_switches_too)
{
    begin();
    struct behind old = {.is = true};
    struct feed f = feed_new();
    struct feed_entry e = said_tag(&f, "v1", "{1}");
    meta_set_behind(east.m, is_behind, &old);
    ck_assert_int_eq(take(&east, &e, 1), 0);
    ck_assert_uint_eq(version_of(&east, REG), 2);
    ck_assert_int_eq(put(&east, "app", "v2", "{2}"), 0);
    struct feed_entry *own;
    ck_assert_uint_eq(feed_all(&east, "eastus", &a, &own), 2);
    ck_assert(own[1].version == 2 && own[1].registry_seq == 2);
    end();
}
END_TEST

START_TEST(the_last_word_of_a_region_is_kept)
{
    begin();
    unsigned word = 9;
    ck_assert_int_eq(meta_word_get(east.m, "westeurope", &word), 0);
    ck_assert_uint_eq(word, 0);
    ck_assert_int_eq(meta_word_set(east.m, "westeurope", 1), 0);
    ck_assert_int_eq(meta_word_set(east.m, "westeurope", 2), 0);
    ck_assert_int_eq(meta_word_set(east.m, "westeurope", 2), 0);
    reopen(&east);
    ck_assert_int_eq(meta_word_get(east.m, "westeurope", &word), 0);
    ck_assert_uint_eq(word, 2);
    ck_assert_int_eq(meta_word_get(east.m, "northeu", &word), 0);
    ck_assert_uint_eq(word, 0);
    end();
}
END_TEST

// --- reading: chains ---

START_TEST(what_was_left_out_is_noticed)
{
    begin();
    struct feed f = feed_new();
    struct feed_entry e[5];
    for (size_t i = 0; i < ARRAY_LEN(e); i++)
        e[i] = said_tag(&f, "v1", "{1}");
    ck_assert_int_eq(take(&east, &e[1], 1), ERR_GAP); // not from the beginning
    ck_assert_int_eq(take(&east, &e[0], 2), 0);
    ck_assert_int_eq(take(&east, &e[3], 1), ERR_GAP);
    struct feed_entry forged = e[2]; // the number fits, the hash does not
    forged.registry_prev[0] ^= 1;
    ck_assert_int_eq(take(&east, &forged, 1), ERR_GAP);
    struct feed_entry mixed[] = {e[2], e[4]}; // all or nothing
    ck_assert_int_eq(take(&east, mixed, 2), ERR_GAP);
    struct feed_entry *held;
    ck_assert_uint_eq(feed_all(&east, "westeurope", &a, &held), 2);
    // from the start again: what is held is passed over
    ck_assert_int_eq(meta_read_again(east.m, "westeurope"), 0);
    ck_assert_int_eq(take(&east, e, 5), 0);
    feed_verify(&east, "westeurope");
    ck_assert_uint_eq(jobs_count(&east), 5);
    end();
}
END_TEST

// The origin lost its last entries, and goes on in a new epoch from those that it has.
START_TEST(a_new_epoch_may_go_on_from_an_earlier_entry)
{
    begin();
    struct feed f = feed_new(), lost;
    struct feed_entry e[4];
    e[0] = said_tag(&f, "v1", "{1}");
    lost = f;
    e[1] = said_tag(&f, "v1", "{2}");
    e[2] = said_tag(&f, "v1", "{3}");
    ck_assert_int_eq(take(&east, e, 3), 0);
    lost.stamp = f.stamp;
    lost.epoch = 2;
    lost.seq = 0;
    struct feed middle = lost;
    middle.registry_seq++; // it says that it goes on from one that never was
    e[3] = said_tag(&middle, "v1", "{4}");
    ck_assert_int_eq(take(&east, &e[3], 1), ERR_GAP);
    const struct feed_entry e4 = said_tag(&lost, "v1", "{4}");
    ck_assert_int_eq(take(&east, &e4, 1), 0);
    e[3] = said_tag(&lost, "v1", "{5}");
    ck_assert_int_eq(take(&east, &e[3], 1), 0);
    // what was lost comes back into its places: whoever had not read it reads it from the start
    ck_assert_int_eq(take(&west, &e[0], 1), ERR_INVAL); // its own
    meta_close(west.m);
    store_lose(&west);
    memory_db_free(west.db);
    west.region = "northeu";
    west.db = NULL;
    store_reopen(&west);
    ck_assert_int_eq(take(&west, &e[0], 1), 0);
    ck_assert_int_eq(take(&west, &e[3], 1), ERR_GAP);
    ck_assert_int_eq(take(&west, &e4, 1), 0);
    ck_assert_int_eq(take(&west, &e[3], 1), 0);
    ck_assert_int_eq(take(&west, &e[2], 1), ERR_GAP);
    ck_assert_int_eq(take(&west, &e[1], 2), 0);
    // and with everything lost, from the beginning
    struct feed fresh = feed_new();
    fresh.epoch = 3;
    fresh.stamp = lost.stamp;
    e[3] = said_tag(&fresh, "v1", "{6}");
    ck_assert_int_eq(take(&east, &e[3], 1), 0);
    end();
}
END_TEST

// What a revoked key signed is left out of feeds: what follows has a gap before it.
START_TEST(a_gap_behind_a_revocation_is_taken)
{
    begin();
    struct feed f = feed_new();
    struct feed_entry e[3];
    for (size_t i = 0; i < ARRAY_LEN(e); i++)
        e[i] = said_tag(&f, "v1", "{1}");
    e[1].key = "stolen";
    ck_assert_int_eq(take(&east, e, 1), 0);
    ck_assert_int_eq(take(&east, &e[2], 1), ERR_GAP);
    struct meta_revocation r = {.origin = "westeurope", .key = "stolen", .epoch = 1, .seq = 1};
    memcpy(r.hash, e[0].hash, sizeof r.hash);
    struct meta_revoked done;
    ck_assert_int_eq(meta_revoke(east.m, &r, 1, &done), 0);
    ck_assert_int_eq(take(&east, &e[1], 1), ERR_AUTH);
    ck_assert_int_eq(take(&east, &e[2], 1), 0);
    end();
}
END_TEST

// --- reading: what is not known ---

static size_t unknown_of(struct region_store *s, struct unknown_row **out)
{
    size_t n;
    ck_assert_int_eq(meta_unknown_list(s->m, REG, &a, out, &n), 0);
    return n;
}

START_TEST(what_is_not_known_is_kept_and_relayed)
{
    begin();
    struct feed f = feed_new();
    struct feed_entry e[] = {said(&f, "app", UNKNOWN), said_tag(&f, "v1", "{1}"),
                             said(&f, "app", UNKNOWN), said(&f, "lib", UNKNOWN)};
    struct feed_entry *held;
    struct unknown_row *rows;
    ck_assert_int_eq(take(&east, e, ARRAY_LEN(e)), 0);
    ck_assert_uint_eq(jobs_count(&east), 1); // the tag alone
    ck_assert_uint_eq(unknown_of(&east, &rows), 2);
    struct unknown_count count;
    ck_assert_int_eq(meta_unknown_count(east.m, &count), 0);
    ck_assert_uint_eq(count.n, 3);
    ck_assert_uint_eq(count.n_must, 0);
    ck_assert_str_eq(rows[0].repository, "app");
    ck_assert_str_eq(rows[0].attribute, "hold");
    ck_assert_str_eq(rows[0].origin, "westeurope");
    ck_assert(rows[0].n == 2 && !rows[0].must);
    ck_assert_str_eq(rows[1].repository, "lib");
    ck_assert_uint_eq(rows[1].n, 1);
    ck_assert_uint_eq(feed_all(&east, "westeurope", &a, &held), 4);
    for (size_t i = 0; i < 4; i++)
        ck_assert(bytes_equal(held[i].body, e[i].body));
    ck_assert_int_eq(held[0].kind, ENTRY_UNKNOWN);
    feed_verify(&east, "westeurope");
    ck_assert_int_eq(put(&east, "app", "v2", "{2}"), 0); // nothing is frozen
    // it counts as applied
    struct origin_status *o;
    size_t n;
    struct feed g = feed_new();
    struct feed_entry only = said(&g, "app", UNKNOWN);
    ck_assert_int_eq(take(&west, &only, 1), ERR_INVAL); // its own
    ck_assert_int_eq(meta_origins(east.m, &a, &o, &n), 0);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(o[0].read.seq, 4);
    ck_assert_uint_eq(o[0].applied.seq, 1); // up to the tag's job
    reopen(&east);
    ck_assert_uint_eq(jobs_count(&east), 1);
    end();
}
END_TEST

// No person and no rule deletes or locks anything in it.
static void expect_frozen(void)
{
    struct digest one = digest_str("{1}");
    struct delete_result r;
    struct tag_detail t;
    uint64_t stamp;
    const struct delete_request tag = {.registry = REG, .repository = "app", .tag = "v1"},
                                manifest = {.registry = REG, .repository = "app", .digest = &one};
    const struct lock_request lock = {.registry = REG, .repository = "app", .del = true};
    ck_assert_int_eq(meta_tag_delete(east.m, &tag, &a, &r), ERR_FROZEN);
    ck_assert_int_eq(meta_manifest_delete(east.m, &manifest, &a, &r), ERR_FROZEN);
    ck_assert_int_eq(meta_lock_set(east.m, &lock, &stamp), ERR_FROZEN);
    ck_assert_int_eq(meta_tag_detail(east.m, REG, "app", "v1", &a, &t), 0);
    const struct rule_delete rule = {.registry = REG,
                                     .repository = "app",
                                     .tag = "v1",
                                     .stamp = t.stamp,
                                     .epoch = t.epoch,
                                     .origin = t.origin,
                                     .rule = "keep-last"};
    ck_assert_int_eq(meta_rule_delete(east.m, &rule, &stamp), ERR_FROZEN);
}

START_TEST(what_must_be_known_freezes_its_repository)
{
    begin();
    struct feed f = feed_new();
    struct unknown_row *rows;
    struct feed_entry e = said(&f, "app", UNKNOWN_MUST), later = said_tag(&f, "v1", "{1}");
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    ck_assert_int_eq(meta_frozen(east.m, REG, "app"), 0);
    ck_assert_int_eq(take(&east, &e, 1), 0);
    ck_assert_int_eq(meta_frozen(east.m, REG, "app"), ERR_FROZEN);
    ck_assert_int_eq(meta_frozen(east.m, REG, "lib"), 0);
    ck_assert_int_eq(meta_frozen(east.m, "fabrikam", "app"), 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{2}"), ERR_FROZEN);
    ck_assert_int_eq(put(&east, "app", NULL, "{1}"), ERR_FROZEN);
    ck_assert_int_eq(put(&east, "lib", "v1", "{2}"), 0);
    expect_frozen();
    expect_tag(&east, "app", "v1", "{1}"); // reading goes on
    ck_assert_uint_eq(unknown_of(&east, &rows), 1);
    ck_assert(rows[0].must);
    ck_assert_int_eq(take(&east, &later, 1), 0); // and so does what others write
    ck_assert_uint_eq(jobs_count(&east), 1);
    reopen(&east);
    ck_assert_int_eq(put(&east, "app", "v1", "{2}"), ERR_FROZEN);
    end();
}
END_TEST

// Nor is anything collected there.
START_TEST(nothing_of_a_frozen_repository_is_collected)
{
    begin();
    struct feed f = feed_new();
    struct feed_entry e = said(&f, "app", UNKNOWN_MUST);
    struct digest d = digest_str("layer");
    struct blob_here here;
    struct collect_counts c = {0};
    struct collect_item *items;
    const char *after;
    size_t n;
    ck_assert_int_eq(lease_give(east.m, REG, "app", &d, 5, NULL), 0);
    ck_assert_int_eq(lease_give(east.m, REG, "lib", &d, 5, NULL), 0);
    ck_assert_int_eq(take(&east, &e, 1), 0);
    meta_set_lease_grace(east.m, 0);
    clock_sleep_ms(2);
    ck_assert_int_eq(meta_collect_plan(east.m, REG, "", 9, &a, &items, &n, &after), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_ptr_nonnull(strstr(items[0].why, "freezes the repository"));
    ck_assert_int_eq(meta_collect_leases(east.m, 9, &c), 0);
    ck_assert_uint_eq(c.n_leases, 1);
    ck_assert_uint_eq(c.n_condemned, 0);
    ck_assert_int_eq(meta_blob_look(east.m, REG, "app", &d, &here), 0);
    ck_assert_int_eq(meta_blob_look(east.m, REG, "lib", &d, &here), ERR_NOTFOUND);
    end();
}
END_TEST

START_TEST(a_whole_registry_can_be_frozen)
{
    begin();
    struct feed f = feed_new();
    struct feed_entry e = said(&f, "", "must=1\nsubject=registry:\nattribute=sealed\nvalue=1\n");
    ck_assert_int_eq(take(&east, &e, 1), 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), ERR_FROZEN);
    ck_assert_int_eq(meta_frozen(east.m, REG, "lib"), ERR_FROZEN);
    ck_assert_int_eq(meta_frozen(east.m, "fabrikam", "lib"), 0);
    end();
}
END_TEST

// One that announces what was not before it: without any effect, but no gap either.
START_TEST(what_is_malformed_is_kept_without_effect)
{
    begin();
    struct feed f = feed_new();
    struct unknown_row *rows;
    const char *tail = arena_printf(
        &a,
        "must=1\nsubject=tag:v1\nattribute=value\nvalue={\"gone\":true,\"judged\":{\"stamp\":"
        "\"%" PRIu64 "\",\"origin\":\"eastus\",\"epoch\":1}}\n",
        f.stamp + 1000);
    struct feed_entry e[] = {said(&f, "app", tail), said_tag(&f, "v1", "{1}")};
    ck_assert(entry_malformed(&e[0]));
    ck_assert_int_eq(take(&east, e, 2), 0);
    ck_assert_uint_eq(jobs_count(&east), 1);
    ck_assert_uint_eq(unknown_of(&east, &rows), 0);
    ck_assert_int_eq(put(&east, "app", "v1", "{2}"), 0);
    feed_verify(&east, "westeurope");
    reopen(&east);
    ck_assert_uint_eq(jobs_count(&east), 1);
    // of version 1 they are refused, as ever
    struct feed_entry old = {.origin = "northeu",
                             .epoch = 1,
                             .seq = 1,
                             .stamp = 7,
                             .restates = 7,
                             .kind = ENTRY_TAG,
                             .registry = REG,
                             .repository = "app",
                             .tag = "t",
                             .digest = digest_str("{1}"),
                             .key = "k"};
    ck_assert_int_eq(take(&east, &old, 1), ERR_INVAL);
    end();
}
END_TEST

// --- after an upgrade ---

// The program that took these entries knew no tags, says its database.
static void forget_tags(struct region_store *s)
{
    sqlite3 *h;
    meta_close(s->m);
    ck_assert_int_eq(sqlite3_open(s->path, &h), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(h,
                                  "DELETE FROM tasks WHERE kind=0; UPDATE feed SET kind=0,freezes=1"
                                  " WHERE origin='westeurope'",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
    s->m = NULL;
}

START_TEST(what_is_known_by_now_becomes_a_job)
{
    NEEDS_SQLITE;
    enum { N = 1100 }; // more than one piece
    begin();
    struct feed f = feed_new();
    struct feed_entry *e = arena_array(&a, N, sizeof *e);
    struct unknown_row *rows;
    for (size_t i = 0; i < N; i++)
        e[i] = i % 2 ? said(&f, "app", UNKNOWN) : said_tag(&f, "v1", "{1}");
    ck_assert_int_eq(put(&east, "app", NULL, "{1}"), 0);
    ck_assert_int_eq(take(&east, e, N), 0);
    forget_tags(&east);
    store_reopen(&east);
    struct job *jobs;
    struct digest missing;
    size_t n;
    int64_t next;
    ck_assert_int_eq(meta_jobs_due(east.m, clock_mono_ms(), N, &a, &jobs, &n, &next), 0);
    ck_assert_uint_eq(n, N / 2);
    ck_assert_int_eq(jobs[0].entry.kind, ENTRY_TAG);
    ck_assert_str_eq(jobs[0].entry.tag, "v1");
    ck_assert_uint_eq(unknown_of(&east, &rows), 1); // and the rest stays as it is
    ck_assert_uint_eq(rows[0].n, N / 2);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(meta_apply(east.m, &jobs[i].entry, (struct bytes){0}, NULL, 0, &missing),
                         0);
    expect_tag(&east, "app", "v1", "{1}");
    ck_assert_uint_eq(jobs_count(&east), 0);
    feed_verify(&east, "westeurope");
    reopen(&east);
    ck_assert_uint_eq(jobs_count(&east), 0);
    end();
}
END_TEST

// What was deleted everywhere before the upgrade does not come back with it.
START_TEST(what_is_known_by_now_is_judged_by_the_floor)
{
    NEEDS_SQLITE;
    begin();
    struct feed f = feed_new();
    struct feed_entry e = said_tag(&f, "v1", "{1}");
    struct meta_floor floor;
    ck_assert_int_eq(put(&east, "app", NULL, "{1}"), 0);
    ck_assert_int_eq(take(&east, &e, 1), 0);
    forget_tags(&east);
    store_reopen(&east);
    ck_assert_uint_eq(jobs_count(&east), 1);
    ck_assert_int_eq(meta_floor_raise(east.m, REG, e.stamp), 0);
    forget_tags(&east);
    store_reopen(&east);
    ck_assert_int_eq(meta_floor_get(east.m, REG, &floor), 0);
    ck_assert_uint_eq(floor.floor, e.stamp);
    ck_assert_uint_eq(floor.n_refused, 1);
    ck_assert_uint_eq(jobs_count(&east), 0);
    expect_tag(&east, "app", "v1", NULL);
    end();
}
END_TEST

// --- recovery ---

// Own entries come back from a peer: the chain goes on, in version 2, also when the peer's copy is
// all that says that it had begun.
START_TEST(a_chain_goes_on_after_a_recovery)
{
    begin();
    struct behind old = {.is = true};
    struct feed_entry *e, *after;
    struct recovered done;
    size_t n;
    ck_assert_int_eq(put(&east, "app", "v1", "{1}"), 0);
    n = feed_all(&east, "eastus", &a, &e);
    struct feed_mark upto = entry_mark(&e[n - 1]);
    ck_assert_int_eq(meta_ingest(west.m, "eastus", e, n, &upto), 0);
    meta_close(east.m);
    store_lose(&east);
    store_reopen(&east);
    meta_set_behind(east.m, is_behind, &old);
    n = feed_all(&west, "eastus", &a, &e);
    ck_assert_int_eq(meta_recover(east.m, e, n, &done), 0);
    ck_assert_uint_eq(done.n_put_back, 2);
    ck_assert_uint_eq(version_of(&east, REG), 2);
    ck_assert_int_eq(put(&east, "app", "v2", "{2}"), 0);
    n = feed_all(&east, "eastus", &a, &after);
    for (size_t i = 0; i < n; i++)
        ck_assert(after[i].version == 2 && after[i].registry_seq == i + 1);
    feed_verify(&east, "eastus");
    upto = entry_mark(&after[n - 1]);
    ck_assert_int_eq(meta_ingest(west.m, "eastus", after, n, &upto), 0);
    feed_verify(&west, "eastus");
    end();
}
END_TEST

CHECK_MAIN("store/meta chain", own_entries_are_a_chain_in_each_registry,
           version_1_is_minted_while_a_region_reads_no_other, what_was_read_switches_too,
           the_last_word_of_a_region_is_kept, what_was_left_out_is_noticed,
           a_new_epoch_may_go_on_from_an_earlier_entry, a_gap_behind_a_revocation_is_taken,
           what_is_not_known_is_kept_and_relayed, what_must_be_known_freezes_its_repository,
           nothing_of_a_frozen_repository_is_collected, a_whole_registry_can_be_frozen,
           what_is_malformed_is_kept_without_effect, what_is_known_by_now_becomes_a_job,
           what_is_known_by_now_is_judged_by_the_floor, a_chain_goes_on_after_a_recovery)
