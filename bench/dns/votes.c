// SPDX-License-Identifier: Apache-2.0
// What it costs a resolver to decide on health together with others: the real checker on a virtual
// clock, with stamps that answer at once and other resolvers whose signed observations are real.
// Times are of the processor. What is not in it: TLS and HTTP of the probes and exchanges
// themselves.
//   dns_votes [REGIONS [STAMPS [INTERVALS [MOST_MS]]]]
// Fails if an interval costs the checker more than MOST_MS.
#include "base/clock.h"
#include "base/clock_test.h"
#include "base/err.h"
#include "base/mem.h"
#include "certs/keys.h"
#include "health/priv.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_MS 1000
#define ANSWER_MS 2
#define WARM_UP 3     // intervals
#define VOTERS_MAX 13 // name servers of a topology

struct fetch { // answered after ANSWER_MS
    void (*done)(void *ctx, struct fetch_result *r);
    void *ctx;
    struct fetch_result result;
    int64_t due_ms;
    struct fetch *next;
};

static struct fetch *first, **last = &first; // in order: all take equally long
static struct region_keys *keys[TOPOLOGY_MAX_REGIONS];
static char region_names[TOPOLOGY_MAX_REGIONS][HOSTNAME_REGION_SIZE];
static struct topology *topology;
static struct observation say; // of all stamps
static uint64_t sequence;
static int64_t aside_ns; // spent for the others
static size_t n_probes, n_exchanges, n_turns;

static int64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void __attribute__((noreturn)) die(const char *what, int rc)
{
    fprintf(stderr, "dns_votes: %s: %s\n", what, err_text(rc));
    exit(1);
}

static void observe(size_t of, struct buf *out)
{
    const struct observation_signer s = {region_keys_sign_feed, keys[of],
                                         region_keys_feed_id(keys[of])};
    snprintf(say.region, sizeof say.region, "%s", region_names[of]);
    say.sequence = ++sequence;
    say.expires_ms = clock_wall_ms() + HEALTH_VOTE_INTERVALS * INTERVAL_MS;
    int rc = observation_format(&say, topology->domain, &s, out);
    if (rc)
        die("an observation", rc);
}

int fetch_start(struct fetcher *x, const struct fetch_request *q,
                void (*done)(void *ctx, struct fetch_result *r), struct fetch **out_handle)
{
    unsigned of = 0;
    int64_t began = cpu_ns();
    (void)x;
    struct fetch *f = mem_zalloc(sizeof *f);
    if (!f)
        return ERR_NOMEM;
    f->result.status = 200;
    buf_init(&f->result.body, OBSERVATION_MAX_BYTES);
    if (sscanf(q->url, "https://r%u.peer.", &of) == 1 && strstr(q->url, HEALTH_OBSERVATION_PATH)) {
        observe(of, &f->result.body);
        n_exchanges++;
    } else {
        n_probes++;
    }
    f->done = done;
    f->ctx = q->ctx;
    f->due_ms = clock_mono_ms() + ANSWER_MS;
    *last = *out_handle = f;
    last = &f->next;
    aside_ns += cpu_ns() - began;
    return 0;
}

void fetch_cancel(struct fetcher *x, struct fetch *f)
{
    (void)x;
    f->result.err = ERR_CANCELED;
}

static void complete(void)
{
    struct fetch *f = first;
    first = f->next;
    if (!first)
        last = &first;
    f->done(f->ctx, &f->result);
    buf_done(&f->result.body);
    free(f);
}

static void build(unsigned n_regions, unsigned n_stamps, const char *dir)
{
    AUTO_BUF struct buf b;
    struct diag d;
    buf_init(&b, 16 << 20);
    diag_init(&d);
    buf_printf(&b,
               "version: 1\ndomain: example.io\nhostmaster: h@example.io\nhealth: { interval: "
               "%dms, timeout: 1s }\n",
               INTERVAL_MS);
    buf_str(&b, "regions:\n");
    for (unsigned r = 0; r < n_regions; r++) {
        snprintf(region_names[r], sizeof region_names[r], "r%u", r);
        buf_printf(&b, "  - name: r%u\n    peer: 10.0.%u.250:9443\n    stamps:\n", r, r);
        for (unsigned s = 0; s < n_stamps; s++)
            buf_printf(&b, "      - { name: s%u, ipv4: [10.0.%u.%u] }\n", s, r, s + 1);
    }
    buf_str(&b, "name_servers: [");
    for (unsigned r = 0; r < n_regions && r < VOTERS_MAX; r++)
        buf_printf(&b, "%ss0.r%u", r ? ", " : "", r);
    buf_str(&b, "]\nidentities:\n");
    for (unsigned r = 0; r < n_regions; r++) {
        char sub[128];
        snprintf(sub, sizeof sub, "%s/%u", dir, r);
        int rc = region_keys_create(sub, region_names[r], &d);
        if (!rc)
            rc = region_keys_open(sub, region_names[r], &d, &keys[r]);
        if (rc)
            die("keys", rc);
        buf_printf(&b, "  r%u: { feed_keys: [{ id: %s, key: \"%s\" }] }\n", r,
                   region_keys_feed_id(keys[r]), region_keys_feed_spki(keys[r]));
    }
    buf_str(&b, "registries: []\n");
    if (b.err || topology_parse(buf_cstr(&b), b.n, "votes", &d, &topology)) {
        diag_print(&d, stderr);
        exit(1);
    }
    diag_done(&d);
    say = (struct observation){.stamp = "s0", .boot = 1};
    say.votes = mem_zalloc_array((size_t)n_regions * n_stamps, sizeof *say.votes);
    for (unsigned r = 0; say.votes && r < n_regions; r++)
        for (unsigned s = 0; s < n_stamps; s++) {
            struct observation_vote *v = &say.votes[say.n_votes++];
            snprintf(v->region, sizeof v->region, "r%u", r);
            snprintf(v->stamp, sizeof v->stamp, "s%u", s);
        }
}

// One observation made, one read; in microseconds.
static void measure_one(double *out_make, double *out_read, size_t *out_bytes)
{
    enum { ROUNDS = 100 };
    int64_t make = 0, read = 0;
    const char *why = "";
    for (int i = 0; i < ROUNDS; i++) {
        AUTO_BUF struct buf b;
        buf_init(&b, OBSERVATION_MAX_BYTES);
        struct observation *o = NULL;
        int64_t began = cpu_ns();
        observe(1, &b);
        int64_t made = cpu_ns();
        int rc =
            observation_parse(topology, region_names[1], (struct bytes){(const uint8_t *)b.p, b.n},
                              clock_wall_ms(), ed25519_verify, &o, &why);
        if (rc)
            die(why, rc);
        make += made - began;
        read += cpu_ns() - made;
        *out_bytes = b.n;
        observation_free(o);
    }
    *out_make = (double)make / ROUNDS / 1e3;
    *out_read = (double)read / ROUNDS / 1e3;
}

// Returns the processor time of the checker.
static int64_t run(struct health *h, int n_intervals)
{
    int64_t took_ns = 0, end = clock_mono_ms() + (int64_t)n_intervals * INTERVAL_MS;
    aside_ns = 0;
    while (clock_mono_ms() < end) {
        int64_t began = cpu_ns(), next = health_turn(h);
        n_turns++;
        if (first && first->due_ms <= clock_mono_ms())
            complete();
        else if (first && first->due_ms < next)
            next = first->due_ms;
        took_ns += cpu_ns() - began;
        if (!first || first->due_ms > clock_mono_ms())
            clock_virtual_advance(next > clock_mono_ms() ? next - clock_mono_ms() : 1);
    }
    return took_ns - aside_ns;
}

int main(int argc, char **argv)
{
    char dir[] = "/tmp/dns_votes-XXXXXX", state[64], command[96];
    unsigned n_regions = argc > 1 ? (unsigned)atoi(argv[1]) : 60,
             n_stamps = argc > 2 ? (unsigned)atoi(argv[2]) : 10;
    int n_intervals = argc > 3 ? atoi(argv[3]) : 10;
    struct snapshot cell, verdicts;
    struct health *h;
    double make_us, read_us;
    size_t bytes;
    if (n_regions < 2 || n_regions > TOPOLOGY_MAX_REGIONS || !n_stamps || n_stamps > 200 ||
        n_intervals < 1 || !mkdtemp(dir)) {
        fprintf(stderr, "usage: dns_votes [REGIONS [STAMPS [INTERVALS [MOST_MS]]]]\n");
        return 2;
    }
    clock_virtual_set(1764000000000);
    build(n_regions, n_stamps, dir);
    measure_one(&make_us, &read_us, &bytes);
    snapshot_init(&cell);
    snapshot_init(&verdicts);
    snapshot_publish(&cell, topology);
    snprintf(state, sizeof state, "%s/health.json", dir);
    const struct health_options o = {.topology = &cell,
                                     .verdicts = &verdicts,
                                     .ca_file = "/ca.pem",
                                     .state_path = state,
                                     .region = region_names[0],
                                     .stamp = "s0",
                                     .peer_pem = "/peer.pem",
                                     .sign = region_keys_sign_feed,
                                     .sign_ctx = keys[0],
                                     .key_id = region_keys_feed_id(keys[0]),
                                     .verify = ed25519_verify};
    int rc = health_new(&o, &h);
    if (rc)
        die("the checker", rc);
    run(h, WARM_UP); // at first every stamp is news
    n_probes = n_exchanges = n_turns = 0;
    int64_t took_ns = run(h, n_intervals);
    health_halt(h);
    while (first)
        complete();
    health_free(h);
    double per_interval = 1.0 / n_intervals;
    printf(
        "%u regions of %u stamps: an observation has %zu bytes, made in %.0f us, read in %.0f us\n",
        n_regions, n_stamps, bytes, make_us, read_us);
    printf("per interval: %.0f probes, %.0f exchanges begun, %.0f turns, checker %.1f ms",
           (double)n_probes * per_interval, (double)n_exchanges * per_interval,
           (double)n_turns * per_interval, (double)took_ns * per_interval / 1e6);
    printf("; the others' exchanges %.1f ms\n",
           ((n_regions < VOTERS_MAX ? n_regions : VOTERS_MAX) - 1) * (make_us + read_us) / 1e3);
    snapshot_done(&cell);
    snapshot_done(&verdicts);
    for (unsigned r = 0; r < n_regions; r++)
        region_keys_free(keys[r]);
    free(say.votes);
    snprintf(command, sizeof command, "rm -r %s", dir);
    bool failed = argc > 4 && (double)took_ns * per_interval / 1e6 > atof(argv[4]);
    return system(command) || failed;
}
