// SPDX-License-Identifier: Apache-2.0
// Health of the regions, replayed: the real checker (schedule, verdicts, state file) on the virtual
// clock, with scripted stamps in place of the network. A replay is a text file, one command per
// line; it says what must hold and when.
//
//   health { interval: 1s, … }      settings, as in the topology; before `start`
//   start | stop | crash            crash: nothing is saved that was not saved before
//   stamp NAME good|refused|hang|certificate|status N|slow MS|flap BAD GOOD|
//         unstartable|short|disguised
//                                short: 503, and says that it is short of space; disguised: 503,
//                                and says other things
//   run TIME                        1500ms, 4s, 2m, 1h
//   until NAME up|down TIME         fails if it takes longer
//   clock +TIME|-TIME               the wall clock alone jumps
//   state damaged TEXT|truncated|removed|unwritable|writable
//   force REGION up|down|auto
//   topology all|without NAME       published while it runs
//   ttl TIME                        of the global name, likewise
//   expect NAME up|down             the verdict, force included
//   expect global REGION            where a client is sent
//   expect changes NAME N           since the last start
//   expect probes NAME MIN MAX      since the last `count`
//   expect reason NAME TEXT         part of it
//   expect routed MODE STATE...     as `dns explain` tells it: the mode, and the state of each
//                                   region in the order
//
// With several resolvers (before `start`): resolvers R1,R2…: they run in these regions, and the
// checker is that of the first. The others are scripted (peers.c):
//   voter REGION silent|answers|forged|speaks-for-others|expired|damaged|replays
//   voter REGION says NAME up|down [N]      N bad probes in a row; 3 if left out
//   voter REGION abstains|votes|deaf|hears|slow|quick|restarts|older-boot
//                                slow: answers after 900 ms
//   voter REGION drains REGION on|off       an order that was given there
//   voter REGION forces REGION up|down|auto
//   voter REGION drills REGION SECONDS [AHEAD] | stops     a drill that was started there, by a wall
//                                clock that is so many seconds ahead
//   drill REGION LABEL|* TIME               a drill started here
//   drill-refused REGION LABEL|* TIME TEXT  it is refused; part of why
//   drill-stop
//   expect drill STATE|none                 of the latest that is known
//   expect left MIN MAX                     of the one that runs
//   deep REGION headroom N | short on|off | impaired LABEL|none |
//       damaged - | oversized - | silent -
//   drain|impair REGION LABEL|* on|off      an order given here
//   tcp                                     probes are TCP connections, before `start`
//   five                                    two regions more, before `start`: northeurope (neu-1),
//                                           brazilsouth (brs-1)
//   expect headroom NAME N                  in tenths
//   expect registry LABEL REGION            where its clients are sent
//   expect votes NAME TEXT                  part of it
//   expect vote NAME VOTER up|down|none BAD AGE yes|no STANDING
//                                as JSON tells it; AGE: at most so old; counted or not
//   expect metric LINE                      a whole line of health_metrics
//   expect explained NAME TEXT              part of the rule that `dns explain` tells for the stamp
//   expect voter REGION TEXT                "votes", "silent", "abstains"
//   expect error REGION TEXT                why its last observation was not taken
//   expect orders REGION TEXT               part of what is said of it to people
//   expect order REGION waiting|counting|safe|none
//
// After every step two things hold whatever the script: a regional name answers its own region's
// address, and the global name answers some region's.
#include "base/bytes.h"
#include "base/clock.h"
#include "base/clock_test.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "health/priv.h"
#include "net/fetch.h"
#include "resolver/answer/answer.h"
#include "resolver/answer/explain.h"
#include "resolver/packet/wire.h"
#include "tests/scenario/resolver/peers.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct {
    const char *region, *stamp;
} world[] = {{"eastus", "eus-1"},        {"eastus", "eus-2"},      {"westeurope", "weu-1"},
             {"southeastasia", "sea-1"}, {"northeurope", "neu-1"}, {"brazilsouth", "brs-1"}};
static size_t n_world = 4, n_regions = 3; // in the topology

enum behaviour {
    GOOD,
    REFUSED,
    HANG,
    CERTIFICATE,
    STATUS,
    SLOW,
    FLAP,
    UNSTARTABLE,
    SHORT,
    DISGUISED
};

static struct stamp_script {
    enum behaviour does;
    long a, b;
    unsigned n_probes, n_changes;
    bool was_up;
} stamps[ARRAY_LEN(world)];

// A running probe: the fetcher's side of it.
struct fetch {
    struct fetch *next;
    int64_t due_ms;
    struct fetch_result result;
    void (*done)(void *ctx, struct fetch_result *r);
    void *ctx;
};

static struct fetch *running;
static struct snapshot topology_cell, verdicts_cell;
static struct health *checker;
static char dir[] = "/tmp/replay-XXXXXX", state_path[64], settings[256], resolvers[128],
            own_key[64], own_key_id[64];
static int64_t ttl_s = 30;
static bool tcp;
static const char *file;
static unsigned line;

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s:%u: ", file, line);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\n");
    exit(1);
}

static size_t stamp_index(const char *name)
{
    for (size_t i = 0; i < n_world; i++)
        if (name && !strcmp(world[i].stamp, name))
            return i;
    fail("no such stamp: %s", name ? name : "(none)");
}

// --- the network ---

static void outcome(struct stamp_script *s, uint32_t timeout_ms, struct fetch *f)
{
    struct fetch_result *r = &f->result;
    int64_t ms = 5;
    enum behaviour does = s->does;
    if (does == FLAP)
        does = (long)((s->n_probes - 1) % (unsigned)(s->a + s->b)) < s->a ? REFUSED : GOOD;
    buf_init(&r->body, 0);
    r->status = tcp ? 0 : does == STATUS ? (int)s->a : does == GOOD || does == SLOW ? 200 : 0;
    if (does == SLOW)
        ms = s->a;
    if (does == HANG || ms >= timeout_ms) {
        *r = (struct fetch_result){.err = ERR_TIMEOUT, .message = "Operation timed out"};
        ms = timeout_ms;
    } else if (does == REFUSED) {
        *r = (struct fetch_result){.err = ERR_UNREACHABLE, .message = "Connection refused"};
    } else if (does == CERTIFICATE) {
        *r =
            (struct fetch_result){.err = ERR_CRYPTO, .message = "certificate: name does not match"};
    }
    if (!tcp && (does == SHORT || does == DISGUISED)) {
        r->status = 503;
        buf_init(&r->body, 4096);
        buf_str(&r->body,
                does == SHORT
                    ? "{\"status\":\"short\",\"reason\":\"the disk is full up to its reserve\"}"
                    : "{\"status\":\"down\",\"reason\":\"short\",\"short\":true}");
    }
    r->elapsed_ms = ms;
    f->due_ms = clock_mono_ms() + ms;
}

int fetch_start(struct fetcher *x, const struct fetch_request *q,
                void (*done)(void *ctx, struct fetch_result *r), struct fetch **out_handle)
{
    char stamp[64], region[64];
    (void)x;
    struct fetch *call = calloc(1, sizeof *call);
    int64_t ms;
    struct topology *t = snapshot_get(&topology_cell);
    bool to_peer = call && peers_answer(t, q, &call->result, &ms);
    snapshot_unref(t);
    if (to_peer) {
        *call = (struct fetch){running, clock_mono_ms() + ms, call->result, done, q->ctx};
        *out_handle = running = call;
        return 0;
    }
    free(call);
    if (sscanf(q->url,
               tcp ? "http://%63[^.].%63[^.].fe.example.io:8443"
                   : "https://%63[^.].%63[^.].fe.example.io:8443/healthz",
               stamp, region) != 2 ||
        q->connect_only != tcp)
        fail("probe of %s", q->url);
    size_t i = stamp_index(stamp);
    if (strcmp(world[i].region, region) || !q->ca_file || !q->connect_to ||
        q->connect_to->ip.b[15] != i + 1 || q->connect_to->port != 8443 || q->fresh_connection)
        fail("the probe of %s is not right", q->url);
    if (stamps[i].does == UNSTARTABLE)
        return ERR_NOMEM;
    struct fetch *f = calloc(1, sizeof *f);
    if (!f)
        return ERR_NOMEM;
    stamps[i].n_probes++;
    f->done = done;
    f->ctx = q->ctx;
    outcome(&stamps[i], q->timeout_ms, f);
    f->next = running;
    running = f;
    *out_handle = f;
    return 0;
}

void fetch_cancel(struct fetcher *x, struct fetch *f)
{
    (void)x;
    buf_done(&f->result.body);
    f->result = (struct fetch_result){.err = ERR_CANCELED};
    f->due_ms = 0;
}

static struct fetch *earliest(void)
{
    struct fetch *e = running;
    for (struct fetch *f = running; f; f = f->next)
        if (f->due_ms < e->due_ms)
            e = f;
    return e;
}

static void complete(struct fetch *f)
{
    struct fetch **p = &running;
    while (*p != f)
        p = &(*p)->next;
    *p = f->next;
    f->done(f->ctx, &f->result);
    buf_done(&f->result.body);
    free(f);
}

// --- the topology ---

static struct topology *build(const char *without)
{
    AUTO_BUF struct buf b;
    struct topology *t = NULL;
    struct diag d;
    buf_init(&b, 65536);
    diag_init(&d);
    buf_str(
        &b,
        "version: 1\ndomain: example.io\nhostmaster: h@example.io\nhttps_port: 8443\nregions:\n");
    for (size_t i = 0; i < n_world; i++) {
        if (without && !strcmp(world[i].stamp, without))
            continue;
        if (i == 0 || strcmp(world[i].region, world[i - 1].region))
            buf_printf(&b, "  - name: %s\n    peer: 192.0.2.%zu:9443\n    stamps:\n",
                       world[i].region, i + 1);
        buf_printf(&b, "      - { name: %s, ipv4: [192.0.2.%zu] }\n", world[i].stamp, i + 1);
    }
    buf_str(&b, "name_servers: [");
    const char *comma = "";
    for (size_t i = 0; i < n_regions; i++)
        if (resolvers[0] ? strstr(resolvers, peers_regions[i]) != NULL : i == 0) {
            if (without && !strcmp(without, peers_stamps[i]))
                continue;
            buf_printf(&b, "%s%s.%s", comma, peers_stamps[i], peers_regions[i]);
            comma = ", ";
        }
    buf_str(&b, "]\nregistries:\n");
    for (size_t k = 0; k < 2; k++) {
        buf_printf(&b, "  - name: %s\n    regional_endpoints: enabled\n    replicas:\n",
                   k ? "fabrikam" : "contoso");
        for (size_t i = 0; i < n_world; i++)
            if (i != 1 && (!without || strcmp(world[i].stamp, without)))
                buf_printf(&b, "      - { region: %s, stamp: %s }\n", world[i].region,
                           world[i].stamp);
    }
    buf_str(&b, "identities:\n");
    for (size_t i = 0; i < n_regions; i++) {
        char key[64];
        peers_key(peers_regions[i], key);
        if (!without || strcmp(without, peers_stamps[i]))
            buf_printf(&b, "  %s: { feed_keys: [{ id: %s-feed-1, key: \"%s\" }] }\n",
                       peers_regions[i], peers_regions[i], key);
    }
    buf_str(&b, "routing: { order: [eastus");
    for (size_t i = 1; i < n_regions; i++)
        if (!without || strcmp(without, peers_stamps[i]))
            buf_printf(&b, ", %s", peers_regions[i]);
    buf_str(&b, "] }\n");
    const char *more = strchr(settings, '{');
    buf_printf(&b, "health: { %s%s\nttl: { global: %llds, private: 10s, frontend: 20s }\n",
               tcp ? "probe: tcp, " : "", more ? more + 1 : "}", (long long)ttl_s);
    if (b.err || topology_parse((const char *)b.p, b.n, "replay", &d, &t)) {
        diag_print(&d, stderr);
        fail("topology");
    }
    diag_done(&d);
    return t;
}

// --- what a client gets ---

// The last octet of the address that the name leads to, over the wire.
static unsigned ask(const char *name)
{
    uint8_t q[512], wire[DNS_NAME_MAX], out[1232];
    struct dns_writer w;
    struct answer_info info;
    struct topology *t = snapshot_get(&topology_cell);
    struct health_verdicts *v = snapshot_get(&verdicts_cell);
    struct answer_context c = {.topology = t, .health = v};
    if (ip_parse("198.51.100.9", &c.source))
        fail("ip_parse");
    size_t n = dns_name_from_text(name, wire);
    dns_writer_init(&w, q, sizeof q);
    dns_write_bytes(&w, (uint8_t[]){1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}, 12);
    dns_write_bytes(&w, wire, n);
    dns_write_u16(&w, DNS_A);
    dns_write_u16(&w, DNS_IN);
    size_t got = answer_packet(&c, q, w.n, out, sizeof out, &info);
    snapshot_unref(t);
    snapshot_unref(v);
    if (got < 4 || info.rcode)
        return 0;
    return out[got - 1]; // the chain ends in one A record
}

static bool stamp_up(size_t i)
{
    struct health_verdicts *v = snapshot_get(&verdicts_cell);
    struct topology *t = snapshot_get(&topology_cell);
    const struct region *r = topology_region(t, world[i].region);
    const struct stamp *s = r ? region_stamp(r, world[i].stamp) : NULL;
    bool up = !s || health_is_up(v, t, r->index, s->index);
    snapshot_unref(t);
    snapshot_unref(v);
    return up;
}

static void check_invariants(void)
{
    char name[64];
    struct topology *t = snapshot_get(&topology_cell);
    for (size_t i = 0; i < n_world; i++) {
        snprintf(name, sizeof name, "contoso.%s.geo.example.io", world[i].region);
        if (i != 1 && topology_region(t, world[i].region) && ask(name) != i + 1)
            fail("%s leads to 192.0.2.%u", name, ask(name));
        bool up = stamp_up(i);
        stamps[i].n_changes += up != stamps[i].was_up;
        stamps[i].was_up = up;
    }
    snapshot_unref(t);
    if (!ask("contoso.example.io"))
        fail("the global name leads nowhere");
}

// --- time ---

// One event, or the end of the time. Returns false when the time is over.
static bool step(int64_t end_ms)
{
    int64_t next = checker ? health_turn(checker) : end_ms;
    check_invariants();
    struct fetch *f = earliest();
    if (f && f->due_ms < next)
        next = f->due_ms;
    if (next > end_ms)
        next = end_ms;
    if (next > clock_mono_ms())
        clock_virtual_advance(next - clock_mono_ms());
    while ((f = earliest()) && f->due_ms <= clock_mono_ms())
        complete(f);
    return clock_mono_ms() < end_ms;
}

static void run(int64_t ms)
{
    int64_t end = clock_mono_ms() + ms;
    while (step(end))
        ;
    if (checker)
        health_turn(checker);
    check_invariants();
}

static int64_t parse_time(const char *s)
{
    char *unit = NULL;
    long n = s ? strtol(s, &unit, 10) : -1;
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}};
    for (size_t i = 0; n >= 0 && i < ARRAY_LEN(units); i++)
        if (!strcmp(unit, units[i].unit))
            return n * units[i].ms;
    fail("not a time: %s", s ? s : "(none)");
}

// --- commands ---

static char *word(char **rest)
{
    char *w = strtok_r(NULL, " ", rest);
    if (!w)
        fail("a word is missing");
    return w;
}

static void do_start(void)
{
    struct health_options o = {.topology = &topology_cell,
                               .verdicts = &verdicts_cell,
                               .ca_file = "/ca.pem",
                               .state_path = state_path};
    if (checker)
        fail("it runs already");
    for (size_t i = 0; i < n_regions; i++)
        if (resolvers[0] && !strncmp(resolvers, peers_regions[i], strlen(peers_regions[i]))) {
            peers_key(peers_regions[i], own_key);
            snprintf(own_key_id, sizeof own_key_id, "%s-feed-1", peers_regions[i]);
            o.region = peers_regions[i];
            o.stamp = peers_stamps[i];
            o.peer_pem = "/peer.pem";
            o.sign = peers_sign;
            o.sign_ctx = own_key;
            o.key_id = own_key_id;
            o.verify = peers_verify;
        }
    snapshot_publish(&topology_cell, build(NULL));
    int rc = health_new(&o, &checker);
    if (rc)
        fail("start: %s", err_text(rc));
    for (size_t i = 0; i < n_world; i++) {
        stamps[i].n_changes = stamps[i].n_probes = 0;
        stamps[i].was_up = stamp_up(i);
    }
    check_invariants(); // before the first probe
}

static void do_stop(bool crash)
{
    AUTO_BUF struct buf before;
    buf_init(&before, 1 << 20);
    int had = file_read(state_path, 1 << 20, &before);
    health_halt(checker);
    while (running)
        complete(earliest());
    health_free(checker);
    checker = NULL;
    if (crash && !had && file_write_atomic(state_path, before.p, before.n, 0600))
        fail("crash");
    if (crash && had)
        unlink(state_path);
}

static void do_stamp(char **rest)
{
    static const char *const names[] = {"good",   "refused",  "hang", "certificate",
                                        "status", "slow",     "flap", "unstartable",
                                        "short",  "disguised"};
    struct stamp_script *s = &stamps[stamp_index(word(rest))];
    const char *what = word(rest);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (!strcmp(names[i], what)) {
            s->does = (enum behaviour)i;
            s->a = i >= STATUS && i <= FLAP ? atol(word(rest)) : 0;
            s->b = i == FLAP ? atol(word(rest)) : 0;
            s->n_probes = i == FLAP ? 0 : s->n_probes;
            return;
        }
    fail("a stamp cannot %s", what);
}

static void do_state(char **rest)
{
    const char *what = word(rest);
    AUTO_BUF struct buf b;
    int rc = 0;
    buf_init(&b, 1 << 20);
    if (!strcmp(what, "removed"))
        rc = unlink(state_path);
    else if (!strcmp(what, "unwritable"))
        rc = unlink(state_path) | mkdir(state_path, 0700); // nothing can be renamed over a folder
    else if (!strcmp(what, "writable"))
        rc = rmdir(state_path);
    else if (!strcmp(what, "damaged"))
        rc = file_write_atomic(state_path, *rest, strlen(*rest), 0600);
    else if (strcmp(what, "truncated") || file_read(state_path, 1 << 20, &b) || b.n < 3)
        fail("state %s", what);
    else
        rc = file_write_atomic(state_path, b.p, b.n - 3, 0600);
    if (rc)
        fail("state %s: %d", what, rc);
}

static void do_force(char **rest)
{
    const char *region = word(rest), *how = word(rest);
    int rc = health_force(checker, region,
                          !strcmp(how, "up")     ? HEALTH_FORCE_UP
                          : !strcmp(how, "down") ? HEALTH_FORCE_DOWN
                                                 : HEALTH_AUTO,
                          "root@here");
    if (rc)
        fail("force: %s", err_text(rc));
    run(0);
}

static void do_order(enum health_exception_kind kind, char **rest)
{
    const char *region = word(rest), *label = word(rest), *on = word(rest);
    int rc = health_order(checker, kind, region, strcmp(label, "*") ? label : "", !strcmp(on, "on"),
                          "root@here");
    if (rc)
        fail("order: %s", err_text(rc));
    run(0);
}

static void do_drill(bool refused, char **rest)
{
    char id[HEALTH_DRILL_ID_SIZE];
    const char *region = word(rest), *label = word(rest);
    const struct health_drill_wanted w = {region, strcmp(label, "*") ? label : "",
                                          parse_time(word(rest)), "root@here"};
    struct diag diag;
    diag_init(&diag);
    int rc = health_drill_start(checker, &w, &diag, id);
    AUTO_FREE char *why = diag_text(&diag);
    diag_done(&diag);
    if (!rc == refused || (refused && !strstr(why, *rest)))
        fail("the drill: %s: %s", rc ? err_text(rc) : "started", why);
    run(0);
}

static void do_drill_stop(void)
{
    struct diag diag;
    diag_init(&diag);
    int rc = health_drill_stop(checker, "", NULL, "root@here", &diag);
    diag_done(&diag);
    if (rc)
        fail("no drill is stopped: %s", err_text(rc));
    run(0);
}

static void expect_drill(const char *state)
{
    json_t *list = health_drills_json(checker);
    const char *got = "none";
    if (json_array_size(list))
        got = json_string_value(json_object_get(json_array_get(list, 0), "state"));
    if (strcmp(got, state) != 0)
        fail("the latest drill is: %s", got);
    json_decref(list);
}

static void expect_left(int64_t min_ms, int64_t max_ms)
{
    json_t *list = health_drills_json(checker), *x;
    int64_t left = -1;
    size_t i;
    json_array_foreach(list, i,
                       x) if (!strcmp(json_string_value(json_object_get(x, "state")), "running"))
        left = json_integer_value(json_object_get(x, "leftMs"));
    json_decref(list);
    if (left < min_ms || left > max_ms)
        fail("%lld ms are left", (long long)left);
}

// A text member of the row of that list whose `key` is `value`.
static void expect_member(void *rows, const char *key, const char *value, const char *member,
                          const char *text)
{
    const char *got = "(no such row)";
    json_t *list = rows, *x;
    size_t i;
    json_array_foreach(list, i, x) if (!strcmp(json_string_value(json_object_get(x, key)), value))
        got = json_string_value(json_object_get(x, member));
    if (!strstr(got, text))
        fail("%s of %s is: %s", member, value, got);
    json_decref(list);
}

// The "count" of the row of that list for the stamp; borrowed.
static json_t *count_of(json_t *list, const char *stamp)
{
    size_t i;
    json_t *x, *count = NULL;
    json_array_foreach(list, i, x) if (!strcmp(json_string_value(json_object_get(x, "stamp")),
                                               stamp)) count = json_object_get(x, "count");
    if (!count)
        fail("%s has no count", stamp);
    return count;
}

static void expect_vote(const char *stamp, char **rest)
{
    const char *voter = word(rest), *says = word(rest), *bad = word(rest), *age = word(rest),
               *counted = word(rest);
    const char *standing = *rest;
    json_t *list = health_status_json(checker), *x;
    size_t i, n_counted = 0;
    bool held = false;
    json_t *count = count_of(list, stamp);
    json_array_foreach(json_object_get(count, "voters"), i, x)
    {
        n_counted += json_is_true(json_object_get(x, "counted"));
        if (strcmp(json_string_value(json_object_get(x, "voter")), voter) != 0)
            continue;
        const char *said = json_string_value(json_object_get(x, "says"));
        held = !strcmp(said ? said : "none", says) &&
               json_integer_value(json_object_get(x, "badInARow")) == atol(bad) &&
               json_integer_value(json_object_get(x, "ageMs")) <= parse_time(age) &&
               json_is_true(json_object_get(x, "counted")) == !strcmp(counted, "yes") &&
               !strcmp(json_string_value(json_object_get(x, "standing")), standing);
    }
    if (!held || (json_int_t)n_counted != json_integer_value(json_object_get(count, "up")) +
                                              json_integer_value(json_object_get(count, "down")))
        fail("the votes are %s", json_dumps(count, JSON_COMPACT));
    json_decref(list);
}

static void expect_metric(const char *want)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 1 << 20);
    health_metrics(checker, &b);
    const char *p = strstr(buf_cstr(&b), want);
    if (b.err || !p || (p != b.p && p[-1] != '\n') || p[strlen(want)] != '\n')
        fail("not among\n%s", buf_cstr(&b));
}

static json_t *explain(void)
{
    struct topology *t = snapshot_get(&topology_cell);
    struct health_verdicts *v = snapshot_get(&verdicts_cell);
    struct explain_query q = {
        .topology = t, .health = v, .checker = checker, .name = "contoso.example.io"};
    if (ip_parse("198.51.100.9", &q.client))
        fail("ip_parse");
    json_t *j = dns_explain_json(&q);
    snapshot_unref(t);
    snapshot_unref(v);
    return j;
}

static void expect_routed(const char *want)
{
    char got[256];
    size_t i;
    json_t *j = explain(), *routing = json_object_get(j, "routing"), *x;
    snprintf(got, sizeof got, "%s", json_string_value(json_object_get(routing, "mode")));
    json_array_foreach(json_object_get(routing, "regions"), i, x)
        snprintf(got + strlen(got), sizeof got - strlen(got), " %s",
                 json_string_value(json_object_get(x, "state")));
    if (strcmp(got, want) != 0)
        fail("it is routed: %s", got);
    json_decref(j);
}

static void expect_explained(const char *stamp, const char *text)
{
    json_t *j = explain();
    json_t *count = count_of(json_object_get(json_object_get(j, "routing"), "regions"), stamp);
    const char *rule = json_string_value(json_object_get(count, "rule"));
    if (!rule || !strstr(rule, text))
        fail("the rule is: %s", rule ? rule : "(none)");
    json_decref(j);
}

static void expect_order(const char *region, const char *state)
{
    json_t *list = health_orders_status_json(checker), *x;
    const char *got = "none";
    size_t i;
    json_array_foreach(list, i,
                       x) if (!strcmp(json_string_value(json_object_get(x, "region")), region) &&
                              json_is_true(json_object_get(x, "on"))) got =
        json_is_true(json_object_get(x, "safe"))            ? "safe"
        : json_array_size(json_object_get(x, "waitingFor")) ? "waiting"
                                                            : "counting";
    json_decref(list);
    if (strcmp(got, state) != 0)
        fail("the order on %s is %s", region, got);
}

static void expect_headroom(size_t i, unsigned tenths)
{
    static struct health_map map;
    struct health_verdicts *v = snapshot_get(&verdicts_cell);
    struct topology *t = snapshot_get(&topology_cell);
    const struct region *r = topology_region(t, world[i].region);
    health_map_fill(&map, v, t);
    unsigned got = health_headroom(&map, t->catalogue->regions[r->index].first_stamp +
                                             region_stamp(r, world[i].stamp)->index);
    snapshot_unref(t);
    snapshot_unref(v);
    if (got != tenths)
        fail("the headroom is %u", got);
}

static void expect_registry(const char *label, const char *region)
{
    char name[96];
    snprintf(name, sizeof name, "%s.example.io", label);
    unsigned got = ask(name);
    if (!got || got > n_world || strcmp(world[got - 1].region, region))
        fail("%s leads to 192.0.2.%u", name, got);
}

static bool parse_up(const char *s)
{
    if (strcmp(s, "up") && strcmp(s, "down"))
        fail("up or down, not %s", s);
    return !strcmp(s, "up");
}

static void expect_reason(size_t i, const char *text)
{
    json_t *list = health_status_json(checker), *x;
    size_t k;
    const char *got = "(no such target)";
    json_array_foreach(
        list, k, x) if (!strcmp(json_string_value(json_object_get(x, "stamp")), world[i].stamp))
        got = json_string_value(json_object_get(x, "reason"));
    if (!strstr(got, text))
        fail("the reason is: %s", got);
    json_decref(list);
}

static void do_expect(char **rest)
{
    const char *what = word(rest);
    if (!strcmp(what, "global")) {
        const char *region = word(rest);
        unsigned got = ask("contoso.example.io");
        if (!got || got > n_world || strcmp(world[got - 1].region, region))
            fail("the global name leads to 192.0.2.%u", got);
    } else if (!strcmp(what, "changes")) {
        const struct stamp_script *s = &stamps[stamp_index(word(rest))];
        if (s->n_changes != (unsigned)atol(word(rest)))
            fail("%u changes", s->n_changes);
    } else if (!strcmp(what, "probes")) {
        const struct stamp_script *s = &stamps[stamp_index(word(rest))];
        unsigned min = (unsigned)atol(word(rest)), max = (unsigned)atol(word(rest));
        if (s->n_probes < min || s->n_probes > max)
            fail("%u probes", s->n_probes);
    } else if (!strcmp(what, "headroom")) {
        size_t i = stamp_index(word(rest));
        expect_headroom(i, (unsigned)atol(word(rest)));
    } else if (!strcmp(what, "registry")) {
        const char *label = word(rest);
        expect_registry(label, word(rest));
    } else if (!strcmp(what, "votes")) {
        const char *stamp = world[stamp_index(word(rest))].stamp;
        expect_member(health_status_json(checker), "stamp", stamp, "votes", *rest);
    } else if (!strcmp(what, "vote")) {
        expect_vote(world[stamp_index(word(rest))].stamp, rest);
    } else if (!strcmp(what, "metric")) {
        expect_metric(*rest);
    } else if (!strcmp(what, "explained")) {
        const char *stamp = world[stamp_index(word(rest))].stamp;
        expect_explained(stamp, *rest);
    } else if (!strcmp(what, "voter")) {
        const char *region = word(rest);
        expect_member(health_peers_json(checker), "region", region, "resolver", *rest);
    } else if (!strcmp(what, "error")) {
        const char *region = word(rest);
        expect_member(health_peers_json(checker), "region", region, "error", *rest);
    } else if (!strcmp(what, "orders")) {
        const char *region = word(rest);
        expect_member(health_status_json(checker), "region", region, "orders", *rest);
    } else if (!strcmp(what, "order")) {
        const char *region = word(rest);
        expect_order(region, word(rest));
    } else if (!strcmp(what, "drill")) {
        expect_drill(*rest);
    } else if (!strcmp(what, "left")) {
        int64_t min = parse_time(word(rest));
        expect_left(min, parse_time(word(rest)));
    } else if (!strcmp(what, "routed")) {
        expect_routed(*rest);
    } else if (!strcmp(what, "reason")) {
        size_t i = stamp_index(word(rest));
        expect_reason(i, *rest);
    } else {
        bool up = parse_up(word(rest));
        if (stamp_up(stamp_index(what)) != up)
            fail("%s is %s", what, up ? "down" : "up");
    }
}

static void do_until(char **rest)
{
    size_t i = stamp_index(word(rest));
    bool up = parse_up(word(rest));
    int64_t start = clock_mono_ms(), limit = parse_time(word(rest));
    while (stamp_up(i) != up)
        if (!step(start + limit) && (health_turn(checker), stamp_up(i) != up))
            fail("still not after %lld ms", (long long)limit);
    run(0);
}

static void command(char *text)
{
    char *rest, *what = strtok_r(text, " ", &rest);
    if (!strcmp(what, "health"))
        snprintf(settings, sizeof settings, "%s", rest);
    else if (!strcmp(what, "resolvers"))
        snprintf(resolvers, sizeof resolvers, "%s", rest);
    else if (!strcmp(what, "ttl")) {
        ttl_s = parse_time(word(&rest)) / 1000;
        snapshot_publish(&topology_cell, build(NULL));
    } else if (!strcmp(what, "tcp"))
        tcp = true;
    else if (!strcmp(what, "five"))
        n_world = ARRAY_LEN(world), n_regions = PEERS_MAX;
    else if (!strcmp(what, "voter") || !strcmp(what, "deep")) {
        const char *region = word(&rest), *how = word(&rest);
        if (!(what[0] == 'v' ? peers_voter : peers_deep)(region, how, &rest))
            fail("%s of %s cannot %s", what, region, how);
    } else if (!strcmp(what, "drain") || !strcmp(what, "impair"))
        do_order(what[0] == 'd' ? HEALTH_DRAINED : HEALTH_IMPAIRED, &rest);
    else if (!strcmp(what, "drill") || !strcmp(what, "drill-refused"))
        do_drill(what[5] == '-', &rest);
    else if (!strcmp(what, "drill-stop"))
        do_drill_stop();
    else if (!strcmp(what, "start"))
        do_start();
    else if (!strcmp(what, "stop") || !strcmp(what, "crash"))
        do_stop(what[0] == 'c');
    else if (!strcmp(what, "stamp"))
        do_stamp(&rest);
    else if (!strcmp(what, "run"))
        run(parse_time(word(&rest)));
    else if (!strcmp(what, "until"))
        do_until(&rest);
    else if (!strcmp(what, "clock"))
        clock_virtual_jump_wall((rest[0] == '-' ? -1 : 1) * parse_time(rest + 1));
    else if (!strcmp(what, "state"))
        do_state(&rest);
    else if (!strcmp(what, "force"))
        do_force(&rest);
    else if (!strcmp(what, "count"))
        for (size_t i = 0; i < n_world; i++)
            stamps[i].n_probes = 0;
    else if (!strcmp(what, "topology")) {
        const char *how = word(&rest);
        snapshot_publish(&topology_cell, build(strcmp(how, "all") ? word(&rest) : NULL));
    } else if (!strcmp(what, "expect"))
        do_expect(&rest);
    else
        fail("no such command: %s", what);
}

static void clean_up(void) // also after a failure
{
    unlink(state_path);
    rmdir(state_path);
    rmdir(dir);
}

int main(int argc, char **argv)
{
    char text[1024];
    unsigned n_expects = 0;
    FILE *f = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (!f || !mkdtemp(dir)) {
        fprintf(stderr, "usage: replay FILE\n");
        return 2;
    }
    file = argv[1];
    snprintf(state_path, sizeof state_path, "%s/health.json", dir);
    atexit(clean_up);
    clock_virtual_set(1764000000000);
    snapshot_init(&topology_cell);
    snapshot_init(&verdicts_cell);
    while (fgets(text, sizeof text, f)) {
        line++;
        text[strcspn(text, "#\n")] = 0;
        for (size_t n = strlen(text); n && text[n - 1] == ' '; n--)
            text[n - 1] = 0;
        if (!text[0])
            continue;
        n_expects += !strncmp(text, "expect ", 7) || !strncmp(text, "until ", 6);
        command(text);
    }
    fclose(f);
    if (checker)
        do_stop(false);
    if (!n_expects)
        fail("a replay that expects nothing cannot fail");
    snapshot_done(&topology_cell);
    snapshot_done(&verdicts_cell);
    printf("%s: %u expectations held\n", file, n_expects);
    return 0;
}
