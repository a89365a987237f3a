// SPDX-License-Identifier: Apache-2.0
// The zone maintainer of fe.D: one thread. It rebuilds the zone when the topology's frame changes
// or signatures are due. If the new zone differs, it keeps the earlier versions in memory and on
// disk, publishes the new one as one snapshot with the keys of the neighbours, and notifies the
// secondaries. No query waits for any of this.
//
//   struct zone_maintainer_options o = {.topology = &cell, .frontend = &out, .zones_dir = dir, …};
//   zone_maintainer_start(&o, &k);
//   zone_maintainer_poke(k);            // the topology's frame has changed: any thread
//   zone_maintainer_stop(k);
//
// The zone is there when zone_maintainer_start returns, unless it could not be built: then the log
// says why, and it is tried again. Changes of registries share the frame: they cost a look, and
// make no zone, no file and no message. Serials: config/frontend.h.
#ifndef MERIDIAN_RESOLVER_ZONE_ZONE_MAINTAINER_H
#define MERIDIAN_RESOLVER_ZONE_ZONE_MAINTAINER_H

#include "base/addr.h"
#include "base/snapshot.h"
#include "resolver/packet/tsig.h"
#include "resolver/zone/zone_history.h"

struct zone_maintainer;

struct frontend { // published; frozen
    struct snapshot_head head;
    struct zone_history *history;
    struct tsig_keys *keys;
};

// Makes the zone of a topology, with one reference, and says when it must be made again (wall
// clock, seconds; 0: only when the topology's frame changes). `last` is the version made before,
// perhaps by an earlier process, or NULL. The builder may return `last` itself (snapshot_ref) while
// it is still right: then no version is kept and no secondary is notified, and a restart does not
// sign the same zone again. On failure the version in force stays, and the maintainer tries again
// later.
struct zone_maintainer_builder {
    int (*build)(void *ctx, const struct topology *t, const struct zone *last, int64_t now_s,
                 struct zone **out, int64_t *out_again_s);
    void *ctx;
};

struct zone_maintainer_options {
    // struct topology
    struct snapshot *topology;
    // out: struct frontend
    struct snapshot *frontend;
    // earlier versions are kept here; made if need be; NULL: in memory only
    const char *zones_dir;
    // NAME.key
    const char *tsig_dir;
    // notifications leave from the first address of their family that is no wildcard
    const struct endpoint *listen;
    size_t n_listen;
    // build NULL: fe.D without signatures; see resolver/sign/signing.h
    struct zone_maintainer_builder builder;
};

// borrows what o points to
int zone_maintainer_start(const struct zone_maintainer_options *o, struct zone_maintainer **out);
void zone_maintainer_poke(struct zone_maintainer *k); // NULL is fine
void zone_maintainer_stop(struct zone_maintainer *k);

#endif
