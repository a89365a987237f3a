// SPDX-License-Identifier: Apache-2.0
// The topology: the one versioned document that says which regions, stamps, registries, replicas,
// endpoints, private endpoints, views and rules there are (design sections 1 to 5, 13). Parsed from
// YAML through option rows, validated across the whole, then frozen: every reader shares one
// immutable struct.
//
//   struct topology *t;
//   int rc = topology_parse(text, n, "topology.yaml", &diag, &t); // all its errors are in diag
//   const struct registry *r = topology_registry(t, "contoso");
//   snapshot_publish(&cell, t);                              // base/snapshot.h; t embeds its head
//
// Ownership: everything lives as long as a reference to the topology is held. Versions that differ
// in registries only share their frame (all but the registries), and most of the registries too:
// see config/catalogue.h, control/changer.h. A compact topology (of a node that only resolves
// names) has records instead of struct registry.
//
// Strings are lower case where DNS compares them. Cross references are indexes, so that they can be
// used as array subscripts and bit numbers. Threads: immutable, share freely.
#ifndef MERIDIAN_CONFIG_TOPOLOGY_H
#define MERIDIAN_CONFIG_TOPOLOGY_H

#include "base/addr.h"
#include "base/arena.h"
#include "base/diag.h"
#include "base/htab.h"
#include "base/snapshot.h"
#include "config/hostname.h"
#include "dns/dnskey.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct option_set;
struct catalogue;
struct catalogue_registry;
struct control_settings;
struct registry_policy;
struct reserved_names;

#define TOPOLOGY_MAX_REGIONS 64         // region sets are 64-bit masks
#define TOPOLOGY_MAX_BYTES (512u << 20) // as a document or compiled
#define REGION_NONE 0xff

// Timers of the SOA records (RFC 1035 section 3.3.13), the same in answers and in exported zones.
#define SOA_REFRESH_S 3600
#define SOA_RETRY_S 600
#define SOA_EXPIRE_S 1209600

typedef uint64_t region_set; // bit i: regions[i]

struct public_key {
    // kid; "<region>-…", unique in the whole topology
    const char *id;
    // SubjectPublicKeyInfo, DER, standard base64
    const char *spki_b64;
    uint8_t region;
    // wall: a feed key that verifies what it signed until then, and nothing else; 0: it is in use
    int64_t retired_s;
};

struct stamp {
    // "eus-1"
    const char *name;
    // index within its region
    uint8_t region, index;
    // frontend addresses, as mapped IPs
    const struct ip *ipv4;
    size_t n_ipv4;
    const struct ip *ipv6;
    size_t n_ipv6;
};

enum probe_kind { PROBE_AS_HEALTH, PROBE_HTTPS, PROBE_TCP };

// A feed key that is void after a place of its region's feed: entries after that place, and at that
// place every entry with another running hash. A revocation is final: the next version keeps it, or
// names an earlier place.
struct feed_revocation {
    const char *key;
    // seq 0: all of that epoch and later ones
    uint64_t epoch, seq;
    // zero with seq 0
    uint8_t hash[32];
};

// A region that never comes back: what it wrote counts up to this place of its feed, and nothing that
// it writes later. It is a member of nothing any more, but stays listed, so that what it wrote can
// be verified. The next version keeps the seal, or names a later place: a member that was away may
// hold more. Only new keys for the name end it.
struct feed_seal {
    // of the last entry that counts; seq 0: it wrote nothing
    uint64_t epoch, seq;
    // running hash of that entry; zero with seq 0
    uint8_t hash[32];
};

struct region {
    // "eastus"
    const char *name;
    // PROBE_AS_HEALTH: what the health section says
    enum probe_kind probe;
    // 0: likewise
    uint16_t probe_port;
    uint8_t index;
    const struct stamp *stamps;
    // at least 1
    size_t n_stamps;
    // where other regions reach its peer listener
    struct endpoint peer;
    // SHA-256 of the peer certificate's DER, 64 lower-case hex digits
    const char *const *peer_fingerprints;
    size_t n_peer_fingerprints;
    // P-256, verify its tokens
    const struct public_key *token_keys;
    size_t n_token_keys;
    // Ed25519, verify its feed entries
    const struct public_key *feed_keys;
    size_t n_feed_keys;
    // Ed25519, verify its entries of the control feed while it is the writer
    const struct public_key *control_keys;
    size_t n_control_keys;
    const struct feed_revocation *revoked;
    size_t n_revoked;
    // NULL: it lives
    const struct feed_seal *sealed;
    // of its admin listener, for those who come from afar; port 0: it has none
    struct endpoint admin;
    bool has_location;
    // in 1/10000 degree
    int32_t latitude, longitude;
};

// How far a name is served, the furthest first: where several stages apply to a name, the highest
// number holds (config/endpoints.h). A name comes by them from the last to the first, and goes by
// them from the first to the last, so that no name is in DNS before its edge serves it, and none is
// refused that a cache still leads to.
enum name_stage {
    // in all DNS
    STAGE_PUBLIC,
    // only in private views, where their private endpoint has an address of the name
    STAGE_PRIVATE,
    // certificates, edge, tokens and the registry API know it; no DNS does
    STAGE_EDGE,
    // there is no such name; not in a document
    STAGE_GONE,
};
const char *name_stage_word(enum name_stage s); // "public", "private", "edge", "gone"

struct replica {
    // index into topology.regions
    uint8_t region;
    // home stamp: index into that region's stamps
    uint8_t stamp;
    // takes traffic of the global name, once it is STAGE_PUBLIC
    bool global_routing;
    bool drained : 1;
    // enum name_stage, of its regional and data names
    uint8_t stage : 2;
};

#define STAMP_GONE 0xff               // no region has so many
#define MOVE_SINCE_MAX_S 253402300799 // the end of the year 9999

// A replica that moves to another home stamp: its names lead to the new one only when resolvers
// have forgotten that they may have seen it denied (design section 3; control/moves.h has the
// rules).
struct stamp_move {
    uint8_t region;
    // where its names lead until since_s; STAMP_GONE: that was long ago, and the region has it no
    // more
    uint8_t was;
    // wall
    int64_t since_s;
};

struct private_member { // one address of a private endpoint
    // NAME_GLOBAL ("registry"), NAME_REGIONAL ("registry_<region>"), NAME_DATA
    // ("registry_data_<region>")
    enum name_kind kind;
    // REGION_NONE for "registry"
    uint8_t region;
    struct ip ip;
};

// Is the private endpoint in DNS? At the edge alone, edges serve its addresses and its network is
// admitted, and no name leads there: so it comes and goes.
enum private_stage { PRIVATE_IN_DNS, PRIVATE_AT_EDGE };

// Who answers at private addresses.
enum answered_by {
    // somebody else's affair: neither bound nor asked
    ANSWERED_BY_NONE,
    // the edge of the region, which binds them
    ANSWERED_BY_EDGE,
    // the operator's balancer, which comes to the public listener with the PROXY protocol
    ANSWERED_BY_BALANCER,
};
const char *answered_by_word(enum answered_by a); // "none", "edge", "balancer"

struct private_endpoint {
    const char *name;
    // index into topology.views
    uint32_t view;
    // enum private_stage, enum answered_by
    uint8_t stage, answered_by;
    const struct private_member *members;
    size_t n_members;
};

enum access_mode { ACCESS_ENABLED, ACCESS_DISABLED, ACCESS_CIDRS };

struct registry {
    // "contoso"
    const char *name;
    // "" or 16 letters and digits
    const char *hash;
    // the login label: name or name-hash; unique
    const char *label;
    // the version that created it; 0: not said, as of those from before there were any
    uint64_t incarnation;
    // the text that stands for it in stores, feeds, tokens and signed URLs (config/registry_key.h):
    // "contoso", or "contoso@42" with an incarnation
    const char *key;
    bool regional_endpoints;
    bool data_endpoints;
    bool anonymous_pull;
    uint8_t n_replicas;
    uint8_t n_moves;
    // enum name_stage: of all its names, of the regional and of the data ones
    uint8_t stage, regional_stage, data_stage;
    uint16_t n_public_cidrs;
    uint16_t n_private_endpoints;
    // enum access_mode
    uint8_t public_access;
    // enum dnl_scope (config/dnl.h)
    uint8_t dnl_scope;
    const struct cidr *public_cidrs;
    // who may have the name again when it was deleted; "": not said
    const char *owner;
    // in the order of topology.regions
    const struct replica *replicas;
    // likewise, of the few that have moved
    const struct stamp_move *moves;
    // of the replicas, as a mask
    region_set replica_set;
    // TOPOLOGY_MAX_REGIONS of them, by region's index, 0 to 100; NULL: all have 100
    const uint8_t *weights;
    const struct private_endpoint *const *private_endpoints;
    // quotas and rules of repositories (config/policy.h); NULL: none
    const struct registry_policy *policy;
};

// Which clients are answered: none in `deny`; if `allow` is not empty, only those in it. cidr sets.
struct access_list {
    const struct cidr *allow, *deny;
    size_t n_allow, n_deny;
};

#define FORWARD_UPSTREAMS_MAX 8

struct forward_suffix { // a name in wire form, lower case: it and all below it
    uint8_t wire[256];
    size_t n;
};

// names outside D that a view's clients may ask for (resolver/forward/forward.h)
struct view_forward {
    // in the order of preference
    struct endpoint upstreams[FORWARD_UPSTREAMS_MAX];
    size_t n_upstreams;
    const struct forward_suffix *names;
    size_t n_names;
    // of one try
    uint32_t timeout_ms;
    uint16_t max_in_flight, max_per_client;
    bool mix_case;
};

enum on_foreign { // what a view answers to names outside D that its `forward` does not name
    ON_FOREIGN_REFUSED,
    // for clients that know no other resolver, and stop their search list at a refusal (musl)
    ON_FOREIGN_NXDOMAIN,
    ON_FOREIGN_FORWARD // the view's forward covers every name
};

// Addresses of a view that private endpoints are given from (config/address_pool.h).
struct address_pool {
    // unique in the topology
    const char *name;
    struct cidr subnet;
    // so many addresses at the ends of the subnet are given to nobody
    uint32_t reserved_first, reserved_last;
    // nor are these: a cidr set
    const struct cidr *exclude;
    size_t n_exclude;
    // enum answered_by, of what is given from it
    uint8_t answered_by;
};

struct view { // a private network; the public view is not in this list
    const char *name;
    // the operator who may make private endpoints in it; "": any who has the right
    const char *owner;
    const struct address_pool *pools;
    size_t n_pools;
    // DNS listeners that belong to it alone (may be none)
    const struct endpoint *listeners;
    size_t n_listeners;
    // transport sources that fit it, as a cidr set
    const struct cidr *sources;
    size_t n_sources;
    // that its private addresses must lie in; none: anywhere
    const struct cidr *networks;
    size_t n_networks;
    struct access_list access;
    enum on_foreign on_foreign;
    // NULL: nothing is forwarded
    const struct view_forward *forward;
};

// For the choice of the view (resolver/route/views.h), by bisection.
struct view_listener {
    struct endpoint at;
    // index into topology.views
    uint32_t view;
};
struct view_source {
    struct cidr cidr;
    uint32_t view;
};
struct view_index {
    // by address and port
    const struct view_listener *listeners;
    // of views without listeners; disjoint, by address
    const struct view_source *sources;
    size_t n_listeners, n_sources;
};

// clients in `cidr` prefer `order`; the rest of the regions follow in the operator's order
struct routing_override {
    struct cidr cidr;
    const uint8_t *order;
    size_t n_order;
    // bit i: order[i] begins a tier; those of a tier are equally near
    uint64_t tiers;
    // where it stands in the document, for explanations
    int line;
};

struct routing_settings {
    // from where the process stands; NULL: none
    const char *latency_file, *maxmind_file;
    // as the document has them: maybe relative to it
    const char *latency_given, *maxmind_given;
    uint32_t latency_margin_ms, distance_margin_km;
    // an override is of networks that are not global unicast (ip_special_bits), and no others
    bool overrides_special;
};

struct ttls { // seconds
    uint32_t global, regional, data, frontend, private_, negative, soa, ns;
};

// How long caches may lead to a stamp after names have ceased to: the longest TTL of a name.
uint32_t ttls_cached_s(const struct ttls *ttl);

struct health_settings {
    uint32_t interval_ms, timeout_ms, hold_down_ms;
    // what a hold-down grows to for a stamp that flaps
    uint32_t hold_down_max_ms;
    uint32_t rise, fall;
    // of the interval
    uint32_t jitter_percent;
    // enum probe_kind: HTTPS or TCP
    unsigned probe;
    // 0: the public HTTPS port
    uint32_t port;
};

struct replication_settings {
    // a stamp further ahead of a region's wall clock is of the future, and not taken (section 9)
    uint32_t clock_skew_ms;
    // a write waits so long for other regions (policy_ack_peers)
    uint32_t ack_timeout_ms;
    // a registry of so many members gets its blobs by relays (replication/relay.h); 0: none does
    uint32_t relays_from;
    // what was deleted or replaced stays at least so long in stores and feeds
    uint32_t feed_keep_s;
};

struct name_server { // NS of D; its name is that of a stamp under fe.D
    uint8_t region, stamp;
};

struct notify_target { // a secondary that gets a NOTIFY when fe.D changes (RFC 1996)
    struct endpoint to;
    // name of the TSIG key that signs the message; NULL: none
    const char *key;
};

struct transfer_settings { // who may transfer fe.D; nobody without networks and keys
    const struct cidr *allow;
    // 0: from anywhere, if a key is given
    size_t n_allow;
    const char *const *keys;
    // 0: no key is asked for
    size_t n_keys;
    const struct notify_target *notify;
    size_t n_notify;
    // that answer for fe.D, but get no NOTIFY and are not named as NS
    const struct endpoint *secondaries;
    size_t n_secondaries;
};

struct static_record {
    // wire form, names uncompressed and in lower case
    const uint8_t *rdata;
    // the same as a master file has it
    const char *text;
    uint16_t rdata_n, type;
};

// A name whose records stand in the topology word for word: the apex, and names of ACME challenges,
// which no other kind of name can be. They are looked up first.
struct static_name {
    // wire form, lower case, without D and the root
    const uint8_t *labels;
    // 0: the apex
    size_t labels_n;
    // the name lies in fe.D
    bool in_frontend;
    // sorted by type, as given within one
    const struct static_record *records;
    size_t n_records;
};

// where private names are cut off into unsigned child zones (resolver/zone/zone_cut.h)
enum private_cut {
    PRIVATE_CUT_NONE,
    PRIVATE_CUT_PRIVATELINK, // privatelink.D
    PRIVATE_CUT_REGION       // <region>.geo.privatelink.D
};

struct cert_lifetimes { // seconds
    uint32_t region, shared, peer;
};

struct zone_serial { // of fe.D; see config/frontend.h
    // 0: none
    uint64_t pin;
    // the content that it holds for
    uint8_t pin_of[32];
    uint32_t offset;
    // digest of the content as it is
    uint8_t content[32];
    // the pin while it holds, else the frame's version
    uint64_t base;
};

struct topology_frame { // what versions that differ in registries only have in common
    _Atomic uint32_t refs;
    struct arena arena;
    // values point into the array
    struct htab *by_region;
    // The document without registries, private endpoints and reserved names, for
    // control/compiled.h; NULL: it cannot be cut.
    const char *text;
    size_t text_n;
    // pairs, as in struct doc_lines
    const int *cuts;
    size_t n_cuts;
    // of that document: changes leave it as it is, and the compiled form keeps it
    uint64_t version;
    struct zone_serial serial;
    // of the file that a node began with: a document, or one compiled with changes
    uint64_t base_version;
    // SHA-256 of it
    uint8_t base_hash[32];
};

struct topology {
    struct snapshot_head head;
    struct topology_frame *frame;
    // path it came from, or is a copy of
    const char *source;
    // only goes up
    uint64_t version;
    // D
    const char *domain;
    // SOA RNAME as an address, "hostmaster@example.io"
    const char *hostmaster;
    // public port in formatted URLs: left out of them when 443
    uint16_t https_port;
    // region whose peer listener answers certificate renewals; NULL: renewals are by hand
    const char *ca_region;
    struct cert_lifetimes cert_life;
    enum private_cut private_cut;
    struct dnssec_settings dnssec;

    const struct region *regions;
    size_t n_regions;
    // topology_next, topology_sorted
    size_t n_registries;
    const struct view *views;
    size_t n_views;
    struct view_index view_index;
    // of the public view
    struct access_list dns_access;
    // the operator's order: all regions, each once
    const uint8_t *routing_order;
    // bit i: routing_order[i] begins a tier
    uint64_t routing_tiers;
    // longest prefix first
    const struct routing_override *overrides;
    size_t n_overrides;
    struct routing_settings routing;
    // at least one
    const struct name_server *name_servers;
    size_t n_name_servers;
    struct ttls ttl;
    struct health_settings health;
    struct transfer_settings transfer;
    struct replication_settings replication;
    // the apex first, if it has any
    const struct static_name *statics;
    size_t n_statics;
    // seconds
    uint32_t static_ttl;
    // how long a region cut off issues tokens on its last principals
    uint32_t max_stale_s;
    // who may change this document by the control feed (config/topology_control.h); NULL: it says
    // nothing of it
    const struct control_settings *control;

    // the registries (config/catalogue.h)
    struct catalogue *catalogue;
    // names that no registry has, and not everybody may take (config/reserved.h); NULL: none
    struct reserved_names *reserved;
    // SHA-256 of the document; of a change: of the hash before and the change
    uint8_t content_hash[32];
};

// Parses, validates and freezes a document. `source` is the name used in messages. On failure *out
// is untouched and diag holds every error found. A file, which may be compiled, is read by
// control/topology_file.h.
int topology_parse(const char *text, size_t n, const char *source, struct diag *diag,
                   struct topology **out);
// It is a copy of the document at `source`: relative paths in it are from there. Only before it is
// published. ERR_NOMEM.
int topology_set_source(struct topology *t, const char *source);
// Compact: without struct registry, for a process that answers names and nothing else.
// topology_registry, topology_by_label and topology_next find nothing then; catalogue_find,
// catalogue_next and catalogue_expand do.
enum topology_form { TOPOLOGY_FULL, TOPOLOGY_COMPACT };
int topology_parse_as(enum topology_form form, const char *text, size_t n, const char *source,
                      struct diag *diag, struct topology **out);

const struct region *topology_region(const struct topology *t, const char *name); // NULL if none
const struct view *topology_view(const struct topology *t, const char *name);     // likewise
// likewise; *out_view (may be NULL): the view that has it
const struct address_pool *topology_pool(const struct topology *t, const char *name,
                                         const struct view **out_view);
// The private endpoint of that name; NULL if none. *out_registry (may be NULL): that it leads to.
// Looks through all registries.
const struct private_endpoint *topology_private_endpoint(const struct topology *t, const char *name,
                                                         const struct registry **out_registry);
// by registry name
const struct registry *topology_registry(const struct topology *t, const char *name);
// By key. NULL: there is none, or only one of that name and another incarnation.
const struct registry *topology_registry_by_key(const struct topology *t, const char *key);
// Was the registry of that key deleted, and its name given to a later one? Then nothing of it will
// ever be wanted.
bool topology_registry_replaced(const struct topology *t, const char *key);
// by login label
const struct registry *topology_by_label(const struct topology *t, const char *label);
const struct registry *topology_by_label_n(const struct topology *t, const char *label, size_t n);
// All registries, in no order. struct catalogue_iter it = {0}; while ((r = topology_next(t, &it)))
// …
struct catalogue_iter {
    size_t bucket;
    const struct catalogue_registry *record;
    // of catalogue_next_private: given so far
    size_t n_private;
};
const struct registry *topology_next(const struct topology *t, struct catalogue_iter *it);
// All registries, sorted by label: n_registries of them; the caller frees the list. NULL: out of
// memory.
const struct registry **topology_sorted(const struct topology *t);
// NULL if none there
const struct replica *registry_replica(const struct registry *r, uint8_t region);
const struct stamp *topology_replica_stamp(const struct topology *t, const struct replica *rep);
// NULL: it did not move
const struct stamp_move *registry_move(const struct registry *r, uint8_t region);
// Where the names of that replica lead at a time: the home stamp, or the one before. NULL: no
// replica there.
const struct stamp *registry_stamp_at(const struct topology *t, const struct registry *r,
                                      uint8_t region, int64_t now_s);
const struct stamp *region_stamp(const struct region *r, const char *name); // NULL if none
// NULL if none
const struct public_key *topology_token_key(const struct topology *t, const char *kid);
// also one that is retired
const struct public_key *topology_feed_key(const struct topology *t, const char *kid);
// To verify what is signed now (votes, requests): a key that is neither retired nor revoked, of a
// region that is not sealed. For feed entries: public_key_signed_at.
const struct public_key *topology_feed_key_in_use(const struct topology *t, const char *kid);
// Could this feed key have signed an entry with a stamp of this wall time? A stamp may be ahead of
// its region's clock.
bool public_key_signed_at(const struct topology *t, const struct public_key *k, int64_t wall_ms);
// NULL if none
const struct feed_revocation *topology_revocation(const struct topology *t, const char *kid);
// Which regions are sealed, by bits of their index; how many are not.
region_set topology_sealed(const struct topology *t);
size_t topology_n_living(const struct topology *t);
// Of the control feed; NULL if none.
const struct public_key *topology_control_key(const struct topology *t, const char *kid);
// Are all revocations of `before` in `next`, at the same place or an earlier one? If not, *out_why
// says which (heap).
bool topology_revocations_may_follow(const struct topology *before, const struct topology *next,
                                     char **out_why);
// The same for seals: is each of `before` in `next`, at the same place or a later one, or are no feed
// keys in use any more that the region had then?
bool topology_seals_may_follow(const struct topology *before, const struct topology *next,
                               char **out_why);
// peer certificate
const struct region *topology_region_by_fingerprint(const struct topology *t, const char *hex);

// A name in front of D, in any case; NULL: none of the statics.
const struct static_name *topology_static(const struct topology *t, const uint8_t *labels,
                                          size_t n);
// Its records of a type, side by side. Returns how many.
size_t static_records(const struct static_name *s, uint16_t type, const struct static_record **out);

// Do they differ in registries only? Then nothing that is made of the rest need be made again.
static inline bool topology_same_frame(const struct topology *a, const struct topology *b)
{
    return a && b && a->frame == b->frame;
}

// the document's rows, for samples and the manual page
const struct option_set *topology_options(void);

#endif
