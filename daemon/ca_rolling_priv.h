// SPDX-License-Identifier: Apache-2.0
// What the files of daemon/ca_rolling share: one look at what is so (ca_look.c), the steps that follow
// from it (ca_steps.c), records into the feed (ca_writer.c), what people ask for (ca_asks.c). Nobody else includes it.
#ifndef MERIDIAN_DAEMON_CA_ROLLING_PRIV_H
#define MERIDIAN_DAEMON_CA_ROLLING_PRIV_H

#include "daemon/ca_rolling.h"

#include "certs/ca_next.h"
#include "control/feed.h"
#include "fleet/ca_roll.h"

#include <pthread.h>

#define CA_WORD_BYTES 4096
#define CA_WHY_BYTES 1024

struct ca_rolling {
    struct ca_rolling_options o;
    struct app *app;
    struct fleet_caller caller;
    // one step at a time: guards `state`, and the files of the CA
    pthread_mutex_t work;
    struct ca_roll_state state;
    // guards `wake`, `poked`, `waits`, `shown`, `has_shown`
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool poked;
    char waits[CA_WHY_BYTES];
    // the record, as of the last look
    struct ca_record shown;
    bool has_shown;
    // guarded by `work`: not before this is the edge told once more
    int64_t edge_again_mono_ms;
    _Atomic bool stopping;
    pthread_t thread;
    bool runs;
};

// ---- what is so (ca_look.c) ----

// What one look stands on. Strings of the facts point into it: it is not to be moved.
struct ca_look {
    struct topology *t;
    // of the feed, no newer than `t` and the record
    struct control_place place;
    // leads: the CA is here; owned: this process writes the feed's log
    bool has_record, leads, owned, we_write;
    char writer[HOSTNAME_REGION_SIZE];
    // the edge goes by another ca.pem than lies there
    bool edge_behind;
    struct ca_record record;
    struct ca_word own;
    struct ca_spread spread;
    struct ca_in_use in_use;
    char next[65], held[CA_WHY_BYTES];
    // where it leads: 0, or why the CA in ca_dir cannot be read
    int ca_error;
    struct ca_roll_facts f;
};

// Blocks for some seconds. ERR_BUSY: there is no topology yet; others. ca_look_end in any case.
int ca_look_begin(struct ca_rolling *r, struct ca_look *x);
void ca_look_end(struct ca_look *x);
int ca_look_record(struct ca_rolling *r, struct ca_record *out); // ERR_NOTFOUND
// What this region says of itself. By the files alone where there is no edge; else by what the edge
// goes by, too.
void ca_look_word(const struct ca_rolling *r, struct ca_word *out, bool *out_behind);

// ---- steps (ca_steps.c), with `work` ----

// On every node: ca.pem as the record says.
void ca_steps_follow(struct ca_rolling *r, const struct ca_look *x);
// On the CA's node: what is to be done next, and what it waits for.
void ca_steps_lead(struct ca_rolling *r, const struct ca_look *x);
// Of the CA in <ca_dir>/next.
int ca_steps_announce(struct ca_rolling *r, const struct ca_look *x, int64_t issue_after_ms,
                      struct diag *diag);
// Makes that CA, over what is left of one, and announces it.
int ca_steps_make(struct ca_rolling *r, const struct ca_look *x, int64_t issue_after_ms,
                  struct diag *diag);

// ---- records (ca_writer.c) ----

struct ca_asker { // a request of another region
    struct ca_rolling *r;
    const char *region;
};

// firm: only if the feed has not gone on since the look; so it is always where another region writes.
// ERR_CONFLICT: it has.
int ca_writer_put(struct ca_rolling *r, const struct ca_look *x, const struct ca_record *record,
                  bool firm, struct diag *diag);
// Into the logs; why NULL: it was done.
void ca_writer_note(struct ca_rolling *r, const struct http_request *req, const char *what,
                    const char *fingerprint, const char *why);
// POST CA_ROLL_PATH, of that region.
void ca_writer_begin(struct ca_rolling *r, struct http_request *req, const struct region *peer,
                     struct http_plan *plan);

// ---- the thread (ca_rolling.c) ----

// One look, and what follows from it. Any thread, without `work`.
void ca_rolling_look(struct ca_rolling *r);
void ca_rolling_waits(struct ca_rolling *r, const char *why);

#endif
