// SPDX-License-Identifier: Apache-2.0
// What is wrong with this node, as a bounded list of named conditions: the one source of what the
// log, /healthz, the admin status (`meridian status`) and the metrics say of it. A condition is
// either not there, or holds as a warning, as short or as down, with a sentence that says what is
// wrong and what mends it, and the time since when. Any condition that holds as down makes the node
// down for /healthz, so that resolvers lead clients elsewhere; a warning does not. Short is between
// them: the node takes no new content and serves what it has. /healthz says so with the status of
// down, so that load balancers and resolvers of the version before lead elsewhere; ours do as well,
// but never to a region that is dead instead (resolver/route/route.h).
//
//   condition_set(c, CONDITION_STORE, CONDITION_DOWN,
//                 "blobs cannot be written under %s; see that disk", dir);
//   condition_clear(c, CONDITION_STORE);
//
// To add one: a row in CONDITION_TABLE, and a judge that sets and clears it (daemon/housekeeping.c
// calls the judges). The judge may repeat itself as often as it likes. One line is logged when a
// condition begins, changes its severity, or ends, and when its sentence changes in more than its
// figures. Any thread; nothing here blocks but on its own lock.
#ifndef MERIDIAN_DAEMON_CONDITIONS_H
#define MERIDIAN_DAEMON_CONDITIONS_H

#include "base/bytes.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

// Constant, name in metrics and JSON, and the few words that /healthz says to everybody when it is
// the reason for down or for short (so they tell nothing that is not public). The first row that
// holds as down is the reason, else the first that holds as short.
#define CONDITION_TABLE(X)                                                                       \
    X(WRITES, "writes_closed", "writes are closed")                                              \
    X(METADATA, "metadata_unwritable", "entries cannot be written")                              \
    X(STORE, "store_unwritable", "blobs cannot be written")                                      \
    X(DISK, "disk_short",                                                                        \
      "the disk is full up to its reserve: pulls are served, pushes are refused")                \
    X(TOKEN_SIGNING, "tokens_unsigned", "tokens cannot be signed")                               \
    X(TOKEN_KEY, "token_key_untrusted", "its tokens are refused")                                \
    X(REGION_CERTIFICATE, "region_certificate", "its certificate is not valid")                  \
    X(SHARED_CERTIFICATE, "shared_certificate", "its certificate for global names is not valid") \
    X(PEER_CERTIFICATE, "peer_certificate", "other regions refuse it")                           \
    X(CA_ROLL, "ca_roll", "its private CA is being replaced")                                    \
    X(FEED_KEY, "feed_key_untrusted", "other regions take nothing from it")                      \
    X(CLOCK, "clock", "its clock is wrong")                                                      \
    X(PEER_CLOCK, "peer_clock", "another region's clock is far from its own")                    \
    X(BLOBS, "blobs_damaged", "blobs are damaged")                                               \
    X(CONFLICT, "replication_conflict", "another region's feed contradicts itself")              \
    X(DIVERGED, "replication_diverged", "it shows other content than another region")            \
    X(AUDIT, "audit_log", "its audit log cannot be written")                                     \
    X(JOIN, "join", "somebody else showed a join token")                                         \
    X(ISSUER_KEYS, "issuer_keys", "the keys of an issuer of identities cannot be had")           \
    X(DRIFT, "drift", "the regions do not have the same configuration")                          \
    X(CONTROL, "control_feed", "changes may not reach it")                                       \
    X(PRIVATE_ADDRESSES, "private_addresses", "a private endpoint is not answered")              \
    X(PRINCIPALS, "principals_stale", "it was cut off too long to issue tokens")                 \
    X(DRILL, "drill", "a fault drill has taken a region out")                                    \
    X(DRAINED, "drained", "an operator has drained it")

enum condition {
#define X(constant, name, brief) CONDITION_##constant,
    CONDITION_TABLE(X)
#undef X
        N_CONDITIONS
};

enum condition_severity { CONDITION_WARNING, CONDITION_SHORT, CONDITION_DOWN };

#define CONDITION_SENTENCE_SIZE 512 // longer ones are cut

struct conditions {
    pthread_mutex_t lock;
    struct condition_state {
        bool holds;
        enum condition_severity severity;
        // wall
        int64_t since_ms;
        char sentence[CONDITION_SENTENCE_SIZE];
    } states[N_CONDITIONS];
};

void conditions_init(struct conditions *c);
// The sentence: no full stop at its end, and no secret, since every peer reads it. Again with
// another severity or sentence: replaced, `since` stays.
void condition_set(struct conditions *c, enum condition which, enum condition_severity severity,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void condition_clear(struct conditions *c, enum condition which);

bool condition_holds(struct conditions *c, enum condition which);
// NULL while nothing holds as down, else the few words for everybody. Static text. The other: as
// short.
const char *conditions_down(struct conditions *c);
const char *conditions_short(struct conditions *c);
// json_t *, a new array of {"name", "severity": "warning"|"short"|"down", "since", "sentence"} of
// what holds, in the order of the table; NULL without memory.
void *conditions_json(struct conditions *c);
void conditions_metrics(struct conditions *c, struct buf *out);

#endif
