// SPDX-License-Identifier: Apache-2.0
// daemon/member_probes and daemon/members_heard: which addresses are asked, what counts as the right
// answer, and whose word makes a member of a private endpoint heard.
#include "base/clock_test.h"
#include "base/mem.h"
#include "daemon/member_probes.h"
#include "daemon/members.h"
#include "daemon/members_heard.h"
#include "daemon/paths.h"
#include "daemon/supervisor_ipc.h"
#include "net/fetch.h"
#include "tests/support/check_main.h"
#include "tests/support/tls_files.h"
#include "tests/support/wait_for.h"

#include <jansson.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char document[] =
    "version: 7\ndomain: example.io\nregions:\n"
    "  - { name: eastus, stamps: [{ name: s-1, ipv4: [127.77.0.1] }], peer: \"127.77.0.1:8443\" }\n"
    "  - { name: westus, stamps: [{ name: s-1, ipv4: [127.77.0.2] }], peer: \"127.77.0.2:8443\" }\n"
    "  - { name: northus, stamps: [{ name: s-1, ipv4: [127.77.0.3] }], peer: \"127.77.0.3:8443\" "
    "}\n"
    "name_servers: [s-1.eastus]\n"
    "views:\n  - { name: corp, sources: [10.0.0.0/8] }\n  - { name: lab, sources: [11.0.0.0/8] }\n"
    "registries:\n"
    "  - { name: contoso, data_endpoints: true, replicas: [{ region: eastus }, { region: westus }] "
    "}\n"
    "  - { name: fabrikam, data_endpoints: true, replicas: [{ region: westus }] }\n"
    "private_endpoints:\n"
    "  - { name: corp-pe, registry: contoso, view: corp, stage: edge, answered_by: edge, "
    "addresses: { "
    "registry: 10.4.0.4, registry_data_eastus: 10.4.0.5, registry_data_westus: 10.4.0.6 } }\n"
    // in DNS already, or nobody's affair
    "  - { name: old-pe, registry: contoso, view: lab, answered_by: edge, addresses: { registry: "
    "11.4.0.4, registry_data_eastus: 11.4.0.5, registry_data_westus: 11.4.0.6 } }\n"
    "  - { name: fab-pe, registry: fabrikam, view: corp, stage: edge, answered_by: balancer, "
    "addresses: { "
    "registry: 10.4.0.7, registry_data_westus: 10.4.0.8 } }\n"
    "  - { name: fab-none, registry: fabrikam, view: lab, stage: edge, addresses: { registry: "
    "11.4.0.7, "
    "registry_data_westus: 11.4.0.8 } }\n";

static struct snapshot cell;
static struct node node = {.region = "eastus"};
static struct app app = {.node = &node, .topology = &cell};

static struct topology *publish(const char *text)
{
    struct topology *t = NULL;
    struct diag d;
    diag_init(&d);
    if (topology_parse(text, strlen(text), "t.yaml", &d, &t))
        diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_ptr_nonnull(t);
    snapshot_publish(&cell, t);
    return snapshot_get(&cell);
}

START_TEST(those_that_wait_are_asked_their_own_first)
{
    static const struct {
        const char *here;
        // last digits of the addresses; of those without a space between them none goes first
        const char *want;
    } rows[] = {{"eastus", "5 4 678"}, {"westus", "68 47 5"}, {"northus", "45678"}};
    snapshot_init(&cell);
    struct topology *t = publish(document);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct member_probes p;
        char got[8] = "", ip[IP_TEXT_SIZE];
        node.region = rows[i].here;
        member_probes_init(&p, &app);
        ck_assert(!member_probes_any(&p));
        ck_assert_int_eq(member_probes_collect(&p), 0);
        ck_assert(member_probes_any(&p));
        const char *group = rows[i].want;
        size_t k = 0;
        for (; k < p.n; k++) {
            const char *digit = strrchr(ip_format(&p.list[k].ip, ip), '.') + 1;
            ck_assert_msg(!strncmp(ip, "10.4.0.", 7), "%s", ip);
            if (got[0] && strcspn(group, " ") == strlen(got)) {
                group += strlen(got) + 1;
                got[0] = 0;
            }
            ck_assert_msg(memchr(group, *digit, strcspn(group, " ")) != NULL, "%s: %s",
                          rows[i].here, ip);
            ck_assert_ptr_null(strchr(got, *digit));
            strcat(got, digit);
        }
        ck_assert_uint_eq(k, 5);
        json_t *list = member_probes_json(&p); // nobody was asked yet
        ck_assert(json_is_array(list) && !json_array_size(list));
        json_decref(list);
        member_probes_done(&p);
    }
    snapshot_unref(t);
    snapshot_done(&cell);
}
END_TEST

START_TEST(what_was_heard_stays_while_it_waits)
{
    struct member_probes p;
    snapshot_init(&cell);
    node.region = "eastus";
    struct topology *t = publish(document);
    member_probes_init(&p, &app);
    ck_assert_int_eq(member_probes_collect(&p), 0);
    size_t n = p.n;
    for (size_t i = 0; i < n; i++) {
        p.list[i].answer.at_ms = clock_mono_ms();
        snprintf(p.list[i].answer.region, sizeof p.list[i].answer.region, "eastus");
    }
    json_t *list = member_probes_json(&p);
    ck_assert_uint_eq(json_array_size(list), n);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "member")),
                     "registry_data_eastus");
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(list, 0), "error")), "");
    json_decref(list);
    // one has another address now: it alone was not heard
    snapshot_unref(t);
    AUTO_FREE char *text = mem_strdup(document);
    memcpy(strstr(text, "registry_data_eastus: 10.4.0.5"), "registry_data_eastus: 10.4.0.9", 30);
    t = publish(text);
    ck_assert_int_eq(member_probes_collect(&p), 0);
    ck_assert_uint_eq(p.n, n);
    list = member_probes_json(&p);
    ck_assert_uint_eq(json_array_size(list), n - 1);
    json_decref(list);
    // nobody waits: nothing is said
    snapshot_unref(t);
    for (char *at; (at = strstr(text, "stage: edge, "));)
        memset(at, ' ', 13);
    t = publish(text);
    ck_assert_int_eq(member_probes_collect(&p), 0);
    ck_assert(!member_probes_any(&p));
    ck_assert_ptr_null(member_probes_json(&p));
    member_probes_done(&p);
    snapshot_unref(t);
    snapshot_done(&cell);
}
END_TEST

// The fleet's thread asks for the report until it ends, which is after this node's probes have.
static _Atomic bool reported_enough;

static void *reports(void *ctx)
{
    while (!reported_enough)
        json_decref(member_probes_json(ctx));
    return NULL;
}

START_TEST(a_report_may_be_asked_for_while_it_ends)
{
    pthread_t thread;
    struct member_probes p;
    snapshot_init(&cell);
    node.region = "eastus";
    struct topology *t = publish(document);
    member_probes_init(&p, &app);
    ck_assert_int_eq(pthread_create(&thread, NULL, reports, &p), 0);
    for (size_t i = 0; i < 5000; i++) {
        ck_assert_int_eq(member_probes_collect(&p), 0);
        pthread_mutex_lock(&p.lock);
        for (size_t k = 0; k < p.n; k++)
            p.list[k].answer.at_ms = 1;
        pthread_mutex_unlock(&p.lock);
        member_probes_done(&p);
    }
    reported_enough = true;
    pthread_join(thread, NULL);
    ck_assert_ptr_null(member_probes_json(&p));
    snapshot_unref(t);
    snapshot_done(&cell);
}
END_TEST

// A port of this machine that takes connections and says nothing.
static int silent_port(uint16_t *out_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(fd, 1024), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    *out_port = ntohs(at.sin_port);
    return fd;
}

static size_t flying(struct member_probes *p)
{
    pthread_mutex_lock(&p->lock);
    size_t n = p->n_flying;
    pthread_mutex_unlock(&p->lock);
    return n;
}

static void *one_round(void *ctx)
{
    member_probes_round(ctx);
    return NULL;
}

// As many addresses as there may be, and none that answers: the node ends all the same, and does not
// say of those that it had no time for that they did not answer.
START_TEST(a_round_that_nobody_answers_is_stopped)
{
    pthread_t thread;
    struct member_probes p;
    uint16_t port;
    size_t n_judged = 0;
    char dir[] = "/tmp/members.XXXXXX", ca[64], key[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    tls_make_ca(dir, "ca", ca, sizeof ca); // a small one: each connection reads it
    snprintf(key, sizeof key, "%s/ca.key", dir);
    int fd = silent_port(&port);
    snapshot_init(&cell);
    node.region = "eastus";
    struct topology *t = publish(document);
    node.ca_file = ca;
    ck_assert_int_eq(fetcher_new(&app.probes), 0);
    member_probes_init(&p, &app);
    ck_assert_int_eq(member_probes_collect(&p), 0);
    p.topology->https_port = port;
    for (size_t i = 0; i < MEMBER_PROBES_MAX; i++) {
        p.list[i] = p.list[0];
        ck_assert_int_eq(ip_parse("127.0.0.1", &p.list[i].ip), 0);
    }
    p.n = MEMBER_PROBES_MAX;
    int64_t begun_ms = clock_mono_ms();
    ck_assert_int_eq(pthread_create(&thread, NULL, one_round, &p), 0);
    WAIT_FOR(flying(&p) > 0, 10000);
    member_probes_stop(&p);
    pthread_join(thread, NULL);
    bool at_once = clock_mono_ms() - begun_ms < PROBE_TIMEOUT_MS; // none had its time
    for (size_t i = 0; i < p.n; i++)
        n_judged += p.list[i].answer.at_ms != 0;
    ck_assert_uint_lt(n_judged, p.n);
    ck_assert(!at_once || !n_judged);
    member_probes_round(&p); // asks nobody any more
    for (size_t i = 0; i < p.n; i++)
        n_judged -= p.list[i].answer.at_ms != 0;
    ck_assert_uint_eq(n_judged, 0);
    member_probes_done(&p);
    fetcher_free(take_ptr(app.probes));
    node.ca_file = NULL;
    close(fd);
    unlink(ca);
    unlink(key);
    rmdir(dir);
    snapshot_unref(t);
    snapshot_done(&cell);
}
END_TEST

START_TEST(the_right_region_answers)
{
    static const struct {
        region_set regions;
        int status;
        const char *region, *error;
    } rows[] = {
        {1, 200, "eastus", ""},
        {1, 503, "eastus", ""},
        {3, 200, "westus", ""},
        {1, 200, "westus", "the wrong region answers there: westus"},
        {1, 421, "eastus", "/healthz is answered there with status 421"},
        {1, 301, "eastus", "/healthz is answered there with status 301"},
        {1, 200, "elsewhere", "what answers there is no region of this fleet"},
        {1, 200, NULL, "what answers there is no region of this fleet"},
    };
    snapshot_init(&cell);
    struct topology *t = publish(document);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct member_answer a = {.error = "old", .region = "old"};
        member_answer_judge(t, rows[i].regions, rows[i].status, rows[i].region, &a);
        ck_assert_str_eq(a.error, rows[i].error);
        ck_assert_str_ne(a.region, "old");
    }
    snapshot_unref(t);
    snapshot_done(&cell);
}
END_TEST

#define SAID(member, ip, region, age, error)                                                    \
    "{\"name\":\"corp-pe\",\"member\":\"" member "\",\"address\":\"" ip "\",\"region\":" region \
    ",\"ageMs\":" age ",\"error\":\"" error "\"}"
#define REPORT(region, age, members) \
    "{\"region\":\"" region "\",\"ageMs\":" age ",\"members\":[" members "]}"
#define GLOBAL SAID("registry", "10.4.0.4", "\"westus\"", "100", "")
#define EAST SAID("registry_data_eastus", "10.4.0.5", "\"eastus\"", "100", "")
#define WEST SAID("registry_data_westus", "10.4.0.6", "\"westus\"", "100", "")

START_TEST(a_member_is_heard_by_the_right_answer_alone)
{
    static const struct {
        const char *reports;
        size_t n;
        const char *what;
    } rows[] = {
        {"[]", 3, "10.4.0.4 (registry of corp-pe): no region has asked there yet"},
        {"[" REPORT("northus", "0", GLOBAL "," EAST "," WEST) "]", 0, ""},
        {"[" REPORT("eastus", "0", GLOBAL "," EAST) "," REPORT("westus", "1000", WEST) "]", 0, ""},
        {"[" REPORT("eastus", "0", GLOBAL "," EAST) "]", 1,
         "10.4.0.6 (registry_data_westus of corp-pe): no region has asked there yet"},
        // too long ago, the report or the asking
        {"[" REPORT("eastus", "14950", GLOBAL "," EAST "," WEST) "]", 3, "no region has asked"},
        // another address, another name
        {"[" REPORT("eastus", "0",
                    GLOBAL "," EAST
                           "," SAID("registry_data_westus", "10.4.0.7", "\"westus\"", "0", "")) "]",
         1, "10.4.0.6"},
        // nobody gets there
        {"[" REPORT("eastus", "0",
                    GLOBAL "," EAST "," SAID("registry_data_westus", "10.4.0.6", "null", "0",
                                             "refused")) "]",
         1, "10.4.0.6 (registry_data_westus of corp-pe), as region eastus hears: refused"},
        // one region cannot get there, another can
        {"[" REPORT("eastus", "0",
                    GLOBAL "," EAST "," SAID("registry_data_westus", "10.4.0.6", "null", "0",
                                             "refused")) "," REPORT("westus", "0", WEST) "]",
         0, ""},
        // its own region hears another one there, whatever others say
        {"[" REPORT("eastus", "0", GLOBAL "," EAST "," WEST) "," REPORT(
             "westus", "0",
             SAID("registry_data_westus", "10.4.0.6", "\"eastus\"", "0",
                  "the wrong region answers there: eastus")) "]",
         1,
         "10.4.0.6 (registry_data_westus of corp-pe), as region westus hears: the wrong region "
         "answers there: eastus"},
        // elsewhere that address may be something else's
        {"[" REPORT("eastus", "0", GLOBAL "," EAST "," WEST) "," REPORT(
             "northus", "0",
             SAID("registry_data_westus", "10.4.0.6", "\"northus\"", "0", "status 421")) "]",
         0, ""},
        {"[" REPORT("eastus", "0", "1,null,{},[],{\"name\":3}") ",7,null,{\"members\":{}}]", 3, ""},
    };
    snapshot_init(&cell);
    struct topology *t = publish(document);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct lifecycle_unheard out = {.n = 9};
        json_t *all = json_loads(rows[i].reports, 0, NULL);
        ck_assert_msg(all != NULL, "%s", rows[i].reports);
        members_unheard(all, t, "corp-pe", &out);
        ck_assert_msg(out.n == rows[i].n && strstr(out.what, rows[i].what), "%zu: %zu, %s", i,
                      out.n, out.what);
        // who waits for nothing, and who is not there
        members_unheard(all, t, "old-pe", &out);
        ck_assert_uint_eq(out.n, 0);
        members_unheard(all, t, "nobody", &out);
        ck_assert_uint_eq(out.n, 0);
        json_decref(all);
    }
    snapshot_unref(t);
    snapshot_done(&cell);
}
END_TEST

// What another region says goes into the record of an operation, which is JSON: a letter is not cut.
START_TEST(what_a_region_says_is_cut_between_letters)
{
    struct lifecycle_unheard out = {.n = 9};
    char text[1024];
    snapshot_init(&cell);
    struct topology *t = publish(document);
    for (size_t before = 0; before < 4; before++) {
        int n = snprintf(text, sizeof text,
                         "[{\"region\":\"eastus\",\"ageMs\":0,\"members\":[{\"name\":\"corp-pe\","
                         "\"member\":\"registry\",\"address\":\"10.4.0.4\",\"region\":null,"
                         "\"ageMs\":0,\"error\":\"%.*s",
                         (int)before, "abcd");
        for (unsigned i = 0; i < 100; i++)
            n += snprintf(text + n, sizeof text - (size_t)n,
                          "\xe2\x82\xac"
                          "");
        snprintf(text + n, sizeof text - (size_t)n, "\"}]}]");
        json_t *all = json_loads(text, 0, NULL), *said;
        ck_assert_ptr_nonnull(all);
        members_unheard(all, t, "corp-pe", &out);
        said = json_string(out.what);
        ck_assert_msg(said != NULL, "%s", out.what);
        ck_assert_ptr_nonnull(strstr(out.what, "\xe2\x82\xac\xe2\x82\xac"));
        json_decref(said);
        json_decref(all);
    }
    snapshot_unref(t);
    snapshot_done(&cell);
}
END_TEST

static bool is_due(struct members *m)
{
    pthread_mutex_lock(&m->lock);
    bool due = m->due;
    pthread_mutex_unlock(&m->lock);
    return due;
}

// The supervisor's ear is full when the edge is to be reloaded: it is told later.
START_TEST(a_reload_that_could_not_be_told_is_told_again)
{
    int ends[2];
    char dir[] = "/tmp/members.XXXXXX";
    struct paths paths = {0};
    struct members m;
    struct ipc_message got = {0};
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(paths.private_edge, sizeof paths.private_edge, "%s/private-edge", dir);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends), 0);
    const struct ipc_message alive = {.kind = IPC_ALIVE};
    while (!ipc_send(ends[0], &alive))
        continue;
    snapshot_init(&cell);
    node.region = "eastus";
    struct topology *t = publish(document);
    app.paths = &paths;
    app.ipc_fd = ends[0];
    members_init(&m, &app);
    members_wake(&m);
    ck_assert_int_eq(members_start(&m), 0);
    // it has left the file, and found that nobody hears it: that is due again
    for (int i = 0; i < 1000 && access(paths.private_edge, F_OK); i++)
        poll(NULL, 0, 10);
    ck_assert_int_eq(access(paths.private_edge, F_OK), 0);
    for (int i = 0; i < 1000 && !is_due(&m); i++)
        poll(NULL, 0, 10);
    ck_assert(is_due(&m));
    for (int i = 0; i < 1000 && got.kind != IPC_RELOAD; i++)
        if (ipc_receive(ends[1], &got))
            poll(NULL, 0, 10);
    ck_assert_int_eq(got.kind, IPC_RELOAD);
    members_stop(&m);
    unlink(paths.private_edge);
    rmdir(dir);
    close(ends[0]);
    close(ends[1]);
    snapshot_unref(t);
    snapshot_done(&cell);
}
END_TEST

CHECK_MAIN("daemon/members", those_that_wait_are_asked_their_own_first,
           what_was_heard_stays_while_it_waits, a_report_may_be_asked_for_while_it_ends,
           a_round_that_nobody_answers_is_stopped, the_right_region_answers,
           a_member_is_heard_by_the_right_answer_alone, what_a_region_says_is_cut_between_letters,
           a_reload_that_could_not_be_told_is_told_again)
