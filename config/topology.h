// SPDX-License-Identifier: Apache-2.0
// The topology: the one versioned document that says which regions, stamps, registries, replicas, endpoints,
// private endpoints, views and rules there are (design sections 1 to 5, 13). Parsed from YAML through option
// rows, validated across the whole, then frozen: every reader shares one immutable struct.
//
//   struct topology *t;
//   int rc = topology_load("topology.yaml", &diag, &t);     // all errors of the file are in diag
//   const struct registry *r = topology_registry(t, "contoso");
//   snapshot_publish(&cell, t);                              // base/snapshot.h; t embeds its head
//
// Ownership: everything lives as long as a reference to the topology is held. Versions that differ in registries only
// share their frame (all but the registries), and most of the registries too: see config/catalogue.h,
// control/changes.h. A compact topology (of a node that only resolves names) has records instead of struct registry.
//
// Strings are lower case where DNS compares them. Cross references are indexes, so that they can be used as
// array subscripts and bit numbers. Threads: immutable, share freely.
#ifndef MERIDIAN_CONFIG_TOPOLOGY_H
#define MERIDIAN_CONFIG_TOPOLOGY_H

#include "base/addr.h"
#include "base/arena.h"
#include "base/diag.h"
#include "base/htab.h"
#include "base/snapshot.h"
#include "config/dnskey.h"
#include "config/hostname.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct option_set;
struct catalogue;
struct catalogue_registry;

#define TOPOLOGY_MAX_REGIONS 64         // region sets are 64-bit masks
#define TOPOLOGY_MAX_BYTES (512u << 20) // as a document or compiled
#define REGION_NONE 0xff

// Timers of the SOA records (RFC 1035 section 3.3.13), the same in answers and in exported zones.
#define SOA_REFRESH_S 3600
#define SOA_RETRY_S 600
#define SOA_EXPIRE_S 1209600

typedef uint64_t region_set; // bit i: regions[i]

struct public_key {
    const char *id;       // kid; "<region>-…", unique in the whole topology
    const char *spki_b64; // SubjectPublicKeyInfo, DER, standard base64
    uint8_t region;
    int64_t retired_s; // wall: a feed key that verifies what it signed until then, and nothing else; 0: it is in use
};

struct stamp {
    const char *name;      // "eus-1"
    uint8_t region, index; // index within its region
    const struct ip *ipv4; // frontend addresses, as mapped IPs
    size_t n_ipv4;
    const struct ip *ipv6;
    size_t n_ipv6;
};

enum probe_kind { PROBE_AS_HEALTH, PROBE_HTTPS, PROBE_TCP };

// A feed key that is void from a place of its region's feed on: entries past it, and at it all but the one with that
// running hash. It is final: a version that follows keeps it, or names an earlier place.
struct feed_revocation {
    const char *key;
    uint64_t epoch, seq; // seq 0: all of that epoch and later ones
    uint8_t hash[32];    // zero with seq 0
};

struct region {
    const char *name;      // "eastus"
    enum probe_kind probe; // PROBE_AS_HEALTH: what the health section says
    uint16_t probe_port;   // 0: likewise
    uint8_t index;
    const struct stamp *stamps;
    size_t n_stamps;                      // at least 1
    struct endpoint peer;                 // where other regions reach its peer listener
    const char *const *peer_fingerprints; // SHA-256 of the peer certificate's DER, 64 lower-case hex digits
    size_t n_peer_fingerprints;
    const struct public_key *token_keys; // P-256, verify its tokens
    size_t n_token_keys;
    const struct public_key *feed_keys; // Ed25519, verify its feed entries
    size_t n_feed_keys;
    const struct feed_revocation *revoked;
    size_t n_revoked;
    bool has_location;
    int32_t latitude, longitude; // in 1/10000 degree
};

struct replica {
    uint8_t region;      // index into topology.regions
    uint8_t stamp;       // home stamp: index into that region's stamps
    bool global_routing; // takes traffic of the global name
    bool drained;
};

#define STAMP_GONE 0xff               // no region has so many
#define MOVE_SINCE_MAX_S 253402300799 // the end of the year 9999

// A replica that moves to another home stamp: its names lead to the new one only when resolvers have forgotten that
// they may have seen it denied (design section 3; config/moves.h has the rules).
struct stamp_move {
    uint8_t region;
    uint8_t was;     // where its names lead until since_s; STAMP_GONE: that was long ago, and the region has it no more
    int64_t since_s; // wall
};

struct private_member { // one address of a private endpoint
    enum name_kind
        kind; // NAME_GLOBAL ("registry"), NAME_REGIONAL ("registry_<region>"), NAME_DATA ("registry_data_<region>")
    uint8_t region; // REGION_NONE for "registry"
    struct ip ip;
};

struct private_endpoint {
    const char *name;
    uint32_t view; // index into topology.views
    const struct private_member *members;
    size_t n_members;
};

enum access_mode { ACCESS_ENABLED, ACCESS_DISABLED, ACCESS_CIDRS };

struct registry {
    const char *name;  // "contoso"
    const char *hash;  // "" or 16 letters and digits
    const char *label; // the login label: name or name-hash; unique
    bool regional_endpoints;
    bool data_endpoints;
    bool anonymous_pull;
    uint8_t n_replicas;
    enum access_mode public_access;
    const struct cidr *public_cidrs;
    uint32_t n_public_cidrs;
    uint8_t n_moves;
    const struct replica *replicas; // in the order of topology.regions
    const struct stamp_move *moves; // likewise, of the few that have moved
    region_set replica_set;         // of the replicas, as a mask
    const uint8_t *weights;         // TOPOLOGY_MAX_REGIONS of them, by region's index, 0 to 100; NULL: all have 100
    const struct private_endpoint *const *private_endpoints;
    size_t n_private_endpoints;
};

struct access_list { // who is answered: not who is in deny, and if there is an allow, only who is in that; cidr sets
    const struct cidr *allow, *deny;
    size_t n_allow, n_deny;
};

#define FORWARD_UPSTREAMS_MAX 8

struct forward_suffix { // a name in wire form, lower case: it and all below it
    uint8_t wire[256];
    size_t n;
};

struct view_forward { // names outside D that a view's clients may ask for (resolver/forward/forward.h)
    struct endpoint upstreams[FORWARD_UPSTREAMS_MAX]; // in the order of preference
    size_t n_upstreams;
    const struct forward_suffix *names;
    size_t n_names;
    uint32_t timeout_ms; // of one try
    uint16_t max_in_flight, max_per_client;
    bool mix_case;
};

enum on_foreign { // what a view answers to names outside D that its `forward` does not name
    ON_FOREIGN_REFUSED,
    ON_FOREIGN_NXDOMAIN, // for clients that know no other resolver and end their search list at a refusal (musl)
    ON_FOREIGN_FORWARD   // the view's forward covers every name
};

struct view { // a private network; the public view is not in this list
    const char *name;
    const struct endpoint *listeners; // DNS listeners that belong to it alone (may be none)
    size_t n_listeners;
    const struct cidr *sources; // transport sources that fit it, as a cidr set
    size_t n_sources;
    const struct cidr *networks; // that its private addresses must lie in; none: anywhere
    size_t n_networks;
    struct access_list access;
    enum on_foreign on_foreign;
    const struct view_forward *forward; // NULL: nothing is forwarded
};

// For the choice of the view (resolver/route/views.h), by bisection.
struct view_listener {
    struct endpoint at;
    uint32_t view; // index into topology.views
};
struct view_source {
    struct cidr cidr;
    uint32_t view;
};
struct view_index {
    const struct view_listener *listeners; // by address and port
    const struct view_source *sources;     // of views without listeners; disjoint, by address
    size_t n_listeners, n_sources;
};

struct routing_override { // clients in `cidr` prefer `order`; the rest of the regions follow in the operator's order
    struct cidr cidr;
    const uint8_t *order;
    size_t n_order;
    uint64_t tiers; // bit i: order[i] begins a tier; those of a tier are equally near
    int line;       // where it stands in the document, for explanations
};

struct routing_settings {
    const char *latency_file, *maxmind_file;   // from where the process stands; NULL: none
    const char *latency_given, *maxmind_given; // as the document has them: maybe relative to it
    uint32_t latency_margin_ms, distance_margin_km;
    bool overrides_special; // an override is of networks that are not global unicast (ip_special_bits), and no others
};

struct ttls { // seconds
    uint32_t global, regional, data, frontend, private_, negative, soa, ns;
};

struct health_settings {
    uint32_t interval_ms, timeout_ms, hold_down_ms;
    uint32_t hold_down_max_ms; // what a hold-down grows to for a stamp that flaps
    uint32_t rise, fall;
    uint32_t jitter_percent; // of the interval
    unsigned probe;          // enum probe_kind: HTTPS or TCP
    uint32_t port;           // 0: the public HTTPS port
};

struct replication_settings {
    uint32_t
        clock_skew_ms; // a stamp further ahead of a region's wall clock is of the future, and not taken (section 9)
};

struct name_server { // NS of D; its name is that of a stamp under fe.D
    uint8_t region, stamp;
};

struct notify_target { // a secondary that is told of changes (RFC 1996)
    struct endpoint to;
    const char *key; // name of the TSIG key that signs the message; NULL: none
};

struct transfer_settings { // who may transfer fe.D; nobody without networks and keys
    const struct cidr *allow;
    size_t n_allow; // 0: from anywhere, if a key is given
    const char *const *keys;
    size_t n_keys; // 0: no key is asked for
    const struct notify_target *notify;
    size_t n_notify;
    const struct endpoint *secondaries; // that are neither told nor named as NS, yet answer for fe.D
    size_t n_secondaries;
};

struct static_record {
    const uint8_t *rdata; // wire form, names uncompressed and in lower case
    const char *text;     // the same as a master file has it
    uint16_t rdata_n, type;
};

// A name whose records stand in the topology word for word: the apex, and names of ACME challenges, which no other
// kind of name can be. They are looked up first.
struct static_name {
    const uint8_t *labels;               // wire form, lower case, without D and the root
    size_t labels_n;                     // 0: the apex
    bool in_frontend;                    // the name lies in fe.D
    const struct static_record *records; // sorted by type, as given within one
    size_t n_records;
};

enum private_cut { // where private names are cut off into unsigned child zones (resolver/zone/zone_cut.h)
    PRIVATE_CUT_NONE,
    PRIVATE_CUT_PRIVATELINK, // privatelink.D
    PRIVATE_CUT_REGION       // <region>.geo.privatelink.D
};

struct cert_lifetimes { // seconds
    uint32_t region, shared, peer;
};

struct zone_serial {    // of fe.D; see config/frontend.h
    uint64_t pin;       // 0: none
    uint8_t pin_of[32]; // the content that it holds for
    uint32_t offset;
    uint8_t content[32]; // digest of the content as it is
    uint64_t base;       // the pin while it holds, else the frame's version
};

struct topology_frame { // what versions that differ in registries only have in common
    _Atomic uint32_t refs;
    struct arena arena;
    struct htab *by_region; // values point into the array
    // The document without registries and private endpoints, for config/compiled.h; NULL: it cannot be cut.
    const char *text;
    size_t text_n;
    const int *cuts; // pairs, as in struct doc_lines
    size_t n_cuts;
    uint64_t version; // of that document: changes leave it as it is, and the compiled form keeps it
    struct zone_serial serial;
    uint64_t base_version; // of the file that a node began with: a document, or one compiled with changes
    uint8_t base_hash[32]; // SHA-256 of it
};

struct topology {
    struct snapshot_head head;
    struct topology_frame *frame;
    const char *source;     // path it came from, or is a copy of
    uint64_t version;       // only goes up
    const char *domain;     // D
    const char *hostmaster; // SOA RNAME as an address, "hostmaster@example.io"
    uint16_t https_port;    // public port in formatted URLs: left out of them when 443
    const char *ca_region;  // region whose peer listener answers certificate renewals; NULL: renewals are by hand
    struct cert_lifetimes cert_life;
    enum private_cut private_cut;
    struct dnssec_settings dnssec;

    const struct region *regions;
    size_t n_regions;
    size_t n_registries; // topology_next, topology_sorted
    const struct view *views;
    size_t n_views;
    struct view_index view_index;
    struct access_list dns_access;            // of the public view
    const uint8_t *routing_order;             // the operator's order: all regions, each once
    uint64_t routing_tiers;                   // bit i: routing_order[i] begins a tier
    const struct routing_override *overrides; // longest prefix first
    size_t n_overrides;
    struct routing_settings routing;
    const struct name_server *name_servers; // at least one
    size_t n_name_servers;
    struct ttls ttl;
    struct health_settings health;
    struct transfer_settings transfer;
    struct replication_settings replication;
    const struct static_name *statics; // the apex first, if it has any
    size_t n_statics;
    uint32_t static_ttl;  // seconds
    uint32_t max_stale_s; // how long a region cut off issues tokens on its last principals

    struct catalogue *catalogue; // the registries (config/catalogue.h)
    uint8_t content_hash[32];    // SHA-256 of the document; of a change: of the hash before and the change
};

// Reads, parses, validates and freezes. On failure *out is untouched and diag holds every error found.
int topology_load(const char *path, struct diag *diag, struct topology **out);
// The same from memory; `source` is the name used in messages.
int topology_parse(const char *text, size_t n, const char *source, struct diag *diag, struct topology **out);
// It is a copy of the document at `source`: relative paths in it are from there. Only before it is published.
// ERR_NOMEM.
int topology_set_source(struct topology *t, const char *source);
// Compact: without struct registry, for a process that answers names and nothing else. topology_registry,
// topology_by_label and topology_next find nothing then; catalogue_find, catalogue_next and catalogue_expand do.
enum topology_form { TOPOLOGY_FULL, TOPOLOGY_COMPACT };
int topology_parse_as(enum topology_form form, const char *text, size_t n, const char *source, struct diag *diag,
                      struct topology **out);

const struct region *topology_region(const struct topology *t, const char *name);      // NULL if none
const struct registry *topology_registry(const struct topology *t, const char *name);  // by registry name
const struct registry *topology_by_label(const struct topology *t, const char *label); // by login label
const struct registry *topology_by_label_n(const struct topology *t, const char *label, size_t n);
// All registries, in no order. struct catalogue_iter it = {0}; while ((r = topology_next(t, &it))) …
struct catalogue_iter {
    size_t bucket;
    const struct catalogue_registry *record;
};
const struct registry *topology_next(const struct topology *t, struct catalogue_iter *it);
// All registries, sorted by label: n_registries of them; the caller frees the list. NULL: out of memory.
const struct registry **topology_sorted(const struct topology *t);
const struct replica *registry_replica(const struct registry *r, uint8_t region); // NULL if none there
const struct stamp *topology_replica_stamp(const struct topology *t, const struct replica *rep);
const struct stamp_move *registry_move(const struct registry *r, uint8_t region); // NULL: it did not move
// Where the names of that replica lead at a time: the home stamp, or the one before. NULL: no replica there.
const struct stamp *registry_stamp_at(const struct topology *t, const struct registry *r, uint8_t region,
                                      int64_t now_s);
const struct stamp *region_stamp(const struct region *r, const char *name);             // NULL if none
const struct public_key *topology_token_key(const struct topology *t, const char *kid); // NULL if none
const struct public_key *topology_feed_key(const struct topology *t, const char *kid);  // also one that is retired
// For what is signed now (votes, requests): one that is neither that nor revoked. Entries: public_key_signed_at.
const struct public_key *topology_feed_key_in_use(const struct topology *t, const char *kid);
// Could this feed key have signed an entry with a stamp of this wall time? A stamp may be ahead of its region's clock.
bool public_key_signed_at(const struct topology *t, const struct public_key *k, int64_t wall_ms);
const struct feed_revocation *topology_revocation(const struct topology *t, const char *kid); // NULL if none
// Are all revocations of `before` in `next`, at the same place or an earlier one? If not, *out_why says which (heap).
bool topology_revocations_may_follow(const struct topology *before, const struct topology *next, char **out_why);
const struct region *topology_region_by_fingerprint(const struct topology *t, const char *hex); // peer certificate

// A name in front of D, in any case; NULL: none of the statics.
const struct static_name *topology_static(const struct topology *t, const uint8_t *labels, size_t n);
// Its records of a type, side by side. Returns how many.
size_t static_records(const struct static_name *s, uint16_t type, const struct static_record **out);

// Do they differ in registries only? What is made of the rest need not be made again then.
static inline bool topology_same_frame(const struct topology *a, const struct topology *b)
{
    return a && b && a->frame == b->frame;
}

const struct option_set *topology_options(void); // the document's rows, for samples and the manual page

#endif
