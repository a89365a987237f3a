// SPDX-License-Identifier: Apache-2.0
// Damaged blobs: a source that gives wrong bytes is named and told, verifies, sets the blob aside
// and gets it back from elsewhere; a region that lies about damage costs little.
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/files/files.h"
#include "store/files/files_test.h"
#include "tests/support/check_main.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

// The generation that serves.
static struct blob_name name_of(struct test_region *r, const struct digest *d)
{
    struct blob_name name;
    uint64_t size;
    ck_assert_int_eq(meta_blob_find(r->meta, d, &name, &size), 0);
    return name;
}

static char *blob_path(struct test_region *r, const struct digest *d)
{
    AUTO_FREE char *dir = mem_printf("%s/store", r->dir);
    struct blob_name name = name_of(r, d);
    return files_test_path(dir, &name);
}

static bool is_absent(struct test_region *r, const struct digest *d)
{
    struct blob_name name = name_of(r, d);
    uint64_t size;
    return blob_stat(r->blobs, &name, &size) == ERR_NOTFOUND;
}

// The first layer of an image that region_push made from `seed`.
static void layer_of(struct test_region *r, const struct digest *manifest, struct digest *out)
{
    struct arena a;
    struct manifest_row row;
    struct manifest m;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_manifest_get(r->meta, "contoso", "app", NULL, manifest, &a, &row), 0);
    ck_assert_int_eq(manifest_parse(row.content, row.media_type, &a, NULL, &m), 0);
    *out = m.refs[1].digest;
    arena_done(&a);
}

static void damage(struct test_region *r, const struct digest *d)
{
    char b[10];
    AUTO_FREE char *path = blob_path(r, d);
    int fd = open(path, O_RDWR);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(pread(fd, b, sizeof b, 100), sizeof b);
    for (size_t i = 0; i < sizeof b; i++)
        b[i] = (char)~b[i];
    ck_assert_int_eq(pwrite(fd, b, sizeof b, 100), sizeof b);
    close(fd);
}

static bool is_whole(struct test_region *r, const struct digest *d)
{
    struct blob_name name = name_of(r, d);
    return blob_verify(r->blobs, &name, 0, NULL) == 0;
}

// Without setting it aside.
static bool is_whole_now(struct test_region *r, const struct digest *d)
{
    AUTO_FREE char *path = blob_path(r, d);
    struct buf text;
    struct digest is;
    buf_init(&text, 0);
    ck_assert_int_eq(file_read(path, 1 << 20, &text), 0);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, text.p, text.n, &is), 0);
    buf_done(&text);
    return digest_equal(&is, d);
}

static bool row_names_wrong_bytes(struct test_region *at, const char *origin,
                                  const struct digest *d)
{
    char text[DIGEST_TEXT_SIZE];
    json_t *row = row_of(at, "contoso", origin);
    const char *last =
        json_string_value(json_object_get(json_object_get(row, "wrongBytes"), "last"));
    bool names = last && strstr(last, digest_format(d, text));
    json_decref(row);
    return names;
}

static bool faults_say(struct test_region *at, const char *words)
{
    char *text = NULL;
    json_t *list = replicator_faults_json(at->replicator);
    text = json_dumps(list, 0);
    bool say = text && strstr(text, words);
    free(text);
    json_decref(list);
    return say;
}

// What is said to those who see `registry` alone; NULL: no registry.
static bool told(struct test_region *at, const char *registry, const char *words)
{
    json_t *list = replicator_faults_for(at->replicator, registry);
    char *text = json_dumps(list, 0);
    bool says = text && strstr(text, words);
    free(text);
    json_decref(list);
    return says;
}

// West is away while east and south hold an image, and east's copy is damaged.
static void image_damaged_at_its_origin(struct digest *manifest, struct digest *layer)
{
    world_up(&w);
    region_cut(west, true);
    region_down(west);
    region_push(east, "contoso", "app", "1", 1, 1, 50000, 0, manifest);
    WAIT_FOR(region_has(south, "contoso", "app", "1", manifest), 10000);
    layer_of(east, manifest, layer);
    damage(east, layer);
}

START_TEST(a_damaged_source_is_named_told_and_mended)
{
    struct digest d, layer;
    image_damaged_at_its_origin(&d, &layer);
    region_cut(west, false);
    region_up(west);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 20000); // from south
    ck_assert(is_whole(west, &layer));
    ck_assert(row_names_wrong_bytes(west, "eastus", &layer));
    WAIT_FOR(is_whole(east, &layer), 20000); // east was told, found it, and got it back
    WAIT_FOR(!faults_say(east, "damaged"), 10000);
    world_done(&w);
}
END_TEST

// A region of the version before does not know how to be told. Nothing else is different for that.
START_TEST(a_source_of_the_version_before_is_named_only)
{
    struct digest d, layer, later;
    image_damaged_at_its_origin(&d, &layer);
    east->knows_no_damage = true;
    region_cut(west, false);
    region_up(west);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 20000);
    ck_assert(row_names_wrong_bytes(west, "eastus", &layer));
    WAIT_FOR(east->n_notices == 1, 10000);
    region_push(east, "contoso", "app", "2", 2, 1, 1000, 0, &later);
    WAIT_FOR(region_has(west, "contoso", "app", "2", &later), 10000);
    ck_assert_uint_eq(east->n_notices, 1);
    ck_assert(!is_whole_now(east, &layer));
    world_done(&w);
}
END_TEST

// Nobody has it: it is absent, said to be damaged, and mended by whoever brings it, also after a
// restart.
START_TEST(what_nobody_can_give_stays_absent_until_it_is_pushed)
{
    struct digest d, layer, again;
    world_up(&w);
    region_cut(south, true);
    region_down(south);
    region_cut(west, true);
    region_down(west);
    region_push(east, "contoso", "app", "1", 1, 1, 50000, 0, &d);
    layer_of(east, &d, &layer);
    damage(east, &layer);
    region_cut(west, false);
    west->absent_ms = 1000;
    region_up(west);
    WAIT_FOR(is_absent(east, &layer), 20000);
    WAIT_FOR(faults_say(east, "is damaged or lost here and set aside"), 10000);
    // other regions, and those who see other registries, get no names of it
    char sentence[1024];
    ck_assert(told(east, "contoso", "contoso/app") && !told(east, "fabrikam", "contoso"));
    ck_assert(!told(east, NULL, "contoso"));
    ck_assert_uint_eq(replicator_damaged(east->replicator, sentence, sizeof sentence), 1);
    ck_assert(!strstr(sentence, "contoso") && !strstr(sentence, "sha256"));
    // it is not there, or who is away may have it
    WAIT_FOR(!error_has(west, "eastus", "wrong bytes"), 30000);
    region_down(east);
    region_up(east);
    WAIT_FOR(faults_say(east, "is damaged or lost here and set aside"), 10000);
    region_push(east, "contoso", "app", "2", 1, 1, 50000, 10, &again); // of the same layer
    ck_assert(is_whole(east, &layer));
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 40000);
    WAIT_FOR(!faults_say(east, "damaged"), 10000);
    world_done(&w);
}
END_TEST

// The lie: all that is asked for is changed on its way. East's file is whole; it says so, and stops
// listening to west.
START_TEST(a_false_claim_costs_one_reading)
{
    struct digest d, layer;
    char target[512], text[DIGEST_TEXT_SIZE];
    world_up(&w);
    region_push(east, "contoso", "app", "1", 1, 8, 50000, 0, &d);
    WAIT_FOR(region_has(south, "contoso", "app", "1", &d), 10000);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 10000);
    layer_of(east, &d, &layer);
    const char *form = "/replication/v1/damaged?registry=%s&repository=app&digest=%s";
    snprintf(target, sizeof target, form, "contoso", digest_format(&layer, text));
    ck_assert_int_eq(region_ask(east, west, NULL, target, "x", NULL), 405);
    ck_assert_int_eq(
        region_ask(east, west, "POST", "/replication/v1/damaged?registry=contoso", "x", NULL), 400);
    ck_assert_int_eq(region_ask(east, west, "POST", target, "x", NULL), 202);
    int status = 0;
    WAIT_FOR((status = region_ask(east, west, "POST", target, "x", NULL)) == 429, 10000);
    // others are listened to
    ck_assert_int_eq(region_ask(east, south, "POST", target, "x", NULL), 202);
    ck_assert(is_whole(east, &layer));
    ck_assert(!faults_say(east, "damaged"));
    snprintf(target, sizeof target, form, "fabrikam", text); // not west's
    ck_assert_int_eq(region_ask(east, west, "POST", target, "x", NULL), 403);
    snprintf(target, sizeof target, form, "contoso", "sha256:xx");
    ck_assert_int_eq(region_ask(east, south, "POST", target, "x", NULL), 400);
    world_done(&w);
}
END_TEST

// A partial copy of before is damaged, its source is not: the source is asked for the whole, and
// not blamed.
START_TEST(a_source_is_not_blamed_for_bytes_of_before)
{
    struct digest d, layer;
    struct blob_upload *u;
    char junk[1000] = "junk";
    world_up(&w);
    region_cut(west, true);
    region_down(west);
    region_cut(south, true);
    region_push(east, "contoso", "app", "1", 1, 1, 50000, 0, &d);
    layer_of(east, &d, &layer);
    region_cut(west, false);
    struct blob_store *bs;
    char path[400];
    snprintf(path, sizeof path, "%s/store", west->dir);
    ck_assert_int_eq(blob_files_open(path, &bs), 0);
    ck_assert_int_eq(blob_partial_open(bs, &layer, &u), 0);
    ck_assert_int_eq(blob_upload_write(u, junk, sizeof junk), 0);
    blob_upload_close(u);
    blob_store_close(bs);
    region_up(west);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 20000);
    ck_assert_uint_ge(east->n_ranges, 1);
    ck_assert(is_whole(west, &layer));
    ck_assert(!row_names_wrong_bytes(west, "eastus", &layer));
    world_done(&w);
}
END_TEST

// A lost file is fetched anew, too, once somebody missed it.
START_TEST(a_lost_blob_is_fetched_anew)
{
    struct digest d, layer;
    char target[512], text[DIGEST_TEXT_SIZE];
    world_up(&w);
    region_push(east, "contoso", "app", "1", 1, 1, 50000, 0, &d);
    WAIT_FOR(region_has(south, "contoso", "app", "1", &d), 10000);
    layer_of(east, &d, &layer);
    AUTO_FREE char *path = blob_path(east, &layer);
    ck_assert_int_eq(unlink(path), 0);
    snprintf(target, sizeof target,
             "/replication/v1/damaged?registry=contoso&repository=app&digest=%s",
             digest_format(&layer, text));
    ck_assert_int_eq(region_ask(east, south, "POST", target, "x", NULL), 202);
    WAIT_FOR(is_whole(east, &layer), 20000);
    world_done(&w);
}
END_TEST

// Other bytes in the place of the manifest's own, as a disk or a person leaves them.
static void manifest_damage(struct test_region *r, const struct digest *d)
{
    sqlite3 *h;
    AUTO_FREE char *path = mem_printf("%s/meta.db", r->dir);
    char hex[DIGEST_HEX_SIZE], sql[300], *error = NULL;
    hex_format(d->b, d->n, hex);
    snprintf(sql, sizeof sql,
             "UPDATE manifests SET content=x'7b7d'||substr(content,3)"
             " WHERE substr(lower(hex(digest)),3)='%s'",
             hex);
    ck_assert_int_eq(sqlite3_open(path, &h), SQLITE_OK);
    ck_assert_int_eq(sqlite3_busy_timeout(h, 30000), SQLITE_OK);
    int rc = sqlite3_exec(h, sql, NULL, NULL, &error);
    ck_assert_msg(rc == SQLITE_OK, "%s", error);
    ck_assert_int_eq(sqlite3_changes(h), 1);
    ck_assert_int_eq(sqlite3_close(h), SQLITE_OK);
}

static bool manifest_is_whole(struct test_region *r, const struct digest *d)
{
    struct arena a;
    struct manifest_row row;
    struct digest is;
    arena_init(&a, 0);
    ck_assert_int_eq(meta_manifest_get(r->meta, "contoso", "app", NULL, d, &a, &row), 0);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, row.content.p, row.content.n, &is), 0);
    arena_done(&a);
    return digest_equal(&is, d);
}

// While nobody else is there it is said; it comes with the first region that has it.
START_TEST(a_damaged_manifest_is_fetched_anew)
{
    struct digest d;
    char sentence[1024];
    world_up(&w);
    region_push(east, "contoso", "app", "1", 1, 1, 5000, 0, &d);
    WAIT_FOR(region_has(south, "contoso", "app", "1", &d), 10000);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 10000);
    for (int i = 0; i < 2; i++) { // also soon after it was mended
        manifest_damage(west, &d);
        ck_assert(!manifest_is_whole(west, &d));
        replicator_suspect(west->replicator, "contoso", "app", &d);
        WAIT_FOR(manifest_is_whole(west, &d), 20000);
        WAIT_FOR(!replicator_damaged(west->replicator, sentence, sizeof sentence), 10000);
    }
    region_cut(south, true);
    region_cut(west, true);
    manifest_damage(east, &d);
    struct digest others = d;
    others.b[0] ^= 1;
    replicator_suspect(east->replicator, "contoso", "app", &others); // there is none
    replicator_suspect(east->replicator, "contoso", "app", &d);
    WAIT_FOR(faults_say(east, "is damaged here and not served: it is fetched anew"), 20000);
    ck_assert(told(east, "contoso", "contoso/app") && !told(east, NULL, "contoso"));
    ck_assert_uint_eq(replicator_damaged(east->replicator, sentence, sizeof sentence), 1);
    ck_assert_ptr_nonnull(strstr(sentence, "0 blobs and 1 manifests"));
    region_cut(south, false);
    WAIT_FOR(manifest_is_whole(east, &d), 60000);
    WAIT_FOR(!faults_say(east, "damaged"), 10000);
    ck_assert_uint_eq(replicator_damaged(east->replicator, sentence, sizeof sentence), 0);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/mender", a_damaged_source_is_named_told_and_mended,
           a_source_of_the_version_before_is_named_only,
           what_nobody_can_give_stays_absent_until_it_is_pushed, a_false_claim_costs_one_reading,
           a_source_is_not_blamed_for_bytes_of_before, a_lost_blob_is_fetched_anew,
           a_damaged_manifest_is_fetched_anew)
