// SPDX-License-Identifier: Apache-2.0
// Queries packed before the clock starts, from lines "name TYPE" (A, AAAA, CNAME, TXT). For the
// bench programs only.
#ifndef MERIDIAN_BENCH_DNS_QUERIES_H
#define MERIDIAN_BENCH_DNS_QUERIES_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUERY_MAX 288

struct query {
    uint32_t at;
    uint16_t n;
};

struct queries {
    uint8_t *bytes;
    struct query *q;
    size_t n, n_bytes, cap, cap_bytes;
};

// subnet: a Client Subnet, each its own /24
enum query_edns { QUERY_PLAIN, QUERY_EDNS, QUERY_DO, QUERY_SUBNET };

static inline size_t query_pack(const char *name, const char *type, enum query_edns edns,
                                uint8_t out[QUERY_MAX])
{
    static const uint8_t header[12] = {0, 0, 0, 0, 0, 1}, opt[11] = {0, 0, 41, 4, 208};
    size_t n = sizeof header;
    memcpy(out, header, n);
    for (const char *p = name; *p;) {
        size_t len = strcspn(p, ".");
        if (len == 0 || len > 63 || n + len + 2 > 255)
            return 0;
        out[n++] = (uint8_t)len;
        memcpy(out + n, p, len);
        n += len;
        p += len + (p[len] == '.');
    }
    uint8_t t = !strcmp(type, "AAAA")    ? 28
                : !strcmp(type, "CNAME") ? 5
                : !strcmp(type, "TXT")   ? 16
                                         : 1;
    memcpy(out + n, (uint8_t[]){0, 0, t, 0, 1}, 5);
    n += 5;
    if (edns) {
        out[11] = 1;
        memcpy(out + n, opt, sizeof opt);
        out[n + 7] = edns == QUERY_DO ? 0x80 : 0;
        n += sizeof opt;
    }
    if (edns == QUERY_SUBNET) {
        static uint32_t x = 1;
        x = x * 1664525u + 1013904223u;
        const uint8_t option[11] = {0,
                                    8,
                                    0,
                                    7,
                                    0,
                                    1,
                                    24,
                                    0,
                                    (uint8_t)(1 + (x >> 24) % 223),
                                    (uint8_t)(x >> 16),
                                    (uint8_t)(x >> 8)};
        out[n - 1] = sizeof option;
        memcpy(out + n, option, sizeof option);
        n += sizeof option;
    }
    return n;
}

static inline void queries_read(struct queries *x, const char *path, enum query_edns edns)
{
    char name[300], type[16];
    uint8_t packet[QUERY_MAX];
    FILE *f = fopen(path, "r");
    if (!f) {
        perror(path);
        exit(1);
    }
    while (fscanf(f, "%299s %15s", name, type) == 2) {
        size_t n = query_pack(name, type, edns, packet);
        if (x->n == x->cap)
            x->q = realloc(x->q, (x->cap = 2 * x->cap + 4096) * sizeof *x->q);
        if (x->n_bytes + n > x->cap_bytes)
            x->bytes = realloc(x->bytes, x->cap_bytes = 2 * x->cap_bytes + 65536);
        if (!n || !x->q || !x->bytes) {
            fprintf(stderr, "%s: cannot take %s\n", path, name);
            exit(1);
        }
        memcpy(x->bytes + x->n_bytes, packet, n);
        x->q[x->n++] = (struct query){(uint32_t)x->n_bytes, (uint16_t)n};
        x->n_bytes += n;
    }
    fclose(f);
    if (!x->n) {
        fprintf(stderr, "%s: no queries\n", path);
        exit(1);
    }
}

#endif
