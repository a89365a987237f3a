// SPDX-License-Identifier: Apache-2.0
// Shared by the topology's files only: the document as its rows read it (spec_*: words and lines,
// nothing resolved yet), and the builder that turns it into the frozen struct. Strings and arrays
// of a spec live in a temporary arena; what the topology keeps is copied. After a bad value the
// fields are NULL or empty: the builder goes on past them, so that all errors are found.
#ifndef MERIDIAN_CONFIG_TOPOLOGY_PRIV_H
#define MERIDIAN_CONFIG_TOPOLOGY_PRIV_H

#include "config/options.h"
#include "config/registry_spec.h"
#include "config/topology.h"

struct spec_stamp {
    const struct doc_node *node;
    const char *name;
    const struct ip *ipv4, *ipv6;
    size_t n_ipv4, n_ipv6;
};

struct spec_region {
    const struct doc_node *node;
    const char *name;
    const struct spec_stamp *stamps;
    size_t n_stamps;
    struct endpoint peer, admin;
    const char *location;
    unsigned probe;
    uint32_t probe_port;
};

struct spec_override {
    const struct doc_node *node;
    const struct cidr *clients;
    size_t n_clients;
    const char *const *order;
    size_t n_order;
};

struct spec_access {
    const struct cidr *allow, *deny;
    size_t n_allow, n_deny;
};

struct spec_forward {
    // NULL: not given
    const struct doc_node *node;
    const struct endpoint *upstreams;
    size_t n_upstreams;
    const char *const *names;
    size_t n_names;
    uint32_t timeout_ms;
    uint16_t max_in_flight, max_per_client;
    bool mix_case;
};

struct spec_pool {
    const struct doc_node *node;
    const char *name;
    const struct cidr *subnet, *exclude;
    size_t n_subnet, n_exclude;
    uint32_t reserved_first, reserved_last;
    unsigned answered_by;
};

struct spec_view {
    const struct doc_node *node;
    const char *name, *owner;
    const struct spec_pool *pools;
    size_t n_pools;
    const struct endpoint *listeners;
    const struct cidr *sources, *networks;
    size_t n_listeners, n_sources, n_networks;
    struct spec_access access;
    enum on_foreign on_foreign;
    struct spec_forward forward;
};

struct spec_routing {
    const struct doc_node *node;
    const char *const *order;
    size_t n_order;
    const struct spec_override *overrides;
    size_t n_overrides;
    const char *latency_file, *maxmind_file;
    uint32_t latency_margin_ms, distance_margin_km;
};

struct spec_key {
    const struct doc_node *node;
    // retired: feed keys only
    const char *id, *key, *retired;
};

struct spec_revoked {
    const struct doc_node *node;
    const char *key, *hash;
    uint64_t epoch, seq;
};

struct spec_seal {
    const struct doc_node *node;
    const char *hash;
    uint64_t epoch, seq;
};

struct spec_identity {
    const struct doc_node *node;
    const char *const *fingerprints;
    const struct spec_key *token_keys, *feed_keys, *control_keys;
    const struct spec_revoked *revoked;
    struct spec_seal sealed;
    size_t n_fingerprints, n_token_keys, n_feed_keys, n_control_keys, n_revoked;
};

struct spec_operator {
    const struct doc_node *node;
    const char *name, *key;
    // enum control_right
    unsigned rights;
    bool revoked;
};

struct spec_control {
    // NULL: not given
    const struct doc_node *node;
    const char *root, *writer;
    const struct spec_operator *operators;
    size_t n_operators;
};

struct spec_certificates {
    const char *ca_region;
    struct cert_lifetimes life;
};

struct spec_notify {
    const struct doc_node *node;
    struct endpoint to;
    const char *key;
};

struct spec_transfer {
    const struct doc_node *node;
    const struct cidr *allow;
    const char *const *keys;
    const struct spec_notify *notify;
    const struct endpoint *secondaries;
    size_t n_allow, n_keys, n_notify, n_secondaries;
};

struct spec_mx {
    const struct doc_node *node;
    uint16_t preference;
    const char *host;
};

struct spec_caa {
    const struct doc_node *node;
    bool critical;
    const char *tag, *value;
};

struct spec_challenge {
    const struct doc_node *node;
    const char *at;
    const char *const *txt;
    size_t n_txt;
};

struct spec_apex {
    const struct doc_node *node;
    uint32_t ttl;
    const struct ip *ipv4, *ipv6;
    const struct spec_mx *mx;
    const char *const *txt;
    const struct spec_caa *caa;
    const struct spec_challenge *challenges;
    size_t n_ipv4, n_ipv6, n_mx, n_txt, n_caa, n_challenges;
};

struct spec_dnskey {
    const struct doc_node *node;
    const char *id, *since, *key;
    unsigned zone, role, algorithm, state;
};

struct spec_dnssec {
    const struct doc_node *node;
    uint32_t ttl;
    const struct spec_dnskey *keys;
    size_t n_keys;
};

struct spec_zone_serial {
    const struct doc_node *node;
    uint64_t serial;
    const char *content;
    uint32_t offset;
};

struct spec_topology {
    const struct doc_node *node, *identities;
    uint64_t version;
    const char *domain, *hostmaster;
    uint16_t https_port;
    // insecure or not; enum private_cut
    unsigned private_cut, private_cut_at;
    struct spec_region *regions;
    const char *const *name_servers;
    struct spec_registry *registries;
    struct spec_routing routing;
    const struct spec_view *views;
    struct spec_access dns_access;
    const struct spec_private *private_endpoints;
    const struct spec_reserved *reserved;
    size_t n_reserved;
    size_t n_regions, n_name_servers, n_registries, n_views, n_private_endpoints;
    struct health_settings health;
    struct ttls ttl;
    struct spec_certificates certificates;
    struct spec_dnssec dnssec;
    struct spec_zone_serial zone_serial;
    struct spec_transfer transfer;
    struct replication_settings replication;
    struct spec_apex apex;
    struct spec_control control;
    // tokens: has one key
    uint32_t max_stale_s;
};

extern const struct option_set spec_topology_set, spec_identity_set, spec_transfer_set,
    spec_apex_set, spec_dnssec_set, spec_zone_serial_set, spec_control_set, spec_pool_set;

// A new topology with a frame of its own. NULL: out of memory.
struct topology *topology_new(const char *source);
// Keeps in the frame what topology_parse_frame reads again; nothing where the document cannot be
// cut. `lines` as it was read with: NULL for a whole document. ERR_NOMEM.
int topology_keep_text(struct topology *t, const struct doc_node *root,
                       const struct doc_lines *lines, const char *text, size_t n);

struct topology_build {
    // its arena is the temporary one
    struct option_ctx *ctx;
    struct topology *t;
    const struct spec_topology *s;
    // sorted by label; of the temporary arena, as all that hangs off them
    struct registry *registries;
    size_t n_registries;
    struct private_index *index;
};

// in the frame's arena; never of 0 bytes
void *build_array(struct topology_build *b, size_t n, size_t size);
// in the temporary one: what registries have
void *build_temp(struct topology_build *b, size_t n, size_t size);
void *build_copy(struct topology_build *b, const void *p, size_t n, size_t size);
const char *build_string(struct topology_build *b, const char *s); // "" for NULL
// Index, or -1 after saying so ("…: unknown region "x"; did you mean "y"?").
int build_find_region(struct topology_build *b, int line, const char *what, const char *name);
int build_find_stamp(struct topology_build *b, int line, const char *what, uint8_t region,
                     const char *name);

void topology_build_regions(struct topology_build *b);
void topology_build_registries(struct topology_build *b);
void topology_build_registry(struct topology_build *b, const struct spec_registry *in,
                             struct registry *r);
void topology_build_policy(struct topology_build *b, const struct spec_registry *in,
                           struct registry *r); // topology_policy.c, rows included
// by label, which it sets; false: out of memory
bool topology_sort_registries(struct topology_build *b);
void topology_build_location(const struct spec_region *in, struct region *r);
void topology_build_routing(struct topology_build *b);
void topology_build_views(struct topology_build *b);
// NULL: the view forwards nothing.
const struct view_forward *topology_build_forward(struct topology_build *b,
                                                  const struct spec_view *in);
// topology_pools.c: the pools of a view that was built; then all pools against each other, and
// against the networks of views.
void topology_build_pools(struct topology_build *b, const struct spec_view *in, struct view *v);
void topology_check_pools(struct topology_build *b);
struct access_list topology_build_access(struct topology_build *b, const struct spec_access *in);
// of the views that were built; also who may ask the public view
void topology_build_view_index(struct topology_build *b);
void topology_build_private(struct topology_build *b);
void topology_build_identities(struct topology_build *b);
void topology_build_transfer(struct topology_build *b); // topology_transfer.c, rows included
void topology_build_apex(struct topology_build *b);     // topology_apex.c, rows included
void topology_build_control(struct topology_build *b);  // topology_control.c, rows included
// Is it base64 of the SubjectPublicKeyInfo of an Ed25519 key?
bool topology_ed25519_ok(const char *spki_b64);
bool topology_location_ok(const char *text);
void topology_build_dnssec(struct topology_build *b);
void topology_build_zone_serial(struct topology_build *b); // topology_serial.c, rows included
void topology_build_reserved(struct topology_build *b);    // topology_reserved.c, rows included

#endif
