// SPDX-License-Identifier: Apache-2.0
// The judges of a node: each checks one thing and sets or clears a condition (daemon/conditions.h).
// judge_identity checks what clients and other regions check too: the token key, the feed key, the
// peer certificate's fingerprint and the certificates of the node's names, against the topology in
// force. A fault that makes every pull fail here is down; one that only keeps other regions from
// taking this region's entries is a warning, since clients can still pull what is here.
//
//   token key not named, another region's, or a token of its own refused   down
//   certificate of the region's or the global names: expired, not valid yet, lacks a name   down
//     missing, unreadable, key does not fit, of another CA: a warning, because the edge serves on
//     with what it has loaded; so is one that should long be renewed
//   peer certificate: any of that, or its fingerprint is not in the topology   a warning
//   feed key not named, retired, revoked, or its public half is another   a warning
//     (a revoked one closes writes too)
//
// On the housekeeping thread: at the start, after every swap of the topology, and every
// JUDGE_EVERY_MS. Reads three small files.
#ifndef MERIDIAN_DAEMON_JUDGE_H
#define MERIDIAN_DAEMON_JUDGE_H

#include "daemon/app.h"

#define JUDGE_EVERY_MS 10000

void judge_identity(struct app *app);
// Whether content and entries can be written now, and room on the disk. A disk on which nothing can
// be written for want of space still serves what is there: that is short, not down. Writes a probe;
// called every 2 s.
void judge_store(struct app *app);
// Blobs that are damaged and not replaced yet.
void judge_blobs(struct app *app);
// Feeds that contradict what was read of them, and content that differs from other regions':
// warnings, since what is here is served, and what is read is mended. Cheap: with the vitals.
void judge_agreement(struct app *app);
// Whether a token can be signed, by signing one.
void judge_token_signing(struct app *app);
// Our clock, and the other regions' that are far from it, as they were compared last: warnings,
// since what a wrong clock spoils is down by itself (writes, certificates). Cheap: with the vitals.
void judge_clocks(struct app *app);
// Issuers of identities whose keys cannot be had: a warning.
void judge_issuers(struct app *app);
// What the nodes of the fleet have in force differs for too long (fleet/drift.h), or the control feed
// does not come: warnings. Principals older than tokens.max_stale: down, for no tokens are issued.
void judge_fleet(struct app *app);
// The supervisor's word on addresses of private endpoints that the machine has and the edge does not
// serve; "": none. A warning.
void judge_private_addresses(struct app *app, const char *why);

// A fault drill that runs, or that this region is drained: warnings, so that nobody looks for a
// failure, and nobody forgets them.
void judge_orders(struct app *app);

#endif
