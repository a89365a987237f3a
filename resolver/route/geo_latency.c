// SPDX-License-Identifier: Apache-2.0
// The reader of measured latencies; see geo_latency.h. The file is written by tools of the operator
// and by what they measured: nothing in it is believed.
#include "resolver/route/geo_latency.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 160 // the longest network, region and number are shorter
#define MS_MAX 60000
static const char header[] = "network,region,latency_ms";

struct reading {
    const char *path;
    const struct topology *t;
    struct diag *diag;
    struct geo_latencies *out;
    uint32_t line;
    bool nomem;
};

void geo_latencies_done(struct geo_latencies *l)
{
    free(l->rows);
    *l = (struct geo_latencies){0};
}

// "12", "12.5", "0.125" to microseconds.
static bool read_ms(const char *p, uint32_t *out)
{
    uint32_t ms = 0, us = 0, unit = 100, n = 0;
    for (; *p >= '0' && *p <= '9' && n < 6; p++, n++)
        ms = ms * 10 + (uint32_t)(*p - '0');
    if (n == 0 || ms > MS_MAX)
        return false;
    if (*p == '.') {
        if (!p[1])
            return false;
        for (p++; *p >= '0' && *p <= '9' && unit; p++, unit /= 10)
            us += (uint32_t)(*p - '0') * unit;
    }
    if (*p || (ms == MS_MAX && us))
        return false;
    *out = ms * 1000 + us;
    return true;
}

static void keep(struct reading *r, const struct geo_latency *row)
{
    struct geo_latencies *l = r->out;
    if (l->n == l->room) {
        size_t room = 1024;
        if (l->room)
            room = 2 * l->room;
        struct geo_latency *rows = mem_realloc(l->rows, room * sizeof *rows);
        r->nomem |= !rows;
        if (!rows)
            return;
        l->rows = rows;
        l->room = room;
    }
    l->rows[l->n++] = *row;
}

static void read_line(struct reading *r, char *text)
{
    struct geo_latency row = {.line = r->line};
    char *region = strchr(text, ','), *ms = NULL;
    if (region)
        ms = strchr(region + 1, ',');
    if (!ms) {
        diag_add(r->diag, r->path, (int)r->line, "expected %s", header);
        return;
    }
    *region++ = *ms++ = 0;
    if (cidr_parse(text, &row.net)) {
        diag_add(
            r->diag, r->path, (int)r->line,
            "expected a network without host bits, as in 198.51.100.0/24, before the first comma");
        return;
    }
    if (!hostname_region_ok(region)) {
        diag_add(r->diag, r->path, (int)r->line, "expected a region's name between the commas");
        return;
    }
    if (!read_ms(ms, &row.us)) {
        diag_add(r->diag, r->path, (int)r->line,
                 "expected milliseconds from 0 to 60000, with at most three digits after a point");
        return;
    }
    const struct region *known = topology_region(r->t, region);
    if (known) {
        row.region = known->index;
        keep(r, &row);
    } else if (!r->out->n_unknown++) {
        r->out->unknown_line = r->line;
    }
}

static int by_network(const void *a, const void *b)
{
    const struct geo_latency *x = a, *y = b;
    int c = memcmp(x->net.ip.b, y->net.ip.b, sizeof x->net.ip.b);
    if (!c)
        c = (int)x->net.bits - (int)y->net.bits;
    if (!c)
        c = (int)x->region - (int)y->region;
    if (c)
        return c;
    return (x->line > y->line) - (x->line < y->line);
}

static void check_twice(struct reading *r)
{
    char text[CIDR_TEXT_SIZE];
    for (size_t i = 1; i < r->out->n; i++) {
        const struct geo_latency *x = &r->out->rows[i - 1], *y = &r->out->rows[i];
        if (!memcmp(&x->net, &y->net, sizeof x->net) && x->region == y->region)
            diag_add(r->diag, r->path, (int)y->line, "%s and %s stand on line %u already",
                     cidr_format(&y->net, text), r->t->regions[y->region].name, x->line);
    }
}

int geo_latency_parse(const char *text, size_t n, const char *path, const struct topology *t,
                      struct diag *diag, struct geo_latencies *out)
{
    struct geo_latencies l = {0};
    struct reading r = {.path = path, .t = t, .diag = diag, .out = &l};
    size_t said = diag_count(diag);
    char line[LINE_MAX_BYTES + 1];
    for (const char *p = text, *end = text + n; p < end && !r.nomem;) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        size_t len = (size_t)((stop ? stop : end) - p);
        const char *from = p;
        if (stop)
            p = stop + 1;
        else
            p = end;
        r.line++;
        if (len && from[len - 1] == '\r')
            len--;
        if (!len || *from == '#')
            continue;
        if (len > LINE_MAX_BYTES || memchr(from, 0, len)) {
            diag_add(diag, path, (int)r.line, "not a line of text that could be a measurement");
            continue;
        }
        memcpy(line, from, len);
        line[len] = 0;
        if (r.line > 1 || strcmp(line, header))
            read_line(&r, line);
    }
    if (l.n)
        qsort(l.rows, l.n, sizeof *l.rows, by_network);
    check_twice(&r);
    if (r.nomem || diag_count(diag) > said) {
        geo_latencies_done(&l);
        if (r.nomem)
            return ERR_NOMEM;
        return ERR_INVAL;
    }
    *out = l;
    return 0;
}

int geo_latency_load(const char *path, const struct topology *t, struct diag *diag,
                     struct geo_latencies *out)
{
    struct buf text AUTO_BUF;
    buf_init(&text, 0);
    int rc = file_read(path, GEO_LATENCY_MAX_BYTES, &text);
    if (rc) {
        diag_add(diag, path, 0, "cannot be read: %s", err_text(rc));
        return rc;
    }
    return geo_latency_parse(buf_cstr(&text), text.n, path, t, diag, out);
}
