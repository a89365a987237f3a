// SPDX-License-Identifier: Apache-2.0
// config/topology: the example, defaults, every bad document of bad/, and memory that ends
// anywhere.
#include "config/topology.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "config/endpoints.h"
#include "config/options.h"
#include "config/topology_control.h"
#include "control/topology_file.h"
#include "tests/support/check_main.h"

#include <dirent.h>
#include <string.h>

#define EXAMPLE TEST_EXAMPLES "/three-regions/topology.yaml"
#define PRIVATE_EXAMPLE TEST_EXAMPLES "/private-network/topology.yaml"

static struct topology *parse_ok(const char *text)
{
    struct diag d;
    struct topology *t = NULL;
    diag_init(&d);
    int rc = topology_parse(text, strlen(text), "t.yaml", &d, &t);
    char *why = diag_text(&d);
    ck_assert_msg(rc == 0, "%s", why);
    ck_assert_uint_eq(diag_count(&d), 0);
    free(why);
    diag_done(&d);
    return t;
}

START_TEST(example_is_read_whole)
{
    struct diag d;
    struct topology *t = NULL;
    diag_init(&d);
    int rc = topology_file_load(EXAMPLE, &d, &t);
    ck_assert_msg(rc == 0, "%s", d.n ? d.lines[0] : "?");
    ck_assert_uint_eq(t->version, 1);
    ck_assert_str_eq(t->domain, "meridian.test");
    ck_assert_uint_eq(t->n_regions, 3);
    ck_assert_str_eq(t->regions[2].name, "southeastasia");
    ck_assert_uint_eq(t->regions[1].peer.port, 8443);
    ck_assert_uint_eq(t->n_name_servers, 3);
    ck_assert_uint_eq(t->name_servers[2].region, 2);
    ck_assert_uint_eq(t->n_registries, 2);
    const struct registry *r = topology_registry(t, "contoso");
    ck_assert_ptr_eq(r, topology_by_label(t, "contoso"));
    ck_assert_ptr_eq(r, topology_by_label_n(t, "contosoX", 7));
    ck_assert(r->regional_endpoints && !r->data_endpoints && !r->anonymous_pull);
    ck_assert_uint_eq(r->n_replicas, 3);
    ck_assert_uint_eq(r->replica_set, 7);
    ck_assert(r->replicas[0].global_routing && !r->replicas[0].drained);
    ck_assert_uint_eq(r->n_private_endpoints, 1);
    ck_assert_uint_eq(r->private_endpoints[0]->n_members, 3);
    ck_assert_int_eq(r->private_endpoints[0]->members[1].kind, NAME_REGIONAL);
    ck_assert_uint_eq(r->private_endpoints[0]->members[1].region, 1);
    ck_assert_int_eq(r->private_endpoints[0]->members[2].kind, NAME_DATA);
    const struct registry *f = topology_registry(t, "fabrikam");
    ck_assert_ptr_null(registry_replica(f, 2));
    ck_assert_str_eq(topology_replica_stamp(t, registry_replica(f, 1))->name, "weu-1");
    ck_assert_uint_eq(t->n_overrides, 1);
    ck_assert_uint_eq(t->overrides[0].cidr.bits, 120);
    ck_assert_uint_eq(t->overrides[0].order[0], 1);
    ck_assert_uint_eq(t->health.interval_ms, 750);
    ck_assert_uint_eq(t->health.jitter_percent, 10);
    ck_assert_uint_eq(t->health.hold_down_ms, 3000);
    ck_assert_uint_eq(t->ttl.global, 30);
    ck_assert_uint_eq(t->ttl.soa, 3600);
    ck_assert_uint_eq(t->max_stale_s, 86400);
    ck_assert_uint_eq(t->replication.clock_skew_ms, 60000);
    ck_assert_uint_eq(t->replication.relays_from, 8);
    ck_assert_uint_eq(t->replication.feed_keep_s, 7 * 86400);
    ck_assert_str_eq(t->ca_region, "eastus");
    ck_assert_ptr_nonnull(topology_region(t, "eastus"));
    ck_assert_ptr_null(topology_region(t, "eastu"));
    ck_assert_ptr_nonnull(region_stamp(&t->regions[0], "eus-1"));
    snapshot_unref(t);
    diag_done(&d);
}
END_TEST

START_TEST(the_private_example_is_good)
{
    struct diag d;
    struct topology *t;
    diag_init(&d);
    ck_assert_int_eq(topology_file_load(PRIVATE_EXAMPLE, &d, &t), 0);
    ck_assert_int_eq(t->private_cut, PRIVATE_CUT_PRIVATELINK);
    ck_assert_uint_eq(t->n_views, 3);
    ck_assert_uint_eq(t->view_index.n_listeners, 2);
    ck_assert_uint_eq(t->view_index.n_sources, 1);
    const struct view_forward *f = t->views[0].forward;
    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_null(t->views[1].forward);
    ck_assert(f->n_upstreams == 2 && f->n_names == 2 && f->timeout_ms == 1000 && !f->mix_case);
    ck_assert_uint_eq(f->names[0].n, 19);
    ck_assert(!memcmp(f->names[0].wire, "\5plant\7example\3net", 19));
    ck_assert_uint_eq(t->views[0].access.n_deny, 1);
    snapshot_unref(t);
    diag_done(&d);
}
END_TEST

#define SMALL                                                                                \
    "version: 7\ndomain: example.io\nregions:\n"                                             \
    "  - {name: eastus, stamps: [{name: eus-1, ipv4: [192.0.2.1]}, {name: eus-2, ipv6: "     \
    "['2001:db8::2']}], peer: "                                                              \
    "192.0.2.1:8443}\n"                                                                      \
    "  - {name: westus, stamps: [{name: wus-1, ipv4: [192.0.2.3]}], peer: 192.0.2.3:8443}\n" \
    "name_servers: [eus-1.eastus]\n"

START_TEST(defaults_and_order)
{
    struct topology *t = parse_ok(
        SMALL "registries:\n"
              "  - {name: zebra, hash: ffb4cphwfsc2gbgg, public_access: [10.0.0.0/8], replicas: "
              "[{region: westus, global_routing: disabled}, {region: eastus, stamp: eus-2, "
              "drained: true}]}\n"
              "  - {name: alpha, public_access: disabled, replicas: [{region: eastus}]}\n"
              "routing:\n  order: [westus]\n  overrides:\n"
              "    - {clients: 10.0.0.0/8, order: [eastus]}\n"
              "    - {clients: [10.1.0.0/16, '2001:db8::/32'], order: [westus, eastus]}\n");
    ck_assert_str_eq(t->hostmaster, "hostmaster@example.io");
    ck_assert_uint_eq(t->https_port, 443);
    ck_assert_uint_eq(t->health.interval_ms, 5000);
    ck_assert_uint_eq(t->health.timeout_ms, 2000);
    ck_assert_uint_eq(t->ttl.private_, 10);
    const struct registry **sorted = topology_sorted(t);
    ck_assert_str_eq(sorted[0]->label, "alpha");
    ck_assert_str_eq(sorted[1]->label, "zebra-ffb4cphwfsc2gbgg");
    ck_assert_ptr_null(topology_by_label(t, "zebra"));
    const struct registry *z = topology_registry(t, "zebra");
    ck_assert_ptr_eq(z, sorted[1]);
    ck_assert_int_eq(z->public_access, ACCESS_CIDRS);
    ck_assert_uint_eq(z->n_public_cidrs, 1);
    ck_assert_int_eq(sorted[0]->public_access, ACCESS_DISABLED);
    free(sorted);
    ck_assert_uint_eq(z->replicas[1].region, 1); // in the order of the regions
    ck_assert(!z->replicas[1].global_routing);
    ck_assert(z->replicas[0].drained);
    ck_assert_str_eq(topology_replica_stamp(t, &z->replicas[0])->name, "eus-2");
    ck_assert_uint_eq(t->routing_order[0], 1);
    ck_assert_uint_eq(t->routing_order[1], 0);
    ck_assert_uint_eq(t->n_overrides, 3);
    // the longest prefix first, in the mapped form
    ck_assert_uint_eq(t->overrides[0].cidr.bits, 112);
    ck_assert_uint_eq(t->overrides[1].cidr.bits, 104);
    ck_assert_uint_eq(t->overrides[2].cidr.bits, 32);
    ck_assert_uint_eq(t->overrides[0].n_order, 2);
    ck_assert_ptr_null(t->ca_region);
    snapshot_unref(t);
}
END_TEST

#define P256_X "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"
#define B64_64 \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
#define ED25519 "MCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define FPRINT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

START_TEST(identities_are_found)
{
    struct topology *t =
        parse_ok(SMALL "identities:\n  westus:\n    peer_fingerprints: [" FPRINT "]\n"
                       "    token_keys: [{id: westus-t1, key: " P256_X B64_64 "}]\n"
                       "    feed_keys: [{id: westus-f1, key: \"" ED25519 "\"}]\n");
    const struct public_key *k = topology_token_key(t, "westus-t1");
    ck_assert_ptr_nonnull(k);
    ck_assert_uint_eq(k->region, 1);
    ck_assert_str_eq(k->spki_b64, P256_X B64_64);
    ck_assert_ptr_null(topology_token_key(t, "westus-f1"));
    ck_assert_ptr_nonnull(topology_feed_key(t, "westus-f1"));
    ck_assert_ptr_eq(topology_region_by_fingerprint(t, FPRINT), &t->regions[1]);
    ck_assert_ptr_null(topology_region_by_fingerprint(t, "00"));
    snapshot_unref(t);
}
END_TEST

START_TEST(a_retired_feed_key_verifies_what_it_signed_until_then)
{
    struct topology *t = parse_ok(
        SMALL "replication: { clock_skew: 10s }\nidentities:\n  westus:\n    feed_keys:\n"
              "      - {id: westus-f1, key: \"" ED25519 "\", retired: \"2026-11-23T19:58:50Z\"}\n"
              "      - {id: westus-f2, key: \"" ED25519 "\"}\n");
    const struct public_key *old = topology_feed_key(t, "westus-f1"),
                            *now = topology_feed_key(t, "westus-f2");
    const int64_t at_ms = 1795463930000;
    ck_assert_int_eq(old->retired_s * 1000, at_ms);
    ck_assert_ptr_null(topology_feed_key_in_use(t, "westus-f1"));
    ck_assert_ptr_eq(topology_feed_key_in_use(t, "westus-f2"), now);
    // its clock may have been ahead by the skew
    ck_assert(public_key_signed_at(t, old, at_ms + 10000));
    ck_assert(!public_key_signed_at(t, old, at_ms + 10001));
    ck_assert(public_key_signed_at(t, now, at_ms + 100000));
    snapshot_unref(t);
}
END_TEST

START_TEST(a_revoked_feed_key_is_not_in_use)
{
    struct topology *t = parse_ok(
        SMALL "identities:\n  westus:\n    feed_keys: [{id: westus-f1, key: \"" ED25519 "\"}]\n"
              "    revoked: [{key: westus-f1, epoch: 3, seq: 9, hash: \"" FPRINT "\"}]\n");
    ck_assert_ptr_nonnull(topology_feed_key(t, "westus-f1")); // it verifies what it signed before
    ck_assert_ptr_null(topology_feed_key_in_use(t, "westus-f1"));
    snapshot_unref(t);
}
END_TEST

#define ED25519_2 "MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define ED25519_3 "MCowBQYDK2VwAyEAAgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
#define CONTROL "control:\n  root: \"" ED25519 "\"\n  writer: westus\n  operators:\n"
#define ADA "    - { name: ada, key: \"" ED25519_2 "\", rights: [all] }\n"
#define CI "    - { name: ci, key: \"" ED25519_3 "\", rights: [registries, principals] }\n"

START_TEST(control_names_the_writer_and_the_operators)
{
    struct topology *t = parse_ok(
        SMALL CONTROL ADA CI "identities:\n  westus:\n"
                             "    control_keys: [{id: westus-ctl-1, key: \"" ED25519_2 "\"}]\n");
    ck_assert_str_eq(topology_writer(t)->name, "westus");
    ck_assert_str_eq(t->control->root, ED25519);
    ck_assert_uint_eq(t->control->n_operators, 2);
    ck_assert_uint_eq(topology_operator(t, "ada")->rights, CONTROL_RIGHTS_ALL);
    ck_assert_uint_eq(topology_operator(t, "ci")->rights,
                      CONTROL_RIGHT_REGISTRIES | CONTROL_RIGHT_PRINCIPALS);
    ck_assert(!topology_operator(t, "ci")->revoked);
    ck_assert_ptr_null(topology_operator(t, "bob"));
    ck_assert_uint_eq(topology_control_key(t, "westus-ctl-1")->region, 1);
    ck_assert_ptr_null(topology_feed_key(t, "westus-ctl-1"));
    snapshot_unref(t);
    t = parse_ok(SMALL);
    ck_assert_ptr_null(t->control);
    ck_assert_ptr_null(topology_writer(t));
    ck_assert_ptr_null(topology_operator(t, "ada"));
    snapshot_unref(t);
}
END_TEST

static void control_follows(const char *before, const char *next, const char *why_not)
{
    struct topology *a = parse_ok(before), *b = parse_ok(next);
    char *why = NULL;
    bool may = control_may_follow(a, b, &why);
    if (why_not) {
        ck_assert(!may);
        ck_assert_ptr_nonnull(why);
        ck_assert_msg(strstr(why, why_not) != NULL, "%s", why);
    } else {
        ck_assert(may);
    }
    free(why);
    snapshot_unref(a);
    snapshot_unref(b);
}

START_TEST(control_is_followed_by_what_takes_nothing_back)
{
    static const char revoked[] =
        "    - { name: ci, key: \"" ED25519_3 "\", rights: [registries], revoked: true }\n";
    char with[2048], other_key[2048];
    snprintf(with, sizeof with, "%s%s", SMALL CONTROL ADA, revoked);
    snprintf(other_key, sizeof other_key, "%s",
             SMALL CONTROL "    - { name: ada, key: \"" ED25519_3 "\", rights: [all] }\n");
    control_follows(SMALL, SMALL CONTROL ADA, NULL);
    control_follows(SMALL CONTROL ADA, SMALL CONTROL ADA CI, NULL);
    control_follows(SMALL CONTROL ADA CI, with, NULL);
    control_follows(SMALL CONTROL ADA, SMALL, "control is missing");
    control_follows(SMALL CONTROL ADA CI, SMALL CONTROL ADA, "ci is missing");
    control_follows(with, SMALL CONTROL ADA CI, "ci was revoked");
    control_follows(SMALL CONTROL ADA, other_key, "ada has another key");
    control_follows(SMALL CONTROL ADA,
                    SMALL "control: { root: \"" ED25519_3 "\", writer: westus, operators: [{ name: "
                          "ada, key: \"" ED25519_2 "\", rights: [all] }] }\n",
                    "root never changes");
}
END_TEST

START_TEST(sample_is_a_valid_topology)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    options_print_sample(topology_options(), f);
    fclose(f);
    struct topology *t = parse_ok(text);
    ck_assert_str_eq(t->domain, "example.io");
    snapshot_unref(t);
    ck_assert_ptr_nonnull(strstr(text, "# health"));
    free(text);
    f = open_memstream(&text, &n);
    options_print_man(topology_options(), f);
    fclose(f);
    ck_assert_ptr_nonnull(strstr(text, ".B health.hold_down"));
    ck_assert_ptr_nonnull(strstr(text, "default 30s"));
    free(text);
}
END_TEST

// `# expect: LINE: fragment`, the first line; further `# expect` lines below it for files with
// several errors.
static size_t expect_errors(const char *name, const char *text, const struct diag *d)
{
    size_t n = 0;
    for (const char *at = text; !strncmp(at, "# expect: ", 10); at = strchr(at, '\n') + 1, n++) {
        char want[512], place[64];
        int line = 0, skip = 0;
        snprintf(want, sizeof want, "%.*s", (int)strcspn(at, "\n"), at);
        ck_assert_msg(sscanf(want, "# expect: %d: %n", &line, &skip) == 1 && skip, "%s: %s", name,
                      want);
        snprintf(place, sizeof place, line ? "t.yaml:%d: " : "t.yaml: ", line);
        bool found = false;
        for (size_t i = 0; i < d->n; i++)
            found |=
                !strncmp(d->lines[i], place, strlen(place)) && strstr(d->lines[i], want + skip);
        char *all = diag_text(d);
        ck_assert_msg(found, "%s: wanted \"%s%s\", got:\n%s", name, place, want + skip, all);
        free(all);
    }
    return n;
}

static struct topology *revoked_at(unsigned long long epoch, unsigned long long seq,
                                   const char *hash)
{
    char text[4096];
    snprintf(text, sizeof text,
             SMALL "identities:\n  westus:\n    revoked: [{key: westus-f1, epoch: %llu, seq: %llu, "
                   "hash: \"%s\"}]\n",
             epoch, seq, hash);
    return parse_ok(text);
}

static bool follows(const struct topology *before, struct topology *next)
{
    char *why = NULL;
    bool may = topology_revocations_may_follow(before, next, &why);
    ck_assert(may == !why);
    if (!may)
        ck_assert_ptr_nonnull(
            strstr(why, "westus-f1 was revoked after epoch 3, seq 9: that is final"));
    free(why);
    snapshot_unref(next);
    return may;
}

START_TEST(revocations_are_final)
{
    char other[] = FPRINT;
    other[0] ^= 1;
    struct topology *t = revoked_at(3, 9, FPRINT), *without = parse_ok(SMALL);
    const struct feed_revocation *v = topology_revocation(t, "westus-f1");
    ck_assert_ptr_nonnull(v);
    ck_assert_uint_eq(v->epoch, 3);
    ck_assert_uint_eq(v->seq, 9);
    ck_assert_int_eq(v->hash[0], 0);
    ck_assert_int_eq(v->hash[1], 0x11);
    ck_assert_ptr_null(topology_revocation(t, "westus-f2"));
    ck_assert(follows(without, snapshot_ref(t)));
    ck_assert(follows(t, snapshot_ref(t)));
    ck_assert(follows(t, revoked_at(3, 8, other)));
    ck_assert(follows(t, revoked_at(2, 20, other)));
    ck_assert(!follows(t, revoked_at(3, 9, other)));
    ck_assert(!follows(t, revoked_at(3, 10, FPRINT)));
    ck_assert(!follows(t, revoked_at(4, 1, FPRINT)));
    ck_assert(!follows(t, snapshot_ref(without)));
    snapshot_unref(without);
    snapshot_unref(t);
}
END_TEST

static struct topology *sealed_at(unsigned long long epoch, unsigned long long seq)
{
    char text[4096];
    snprintf(text, sizeof text,
             SMALL "identities:\n  westus:\n    feed_keys: [{ id: westus-f1, key: \"" ED25519
                   "\" }]\n    sealed: { epoch: %llu, seq: %llu, hash: \"" FPRINT "\" }\n",
             epoch, seq);
    return parse_ok(text);
}

static bool seal_follows(const struct topology *before, struct topology *next)
{
    char *why = NULL;
    bool may = topology_seals_may_follow(before, next, &why);
    ck_assert(may == !why);
    if (!may)
        ck_assert_ptr_nonnull(strstr(why, "counts up to epoch 3, seq 9: that can only be raised"));
    free(why);
    snapshot_unref(next);
    return may;
}

#define REPLACED(more)                                                                         \
    SMALL "identities:\n  westus:\n    feed_keys: [{ id: westus-f1, key: \"" ED25519 "\"" more \
          " }]\n"

START_TEST(a_seal_is_only_raised_until_other_keys_come)
{
    struct topology *t = sealed_at(3, 9), *without = parse_ok(SMALL);
    ck_assert_uint_eq(topology_region(t, "westus")->sealed->seq, 9);
    ck_assert_uint_eq(topology_sealed(t), 1u << topology_region(t, "westus")->index);
    ck_assert_uint_eq(topology_n_living(t), t->n_regions - 1);
    ck_assert_uint_eq(topology_sealed(without), 0);
    ck_assert(seal_follows(without, snapshot_ref(t)));
    ck_assert(seal_follows(t, snapshot_ref(t)));
    ck_assert(seal_follows(t, sealed_at(3, 10)));
    ck_assert(seal_follows(t, sealed_at(4, 1)));
    ck_assert(!seal_follows(t, sealed_at(3, 8)));
    ck_assert(!seal_follows(t, sealed_at(2, 20)));
    ck_assert(!seal_follows(t, snapshot_ref(without)));
    ck_assert(seal_follows(t, parse_ok(REPLACED(", retired: \"2026-11-23T19:58:50Z\""))));
    ck_assert(!seal_follows(t, parse_ok(REPLACED(""))));
    snapshot_unref(without);
    snapshot_unref(t);
}
END_TEST

START_TEST(bad_documents_are_refused_with_line_and_reason)
{
    DIR *dir = opendir(TEST_BAD_DIR);
    ck_assert_ptr_nonnull(dir);
    size_t n_files = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        char path[512];
        snprintf(path, sizeof path, "%s/%s", TEST_BAD_DIR, e->d_name);
        struct buf text AUTO_BUF;
        buf_init(&text, 0);
        ck_assert_int_eq(file_read(path, 1 << 20, &text), 0);
        struct diag d;
        struct topology *t = NULL;
        diag_init(&d);
        int rc = topology_parse(text.p, text.n, "t.yaml", &d, &t);
        ck_assert_msg(rc == ERR_INVAL, "%s: rc %d", e->d_name, rc);
        ck_assert_ptr_null(t);
        size_t n = expect_errors(e->d_name, text.p, &d);
        char *all = diag_text(&d);
        ck_assert_msg(n && diag_count(&d) == n, "%s: %zu errors, expected %zu:\n%s", e->d_name,
                      diag_count(&d), n, all);
        free(all);
        diag_done(&d);
        n_files++;
    }
    closedir(dir);
    ck_assert_uint_ge(n_files, 45);
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
    struct buf text AUTO_BUF;
    buf_init(&text, 0);
    ck_assert_int_eq(file_read(EXAMPLE, 1 << 20, &text), 0);
    buf_str(&text, "\nidentities:\n  eastus:\n    peer_fingerprints: [" FPRINT "]\n"
                   "    token_keys: [{id: eastus-t1, key: " P256_X B64_64 "}]\n");
    ck_assert_int_eq(text.err, 0);
    int rc = ERR_NOMEM;
    long i = 1;
    for (; rc; i++) {
        struct diag d;
        struct topology *t = NULL;
        diag_init(&d);
        mem_fault_after(i);
        rc = topology_parse(text.p, text.n, "t.yaml", &d, &t);
        long hits = mem_fault_hits();
        mem_fault_after(0);
        ck_assert_msg(rc == 0 || rc == ERR_NOMEM, "fault at %ld: %d %s", i, rc,
                      d.n ? d.lines[0] : "");
        ck_assert(rc == 0 || hits > 0);
        ck_assert((rc == 0) == (t != NULL));
        snapshot_unref(t);
        diag_done(&d);
        ck_assert_int_lt(i, 100000);
    }
    ck_assert_int_gt(i, 20);
}
END_TEST

START_TEST(a_large_catalogue_is_read)
{
    struct buf text AUTO_BUF;
    buf_init(&text, 0);
    buf_str(&text, SMALL "registries:\n");
    for (int i = 0; i < 5000; i++)
        buf_printf(&text, "  - {name: reg%05d, replicas: [{region: eastus}, {region: westus}]}\n",
                   99999 - i);
    struct topology *t = parse_ok(text.p);
    ck_assert_uint_eq(t->n_registries, 5000);
    const struct registry **sorted = topology_sorted(t);
    ck_assert_str_eq(sorted[0]->name, "reg95000");
    ck_assert_ptr_eq(topology_registry(t, "reg99999"), sorted[4999]);
    free(sorted);
    snapshot_unref(t);
}
END_TEST

START_TEST(a_registry_has_the_names_that_it_offers)
{
    static const struct registry cases[] = {
        {.n_replicas = 0},
        {.regional_endpoints = true},
        {.data_endpoints = true},
        {.regional_endpoints = true, .n_private_endpoints = 1}, // which switches data endpoints on
    };
    static const struct replica where[] = {{.region = 4}, {.region = 1}};
    static const char *const want[] = {"g", "g 4r 1r", "g 4d 1d", "g 4r 4d 1r 1d"};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct registry r = cases[i];
        struct endpoint_name e;
        char got[64] = "g";
        size_t at = 0, n = 1;
        r.replicas = where;
        r.n_replicas = ARRAY_LEN(where);
        ck_assert(endpoint_next(&r, &at, &e) && e.kind == NAME_GLOBAL && e.region == REGION_NONE);
        while (endpoint_next(&r, &at, &e))
            n += (size_t)sprintf(got + n, " %d%c", e.region, e.kind == NAME_REGIONAL ? 'r' : 'd');
        ck_assert_str_eq(got, want[i]);
        ck_assert(!endpoint_next(&r, &at, &e));
    }
}
END_TEST

CHECK_MAIN("config/topology", the_private_example_is_good, example_is_read_whole,
           defaults_and_order, identities_are_found, revocations_are_final,
           a_seal_is_only_raised_until_other_keys_come,
           a_retired_feed_key_verifies_what_it_signed_until_then, a_revoked_feed_key_is_not_in_use,
           control_names_the_writer_and_the_operators,
           control_is_followed_by_what_takes_nothing_back, sample_is_a_valid_topology,
           bad_documents_are_refused_with_line_and_reason, memory_may_end_anywhere,
           a_large_catalogue_is_read, a_registry_has_the_names_that_it_offers)
