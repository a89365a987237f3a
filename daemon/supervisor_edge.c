// SPDX-License-Identifier: Apache-2.0
// The supervisor's part in the edge: what it is configured by, what its processes may do, and when
// it is started and reloaded; see supervisor.h. On the supervisor's only thread.
#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "control/topology_file.h"
#include "daemon/frame_file.h"
#include "daemon/sandbox.h"
#include "daemon/supervisor_priv.h"
#include "registry/oci_error.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define RELOAD_EVERY_MS 1000  // however often the worker asks
#define RELOAD_RETRY_MS 5000  // of what the disk had no room for
#define PRIVATE_EVERY_MS 2000 // addresses come to a machine, and go

static int read_source(struct supervisor *s, const char *path, struct buf *out)
{
    if (s->node->from == NODE_SOURCE_FEED)
        return frame_file_read(path, s->id->uid, out);
    return file_read(path, TOPOLOGY_MAX_BYTES, out);
}

// The operator's file, or what the worker has of the control feed, when it is good; else the last good
// one, of which root keeps a copy of its own.
static struct topology *read_topology(struct supervisor *s)
{
    struct topology *t = NULL;
    const char *path = s->node->topology;
    if (s->node->from == NODE_SOURCE_FEED)
        path = s->paths->frame;
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    int rc = read_source(s, path, &text);
    if (!rc) // the worker says why a bad edit is refused
        rc = topology_file_parse(TOPOLOGY_COMPACT, buf_cstr(&text), text.n, path, NULL, &t);
    if (rc) {
        topology_file_load(s->paths->edge_topology, NULL, &t);
        return t;
    }
    if (!s->topology || s->unkept ||
        memcmp(s->topology->content_hash, t->content_hash, sizeof t->content_hash) != 0) {
        static struct log_limit limit = LOG_LIMIT(60000);
        rc = file_write_atomic(s->paths->edge_topology, buf_cstr(&text), text.n, 0600);
        s->unkept = rc;
        if (rc)
            log_limited(&limit, LOG_WARN, "daemon: %s: the last good topology cannot be kept: %s",
                        s->paths->edge_topology, err_text(rc));
    }
    return t;
}

static void load_topology(struct supervisor *s)
{
    struct topology *t = read_topology(s);
    if (!t)
        return;
    struct edge_peer *peers = mem_zalloc_array(t->n_regions, sizeof *peers);
    if (!peers) {
        snapshot_unref(t);
        return;
    }
    snapshot_unref(s->topology);
    free(s->peers);
    s->topology = t;
    s->peers = peers;
}

// In the process that reads what nginx says: the daemon's user and none of its groups, for it opens
// nothing but the access log, which is that user's.
static int become_log(const void *ctx)
{
    const struct supervisor *s = ctx;
    const struct identity *id = s->id;
    if (geteuid() == 0)
        sandbox_drop_bounding();
    if (id->switches && (setgroups(0, NULL) || setgid(id->gid) || setuid(id->uid)))
        return err_from_errno(errno);
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); // the change of user cleared it
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return 0;
}

static int confine_log(const void *ctx)
{
    const struct supervisor *s = ctx;
    struct diag d;
    diag_init(&d);
    int rc = 0;
    if (s->node->sandbox == SANDBOX_STRICT)
        rc = sandbox_log(&d);
    supervisor_log_diag(&d);
    diag_done(&d);
    return rc;
}

static int confine_nginx(const void *ctx)
{
    const struct supervisor *s = ctx;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return err_from_errno(errno);
    if (s->node->sandbox == SANDBOX_STRICT)
        return sandbox_nginx();
    return 0;
}

struct edge_confine supervisor_edge_confine(const struct supervisor *s)
{
    return (struct edge_confine){
        .nginx = confine_nginx, .log_user = become_log, .log = confine_log, .ctx = s};
}

static struct edge_config edge_config_of(struct supervisor *s)
{
    const struct node *n = s->node;
    size_t n_peers = 0;
    for (size_t i = 0; i < s->topology->n_regions; i++) {
        const struct region *r = &s->topology->regions[i];
        if (strcmp(r->name, n->region) != 0)
            s->peers[n_peers++] = (struct edge_peer){r->name};
    }
    const struct group *group = NULL;
    if (s->id->switches)
        group = getgrgid(s->id->edge_gid);
    static char blobs[600];
    snprintf(blobs, sizeof blobs, "%s/blobs", s->paths->store);
    return (struct edge_config){.nginx = n->nginx,
                                .runtime_dir = s->paths->edge_dir,
                                .public_socket = s->paths->public_sock,
                                .peer_socket = s->paths->peer_sock,
                                .tunnel_socket = s->paths->tunnel_sock,
                                .admin_socket = s->paths->operator_sock,
                                .blob_dir = blobs,
                                .words = &oci_words,
                                .domain = s->topology->domain,
                                .region = n->region,
                                .stamp = n->stamp,
                                .https = n->https,
                                .n_https = n->n_https,
                                .https_proxied = n->https_proxied,
                                .n_https_proxied = n->n_https_proxied,
                                .proxies = n->edge_proxies,
                                .n_proxies = n->n_edge_proxies,
                                .http2 = n->edge_http2,
                                .ktls = n->edge_ktls,
                                .disk_threads = n->edge_disk_threads,
                                .peer = n->peer,
                                .admin = n->admin,
                                .region_pem = s->paths->region_pem,
                                .shared_pem = s->paths->shared_pem,
                                .peer_pem = s->paths->peer_pem,
                                .ca_pem = s->paths->ca_pem,
                                .pem_owner = s->id->uid,
                                .user = s->id->switches ? n->edge_user : NULL,
                                .group = group ? group->gr_name : NULL,
                                .worker_uid = s->id->edge_uid,
                                .confine = supervisor_edge_confine(s),
                                .n_workers = n->edge_workers,
                                .per_client = n->edge_per_client,
                                .per_network = n->edge_per_network,
                                .privates = s->private.served,
                                .n_privates = s->private.n_served,
                                .private_port = s->private.port,
                                .peers = s->peers,
                                .n_peers = n_peers,
                                .access = n->access_requests,
                                .access_file = n->access_file,
                                .access_max_bytes = n->access_max_bytes};
}

// ---- addresses of private endpoints ----

static int conf_read(void *ctx, struct buf *out)
{
    const struct supervisor *s = ctx;
    char path[600];
    snprintf(path, sizeof path, "%s/nginx.conf", s->paths->edge_dir);
    return file_read(path, FRAME_FILE_MAX_BYTES, out);
}

// True: what the edge is to serve has changed.
static bool private_look(struct supervisor *s)
{
    struct edge_status now = {0};
    struct ip *machine = NULL;
    size_t n = 0;
    s->private_ms = clock_mono_ms() + PRIVATE_EVERY_MS;
    if (!s->topology || private_edge_machine(&machine, &n))
        return false;
    if (s->edge)
        edge_status(s->edge, &now);
    bool known = s->edge && now.state == EDGE_RUNNING;
    const struct private_edge_where w = {.node = s->node,
                                         .topology = s->topology,
                                         .conf = known ? conf_read : NULL,
                                         .ctx = s,
                                         .machine = machine,
                                         .n_machine = n};
    bool changed = private_edge_look(&s->private, &w);
    free(machine);
    return changed;
}

static void private_load(struct supervisor *s)
{
    static struct log_limit limit = LOG_LIMIT(60000);
    int rc = private_edge_load(&s->private, s->paths->private_edge, s->id->uid);
    if (rc && rc != ERR_NOTFOUND) // a worker of an earlier release leaves none
        log_limited(&limit, LOG_WARN,
                    "edge: %s: it cannot be read, the addresses of private endpoints stay: %s",
                    s->paths->private_edge, err_text(rc));
    (void)private_look(s);
}

static void private_turn(struct supervisor *s)
{
    if (s->private.n_rows && clock_mono_ms() >= s->private_ms && private_look(s))
        s->reload_due = true;
    if (strcmp(s->private.why, s->private_told) == 0)
        return;
    struct ipc_message m = {.kind = IPC_PRIVATE};
    snprintf(m.edge.last_error, sizeof m.edge.last_error, "%s", s->private.why);
    if (!ipc_send(s->ipc_fd, &m))
        memcpy(s->private_told, s->private.why, sizeof s->private_told);
}

// ---- the edge ----

void supervisor_edge_apply(struct supervisor *s)
{
    s->reload_due = false;
    load_topology(s);
    if (!s->topology)
        return;
    private_load(s);
    struct edge_config c = edge_config_of(s);
    struct diag d;
    diag_init(&d);
    if (s->edge) {
        int rc = edge_reload(s->edge, &c, &d);
        if (rc == ERR_NOSPACE)
            log_error("edge: the new configuration cannot be written; the old one stays in force, "
                      "next try in %d s",
                      RELOAD_RETRY_MS / 1000);
        else if (rc)
            log_error("edge: the new configuration was refused; the old one stays in force");
        s->reload_due = rc == ERR_NOSPACE;
    } else if (edge_start(&c, &d, &s->edge)) {
        s->edge_try_ms = clock_mono_ms() + 2000;
        log_error("edge: cannot start; trying again in 2 s");
        if (d.n && strcmp(s->told.last_error, d.lines[0]) != 0) {
            struct ipc_message m = {.kind = IPC_EDGE, .edge = {.state = EDGE_BACKOFF}};
            snprintf(m.edge.last_error, sizeof m.edge.last_error, "%s", d.lines[0]);
            if (!ipc_send(s->ipc_fd, &m))
                s->told = m.edge;
        }
    }
    private_edge_applied(&s->private);
    supervisor_log_diag(&d);
    diag_done(&d);
}

static bool edge_status_same(const struct edge_status *a, const struct edge_status *b)
{
    if (a->state != b->state || a->pid != b->pid || a->n_restarts != b->n_restarts)
        return false;
    return a->next_try_ms == b->next_try_ms && strcmp(a->last_error, b->last_error) == 0;
}

void supervisor_edge_turn(struct supervisor *s)
{
    if (!s->edge_wanted || !s->edge_due)
        return;
    if (s->unkept && clock_mono_ms() >= s->keep_ms) {
        snapshot_unref(read_topology(s)); // writes it as well
        s->keep_ms = clock_mono_ms() + RELOAD_RETRY_MS;
    }
    if (!s->edge) {
        if (clock_mono_ms() >= s->edge_try_ms)
            supervisor_edge_apply(s);
        return;
    }
    if (s->edge_frozen)
        s->reload_due = false;
    if (s->reload_due && clock_mono_ms() >= s->reload_ms) {
        supervisor_edge_apply(s);
        s->reload_ms = clock_mono_ms() + (s->reload_due ? RELOAD_RETRY_MS : RELOAD_EVERY_MS);
    }
    private_turn(s);
    edge_tick(s->edge);
    struct edge_status now = {0};
    edge_status(s->edge, &now);
    if (edge_status_same(&now, &s->told))
        return;
    struct ipc_message m = {.kind = IPC_EDGE, .edge = now};
    if (!ipc_send(s->ipc_fd, &m))
        s->told = now;
}
