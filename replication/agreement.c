// SPDX-License-Identifier: Apache-2.0
// In what this region does not agree with others, as sentences for its conditions: feeds that
// contradict what was read of them, and differences between what clients see here and there. Any
// thread.
#include "replication/comparer.h"
#include "replication/differences.h"
#include "replication/peer.h"
#include "replication/peers.h"
#include "replication/replication_priv.h"

#include <stdio.h>

#define REGIONS_SAID_MAX 5

// Regions in a sentence, with commas between; of more than REGIONS_SAID_MAX only their number.
struct regions_said {
    char text[REGIONS_SAID_MAX * (HOSTNAME_REGION_SIZE + 2) + 32];
    size_t used, n;
};

static void region_say(struct regions_said *s, const char *region)
{
    const char *comma = s->n ? ", " : "";
    if (s->n++ < REGIONS_SAID_MAX)
        s->used +=
            (size_t)snprintf(s->text + s->used, sizeof s->text - s->used, "%s%s", comma, region);
}

static const char *regions_end(struct regions_said *s)
{
    if (s->n > REGIONS_SAID_MAX)
        snprintf(s->text + s->used, sizeof s->text - s->used, " and %zu more",
                 s->n - REGIONS_SAID_MAX);
    return s->text;
}

size_t replicator_conflicts(struct replicator *r, char *out, size_t cap)
{
    struct regions_said said = {0};
    if (!r)
        return 0;
    for (size_t i = 0; i < peers_count(r->peers); i++) {
        struct peer *p = peers_at(r->peers, i);
        struct peer_view v;
        peer_look(p, &v);
        if (v.diverged)
            region_say(&said, peer_name(p));
    }
    if (said.n)
        snprintf(
            out, cap,
            "the feed of %s contradicts what was read of it (Conflict): it lost entries that "
            "are held here, or somebody leaves entries out; what is behind them does not count "
            "as read; it ends by itself when the feed is whole; `meridian replication status` "
            "names the place; see whether that region runs on an older database: it must get "
            "its entries back from others, or be rebuilt",
            regions_end(&said));
    return said.n;
}

size_t replicator_diverged(struct replicator *r, char *out, size_t cap)
{
    struct regions_said said = {0};
    if (!r)
        return 0;
    struct differences *d = comparer_differences(r->comparer);
    size_t n = differences_open(d, NULL, NULL);
    for (size_t i = 0; n && i < peers_count(r->peers); i++) {
        const char *peer = peer_name(peers_at(r->peers, i));
        if (differences_open(d, NULL, peer))
            region_say(&said, peer);
    }
    if (said.n)
        snprintf(out, cap,
                 "clients do not see here what they see in %s (Diverged): %zu manifests or tags "
                 "differ, and nothing that is under way explains it; what signed entries can make "
                 "good is made good by itself; `meridian replication differences` names each, and "
                 "what stands in the way",
                 regions_end(&said), n);
    return said.n;
}
