// SPDX-License-Identifier: Apache-2.0
// What answering costs without sockets: loads a topology, then runs answer_packet over packed queries, in batches as a
// worker does. Times are of the processor, not of the wall: neighbours do not count.
//   dns_cost TOPOLOGY QUERIES [SECONDS]
#include "bench/dns/queries.h"

#include "base/diag.h"
#include "base/fd.h"
#include "config/catalogue.h"
#include "config/topology.h"
#include "resolver/answer.h"

#include <malloc.h>
#include <time.h>

#define BATCH 32

static int64_t cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: dns_cost TOPOLOGY QUERIES [SECONDS]\n");
        return 2;
    }
    struct queries q = {0};
    struct topology *t = NULL;
    struct diag d;
    queries_read(&q, argv[2], 0);
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
