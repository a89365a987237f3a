// SPDX-License-Identifier: Apache-2.0
// What the commands of `meridian` share: one file per noun, each a row of cli/nouns.c; the frame of
// rows and options is cli/command.h, exit statuses are cli/exit.h, and how answers are printed is
// cli/print.h.
//
// Everything the CLI knows of regions it takes from the topology: it dials their addresses and
// verifies their names, so it needs no DNS. Single-threaded.
#ifndef MERIDIAN_CLI_CLI_H
#define MERIDIAN_CLI_CLI_H

#include "base/arena.h"
#include "base/bytes.h"
#include "cli/command.h"
#include "cli/exit.h"
#include "config/topology.h"
#include "net/fetch.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct cli { // shared options, set by opt_parse, with defaults from the environment
    // the table of nouns
    const struct command *nouns;
    size_t n_nouns;
    // the row that runs, and the words that lead to it: "token credential generate"
    const struct command *row;
    const char *path;
    // rows are collected, nothing is done (cli/declared.h)
    struct declared *declared;
    // -o, MERIDIAN_OUTPUT: table|json|jsonc|yaml|tsv
    const char *output;
    // --query
    const char *query;
    // --topology, MERIDIAN_TOPOLOGY, /etc/meridian/topology.yaml
    const char *topology;
    // --admin, MERIDIAN_ADMIN, /var/lib/meridian/run/admin.sock
    const char *admin;
    // --ca, MERIDIAN_CA, CLI_NODE_CA where that is; NULL: the system's
    const char *ca;
    // -u, MERIDIAN_USERNAME
    const char *username;
    // --password-file, MERIDIAN_PASSWORD_FILE
    const char *password_file;
    // --password-stdin
    bool password_stdin;
    // --server, MERIDIAN_SERVER: a node's admin listener, in the place of its admin socket
    const char *server;
    // what it leads to, once it was looked at (cli/server.h)
    struct cli_server *at_server;
    // --token-name, --token-file: who to be there
    const char *token_name, *token_file;
    // --operator, MERIDIAN_OPERATOR; --key, MERIDIAN_OPERATOR_KEY: who signs a change; --fleet,
    // MERIDIAN_FLEET: for which fleet, where no node and no topology file says it
    const char *operator_name, *key, *fleet;
    // --if-version; 0: any
    int64_t if_version;
    // --timeout of a change
    const char *change_timeout;
    // --what-if, --no-wait, --yes
    bool what_if, no_wait, quorum, yes;
    // cli_tell; NULL: nothing
    json_t *told;
    // lives as long as the process
    struct arena arena;
    // cli_topology, cli_topology_in_force
    struct topology *topo;
    // it came from a node, which is asked for states, too
    bool from_node;
    // edit_begin: its text; NULL: a file is edited
    const char *document;
    struct fetcher *fetcher;
    // cli_ask_token and cli_node_fetch say nothing: whoever set it shows `why` itself
    bool quiet;
    // how long cli_ask_token waits; 0: 20 s
    uint32_t token_ms;
    // why the last token or the last answer of the node did not come
    const char *why;
    // of cli_node_fetch; 0: as many as a topology may have
    size_t answer_max_bytes;
    // cli_region_orders: what the node says; asked once
    json_t *orders;
    bool asked_orders;
    // cli_endpoint_fetch dials this in the region's stead; NULL: its first stamp
    const struct ip *dial_ip;
};

// --- what commands share ---
// "meridian: …" on stderr.
void cli_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
// The same, and the value is `status`.
#define cli_fail(status, ...) (cli_complain(__VA_ARGS__), (status))
#define CLI_DEFAULT_TOPOLOGY "/etc/meridian/topology.yaml"
// The private CA of a node that fleet create or join has made here.
#define CLI_NODE_CA "/var/lib/meridian/certs/ca.pem"
// The file of --topology with its changes: for who edits it. Loads once; exit status (0 done).
int cli_topology(struct cli *c);
// What is in force: as the node of --server or of the admin socket says, unless a file was named or
// there is no socket; then the file. Loads once; exit status.
int cli_topology_in_force(struct cli *c);
// As the node says, whatever was loaded before.
int cli_topology_of_node(struct cli *c);
// NULL after saying what is wrong
const struct registry *cli_registry(struct cli *c, const char *name);
// The one that its option names, or else the first word after the command.
const struct registry *cli_registry_given(struct cli *c, const char *name, int argc, char **argv);
const struct region *cli_region(struct cli *c, const char *name);
// The home stamp of a replica as tables show it: "eus-1", and what it moves to: "eus-1 (eus-11 from
// 2026-…Z)". Arena.
const char *cli_home_stamp(struct cli *c, const struct registry *r, const struct replica *rep);
// {"homeStamp": where names lead now} and, of one that moves, "movesTo" and "movesAt" added to `o`.
void cli_home_stamp_json(struct cli *c, json_t *o, const struct registry *r,
                         const struct replica *rep);
bool cli_json(const struct cli *c);
// As -o and --query want it. Takes the reference.
int cli_print_json(struct cli *c, json_t *doc);
// What a command has done: the sentence, or where -o or --query ask for it, `doc` (taken).
int cli_done(struct cli *c, json_t *doc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
// One of several things that a command did: the sentence, at once; where -o or --query ask for
// another form, `doc` (taken) is kept for the list that cli_told prints at the end.
void cli_tell(struct cli *c, json_t *doc, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int cli_told(struct cli *c); // main calls it; nothing where nothing was told
// A table of an array of objects: `columns` names members; the head is the same words. Takes the
// reference.
int cli_print_array(struct cli *c, json_t *doc, const char *const *columns, size_t n_columns);
// The same, or, where -o or --query ask for another form, the array so.
int cli_print_rows(struct cli *c, json_t *doc, const char *const *columns, size_t n_columns);
// The votes behind the verdicts on these targets, those that have any (borrowed), as a table of
// their own.
int cli_print_votes(struct cli *c, json_t *targets);
// Columns padded to their widest cell; the first row is the head, printed in upper case.
void cli_table(const char *const *cells, size_t n_rows, size_t n_cols);
// One call of a node, at its admin socket or with --server at its admin listener: *out_doc is the
// parsed answer. Says what is wrong.
int cli_admin(struct cli *c, const char *method, const char *path_and_query, json_t **out_doc);
// The same for any method, body and answer. 0 with an answer of any HTTP status (its owner calls
// fetch_result_done), or an exit status, said (unless c->quiet).
int cli_node_fetch(struct cli *c, const char *method, const char *path_and_query, struct bytes body,
                   uint32_t timeout_ms, struct fetch_result *out);
// An answer that is an error, said as "registry delete: SENTENCE (CODE)"; the exit status that its
// code or HTTP status stands for.
int cli_node_refused(struct cli *c, const struct fetch_result *r);
// The socket or address that cli_node_fetch calls.
const char *cli_node_name(const struct cli *c);
int cli_want_fetcher(struct cli *c); // an exit status, said
// What is dialled for a region.
struct endpoint cli_region_endpoint(const struct cli *c, const struct region *region);
// One request to an endpoint of a registry: dials the region's stamp, verifies the host's name.
int cli_endpoint_fetch(struct cli *c, const char *host, const struct region *region,
                       const char *method, const char *path_and_query, const char *const *headers,
                       size_t n_headers, struct bytes body, const char *user, const char *password,
                       uint32_t timeout_ms, struct fetch_result *out);
// The user's password: --password-stdin, --password-file, or asked on the terminal. Heap; NULL
// after saying why.
char *cli_password(struct cli *c);
// One member ("access_token", "refresh_token") of the token endpoint's answer to `query`. Heap;
// NULL after saying why, with the exit status in *out_status.
char *cli_ask_token(struct cli *c, const struct registry *r, const char *host,
                    const struct region *region, const char *password, const char *query,
                    const char *member, int *out_status);
// An access token for `scope` at an endpoint. Heap; NULL after saying why (with the exit status in
// *out_status).
char *cli_token(struct cli *c, const struct registry *r, const char *host,
                const struct region *region, const char *scope, int *out_status);
// What keeps a replica from taking its clients of the global name, or makes it: "drained in the
// topology", and what operators have ordered: `told` by its region, or (NULL) as the node says
// whose admin socket is here, if there is one. "" nothing. Arena.
const char *cli_region_orders(struct cli *c, const struct registry *r, const struct replica *rep,
                              const char *told);
// What was ordered for a whole region, as the node says whose admin socket is here; "" nothing. Arena.
const char *cli_stamp_orders(struct cli *c, const char *region);
// A host as clients must name it: with the topology's public port (https_port) unless that is 443.
// Arena.
const char *cli_public_host(struct cli *c, const char *host);
char *cli_urlencode(struct cli *c, const char *s); // arena
// An answer that is an error, in a sentence: "HTTP 503: this region takes no writes now (request
// 0a1b…)". Arena.
const char *cli_refusal(struct cli *c, const struct fetch_result *res);

// --- the nouns ---
int cmd_init(struct cli *c, int argc, char **argv);
int cmd_show_endpoints(struct cli *c, int argc, char **argv);
int cmd_login(struct cli *c, int argc, char **argv);
int cmd_registry(struct cli *c, int argc, char **argv);
int cmd_fleet(struct cli *c, int argc, char **argv);
int cmd_join_token(struct cli *c, int argc, char **argv);
int cmd_region(struct cli *c, int argc, char **argv);
int cmd_operator(struct cli *c, int argc, char **argv);
int cmd_control(struct cli *c, int argc, char **argv);
int cmd_replication(struct cli *c, int argc, char **argv);
int cmd_user(struct cli *c, int argc, char **argv);
int cmd_token(struct cli *c, int argc, char **argv);
int cmd_scope_map(struct cli *c, int argc, char **argv);
int cmd_certs(struct cli *c, int argc, char **argv);
int cmd_config(struct cli *c, int argc, char **argv);
int cmd_check_health(struct cli *c, int argc, char **argv);
int cmd_dns(struct cli *c, int argc, char **argv);
int cmd_dns_export(struct cli *c, int argc, char **argv); // dns export
int cmd_dns_keys(struct cli *c, int argc, char **argv);   // dns keys
int cmd_health(struct cli *c, int argc, char **argv);
int cmd_drill(struct cli *c, int argc, char **argv);
int cmd_identities(struct cli *c, int argc, char **argv);
// orders.c
extern const struct command health_impair_cmd, health_clear_cmd, health_orders_cmd,
    health_peers_cmd;
extern const struct command region_rebuild_cmd;   // rebuild.c
extern const struct command replication_wait_cmd; // replication_wait.c
extern const struct command replication_drain_cmd, replication_undrain_cmd, replication_feed_cmd,
    replication_repair_cmd, replication_revoked_cmd, replication_differences_cmd,
    replication_rebind_cmd;
// GET at a region with a token that may pull `repository` and has the catalogue, as far as the user
// may: lists show what that sees. 0 with the JSON answer, else the exit
// status, said.
int cli_replication_get(struct cli *c, const struct registry *r, const struct region *region,
                        const char *repository, const char *path, json_t **out_doc);
int cmd_topology(struct cli *c, int argc, char **argv);
int cmd_repository(struct cli *c, int argc, char **argv);
int cmd_tag(struct cli *c, int argc, char **argv);
int cmd_manifest(struct cli *c, int argc, char **argv);
int cmd_usage(struct cli *c, int argc, char **argv);   // usage.c
int cmd_audit(struct cli *c, int argc, char **argv);   // usage.c
int cmd_collect(struct cli *c, int argc, char **argv); // likewise
int cmd_client_config(struct cli *c, int argc, char **argv);
int cmd_import(struct cli *c, int argc, char **argv);
int cmd_stamp(struct cli *c, int argc, char **argv);
int cmd_name(struct cli *c, int argc, char **argv);
int cmd_private_endpoint(struct cli *c, int argc, char **argv);
int cmd_private_connection(struct cli *c, int argc, char **argv);
int cmd_status(struct cli *c, int argc, char **argv);
int cmd_node(struct cli *c, int argc, char **argv);
int cmd_debug(struct cli *c, int argc, char **argv);   // debug.c
int cmd_explain(struct cli *c, int argc, char **argv); // explain.c
int cmd_backup(struct cli *c, int argc, char **argv);  // backup.c
int cmd_restore(struct cli *c, int argc, char **argv); // likewise

#endif
