// SPDX-License-Identifier: Apache-2.0
// Three regions in one process, for tests: real stores, real HTTP over unix sockets, real
// signatures; one socket per (server, client) pair says who the client is, in place of its
// certificate. Links between regions can be cut, and a region's answers made wrong.
#ifndef MERIDIAN_TESTS_REPLICATION_REGIONS_H
#define MERIDIAN_TESTS_REPLICATION_REGIONS_H

#include "certs/keys.h"
#include "net/fetch.h"
#include "net/http.h"
#include "replication/replication.h"
#include "tests/support/wait_for.h"

#include <jansson.h>
#include <stdatomic.h>

#define N_REGIONS 3
#define RESERVE_BYTES (8u << 20) // of a disk with free_bytes

enum fault {
    FAULT_NONE,
    FAULT_LIES,     // blob and manifest bytes are changed
    FAULT_CUTS,     // blobs break off after 100,000 bytes, unless a Range was asked for
    FAULT_HANGS,    // blobs are never answered
    FAULT_HANGS_ON, // those of more than 1,000 bytes are not
    FAULT_GARBAGE,  // the feed is lines that mean nothing
    FAULT_ENDLESS,  // the feed is one line without an end
    FAULT_TRICKLES, // those come by some bytes at a time, for minutes
    FAULT_ABSENT,   // blobs are not there (404)
    FAULT_MUTE_OLD, // the same, and it does not say how often it would speak
    FAULT_MUTE,     // the feed says its first line and no more; blobs are never answered
};

struct world;
struct test_region;
struct feed_mark;
// What a region that lies says when `peer` reads its feed from `after`: lines behind the greeting;
// then the stream ends.
typedef void (*feed_script_fn)(struct test_region *r, const char *peer,
                               const struct feed_mark *after, struct buf *out);
struct test_server {
    struct test_region *at, *peer;
    struct http_server *server;
};

struct test_region {
    struct world *world;
    const char *name;
    char dir[256];
    struct snapshot topology;
    struct region_keys *keys;
    struct pool *pool;
    struct fetcher *fetcher;
    struct meta *meta;
    struct blob_store *blobs;
    struct replicator *_Atomic replicator;
    struct test_server servers[N_REGIONS];
    _Atomic enum fault fault;
    // NULL: its feed is its own
    _Atomic feed_script_fn script;
    // what its greeting says that it speaks; 0: nothing
    _Atomic unsigned script_speaks;
    _Atomic unsigned n_blob_gets, n_manifest_gets, n_ranges;
    _Atomic unsigned n_mute_feeds;
    // asked for what it has of another's feed
    _Atomic unsigned n_relays;
    // so many of them end behind the greeting, as they do where the topology changes just then
    _Atomic unsigned n_short_relays;
    unsigned start_ask_ms, absent_ms, recover_patience_ms;
    // An hour at first: nothing is told but once, which may move its clock and be an inbound contact.
    unsigned words_every_ms;
    // Between two looks at what was deleted and may go, whatever its age; 0: nothing goes.
    unsigned drop_every_ms;
    // from how many entries on it joins by snapshots; 0: as the replicator has it
    unsigned join_feed_min;
    // entries of a page of them; 0: the same
    unsigned join_page_max;
    // entries that a proof keeps; 0: the same
    unsigned proof_max;
    // 0: as without the word; NULL: content/fence.h
    uint64_t ahead_bytes;
    struct fetch_rates fetch_rates;
    // how long a relay has for a blob; 0: as without the word
    unsigned relay_patience_ms;
    bool (*fence)(const struct topology *t, const struct registry *reg, const char *repository,
                  const char *region);
    // its store was handed over
    bool continues;
    // its disk, if free_bytes says how much of it is free
    struct space *space;
    // 0 at region_up: fetches are not charged
    _Atomic uint64_t free_bytes;
    // as a version before: it cannot be told that its content is damaged
    _Atomic bool knows_no_damage;
    // that it was told so
    _Atomic unsigned n_notices;
    // as a version before: it cannot be asked what it holds
    _Atomic bool knows_no_questions;
    // that it was asked
    _Atomic unsigned n_questions;
    // as a version before: it tells no digests
    _Atomic bool knows_no_digests;
    // what it answers 503 to when it is asked for digests of this repository
    const char *_Atomic no_digests_of;
    // it lists no repositories, and says that more come, for ever
    _Atomic bool digests_never_end;
    // that it was asked for them
    _Atomic unsigned n_digests;
    // between two rounds of comparisons; 0: as the replicator has it
    unsigned compare_every_ms;
    // subjects that one of its answers about digests looks at; 0: the same
    unsigned digest_looks;
    // what its manifests say of the size of layers; 0: the truth
    size_t claimed_bytes;
    // they say 0
    bool claims_nothing;
    // rows of the topology beside that of `keys`; NULL: none
    const char *more_feed_keys;
    // others that were found silent, or heard again
    _Atomic unsigned n_away, n_back;
    // its wall clock is so far ahead, as the others and it see each other's
    _Atomic int64_t clock_ms;
    // what its feed answers with 409 in place of lines; NULL: nothing
    const char *_Atomic feed_conflict;
    // such answers
    _Atomic unsigned n_conflicts;
    // its feed does not have any more what lies before this number: 410; 0: it has all
    _Atomic uint64_t feed_kept_from;
    // such answers
    _Atomic unsigned n_gone;
    // the registry whose snapshots it cannot read: 503; NULL: none
    const char *_Atomic snapshot_fails;
    // pages of snapshots that it was asked for
    _Atomic unsigned n_pages;
    // what it answers when asked for its time; NULL: that; "": nothing, ever
    const char *_Atomic clock_answer;
};

struct world {
    char dir[128];
    // eastus, westeurope, southeastasia
    struct test_region regions[N_REGIONS];
    _Atomic bool cut[N_REGIONS][N_REGIONS];
    _Atomic bool fabrikam_everywhere;
    // still among the feed keys of the topology
    struct region_keys *old_keys[N_REGIONS];
    // the topology's list of revoked keys, "" for none
    char revoked[N_REGIONS][512];
    // where the topology seals them, "" for nowhere
    char sealed[N_REGIONS][192];
    // 0: as the topology has it
    unsigned skew_s;
    // of contoso; 0: none
    unsigned contoso_incarnation;
    // of so many members on a registry has relays; 0: of 8, so none has
    unsigned relays_from;
    // the topology has no contoso
    bool contoso_is_deleted;
    // gets no new topology: it is away
    bool keeps_topology[N_REGIONS];
};

void world_make(struct world *w); // nothing runs yet
void world_up(struct world *w);   // and starts all
void world_topology(struct world *w, unsigned version, bool fabrikam_in_westeurope);
void world_done(struct world *w);
void region_up(struct test_region *r);
void region_down(struct test_region *r);
// new keys from the next region_up on; the old ones stay in the topology
void region_rekey(struct test_region *r);
void region_cut(struct test_region *r, bool cut); // both ways, from all others
// A blob of n bytes that are made from the seed, as an upload leaves it.
void region_layer(struct test_region *r, const char *registry, const char *repository,
                  unsigned seed, size_t n, struct digest *out);
// Layer i (from 1) of region_push is region_layer's of seed * 100 + i.
// Pushes an image of n_layers layers of layer_bytes each, made from `seed`; waits for writes to be
// open.
void region_push(struct test_region *r, const char *registry, const char *repository,
                 const char *tag, unsigned seed, size_t n_layers, size_t layer_bytes,
                 size_t manifest_pad, struct digest *out);
// The tag's digest here, with all that its manifest refers to linked and readable.
bool region_has(struct test_region *r, const char *registry, const char *repository,
                const char *tag, const struct digest *d);
// Does status at `at` say `want` of what it reads of `origin`? false also when it says nothing of
// it.
bool state_is(struct test_region *at, const char *registry, const char *origin, const char *want);
// Its row of `origin`, of contoso's status at `at`: lagSeconds, and whether lastError says `error`.
// of its status; a new reference
json_t *row_of(struct test_region *at, const char *registry, const char *origin);
// lastError of contoso's row
bool error_has(struct test_region *at, const char *origin, const char *words);
// A request to `at`, as it comes from the region `from`; the status. `out` (may be NULL): the body.
int region_ask(struct test_region *at, struct test_region *from, const char *method,
               const char *target, const char *host, struct buf *out);
// Where `at` listens to the region `from`.
void region_socket(struct test_region *at, struct test_region *from, char *out, size_t cap);
long lag_of(struct test_region *at, const char *origin, const char *error, bool *out_says);
bool region_writes_open(struct test_region *r);
// Likewise, where others may be away: an empty store waits for none of them.
bool region_opens(struct test_region *r);

#endif
