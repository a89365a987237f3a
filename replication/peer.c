// SPDX-License-Identifier: Apache-2.0
// Reaching another region's peer listener: mutual TLS to "<region>.peer.<D>" at the address that
// the topology gives, so that nobody needs DNS to find a region. Called from this room's own
// threads.
#include "replication/replication_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "net/response_reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// an inbound contact after so long without one says that the region is back
#define INBOUND_CONTACT_QUIET_MS 3000
#define INBOUND_CONTACT_TRY_MS 500 // a connection takes so long at most where nothing is lost

int peer_dial(struct replicator *r, const struct topology *t, const char *region,
              const char *target, const struct registry *reg, struct dial *out)
{
    const struct region *to = topology_region(t, region);
    if (!to)
        return ERR_NOTFOUND;
    memset(out, 0, sizeof *out);
    int n;
    if (r->o.dial_socket &&
        !r->o.dial_socket(r->o.dial_ctx, region, out->socket, sizeof out->socket)) {
        n = snprintf(out->url, sizeof out->url, "http://%s.peer.%s%s", region, t->domain, target);
        out->q.unix_socket = out->socket;
    } else {
        n = snprintf(out->url, sizeof out->url, "https://%s.peer.%s:%u%s", region, t->domain,
                     to->peer.port, target);
        out->to = to->peer;
        out->q.connect_to = &out->to;
        out->q.ca_file = r->o.ca_file;
        out->q.client_pem = r->o.peer_pem;
        out->q.pinned = true;
        out->q.pins = to->peer_fingerprints;
        out->q.n_pins = to->n_peer_fingerprints;
    }
    if (n < 0 || (size_t)n >= sizeof out->url)
        return ERR_TOOBIG;
    // which registry's endpoint is called stands in Host; the certificate is checked against the
    // URL
    if (reg) {
        char name[HOSTNAME_TEXT_SIZE];
        int rc;
        if (reg->regional_endpoints)
            rc = hostname_format(NAME_REGIONAL, t->domain, reg->label, region, NULL, name);
        else
            rc = hostname_format(NAME_GLOBAL, t->domain, reg->label, NULL, NULL, name);
        if (rc)
            return rc;
        snprintf(out->host, sizeof out->host, "Host: %s", name);
        out->headers[out->q.n_headers++] = out->host;
    }
    out->q.url = out->url;
    out->q.headers = out->headers;
    out->q.connect_timeout_ms = PEER_CONNECT_MS;
    out->q.peer = region;
    return 0;
}

int peer_get(struct replicator *r, const struct topology *t, const char *region, const char *target,
             const struct registry *reg, const char *accept, size_t max, int *out_status,
             struct buf *out_body, char error[ERROR_TEXT_SIZE])
{
    struct dial d;
    struct response_reader *f = NULL;
    int rc = peer_dial(r, t, region, target, reg, &d);
    if (!rc && accept) {
        snprintf(d.accept, sizeof d.accept, "Accept: %s", accept);
        d.headers[d.q.n_headers++] = d.accept;
    }
    d.q.timeout_ms = PEER_ANSWER_MS;
    if (!rc)
        rc = response_reader_open(r->o.fetcher, &d.q, &r->stopping, &f);
    if (rc) {
        snprintf(error, ERROR_TEXT_SIZE, "%s: %s", region, err_text(rc));
        return rc;
    }
    struct buf body;
    buf_init(&body, max);
    int status = response_reader_status(f, PEER_ANSWER_MS);
    ssize_t n = 1;
    if (status < 0)
        n = status;
    uint8_t piece[4096];
    while (n > 0 && (n = response_reader_read(f, piece, sizeof piece, PEER_ANSWER_MS)) > 0) {
        buf_add(&body, piece, (size_t)n);
        if (body.err)
            n = body.err;
    }
    if (n < 0) {
        const char *m = response_reader_message(f);
        snprintf(error, ERROR_TEXT_SIZE, "%s: %s", region, *m ? m : err_text((int)n));
        buf_done(&body);
    } else {
        *out_status = status;
        *out_body = body;
    }
    response_reader_close(f);
    if (n < 0)
        return (int)n;
    return 0;
}

void peer_seen(struct peer *p)
{
    pthread_mutex_lock(&p->r->lock);
    p->last_contact_ms = clock_wall_ms();
    if (p->heard_mono != INT64_MAX)
        p->heard_mono = clock_mono_ms();
    p->n_seen++;
    if (p->away || !p->known)
        beats_kick(p->r);
    pthread_mutex_unlock(&p->r->lock);
}

// Does the reader wait for something that TCP will bring late or never, now that the region is seen
// to be there? Only the first inbound contact after a while says so: where the way is open in one
// direction alone, inbound contacts come all the time. Under r->lock.
static bool waits_in_vain(const struct peer *p, int64_t now)
{
    if (now - p->inbound_contact_mono < INBOUND_CONTACT_QUIET_MS)
        return false;
    if (p->connected)
        return peer_silence_ms(p) > p->beat_ms + FEED_SLACK_MS;
    return p->trying && now - p->try_mono > INBOUND_CONTACT_TRY_MS;
}

void replicator_inbound_contact(struct replicator *r, const char *region)
{
    struct peer *p = NULL;
    if (r)
        p = replicator_peer(r, region);
    if (!p)
        return;
    int64_t now = clock_mono_ms();
    pthread_mutex_lock(&r->lock);
    if (waits_in_vain(p, now))
        p->hang_up = true;
    // one that refuses us may ask all the time
    bool back = now - p->inbound_contact_mono >= INBOUND_CONTACT_QUIET_MS;
    p->inbound_contact_mono = now;
    if (!p->connected && (p->unreached || back)) {
        p->n_inbound_contacts++;
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
}

void peer_failed(struct peer *p, const char *fmt, ...)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    char text[ERROR_TEXT_SIZE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&p->r->lock);
    bool stopping = p->r->stopping;
    p->failures++;
    p->ahead = 0;
    p->stuck = 0;
    memcpy(p->last_error, text, sizeof text);
    pthread_mutex_unlock(&p->r->lock);
    if (!stopping)
        log_limited(&limit, LOG_WARN, "replication: feed of %s: %s", p->name, text);
}

void peer_stuck(struct peer *p, int rc)
{
    static struct log_limit limit = LOG_LIMIT(5000);
    char text[ERROR_TEXT_SIZE] = "";
    if (rc == ERR_NOSPACE)
        snprintf(text, sizeof text,
                 "no space in %s: its disk is full, so nothing that is read can be noted",
                 p->r->o.region);
    else if (rc)
        snprintf(text, sizeof text, "%s cannot note what it reads: %s", p->r->o.region,
                 err_text(rc));
    pthread_mutex_lock(&p->r->lock);
    bool again = p->stuck == rc, stopping = p->r->stopping;
    p->stuck = rc;
    if (rc)
        p->heard_mono = INT64_MAX; // it is we who do not listen
    if (!again)
        memcpy(p->last_error, text, sizeof text);
    pthread_mutex_unlock(&p->r->lock);
    room_wrote(p->r->room, rc);
    if (rc && !again && !stopping)
        log_limited(&limit, LOG_WARN, "replication: feed of %s: %s", p->name, text);
}

void peer_clock_ahead(struct peer *p, uint64_t stamp)
{
    static struct log_limit limit = LOG_LIMIT(10000);
    char text[ERROR_TEXT_SIZE], at[CLOCK_TEXT_SIZE], until[CLOCK_TEXT_SIZE];
    uint32_t skew_ms = p->r->skew_ms;
    snprintf(text, sizeof text,
             "its next entry is stamped %s, more than %u s ahead of this region's clock: it is "
             "taken at %s, or when %s "
             "has repaired its clock",
             clock_format(hlc_wall_ms(stamp), at), skew_ms / 1000,
             clock_format(hlc_wall_ms(stamp) - skew_ms, until), p->name);
    pthread_mutex_lock(&p->r->lock);
    if (!p->ahead)
        p->ahead_since_ms = clock_wall_ms();
    p->ahead = stamp;
    memcpy(p->last_error, text, sizeof text);
    pthread_mutex_unlock(&p->r->lock);
    log_limited(&limit, LOG_WARN, "replication: feed of %s: %s", p->name, text);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

size_t shared_registries(const struct topology *t, uint8_t a, uint8_t b, const char **out,
                         size_t cap)
{
    region_set both = (region_set)1 << a | (region_set)1 << b;
    size_t n = 0;
    struct catalogue_iter it = {0};
    for (const struct registry *r; (r = topology_next(t, &it));) {
        if ((r->replica_set & both) != both)
            continue;
        if (out && n < cap)
            out[n] = r->name;
        n++;
    }
    if (out)
        qsort(out, n < cap ? n : cap, sizeof *out, by_name);
    return n;
}
