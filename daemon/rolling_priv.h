// SPDX-License-Identifier: Apache-2.0
// What the files of daemon/rolling share: this region's own certificate (rolling.c), and what the
// writer's part stands on (rolling_writer.c). Nobody else includes it.
#ifndef MERIDIAN_DAEMON_ROLLING_PRIV_H
#define MERIDIAN_DAEMON_ROLLING_PRIV_H

#include "daemon/rolling.h"

#include "fleet/call.h"
#include "fleet/peer_roll.h"
#include "fleet/peer_spread.h"

#include <pthread.h>

struct rolling {
    struct rolling_options o;
    struct app *app;
    struct peer_roll *roll;
    struct fleet_caller caller;
    // held while others are asked for the certificates' thread: rolling_end waits for it
    pthread_mutex_t asking;
    // guards `wake`, `waits`, `named`
    pthread_mutex_t lock;
    pthread_cond_t wake;
    char waits[CERTS_ERROR_SIZE];
    // our next certificate's fingerprint
    struct peer_named named;
    _Atomic bool stopping;
    pthread_t thread;
    bool runs;
    // of the thread
    unsigned n_failed;
    int64_t ask_at_mono_ms;
};

// The writer's part, over this node's feed and topology. `r` outlives it.
int rolling_writer_new(struct rolling *r, struct peer_roll **out);
// Into the logs; see peer_roll_deps.
void rolling_note(void *ctx, const struct http_request *req, const char *region, const char *what,
                  const char *fingerprint, const char *why);

#endif
