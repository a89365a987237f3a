// SPDX-License-Identifier: Apache-2.0
// What answering costs without sockets: loads a topology, then runs answer_packet over packed queries, in batches as a
// worker does. Times are of the processor, not of the wall: neighbours do not count.
//   dns_cost TOPOLOGY QUERIES [SECONDS [KEYS]]
// KEYS: the folder of the topology's DNSSEC keys. Then all queries have DO, and every signature is made before the
// clock starts.
#include "bench/dns/queries.h"

#include "base/diag.h"
#include "base/fd.h"
#include "config/catalogue.h"
#include "config/topology.h"
#include "resolver/answer.h"
#include "resolver/dnssec.h"
#include "resolver/parked.h"

#include <malloc.h>
#include <poll.h>
#include <time.h>

#define BATCH 32

static int64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
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
    struct parked_inbox *inbox;
    struct diag diag;
    diag_init(&diag);
    c->now_s = time(NULL);
    if (signer_new(&(struct signer_options){.slots = 16384}, &memo) ||
        signer_new(&(struct signer_options){.slots = 262144, .threads = 2}, &c->signer) || parked_inbox_new(&inbox))
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
            struct pollfd p = {.fd = parked_inbox_fd(inbox), .events = POLLIN};
            c->ticket = parked_ticket_of(inbox, 0);
            answer_packet(c, q->bytes + q->q[i].at, q->q[i].n, out, sizeof out, &info);
            if (!info.pending)
                break;
            if (tries == 16 || poll(&p, 1, 10000) != 1)
                fail("a signature was not made");
            while (parked_inbox_take(inbox).news != PARKED_NOTHING)
                ;
        }
        parked_slot_done(inbox, 0);
    }
    c->ticket = (struct parked_ticket){0};
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: dns_cost TOPOLOGY QUERIES [SECONDS [KEYS]]\n");
        return 2;
    }
    struct queries q = {0};
    struct topology *t = NULL;
    struct diag d;
    queries_read(&q, argv[2], argc > 4 ? 2 : 0);
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    int64_t began = cpu_us();
    diag_init(&d);
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    if (file_read(argv[1], TOPOLOGY_MAX_BYTES, &text) ||
        topology_parse_as(TOPOLOGY_COMPACT, buf_cstr(&text), text.n, argv[1], &d, &t)) {
        diag_print(&d, stderr);
        return 1;
    }
    int64_t loaded_us = cpu_us() - began;
    buf_done(&text);
    malloc_trim(0);
    struct mallinfo2 mi = mallinfo2();
    double mib = (double)(mi.uordblks + mi.hblkhd - before) / (1 << 20);
    struct answer_context c = {.topology = t, .transport = ANSWER_UDP};
    ip_parse("127.0.0.1", &c.source);
    struct endpoint local = {c.source, 53};
    c.listener = &local;
    uint8_t out[1232];
    if (argc > 4)
        sign_all(&c, argv[4], &q);
    uint64_t n = 0, bytes = 0, noerror = 0;
    int64_t limit_us = (int64_t)((argc > 3 ? atof(argv[3]) : 2) * 1e6), took_us = 0;
    began = cpu_us();
    while (took_us < limit_us) {
        for (int round = 0; round < 128; round++, n += BATCH) {
            uint64_t hints[BATCH];
            for (int i = 0; i < BATCH; i++) {
                const struct query *x = &q.q[(n + (unsigned)i) % q.n];
                hints[i] = answer_hint(t, q.bytes + x->at, x->n);
            }
            for (int i = 0; i < BATCH; i++)
                catalogue_hint_follow(t->catalogue, hints[i]);
            for (int i = 0; i < BATCH; i++) {
                const struct query *x = &q.q[(n + (unsigned)i) % q.n];
                struct answer_info info;
                bytes += answer_packet(&c, q.bytes + x->at, x->n, out, sizeof out, &info);
                noerror += info.rcode == 0;
            }
        }
        took_us = cpu_us() - began;
    }
    printf("load %.0f ms, topology %.1f MiB, answer %.0f ns, %.1f bytes, %.1f %% NOERROR\n", (double)loaded_us / 1e3,
           mib, 1e3 * (double)took_us / (double)n, (double)bytes / (double)n, 100 * (double)noerror / (double)n);
    snapshot_unref(t);
    return 0;
}
