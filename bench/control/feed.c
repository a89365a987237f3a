// SPDX-License-Identifier: Apache-2.0
// What the control feed costs with many registries: a writer and another region in one process, on
// a real disk, without what is between them.
//
//   control_feed REGISTRIES CHANGES DIR
//
// Prints: how long a node takes to begin from the document and from its disk; what a change takes
// from its append, and from its arrival at another node, until the topology is published there, and
// the entry is on its disk; how many go one after another; memory before and after; a new frame.
#include "control/feed.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "certs/keys.h"
#include "certs/signing_key.h"
#include "control/frame.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REGIONS 2
static const char *const regions[REGIONS] = {"eastus", "westus"};

struct node {
    char *state, *topology;
    struct region_keys *keys;
    struct snapshot tcell, pcell;
    struct control_feed *feed;
};

static struct diag diag;
// when the topology was published last at the other node
static int64_t published_us;

static void must(int rc, const char *what)
{
    if (!rc)
        return;
    diag_print(&diag, stderr);
    fprintf(stderr, "%s: %s\n", what, err_text(rc));
    exit(1);
}

static double ms_since(int64_t began_us)
{
    return (double)(clock_mono_us() - began_us) / 1000;
}

static long resident_kib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[128];
    long kib = 0;
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "RssAnon:", 8))
            kib = strtol(line + 8, NULL, 10);
    if (f)
        fclose(f);
    return kib;
}

static void make_keys(struct node *n, const char *dir, const char *region)
{
    AUTO_FREE char *keys = mem_printf("%s/%s/keys", dir, region);
    n->state = mem_printf("%s/%s/state", dir, region);
    n->topology = mem_printf("%s/%s/topology.yaml", dir, region);
    if (!keys || !n->state || !n->topology)
        must(ERR_NOMEM, "paths");
    must(region_keys_create(keys, region, &diag), "keys");
    must(region_keys_open(keys, region, &diag, &n->keys), "keys");
    snapshot_init(&n->tcell);
    snapshot_init(&n->pcell);
}

static void write_documents(struct node *nodes, unsigned long n_registries, const char *root)
{
    struct buf b;
    buf_init(&b, 0);
    buf_str(&b, "version: 1\ndomain: example.io\nregions:\n");
    for (int i = 0; i < REGIONS; i++)
        buf_printf(&b,
                   "  - {name: %s, stamps: [{name: s, ipv4: [192.0.2.%d]}], peer: "
                   "192.0.2.%d:8443}\n",
                   regions[i], i + 1, i + 1);
    buf_printf(
        &b, "name_servers: [s.eastus]\ncontrol:\n  root: \"%s\"\n  writer: eastus\nidentities:\n",
        root);
    for (int i = 0; i < REGIONS; i++)
        buf_printf(&b, "  %s:\n    control_keys: [{id: %s, key: \"%s\"}]\n", regions[i],
                   region_keys_control_id(nodes[i].keys), region_keys_control_spki(nodes[i].keys));
    buf_str(&b, "registries:\n");
    for (unsigned long i = 0; i < n_registries; i++)
        buf_printf(&b,
                   "  - { name: bench%07lu, replicas: [{ region: eastus }, { region: westus }] }\n",
                   i);
    must(b.err, "document");
    for (int i = 0; i < REGIONS; i++)
        must(file_write_atomic(nodes[i].topology, b.p, b.n, 0600), nodes[i].topology);
    buf_done(&b);
}

static void published(void *ctx, bool frame)
{
    (void)ctx;
    (void)frame;
    published_us = clock_mono_us();
}

static void start(struct node *n, const char *region)
{
    const struct control_feed_options o = {
        .state_dir = n->state, .region = region, .topology = n->topology, .keys = n->keys};
    const struct source_cells cells = {&n->tcell, &n->pcell};
    must(control_feed_open(&o, &diag, &n->feed), "open");
    struct topology_source *s = control_feed_source(n->feed);
    must(topology_source_load(s, &cells, &diag), "load");
    must(topology_source_follow(s, published, n), "follow");
    must(control_feed_own(n->feed, 1000, &diag), "own");
    control_feed_confirm(n->feed, true);
}

static void stop(struct node *n)
{
    topology_source_close(control_feed_source(n->feed));
    n->feed = NULL;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void show(const char *what, double *all, unsigned long n)
{
    qsort(all, n, sizeof *all, by_value);
    printf("%-52s median %.2f ms, 99%% %.2f ms, most %.2f ms\n", what, all[n / 2],
           all[n * 99 / 100], all[n - 1]);
}

static struct control_place append(struct node *w, unsigned long registry, unsigned weight)
{
    char text[256];
    struct control_place p = {0};
    snprintf(
        text, sizeof text,
        "registries: [{ name: bench%07lu, replicas: [{ region: eastus, weight: %u }, { region: "
        "westus }] }]\n",
        registry, weight);
    const struct control_draft d = {.by = "operator:bench", .change = bytes_str(text)};
    must(control_feed_append(w->feed, &d, &diag, &p), "append");
    return p;
}

static void take_all(struct node *from, struct node *to)
{
    struct control_view v;
    control_feed_view(to->feed, &v);
    AUTO_BUF struct buf lines;
    size_t n;
    buf_init(&lines, 0);
    must(control_feed_read(from->feed, &v.place, 1 << 20, &lines), "read");
    control_view_done(&v);
    must(control_feed_take(to->feed, bytes_of(lines.p, lines.n), &diag, &n), "take");
}

static void changes(struct node *nodes, unsigned long n_registries, unsigned long n)
{
    double *appended = mem_zalloc_array(n, sizeof *appended);
    double *taken = mem_zalloc_array(n, sizeof *taken);
    double *seen = mem_zalloc_array(n, sizeof *seen);
    if (!appended || !taken || !seen)
        must(ERR_NOMEM, "figures");
    int64_t began = clock_mono_us();
    for (unsigned long i = 0; i < n; i++) {
        int64_t at = clock_mono_us();
        append(&nodes[0], i * 7919 % n_registries, (unsigned)(i / n_registries + i) % 100);
        appended[i] = ms_since(at);
        at = clock_mono_us();
        take_all(&nodes[0], &nodes[1]);
        taken[i] = ms_since(at);
        seen[i] = (double)(published_us - at) / 1000;
    }
    double all = ms_since(began);
    show("a change at the writer", appended, n);
    show("at another node, from its arrival to its effect", seen, n);
    show("and until it is on the disk there", taken, n);
    printf("%-52s %.0f a second\n", "both, one after another", (double)n * 1000 / all);
    free(appended);
    free(taken);
    free(seen);
}

static void frame(struct node *nodes)
{
    struct buf text;
    struct control_place p;
    buf_init(&text, 0);
    struct topology *t = snapshot_get(&nodes[0].tcell);
    must(frame_text(t, &text), "frame");
    snapshot_unref(t);
    buf_str(&text, "ttl: { global: 20s }\n");
    const struct control_draft d = {.frame = bytes_of(text.p, text.n)};
    int64_t at = clock_mono_us();
    must(control_feed_append(nodes[0].feed, &d, &diag, &p), "frame");
    printf("%-52s %.0f ms\n", "a new frame at the writer", ms_since(at));
    at = clock_mono_us();
    take_all(&nodes[0], &nodes[1]);
    printf("%-52s %.0f ms\n", "a new frame at another node", ms_since(at));
    buf_done(&text);
}

static void memory(const char *what)
{
    malloc_trim(0);
    printf("%-52s %.0f MiB for two nodes\n", what, (double)resident_kib() / 1024);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s REGISTRIES CHANGES DIR\n", argv[0]);
        return 2;
    }
    unsigned long n_registries = strtoul(argv[1], NULL, 10), n = strtoul(argv[2], NULL, 10);
    struct node nodes[REGIONS] = {0};
    const uint8_t seed[32] = {7};
    struct signing_key *root = NULL;
    log_setup(LOG_WARN, "bench");
    diag_init(&diag);
    must(signing_key_of_seed(seed, &root), "root key");
    for (int i = 0; i < REGIONS; i++)
        make_keys(&nodes[i], argv[3], regions[i]);
    write_documents(nodes, n_registries, signing_key_spki(root));
    printf("%lu registries, %lu changes\n", n_registries, n);
    int64_t at = clock_mono_us();
    start(&nodes[0], regions[0]);
    printf("%-52s %.0f ms\n", "beginning with the document", ms_since(at));
    start(&nodes[1], regions[1]);
    memory("memory at the start");
    changes(nodes, n_registries, n);
    memory("memory after the changes");
    frame(nodes);
    for (int i = 0; i < REGIONS; i++)
        stop(&nodes[i]);
    at = clock_mono_us();
    start(&nodes[1], regions[1]);
    printf("%-52s %.0f ms\n", "a start from its own disk", ms_since(at));
    stop(&nodes[1]);
    signing_key_free(root);
    for (int i = 0; i < REGIONS; i++) {
        region_keys_free(nodes[i].keys);
        free(nodes[i].state);
        free(nodes[i].topology);
        snapshot_done(&nodes[i].tcell);
        snapshot_done(&nodes[i].pcell);
    }
    return 0;
}
