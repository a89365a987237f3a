// SPDX-License-Identifier: Apache-2.0
// Whether a certificate is a peer certificate of that region, as the writer judges one that it is
// to name in the topology (fleet/peer_roll.h): the fleet's CA issued it, it is valid now, and it
// has the names of that region's plan, no more and no less.
#ifndef MERIDIAN_CERTS_PEER_JUDGE_H
#define MERIDIAN_CERTS_PEER_JUDGE_H

#include "base/bytes.h"
#include "base/diag.h"
#include "config/topology.h"

#include <stdint.h>

// `ca_pem`: the CA that this node trusts. now_ms: wall. ERR_DENIED with one sentence; ERR_NOMEM. Any
// thread.
int cert_peer_judge(struct bytes ca_pem, const struct topology *t, const char *region,
                    struct bytes pem, int64_t now_ms, struct diag *diag, char out_fingerprint[65],
                    int64_t *out_until_ms);
// The peer certificate of <certs_dir> that waits (peer-next.pem), PEM, without its key. Appends.
// ERR_NOTFOUND.
int cert_peer_next_public(const char *certs_dir, struct buf *out_pem);

#endif
