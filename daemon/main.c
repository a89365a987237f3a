// SPDX-License-Identifier: Apache-2.0
// meridiand: one region's node. Reads its settings, resolves users and paths, and hands over to the
// supervisor.
#include "base/err.h"
#include "base/log.h"
#include "config/node.h"
#include "config/principals.h"
#include "config/topology.h"
#include "control/changes_file.h"
#include "control/topology_file.h"
#include "daemon/frame_file.h"
#include "daemon/handover.h"
#include "daemon/manual.h"
#include "daemon/paths.h"
#include "daemon/preflight.h"
#include "daemon/supervisor.h"

#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_KEPT_BYTES (256u << 10) // of the last lines, for GET /v1/log
#define OPEN_FILES_MAX 65536

static const char usage[] =
    "usage: meridiand --config FILE [--check]\n"
    "\n"
    "Runs one node of a Meridian region: resolver, registry, token service and replicator behind "
    "the HTTP edge.\n"
    "\n"
    "  -c, --config FILE   the node's settings (meridiand.yaml)\n"
    "      --check         check the settings, the topology they name, and whether the users that "
    "the\n"
    "                      work runs as get at their files, then end: 0 good, 1 not\n"
    "      --sample WHAT   print a commented file with every key: WHAT is node or topology\n"
    "      --manual WHAT   print the manual page of that file, from the same rows\n"
    "  -h, --help          this text\n"
    "  -V, --version       the version\n"
    "\n"
    "SIGTERM drains and stops; SIGHUP looks at the topology and the certificates now; SIGUSR2\n"
    "restarts without a lost query. See meridiand(8).\n";

static int check_only(const struct node *n, const struct paths *p, const struct identity *id,
                      struct diag *d)
{
    struct topology *t = NULL;
    struct principals *pr = NULL;
    int rc = 0, rc2 = 0;
    // A node that follows the control feed reads the files once, when it has nothing of the feed yet.
    if (n->from == NODE_SOURCE_FEED)
        t = frame_file_topology(p->frame, id->uid);
    if (!t) {
        size_t n_changes;
        rc = topology_file_load(n->topology, d, &t);
        if (!rc)
            rc = changes_load(n->topology, d, &t, &n_changes);
        rc2 = principals_load(n->principals, d, &pr);
    }
    const struct region *r = NULL;
    if (t)
        r = topology_region(t, n->region);
    if (t && !r)
        diag_add(d, n->source, 0, "region %s is not in the topology %s", n->region, t->source);
    else if (r && !region_stamp(r, n->stamp))
        diag_add(d, n->source, 0, "stamp %s is not a stamp of region %s in %s", n->stamp, n->region,
                 t->source);
    (void)preflight_edge_program(n, d);
    (void)preflight_kernel_tls(n, d);
    int rc3 = preflight_files(n, p, id, t, d);
    if (!rc)
        rc = rc3;
    snapshot_unref(t);
    snapshot_unref(pr);
    if (rc)
        return rc;
    if (rc2)
        return rc2;
    if (diag_count(d))
        return ERR_INVAL;
    return 0;
}

// A registry holds many connections and files; the usual soft limit of 1024 is for programs that
// use select.
static void raise_open_files(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) || l.rlim_cur >= l.rlim_max || l.rlim_cur >= OPEN_FILES_MAX)
        return;
    if (l.rlim_max < OPEN_FILES_MAX)
        l.rlim_cur = l.rlim_max;
    else
        l.rlim_cur = OPEN_FILES_MAX;
    if (setrlimit(RLIMIT_NOFILE, &l))
        log_warn("daemon: the limit of open files cannot be raised from %llu",
                 (unsigned long long)l.rlim_cur);
}

// The pools have far more threads than there are cores. With an arena of malloc's for each of them,
// what they free lies scattered and is never given back.
static void arenas_limit(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    if (n < 2)
        n = 2;
    mallopt(M_ARENA_MAX, (int)n);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"sample", required_argument, NULL, 's'},
                                            {"manual", required_argument, NULL, 'm'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {0}};
    const char *config = NULL;
    bool check = false;
    for (int c; (c = getopt_long(argc, argv, "c:hV", options, NULL)) != -1;) {
        if (c == 'c')
            config = optarg;
        else if (c == 'k')
            check = true;
        else if (c == 's' || c == 'm')
            return manual_print(optarg, c == 'm');
        else if (c == 'h' || c == 'V') {
            fputs(c == 'h' ? usage : "meridiand " MERIDIAN_VERSION "\n", stdout);
            return 0;
        } else
            return 2;
    }
    if (!config || optind != argc) {
        fputs(usage, stderr);
        return 2;
    }
    arenas_limit();
    struct diag d;
    diag_init(&d);
    struct node *n = NULL;
    struct handover h = {0};
    int rc = handover_from_env(&d, &h);
    bool restart = rc == 0;
    if (!rc || rc == ERR_NOTFOUND)
        rc = node_load(config, &d, &n);
    struct paths p;
    struct identity id;
    if (!rc && restart)
        rc = handover_fits(&h, n, &d);
    if (!rc)
        rc = paths_of(n, &d, &p);
    if (!rc)
        rc = identity_of(n, &d, &id);
    if (!rc && check)
        rc = check_only(n, &p, &id, &d);
    diag_print(&d, stderr);
    diag_done(&d);
    if (rc || check) {
        if (!rc)
            printf("%s: good\n", config);
        node_free(n);
        handover_done(&h);
        if (rc)
            return 1;
        return 0;
    }
    log_setup(n->log_level, n->region);
    if (log_keep(LOG_KEPT_BYTES))
        log_warn("daemon: no memory to keep the last lines of this log in");
    umask(0027);
    raise_open_files();
    static char program[PATH_MAX];
    ssize_t n_program = readlink("/proc/self/exe", program, sizeof program - 1);
    program[n_program > 0 ? n_program : 0] = 0;
    int status = supervisor_run(&(struct supervisor_options){.node = n,
                                                             .paths = &p,
                                                             .id = &id,
                                                             .program = program,
                                                             .argv = argv,
                                                             .handover = restart ? &h : NULL});
    handover_done(&h);
    node_free(n);
    return status;
}
