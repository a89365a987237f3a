// SPDX-License-Identifier: Apache-2.0
// daemon/private_edge: which addresses of private endpoints a region's edge serves, from the rows to
// the sockets; and that nothing which cannot be bound, or belongs to somebody else, is among them.
#include "daemon/private_edge.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "tests/support/check_main.h"
#include "tests/support/tls_files.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char dir[64], path[128];

static void place_make(void)
{
    strcpy(dir, "/tmp/private-edge.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/private-edge", dir);
}

#define HEAD                                                                                      \
    "version: 7\ndomain: example.io\nregions:\n"                                                  \
    "  - { name: eastus, stamps: [{ name: s-1, ipv4: [127.77.0.1], ipv6: [\"fd00::99\"] }], "     \
    "peer: \"127.77.0.1:8443\" }\n"                                                               \
    "  - { name: westus, stamps: [{ name: s-1, ipv4: [127.77.0.2] }], peer: \"127.77.0.2:8443\" " \
    "}\n"                                                                                         \
    "name_servers: [s-1.eastus]\n"                                                                \
    "views:\n  - { name: corp, sources: [127.0.0.0/8] }\n  - { name: lab, sources: [10.0.0.0/8] " \
    "}\n"                                                                                         \
    "registries:\n"                                                                               \
    "  - { name: contoso, data_endpoints: true, regional_endpoints: enabled, replicas: [{ "       \
    "region: "                                                                                    \
    "eastus }, { region: westus }] }\n"                                                           \
    "  - { name: western, replicas: [{ region: westus }] }\n"                                     \
    "  - { name: fabrikam, replicas: [{ region: eastus }] }\n"

static struct topology *topology_of(const char *rows)
{
    struct topology *t = NULL;
    AUTO_FREE char *text = mem_printf("%sprivate_endpoints:\n%s", HEAD, rows);
    struct diag d;
    diag_init(&d);
    if (topology_parse(text, strlen(text), "t.yaml", &d, &t))
        diag_print(&d, stderr);
    diag_done(&d);
    ck_assert_ptr_nonnull(t);
    return t;
}

static const char contoso[] =
    "  - { name: corp-pe, registry: contoso, view: corp, answered_by: edge, addresses: { registry: "
    "127.77.1.4, registry_data_eastus: 127.77.1.6, registry_data_westus: 127.77.1.7, "
    "registry_eastus: \"fd00::5\", registry_westus: 127.77.1.8 } }\n";

static void wrote(const char *rows, const char *region, bool changes, const char *want)
{
    bool changed = !changes;
    AUTO_BUF struct buf b;
    buf_init(&b, 0);
    struct topology *t = topology_of(rows);
    ck_assert_int_eq(private_edge_write(path, t, region, &changed), 0);
    ck_assert(changed == changes);
    ck_assert_int_eq(file_read(path, 65536, &b), 0);
    ck_assert_str_eq(buf_cstr(&b), want);
    snapshot_unref(t);
}

START_TEST(what_belongs_to_the_region_is_left)
{
    AUTO_FREE char *all = mem_printf(
        "%s%s", contoso,
        "  - { name: west-pe, registry: western, view: corp, answered_by: edge, addresses: { "
        "registry: "
        "127.77.1.9 } }\n"
        // at the edge alone: the edge serves it, too
        "  - { name: fab-pe, registry: fabrikam, view: corp, stage: edge, answered_by: edge, "
        "addresses: { "
        "registry: [127.77.1.5, 127.77.1.3] } }\n"
        "  - { name: lb-pe, registry: fabrikam, view: lab, answered_by: balancer, addresses: { "
        "registry: 10.0.0.1 } }\n");
    place_make();
    static const char want[] = "127.77.1.3 fab-pe fabrikam\n127.77.1.4 corp-pe contoso\n"
                               "127.77.1.5 fab-pe fabrikam\n127.77.1.6 corp-pe contoso\n"
                               "fd00::5 corp-pe contoso\n"; // IPv4 is sorted by its mapped form
    wrote(all, "eastus", true, want);
    wrote(all, "eastus", false, want);
    wrote(all, "westus", true,
          "127.77.1.4 corp-pe contoso\n127.77.1.7 corp-pe contoso\n127.77.1.8 corp-pe contoso\n"
          "127.77.1.9 west-pe western\n");
    wrote("  - { name: n, registry: contoso, view: corp, addresses: { registry: 127.77.1.4, "
          "registry_data_eastus: 127.77.1.6, registry_data_westus: 127.77.1.7, registry_eastus: "
          "127.77.1.5, registry_westus: 127.77.1.8 } }\n",
          "eastus", true, "");
    dir_remove_tree(dir);
}
END_TEST

static void put(const char *text)
{
    ck_assert_int_eq(file_write_atomic(path, text, strlen(text), 0600), 0);
}

START_TEST(what_is_no_list_changes_nothing)
{
    static const char *const bad[] = {
        "x",
        "\n127.0.0.1\n",
        "127.0.0.1 corp-pe\n",
        "127.0.0.1 corp-pe contoso more\n",
        "127.0.0.1 corp-pe contoso",
        "127.0.0.300 corp-pe contoso\n",
        "127.0.0.1 Corp contoso\n",
        "127.0.0.1 corp;pe contoso\n",
        "127.0.0.1 corp-pe con/toso\n",
        "127.0.0.2 a b\n127.0.0.1 a b\n",
    };
    struct private_edge p = {0};
    place_make();
    ck_assert_int_eq(private_edge_load(&p, path, geteuid()), ERR_NOTFOUND);
    put("127.77.1.4 corp-pe contoso\n");
    ck_assert_int_eq(private_edge_load(&p, path, geteuid()), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        put(bad[i]);
        ck_assert_msg(private_edge_load(&p, path, geteuid()) == ERR_INVAL, "%s", bad[i]);
        ck_assert_uint_eq(p.n_rows, 1);
        ck_assert_str_eq(p.rows[0].label, "contoso");
    }
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    ck_assert_int_ne(private_edge_load(&p, path, geteuid()), 0);
    ck_assert_uint_eq(p.n_rows, 1);
    ck_assert_int_eq(unlink(path), 0);
    put("");
    ck_assert_int_eq(private_edge_load(&p, path, geteuid()), 0);
    ck_assert_uint_eq(p.n_rows, 0);
    private_edge_done(&p);
    dir_remove_tree(dir);
}
END_TEST

// ---- what is served ----

static struct endpoint https[2];
static struct node node = {.region = "eastus", .https = https, .n_https = 1};
static struct ip machine[8];
static size_t n_machine;
static struct private_edge_where where;
// the edge's configuration; how often it was read
static const char *conf_now;
static unsigned n_reads;

static int conf_read(void *ctx, struct buf *out)
{
    (void)ctx;
    n_reads++;
    if (!conf_now)
        return ERR_IO;
    buf_str(out, conf_now);
    return out->err;
}

static struct ip ip(const char *text)
{
    struct ip out;
    ck_assert_int_eq(ip_parse(text, &out), 0);
    return out;
}

static void world(const char *rows, uint16_t port, const char *listener)
{
    struct topology *t = topology_of("  []\n");
    t->https_port = port;
    https[0] = (struct endpoint){ip(listener), port};
    node.n_https = 1, node.n_https_proxied = 0;
    node.peer = (struct endpoint){ip("127.77.0.1"), 1};
    node.admin = (struct endpoint){0};
    where = (struct private_edge_where){
        .node = &node, .topology = t, .machine = machine, .n_machine = n_machine};
    place_make();
    put(rows);
}

static void has(const char *const *texts, size_t n)
{
    n_machine = n;
    for (size_t i = 0; i < n; i++) // in their order already
        machine[i] = ip(texts[i]);
    where.n_machine = n;
}

static void world_end(struct private_edge *p)
{
    snapshot_unref((struct topology *)(uintptr_t)where.topology);
    private_edge_done(p);
    dir_remove_tree(dir);
}

START_TEST(the_machines_own_are_served)
{
    struct private_edge p = {0};
    static const char *const mine[] = {"127.0.0.1", "127.77.1.4", "fd00::5"};
    world("127.77.1.4 corp-pe contoso\n127.77.1.6 corp-pe contoso\nfd00::5 lab-pe fabrikam\n",
          20443, "0.0.0.0");
    has(mine, 1);
    ck_assert_int_eq(private_edge_load(&p, path, geteuid()), 0);
    private_edge_look(&p, &where);
    ck_assert_uint_eq(p.n_served, 0);
    ck_assert_str_eq(p.why, "");
    has(mine, 2);
    ck_assert(private_edge_look(&p, &where));
    ck_assert(!private_edge_look(&p, &where)); // nothing new
    ck_assert_uint_eq(p.n_served, 1);
    ck_assert_str_eq(p.served[0].endpoint, "corp-pe");
    ck_assert_str_eq(p.served[0].label, "contoso");
    ck_assert_uint_eq(p.port, 20443);
    ck_assert(!p.served[0].listens); // the wildcard listener has it
    // of IPv6 nothing listens: a socket of its own, if it can be had
    has(mine, 3);
    private_edge_look(&p, &where);
    ck_assert_uint_eq(p.n_served, 1); // the machine has no such address by now
    ck_assert_str_eq(p.why, "");
    has(mine, 1); // gone again
    ck_assert(private_edge_look(&p, &where));
    ck_assert_uint_eq(p.n_served, 0);
    world_end(&p);
}
END_TEST

START_TEST(what_cannot_be_bound_is_named_and_left_out)
{
    struct private_edge p = {0};
    static const char *const mine[] = {"127.77.1.4", "127.77.1.6"};
    uint16_t port = tls_free_port();
    world("127.77.1.4 corp-pe contoso\n127.77.1.6 corp-pe contoso\n", port, "127.0.0.1");
    has(mine, 2);
    struct endpoint taken = {ip("127.77.1.6"), port};
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(&taken, &sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, n), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(private_edge_load(&p, path, geteuid()), 0);
    ck_assert(private_edge_look(&p, &where));
    ck_assert_uint_eq(p.n_served, 1);
    ck_assert(p.served[0].listens);
    ck_assert_ptr_nonnull(strstr(p.why, "127.77.1.6 of private endpoint corp-pe: another program"));
    // nginx has it: the socket is our own
    AUTO_FREE char *conf = mem_printf("…\n    listen 127.77.1.6:%u ssl http2;\n", port);
    conf_now = conf;
    where.conf = conf_read;
    ck_assert(private_edge_look(&p, &where));
    ck_assert_uint_eq(p.n_served, 2);
    ck_assert_str_eq(p.why, "");
    where.conf = NULL; // it does not run
    ck_assert(private_edge_look(&p, &where));
    close(fd);
    ck_assert(private_edge_look(&p, &where));
    ck_assert_uint_eq(p.n_served, 2);
    ck_assert_str_eq(p.why, "");
    // beside a wildcard listener for balancers nginx makes one socket of both
    https[1] = (struct endpoint){ip("0.0.0.0"), port};
    node.https_proxied = &https[1], node.n_https_proxied = 1;
    private_edge_look(&p, &where);
    ck_assert_uint_eq(p.n_served, 2);
    ck_assert(p.served[0].listens);
    world_end(&p);
}
END_TEST

// The supervisor looks every two seconds, and has one thread: a configuration may be large.
START_TEST(the_configuration_is_read_once_and_where_it_is_needed)
{
    struct private_edge p = {0};
    static const char *const mine[] = {"127.77.1.4", "127.77.1.6"};
    uint16_t port = tls_free_port();
    world("127.77.1.4 corp-pe contoso\n127.77.1.6 corp-pe contoso\n", port, "0.0.0.0");
    AUTO_FREE char *conf =
        mem_printf("    listen unix:/run/x ssl;\n    listen 127.77.1.60:%u ssl;\n    listen "
                   "127.77.1.6:%u;\n    listen [fd00::5]:%u ssl http2;\n    listen",
                   port, port, port);
    AUTO_FREE char *next = mem_printf("%s 127.77.1.6:%u ssl;\n", conf, port);
    conf_now = conf;
    where.conf = conf_read;
    n_reads = 0;
    ck_assert_int_eq(private_edge_load(&p, path, geteuid()), 0);
    has(mine, 0);
    private_edge_look(&p, &where);
    ck_assert_uint_eq(n_reads, 0); // the machine has none of the addresses
    has(mine, 2);
    private_edge_look(&p, &where);
    ck_assert_uint_eq(n_reads, 0); // the wildcard listener has them
    ck_assert_uint_eq(p.n_served, 2);
    https[0].ip = ip("127.0.0.1");
    struct endpoint taken = {ip("127.77.1.6"), port};
    struct sockaddr_storage sa;
    socklen_t n = endpoint_to_sockaddr(&taken, &sa);
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&sa, n), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    conf_now = NULL; // it cannot be read just now: the next look tries
    private_edge_look(&p, &where);
    ck_assert_uint_eq(n_reads, 1);
    conf_now = conf;
    for (int i = 0; i < 5; i++)
        private_edge_look(&p, &where);
    ck_assert_uint_eq(n_reads, 2);
    ck_assert_uint_eq(p.n_served, 1); // no line of it has that socket with TLS
    ck_assert_int_eq(private_edge_load(&p, path, geteuid()), 0);
    private_edge_look(&p, &where);
    ck_assert_uint_eq(n_reads, 2);
    conf_now = next;
    private_edge_applied(&p);
    for (int i = 0; i < 5; i++)
        private_edge_look(&p, &where);
    ck_assert_uint_eq(n_reads, 3);
    ck_assert_uint_eq(p.n_served, 2);
    world_end(&p);
}
END_TEST

static void refused(const char *rows, const char *why)
{
    struct private_edge p = {0};
    put(rows);
    ck_assert_int_eq(private_edge_load(&p, path, geteuid()), 0);
    private_edge_look(&p, &where);
    ck_assert_msg(p.n_served == 0 && strstr(p.why, why), "%s: %zu, %s", rows, p.n_served, p.why);
    private_edge_done(&p);
}

START_TEST(what_is_somebody_elses_is_not_taken)
{
    struct private_edge p = {0};
    static const char *const mine[] = {"127.77.0.1", "127.77.1.4", "fd00::99"};
    world("", 443, "0.0.0.0");
    has(mine, 3);
    refused("127.77.0.1 corp-pe contoso\n", "the region itself is at that address");
    refused("fd00::99 corp-pe contoso\n", "the region itself is at that address");
    refused("127.77.1.4 corp-pe contoso\n127.77.1.4 lab-pe fabrikam\n",
            "has the same address here: give the machine one of them only; and 1 more");
    node.peer = (struct endpoint){ip("0.0.0.0"), 443};
    refused("127.77.1.4 corp-pe contoso\n", "the region itself is at that address");
    node.peer = (struct endpoint){ip("0.0.0.0"), 8443};
    node.admin = (struct endpoint){ip("127.77.1.4"), 443};
    refused("127.77.1.4 corp-pe contoso\n", "the region itself is at that address");
    node.admin.port = 0;
    https[0] = (struct endpoint){ip("127.77.1.4"), 443};
    refused("127.77.1.4 corp-pe contoso\n", "the region itself is at that address");
    // a document's port is not bound on trust
    ((struct topology *)(uintptr_t)where.topology)->https_port = 22;
    refused("127.77.1.4 corp-pe contoso\n", "no listener of listen.https has port 22");
    world_end(&p);
}
END_TEST

START_TEST(a_machines_addresses_are_found)
{
    struct ip *list;
    size_t n;
    bool found = false;
    ck_assert_int_eq(private_edge_machine(&list, &n), 0);
    struct ip loopback = ip("127.0.0.1");
    for (size_t i = 0; i < n; i++) {
        found = found || ip_equal(&list[i], &loopback);
        ck_assert(!i || memcmp(&list[i - 1], &list[i], sizeof *list) <= 0);
    }
    ck_assert(found);
    free(list);
}
END_TEST

CHECK_MAIN("daemon/private_edge", what_belongs_to_the_region_is_left,
           what_is_no_list_changes_nothing, the_machines_own_are_served,
           what_cannot_be_bound_is_named_and_left_out,
           the_configuration_is_read_once_and_where_it_is_needed,
           what_is_somebody_elses_is_not_taken, a_machines_addresses_are_found)
