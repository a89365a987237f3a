// SPDX-License-Identifier: Apache-2.0
// What answering costs without sockets: loads a topology, then runs answer_packet over packed
// queries, in batches as a worker does. Times are of the processor, not of the wall: neighbours do
// not count.
//   dns_cost TOPOLOGY QUERIES [SECONDS [KEYS]]
// KEYS: the folder of the topology's DNSSEC keys. Then all queries have DO, and every signature is
// made before the clock starts.
#include "bench/dns/queries.h"

#include "base/diag.h"
#include "base/fd.h"
#include "config/catalogue.h"
#include "config/topology.h"
#include "control/topology_file.h"
#include "resolver/answer/answer.h"
#include "resolver/packet/pending_query.h"
#include "resolver/route/geo_build.h"
#include "resolver/sign/dnssec.h"

#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>

#define BATCH 32

static int64_t now_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void fail(const char *what)
{
    fprintf(stderr, "dns_cost: %s\n", what);
    exit(1);
}

// Keys into the context, and a signature for all that the queries ask for.
static void sign_all(struct answer_context *c, const char *keys_dir, const struct queries *q)
{
    static uint8_t out[ANSWER_TCP_MAX];
    struct signer *memo;
    struct dnssec *d;
    struct pending_inbox *inbox;
    struct diag diag;
    diag_init(&diag);
    c->now_s = time(NULL);
    if (signer_new(&(struct signer_options){.slots = 16384}, &memo) ||
        signer_new(&(struct signer_options){.slots = 262144, .threads = 2}, &c->signer) ||
        pending_inbox_new(&inbox))
        fail("no memory");
    if (dnssec_new(c->topology, keys_dir, c->now_s, memo, NULL, &diag, &d)) {
        diag_print(&diag, stderr);
        fail("no keys");
    }
    c->dnssec = d;
    c->frontend = d->zone;
    for (size_t i = 0; i < q->n; i++) {
        struct answer_info info;
        for (int tries = 0;; tries++) {
            struct pollfd p = {.fd = pending_inbox_fd(inbox), .events = POLLIN};
            c->ticket = pending_ticket_of(inbox, 0);
            answer_packet(c, q->bytes + q->q[i].at, q->q[i].n, out, sizeof out, &info);
            if (!info.pending)
                break;
            if (tries == 16 || poll(&p, 1, 10000) != 1)
                fail("a signature was not made");
            while (pending_inbox_take(inbox).news != PENDING_NOTHING)
                ;
        }
        pending_slot_done(inbox, 0);
    }
    c->ticket = (struct pending_ticket){0};
}

struct run { // of one thread
    const struct answer_context *context;
    const struct queries *queries;
    int64_t limit_us, cpu_us;
    uint64_t n, bytes, noerror;
    pthread_t thread;
};

static void *run_main(void *arg)
{
    struct run *r = arg;
    const struct queries *q = r->queries;
    const struct topology *t = r->context->topology;
    struct answer_context c = *r->context;
    uint8_t out[1232];
    int64_t began = now_us(CLOCK_THREAD_CPUTIME_ID);
    while ((r->cpu_us = now_us(CLOCK_THREAD_CPUTIME_ID) - began) < r->limit_us) {
        for (int round = 0; round < 128; round++, r->n += BATCH) {
            uint64_t hints[BATCH];
            for (int i = 0; i < BATCH; i++) {
                const struct query *x = &q->q[(r->n + (unsigned)i) % q->n];
                hints[i] = answer_hint(t, q->bytes + x->at, x->n);
            }
            for (int i = 0; i < BATCH; i++)
                catalogue_hint_follow(t->catalogue, hints[i]);
            for (int i = 0; i < BATCH; i++) {
                const struct query *x = &q->q[(r->n + (unsigned)i) % q->n];
                struct answer_info info;
                r->bytes += answer_packet(&c, q->bytes + x->at, x->n, out, sizeof out, &info);
                r->noerror += info.rcode == 0;
            }
        }
    }
    return NULL;
}

static void run_all(const struct answer_context *c, const struct queries *q, double seconds,
                    int n_threads)
{
    struct run *runs = calloc((size_t)n_threads, sizeof *runs), all = {0};
    if (!runs)
        fail("no memory");
    int64_t began = now_us(CLOCK_MONOTONIC);
    for (int i = 0; i < n_threads; i++) {
        runs[i] = (struct run){.context = c, .queries = q, .limit_us = (int64_t)(seconds * 1e6)};
        if (pthread_create(&runs[i].thread, NULL, run_main, &runs[i]))
            fail("no thread");
    }
    for (int i = 0; i < n_threads; i++) {
        pthread_join(runs[i].thread, NULL);
        all.n += runs[i].n;
        all.cpu_us += runs[i].cpu_us;
        all.bytes += runs[i].bytes;
        all.noerror += runs[i].noerror;
    }
    int64_t took_us = now_us(CLOCK_MONOTONIC) - began;
    printf("answer %.0f ns, %.1f bytes, %.1f %% NOERROR; %d threads: %.2f million/s\n",
           1e3 * (double)all.cpu_us / (double)all.n, (double)all.bytes / (double)all.n,
           100 * (double)all.noerror / (double)all.n, n_threads, (double)all.n / (double)took_us);
    free(runs);
}

// The networks of the files that the topology names, into the context.
static void measure(struct answer_context *c, struct geo_view *view)
{
    struct geo *g;
    struct diag d;
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    int64_t began = now_us(CLOCK_PROCESS_CPUTIME_ID);
    diag_init(&d);
    if (geo_build(c->topology, &d, &g)) {
        diag_print(&d, stderr);
        fail("no networks");
    }
    struct mallinfo2 mi = mallinfo2();
    printf("networks %zu + %zu in %.0f ms, %.1f MiB, ", g->n_latency, g->n_maxmind,
           (double)(now_us(CLOCK_PROCESS_CPUTIME_ID) - began) / 1e3,
           (double)(mi.uordblks + mi.hblkhd - before) / (1 << 20));
    geo_view_set(view, g, c->topology);
    c->geo = view;
}

static struct topology *load(const char *path)
{
    struct topology *t = NULL;
    struct diag d;
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    int64_t began = now_us(CLOCK_PROCESS_CPUTIME_ID);
    diag_init(&d);
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    if (file_read(path, TOPOLOGY_MAX_BYTES, &text) ||
        topology_file_parse(TOPOLOGY_COMPACT, buf_cstr(&text), text.n, path, &d, &t)) {
        diag_print(&d, stderr);
        fail("no topology");
    }
    double loaded_ms = (double)(now_us(CLOCK_PROCESS_CPUTIME_ID) - began) / 1e3;
    buf_done(&text);
    malloc_trim(0);
    struct mallinfo2 mi = mallinfo2();
    printf("load %.0f ms, topology %.1f MiB, ", loaded_ms,
           (double)(mi.uordblks + mi.hblkhd - before) / (1 << 20));
    return t;
}

int main(int argc, char **argv)
{
    double seconds = 2;
    int n_threads = 1, o;
    const char *keys = NULL;
    bool subnets = false;
    while ((o = getopt(argc, argv, "s:t:k:e")) != -1) {
        if (o == 's')
            seconds = atof(optarg);
        else if (o == 't')
            n_threads = atoi(optarg);
        else if (o == 'k')
            keys = optarg;
        else if (o == 'e')
            subnets = true;
        else
            return 2;
    }
    if (argc - optind != 2 || n_threads < 1 || n_threads > 256) {
        fprintf(stderr,
                "usage: dns_cost [-s SECONDS] [-t THREADS] [-k KEYS | -e] TOPOLOGY QUERIES\n");
        return 2;
    }
    struct queries q = {0};
    queries_read(&q, argv[optind + 1], keys ? QUERY_DO : subnets ? QUERY_SUBNET : QUERY_PLAIN);
    struct answer_context c = {.topology = load(argv[optind]), .transport = ANSWER_UDP};
    ip_parse("127.0.0.1", &c.source);
    struct endpoint local = {c.source, 53};
    c.listener = &local;
    struct geo_view geo;
    if (c.topology->routing.latency_file || c.topology->routing.maxmind_file)
        measure(&c, &geo);
    if (keys)
        sign_all(&c, keys, &q);
    run_all(&c, &q, seconds, n_threads);
    snapshot_unref((void *)c.topology);
    return 0;
}
