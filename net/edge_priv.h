// SPDX-License-Identifier: Apache-2.0
// What the files of the edge share, lowest first: edge_check.c (what may enter nginx.conf),
// edge_answers.c (what nginx answers by itself), edge_private.c (private endpoints), edge_render.c (the text), edge_pems.c (copies of
// certificates and keys), edge_child.c (processes of nginx's), edge_conf.c (nginx.conf in the
// runtime folder), edge.c (life).
#ifndef MERIDIAN_NET_EDGE_PRIV_H
#define MERIDIAN_NET_EDGE_PRIV_H

#include "net/edge.h"
#include "net/edge_log.h"

extern const char *const edge_temps[5]; // tmp-NAME in runtime_dir, of nginx's workers

// --- edge_check.c ---
int edge_config_check(const struct edge_config *c, struct diag *diag);

// --- edge_answers.c: parts of nginx.conf ---
// a location that answers; the message is a format for the region's name
void edge_put_answer(struct buf *b, const struct edge_config *c, const char *name, int status,
                     enum refusal kind, const char *message, const char *region);
// which statuses of nginx lead to which answer; and the answers
void edge_put_error_pages(struct buf *b, const char *indent);
void edge_put_error_answers(struct buf *b, const struct edge_config *c);
// the location "= /_edge/proxy", for what no trusted proxy brought, or brought in nobody's name
void edge_put_proxy_refusal(struct buf *b, const struct edge_config *c);
// the same for requests that are passed on to `region`
void edge_put_passed_pages(struct buf *b, const char *region);
void edge_put_passed_answers(struct buf *b, const struct edge_config *c, const char *region);

// --- edge_private.c ---
// $meridian_private, the private endpoint by whose address a request came ("": by none), and
// $meridian_elsewhere, whether it is for another name than that one's
void edge_put_privates(struct buf *b, const struct edge_config *c);
// of one server; `first`: it has what is meant for no other
void edge_put_private_listen(struct buf *b, const struct edge_config *c, bool first);
bool edge_private_listens(const struct edge_config *c); // some have a socket of their own

// --- edge_pems.c ---
#define EDGE_PEMS 4
#define EDGE_PEM_MAX (256 << 10)

struct edge_pems { // paths of the copies, in the order region, shared, peer, ca; NULL: none
    char *path[EDGE_PEMS];
};

// Copies what c names into its runtime_dir, unless a copy of the same content is there. Only
// regular files of pem_owner's or of our own, reached by no link in the last step.
int edge_pems_copy(const struct edge_config *c, struct diag *diag, struct edge_pems *out);
void edge_pems_free(struct edge_pems *p);
// removes all other copies
void edge_pems_sweep(const char *runtime_dir, const struct edge_pems *keep);

struct edge {
    char *nginx, *runtime_dir, *conf, *conf_new, *pid_file;
    struct edge_confine confine;
    // nginx's whole environment
    const char *environment[4];
    // what of ours is in it
    char *kept[3];
    struct edge_log log;
    // of the configuration in force
    struct edge_pems pems;
    // 0: none
    pid_t pid;
    // the master's sign that we live; -1: no master
    int life_fd;
    // the master leads a process namespace: it calls itself 1
    bool own_space;
    int64_t started_ms;
    uint32_t backoff_ms;
    struct edge_status status;
};

// --- edge_child.c ---
// out_space NULL: no namespace wanted. The child does nothing but system calls until it is nginx.
// *out_life is kept open as long as the child lives.
pid_t edge_child_start(const struct edge *e, int out_fd, const char *const argv[], bool *out_space,
                       int *out_life);
// has it ended? Does not reap it
bool edge_child_ended(pid_t pid);
bool edge_child_wait(pid_t pid, unsigned for_ms); // false: it has not ended
int edge_child_bury(pid_t pid);                   // kills the group, reaps; the wait status

// --- edge_conf.c ---
// *out_same: nothing has changed. On failure the old configuration stays.
int edge_conf_replace(struct edge *e, const struct edge_config *c, struct diag *diag,
                      bool *out_same);

#endif
