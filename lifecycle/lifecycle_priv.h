// SPDX-License-Identifier: Apache-2.0
// Shared by the engine's files only: what is asked (lifecycle_request.c and asking.h), what goes on
// (lifecycle_run.c), and what would become of it (lifecycle_try.c).
#ifndef MERIDIAN_LIFECYCLE_LIFECYCLE_PRIV_H
#define MERIDIAN_LIFECYCLE_LIFECYCLE_PRIV_H

#include "control/changer.h"
#include "lifecycle/lifecycle.h"
#include "lifecycle/record.h"

#include <pthread.h>

struct operation { // one that has not ended
    char id[OPERATION_ID_SIZE];
    // as it stands in the ledger, or as it will when this run ends
    json_t *record;
    // NULL: a verb of another release, which goes on with it
    const struct verb *verb;
    // of the entry of the phase that runs; what is not known any more after a start is the last place
    struct control_place place;
    bool placed;
    // altered since the ledger has it
    bool dirty;
    // wall: not before then, after something failed for want of memory or disk, or because another
    // change came in between
    int64_t again_ms;
    // how often that was in a row
    unsigned conflicts;
    // wall; since when members of private endpoints alone are waited for; 0: they are not
    int64_t members_since_ms;
    // likewise, since when the stamp that the phase needs does not serve
    int64_t stamp_since_ms;
};

struct ended { // in the ledger still
    char id[OPERATION_ID_SIZE];
    int64_t updated_ms;
};

struct lifecycle {
    struct lifecycle_deps deps;
    // of all below
    pthread_mutex_t lock;
    // wall; since then it is the writer without a break. Regions that were not heard yet count as
    // ones that can be reached for a while. 0: it is not
    int64_t writes_since_ms;
    // what follows is of this epoch of the feed; false: it has to be read from the ledger
    bool loaded;
    uint64_t epoch;
    struct operation **running;
    size_t n_running, cap_running;
    // by the time they ended, the first ones first
    struct ended *ended;
    size_t n_ended, cap_ended;
    // no earlier than the entry that brought topology `ttls_upto`, whose TTLs are shorter (caches.c);
    // 0: not known
    struct control_place ttls_place;
    uint64_t ttls_upto;
};

struct clocks { // see struct plan_ctx
    int64_t now_ms, sure_ms;
};
struct clocks lifecycle_clocks(const struct lifecycle *l);

#define OPERATION_KEY_SIZE (sizeof "operation/" + OPERATION_ID_SIZE)
const char *operation_key(const char *id, char out[OPERATION_KEY_SIZE]);

// Reads the operations when this node has become the writer, or another epoch has begun. With the
// lock. As deps.writer; diag may be NULL.
int lifecycle_load(struct lifecycle *l, struct diag *diag);
// Takes the record; with the lock. NULL: out of memory, and the record is released.
struct operation *lifecycle_add(struct lifecycle *l, json_t *record);
// It has ended: out of what runs, and into what is kept for a while.
void lifecycle_ended(struct lifecycle *l, size_t at);
// Records of operations that need not be kept any longer: at most `max` of them, as records that go.
// `now_ms`: as far as it is sure.
// Their keys are in the arena; the caller forgets them by lifecycle_forget once they are gone.
size_t lifecycle_old(const struct lifecycle *l, int64_t now_ms, struct arena *a,
                     struct control_record *out, size_t max);
void lifecycle_forget(struct lifecycle *l, size_t n);
// The text of a record, in the arena, under its key. ERR_NOMEM.
int lifecycle_record(const json_t *record, struct arena *a, struct control_record *out);

// ---- heard.c ----

// Of the phase that runs. NOT_YET and NEVER: why not. NEVER: it has been too long.
enum heard { HEARD, HEARD_NOT_YET, HEARD_NEVER };
#define HEARD_WHY_SIZE 512
// All members of the private endpoints that the phase brings.
enum heard heard_members(const struct lifecycle *l, const struct topology *t, struct operation *o,
                         int64_t now_ms, char why[HEARD_WHY_SIZE]);
// The stamp that names are to lead to, or lead to by now.
enum heard heard_stamp(const struct lifecycle *l, const struct topology *t, struct operation *o,
                       int64_t now_ms, char why[HEARD_WHY_SIZE]);

// ---- lifecycle_note.c ----

// Notes all that is dirty, and forgets what has ended. An error of deps.append, or ERR_NOMEM: the
// operations are read from the ledger again at the next turn. With the lock.
int lifecycle_note(struct lifecycle *l);

// ---- lifecycle_try.c ----

struct trial { // what would become of a plan
    // names of phases, in order
    json_t *phases;
    // after the last of them; a reference
    struct topology *after;
};
// diag says why it cannot be. ERR_NOMEM, or as the judge has it.
int lifecycle_try(const struct verb *v, const struct plan_ctx *x, const struct plan *plan,
                  struct diag *diag, struct trial *out);
void trial_done(struct trial *t);
// The draft of a phase that follows x->t, without records.
struct control_draft phase_draft(const struct plan_ctx *x, const struct phase *p,
                                 const char *request);
// Its record, with that phase running. `version`: of the principals in force, for a phase that
// changes nothing else.
int phase_begin(const struct plan_ctx *x, const struct phase *p, uint64_t version, json_t *record);

#endif
