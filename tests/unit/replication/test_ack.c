// SPDX-License-Identifier: Apache-2.0
// replication/ack, stored and written: a region hears from the others when they have what it wrote,
// with its content, and from whom it does not. Three regions over sockets.
#include "replication/written.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "store/meta_delete.h"
#include "tests/support/check_main.h"
#include "tests/unit/replication/regions.h"

#include <string.h>

static struct world w;
static struct test_region *const east = &w.regions[0], *const west = &w.regions[1],
                                 *const south = &w.regions[2];
static struct arena arena;

struct ack {
    struct elsewhere_ack *waits;
    struct elsewhere_ack_view view;
    _Atomic unsigned n_wakes;
};

static void woken(void *ctx)
{
    atomic_fetch_add(&((struct ack *)ctx)->n_wakes, 1);
}

// What east's registers say now.
static size_t written_of(const struct digest *d, const char *tag, struct written out[2])
{
    struct meta_register here;
    ck_assert_int_eq(meta_manifest_register(east->meta, "contoso", "app", d, &arena, &here), 0);
    out[0] = (struct written){.manifest = *d, .value = here.top};
    ck_assert_int_eq(meta_tag_register(east->meta, "contoso", "app", tag, &arena, &here), 0);
    out[1] = (struct written){.tag = tag, .value = here.top};
    return 2;
}

static void begin(struct ack *a, const struct digest *d, const char *tag, unsigned n_peers,
                  int64_t ms)
{
    struct written list[2];
    const struct elsewhere_ack_want want = {.registry = "contoso",
                                            .repository = "app",
                                            .list = list,
                                            .n = written_of(d, tag, list),
                                            .n_peers = n_peers,
                                            .until_mono = clock_mono_ms() + ms};
    *a = (struct ack){.waits = NULL};
    ck_assert_int_eq(replicator_ack_begin(east->replicator, &want, &a->waits), 0);
    replicator_ack_wake(a->waits, woken, a);
}

// Looks as who was woken does; how many have it.
static unsigned stored(struct ack *a)
{
    replicator_ack_wake(a->waits, NULL, NULL);
    replicator_ack_look(a->waits, &a->view);
    replicator_ack_wake(a->waits, woken, a);
    return a->view.n_stored;
}

static void up(void)
{
    arena_init(&arena, 0);
    world_up(&w);
}

static void down(void)
{
    world_done(&w);
    arena_done(&arena);
}

START_TEST(the_others_say_when_they_have_it)
{
    struct digest d;
    struct ack a;
    up();
    region_push(east, "contoso", "app", "1", 1, 1, 5000, 0, &d);
    begin(&a, &d, "1", 2, 20000);
    WAIT_FOR(atomic_load(&a.n_wakes) > 0, 20000); // by their own word
    WAIT_FOR(stored(&a) == 2, 20000);
    ck_assert_str_eq(a.view.lacking, "");
    ck_assert(strstr(a.view.stored, "westeurope") && strstr(a.view.stored, "southeastasia"));
    ck_assert(region_has(west, "contoso", "app", "1", &d));
    ck_assert(region_has(south, "contoso", "app", "1", &d));
    replicator_ack_end(a.waits);
    // at once, where they have it already
    begin(&a, &d, "1", 2, 20000);
    WAIT_FOR(stored(&a) == 2, 20000);
    replicator_ack_end(a.waits);
    down();
}
END_TEST

// The entry alone is not enough: with this disk its blobs would be lost.
START_TEST(content_that_has_not_come_does_not_count)
{
    struct digest d;
    struct ack a;
    up();
    east->fault = FAULT_ABSENT;
    region_push(east, "contoso", "app", "1", 1, 1, 5000, 0, &d);
    begin(&a, &d, "1", 1, 3000);
    struct feed_mark head, read;
    ck_assert_int_eq(meta_head(east->meta, "eastus", &head), 0);
    WAIT_FOR(meta_head(west->meta, "eastus", &read) == 0 && read.seq == head.seq, 20000);
    WAIT_FOR(clock_mono_ms() > a.view.again_mono && stored(&a) == 0 &&
                 strstr(a.view.lacking, "westeurope (it has not got it yet)"),
             20000);
    replicator_ack_end(a.waits);
    east->fault = FAULT_NONE;
    begin(&a, &d, "1", 2, 40000);
    WAIT_FOR(stored(&a) == 2, 40000);
    replicator_ack_end(a.waits);
    down();
}
END_TEST

// Who is cut off is named, asked again, and counts once it has it.
START_TEST(who_is_cut_off_is_named_and_asked_again)
{
    struct digest d;
    struct ack a;
    char away[CONTENT_TEXT_SIZE];
    up();
    region_push(east, "contoso", "app", "0", 1, 1, 5000, 0, &d);
    WAIT_FOR(region_has(south, "contoso", "app", "0", &d), 20000);
    ck_assert_uint_eq(replicator_reachable(east->replicator, "contoso", away), 2);
    ck_assert_str_eq(away, "");
    ck_assert_uint_eq(replicator_reachable(east->replicator, "nothing", away), 0);
    region_cut(south, true);
    region_down(south);
    region_push(east, "contoso", "app", "1", 2, 1, 5000, 0, &d);
    begin(&a, &d, "1", 2, 60000);
    WAIT_FOR(stored(&a) == 1 && strstr(a.view.lacking, "southeastasia (it"), 20000);
    ck_assert_str_eq(a.view.stored, "westeurope");
    WAIT_FOR(replicator_reachable(east->replicator, "contoso", away) == 1, 20000);
    ck_assert_str_eq(away, "southeastasia");
    WAIT_FOR(stored(&a) == 1 && strstr(a.view.lacking, "southeastasia (it is not heard)"), 20000);
    region_cut(south, false);
    region_up(south);
    WAIT_FOR(stored(&a) == 2, 40000);
    replicator_ack_end(a.waits);
    down();
}
END_TEST

// A deletion counts where it is known; what a later write has ended need not be there.
START_TEST(deletions_and_later_writes)
{
    struct digest d, e;
    struct ack a;
    struct written list[2];
    up();
    region_push(east, "contoso", "app", "1", 1, 1, 5000, 0, &d);
    size_t n = written_of(&d, "1", list);
    WAIT_FOR(region_has(west, "contoso", "app", "1", &d), 20000);
    region_push(west, "contoso", "app", "1", 2, 1, 5000, 0, &e);
    WAIT_FOR(region_has(east, "contoso", "app", "1", &e), 20000);
    const struct elsewhere_ack_want older = {.registry = "contoso",
                                             .repository = "app",
                                             .list = list,
                                             .n = n,
                                             .n_peers = 1,
                                             .until_mono = clock_mono_ms() + 20000};
    a = (struct ack){.waits = NULL};
    ck_assert_int_eq(replicator_ack_begin(east->replicator, &older, &a.waits), 0);
    WAIT_FOR(stored(&a) == 2, 20000);
    replicator_ack_end(a.waits);
    const struct delete_request gone = {.registry = "contoso", .repository = "app", .digest = &e};
    struct delete_result out = {0};
    ck_assert_int_eq(meta_manifest_delete(east->meta, &gone, &arena, &out), 0);
    begin(&a, &e, "1", 2, 20000);
    WAIT_FOR(stored(&a) == 2, 20000);
    replicator_ack_end(a.waits);
    ck_assert(!region_has(west, "contoso", "app", "1", &e));
    down();
}
END_TEST

// It is given up while the others are asked, also by a replicator that stops.
START_TEST(it_ends_whenever_it_is_given_up)
{
    struct digest d;
    struct ack a, b;
    up();
    east->fault = FAULT_ABSENT;
    region_push(east, "contoso", "app", "1", 1, 1, 5000, 0, &d);
    for (unsigned i = 0; i < 20; i++) {
        begin(&a, &d, "1", 2, 20000);
        clock_sleep_ms(i % 5);
        replicator_ack_end(a.waits);
    }
    begin(&b, &d, "1", 2, 20000);
    region_down(west);
    region_down(south);
    WAIT_FOR(stored(&b) == 0 && strstr(b.view.lacking, "it cannot be reached"), 20000);
    replicator_ack_end(b.waits);
    replicator_ack_end(NULL);
    down();
}
END_TEST

// ---- the text ----

static int parse(const char *text)
{
    struct written *list;
    size_t n;
    AUTO_FREE char *copy = mem_strdup(text);
    for (char *p = copy; *p; p++)
        if (*p == '\'')
            *p = '"';
    return written_parse(bytes_str(copy), &arena, &list, &n);
}

#define D "'sha256:1111111111111111111111111111111111111111111111111111111111111111'"
#define V "'digest':" D ",'origin':'eastus','epoch':'1','stamp':'7'"

START_TEST(registers_as_text)
{
    static const char *const bad[] = {
        "",
        "null",
        "[]",
        "{}",
        "[1]",
        "[{}]",
        "[{" V "}]",
        "[{'tag':'1','manifest':" D "," V "}]",
        "[{'tag':'a b'," V "}]",
        "[{'tag':1," V "}]",
        "[{'manifest':'sha256:1'," V "}]",
        "[{'tag':'1','origin':'eastus','epoch':'1','stamp':'7'}]",
        "[{'tag':'1','digest':" D ",'origin':'East US','epoch':'1','stamp':'7'}]",
        "[{'tag':'1','digest':" D ",'origin':'eastus','epoch':'01','stamp':'7'}]",
        "[{'tag':'1','digest':" D ",'origin':'eastus','epoch':'1'}]",
        "[{'tag':'1'," V ",'generation':'x'}]",
        "[{'tag':'1'," V ",'gone':false}]",
        "[{'tag':'1','tag':'2'," V "}]",
    };
    struct written list[3] = {
        {.tag = "1.0", .value = {.stamp = 1ull << 60, .origin = "eastus", .epoch = 2}},
        {.value = {.stamp = 8, .origin = "westeurope", .epoch = 1, .gone = true}},
        {.tag = "gone", .value = {.stamp = 9, .origin = "eastus", .epoch = 1, .gone = true}}};
    struct written *again;
    size_t n;
    AUTO_BUF struct buf text;
    arena_init(&arena, 0);
    buf_init(&text, 0);
    ck_assert_int_eq(digest_of(DIGEST_SHA256, "a", 1, &list[0].value.digest), 0);
    ck_assert_int_eq(digest_of(DIGEST_SHA512, "b", 1, &list[1].manifest), 0);
    list[0].value.create_only = true;
    list[0].value.generation = 5;
    list[1].value.digest = list[1].manifest;
    ck_assert_int_eq(written_format(list, 3, &text), 0);
    ck_assert_int_eq(written_parse(bytes_of(text.p, text.n), &arena, &again, &n), 0);
    ck_assert_uint_eq(n, 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(register_order(&again[i].value, &list[i].value), 0);
        ck_assert_int_eq(again[i].value.create_only, list[i].value.create_only);
        ck_assert(!again[i].tag == !list[i].tag);
        ck_assert(!list[i].tag || !strcmp(again[i].tag, list[i].tag));
        ck_assert(list[i].tag || digest_equal(&again[i].manifest, &list[i].manifest));
    }
    ck_assert_int_eq(parse("[{'tag':'1'," V "}]"), 0);
    ck_assert_int_eq(parse("[{'manifest':" D "," V "}]"), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(parse(bad[i]) == ERR_INVAL, "%s", bad[i]);
    buf_clear(&text);
    buf_str(&text, "[");
    for (size_t i = 0; i <= WRITTEN_MAX; i++)
        buf_printf(&text, "%s{'tag':'1'," V "}", i ? "," : "");
    buf_str(&text, "]");
    ck_assert_int_eq(parse(buf_cstr(&text)), ERR_INVAL);
    arena_done(&arena);
}
END_TEST

CHECK_MAIN("replication/ack", the_others_say_when_they_have_it,
           content_that_has_not_come_does_not_count, who_is_cut_off_is_named_and_asked_again,
           deletions_and_later_writes, it_ends_whenever_it_is_given_up, registers_as_text)
