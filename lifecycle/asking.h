// SPDX-License-Identifier: Apache-2.0
// One request on its way through the engine, shared by the files that handle it: it is planned and
// tried (planning.c), begun with one entry of the feed (beginning.c), turned round (canceling.c),
// and answered (answers.c). lifecycle_request.c calls them.
//
// One thread at a time. What begins and cancels is called with the engine's lock.
#ifndef MERIDIAN_LIFECYCLE_ASKING_H
#define MERIDIAN_LIFECYCLE_ASKING_H

#include "base/digest.h"
#include "lifecycle/lifecycle_priv.h"

struct asking {
    struct lifecycle *l;
    const struct lifecycle_request *r;
    const struct verb *verb;
    struct plan_ctx x;
    struct arena arena;
    struct topology *t;
    struct plan plan;
    struct trial trial;
    struct diag diag;
    char id[OPERATION_ID_SIZE];
    // an object
    json_t *given;
    // digest of the arguments, hex: they may hold what only the document should
    char arguments[2 * SHA256_BYTES + 1];
    // of the topology, or of the principals for their verbs
    uint64_t version;
    struct lifecycle_answer *out;
};

// "registry/contoso"; NULL: out of memory
const char *asking_object(const struct asking *q);

// ---- rights.c: false: there is an answer that says no ----

// Has who asks the right to q->verb?
bool asking_may(struct asking *q);
// With a plan: may who asks change just that?
bool asking_may_as_planned(struct asking *q);
// May who asks go on with, or turn round, what somebody else has begun?
bool asking_may_touch(struct asking *q, const struct operation *o);
// With a plan: all that it needs.
unsigned asking_rights(const struct asking *q);

// ---- planning.c ----

// Makes the plan and tries it. False: there is an answer already.
bool asking_plan(struct asking *q);
// Gives back what the plan holds; another can be made.
void asking_plan_done(struct asking *q);
// With a plan: answers what would become of it.
void asking_what_if(struct asking *q);

// ---- beginning.c ----

// The running operation that holds what the plan would change, and does not give way to it; or NULL.
const struct operation *asking_against(const struct asking *q);
// Is it the operation of the same request, from before?
bool asking_is_for(const struct asking *q, const struct operation *o);
// With a plan. 0: there is an answer. ERR_CONFLICT: another change came in between, make another plan.
int asking_begin(struct asking *q);
// The record by which the same nonce gets the same operation. ERR_NOMEM.
int asking_nonce_record(const struct asking *q, struct control_record *out);

// ---- lifecycle_request.c ----

// The request counts as used for an operation that runs: it must not make another one later. With
// `quorum` the operation does not wait for regions that are behind any more.
int asking_join(struct asking *q, struct operation *o);

// ---- canceling.c ----

// Turns the operation round that q->r->object names, and answers.
void asking_cancel(struct asking *q);

// ---- answers.c: each replaces what *out holds ----

// `operation`: the one that stands against it, or NULL.
void reply_error(struct lifecycle_answer *out, const char *code, const char *message,
                 const char *operation);
// plan: for its notes and answer, or NULL
void reply_operation(struct lifecycle_answer *out, int status, const json_t *record,
                     const struct plan *plan);
void reply_nothing(struct asking *q);
// diag of q says why.
void reply_refused(struct asking *q, const char *code, int rc);
void reply_held(struct asking *q, const struct operation *o);
// What stands against it, into a what-if that says what would change once that has ended.
void reply_what_if_held(struct asking *q, const struct operation *o);
// rc: of deps.writer
void reply_not_writer(struct asking *q, int rc);
// rc: of deps.append, or of what was done for it
void reply_append_failed(struct asking *q, int rc);
// The code that a plan's result stands for.
const char *reply_code(int rc);

#endif
