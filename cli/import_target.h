// SPDX-License-Identifier: Apache-2.0
// Our own registry, as `meridian import` writes to it: one region at its public endpoint, with the
// user's tokens. What registry_api.h is for commands that ask one thing after the other, this is for
// several threads at once.
//
//   rc = target_open(c, registry, region, scope, &t);         // exit status, said
//   rc = target_ask(&t, &q, &res, why);                        // 0: an answer, whatever its status
//
// Threads: target_ask from any; it repeats what a restart or a moment of overload has cost. While
// lanes run, the CLI's arena is touched under the target's lock alone.
#ifndef MERIDIAN_CLI_IMPORT_TARGET_H
#define MERIDIAN_CLI_IMPORT_TARGET_H

#include "cli/cli.h"
#include "cli/import_source.h"

struct import_target {
    struct cli *c;
    const struct registry *registry;
    const struct region *region;
    const char *host;
    // "https://HOST:PORT"
    const char *base;
    struct endpoint at;
    pthread_mutex_t lock;
    char *password;
    // under the lock: of the repository that is written to, and of mounts into it
    struct import_token {
        char *bearer, *scope;
    } tokens[2];
};

struct target_request {
    // NULL: GET
    const char *method;
    // below the base, or a whole URL (an upload's Location)
    const char *url;
    // whose token: `pull,push` on it, and `pull` on the one that a blob is mounted from, or NULL
    const char *repository, *mounts_from;
    // "Name: value", up to 3
    const char *headers[3];
    struct bytes body;
    // of the answer's body; 0: 1 MiB
    size_t max_bytes;
    // a piece of an upload: never sent twice
    bool once;
};

// The named region, or (NULL) the first that can be reached.
int target_open(struct cli *c, const struct registry *r, const char *region,
                struct import_target *out);
void target_close(struct import_target *t);
// 0: there is an answer. Else an error with a sentence. fetch_result_done(out) in any case.
int target_ask(struct import_target *t, const struct target_request *q, struct fetch_result *out,
               char why[IMPORT_WHY_SIZE]);
// The same, where only `status` (or `other`) will do: else ERR_PROTO with what it answered.
int target_expect(struct import_target *t, const struct target_request *q, int status, int other,
                  struct fetch_result *out, char why[IMPORT_WHY_SIZE]);

#endif
