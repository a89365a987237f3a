// SPDX-License-Identifier: Apache-2.0
// replication/repair: who says that a stretch of a region's log is void must have that region's
// feed key. Its edge, or whoever else answers on its connections, takes nothing back.
#include "tests/unit/replication/regions.h"

#include "base/clock.h"
#include "tests/support/check_main.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static struct world w;
#define east (&w.regions[0])
#define west (&w.regions[1])
#define south (&w.regions[2])

struct said {
    struct test_region *by;
    // that is signed
    const char *origin;
    // that is signed, as far below the epoch that is said
    unsigned off;
    // NULL: the true one
    const char *sig;
};

// All that east has written is before it: one above the epoch that it writes in, which is another
// one if it could not ask the others at its start.
static uint64_t below;

static void say(const struct said *s, char out[600])
{
    char text[300], sig[b64_size(64)];
    uint8_t raw[64];
    snprintf(text, sizeof text, "meridian-void-1\n%s\n\n%" PRIu64 "\n", s->origin, below - s->off);
    ck_assert_int_eq(region_keys_sign_feed(s->by->keys, text, strlen(text), raw), 0);
    b64url_format(raw, sizeof raw, sig);
    snprintf(out, 600,
             "{\"error\":\"x\",\"head\":\"\",\"void\":{\"after\":\"\",\"below\":%" PRIu64
             ",\"key\":\"%s\",\"sig\":\"%s\"}}",
             below, region_keys_feed_id(s->by->keys), s->sig ? s->sig : sig);
}

// East's feed answers with this from now on, and all connect to it again; returns once it was
// judged.
static void answered(const char *text)
{
    static unsigned version = 2;
    east->feed_conflict = NULL; // all is well, so that they do not wait longer and longer
    WAIT_FOR(state_is(west, "contoso", "eastus", "Ready") &&
                 state_is(south, "contoso", "eastus", "Ready"),
             15000);
    unsigned before = east->n_conflicts;
    east->feed_conflict = text;
    world_topology(&w, ++version, false);
    // two regions: one of them asked again, so it had judged
    WAIT_FOR(east->n_conflicts >= before + 4, 15000);
}

START_TEST(only_the_regions_own_key_takes_back_what_it_wrote)
{
    const struct said lies[] = {
        {south, "eastus", 0, NULL},  {east, "westeurope", 0, NULL}, {east, "eastus", 1, NULL},
        {east, "eastus", 0, "AAAA"}, {east, "eastus", 0, ""},
    };
    static char texts[7][600];
    struct digest d;
    struct feed_mark head;
    world_up(&w);
    region_push(east, "contoso", "app", "t", 1, 1, 100, 0, &d);
    WAIT_FOR(region_has(west, "contoso", "app", "t", &d) &&
                 region_has(south, "contoso", "app", "t", &d),
             15000);
    ck_assert_int_eq(meta_head(east->meta, "eastus", &head), 0);
    below = head.epoch + 1;
    snprintf(texts[0], sizeof texts[0], "{\"void\":{\"after\":\"\",\"below\":%" PRIu64 "}}", below);
    for (size_t i = 0; i < 6; i++) {
        if (i)
            say(&lies[i - 1], texts[i]);
        answered(texts[i]);
        ck_assert_msg(region_has(west, "contoso", "app", "t", &d), "%s", texts[i]);
        ck_assert_msg(region_has(south, "contoso", "app", "t", &d), "%s", texts[i]);
    }
    // truly said: the test asks the right question
    say(&(struct said){east, "eastus", 0, NULL}, texts[6]);
    east->feed_conflict = texts[6];
    WAIT_FOR(!region_has(west, "contoso", "app", "t", &d) &&
                 !region_has(south, "contoso", "app", "t", &d),
             20000);
    world_done(&w);
}
END_TEST

CHECK_MAIN("replication/void_said", only_the_regions_own_key_takes_back_what_it_wrote)
