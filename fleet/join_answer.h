// SPDX-License-Identifier: Apache-2.0
// What the writer tells a region that has joined: the CA, its peer certificate, and the frame of the
// topology, from which it begins to follow the control feed. Nothing of it is secret: what is comes
// later, over the peer listener (fleet/secrets.h). Signed by the writer's control key, whose hash
// the join token has: neither an edge nor another region can answer in its place.
//
//   {"answer":TEXT,"spki":SPKI of the control key,"signature":base64url}
//   TEXT {"v":1,"domain":D,"token":id,"region":R,"joiner":identity,"ca":PEM,"certificate":PEM,
//         "topology":YAML}
//   Ed25519 (RFC 8032) over JOIN_ANSWER_PREFIX and TEXT
//
// Pure; any thread.
#ifndef MERIDIAN_FLEET_JOIN_ANSWER_H
#define MERIDIAN_FLEET_JOIN_ANSWER_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/diag.h"
#include "certs/keys.h"
#include "fleet/join_token.h"

#define JOIN_ANSWER_PREFIX "meridian join answer 1\n"
#define JOIN_ANSWER_MAX_BYTES (20u << 20)

struct join_answer {
    const char *domain, *token, *region, *joiner;
    // PEM
    const char *ca, *certificate;
    // the topology without registries and private endpoints
    const char *topology;
};

int join_answer_format(const struct join_answer *w, const struct region_keys *writer,
                       struct buf *out);
// Is it the answer of that token's writer, to `joiner`, and is the CA the token's? ERR_AUTH: a false
// writer, or one that the token does not know; ERR_INVAL; with one sentence. Strings hang off `a`.
int join_answer_parse(struct bytes body, const struct join_token *t, const char *joiner,
                      struct arena *a, struct diag *diag, struct join_answer *out);

#endif
