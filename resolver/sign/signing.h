// SPDX-License-Identifier: Apache-2.0
// The signing of a process: the frozen state that workers read (resolver/sign/dnssec.h), which the
// zone maintainer makes anew whenever the topology or the signing period changes, and the signer of
// D. When the state cannot be made, because a private key is missing, the last good one stays in
// force, and the log says so until the operator mends it.
//
//   struct signing *s;
//   rc = signing_new(&node->resolver, &s);
//   struct zone_maintainer_options o = {…, .builder = {signing_build, s}};
//   zone_maintainer_start(&o, &maintainer);
//   resolver_start(&(struct resolver_options){…, .signing = s}, …);
//   signing_free(s);                         // after both of them are stopped
#ifndef MERIDIAN_RESOLVER_SIGN_SIGNING_H
#define MERIDIAN_RESOLVER_SIGN_SIGNING_H

#include "base/bytes.h"
#include "base/snapshot.h"
#include "config/node_dns.h"
#include "config/topology.h"
#include "resolver/zone/zone.h"

#include <stdint.h>

struct signing;
struct signer;

int signing_new(const struct node_dns *settings, struct signing **out); // borrows its strings
void signing_free(struct signing *s);
// For struct zone_maintainer_builder: `ctx` is the signing. Without keys in the topology, fe.D as
// it is.
int signing_build(void *ctx, const struct topology *t, const struct zone *last, int64_t now_s,
                  struct zone **out, int64_t *out_again_s);
struct snapshot *signing_cell(struct signing *s); // struct dnssec, or nothing: not signed
struct signer *signing_signer(struct signing *s);
void signing_metrics(struct signing *s, struct buf *out);

#endif
