// SPDX-License-Identifier: Apache-2.0
// config/node: defaults, relative paths, every key, refusals, and the sample file.
#include "config/node.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/mem_test.h"
#include "config/options.h"
#include "tests/support/check_main.h"

#include <string.h>

#define LEAST "region: eastus\nstamp: eus-1\ndata_dir: data\ntopology: ../topology.yaml\n"

static struct node *parse_ok(const char *text)
{
    struct diag d;
    struct node *n = NULL;
    diag_init(&d);
    int rc = node_parse(text, strlen(text), "/etc/meridian/meridiand.yaml", &d, &n);
    ck_assert_msg(rc == 0, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    return n;
}

START_TEST(defaults)
{
    struct node *n = parse_ok(LEAST);
    ck_assert_str_eq(n->region, "eastus");
    ck_assert_uint_eq(n->roles, 15);
    ck_assert_str_eq(n->data_dir, "/etc/meridian/data");
    ck_assert_str_eq(n->runtime_dir, "/etc/meridian/data/run");
    ck_assert_str_eq(n->ca_file, "/etc/meridian/data/certs/ca.pem");
    ck_assert_str_eq(n->topology, "/etc/meridian/../topology.yaml");
    ck_assert_str_eq(n->principals, "/etc/meridian/../principals.yaml");
    ck_assert_ptr_null(n->ca_dir);
    ck_assert_uint_eq(n->n_dns, 2);
    ck_assert_uint_eq(n->dns[1].port, 53);
    ck_assert(!ip_is_v4(&n->dns[1].ip));
    ck_assert_uint_eq(n->https[0].port, 443);
    ck_assert_uint_eq(n->peer.port, 8443);
    ck_assert_uint_eq(n->admin.port, 0);
    ck_assert_uint_ge(n->resolver_workers, 1);
    ck_assert_uint_eq(n->pool_threads, 20);
    ck_assert_uint_eq(n->pool_queue, 256);
    ck_assert_str_eq(n->user, "meridian");
    ck_assert_str_eq(n->edge_user, "meridian-edge");
    ck_assert_str_eq(n->nginx, "/usr/sbin/nginx");
    ck_assert_int_eq(n->log_level, LOG_INFO);
    ck_assert_uint_eq(n->drain_s, 30);
    ck_assert_uint_eq(n->cert_check_s, 60);
    ck_assert_uint_eq(n->upload_idle_s, 86400);
    ck_assert_uint_eq(n->collect_grace_s, 86400);
    ck_assert_uint_eq(n->scrub_rate, 4 << 20);
    ck_assert_uint_eq(n->upload_bytes_percent, 10);
    ck_assert_uint_eq(n->upload_bytes_amount, 0);
    ck_assert_uint_eq(n->manifest_max_bytes, 4 << 20);
    ck_assert_uint_eq(n->disk_reserve_percent, 5);
    ck_assert_uint_eq(n->disk_reserve_bytes, 0);
    ck_assert_uint_eq(n->partial_bytes, 32ull << 30);
    ck_assert_uint_eq(n->body_rate, 512);
    ck_assert_uint_eq(n->n_https_proxied, 0);
    ck_assert_uint_eq(n->n_edge_proxies, 0);
    ck_assert(!n->edge_http2 && !n->edge_ktls && n->edge_disk_threads);
    node_free(n);
}
END_TEST

struct shown { // of every type
    const char *open, *closed, *absent;
    const char *const *closed_list;
    const struct cidr *networks;
    size_t n_closed, n_networks;
    bool flag;
    unsigned words;
    enum { SHOWN_A, SHOWN_B } word;
    uint16_t number;
    unsigned wait_s;
    struct endpoint off, on;
};

// What reports show of settings: text only where its row says that it may be shown.
START_TEST(values_are_shown_by_an_allow_list)
{
    static const struct option_word words[] = {{"one", 1}, {"two", 2}, {"four", 4}},
                                    names[] = {{"a", SHOWN_A}, {"b", SHOWN_B}};
    static const struct option rows[] = {
        {"open", OPT_STRING, OPT_AT(struct shown, open), .open = true},
        {"closed", OPT_STRING, OPT_AT(struct shown, closed)},
        {"absent", OPT_STRING, OPT_AT(struct shown, absent), .open = true},
        {"list", OPT_STRINGS, OPT_ARRAY_AT(struct shown, closed_list, n_closed)},
        {"networks", OPT_CIDRS, OPT_ARRAY_AT(struct shown, networks, n_networks)},
        {"flag", OPT_BOOL, OPT_AT(struct shown, flag)},
        {"words", OPT_FLAGS, OPT_AT(struct shown, words), OPT_WORDS(words)},
        {"word", OPT_ENUM, OPT_AT(struct shown, word), OPT_WORDS(names)},
        {"number", OPT_INT, OPT_AT(struct shown, number)},
        {"wait", OPT_DURATION, OPT_AT(struct shown, wait_s), .unit_ms = 1000},
        {"off", OPT_ENDPOINT, OPT_AT(struct shown, off)},
        {"on", OPT_ENDPOINT, OPT_AT(struct shown, on)},
    };
    static const struct option_set inner = {rows, ARRAY_LEN(rows), sizeof(struct shown),
                                            OPT_NO_NODE};
    static const struct option outer_rows[] = {{"section", OPT_MAP, .sub = &inner}};
    static const struct option_set outer = {outer_rows, 1, sizeof(struct shown), OPT_NO_NODE};
    static const char *const secrets[] = {"sesame", "sesame"};
    struct cidr net;
    struct shown v = {.open = "a \"b\"\n",
                      .closed = "sesame",
                      .closed_list = secrets,
                      .n_closed = 2,
                      .networks = &net,
                      .n_networks = 1,
                      .flag = true,
                      .words = 5,
                      .word = SHOWN_B,
                      .number = 65535,
                      .wait_s = 90};
    AUTO_BUF struct buf out;
    buf_init(&out, 0);
    ck_assert_int_eq(cidr_parse("10.0.0.0/8", &net), 0);
    ck_assert_int_eq(endpoint_parse("[::1]:53", 0, &v.on), 0);
    options_print_values(&outer, &v, &out);
    ck_assert_str_eq(buf_cstr(&out), "section:\n"
                                     "  open: \"a \\x22b\\x22\\x0a\"\n"
                                     "  closed: (not shown)\n"
                                     "  list: [(not shown), (not shown)]\n"
                                     "  networks: [\"10.0.0.0/8\"]\n"
                                     "  flag: true\n"
                                     "  words: [one, four]\n"
                                     "  word: b\n"
                                     "  number: 65535\n"
                                     "  wait: 90s\n"
                                     "  on: \"[::1]:53\"\n");
}
END_TEST

// A node's settings as they are shown say the same as the file.
START_TEST(what_is_shown_of_a_node_parses_into_the_same)
{
    struct node *n = parse_ok(LEAST "roles: [auth]\nedge: {per_client: 7}\nuploads: {idle: 2h}\n"
                                    "outbound: {allow: [10.0.0.0/8]}\naudit: {enabled: false}\n"
                                    "listen: {dot: [192.0.2.1]}\n");
    AUTO_BUF struct buf out, again;
    buf_init(&out, 0);
    buf_init(&again, 0);
    options_print_values(node_options(), n, &out);
    ck_assert_ptr_null(strstr(buf_cstr(&out), "not shown"));
    struct node *same = parse_ok(buf_cstr(&out));
    options_print_values(node_options(), same, &again);
    ck_assert_str_eq(buf_cstr(&out), buf_cstr(&again));
    ck_assert_uint_eq(same->edge_per_client, 7);
    ck_assert_uint_eq(same->roles, ROLE_AUTH);
    node_free(same);
    node_free(n);
}
END_TEST

START_TEST(every_key)
{
    struct node *n = parse_ok(
        LEAST
        "roles: [resolver, auth]\nruntime_dir: /run/meridian\nprincipals: p.yaml\nca_dir: ca\n"
        "ca_file: /etc/ca.pem\nlisten: {dns: [127.0.0.1, '[::1]:5353'], https: [127.0.0.1:8443], "
        "peer: 127.0.0.1:9443, https_proxied: ['127.0.0.1']}\nworkers: {resolver: 3, pool: 4, "
        "queue: 5}\n"
        "users: {daemon: reg, edge: www-data}\nedge: {nginx: /opt/nginx, workers: 2, "
        "http2: enabled, ktls: enabled, disk_threads: disabled, trusted_proxies: [192.0.2.0/28]}\n"
        "log: {level: debug}\ndrain: 5s\ncerts: {check: 1s}\nuploads: {idle: 2h, "
        "bytes_per_principal: 20GiB}\n"
        "limits: {manifest: 1MiB, body_rate: 0}\n"
        "disk: {reserve: 2GiB}\n"
        "fetch: {rate: 50MiB, rate_per_region: 256KiB, times: ['mon-fri 08:00-18:00 5MiB', "
        "'22:00-06:00 0']}\n"
        "outbound: {allow: [10.0.0.0/8, 'fd00::1'], proxy: 'http://p.test:3128', proxy_resolves: "
        "true}\n");
    ck_assert_uint_eq(n->n_outbound_allow, 2);
    ck_assert_str_eq(n->outbound_proxy, "http://p.test:3128");
    ck_assert(n->outbound_proxy_resolves);
    ck_assert_uint_eq(n->roles, ROLE_RESOLVER | ROLE_AUTH);
    ck_assert_str_eq(n->runtime_dir, "/run/meridian");
    ck_assert_str_eq(n->principals, "/etc/meridian/p.yaml");
    ck_assert_str_eq(n->ca_dir, "/etc/meridian/ca");
    ck_assert_str_eq(n->ca_file, "/etc/ca.pem");
    ck_assert_uint_eq(n->n_dns, 2);
    ck_assert_uint_eq(n->dns[0].port, 53);
    ck_assert_uint_eq(n->dns[1].port, 5353);
    ck_assert_uint_eq(n->n_https, 1);
    ck_assert_uint_eq(n->peer.port, 9443);
    ck_assert_uint_eq(n->resolver_workers, 3);
    ck_assert_uint_eq(n->pool_threads, 4);
    ck_assert_uint_eq(n->pool_queue, 5);
    ck_assert_str_eq(n->user, "reg");
    ck_assert_str_eq(n->edge_user, "www-data");
    ck_assert_str_eq(n->nginx, "/opt/nginx");
    ck_assert_uint_eq(n->edge_workers, 2);
    ck_assert(n->edge_http2 && n->edge_ktls && !n->edge_disk_threads);
    ck_assert_uint_eq(n->n_edge_proxies, 1);
    ck_assert_uint_eq(n->edge_proxies[0].bits, 28 + 96);
    ck_assert_uint_eq(n->n_https_proxied, 1);
    ck_assert_uint_eq(n->https_proxied[0].port, 443);
    ck_assert_int_eq(n->log_level, LOG_DEBUG);
    ck_assert_uint_eq(n->drain_s, 5);
    ck_assert_uint_eq(n->cert_check_s, 1);
    ck_assert_uint_eq(n->upload_idle_s, 7200);
    ck_assert_uint_eq(n->upload_bytes_percent, 0);
    ck_assert_uint_eq(n->upload_bytes_amount, 20ull << 30);
    ck_assert_uint_eq(n->manifest_max_bytes, 1 << 20);
    ck_assert_uint_eq(n->disk_reserve_percent, 0);
    ck_assert_uint_eq(n->disk_reserve_bytes, 2ull << 30);
    ck_assert_uint_eq(n->body_rate, 0);
    ck_assert_uint_eq(n->fetch.rate, 50u << 20);
    ck_assert_uint_eq(n->fetch.rate_per_region, 256u << 10);
    ck_assert_uint_eq(n->fetch.n_times, 2);
    ck_assert_uint_eq(n->fetch.times[0].rate, 5u << 20);
    ck_assert_uint_eq(n->fetch.times[1].from, 22 * 60);
    node_free(n);
}
END_TEST

START_TEST(refusals)
{
    static const struct {
        const char *text, *fragment;
    } rows[] = {
        {"region: eastus\nstamp: eus-1\ntopology: t\n", "data_dir: missing"},
        {LEAST "rols: []\n", ":5: rols: unknown key; did you mean roles?"},
        {LEAST "roles: [resolver, regstry]\n",
         "roles[1]: expected resolver, registry, auth or replicator"},
        {LEAST "roles: []\n", "roles: has 0 items, needs at least 1"},
        {LEAST "listen: {dns: [localhost]}\n", "listen.dns[0]: expected an IP address"},
        {LEAST "listen: {dns: []}\n", "listen.dns: a resolver needs at least one listener"},
        {LEAST "listen: {https: []}\n", "listen.https: a registry needs at least one listener"},
        {LEAST "listen: {https_proxied: [127.0.0.1]}\n",
         "listen.https_proxied: it takes connections of edge.trusted_proxies alone"},
        {LEAST "edge: {trusted_proxies: [192.0.2.1]}\n",
         "edge.trusted_proxies: they are expected at listen.https_proxied"},
        {LEAST "roles: [resolver]\nlisten: {admin: 127.0.0.1}\n",
         "listen.admin: a node that only resolves has no edge"},
        {LEAST "audit: {enabled: false}\nlisten: {admin: 127.0.0.1}\n",
         "listen.admin: what is done there is always written down"},
        {LEAST "listen: 53\n", "listen: expected a mapping, found a value"},
        {LEAST "disk: {reserve: 51%}\n", "disk.reserve: "},
        {LEAST "disk: {reserve: 100%}\n", "disk.reserve: "},
        {LEAST "disk: {reserve: \"%\"}\n", "disk.reserve: "},
        {LEAST "disk: {reserve: 5 %}\n", "a share of the disk of at most 50%"},
        {LEAST "uploads: {bytes_per_principal: 60%}\n", "uploads.bytes_per_principal: "},
        {LEAST "disk: {reserve: 4GB}\n", "disk.reserve: "},
        {LEAST "fetch: {rate: 100KiB}\n", "n.yaml:5: fetch.rate: at least 256KiB, or 0"},
        {LEAST "fetch:\n  rate: 0\n  rate_per_region: 1\n",
         "n.yaml:7: fetch.rate_per_region: at least 256KiB"},
        {LEAST "fetch:\n  times:\n    - 08:00-18:00 5MiB\n    - mon 08:00 5MiB\n",
         "n.yaml:8: fetch.times[1]: expected [DAY[-DAY]] HH:MM-HH:MM RATE"},
        {LEAST "limits: {manifest: 4MB}\n", "limits.manifest: expected a size in bytes"},
        {LEAST "limits: {manifest: 1GiB}\n",
         "limits.manifest: 1GiB is out of range, 64KiB to 64MiB"},
        {LEAST "limits: {body_rate: 2MiB}\n", "limits.body_rate: 2MiB is out of range, 0 to 1MiB"},
        {LEAST "outbound: {allow: [10.0.0.1/8]}\n", "outbound.allow[0]: expected"},
        {LEAST "outbound: {proxy: 'p.test:3128'}\n", "outbound.proxy: expected http://HOST:PORT"},
        {LEAST "outbound: {proxy: 'http://p.test'}\n", "outbound.proxy: expected"},
        {LEAST "outbound: {proxy: 'https://p.test:1'}\n", "outbound.proxy: expected"},
        {LEAST "outbound: {proxy: 'http://u@p.test:1'}\n", "outbound.proxy: expected"},
        {LEAST "log: {level: loud}\n", "log.level: expected debug, info, warn or error"},
        {LEAST "users: {daemon: 'a b'}\n", "users.daemon: expected a user name"},
        {LEAST "drain: 99999999999999999999s\n", "drain: 99999999999999999999s is out of range"},
        {LEAST "workers: {pool: 0}\n", "workers.pool: 0 is out of range, 1 to 256"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct diag d;
        struct node *n = NULL;
        diag_init(&d);
        ck_assert_int_eq(node_parse(rows[i].text, strlen(rows[i].text), "n.yaml", &d, &n),
                         ERR_INVAL);
        ck_assert_msg(d.n == 1 && strstr(d.lines[0], rows[i].fragment), "row %zu: %s", i,
                      d.n ? d.lines[0] : "?");
        diag_done(&d);
    }
}
END_TEST

START_TEST(sample_is_valid)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    options_print_sample(node_options(), f);
    fclose(f);
    struct node *n = parse_ok(text);
    ck_assert_str_eq(n->data_dir, "/var/lib/meridian");
    ck_assert_ptr_nonnull(strstr(text, "#   manifest: 4MiB"));
    node_free(n);
    free(text);
}
END_TEST

START_TEST(memory_may_end_anywhere)
{
    int rc = ERR_NOMEM;
    for (long i = 1; rc; i++) {
        struct node *n = NULL;
        mem_fault_after(i);
        rc = node_parse(LEAST, strlen(LEAST), "/n.yaml", NULL, &n);
        mem_fault_after(0);
        ck_assert(rc == 0 || rc == ERR_NOMEM);
        node_free(n);
        ck_assert_int_lt(i, 10000);
    }
}
END_TEST

CHECK_MAIN("config/node", values_are_shown_by_an_allow_list,
           what_is_shown_of_a_node_parses_into_the_same, defaults, every_key, refusals,
           sample_is_valid, memory_may_end_anywhere)
