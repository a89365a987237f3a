// SPDX-License-Identifier: Apache-2.0
// What the words of regions about a registry come to: who lacks something, who said nothing, and how
// much is known to lack.
#include "daemon/reaches.h"

#include "base/bytes.h"
#include "tests/support/check_main.h"

#include <string.h>

#define EAST 1
#define WEST 2
#define NORTH 4

static struct topology *t;

static void setup(void)
{
    static const char text[] =
        "version: 1\ndomain: example.io\nregions:\n"
        "  - { name: eastus, peer: 10.0.0.1:8443, stamps: [{ name: eus-1, ipv4: [192.0.2.1] }] }\n"
        "  - { name: westus, peer: 10.0.0.2:8443, stamps: [{ name: wus-1, ipv4: [192.0.2.2] }] }\n"
        "  - { name: north, peer: 10.0.0.3:8443, stamps: [{ name: nor-1, ipv4: [192.0.2.3] }] }\n"
        "name_servers: [eus-1.eastus]\n"
        "registries:\n  - { name: contoso, replicas: [{ region: eastus }] }\n";
    ck_assert_int_eq(topology_parse(text, strlen(text), "t.yaml", NULL, &t), 0);
}

// Words of `regions`, each of which has all of the others but for `to_go` entries.
static json_t *words(region_set regions, int to_go)
{
    json_t *all = json_object();
    for (size_t i = 0; i < t->n_regions; i++) {
        json_t *origins = json_object();
        for (size_t k = 0; k < t->n_regions; k++)
            if (k != i)
                json_object_set_new(
                    origins, t->regions[k].name,
                    json_pack("{s:s, s:b, s:i}", "read", "", "whole", 1, "toGo", to_go));
        json_t *word = json_pack("{s:s, s:s, s:o}", "region", t->regions[i].name, "head", "",
                                 "origins", origins);
        if (regions >> i & 1)
            json_object_set(all, t->regions[i].name, word);
        json_decref(word);
    }
    return all;
}

static void judged(region_set said, int to_go, region_set readers, region_set origins,
                   struct lifecycle_content *out)
{
    json_t *all = words(said, to_go);
    reaches_judge(t, all, all, readers, origins, out);
    json_decref(all);
}

START_TEST(words_are_judged_in_pairs)
{
    struct lifecycle_content c;
    setup();
    judged(EAST | WEST | NORTH, 0, EAST | NORTH, WEST, &c);
    ck_assert(!c.behind && !c.silent && !c.to_go);
    judged(EAST | WEST | NORTH, 3, EAST | NORTH, WEST, &c);
    ck_assert(c.behind == (EAST | NORTH) && !c.silent && c.to_go == 6);
    // one that comes, from two
    judged(EAST | WEST | NORTH, 2, NORTH, EAST | WEST, &c);
    ck_assert(c.behind == NORTH && !c.silent && c.to_go == 4);
    // who says nothing is not behind
    judged(EAST, 0, EAST | NORTH, WEST, &c);
    ck_assert(!c.behind && c.silent == (NORTH | WEST));
    judged(WEST | EAST, 0, EAST | NORTH, WEST, &c);
    ck_assert(!c.behind && c.silent == NORTH);
    snapshot_unref(t);
}
END_TEST

static void lacks(json_t *all, const char *region, int n)
{
    json_object_set_new(json_object_get(all, region), "lacks", json_integer(n));
}

// north is gone: what it wrote, and eastus lacks, may be in westus alone, which is to go.
START_TEST(what_a_lost_region_wrote_counts)
{
    struct lifecycle_content c;
    setup();
    json_t *all = words(EAST | WEST, 0);
    lacks(all, "eastus", 5);
    reaches_judge(t, all, all, EAST, WEST, &c);
    ck_assert(!c.behind && !c.silent && c.orphaned == EAST && c.n_orphaned == 5);
    json_decref(all);
    // it is there, and can be asked for it
    all = words(EAST | WEST | NORTH, 0);
    json_object_set_new(
        json_object_get(json_object_get(json_object_get(all, "eastus"), "origins"), "north"),
        "toGo", json_integer(5));
    lacks(all, "eastus", 5);
    reaches_judge(t, all, all, EAST, WEST, &c);
    ck_assert(!c.behind && !c.silent && !c.orphaned && !c.n_orphaned);
    // words that are lies, or of a version that does not say
    lacks(all, "eastus", -7);
    reaches_judge(t, all, all, EAST, WEST, &c);
    ck_assert(!c.orphaned && !c.n_orphaned);
    json_decref(all);
    snapshot_unref(t);
}
END_TEST

static void lacks_named(json_t *all, const char *region, const char *list)
{
    json_object_set_new(json_object_get(all, region), "lacking", json_loads(list, 0, NULL));
}

START_TEST(what_lacks_is_named)
{
    struct lifecycle_content c;
    setup();
    json_t *all = words(EAST | WEST, 1);
    lacks_named(all, "eastus",
                "[{\"origin\":\"westus\",\"repository\":\"team/app\",\"tag\":\"1.0\"},"
                "{\"origin\":\"north\",\"repository\":\"team/app\",\"digest\":\"sha256:0\"},"
                "{\"origin\":\"eastus\",\"repository\":\"team/app\",\"tag\":\"2.0\"},"
                "{\"origin\":\"westus\",\"repository\":\"team/app\"},"
                "{\"origin\":\"westus\",\"repository\":\"a\\u001b[2J\",\"tag\":\"1\"},7]");
    reaches_judge(t, all, all, EAST, WEST, &c);
    // of the region that goes, and of one that says nothing
    ck_assert_uint_eq(c.n_lacking, 2);
    ck_assert_str_eq(c.lacking[0], "team/app:1.0, which westus wrote, is not in eastus");
    ck_assert_str_eq(c.lacking[1], "team/app@sha256:0, which north wrote, is not in eastus");
    AUTO_BUF struct buf many;
    buf_init(&many, 0);
    for (int i = 0; i < 200; i++)
        buf_printf(&many, "%s{\"origin\":\"westus\",\"repository\":\"r\",\"tag\":\"%d\"}",
                   i ? "," : "[", i);
    buf_str(&many, "]");
    lacks_named(all, "eastus", buf_cstr(&many));
    reaches_judge(t, all, all, EAST, WEST, &c);
    ck_assert_uint_eq(c.n_lacking, LIFECYCLE_LACKING_MAX);
    json_decref(all);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("daemon/reaches", words_are_judged_in_pairs, what_a_lost_region_wrote_counts,
           what_lacks_is_named)
