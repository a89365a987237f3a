// SPDX-License-Identifier: Apache-2.0
// The query log; see querylog.h.
#include "resolver/log/querylog.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "resolver/packet/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define OUT_BYTES (128 << 10) // written when so much has gathered, and every turn
#define LINE_BYTES 2048       // a name of 255 octets, all escaped, is 1,020

static _Atomic uint64_t n_written, n_failed;

struct querylog {
    const struct metrics_names *names;
    enum node_dns_client client;
    char *path;
    int fd;
    // the file ends inside a line
    bool torn;
    unsigned n_lines;
    struct buf out;
};

uint64_t querylog_written(void)
{
    return atomic_load_explicit(&n_written, memory_order_relaxed);
}

uint64_t querylog_failed(void)
{
    return atomic_load_explicit(&n_failed, memory_order_relaxed);
}

// ---- the worker's side ----

static void note(struct ring *r, const struct log_event *e)
{
    const struct answer_info *info = e->info;
    size_t name_n = 0;
    if (info->question_n > 4)
        name_n = info->question_n - 4u;
    if (name_n > DNS_NAME_MAX || DNS_HEADER_BYTES + name_n > e->query_n)
        name_n = 0;
    struct querylog_record *q = ring_reserve(r, offsetof(struct querylog_record, name) + name_n);
    if (!q)
        return;
    q->wall_ms = clock_wall_ms();
    q->client = e->client->ip;
    q->port = e->client->port;
    q->rcode = (int16_t)info->rcode;
    q->type = info->type;
    q->response_n = (uint16_t)e->response_n;
    q->transport = (uint8_t)e->transport;
    q->kind = info->kind;
    q->mode = info->mode;
    q->view_slot = (uint8_t)metrics_view_slot(e->metrics, info->view);
    q->region_slot = (uint8_t)metrics_region_slot(e->metrics, info->region);
    q->truncated = info->truncated;
    q->cookie_valid = info->cookie_valid;
    q->waited = e->wait != NULL;
    if (e->wait)
        q->wait = *e->wait;
    q->name_n = (uint8_t)name_n;
    memcpy(q->name, e->query + DNS_HEADER_BYTES, name_n);
    ring_commit(r);
}

// ---- lines ----

static bool is_plain(uint8_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
        return true;
    if (c >= '0' && c <= '9')
        return true;
    return c == '-' || c == '_' || c == '*';
}

// RFC 1035 section 5.1, with every byte outside of letters, digits, '-', '_' and '*' as \DDD: what
// is left needs no escape in JSON but the backslash.
static void put_name(const struct querylog_record *r, struct buf *out)
{
    size_t at = 0;
    if (r->name_n <= 1)
        buf_str(out, r->name_n ? "." : "");
    while (at < r->name_n && r->name[at]) {
        size_t end = at + 1 + r->name[at];
        for (at++; at < end && at < r->name_n; at++) {
            if (is_plain(r->name[at]))
                buf_u8(out, r->name[at]);
            else
                buf_printf(out, "\\\\%03u", r->name[at]);
        }
        buf_u8(out, '.');
    }
}

static void put_client(const struct querylog_record *r, enum node_dns_client how, struct buf *out)
{
    char text[CIDR_TEXT_SIZE];
    struct cidr c = {r->client, ip_is_v4(&r->client) ? 96 + 24 : 48};
    if (how == CLIENT_NONE)
        return;
    if (how == CLIENT_FULL) {
        buf_printf(out, "\"client\":\"%s\",\"port\":%u,", ip_format(&r->client, text), r->port);
        return;
    }
    memset(c.ip.b + c.bits / 8, 0, sizeof c.ip.b - c.bits / 8);
    buf_printf(out, "\"client\":\"%s\",", cidr_format(&c, text));
}

// How long it waited, and for which upstream.
static void put_wait(const struct journal_wait *w, struct buf *out)
{
    char text[ENDPOINT_TEXT_SIZE];
    buf_printf(out, ",\"waitedMs\":%u", w->ms);
    if (w->upstream.port)
        buf_printf(out, ",\"upstream\":\"%s\"", endpoint_format(&w->upstream, text));
}

static const char *kind_of(const struct querylog_record *r)
{
    if (r->waited && r->wait.forwarded)
        return "forward";
    if (r->kind <= NAME_INVALID)
        return hostname_kind_name((enum name_kind)r->kind);
    return "invalid";
}

void querylog_format(const struct querylog_record *r, const struct metrics_names *names,
                     enum node_dns_client client, struct buf *out)
{
    static const char *const transports[] = {"udp", "tcp", "tls"};
    char when[CLOCK_TEXT_SIZE];
    const char *type = metrics_type_name(r->type);
    buf_printf(out, "{\"time\":\"%s\",", clock_format(r->wall_ms, when));
    put_client(r, client, out);
    buf_printf(out, "\"transport\":\"%s\",\"name\":\"",
               r->transport < ARRAY_LEN(transports) ? transports[r->transport] : "unknown");
    put_name(r, out);
    if (type)
        buf_printf(out, "\",\"type\":\"%s\"", type);
    else
        buf_printf(out, "\",\"type\":\"TYPE%u\"", r->type);
    // Names of views come from the topology, whose grammar of names has nothing to escape.
    buf_printf(out, ",\"kind\":\"%s\",\"view\":\"%s\",\"rcode\":\"%s\"", kind_of(r),
               metrics_view_name(names, r->view_slot), metrics_rcode_name(r->rcode));
    if (r->region_slot < METRICS_REGIONS) {
        buf_printf(out, ",\"region\":\"%s\"", metrics_region_name(names, r->region_slot));
        if (r->kind == NAME_GLOBAL || r->kind == NAME_GLOBAL_PRIVATE)
            buf_printf(out, ",\"reason\":\"%s\"", route_mode_name((enum route_mode)r->mode));
    }
    if (r->waited)
        put_wait(&r->wait, out);
    buf_printf(out, ",\"bytes\":%u,\"truncated\":%s,\"cookie\":%s}\n", r->response_n,
               r->truncated ? "true" : "false", r->cookie_valid ? "true" : "false");
}

// ---- the file ----

static int file_open(const char *path, int *out_fd)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0640);
    if (fd < 0)
        return err_from_errno(errno);
    *out_fd = fd;
    return 0;
}

static void write_out(void *ctx)
{
    struct querylog *q = ctx;
    static struct log_limit lim = LOG_LIMIT(60000);
    size_t at = 0;
    if (q->out.n == 0)
        return;
    if (q->torn && write(q->fd, "\n", 1) == 1)
        q->torn = false;
    while (!q->torn && at < q->out.n) {
        ssize_t n = write(q->fd, q->out.p + at, q->out.n - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    unsigned whole = 0; // lines that are in the file
    for (size_t i = 0; i < at; i++)
        whole += q->out.p[i] == '\n';
    if (at < q->out.n) {
        log_limited(&lim, LOG_WARN, "dns: %s: queries are not logged: %s", q->path,
                    strerror(errno));
        q->torn = q->torn || (at && q->out.p[at - 1] != '\n');
    }
    atomic_fetch_add_explicit(&n_written, whole, memory_order_relaxed);
    atomic_fetch_add_explicit(&n_failed, q->n_lines - whole, memory_order_relaxed);
    q->n_lines = 0;
    buf_clear(&q->out);
}

static void on_record(void *ctx, const void *p, size_t n)
{
    struct querylog *q = ctx;
    (void)n;
    if (q->out.n + LINE_BYTES > OUT_BYTES)
        write_out(q);
    size_t before = q->out.n;
    querylog_format(p, q->names, q->client, &q->out);
    if (q->out.err) { // out of memory: no half line
        size_t keep = before;
        q->out.err = 0;
        q->out.n = keep;
        atomic_fetch_add_explicit(&n_failed, 1, memory_order_relaxed);
        return;
    }
    q->n_lines++;
}

static void on_reopen(void *ctx)
{
    struct querylog *q = ctx;
    int fd = -1, rc;
    write_out(q);
    rc = file_open(q->path, &fd);
    if (rc) {
        log_error("dns: %s: cannot be opened again, the old file is written on: %s", q->path,
                  err_text(rc));
        return;
    }
    close(q->fd);
    q->fd = fd;
    q->torn = false;
}

static void on_free(void *ctx)
{
    struct querylog *q = ctx;
    if (q->fd >= 0) {
        write_out(q);
        close(q->fd);
    }
    buf_done(&q->out);
    free(q->path);
    free(q);
}

static int start(const struct node_dns *settings, const struct metrics_names *names,
                 unsigned n_workers, struct diag *diag, struct sink **out)
{
    const struct node_dns_query_log *o = &settings->query_log;
    if (!o->file)
        return 0;
    static const struct sink_ops ops = {
        .record = on_record, .turn = write_out, .reopen = on_reopen, .free = on_free};
    struct querylog *q = mem_zalloc(sizeof *q);
    if (!q)
        return ERR_NOMEM;
    q->names = names;
    q->client = o->client;
    q->fd = -1;
    buf_init(&q->out, OUT_BYTES);
    q->path = mem_strdup(o->file);
    int rc = ERR_NOMEM;
    if (q->path)
        rc = file_open(o->file, &q->fd);
    if (rc) {
        diag_add(diag, NULL, 0, "dns.query_log.file: %s: %s", o->file, err_text(rc));
        on_free(q);
        return rc;
    }
    return sink_start("query-log", n_workers, o->buffer_bytes, &ops, q, out);
}

static unsigned every(const struct node_dns *settings)
{
    return settings->query_log.sample;
}

const struct sink_kind querylog_kind = {.name = "query",
                                        .start = start,
                                        .every = every,
                                        .note = note,
                                        .written = querylog_written,
                                        .failed = querylog_failed};
