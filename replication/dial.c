// SPDX-License-Identifier: Apache-2.0
// Requests to another region's peer listener; see dial.h.
#include "replication/dial.h"

#include "base/err.h"
#include "config/endpoints.h"
#include "net/response_reader.h"

#include <stdio.h>
#include <string.h>

// Where to connect, and how both ends prove who they are.
static int target_set(const struct dialer *by, const struct topology *t, const struct region *to,
                      const char *target, struct dial *d)
{
    int n;
    bool stands_in = by->dial_socket &&
                     by->dial_socket(by->dial_ctx, to->name, d->socket, sizeof d->socket) == 0;
    if (stands_in) {
        n = snprintf(d->url, sizeof d->url, "http://%s.peer.%s%s", to->name, t->domain, target);
        d->q.unix_socket = d->socket;
    } else {
        n = snprintf(d->url, sizeof d->url, "https://%s.peer.%s:%u%s", to->name, t->domain,
                     to->peer.port, target);
        d->to = to->peer;
        d->q.connect_to = &d->to;
        d->q.ca_file = by->ca_file;
        d->q.client_pem = by->peer_pem;
        d->q.pinned = true;
        d->q.pins = to->peer_fingerprints;
        d->q.n_pins = to->n_peer_fingerprints;
    }
    if (n < 0 || (size_t)n >= sizeof d->url)
        return ERR_TOOBIG;
    return 0;
}

// Host says which registry's endpoint is called; the certificate is checked against the URL.
static int host_set(const struct topology *t, const char *region, const struct registry *reg,
                    struct dial *d)
{
    char name[HOSTNAME_TEXT_SIZE];
    const struct region *to = topology_region(t, region);
    enum name_kind kind = NAME_GLOBAL;
    if (to)
        kind = registry_name_there(reg, to->index);
    int rc = hostname_format(kind, t->domain, reg->label, region, NULL, name);
    if (rc)
        return rc;
    snprintf(d->host, sizeof d->host, "Host: %s", name);
    d->headers[d->q.n_headers++] = d->host;
    return 0;
}

int peer_dial(const struct dialer *by, const struct topology *t, const char *region,
              const char *target, const struct registry *reg, struct dial *out)
{
    const struct region *to = topology_region(t, region);
    if (!to)
        return ERR_NOTFOUND;
    memset(out, 0, sizeof *out);
    int rc = target_set(by, t, to, target, out);
    if (!rc && reg)
        rc = host_set(t, region, reg, out);
    if (rc)
        return rc;
    out->q.url = out->url;
    out->q.headers = out->headers;
    out->q.connect_timeout_ms = PEER_CONNECT_MS;
    out->q.peer = region;
    return 0;
}

// 0: the body came whole.
static int body_read(struct response_reader *f, int idle_ms, struct buf *body)
{
    uint8_t piece[4096];
    for (;;) {
        ssize_t n = response_reader_read(f, piece, sizeof piece, idle_ms);
        if (n <= 0)
            return (int)n;
        buf_add(body, piece, (size_t)n);
        if (body->err)
            return body->err;
    }
}

// Asks what was dialled, and reads the answer. Its status, and each piece, comes within so long.
static int dialled_get(const struct dialer *by, const struct dial *d, const char *region,
                       int idle_ms, size_t max, int *out_status, struct buf *out_body,
                       char error[ERROR_TEXT_SIZE])
{
    struct response_reader *f = NULL;
    int rc = response_reader_open(by->fetcher, &d->q, by->stop, &f);
    if (rc) {
        snprintf(error, ERROR_TEXT_SIZE, "%s: %s", region, err_text(rc));
        return rc;
    }
    struct buf body;
    buf_init(&body, max);
    int status = response_reader_status(f, idle_ms);
    if (status < 0)
        rc = status;
    else
        rc = body_read(f, idle_ms, &body);
    if (rc) {
        const char *m = response_reader_message(f);
        snprintf(error, ERROR_TEXT_SIZE, "%s: %s", region, *m ? m : err_text(rc));
        buf_done(&body);
    } else {
        *out_status = status;
        *out_body = body;
    }
    response_reader_close(f);
    return rc;
}

int peer_get(const struct dialer *by, const struct topology *t, const char *region,
             const char *target, const struct registry *reg, const char *accept, size_t max,
             int *out_status, struct buf *out_body, char error[ERROR_TEXT_SIZE])
{
    struct dial d;
    int rc = peer_dial(by, t, region, target, reg, &d);
    if (rc) {
        snprintf(error, ERROR_TEXT_SIZE, "%s: %s", region, err_text(rc));
        return rc;
    }
    if (accept) {
        snprintf(d.accept, sizeof d.accept, "Accept: %s", accept);
        d.headers[d.q.n_headers++] = d.accept;
    }
    d.q.timeout_ms = PEER_ANSWER_MS;
    return dialled_get(by, &d, region, PEER_ANSWER_MS, max, out_status, out_body, error);
}

int peer_get_page(const struct dialer *by, const struct topology *t, const char *region,
                  const char *target, size_t max, int *out_status, struct buf *out_body,
                  char error[ERROR_TEXT_SIZE])
{
    struct dial d;
    int rc = peer_dial(by, t, region, target, NULL, &d);
    if (rc) {
        snprintf(error, ERROR_TEXT_SIZE, "%s: %s", region, err_text(rc));
        return rc;
    }
    d.q.timeout_ms = PEER_PAGE_MS;
    d.q.idle_timeout_ms = PEER_PAGE_IDLE_MS;
    return dialled_get(by, &d, region, PEER_PAGE_IDLE_MS, max, out_status, out_body, error);
}
