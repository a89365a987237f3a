// SPDX-License-Identifier: Apache-2.0
// resolver/health: the checker on its own thread against a real HTTPS server (openssl s_server): a
// good one, one whose certificate names another, and nobody. The arithmetic and the state are in
// the replays of tests/scenario/resolver.
#include "health/health.h"

#include "base/bytes.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "health/priv.h"
#include "tests/support/check_main.h"
#include "tests/support/tls_files.h"
#include "tests/support/torture.h"
#include "tests/unit/resolver/fixture.h"

#include <jansson.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct rig {
    char dir[32], ca[64], leaf[64], state[64];
    uint16_t port;
    pid_t server;
    struct snapshot topology, verdicts;
    struct fetcher *fetcher;
    struct health_options o;
    struct health *h;
};

static struct topology *topology_of(uint16_t port, bool with_sea)
{
    char yaml[2048];
    snprintf(
        yaml, sizeof yaml,
        "version: 1\ndomain: example.io\nhostmaster: h@example.io\nhttps_port: %u\nregions:\n"
        "  - name: eastus\n    peer: 127.0.0.1:9443\n    stamps: [{ name: eus-1, ipv4: [127.0.0.1] "
        "}]\n"
        "  - name: westeurope\n    peer: 127.0.0.2:9443\n    stamps: [{ name: weu-1, ipv4: "
        "[127.0.0.2] }]\n"
        "%s"
        "name_servers: [eus-1.eastus]\nregistries:\n  - name: contoso\n    replicas:\n"
        "      - { region: eastus, stamp: eus-1 }\n      - { region: westeurope, stamp: weu-1 }\n"
        "routing: { order: [eastus, westeurope%s] }\n"
        "health: { interval: 250ms, timeout: 1s, rise: 1, fall: 2, jitter: 10%%, hold_down: 0s }\n",
        port,
        with_sea ? "  - name: southeastasia\n    peer: 127.0.0.3:9443\n"
                   "    stamps: [{ name: sea-1, ipv4: [127.0.0.1] }]\n"
                 : "",
        with_sea ? ", southeastasia" : "");
    return fixture_parse(yaml);
}

static pid_t serve(const struct rig *g)
{
    char accept[32];
    snprintf(accept, sizeof accept, "127.0.0.1:%u", g->port);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); // also when a check fails
        if (!chdir(g->dir))
            execlp("openssl", "openssl", "s_server", "-quiet", "-WWW", "-accept", accept, "-cert",
                   g->leaf, "-key", g->leaf, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void rig_init(struct rig *g)
{
    char path[64];
    *g = (struct rig){.dir = "/tmp/health-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(g->dir));
    tls_make_ca(g->dir, "ca", g->ca, sizeof g->ca);
    tls_make_leaf(g->dir, "ca", "eus", "DNS:eus-1.eastus.fe.example.io", g->leaf, sizeof g->leaf);
    snprintf(path, sizeof path, "%s/healthz", g->dir);
    ck_assert_int_eq(file_write_atomic(path, "up\n", 3, 0600), 0);
    snprintf(g->state, sizeof g->state, "%s/health.json", g->dir);
    g->port = tls_free_port();
    g->server = serve(g);
    tls_wait_port(g->port);
    snapshot_init(&g->topology);
    snapshot_init(&g->verdicts);
    snapshot_publish(&g->topology, topology_of(g->port, true));
    ck_assert_int_eq(fetcher_new(&g->fetcher), 0);
    g->o = (struct health_options){&g->topology, &g->verdicts, g->fetcher, g->ca, g->state};
}

static void rig_kill_server(struct rig *g)
{
    if (g->server <= 0)
        return;
    kill(g->server, SIGKILL);
    waitpid(g->server, NULL, 0);
    g->server = 0;
}

static void rig_done(struct rig *g)
{
    char c[64];
    rig_kill_server(g);
    fetcher_free(g->fetcher);
    snapshot_done(&g->topology);
    snapshot_done(&g->verdicts);
    snprintf(c, sizeof c, "rm -r %s", g->dir);
    tls_shell(c);
}

// Waits until the published verdict is that and the reason holds `text`.
static void wait_for(struct rig *g, const char *stamp, bool up, const char *text)
{
    char last[256] = "";
    for (int i = 0; i < 4000; i++) {
        struct health_verdicts *v = snapshot_get(&g->verdicts);
        json_t *list = health_status_json(g->h), *x;
        size_t k;
        bool published = false, told = false;
        for (k = 0; k < v->n_targets; k++)
            published |= !strcmp(v->targets[k].stamp, stamp) && v->targets[k].up == up;
        json_array_foreach(list, k, x)
        {
            const char *reason = json_string_value(json_object_get(x, "reason"));
            if (strcmp(json_string_value(json_object_get(x, "stamp")), stamp))
                continue;
            told = strstr(reason, text);
            snprintf(last, sizeof last, "%s", reason);
        }
        json_decref(list);
        snapshot_unref(v);
        AUTO_BUF struct buf scrape; // while the checker runs
        buf_init(&scrape, 1 << 20);
        health_metrics(g->h, &scrape);
        ck_assert(!scrape.err && strstr(buf_cstr(&scrape), "rule=\"own_probes\"} 1\n"));
        if (published && told)
            return;
        clock_sleep_ms(5);
    }
    ck_abort_msg("%s: not %s with \"%s\"; last: %s", stamp, up ? "up" : "down", text, last);
}

START_TEST(real_probes)
{
    struct rig g;
    struct stat st;
    rig_init(&g);
    ck_assert_int_eq(health_start(&g.o, &g.h), 0);
    wait_for(&g, "eus-1", true, "200 in ");
    wait_for(&g, "weu-1", false, "127.0.0.2");
    // the certificate is another's
    wait_for(&g, "sea-1", false, "sea-1.southeastasia.fe.example.io");
    snapshot_publish(&g.topology, topology_of(g.port, false));
    for (int i = 0;; i++) {
        struct health_verdicts *v = snapshot_get(&g.verdicts);
        size_t n = v->n_targets;
        snapshot_unref(v);
        if (n == 2)
            break;
        ck_assert_int_lt(i, 4000);
        clock_sleep_ms(5);
    }
    ck_assert_int_eq(health_force(g.h, "mars", HEALTH_FORCE_DOWN, "root@here"), ERR_NOTFOUND);
    rig_kill_server(&g);
    wait_for(&g, "eus-1", false, "127.0.0.1");
    health_stop(g.h);
    ck_assert_int_eq(stat(g.state, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0600);
    ck_assert_int_eq(health_start(&g.o, &g.h), 0);
    wait_for(&g, "eus-1", false, ""); // at once, or after probes: nobody serves
    g.server = serve(&g);
    wait_for(&g, "eus-1", true, "200 in ");
    health_stop(g.h);
    health_stop(NULL);
    rig_done(&g);
}
END_TEST

START_TEST(stopping_with_probes_under_way)
{
    struct rig g;
    rig_init(&g);
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(health_start(&g.o, &g.h), 0);
        clock_sleep_ms(i);
        health_stop(g.h);
    }
    rig_done(&g);
}
END_TEST

START_TEST(without_a_topology_there_is_nothing_to_check)
{
    struct snapshot none, verdicts;
    struct health *h = NULL;
    snapshot_init(&none);
    snapshot_init(&verdicts);
    struct health_options o = {
        .topology = &none, .verdicts = &verdicts, .state_path = "/nowhere/health.json"};
    ck_assert_int_eq(health_start(&o, &h), ERR_INVAL);
    ck_assert_ptr_null(h);
    snapshot_done(&none);
    snapshot_done(&verdicts);
}
END_TEST

static int begin_and_end(void *ctx)
{
    struct health *h;
    int rc = health_new(ctx, &h);
    if (rc)
        return rc;
    health_halt(h);
    health_free(h);
    return 0;
}

START_TEST(every_refused_allocation)
{
    struct snapshot topology, verdicts;
    char dir[] = "/tmp/health-XXXXXX", state[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(state, sizeof state, "%s/health.json", dir);
    snapshot_init(&topology);
    snapshot_init(&verdicts);
    snapshot_publish(&topology, topology_of(8443, true));
    struct health_options o = {
        .topology = &topology, .verdicts = &verdicts, .ca_file = "/ca.pem", .state_path = state};
    ck_assert_int_gt(torture(begin_and_end, &o), 5);
    unlink(state);
    rmdir(dir);
    snapshot_done(&topology);
    snapshot_done(&verdicts);
}
END_TEST

CHECK_MAIN("resolver/health", real_probes, stopping_with_probes_under_way,
           without_a_topology_there_is_nothing_to_check, every_refused_allocation)
