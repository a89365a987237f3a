// SPDX-License-Identifier: Apache-2.0
// Which names each certificate carries (design section 7). Pure functions of the topology, used by
// the CA (which refuses anything else), by `meridian init`, by renewal, and by `certs show`.
//
//   region:  *.<region>.geo.D, *.<region>.data.D, *.<region>.fe.D,
//            *.<region>.geo.privatelink.D, *.<region>.data.privatelink.D
//   shared:  *.D, *.privatelink.D
//            (short-lived, held by all regions)
//   peer:    URI meridian://D/region/<region>, DNS <region>.peer.D
//            (mutual TLS between regions; client and server)
#ifndef MERIDIAN_CERTS_PLAN_H
#define MERIDIAN_CERTS_PLAN_H

#include "base/arena.h"
#include "config/topology.h"

#include <stdbool.h>
#include <stddef.h>

enum cert_kind { CERT_REGION, CERT_SHARED, CERT_PEER };

struct cert_plan {
    enum cert_kind kind;
    // "region.pem", "shared.pem", "peer.pem": certificate chain and key in one file
    const char *file;
    const char *const *dns;
    size_t n_dns;
    // CERT_PEER, else NULL
    const char *uri;
    // CERT_PEER
    bool client_auth;
    // as the topology says; region 90 d, shared 7 d, peer 365 d
    unsigned lifetime_s;
    // whose it is; for CERT_SHARED: who asks
    const char *region;
};

const char *cert_kind_name(enum cert_kind kind); // "region", "shared", "peer"
int cert_kind_parse(const char *text, enum cert_kind *out);
int cert_plan(const struct topology *t, const char *region, enum cert_kind kind, struct arena *a,
              struct cert_plan *out);
// Does a certificate of that plan stand for the host? A wildcard is one label (RFC 9525 section 6.3).
bool cert_plan_covers(const struct cert_plan *p, const char *host);
// The name a peer's certificate is verified for: "<region>.peer.D".
int cert_peer_name(const char *domain, const char *region, struct arena *a, const char **out);

#endif
