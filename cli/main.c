// SPDX-License-Identifier: Apache-2.0
// meridian: the table of nouns, and the help that comes from it.
#include "cli/cli.h"

#include "base/diag.h"
#include "base/log.h"
#include "base/mem.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const struct command nouns[] = {
    {"show-endpoints", "the hostnames of a registry: global, regional, data", "-n REGISTRY",
     cmd_show_endpoints},
    {"login", "log in at a registry's endpoint, or at all of them",
     "-n REGISTRY [--endpoint REGION | --all]", cmd_login},
    {"client-config", "files that containerd, podman, CRI-O, docker and kubelet read",
     "containerd | podman | cri-o | docker | kubelet", cmd_client_config},
    {"registry", "registries of the topology", "list | show", cmd_registry},
    {"replication", "replicas, how far each is, and waiting for one",
     "list | status | wait | rebind", cmd_replication},
    {"repository", "what a registry holds: list, use, locks, deleting",
     "list | show | delete | lock | retention", cmd_repository},
    {"tag", "tags: list, history, restoring, locks, deleting",
     "list | delete | history | restore | lock", cmd_tag},
    {"manifest", "manifests, tagged or not: list, locks, deleting", "list | delete | lock",
     cmd_manifest},
    {"import", "copy repositories of another registry", "HOST[/REPOSITORY] REGISTRY", cmd_import},
    {"usage", "what registries hold, by region, and their quotas", "REGISTRY | --node", cmd_usage},
    {"audit", "who did what in a registry, newest first", "REGISTRY", cmd_audit},
    {"collect", "what nobody needs any more in a node's store", "--dry-run", cmd_collect},
    {"user", "who may log in and do what", "list | add | passwd | grant | revoke | remove",
     cmd_user},
    {"token", "named tokens: what machines log in with; tokens that were given out",
     "list | show | create | update | delete | credential | refresh | revoke", cmd_token},
    {"scope-map", "what named tokens may do", "list | show | create | update | delete",
     cmd_scope_map},
    {"certs", "certificates of a node: names, expiry, renewal", "show | renew", cmd_certs},
    {"config", "check a topology, or what a node has in force", "check", cmd_config},
    {"check-health", "DNS, TLS, challenge and token of every endpoint", "-n REGISTRY",
     cmd_check_health},
    {"topology", "check, compile, compare and change the topology",
     "check | show | compile | diff | change", cmd_topology},
    {"dns", "why a name leads where it leads; zones as files; signing keys",
     "explain | export | keys", cmd_dns},
    {"health", "a node's verdicts on the regions, and forcing one", "show | force", cmd_health},
    {"status", "what a node runs", "", cmd_status},
    {"node", "a node's program, restarted without a gap", "restart", cmd_node},
    {"identities", "fingerprints and keys of the regions; dropping old ones",
     "list | show | retire", cmd_identities},
    {"init", "make the private CA, keys and certificates of all regions",
     "--topology FILE --out DIR", cmd_init},
};

static void help(FILE *out)
{
    fputs("usage: meridian COMMAND [options]\n\n", out);
    for (size_t i = 0; i < ARRAY_LEN(nouns); i++)
        fprintf(out, "  %-15s %s\n", nouns[i].name, nouns[i].summary);
    fputs("\n`meridian COMMAND --help` tells more. Every command takes -o table or -o json.\n"
          "Exit status: 0 done, 1 failed, 2 usage, 3 not yet (timeout), 4 cannot be reached, 5 not "
          "permitted,\n"
          "6 ahead of the clock (wait).\n",
          out);
}

int main(int argc, char **argv)
{
    log_setup(LOG_WARN, "meridian");
    umask(0077);
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN},
              NULL); // a peer that closes is an error to report, not our end
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        help(stdout);
        return EXIT_DONE;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        puts("meridian " MERIDIAN_VERSION);
        return EXIT_DONE;
    }
    const char *names[ARRAY_LEN(nouns)];
    struct cli c = {.output = "table"};
    arena_init(&c.arena, 0);
    int status = -1;
    for (size_t i = 0; i < ARRAY_LEN(nouns); i++) {
        names[i] = nouns[i].name;
        if (!strcmp(argv[1], nouns[i].name))
            status = nouns[i].run(&c, argc - 1, argv + 1);
    }
    if (status < 0) {
        const char *near = diag_nearest(argv[1], names, ARRAY_LEN(names));
        status = cli_fail(EXIT_USAGE, "%s is not a command%s; `meridian --help` lists them",
                          argv[1], cli_did_you_mean(&c, near));
    }
    fetcher_free(c.fetcher);
    snapshot_unref(c.topo);
    arena_done(&c.arena);
    if (fflush(stdout) == 0)
        return status;
    return EXIT_FAILED;
}
