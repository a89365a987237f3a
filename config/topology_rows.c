// SPDX-License-Identifier: Apache-2.0
// The topology's option rows: every key of the document, its type, range, default and help.
#include "config/topology_priv.h"

#include "base/mem.h"
#include "config/dnl.h"
#include "config/policy.h"

#include <string.h>

static bool hostmaster_ok(const char *s)
{
    size_t n = strcspn(s, "@");
    if (n == 0 || n > 63 || !s[n] || !hostname_domain_ok(s + n + 1))
        return false;
    return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == n;
}

bool topology_name_ok(const char *s)
{
    size_t n = strlen(s);
    return n >= 1 && n <= 63 && s[0] != '-' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == n;
}

static bool fingerprint_ok(const char *s)
{
    return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static bool key_id_ok(const char *s)
{
    size_t n = strlen(s);
    return n >= 1 && n <= 96 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") == n;
}

static bool suffix_ok(const char *s)
{
    size_t n = 0, label = 0;
    if (!strcmp(s, "."))
        return true;
    for (; s[n]; n++) {
        if (s[n] == '.')
            label = 0;
        else
            label = label + 1;
        if ((s[n] == '.' && (n == 0 || s[n - 1] == '.')) || label > 63 ||
            !strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", s[n]))
            return false;
    }
    return n >= 1 && n <= 253 && label > 0;
}

static bool v4_ok(const char *s)
{
    return !strchr(s, ':');
}

static bool v6_ok(const char *s)
{
    return !v4_ok(s) && strncasecmp(s, "::ffff:", 7);
}

static bool utc_time_ok(const char *s)
{
    return dnskey_time_parse(s) >= 0;
}

static bool since_ok(const char *s)
{
    int64_t at = dnskey_time_parse(s);
    return at > 0 && at <= MOVE_SINCE_MAX_S;
}

static bool path_ok(const char *s)
{
    return *s && s[strlen(s) - 1] != '/';
}

#define REGION_WORDS "a region: a letter, then at most 30 letters and digits, lower case"
#define STAMP_WORDS "a stamp: at most 63 letters, digits and inner hyphens, lower case"
#define NAME_WORDS "a name: at most 63 lower-case letters, digits, hyphens and underscores"
#define OWNER_WORDS "an owner: at most 128 letters, digits and -_.@:/+"
#define REF_MAX 255

static const struct option stamp_rows[] = {
    {"name", OPT_STRING, OPT_AT(struct spec_stamp, name), .required = true,
     .check = hostname_stamp_ok, .expect = STAMP_WORDS, .example = "eus-1",
     .help = "the stamp's name, a DNS label"},
    {"ipv4", OPT_IPS, OPT_ARRAY_AT(struct spec_stamp, ipv4, n_ipv4), .max = 32, .check = v4_ok,
     .expect = "an IPv4 address", .shown = true, .example = "192.0.2.1",
     .help = "A records of its frontends"},
    {"ipv6", OPT_IPS, OPT_ARRAY_AT(struct spec_stamp, ipv6, n_ipv6), .max = 32, .check = v6_ok,
     .expect = "an IPv6 address", .example = "2001:db8::1",
     .help = "AAAA records of its frontends"},
};
static const struct option_set stamp_set = {stamp_rows, ARRAY_LEN(stamp_rows),
                                            sizeof(struct spec_stamp),
                                            offsetof(struct spec_stamp, node)};

static const struct option_word region_probe_words[] = {
    {"default", PROBE_AS_HEALTH}, {"https", PROBE_HTTPS}, {"tcp", PROBE_TCP}};
static const struct option region_rows[] = {
    {"name", OPT_STRING, OPT_AT(struct spec_region, name), .required = true,
     .check = hostname_region_ok, .expect = REGION_WORDS, .example = "eastus",
     .help = "the region's name, part of its hostnames"},
    {"stamps", OPT_LIST, OPT_ARRAY_AT(struct spec_region, stamps, n_stamps), .required = true,
     .min = 1, .max = 255, .sub = &stamp_set, .help = "the region's units of frontends"},
    {"peer", OPT_ENDPOINT, OPT_AT(struct spec_region, peer), .example = "192.0.2.1:8443",
     .help = "address and port of its peer listener; needed with two regions or more"},
    {"admin", OPT_ENDPOINT, OPT_AT(struct spec_region, admin), .example = "192.0.2.1:9443",
     .help = "address and port of its admin listener, where operators reach it from afar"},
    {"location", OPT_STRING, OPT_AT(struct spec_region, location), .check = topology_location_ok,
     .expect = "latitude and longitude in degrees, as in \"37.37, -79.82\"",
     .help = "where it is, for distances to clients (routing.maxmind_file)"},
    {"probe", OPT_ENUM, OPT_AT(struct spec_region, probe), .def = "default",
     OPT_WORDS(region_probe_words),
     .help = "how its stamps are probed; default: as the health section says"},
    {"probe_port", OPT_INT, OPT_AT(struct spec_region, probe_port), .def = "0", .max = 65535,
     .help = "the port that probes go to; 0: as the health section says"},
};
static const struct option_set region_row_set = {region_rows, ARRAY_LEN(region_rows),
                                                 sizeof(struct spec_region),
                                                 offsetof(struct spec_region, node)};

const struct option_word spec_stage_words[3] = {
    {"public", STAGE_PUBLIC}, {"private", STAGE_PRIVATE}, {"edge", STAGE_EDGE}};

static const struct option replica_rows[] = {
    {"region", OPT_STRING, OPT_AT(struct spec_replica, region), .required = true, .max = REF_MAX,
     .example = "eastus", .help = "where the replica is"},
    {"stamp", OPT_STRING, OPT_AT(struct spec_replica, stamp), .max = REF_MAX,
     .help = "its home stamp; the region's first when not given"},
    {"stamp_was", OPT_STRING, OPT_AT(struct spec_replica, was), .check = hostname_stamp_ok,
     .expect = STAMP_WORDS,
     .help = "the home stamp before: names lead there until stamp_since. A replica that moves to "
             "another stamp needs "
             "both; meridian replication rebind writes them"},
    {"stamp_since", OPT_STRING, OPT_AT(struct spec_replica, since), .check = since_ok,
     .expect = "a time in UTC, as in 2026-11-23T19:58:50Z",
     .help = "from when on names lead to stamp: at least ttl.negative after all who answer for "
             "fe.D have its name"},
    {"global_routing", OPT_BOOL, OPT_AT(struct spec_replica, global_routing), .def = "true",
     .help = "whether the global name may lead here"},
    {"drained", OPT_BOOL, OPT_AT(struct spec_replica, drained), .def = "false",
     .help = "whether the global name should lead elsewhere for now"},
    {"weight", OPT_INT, OPT_AT(struct spec_replica, weight), .def = "100", .max = 100,
     .help = "its share of the clients for whom several regions are equally near; 0: only when "
             "those are down"},
    {"stage", OPT_ENUM, OPT_AT(struct spec_replica, stage), .def = "public",
     .words = spec_stage_words, .n_words = ARRAY_LEN(spec_stage_words),
     .help = "how far its names are served while it comes or goes, as the registry's stage; only "
             "in public the global name leads here"},
};
static const struct option_set replica_set = {replica_rows, ARRAY_LEN(replica_rows),
                                              sizeof(struct spec_replica),
                                              offsetof(struct spec_replica, node)};

static const struct option_word dnl_words[N_DNL_SCOPES] = {
    {"unsecure", DNL_UNSECURE},
    {"tenant_reuse", DNL_TENANT_REUSE},
    {"subscription_reuse", DNL_SUBSCRIPTION_REUSE},
    {"resource_group_reuse", DNL_RESOURCE_GROUP_REUSE},
    {"no_reuse", DNL_NO_REUSE},
};
static const struct option registry_rows[] = {
    {"name", OPT_STRING, OPT_AT(struct spec_registry, name), .required = true,
     .check = hostname_registry_ok,
     .expect = "a registry name: 5 to 50 lower-case letters and digits, not a reserved word",
     .example = "contoso", .help = "the registry's name"},
    {"hash", OPT_STRING, OPT_AT(struct spec_registry, hash), .check = hostname_hash_ok,
     .expect = "16 lower-case letters and digits", .help = "makes the login label name-hash"},
    {"incarnation", OPT_INT, OPT_AT(struct spec_registry, incarnation), .def = "0",
     .max = INT64_MAX,
     .help = "the version of this document that created it: what an earlier registry of its name "
             "has left is then never taken for its own. It stays as it is as long as the registry "
             "lives; 0: none"},
    {"regional_endpoints", OPT_BOOL, OPT_AT(struct spec_registry, regional_endpoints),
     .def = "disabled", .help = "whether each replica has a hostname that never fails over"},
    {"data_endpoints", OPT_BOOL, OPT_AT(struct spec_registry, data_endpoints), .def = "disabled",
     .help = "whether blobs are served from a hostname of their own"},
    {"anonymous_pull", OPT_BOOL, OPT_AT(struct spec_registry, anonymous_pull), .def = "false",
     .help = "whether pulling needs no account"},
    {"public_access", OPT_NODE, OPT_AT(struct spec_registry, public_access), .def = "enabled",
     .help = "enabled, disabled, or a list of networks that may connect"},
    {"replicas", OPT_LIST, OPT_ARRAY_AT(struct spec_registry, replicas, n_replicas),
     .required = true, .min = 1, .max = TOPOLOGY_MAX_REGIONS, .sub = &replica_set,
     .help = "the regions that hold it"},
    {"quota", OPT_SIZE, OPT_AT(struct spec_registry, quota_bytes), .def = "0",
     .max = POLICY_QUOTA_MAX,
     .help = "bytes that it may hold in a region, manifests not counted; 0: no bound"},
    {"push_move", OPT_ENUM, OPT_AT(struct spec_registry, push_move), .def = "none",
     .words = spec_push_move_words, .n_words = ARRAY_LEN(spec_push_move_words),
     .help = "where uploads go on that began on the global name: there, or, with "
             "regional_endpoints, on the region's own hostname"},
    {"copy_ahead", OPT_ENUM, OPT_AT(struct spec_registry, copy_ahead), .def = "enabled",
     .words = spec_copy_ahead_words, .n_words = ARRAY_LEN(spec_copy_ahead_words),
     .help = "whether the other regions copy a blob when its upload has ended, before there is a "
             "manifest for it"},
    {"ack", OPT_ENUM, OPT_AT(struct spec_registry, ack_peers), .def = "local",
     .words = spec_ack_words, .n_words = ARRAY_LEN(spec_ack_words),
     .help =
         "when a write is acknowledged: local, once it is on this region's disk; peers:N, once N "
         "other regions have it too, with its content"},
    {"repositories", OPT_LIST, OPT_ARRAY_AT(struct spec_registry, repositories, n_repositories),
     .max = POLICY_REPOSITORIES_MAX, .sub = &spec_repository_set,
     .help = "rules of its repositories; the first whose match fits a repository holds"},
    {"limits", OPT_MAP, OPT_AT(struct spec_registry, limits), .sub = &rates_set,
     .help = "requests a minute that each region takes; so many may come at once; beyond it 429 "
             "with Retry-After"},
    {"owner", OPT_STRING, OPT_AT(struct spec_registry, owner), .check = registry_owner_ok,
     .expect = OWNER_WORDS, .example = "ada",
     .help = "who may have the name again after the registry was deleted"},
    {"dnl_scope", OPT_ENUM, OPT_AT(struct spec_registry, dnl_scope), .def = "unsecure",
     .words = dnl_words, .n_words = ARRAY_LEN(dnl_words),
     .help = "what its hash was made of: unsecure has none; no_reuse: the label never comes again; "
             "the others: only with the same owner"},
    {"stage", OPT_ENUM, OPT_AT(struct spec_registry, stage), .def = "public",
     .words = spec_stage_words, .n_words = ARRAY_LEN(spec_stage_words),
     .help = "how far its names are served. edge: certificates, edge and tokens know them, DNS "
             "does not; private: views with a private address have them too; public: all DNS. "
             "Names come from edge to public, and go the other way"},
    {"regional_stage", OPT_ENUM, OPT_AT(struct spec_registry, regional_stage), .def = "public",
     .words = spec_stage_words, .n_words = ARRAY_LEN(spec_stage_words),
     .help = "the same of its regional names, which are served no further than stage says"},
    {"data_stage", OPT_ENUM, OPT_AT(struct spec_registry, data_stage), .def = "public",
     .words = spec_stage_words, .n_words = ARRAY_LEN(spec_stage_words),
     .help = "the same of its data names"},
};
const struct option_set spec_registry_set = {registry_rows, ARRAY_LEN(registry_rows),
                                             sizeof(struct spec_registry),
                                             offsetof(struct spec_registry, node)};

static const struct option override_rows[] = {
    {"clients", OPT_CIDRS, OPT_ARRAY_AT(struct spec_override, clients, n_clients), .required = true,
     .min = 1, .one_ok = true, .example = "198.51.100.0/24",
     .help = "a network, or a list of them"},
    {"order", OPT_STRINGS, OPT_ARRAY_AT(struct spec_override, order, n_order), .required = true,
     .min = 1, .max = TOPOLOGY_MAX_REGIONS, .example = "eastus",
     .help =
         "the regions these clients prefer, joined by + where they are equal; the others follow"},
};
static const struct option_set override_set = {override_rows, ARRAY_LEN(override_rows),
                                               sizeof(struct spec_override),
                                               offsetof(struct spec_override, node)};

static const struct option routing_rows[] = {
    {"order", OPT_STRINGS, OPT_ARRAY_AT(struct spec_routing, order, n_order),
     .max = TOPOLOGY_MAX_REGIONS,
     .help = "regions by preference, joined by + where they are equal, as in eastus+eastus2; those "
             "not named follow "
             "in the document's order"},
    {"overrides", OPT_LIST, OPT_ARRAY_AT(struct spec_routing, overrides, n_overrides),
     .sub = &override_set,
     .help = "rules by client network; the longest prefix wins, and any rule wins over the two "
             "files. A Client Subnet "
             "option "
             "with a private network counts only where a rule for private networks names it"},
    {"latency_file", OPT_STRING, OPT_AT(struct spec_routing, latency_file), .max = 4095,
     .check = path_ok, .expect = "a path",
     .help = "measured latencies, lines of network,region,latency_ms; relative to the topology"},
    {"latency_margin", OPT_DURATION, OPT_AT(struct spec_routing, latency_margin_ms), .def = "5ms",
     .max = 10000,
     .help = "regions at most so much slower than the fastest of them are equally near"},
    {"maxmind_file", OPT_STRING, OPT_AT(struct spec_routing, maxmind_file), .max = 4095,
     .check = path_ok, .expect = "a path",
     .help = "a MaxMind database with locations (GeoLite2-City), for networks that the latency "
             "file lacks: by distance to the regions' locations"},
    {"distance_margin_km", OPT_INT, OPT_AT(struct spec_routing, distance_margin_km), .def = "100",
     .max = 20038,
     .help = "regions at most so much further than the nearest of them are equally near"},
};
static const struct option_set routing_set = {routing_rows, ARRAY_LEN(routing_rows),
                                              sizeof(struct spec_routing),
                                              offsetof(struct spec_routing, node)};

#define FORWARD_AT(member) OPT_AT(struct spec_forward, member)
static const struct option forward_rows[] = {
    {"upstreams", OPT_ENDPOINTS, OPT_ARRAY_AT(struct spec_forward, upstreams, n_upstreams),
     .max = FORWARD_UPSTREAMS_MAX, .port = 53, .one_ok = true,
     .help = "resolvers to ask, the preferred one first"},
    {"names", OPT_STRINGS, OPT_ARRAY_AT(struct spec_forward, names, n_names), .max = 256,
     .one_ok = true, .check = suffix_ok, .expect = "a domain in lower case, or . for all names",
     .help = "what to ask them for: these names and all below them; . is all. Names of the service "
             "are never forwarded"},
    {"timeout", OPT_DURATION, FORWARD_AT(timeout_ms), .def = "1s", .min = 50, .max = 3000,
     .help = "how long to wait for an upstream before another is asked"},
    {"max_in_flight", OPT_INT, FORWARD_AT(max_in_flight), .def = "256", .min = 1, .max = 1024,
     .help = "queries of the view that may wait for upstreams at a time"},
    {"max_per_client", OPT_INT, FORWARD_AT(max_per_client), .def = "64", .min = 1, .max = 1024,
     .help = "the same of one client"},
    {"mix_case", OPT_BOOL, FORWARD_AT(mix_case), .def = "false",
     .help =
         "ask in random upper and lower case and take only answers that keep it: harder to forge"},
};
static const struct option_set forward_set = {forward_rows, ARRAY_LEN(forward_rows),
                                              sizeof(struct spec_forward),
                                              offsetof(struct spec_forward, node)};

static const struct option_word foreign_words[] = {{"refused", ON_FOREIGN_REFUSED},
                                                   {"nxdomain", ON_FOREIGN_NXDOMAIN},
                                                   {"forward", ON_FOREIGN_FORWARD}};
static const struct option view_rows[] = {
    {"name", OPT_STRING, OPT_AT(struct spec_view, name), .required = true,
     .check = topology_name_ok, .expect = NAME_WORDS, .example = "corp", .help = "the view's name"},
    {"listeners", OPT_ENDPOINTS, OPT_ARRAY_AT(struct spec_view, listeners, n_listeners), .max = 64,
     .port = 53, .help = "DNS listeners that belong to this view alone"},
    {"sources", OPT_CIDRS, OPT_ARRAY_AT(struct spec_view, sources, n_sources),
     .example = "10.0.0.0/8", .help = "transport sources that fit the view"},
    {"networks", OPT_CIDRS, OPT_ARRAY_AT(struct spec_view, networks, n_networks),
     .help = "networks that the private addresses of this view must lie in"},
    {"owner", OPT_STRING, OPT_AT(struct spec_view, owner), .check = registry_owner_ok,
     .expect = OWNER_WORDS, .example = "ada",
     .help = "the operator who may make private endpoints in this view; any who has the right when "
             "not given"},
    {"pools", OPT_LIST, OPT_ARRAY_AT(struct spec_view, pools, n_pools), .max = 64,
     .sub = &spec_pool_set, .help = "addresses that private endpoints of this view are given from"},
    {"allow", OPT_CIDRS, OPT_ARRAY_AT(struct spec_view, access.allow, access.n_allow),
     .help = "of those who fit the view, answer these only"},
    {"deny", OPT_CIDRS, OPT_ARRAY_AT(struct spec_view, access.deny, access.n_deny),
     .help = "refuse these, whatever allow says"},
    {"forward", OPT_MAP, OPT_AT(struct spec_view, forward), .sub = &forward_set,
     .help = "resolvers for names outside the service domain"},
    {"on_foreign", OPT_ENUM, OPT_AT(struct spec_view, on_foreign), .def = "refused",
     OPT_WORDS(foreign_words),
     .help = "what names outside the service domain get that forward does not name. refused: "
             "clients go on to their next "
             "resolver. nxdomain: for clients that have no other, and in whose search list a "
             "refusal ends the search "
             "(Alpine "
             "images, musl). forward: forward is for every name"},
};
static const struct option_set view_set = {
    view_rows, ARRAY_LEN(view_rows), sizeof(struct spec_view), offsetof(struct spec_view, node)};

const struct option_word spec_private_stage_words[2] = {{"private", PRIVATE_IN_DNS},
                                                        {"edge", PRIVATE_AT_EDGE}};
const struct option_word spec_answered_by_words[3] = {
    {"none", ANSWERED_BY_NONE}, {"edge", ANSWERED_BY_EDGE}, {"balancer", ANSWERED_BY_BALANCER}};

static const struct option private_rows[] = {
    {"name", OPT_STRING, OPT_AT(struct spec_private, name), .required = true,
     .check = topology_name_ok, .expect = NAME_WORDS, .example = "contoso-corp",
     .help = "the private endpoint's name"},
    {"registry", OPT_STRING, OPT_AT(struct spec_private, registry), .required = true,
     .max = REF_MAX, .example = "contoso", .help = "the registry it leads to"},
    {"view", OPT_STRING, OPT_AT(struct spec_private, view), .required = true, .max = REF_MAX,
     .example = "corp", .help = "the view it answers in"},
    {"addresses", OPT_NODE, OPT_AT(struct spec_private, addresses), .required = true,
     .example = "{registry: 10.0.0.4}",
     .help = "private addresses by member (registry, registry_REGION, registry_data_REGION), at "
             "most 32 each"},
    {"stage", OPT_ENUM, OPT_AT(struct spec_private, stage), .def = "private",
     OPT_WORDS(spec_private_stage_words),
     .help = "private: names lead to its addresses in the view. edge: not yet, or not any more; "
             "edges serve them and the view's sources are admitted all the same"},
    {"answered_by", OPT_ENUM, OPT_AT(struct spec_private, answered_by), .def = "none",
     OPT_WORDS(spec_answered_by_words),
     .help = "who answers at its addresses. edge: the region's own edge binds those that its "
             "machine has. balancer: the operator's, with the PROXY protocol. none: somebody of "
             "whom Meridian knows nothing"},
};
const struct option_set spec_private_set = {private_rows, ARRAY_LEN(private_rows),
                                            sizeof(struct spec_private),
                                            offsetof(struct spec_private, node)};

static const struct option access_rows[] = {
    {"allow", OPT_CIDRS, OPT_ARRAY_AT(struct spec_access, allow, n_allow),
     .help = "answer these only"},
    {"deny", OPT_CIDRS, OPT_ARRAY_AT(struct spec_access, deny, n_deny),
     .help = "refuse these, whatever allow says"},
};
static const struct option_set access_set = {access_rows, ARRAY_LEN(access_rows),
                                             sizeof(struct spec_access), OPT_NO_NODE};

static const struct option_word probe_words[] = {{"https", PROBE_HTTPS}, {"tcp", PROBE_TCP}};
#define HEALTH_AT(member) OPT_AT(struct health_settings, member)
static const struct option health_rows[] = {
    {"interval", OPT_DURATION, HEALTH_AT(interval_ms), .def = "5s", .min = 100, .max = 600000,
     .help = "time between two probes of a stamp"},
    {"timeout", OPT_DURATION, HEALTH_AT(timeout_ms), .def = "2s", .min = 50, .max = 60000,
     .help = "a probe without an answer for so long has failed"},
    {"rise", OPT_INT, HEALTH_AT(rise), .def = "2", .min = 1, .max = 20,
     .help = "good probes in a row that mean up"},
    {"fall", OPT_INT, HEALTH_AT(fall), .def = "3", .min = 1, .max = 20,
     .help = "bad probes in a row that mean down"},
    {"jitter", OPT_PERCENT, HEALTH_AT(jitter_percent), .def = "10%", .max = 50,
     .help = "by how much of the interval a probe may be early or late"},
    {"hold_down", OPT_DURATION, HEALTH_AT(hold_down_ms), .def = "30s", .max = 3600000,
     .help = "how long a region must be up again before names lead back to it"},
    {"hold_down_max", OPT_DURATION, HEALTH_AT(hold_down_max_ms), .def = "8m", .max = 86400000,
     .help = "what hold_down grows to, doubling, for a stamp that goes down again and again"},
    {"probe", OPT_ENUM, HEALTH_AT(probe), .def = "https", OPT_WORDS(probe_words),
     .help = "what a probe is: https (GET /healthz with the certificate verified) or tcp (a "
             "connection)"},
    {"port", OPT_INT, HEALTH_AT(port), .def = "0", .max = 65535,
     .help = "the port that probes go to; 0: the public HTTPS port"},
};
static const struct option_set health_set = {health_rows, ARRAY_LEN(health_rows),
                                             sizeof(struct health_settings), OPT_NO_NODE};

static const struct option replication_rows[] = {
    {"clock_skew", OPT_DURATION, OPT_AT(struct replication_settings, clock_skew_ms), .def = "60s",
     .min = 5000, .max = 3600000,
     .help = "how far ahead of a region's own clock the time stamps of others may lie; what lies "
             "further ahead is not "
             "taken until the clock has caught up"},
    {"ack_timeout", OPT_DURATION, OPT_AT(struct replication_settings, ack_timeout_ms), .def = "10s",
     .min = 100, .max = 20000,
     .help = "how long a write waits for the other regions that the registry's `ack` asks for, "
             "before it is answered with 503"},
    {"relays_from", OPT_INT, OPT_AT(struct replication_settings, relays_from), .def = "8",
     .max = TOPOLOGY_MAX_REGIONS,
     .help = "in a registry of so many regions or more, a region sends each blob to one region of "
             "each group (its relay), which hands it on to the others of the group; 0: never"},
    {"feed_keep", OPT_DURATION, OPT_AT(struct replication_settings, feed_keep_s), .def = "7d",
     .min = 3600000, .max = 315360000000, .unit_ms = 1000,
     .help =
         "how long what was deleted or replaced stays at least in stores and feeds; then it goes "
         "for good once all members of its registry have applied that"},
};
static const struct option_set replication_set = {replication_rows, ARRAY_LEN(replication_rows),
                                                  sizeof(struct replication_settings), OPT_NO_NODE};

#define TTL_AT(member) OPT_AT(struct ttls, member), .min = 1000, .max = 86400000, .unit_ms = 1000
static const struct option ttl_rows[] = {
    {"global", OPT_DURATION, TTL_AT(global), .def = "30s", .help = "TTL of global names"},
    {"regional", OPT_DURATION, TTL_AT(regional), .def = "300s", .help = "TTL of regional names"},
    {"data", OPT_DURATION, TTL_AT(data), .def = "300s", .help = "TTL of data names"},
    {"frontend", OPT_DURATION, TTL_AT(frontend), .def = "60s",
     .help = "TTL of the stamps' addresses"},
    {"private", OPT_DURATION, TTL_AT(private_), .def = "10s", .help = "TTL of private addresses"},
    {"negative", OPT_DURATION, TTL_AT(negative), .def = "60s",
     .help = "how long an absent name may be cached"},
    {"soa", OPT_DURATION, TTL_AT(soa), .def = "3600s", .help = "TTL of the SOA record"},
    {"ns", OPT_DURATION, TTL_AT(ns), .def = "3600s", .help = "TTL of the NS records"},
};
static const struct option_set ttl_set = {ttl_rows, ARRAY_LEN(ttl_rows), sizeof(struct ttls),
                                          OPT_NO_NODE};

// A certificate begins five minutes before it is issued, for clocks that are behind, and renewal
// begins after two thirds of its life: below three minutes it would be due at once, always.
#define LIFE_AT(member) \
    OPT_AT(struct spec_certificates, life.member), .unit_ms = 1000, .min = 180000
static const struct option certificate_rows[] = {
    {"ca_region", OPT_STRING, OPT_AT(struct spec_certificates, ca_region), .max = REF_MAX,
     .help = "the region whose peer listener answers certificate renewals"},
    {"region_lifetime", OPT_DURATION, LIFE_AT(region), .def = "90d", .max = 34560000000,
     .help = "life of a region's own certificate"},
    {"shared_lifetime", OPT_DURATION, LIFE_AT(shared), .def = "7d", .max = 34560000000,
     .help = "life of the certificate of global names, which every region holds"},
    {"peer_lifetime", OPT_DURATION, LIFE_AT(peer), .def = "365d", .max = 157680000000,
     .help = "life of a peer certificate, whose fingerprint the topology pins"},
};
static const struct option_set certificate_set = {certificate_rows, ARRAY_LEN(certificate_rows),
                                                  sizeof(struct spec_certificates), OPT_NO_NODE};

static const struct option token_rows[] = {
    {"max_stale", OPT_DURATION, 0, sizeof(uint32_t), .unit_ms = 1000, .def = "24h", .min = 60000,
     .max = 2592000000,
     .help = "how long a region that is cut off issues tokens on its last principals"},
};
static const struct option_set token_set = {token_rows, ARRAY_LEN(token_rows), sizeof(uint32_t),
                                            OPT_NO_NODE};

static const struct option key_rows[] = {
    {"id", OPT_STRING, OPT_AT(struct spec_key, id), .required = true, .check = key_id_ok,
     .expect = "a key id: lower-case letters, digits, hyphens",
     .help = "the key's id, which begins with its region"},
    {"key", OPT_STRING, OPT_AT(struct spec_key, key), .required = true, .max = 1024,
     .help = "the public key, base64 of its SubjectPublicKeyInfo"},
};
static const struct option_set key_set = {key_rows, ARRAY_LEN(key_rows), sizeof(struct spec_key),
                                          offsetof(struct spec_key, node)};

// What `meridian init` and `meridian identities` write again: control/identity_list.c carries every
// field of these.
static const struct option feed_key_rows[] = {
    {"id", OPT_STRING, OPT_AT(struct spec_key, id), .required = true, .check = key_id_ok,
     .expect = "a key id: lower-case letters, digits, hyphens",
     .help = "the key's id, which begins with its region"},
    {"key", OPT_STRING, OPT_AT(struct spec_key, key), .required = true, .max = 1024,
     .help = "the public key, base64 of its SubjectPublicKeyInfo"},
    {"retired", OPT_STRING, OPT_AT(struct spec_key, retired), .check = utc_time_ok,
     .expect = "a time in UTC, as in 2026-11-23T19:58:50Z",
     .help = "since when it signs nothing: it still verifies entries that are not later"},
};
static const struct option_set feed_key_set = {feed_key_rows, ARRAY_LEN(feed_key_rows),
                                               sizeof(struct spec_key),
                                               offsetof(struct spec_key, node)};

static const struct option revoked_rows[] = {
    {"key", OPT_STRING, OPT_AT(struct spec_revoked, key), .required = true, .check = key_id_ok,
     .expect = "a key id: lower-case letters, digits, hyphens",
     .help = "id of the feed key that was stolen"},
    {"epoch", OPT_INT, OPT_AT(struct spec_revoked, epoch), .required = true, .min = 1,
     .max = INT64_MAX, .help = "epoch of the last good entry"},
    {"seq", OPT_INT, OPT_AT(struct spec_revoked, seq), .required = true, .max = INT64_MAX,
     .help = "its sequence; 0: nothing of that epoch or later is good"},
    {"hash", OPT_STRING, OPT_AT(struct spec_revoked, hash), .required = true,
     .check = fingerprint_ok, .expect = "64 lower-case hex digits",
     .help = "its running hash, as `meridian replication feed` prints it"},
};
static const struct option_set revoked_set = {revoked_rows, ARRAY_LEN(revoked_rows),
                                              sizeof(struct spec_revoked),
                                              offsetof(struct spec_revoked, node)};

static const struct option seal_rows[] = {
    {"epoch", OPT_INT, OPT_AT(struct spec_seal, epoch), .min = 0, .max = INT64_MAX,
     .help = "epoch of its last entry that counts"},
    {"seq", OPT_INT, OPT_AT(struct spec_seal, seq), .min = 0, .max = INT64_MAX,
     .help = "its sequence; 0: it wrote nothing"},
    {"hash", OPT_STRING, OPT_AT(struct spec_seal, hash), .check = fingerprint_ok,
     .expect = "64 lower-case hex digits", .help = "its running hash"},
};
static const struct option_set seal_set = {
    seal_rows, ARRAY_LEN(seal_rows), sizeof(struct spec_seal), offsetof(struct spec_seal, node)};

static const struct option identity_rows[] = {
    {"peer_fingerprints", OPT_STRINGS,
     OPT_ARRAY_AT(struct spec_identity, fingerprints, n_fingerprints), .max = 16,
     .check = fingerprint_ok, .expect = "64 lower-case hex digits",
     .help = "SHA-256 of its peer certificates"},
    {"token_keys", OPT_LIST, OPT_ARRAY_AT(struct spec_identity, token_keys, n_token_keys),
     .max = 16, .sub = &key_set, .help = "P-256 keys that sign its tokens"},
    {"feed_keys", OPT_LIST, OPT_ARRAY_AT(struct spec_identity, feed_keys, n_feed_keys), .max = 16,
     .sub = &feed_key_set, .help = "Ed25519 keys that sign its feed"},
    {"control_keys", OPT_LIST, OPT_ARRAY_AT(struct spec_identity, control_keys, n_control_keys),
     .max = 16, .sub = &key_set,
     .help = "Ed25519 keys that sign changes of this document while the region is the writer "
             "(control)"},
    {"revoked", OPT_LIST, OPT_ARRAY_AT(struct spec_identity, revoked, n_revoked), .max = 64,
     .sub = &revoked_set,
     .help = "feed keys that are void after a place of its feed, for good; the key stays among "
             "feed_keys, to verify what "
             "it signed before"},
    {"sealed", OPT_MAP, OPT_AT(struct spec_identity, sealed), .sub = &seal_set,
     .help = "the region never comes back: what it wrote after this place does not count "
             "(meridian region forget)"},
};
const struct option_set spec_identity_set = {identity_rows, ARRAY_LEN(identity_rows),
                                             sizeof(struct spec_identity),
                                             offsetof(struct spec_identity, node)};

static const struct option_word cut_words[] = {{"none", 0}, {"insecure", 1}};
static const struct option_word cut_at_words[] = {{"privatelink", PRIVATE_CUT_PRIVATELINK},
                                                  {"region", PRIVATE_CUT_REGION}};

#define TOP_AT(member) OPT_AT(struct spec_topology, member)
#define TOP_ARRAY(member) OPT_ARRAY_AT(struct spec_topology, member, n_##member)
static const struct option topology_rows[] = {
    {"version", OPT_INT, TOP_AT(version), .required = true, .min = 1, .max = INT64_MAX,
     .example = "1", .help = "the document's version; it only goes up"},
    {"domain", OPT_STRING, TOP_AT(domain), .required = true, .check = hostname_domain_ok,
     .expect = "a domain: two labels or more, lower case, at most 140 bytes, no final dot",
     .example = "example.io", .help = "the service domain"},
    {"hostmaster", OPT_STRING, TOP_AT(hostmaster), .check = hostmaster_ok,
     .expect = "a mail address, as in hostmaster@example.io",
     .help = "mail address in the SOA; hostmaster@ the domain"},
    {"https_port", OPT_INT, TOP_AT(https_port), .def = "443", .min = 1, .max = 65535,
     .help = "the public HTTPS port"},
    {"private_cut", OPT_ENUM, TOP_AT(private_cut), .def = "none", OPT_WORDS(cut_words),
     .help = "whether private names are cut off into unsigned zones, which a network's own zones "
             "may replace"},
    {"private_cut_at", OPT_ENUM, TOP_AT(private_cut_at), .def = "privatelink",
     OPT_WORDS(cut_at_words),
     .help =
         "where they are cut off: at privatelink.D, or at REGION.geo.privatelink.D of each region"},
    {"regions", OPT_LIST, TOP_ARRAY(regions), .required = true, .min = 1,
     .max = TOPOLOGY_MAX_REGIONS, .sub = &region_row_set, .help = "the regions"},
    {"name_servers", OPT_STRINGS, TOP_ARRAY(name_servers), .required = true, .min = 1, .max = 13,
     .example = "eus-1.eastus", .help = "stamps that serve DNS, as stamp.region"},
    {"registries", OPT_LIST, TOP_ARRAY(registries), .sub = &spec_registry_set,
     .help = "the registries"},
    {"routing", OPT_MAP, TOP_AT(routing), .sub = &routing_set, .help = "where global names lead"},
    {"views", OPT_LIST, TOP_ARRAY(views), .max = 1024, .sub = &view_set,
     .help = "private networks"},
    {"dns_access", OPT_MAP, TOP_AT(dns_access), .sub = &access_set,
     .help = "transport sources that the public view answers; all when not given"},
    {"private_endpoints", OPT_LIST, TOP_ARRAY(private_endpoints), .sub = &spec_private_set,
     .help = "private addresses of registries, by view"},
    {"reserved", OPT_LIST, TOP_ARRAY(reserved), .max = RESERVED_NAMES_MAX,
     .sub = &spec_reserved_set,
     .help = "names of deleted registries, kept for their owners: no registry may have one"},
    {"health", OPT_MAP, TOP_AT(health), .sub = &health_set, .help = "how regions are probed"},
    {"ttl", OPT_MAP, TOP_AT(ttl), .sub = &ttl_set, .help = "TTLs of answers"},
    {"certificates", OPT_MAP, TOP_AT(certificates), .sub = &certificate_set,
     .help = "who renews certificates, and how long they live"},
    {"dnssec", OPT_MAP, TOP_AT(dnssec), .sub = &spec_dnssec_set,
     .help = "keys that D and fe.D are signed with"},
    {"zone_serial", OPT_MAP, TOP_AT(zone_serial), .sub = &spec_zone_serial_set,
     .help = "what keeps the serial of fe.D while documents change and fe.D does not; without it, "
             "it is the document's "
             "version"},
    {"tokens", OPT_MAP, TOP_AT(max_stale_s), .sub = &token_set, .help = "bounds on tokens"},
    {"replication", OPT_MAP, TOP_AT(replication), .sub = &replication_set,
     .help = "bounds on what regions copy"},
    {"transfer", OPT_MAP, TOP_AT(transfer), .sub = &spec_transfer_set,
     .help = "who may transfer the zone fe.D, and who is told when it changes"},
    {"apex", OPT_MAP, TOP_AT(apex), .sub = &spec_apex_set, .help = "records of the domain itself"},
    {"control", OPT_MAP, TOP_AT(control), .sub = &spec_control_set,
     .help = "who may change this document, where the fleet carries it by itself (source: feed in "
             "meridiand.yaml)"},
    {"identities", OPT_NODE, TOP_AT(identities),
     .help = "public keys and fingerprints by region; meridian init adds it"},
};
const struct option_set spec_topology_set = {topology_rows, ARRAY_LEN(topology_rows),
                                             sizeof(struct spec_topology),
                                             offsetof(struct spec_topology, node)};

const struct option_set *topology_options(void)
{
    return &spec_topology_set;
}
