// SPDX-License-Identifier: Apache-2.0
// What this region asks of the writer of the control feed, over the writer's peer listener.
//
//   rc = writer_post(&caller, t, "eastus", "/control/v1/peer/nonce", bytes_str("{}"), &diag, &answer);
//
// Any thread; blocks for ten seconds at most, or until caller.stop.
#ifndef MERIDIAN_DAEMON_WRITER_POST_H
#define MERIDIAN_DAEMON_WRITER_POST_H

#include "base/bytes.h"
#include "base/diag.h"
#include "config/topology.h"
#include "fleet/call.h"

#define WRITER_ANSWER_BYTES 8192

// POSTs JSON on a connection of its own, with the peer certificate that is in use now. 0: it was 200,
// and its body is appended. ERR_DENIED, or ERR_CONFLICT (409): the writer refuses; others; always
// with a sentence.
int writer_post(const struct fleet_caller *by, const struct topology *t, const char *writer,
                const char *path, struct bytes body, struct diag *diag, struct buf *out);

#endif
