// SPDX-License-Identifier: Apache-2.0
// What one other region says that it has read of us; see mark_claim.h.
#include "replication/mark_claim.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wait.h"
#include "replication/lock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define FAILED_FIRST_MS 500 // after a look that failed
#define FAILED_MAX_MS 60000
#define UNPROVEN_FIRST_MS 10000 // after a look that proved nothing
#define UNPROVEN_MAX_MS 600000

enum state {
    // not asked since the start
    UNKNOWN,
    // it had read nothing that we do not hold
    FINE,
    // what it has of us is due to be looked at
    AHEAD,
};

struct mark_claim {
    struct lock lock;
    enum state state;
    // how far it has read us, as it said
    struct feed_mark mark;
    struct feed_mark settled;
    // looks that failed or proved nothing, one after the other
    unsigned n_unproven;
    // the next look: not before
    int64_t look_mono;
    // to be looked at again, said since the last look began
    bool again;
    // another gave back entries of ours by its word only; this one was not looked at since
    bool doubted;
    // "": none
    char strange_key[ENTRY_KEY_SIZE];
};

int mark_claim_new(struct mark_claim **out)
{
    struct mark_claim *c = mem_zalloc(sizeof *c);
    if (!c)
        return ERR_NOMEM;
    lock_init(&c->lock, LOCK_CLAIM);
    *out = c;
    return 0;
}

void mark_claim_free(struct mark_claim *c)
{
    if (!c)
        return;
    lock_done(&c->lock);
    free(c);
}

bool mark_claim_unknown(struct mark_claim *c)
{
    lock_take(&c->lock);
    bool unknown = c->state == UNKNOWN;
    lock_give(&c->lock);
    return unknown;
}

void mark_claim_fine(struct mark_claim *c, const struct feed_mark *mark)
{
    lock_take(&c->lock);
    c->mark = *mark;
    c->state = FINE;
    lock_give(&c->lock);
}

bool mark_claim_ahead(struct mark_claim *c, const struct feed_mark *mark)
{
    assert(!mark_is_zero(mark)); // invariant 1
    lock_take(&c->lock);
    bool due = !c->n_unproven || clock_mono_ms() >= c->look_mono;
    if (due) {
        c->mark = *mark;
        c->state = AHEAD;
    }
    lock_give(&c->lock);
    return due;
}

bool mark_claim_is_settled(struct mark_claim *c, const struct feed_mark *mark)
{
    lock_take(&c->lock);
    bool settled = !mark_is_zero(mark) && mark_equal(&c->settled, mark);
    lock_give(&c->lock);
    return settled;
}

enum claim_due mark_claim_due(struct mark_claim *c, struct feed_mark *out_mark)
{
    enum claim_due due = CLAIM_FINE;
    lock_take(&c->lock);
    if (c->state == AHEAD) {
        assert(!mark_is_zero(&c->mark)); // invariant 1
        *out_mark = c->mark;
        due = CLAIM_LATER;
    } else if (c->state == FINE && c->doubted) {
        *out_mark = (struct feed_mark){0};
        due = CLAIM_LATER;
    }
    if (due == CLAIM_LATER && clock_mono_ms() >= c->look_mono)
        due = CLAIM_DUE;
    if (due == CLAIM_DUE)
        c->again = false;
    lock_give(&c->lock);
    return due;
}

void mark_claim_looked(struct mark_claim *c, const struct claim_look *l)
{
    lock_take(&c->lock);
    if (l->settled)
        c->settled = l->mark;
    if (!l->rc && mark_is_zero(&l->mark))
        c->doubted = false;
    // what is of the future is not waited for
    if (!l->rc || l->rc == ERR_AHEAD) {
        c->state = FINE;
        c->strange_key[0] = '\0';
    }
    if (l->held || l->settled || l->proof)
        c->n_unproven = 0;
    else
        c->n_unproven++;
    int64_t rest_ms = 0;
    if (l->rc)
        rest_ms = wait_backoff_ms(c->n_unproven, FAILED_FIRST_MS, FAILED_MAX_MS);
    else if (!l->held && !l->settled)
        rest_ms = wait_backoff_ms(c->n_unproven, UNPROVEN_FIRST_MS, UNPROVEN_MAX_MS);
    // A look that began before the topology changed may have failed for what that mended.
    if (c->again && c->strange_key[0])
        rest_ms = 0;
    c->look_mono = 0;
    if (rest_ms)
        c->look_mono = clock_mono_ms() + rest_ms;
    lock_give(&c->lock);
}

void mark_claim_doubt(struct mark_claim *c)
{
    lock_take(&c->lock);
    c->doubted = true;
    lock_give(&c->lock);
}

void mark_claim_strange_key(struct mark_claim *c, const char *key)
{
    lock_take(&c->lock);
    snprintf(c->strange_key, sizeof c->strange_key, "%s", key);
    lock_give(&c->lock);
}

void mark_claim_look_again(struct mark_claim *c)
{
    lock_take(&c->lock);
    c->again = true;
    if (c->strange_key[0])
        c->look_mono = 0;
    lock_give(&c->lock);
}

bool mark_claim_fault(struct mark_claim *c, const char *peer, const char *self, char *out,
                      size_t cap)
{
    lock_take(&c->lock);
    bool is = c->strange_key[0];
    if (is)
        snprintf(out, cap,
                 "%s holds entries of %s signed with %s, which the topology does not let sign "
                 "them: put that key back under identities.%s.feed_keys, from an earlier topology, "
                 "with retired: and the time of its loss",
                 peer, self, c->strange_key, self);
    lock_give(&c->lock);
    return is;
}
