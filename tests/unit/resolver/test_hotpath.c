// SPDX-License-Identifier: Apache-2.0
// resolver/answer: a query is answered without memory from the heap and without a lock, whatever it
// asks. The C library's own functions are stood in for by counting ones; under a sanitizer, which
// does the same, only mem_* counts.
#include "base/mem.h"
#include "base/mem_test.h"
#include "base/snapshot.h"
#include "resolver/answer/answer.h"
#include "resolver/log/journal.h"
#include "resolver/packet/cookies.h"
#include "tests/support/check_main.h"
#include "tests/unit/resolver/signed_fixture.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

// Of this thread: those that sign come to rest in their own time.
static _Thread_local unsigned long n_heap, n_locks;

#ifndef SANITIZED
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);

void *malloc(size_t n)
{
    n_heap++;
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    n_heap++;
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    n_heap++;
    return __libc_realloc(p, n);
}

void free(void *p)
{
    n_heap++;
    __libc_free(p);
}

int pthread_mutex_lock(pthread_mutex_t *m)
{
    static int (*real)(pthread_mutex_t *);
    n_locks++;
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_mutex_lock");
    return real(m);
}

START_TEST(the_counters_count)
{
    pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
    unsigned long heap = n_heap, locks = n_locks;
    char *volatile p = malloc(10);
    p = realloc(p, 20);
    free(p);
    p = calloc(1, 1);
    free(p);
    pthread_mutex_lock(&m);
    pthread_mutex_unlock(&m);
    ck_assert_uint_ge(n_heap - heap, 5);
    ck_assert_uint_ge(n_locks - locks, 1);
}
END_TEST
#else
START_TEST(the_counters_count)
{
    mem_fault_after(1000000);
    free(mem_alloc(1));
    mem_fault_after(1);
    ck_assert_ptr_null(mem_alloc(1));
    ck_assert_int_eq(mem_fault_hits(), 1);
    mem_fault_after(0);
}
END_TEST
#endif

#define N_PACKETS 512
#define ROUNDS 10000

static struct {
    uint8_t b[512];
    size_t n;
} packets[N_PACKETS];

static uint32_t seed = 1;
static uint32_t rnd(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

static void make_packets(void)
{
    static const char *const names[] = {
        "contoso.example.io",
        "contoso.eastus.geo.example.io",
        "fabrikam.westeurope.data.example.io",
        "nobody0.example.io",
        "contoso.privatelink.example.io",
        "contoso.westeurope.geo.privatelink.example.io",
        "eus-1.eastus.fe.example.io",
        "geo.example.io",
        "example.io",
        "fe.example.io",
        "example.org",
        "plain.mars.geo.example.io",
        "_route.contoso.example.io",
        "FABRIKAM.Example.IO",
        "drained.example.io",
    };
    static const uint16_t types[] = {T_A,   T_AAAA, T_NS, T_SOA, T_TXT, T_CNAME,
                                     T_ANY, T_DS,   252,  41,    65};
    static const int edns[] = {-1, 0, 512, 1232, 65535};
    for (size_t i = 0; i < N_PACKETS; i++) {
        packets[i].n = fixture_query(packets[i].b, names[rnd(sizeof names / sizeof names[0])],
                                     types[rnd(sizeof types / sizeof types[0])], edns[rnd(5)]);
        if (i % 3 == 0 && packets[i].b[11]) { // with an OPT: NSID, Client Subnet, cookie, keepalive
            static const uint8_t options[] =
                "\0\3\0\0\0\10\0\7\0\1\x18\0\xc6\x33\x64\0\13\0\0\0\12\0\10abcdefgh";
            packets[i].b[packets[i].n - 1] = sizeof options - 1;
            memcpy(packets[i].b + packets[i].n, options, sizeof options - 1);
            packets[i].n += sizeof options - 1;
        }
        if (i % 8 == 0) // and some that are broken
            packets[i].b[rnd((uint32_t)packets[i].n)] ^= (uint8_t)(1 + rnd(255));
        if (i % 16 == 0)
            packets[i].n = rnd((uint32_t)packets[i].n);
    }
}

START_TEST(ten_thousand_answers_take_no_memory_and_no_lock)
{
    static uint8_t out[ANSWER_TCP_MAX];
    struct snapshot topology, health;
    struct snapshot_reader rt = {0}, rh = {0};
    const struct ip sources[] = {fixture_ip("192.0.2.99"), fixture_ip("198.51.100.200"),
                                 fixture_ip("10.1.2.3"), fixture_ip("10.2.2.3"),
                                 fixture_ip("2001:db8:9::1")};
    struct endpoint lab = {fixture_ip("127.0.0.9"), 5300};
    unsigned rcodes[17] = {0};
    unsigned long heap, locks;
    make_packets();
    struct cookies *cookies;
    ck_assert_int_eq(cookies_new_random(&cookies), 0);
    snapshot_init(&topology);
    snapshot_init(&health);
    snapshot_publish(&topology, fixture_topology());
    snapshot_publish(&health, fixture_verdicts(snapshot_reader_get(&rt, &topology), 1));
    snapshot_reader_get(&rh, &health);
    // Counted, logged and sent to dnstap, until the rings are full: that costs nothing more either.
    struct metrics_names *names = metrics_names_new();
    struct metrics *m = mem_zalloc(sizeof *m);
    struct journal_writer writer = {
        .writes = true,
        .sinks = {[JOURNAL_QUERYLOG] = {.every = 1}, [JOURNAL_DNSTAP] = {.every = 2}}};
    struct ring **querylog = &writer.sinks[JOURNAL_QUERYLOG].ring;
    struct ring **dnstap = &writer.sinks[JOURNAL_DNSTAP].ring;
    const struct endpoint client = {fixture_ip("192.0.2.99"), 4711};
    metrics_topology(m, names, snapshot_reader_get(&rt, &topology));
    ck_assert(!ring_new(65536, querylog) && !ring_new(65536, dnstap));
    mem_fault_after(1); // whoever asks is refused, and noted
    heap = n_heap;
    locks = n_locks;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct answer_context c = {.topology = snapshot_reader_get(&rt, &topology),
                                   .health = snapshot_reader_get(&rh, &health),
                                   .cookies = i & 2 ? cookies : NULL,
                                   .now_s = 1600000000,
                                   .nsid = "ns1",
                                   .idle_ms = 10000,
                                   .transport = i & 1 ? ANSWER_TCP : ANSWER_UDP,
                                   .source = sources[i % 5],
                                   .listener = i % 7 ? NULL : &lab};
        struct answer_info info;
        size_t k = i % N_PACKETS;
        size_t n =
            answer_packet(&c, packets[k].b, packets[k].n, out, i & 1 ? sizeof out : 1232, &info);
        metrics_count(m, &c, &info);
        const struct log_event e = {.metrics = m,
                                    .client = &client,
                                    .listener = c.listener,
                                    .transport = c.transport,
                                    .query = packets[k].b,
                                    .query_n = packets[k].n,
                                    .response = out,
                                    .response_n = n,
                                    .info = &info};
        journal_note(&writer, &e);
        if (info.rcode >= 0)
            rcodes[info.rcode]++;
    }
    heap = n_heap - heap;
    locks = n_locks - locks;
    ck_assert_int_eq(mem_fault_hits(), 0);
    mem_fault_after(0);
    ck_assert_uint_eq(heap, 0);
    ck_assert_uint_eq(locks, 0);
    ck_assert_msg(rcodes[0] > 1000 && rcodes[1] > 100 && rcodes[3] > 500 && rcodes[5] > 500,
                  "mixed: %u %u %u %u", rcodes[0], rcodes[1], rcodes[3], rcodes[5]);
    ck_assert(ring_dropped(*querylog) && ring_dropped(*dnstap));
    ring_free(*querylog);
    ring_free(*dnstap);
    free(m);
    metrics_names_free(names);
    snapshot_reader_done(&rt);
    snapshot_reader_done(&rh);
    snapshot_done(&topology);
    snapshot_done(&health);
    snapshot_unref(cookies);
}
END_TEST

// Names and denials whose signatures are in the cache.
START_TEST(signed_answers_take_no_memory_and_no_lock)
{
    static const char *const names[] = {"contoso.example.io",
                                        "fabrikam.westeurope.data.example.io",
                                        "nobody0.example.io",
                                        "eus-1.eastus.fe.example.io",
                                        "none.eastus.fe.example.io",
                                        "geo.example.io",
                                        "example.io",
                                        "contoso.privatelink.example.io"};
    static const uint16_t types[] = {T_A, T_TXT, T_NS, T_DS, T_DNSKEY};
    static struct signed_rig g;
    static struct fixture_answer a;
    static uint8_t q[40][512], out[ANSWER_TCP_MAX];
    size_t n[40];
    signed_rig_start(&g, "", DNSKEY_ECDSAP256, false, 1, 1795478400);
    for (size_t i = 0; i < 40; i++) {
        n[i] = signed_query(q[i], names[i % 8], types[i / 8], i & 1);
        signed_ask(&g, q[i], n[i], &a);
        fixture_answer_done(&a);
    }
    unsigned long heap = n_heap, locks = n_locks, bytes = 0;
    mem_fault_after(1);
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct answer_info info;
        bytes += answer_packet(&g.c, q[i % 40], n[i % 40], out, 1232, &info);
        if (info.pending || info.truncated)
            bytes = 0;
    }
    heap = n_heap - heap;
    locks = n_locks - locks;
    ck_assert_int_eq(mem_fault_hits(), 0);
    mem_fault_after(0);
    ck_assert_uint_eq(heap, 0);
    ck_assert_uint_eq(locks, 0);
    ck_assert_uint_gt(bytes, ROUNDS * 200);
    signed_rig_stop(&g);
}
END_TEST

CHECK_MAIN("resolver/hotpath", the_counters_count, ten_thousand_answers_take_no_memory_and_no_lock,
           signed_answers_take_no_memory_and_no_lock)
