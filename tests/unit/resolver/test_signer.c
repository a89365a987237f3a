// SPDX-License-Identifier: Apache-2.0
// resolver/signer: the cache read by many threads while it is written, the bounds of queues and
// budget, and that every ticket comes back.
#include "resolver/sign/signer.h"

#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "base/snapshot.h"
#include "tests/support/check_main.h"

#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct keys { // stands for the snapshot that keys belong to
    struct snapshot_head head;
    struct dns_key *key;
    char dir[64];
};

static _Atomic int n_freed;

static void keys_free(void *self)
{
    struct keys *k = self;
    dns_key_free(k->key);
    dir_remove_tree(k->dir);
    free(k);
    n_freed++;
}

static struct keys *keys_new(void)
{
    struct keys *k = mem_zalloc(sizeof *k);
    struct dnskey d;
    char id[65];
    strcpy(k->dir, "/tmp/meridian-signer-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(k->dir));
    snapshot_head_init(&k->head, keys_free);
    ck_assert_int_eq(
        dns_key_create(k->dir, DNSKEY_ZONE_MAIN, DNSKEY_CSK, DNSKEY_ED25519, NULL, id, &d), 0);
    ck_assert_int_eq(dns_key_open(k->dir, &d, NULL, &k->key), 0);
    return k;
}

static struct signer_what what_of(struct keys *k, uint32_t *data)
{
    return (struct signer_what){.data = (uint8_t *)data,
                                .n = 64,
                                .key = k->key,
                                .key_uid = 7,
                                .keys = k,
                                .expires_s = (uint32_t)(clock_wall_ms() / 1000) + 100};
}

static unsigned mail(struct pending_inbox *b, enum pending_news *news)
{
    struct pending_mail m;
    unsigned n = 0;
    while ((m = pending_inbox_take(b)).news != PENDING_NOTHING) {
        *news = m.news;
        n++;
    }
    return n;
}

static void wait_mail(struct pending_inbox *b)
{
    struct pollfd p = {.fd = pending_inbox_fd(b), .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, 20000), 1);
}

START_TEST(what_was_asked_is_found_and_nothing_else)
{
    struct signer *s;
    struct pending_inbox *inbox;
    struct keys *k = keys_new();
    uint32_t data[16] = {1};
    uint8_t sig[64], want[64];
    ck_assert_int_eq(signer_new(&(struct signer_options){.slots = 1024, .threads = 1}, &s), 0);
    ck_assert_int_eq(pending_inbox_new(&inbox), 0);
    struct signer_what w = what_of(k, data);
    ck_assert(!signer_get(s, SIGNER_POSITIVE, &w, sig));
    ck_assert_int_eq(signer_ask(s, SIGNER_POSITIVE, &w, pending_ticket_of(inbox, 0)), 0);
    wait_mail(inbox);
    ck_assert(signer_get(s, SIGNER_POSITIVE, &w, sig));
    ck_assert_int_eq(dns_key_sign(k->key, data, 64, want), 0);
    ck_assert(!memcmp(sig, want, 64)); // Ed25519: always the same
    ck_assert(!signer_get(s, SIGNER_DENIAL, &w, sig));
    data[15] ^= 1;
    ck_assert(!signer_get(s, SIGNER_POSITIVE, &w, sig));
    data[15] ^= 1;
    w.key_uid = 8; // another key
    ck_assert(!signer_get(s, SIGNER_POSITIVE, &w, sig));
    w = what_of(k, data);
    w.n = SIGNER_DATA_MAX + 1;
    ck_assert_int_eq(signer_ask(s, SIGNER_POSITIVE, &w, pending_ticket_of(inbox, 0)), ERR_TOOBIG);
    signer_free(s);
    pending_inbox_unref(inbox);
    snapshot_unref(k);
    ck_assert_int_eq(n_freed, 1);
}
END_TEST

START_TEST(a_flood_of_denials_is_bounded_and_evicts_no_name)
{
    struct signer *s;
    struct pending_inbox *inbox;
    struct keys *k = keys_new();
    uint32_t data[16] = {0};
    uint8_t sig[64];
    struct signer_stats st;
    unsigned taken = 0;
    clock_virtual_set(1795478400000); // a clock that stands: no allowance grows
    ck_assert_int_eq(
        signer_new(&(struct signer_options){.slots = 1024, .threads = 1, .denials_per_s = 100}, &s),
        0);
    ck_assert_int_eq(pending_inbox_new(&inbox), 0);
    struct signer_what w = what_of(k, data);
    for (data[0] = 0; data[0] < 50; data[0]++) {
        memset(sig, (int)data[0], sizeof sig);
        signer_put(s, SIGNER_POSITIVE, &w, sig);
    }
    for (data[0] = 1000; data[0] < 21000; data[0]++)
        taken += !signer_ask(s, SIGNER_DENIAL, &w, pending_ticket_of(inbox, 0));
    ck_assert_uint_le(taken, 11);
    clock_virtual_advance(50);
    for (data[0] = 1000; data[0] < 21000; data[0]++)
        taken += !signer_ask(s, SIGNER_DENIAL, &w, pending_ticket_of(inbox, 0));
    ck_assert_uint_ge(taken, 12);
    ck_assert_uint_le(taken, 40); // and those that were there already
    clock_virtual_off();
    for (data[0] = 0; data[0] < 50; data[0]++)
        ck_assert(signer_get(s, SIGNER_POSITIVE, &w, sig) && sig[0] == data[0]);
    signer_stats_get(s, &st);
    ck_assert_uint_ge(st.refused[SIGNER_DENIAL], 39900);
    signer_free(s);
    pending_inbox_unref(inbox);
    snapshot_unref(k);
}
END_TEST

START_TEST(what_is_kept_and_what_goes_before_its_time_is_counted)
{
    struct signer *s;
    struct keys *k = keys_new();
    uint32_t data[16] = {0};
    uint8_t sig[64] = {0};
    struct signer_stats st;
    struct signer_what w = what_of(k, data);
    ck_assert_int_eq(signer_new(&(struct signer_options){.slots = 8}, &s), 0);
    for (data[0] = 0; data[0] < 5; data[0]++)
        signer_put(s, SIGNER_POSITIVE, &w, sig);
    data[0] = 3;
    signer_put(s, SIGNER_POSITIVE, &w, sig); // the same again takes no other slot
    signer_stats_get(s, &st);
    ck_assert(st.cached[SIGNER_POSITIVE] == 5 && st.slots[SIGNER_POSITIVE] == 8 &&
              !st.evicted[SIGNER_POSITIVE]);
    for (data[0] = 5; data[0] < 12; data[0]++)
        signer_put(s, SIGNER_POSITIVE, &w, sig);
    signer_stats_get(s, &st);
    ck_assert(st.cached[SIGNER_POSITIVE] == 8 && st.evicted[SIGNER_POSITIVE] == 4);
    ck_assert(!st.cached[SIGNER_DENIAL] && !st.queued[SIGNER_POSITIVE]);
    signer_free(s);
    snapshot_unref(k);
}
END_TEST

// One answer may need both: in a cache that is full, whatever the two, they are there together
// after being made once more.
START_TEST(two_signatures_are_never_at_odds_over_a_slot)
{
    struct signer *s;
    uint32_t data[16] = {0};
    uint8_t sig[64] = {0};
    struct signer_what w = {
        .data = (uint8_t *)data, .n = 64, .key_uid = 7, .expires_s = UINT32_MAX};
    ck_assert_int_eq(signer_new(&(struct signer_options){.slots = 8}, &s), 0); // one set
    for (data[0] = 0; data[0] < 100; data[0]++)
        signer_put(s, SIGNER_POSITIVE, &w, sig);
    for (uint32_t pair = 1; pair < 200; pair++) {
        bool there[2] = {false};
        for (int tries = 0; tries < 2 && !(there[0] && there[1]); tries++)
            for (uint32_t i = 0; i < 2; i++) {
                data[0] = 1000 * pair + i;
                if (!signer_get(s, SIGNER_POSITIVE, &w, sig))
                    signer_put(s, SIGNER_POSITIVE, &w, sig);
                data[0] = 1000 * pair;
                there[0] = signer_get(s, SIGNER_POSITIVE, &w, sig);
                data[0]++;
                there[1] = signer_get(s, SIGNER_POSITIVE, &w, sig);
            }
        ck_assert_msg(there[0] && there[1], "pair %u", pair);
    }
    signer_free(s);
}
END_TEST

// Names evict each other only when the cache is nearly full, not when their sets are: with one set
// for each name, some two in a hundred of a cache that is half full were made anew for each query,
// for as long as they were asked for.
START_TEST(no_name_is_evicted_while_there_is_room)
{
    enum { SLOTS = 16384, NAMES = SLOTS / 2 };
    struct signer *s;
    uint32_t data[16] = {0};
    uint8_t sig[64] = {0};
    struct signer_stats st;
    struct signer_what w = {
        .data = (uint8_t *)data, .n = 64, .key_uid = 7, .expires_s = UINT32_MAX};
    ck_assert_int_eq(signer_new(&(struct signer_options){.slots = SLOTS}, &s), 0);
    for (int round = 0; round < 3; round++) {
        unsigned missed = 0;
        for (data[0] = 0; data[0] < NAMES; data[0]++) {
            if (signer_get(s, SIGNER_POSITIVE, &w, sig))
                continue;
            missed++;
            signer_put(s, SIGNER_POSITIVE, &w, sig);
        }
        ck_assert_uint_eq(missed, round ? 0 : NAMES);
    }
    signer_stats_get(s, &st);
    ck_assert_uint_eq(st.evicted[SIGNER_POSITIVE], 0);
    ck_assert_uint_eq(st.cached[SIGNER_POSITIVE], NAMES);
    signer_free(s);
}
END_TEST

// A name that is asked for again and again stays, whichever of its sets it stands in.
START_TEST(a_signature_that_is_made_again_takes_no_second_slot)
{
    struct signer *s;
    uint32_t data[16] = {0};
    uint8_t sig[64] = {0};
    struct signer_stats st;
    struct signer_what w = {
        .data = (uint8_t *)data, .n = 64, .key_uid = 7, .expires_s = UINT32_MAX};
    ck_assert_int_eq(signer_new(&(struct signer_options){.slots = 1024}, &s), 0);
    for (int round = 0; round < 3; round++)
        for (data[0] = 0; data[0] < 400; data[0]++)
            signer_put(s, SIGNER_POSITIVE, &w, sig);
    signer_stats_get(s, &st);
    ck_assert_uint_eq(st.cached[SIGNER_POSITIVE], 400);
    ck_assert_uint_eq(st.evicted[SIGNER_POSITIVE], 0);
    signer_free(s);
}
END_TEST

START_TEST(queues_end_and_every_ticket_comes_back)
{
    struct signer *s;
    int freed = n_freed;
    struct pending_inbox *inbox;
    struct keys *k = keys_new();
    uint32_t data[16] = {0};
    enum pending_news news = PENDING_NOTHING;
    struct signer_what w = what_of(k, data);
    ck_assert_int_eq(pending_inbox_new(&inbox), 0);
    ck_assert_int_eq(signer_new(&(struct signer_options){.slots = 1024}, &s), 0);
    // no threads
    ck_assert_int_eq(signer_ask(s, SIGNER_POSITIVE, &w, pending_ticket_of(inbox, 0)), ERR_BUSY);
    signer_free(s);
    ck_assert_int_eq(signer_new(&(struct signer_options){.slots = 1024, .threads = 2}, &s), 0);
    unsigned taken = 0, busy = 0;
    for (data[0] = 0; data[0] < 20000; data[0]++) {
        int rc =
            signer_ask(s, SIGNER_POSITIVE, &w, pending_ticket_of(inbox, data[0] % PENDING_MAX));
        taken += !rc;
        busy += rc == ERR_BUSY;
    }
    ck_assert_uint_eq(taken + busy, 20000);
    ck_assert_uint_gt(busy, 0);
    signer_free(s); // what waits is failed
    mail(inbox, &news);
    ck_assert_int_ne(news, PENDING_NOTHING);
    pending_inbox_unref(inbox);
    ck_assert_int_eq(n_freed, freed);
    snapshot_unref(k); // no job holds it any more
    ck_assert_int_eq(n_freed, freed + 1);
}
END_TEST

// ---- threads ----

#define N_NAMES 4096 // more than there are slots

static _Atomic bool stop;
static struct signer *shared;
static _Atomic unsigned long n_hits;

static void *reader_main(void *arg)
{
    uint32_t data[16] = {0}, seed = (uint32_t)(uintptr_t)arg;
    uint8_t sig[64];
    struct signer_what w = {.data = (uint8_t *)data, .n = 64, .key_uid = 7};
    while (!stop) {
        seed = seed * 1664525u + 1013904223u;
        data[0] = (seed >> 8) % N_NAMES;
        if (!signer_get(shared, SIGNER_POSITIVE, &w, sig))
            continue;
        n_hits++;
        for (size_t i = 0; i < 64; i++) // whole, and of that name
            ck_assert_uint_eq(sig[i], (uint8_t)(data[0] * 31 + i));
    }
    return NULL;
}

START_TEST(readers_see_whole_signatures_of_the_right_name)
{
    pthread_t threads[3];
    uint32_t data[16] = {0};
    uint8_t sig[64];
    struct signer_what w = {
        .data = (uint8_t *)data, .n = 64, .key_uid = 7, .expires_s = UINT32_MAX};
    ck_assert_int_eq(signer_new(&(struct signer_options){.slots = 1024}, &shared), 0);
    for (uintptr_t i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, reader_main, (void *)(i + 1)), 0);
    for (unsigned i = 0; i < 200000 || (n_hits < 1000 && i < 20000000); i++) {
        data[0] = i * 2654435761u % N_NAMES;
        for (size_t b = 0; b < 64; b++)
            sig[b] = (uint8_t)(data[0] * 31 + b);
        signer_put(shared, SIGNER_POSITIVE, &w, sig);
    }
    stop = true;
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    ck_assert_uint_ge(n_hits, 1000);
    signer_free(shared);
}
END_TEST

START_TEST(out_of_memory_leaves_nothing_behind)
{
    for (long i = 1;; i++) {
        struct signer *s = NULL;
        mem_fault_after(i);
        int rc = signer_new(&(struct signer_options){.slots = 1024, .threads = 2}, &s);
        bool hit = mem_fault_hits() > 0;
        mem_fault_after(0);
        if (!hit) {
            signer_free(s);
            break;
        }
        ck_assert_int_eq(rc, ERR_NOMEM);
    }
}
END_TEST

// How many threads of this process step back behind the others.
static int n_polite(void)
{
    int n = 0, least = getpriority(PRIO_PROCESS, (id_t)getpid()) + 10;
    DIR *tasks = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(tasks);
    for (struct dirent *e; (e = readdir(tasks));)
        n += e->d_name[0] != '.' && atoi(e->d_name) != getpid() &&
             getpriority(PRIO_PROCESS, (id_t)atoi(e->d_name)) >= (least < 19 ? least : 19);
    closedir(tasks);
    return n;
}

START_TEST(threads_that_sign_let_workers_go_first)
{
    struct signer *s;
    ck_assert_int_eq(n_polite(), 0);
    ck_assert_int_eq(signer_new(&(struct signer_options){.slots = 64, .threads = 3}, &s), 0);
    for (int64_t end = clock_mono_us() + 20000000; n_polite() < 3; sched_yield())
        ck_assert_int_lt(clock_mono_us(), end);
    signer_free(s);
}
END_TEST

CHECK_MAIN("resolver/signer", what_was_asked_is_found_and_nothing_else,
           a_flood_of_denials_is_bounded_and_evicts_no_name,
           what_is_kept_and_what_goes_before_its_time_is_counted,
           two_signatures_are_never_at_odds_over_a_slot, no_name_is_evicted_while_there_is_room,
           a_signature_that_is_made_again_takes_no_second_slot,
           queues_end_and_every_ticket_comes_back, readers_see_whole_signatures_of_the_right_name,
           threads_that_sign_let_workers_go_first, out_of_memory_leaves_nothing_behind)
