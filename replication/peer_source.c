// SPDX-License-Identifier: Apache-2.0
// Asking another region for content; see peer_source.h. On the thread that fetches.
#include "replication/peer_source.h"

#include "base/err.h"
#include "base/exposition.h"
#include "base/mem.h"
#include "net/response_reader.h"
#include "replication/bandwidth.h"
#include "replication/clock_report.h"
#include "replication/damage_notice.h"
#include "replication/job_queue.h"
#include "replication/peer.h"
#include "replication/peers.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char *const manifest_accept =
    "Accept: application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "*/*";

struct source_body {
    struct response_reader *reader;
    const char *region;
    enum content_kind kind;
    struct peer *peer;
    const _Atomic bool *urgent, *stop;
};

static const char *path_of(enum content_kind kind)
{
    switch (kind) {
    case CONTENT_MANIFEST:
        return "manifests";
    case CONTENT_BLOB:
        return "blobs";
    }
    return "";
}

// Why the request, or its answer, broke off.
static void say_broken(const struct source_body *b, int rc, char error[CONTENT_TEXT_SIZE])
{
    const char *message = "";
    if (b->reader)
        message = response_reader_message(b->reader);
    if (!*message)
        message = err_text(rc);
    if (b->kind == CONTENT_MANIFEST)
        snprintf(error, CONTENT_TEXT_SIZE, "%s: %s", b->region, message);
    else
        snprintf(error, CONTENT_TEXT_SIZE, "%s: blob: %s", b->region, message);
}

static void add_header(struct dial *d, const char *header)
{
    d->headers[d->q.n_headers++] = header;
}

// Sends the request. The topology is held while the request still borrows from it.
static int request(struct peer *p, const struct topology *t, const struct content_ask *ask,
                   const _Atomic bool *stop, struct response_reader **out)
{
    const struct registry *reg = topology_registry_by_key(t, ask->registry);
    if (!reg)
        return ERR_NOTFOUND;
    char target[512], text[DIGEST_TEXT_SIZE];
    snprintf(target, sizeof target, "/v2/%s/%s/%s", ask->repository, path_of(ask->kind),
             digest_format(&ask->digest, text));
    struct dial d;
    int rc = peer_dial(&peer_replicator(p)->dialer, t, peer_name(p), target, reg, &d);
    if (rc)
        return rc;
    if (ask->to)
        snprintf(d.range, sizeof d.range, "Range: bytes=%" PRIu64 "-%" PRIu64, ask->from,
                 ask->to - 1);
    else
        snprintf(d.range, sizeof d.range, "Range: bytes=%" PRIu64 "-", ask->from);
    if (ask->from || ask->to)
        add_header(&d, d.range);
    if (ask->kind == CONTENT_MANIFEST) {
        add_header(&d, manifest_accept);
        d.q.timeout_ms = PEER_ANSWER_MS;
    } else {
        d.q.idle_timeout_ms = SOURCE_IDLE_MS;
    }
    return response_reader_open(peer_replicator(p)->o.fetcher, &d.q, stop, out);
}

static ssize_t peer_read(struct source_body *b, void *to, size_t cap, char error[CONTENT_TEXT_SIZE])
{
    int wait_ms = SOURCE_IDLE_MS;
    if (b->kind == CONTENT_MANIFEST)
        wait_ms = PEER_ANSWER_MS;
    ssize_t n = response_reader_read(b->reader, to, cap, wait_ms);
    if (n > 0 && b->kind == CONTENT_BLOB) {
        int rc = bandwidth_take(peer_replicator(b->peer)->bandwidth, peer_line(b->peer), (size_t)n,
                                b->urgent, b->stop);
        if (rc)
            n = rc;
    }
    if (n < 0)
        say_broken(b, (int)n, error);
    return n;
}

static void peer_close(struct source_body *b)
{
    response_reader_close(b->reader);
    free(b);
}

// Reads a refusal to its end, so that its connection can be used again.
static int refusal_read(struct source_body *b, char error[CONTENT_TEXT_SIZE])
{
    char piece[4096];
    ssize_t n;
    do
        n = peer_read(b, piece, sizeof piece, error);
    while (n > 0);
    return (int)n;
}

// What a status that brings no content means.
static int refused(struct source_body *b, int status, char error[CONTENT_TEXT_SIZE])
{
    if (b->kind == CONTENT_MANIFEST) {
        int rc = refusal_read(b, error);
        if (rc)
            return rc;
    }
    snprintf(error, CONTENT_TEXT_SIZE, "%s: %s: answered %d", b->region, content_kind_name(b->kind),
             status);
    if (status == 404)
        return ERR_NOTFOUND;
    if (status == 416 && b->kind == CONTENT_BLOB)
        return ERR_RANGE;
    return ERR_PROTO;
}

static int answer(struct source_body *b, const struct content_ask *ask, uint64_t *out_from,
                  char error[CONTENT_TEXT_SIZE])
{
    int status = response_reader_status(b->reader, PEER_ANSWER_MS);
    if (status < 0) {
        say_broken(b, status, error);
        return status;
    }
    if (status == 200 && ask->to)
        return ERR_UNSUPPORTED;
    if (status == 200) {
        *out_from = 0;
        return 0;
    }
    if (status == 206 && ask->kind == CONTENT_BLOB) {
        *out_from = ask->from;
        return 0;
    }
    return refused(b, status, error);
}

static int peer_open(void *ctx, const struct content_ask *ask, const _Atomic bool *stop,
                     struct source_body **out, uint64_t *out_from, char error[CONTENT_TEXT_SIZE])
{
    struct peer *p = ctx;
    struct source_body *b = mem_zalloc(sizeof *b);
    if (!b)
        return ERR_NOMEM;
    b->region = peer_name(p);
    b->kind = ask->kind;
    b->peer = p;
    b->urgent = ask->urgent;
    b->stop = stop;
    struct topology *t = snapshot_get(peer_replicator(p)->o.topology);
    int rc = ERR_NOTFOUND;
    if (t)
        rc = request(p, t, ask, stop, &b->reader);
    snapshot_unref(t);
    if (rc)
        say_broken(b, rc, error);
    else
        rc = answer(b, ask, out_from, error);
    if (rc) {
        peer_close(b);
        return rc;
    }
    *out = b;
    return 0;
}

static bool peer_away(void *ctx)
{
    return peer_is_away(ctx);
}

static void peer_tell_wrong(void *ctx, const struct content_ask *ask)
{
    struct peer *p = ctx;
    struct topology *t = snapshot_get(peer_replicator(p)->o.topology);
    if (t)
        damage_notice_send(p, t, ask);
    snapshot_unref(t);
}

static const struct source_ops peer_ops = {.open = peer_open,
                                           .read = peer_read,
                                           .close = peer_close,
                                           .away = peer_away,
                                           .tell_wrong = peer_tell_wrong};

int peer_source_new(struct peer *p, struct source **out)
{
    return source_new(peer_name(p), &peer_ops, p, out);
}

static int64_t near_step(const struct near_source *s)
{
    if (s->ms == NEAR_UNKNOWN)
        return NEAR_UNKNOWN;
    return s->ms / NEAR_STEP_MS;
}

void near_order(struct near_source *list, size_t n, size_t from)
{
    for (size_t i = from + 1; i < n; i++) {
        const struct near_source moved = list[i];
        size_t at = i;
        for (; at > from && near_step(&list[at - 1]) > near_step(&moved); at--)
            list[at] = list[at - 1];
        list[at] = moved;
    }
}

static struct near_source near_of(struct replicator *r, struct peer *p)
{
    struct near_source near = {.source = peer_source(p), .ms = NEAR_UNKNOWN};
    int64_t offset_ms, error_ms;
    if (clock_report_offset(r->clocks, peer_name(p), &offset_ms, &error_ms))
        near.ms = error_ms;
    return near;
}

size_t peer_sources(struct replicator *r, const struct topology *t, const struct registry *reg,
                    const char *origin, bool spread, struct source *out[TOPOLOGY_MAX_REGIONS])
{
    struct near_source list[TOPOLOGY_MAX_REGIONS];
    size_t n = 0, from = 0;
    const struct region *o = topology_region(t, origin);
    struct peer *first = NULL;
    if (o && registry_replica(reg, o->index))
        first = peers_find(r->peers, origin);
    if (first)
        list[n++] = near_of(r, first);
    if (first && !spread)
        from = 1;
    for (size_t i = 0; i < reg->n_replicas && n < TOPOLOGY_MAX_REGIONS; i++) {
        struct peer *p = peers_find(r->peers, t->regions[reg->replicas[i].region].name);
        if (p && p != first)
            list[n++] = near_of(r, p);
    }
    near_order(list, n, from);
    for (size_t i = 0; i < n; i++)
        out[i] = list[i].source;
    return n;
}

unsigned streams_of(int64_t half_ms, uint64_t size)
{
    bool is_far = half_ms != NEAR_UNKNOWN && half_ms >= STREAMS_ROUND_TRIP_MS / 2;
    if (is_far && size >= STREAMS_BLOB_MIN)
        return STREAMS_OF_BLOB;
    return 1;
}

unsigned peer_source_streams(struct replicator *r, struct source *const *sources, size_t n,
                             uint64_t size)
{
    struct peer *first = NULL;
    if (n)
        first = peers_find(r->peers, source_name(sources[0]));
    if (!first)
        return 1;
    return streams_of(near_of(r, first).ms, size);
}

unsigned peer_source_max(struct replicator *r)
{
    size_t n = job_queue_workers(r->jobs);
    if (peers_count(r->peers) > 1 && n > 1)
        return (unsigned)n - 1;
    return UINT_MAX;
}

static void bandwidth_metric(struct replicator *r, const char *name, bool bytes, struct buf *out)
{
    for (size_t i = 0; i < peers_count(r->peers); i++) {
        struct peer *p = peers_at(r->peers, i);
        struct bandwidth_line line;
        bandwidth_look(r->bandwidth, peer_line(p), &line);
        exposition_begin(out, name);
        exposition_label(out, "region", peer_name(p));
        if (bytes)
            exposition_value(out, (double)line.bytes);
        else
            exposition_value(out, (double)line.waited_us / 1e6);
    }
}

static void bandwidth_metrics(struct replicator *r, struct buf *out)
{
    static const char bytes[] = "meridian_replication_fetched_bytes_total";
    static const char waited[] = "meridian_replication_fetch_waited_seconds_total";
    exposition_family(out, bytes, "counter", "Bytes of blobs that were fetched from a region.");
    bandwidth_metric(r, bytes, true, out);
    exposition_family(out, waited, "counter",
                      "Seconds for which such fetches were held back for bandwidth, all together.");
    bandwidth_metric(r, waited, false, out);
    exposition_single(out, "meridian_replication_fetch_rate_bytes", "gauge",
                      "Bytes a second that may be fetched from all regions together now, 0 for no "
                      "limit.",
                      (double)bandwidth_rate(r->bandwidth));
}

void peer_source_metrics(struct replicator *r, struct buf *out)
{
    exposition_family(out, "meridian_replication_wrong_bytes_total", "counter",
                      "Contents of a region that were not what their digest says.");
    for (size_t i = 0; i < peers_count(r->peers); i++) {
        const struct peer *p = peers_at(r->peers, i);
        struct source_view v;
        source_look(peer_source(p), &v);
        exposition_begin(out, "meridian_replication_wrong_bytes_total");
        exposition_label(out, "region", peer_name(p));
        exposition_value(out, (double)v.n_wrong);
    }
    bandwidth_metrics(r, out);
}
