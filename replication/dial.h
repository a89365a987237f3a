// SPDX-License-Identifier: Apache-2.0
// Reaching another region's peer listener: mutual TLS to "<region>.peer.<D>" at the address that
// the topology gives, so that nobody needs DNS to find a region.
//
//   struct dial d;
//   rc = peer_dial(dialer, topology, "westeurope", "/replication/v1/clock", NULL, &d);
//   if (rc)
//       return rc;
//   d.q.timeout_ms = 2000;
//   rc = fetch_start(dialer->fetcher, &d.q, on_answer, NULL);
//
// A dialer is constant; any thread. A dial belongs to its caller and may not be copied: the request
// points into it.
#ifndef MERIDIAN_REPLICATION_DIAL_H
#define MERIDIAN_REPLICATION_DIAL_H

#include "config/topology.h"
#include "net/fetch.h"

#include <stddef.h>

#define ERROR_TEXT_SIZE 256 // a sentence for people

#define PEER_CONNECT_MS 3000
#define PEER_ANSWER_MS 10000
// a long answer: in all, and without a byte
#define PEER_PAGE_MS 300000
#define PEER_PAGE_IDLE_MS 30000

struct dialer {
    struct fetcher *fetcher;
    const char *ca_file, *peer_pem;
    // peer_get ends when it turns true
    const _Atomic bool *stop;
    // As in struct replicator_options.
    int (*dial_socket)(void *ctx, const char *region, char *out, size_t cap);
    void *dial_ctx;
};

struct dial { // the strings behind a fetch_request
    char url[2048], host[HOSTNAME_TEXT_SIZE + 16], range[64], accept[256], socket[256];
    const char *headers[4];
    struct endpoint to;
    struct fetch_request q;
};

// `target`: path and query. `reg`: the registry whose endpoint is called (goes into Host), or NULL.
// ERR_NOTFOUND: the topology has no such region. ERR_TOOBIG.
int peer_dial(const struct dialer *by, const struct topology *t, const char *region,
              const char *target, const struct registry *reg, struct dial *out);
// Gets a whole answer of at most `max` bytes, for up to PEER_ANSWER_MS. 0 whatever the status;
// *out_body is the caller's to free with buf_done. On failure `error` names the region.
int peer_get(const struct dialer *by, const struct topology *t, const char *region,
             const char *target, const struct registry *reg, const char *accept, size_t max,
             int *out_status, struct buf *out_body, char error[ERROR_TEXT_SIZE]);
// The same for an answer that takes long to make and to come over a thin line: PEER_PAGE_MS.
int peer_get_page(const struct dialer *by, const struct topology *t, const char *region,
                  const char *target, size_t max, int *out_status, struct buf *out_body,
                  char error[ERROR_TEXT_SIZE]);

#endif
