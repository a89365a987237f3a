// SPDX-License-Identifier: Apache-2.0
// replication/speech: who holds a registry and speaks version 1 holds its entries back; the last
// word of a region counts, also after a restart.
#include "replication/speech.h"

#include "base/err.h"
#include "store/meta_speaks.h"
#include "tests/support/check_main.h"
#include "tests/support/memory_backend.h"
#include "tests/unit/replication/feed_fixture.h"

static struct snapshot topology;
static struct memory_db *db;
static struct meta *meta;
static struct speech *speech;

static int no_sign(void *ctx, const void *p, size_t n, uint8_t sig[ENTRY_SIG_BYTES])
{
    (void)ctx;
    (void)p;
    (void)n;
    memset(sig, 0, ENTRY_SIG_BYTES);
    return 0;
}

static void up(void)
{
    const struct meta_options o = {.region = "eastus", .key_id = "eastus-feed-1", .sign = no_sign};
    ck_assert_int_eq(memory_meta_open(db, &o, &meta), 0);
    ck_assert_int_eq(speech_new("eastus", &topology, meta, &speech), 0);
}

static void down(void)
{
    speech_free(speech);
    meta_close(meta);
}

static void begin(void)
{
    snapshot_init(&topology);
    snapshot_publish(&topology, fixture_topology());
    db = memory_db_new("eastus");
    up();
}

static void end(void)
{
    down();
    memory_db_free(db);
    snapshot_done(&topology);
}

// Who holds the registry back; "" nobody.
static const char *behind(const char *registry)
{
    static char region[HOSTNAME_REGION_SIZE];
    region[0] = '\0';
    ck_assert_int_eq(speech_is_behind(speech, registry, region), region[0] != '\0');
    return region;
}

START_TEST(whoever_was_never_heard_is_behind)
{
    begin();
    ck_assert_str_eq(behind("contoso"), "westeurope"); // the first in the topology's order
    ck_assert_str_eq(behind("fabrikam"), "southeastasia");
    speech_heard(speech, "westeurope", 2);
    ck_assert_str_eq(behind("contoso"), "southeastasia");
    speech_heard(speech, "southeastasia", 7); // a later program
    ck_assert_str_eq(behind("contoso"), "");
    ck_assert_uint_eq(speech_of(speech, "southeastasia"), 2);
    ck_assert_str_eq(behind("nobody"), ""); // not in the topology
    end();
}
END_TEST

START_TEST(the_last_word_counts)
{
    begin();
    speech_heard(speech, "westeurope", 2);
    speech_heard(speech, "southeastasia", 2);
    speech_heard(speech, "southeastasia", 0); // it says nothing
    ck_assert_str_eq(behind("contoso"), "southeastasia");
    ck_assert_uint_eq(speech_of(speech, "southeastasia"), 1);
    speech_heard(speech, "eastus", 1); // itself
    speech_heard(speech, "southeastasia", 2);
    ck_assert_str_eq(behind("contoso"), "");
    end();
}
END_TEST

START_TEST(words_outlive_a_restart)
{
    begin();
    speech_heard(speech, "westeurope", 2);
    speech_heard(speech, "southeastasia", 1);
    ck_assert_int_eq(speech_keep(speech), 0);
    uint64_t n = memory_db_n_commits(db);
    ck_assert_int_eq(speech_keep(speech), 0);
    speech_heard(speech, "westeurope", 2);
    ck_assert_int_eq(speech_keep(speech), 0);
    ck_assert_uint_eq(memory_db_n_commits(db), n); // nothing is new
    down();
    up();
    ck_assert_uint_eq(speech_of(speech, "westeurope"), 2);
    ck_assert_uint_eq(speech_of(speech, "southeastasia"), 1);
    ck_assert_str_eq(behind("contoso"), "southeastasia");
    end();
}
END_TEST

START_TEST(words_on_the_wire_are_bounded)
{
    static const struct {
        const char *json;
        unsigned version;
    } rows[] = {{"null", 1}, {"0", 1},     {"-1", 1}, {"1", 1},
                {"2", 2},    {"\"2\"", 1}, {"99", 2}, {"9223372036854775807", 2}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *j = json_loads(rows[i].json, JSON_DECODE_ANY, NULL);
        ck_assert_uint_eq(speech_answered(j), rows[i].version);
        json_decref(j);
    }
    ck_assert_uint_eq(speech_answered(NULL), 1);
}
END_TEST

CHECK_MAIN("replication/speech", whoever_was_never_heard_is_behind, the_last_word_counts,
           words_outlive_a_restart, words_on_the_wire_are_bounded)
