// SPDX-License-Identifier: Apache-2.0
// What a member says that it holds of a region that is to be forgotten: the writer believes an entry that
// this region signed, and nothing else.
#include "replication/origin_word.h"

#include "base/err.h"
#include "replication/replication_priv.h"
#include "tests/support/check_main.h"
#include "tests/unit/replication/liar.h"

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];

static int hears(const json_t *doc, struct origin_word *out)
{
    struct topology *t = snapshot_get(&west->topology);
    AUTO_FREE char *text = json_dumps(doc, 0);
    *out = (struct origin_word){.heard = true};
    int rc = origin_word_read(west->replicator, t, bytes_str(text), south->name, east->name, out);
    snapshot_unref(t);
    return rc;
}

// South's true word, once it has an image of east.
static json_t *word_of_south(void)
{
    struct digest d;
    json_t *doc = NULL;
    world_up(&w);
    region_push(east, "contoso", "app", "1", 1, 1, 5000, 0, &d);
    WAIT_FOR(region_has(south, "contoso", "app", "1", &d), 30000);
    ck_assert_int_eq(origin_word_say(south->replicator, east->name, &doc), 0);
    return doc;
}

START_TEST(an_entry_that_is_held_is_believed)
{
    struct origin_word word;
    struct feed_mark head;
    json_t *doc = word_of_south();
    ck_assert_int_eq(meta_head(south->meta, east->name, &head), 0);
    ck_assert_uint_gt(head.seq, 0);
    ck_assert_int_eq(hears(doc, &word), 0);
    ck_assert_uint_eq(word.head.epoch, head.epoch);
    ck_assert_uint_eq(word.head.seq, head.seq);
    ck_assert_mem_eq(word.head.hash, head.hash, sizeof head.hash);
    ck_assert(word.heard);
    json_decref(doc);
    // nothing is held of it, and that is said too
    ck_assert_int_eq(origin_word_say(west->replicator, south->name, &doc), 0);
    ck_assert_ptr_null(json_object_get(doc, "entry"));
    json_decref(doc);
    world_done(&w);
}
END_TEST

static int hears_with(const json_t *doc, const char *member, const char *text)
{
    struct origin_word word;
    json_t *other = json_deep_copy(doc);
    if (text)
        json_object_set_new(other, member, json_string(text));
    else
        json_object_del(other, member);
    int rc = hears(other, &word);
    json_decref(other);
    return rc;
}

// An entry behind the head, as the region `by` signs it, at this stamp and in this epoch.
static int hears_entry(const json_t *doc, struct test_region *by, uint64_t epoch, uint64_t stamp)
{
    char cur[CURSOR_TEXT_SIZE];
    const struct feed_mark before = {.epoch = epoch, .seq = 6};
    struct feed_mark at = {.epoch = epoch, .seq = 7};
    struct feed_entry e = liar_entry(east, &before, stamp, "app", "9");
    AUTO_BUF struct buf line;
    buf_init(&line, ENTRY_LINE_MAX);
    liar_sign(by, before.hash, &e);
    liar_line(&e, &line);
    line.n--;
    memcpy(at.hash, e.hash, sizeof at.hash);
    json_t *other = json_deep_copy(doc);
    json_object_set_new(other, "head", json_string(cursor_format(&at, cur)));
    json_object_set_new(other, "entry", json_stringn(line.p, line.n));
    struct origin_word word;
    int rc = hears(other, &word);
    json_decref(other);
    return rc;
}

START_TEST(a_place_that_nobody_signed_is_not_believed)
{
    char cur[CURSOR_TEXT_SIZE];
    struct feed_mark far = {.epoch = INT64_MAX, .seq = 1}, head;
    json_t *doc = word_of_south();
    far.hash[0] = 7;
    ck_assert_int_eq(hears_with(doc, "head", cursor_format(&far, cur)), ERR_PROTO);
    ck_assert_int_eq(hears_with(doc, "entry", NULL), ERR_PROTO);
    ck_assert_int_eq(hears_with(doc, "entry", "{}"), ERR_PROTO);
    ck_assert_int_eq(hears_with(doc, "region", "westeurope"), ERR_PROTO);
    ck_assert_int_eq(hears_with(doc, "of", "westeurope"), ERR_PROTO);
    // of the same place another hash
    ck_assert_int_eq(meta_head(south->meta, east->name, &head), 0);
    head.hash[3] ^= 1;
    ck_assert_int_eq(hears_with(doc, "head", cursor_format(&head, cur)), ERR_PROTO);
    // signed by east it counts; by the member that says it, or in the future, it does not
    ck_assert_int_eq(hears_entry(doc, east, 1, stamp_in_ms(-1000)), 0);
    ck_assert_int_eq(hears_entry(doc, south, 1, stamp_in_ms(-1000)), ERR_AUTH);
    ck_assert_int_eq(hears_entry(doc, south, INT64_MAX, stamp_in_ms(-1000)), ERR_AUTH);
    ck_assert_int_eq(hears_entry(doc, east, 1, stamp_in_ms(86400000)), ERR_AHEAD);
    json_decref(doc);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/origin_word", an_entry_that_is_held_is_believed,
           a_place_that_nobody_signed_is_not_believed)
