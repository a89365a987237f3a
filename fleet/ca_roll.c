// SPDX-License-Identifier: Apache-2.0
// What is to be done while the next CA takes over; see ca_roll.h. Pure.
#include "fleet/ca_roll.h"

#include "base/clock.h"
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void say(char *why, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void say(char *why, size_t cap, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, cap, fmt, ap);
    va_end(ap);
}

static bool under_way(const struct ca_record *r)
{
    return r && (r->step == CA_STEP_TRUST || r->step == CA_STEP_USE);
}

bool ca_roll_asks(const struct ca_record *r)
{
    return under_way(r);
}

// --- has it been so for long enough? ---

static void unsettle(struct ca_roll_state *s)
{
    s->good = false;
}

static bool settled(const struct ca_roll_facts *f, struct ca_roll_state *s)
{
    if (!s->good || s->step != f->record->step) {
        *s = (struct ca_roll_state){true, f->record->step, f->mono_ms};
        return false;
    }
    return f->mono_ms - s->since_mono_ms >= CA_ROLL_SETTLE_MS;
}

// --- the steps ---

// Once the old one nears its end, it is not waited long for regions that are away: when it expires all
// are cut off.
static bool away_held(const struct ca_roll_facts *f)
{
    const struct ca_record *r = f->record;
    int64_t left_ms = r->until_ms - f->now_ms;
    if (!f->spread->n_away || r->without_away || left_ms <= CA_ROLL_PATIENCE_MS)
        return false;
    return left_ms > CA_ROLL_LAST_MS || f->now_ms - r->made_ms < CA_ROLL_PATIENCE_MS;
}

static bool spread_trusts(const struct ca_roll_facts *f, char *why, size_t cap)
{
    const struct ca_spread *x = f->spread;
    if (!x) {
        say(why, cap, "the regions are asked whether they trust it");
        return false;
    }
    if (x->n_without) {
        say(why, cap, "not trusted yet by %s", x->without);
        return false;
    }
    if (2 * x->n_trust <= x->n_all) {
        say(why, cap, "a majority of the regions must trust it, and %s cannot be reached", x->away);
        return false;
    }
    if (!away_held(f))
        return true;
    say(why, cap,
        "%s cannot be reached, and would know nobody any more when it comes back; to go on "
        "without: "
        "meridian certs roll-ca --without-away --yes",
        x->away);
    return false;
}

static enum ca_roll_act trust_decide(const struct ca_roll_facts *f, struct ca_roll_state *s,
                                     char *why, size_t cap)
{
    char at[CLOCK_TEXT_SIZE];
    const struct ca_record *r = f->record;
    bool good = false;
    if (!strcmp(f->in_use, r->next)) { // a takeover has made void that it issues
        say(why, cap, "%s", f->held ? f->held : "");
        return f->held ? CA_ROLL_NOTHING : CA_ROLL_USE;
    }
    if (strcmp(f->next, r->next) != 0)
        say(why, cap,
            "its key is not here, in the folder next of ca_dir: put it back, or cancel "
            "(meridian certs roll-ca --cancel)");
    else if (f->held)
        say(why, cap, "%s", f->held);
    else if (spread_trusts(f, why, cap))
        good = true;
    if (!good) {
        unsettle(s);
        return CA_ROLL_NOTHING;
    }
    bool long_enough = settled(f, s);
    if (f->now_ms < r->issue_ms) {
        say(why, cap, "all regions trust it; clients have until %s to trust it, too",
            clock_format(r->issue_ms, at));
        return CA_ROLL_NOTHING;
    }
    if (long_enough)
        return CA_ROLL_USE;
    say(why, cap, "all regions trust it; in some seconds it issues");
    return CA_ROLL_NOTHING;
}

// Does nothing hang on the old one any more?
static bool spread_is_over_it(const struct ca_roll_facts *f, char *why, size_t cap)
{
    char at[CLOCK_TEXT_SIZE];
    const struct ca_spread *x = f->spread;
    if (!x) {
        say(why, cap, "the regions are asked what they have of the old one");
        return false;
    }
    if (x->n_without) {
        say(why, cap, "not trusted by %s", x->without);
        return false;
    }
    if (x->n_old) {
        say(why, cap, "the old one leaves when %s %s renewed what it has issued", x->old,
            x->n_old == 1 ? "has" : "have");
        return false;
    }
    if (!x->n_away)
        return true;
    say(why, cap,
        "the old one stays while %s cannot be reached, until it expires at %s; to drop it before: "
        "meridian certs roll-ca --drop-old --yes",
        x->away, clock_format(f->record->until_ms, at));
    return false;
}

static enum ca_roll_act use_decide(const struct ca_roll_facts *f, struct ca_roll_state *s,
                                   char *why, size_t cap)
{
    const struct ca_record *r = f->record;
    if (strcmp(f->in_use, r->next) != 0) {
        unsettle(s);
        if (!strcmp(f->next, r->next))
            return CA_ROLL_SWITCH;
        say(why, cap,
            "the CA in ca_dir is not the one that the fleet goes over to (%.16s), and its folder "
            "next does not hold that: put the newer copy of ca_dir here, or, if there is none, go "
            "back (meridian certs roll-ca --back --yes)",
            r->next);
        return CA_ROLL_NOTHING;
    }
    if (f->held) {
        say(why, cap, "%s", f->held);
        unsettle(s);
        return CA_ROLL_NOTHING;
    }
    if (r->until_ms <= f->now_ms)
        return CA_ROLL_DROP;
    if (!spread_is_over_it(f, why, cap)) {
        unsettle(s);
        return CA_ROLL_NOTHING;
    }
    if (settled(f, s))
        return CA_ROLL_DROP;
    say(why, cap, "nothing hangs on the old one any more; in some seconds it leaves");
    return CA_ROLL_NOTHING;
}

// --- the beginning ---

static bool nears_its_end(const struct ca_roll_facts *f)
{
    return f->now_ms >= f->until_ms - (f->until_ms - f->from_ms) / CA_ROLL_DUE;
}

static bool was_cancelled(const struct ca_roll_facts *f)
{
    const struct ca_record *r = f->record;
    if (!r || r->step != CA_STEP_CANCELLED || strcmp(r->old, f->in_use) != 0)
        return false;
    return f->now_ms - r->used_ms < CA_ROLL_AGAIN_MS;
}

static int by_hand(const struct ca_roll_facts *f, char *why, size_t cap)
{
    say(why, cap,
        "ca.pem of this node does not hold the CA in use (%.16s) alone: end the change that was "
        "begun by hand first",
        f->in_use);
    return ERR_CONFLICT;
}

static enum ca_roll_act make_decide(const struct ca_roll_facts *f, char *why, size_t cap)
{
    if (!nears_its_end(f) || was_cancelled(f))
        return CA_ROLL_NOTHING;
    if (f->held) {
        say(why, cap, "%s", f->held);
        return CA_ROLL_NOTHING;
    }
    if (f->alone)
        return CA_ROLL_MAKE;
    (void)by_hand(f, why, cap);
    return CA_ROLL_NOTHING;
}

static enum ca_roll_act begin_decide(const struct ca_roll_facts *f, char *why, size_t cap)
{
    const struct ca_record *r = f->record;
    if (!*f->next)
        return make_decide(f, why, cap);
    bool announced = r && !strcmp(f->next, r->next);
    if (!strcmp(f->next, f->in_use) || (announced && r->step == CA_STEP_CANCELLED))
        return CA_ROLL_DISCARD; // cancelled, or a copy of the one in use
    if (announced) // done: ca_dir is an older copy, and the fleet's CA is in its `next`
        return CA_ROLL_SWITCH;
    if (!f->held)
        return CA_ROLL_ANNOUNCE;
    say(why, cap, "%s", f->held);
    return CA_ROLL_NOTHING;
}

enum ca_roll_act ca_roll_decide(const struct ca_roll_facts *f, struct ca_roll_state *s, char *why,
                                size_t cap)
{
    say(why, cap, "%s", "");
    if (!under_way(f->record)) {
        unsettle(s);
        return begin_decide(f, why, cap);
    }
    if (f->record->step == CA_STEP_TRUST)
        return trust_decide(f, s, why, cap);
    return use_decide(f, s, why, cap);
}

// --- what people ask for ---

int64_t ca_roll_issue_after(const struct ca_roll_facts *f)
{
    if (!nears_its_end(f))
        return CA_ROLL_ISSUE_MS;
    // the longer time, unless the end is too near for that
    int64_t part_ms = (f->until_ms - f->now_ms) / 4;
    if (part_ms < 0)
        return 0;
    return part_ms < CA_ROLL_ISSUE_SELF_MS ? part_ms : CA_ROLL_ISSUE_SELF_MS;
}

int ca_roll_may_begin(const struct ca_roll_facts *f, char *why, size_t cap)
{
    if (f->held) {
        say(why, cap, "%s", f->held);
        return ERR_BUSY;
    }
    if (under_way(f->record)) {
        say(why, cap, "another CA is taking over already (%.16s, step %s)", f->record->next,
            ca_step_name(f->record->step));
        return ERR_BUSY;
    }
    if (*f->next && !(f->record && !strcmp(f->record->next, f->next)))
        return ERR_EXISTS;
    if (f->alone)
        return 0;
    return by_hand(f, why, cap);
}

int ca_roll_may_go_back(const struct ca_roll_facts *f, char *why, size_t cap)
{
    const struct ca_record *r = f->record;
    if (f->held) {
        say(why, cap, "%s", f->held);
        return ERR_BUSY;
    }
    if (!r || r->step != CA_STEP_USE || strcmp(f->in_use, r->old) != 0) {
        say(why, cap,
            "the CA in ca_dir is not one that the fleet has just left: there is no way back");
        return ERR_CONFLICT;
    }
    if (strcmp(f->next, r->next) != 0)
        return 0;
    say(why, cap, "the next one (%.16s) is here, and issues in some seconds", r->next);
    return ERR_CONFLICT;
}

int ca_roll_may_change(const struct ca_roll_facts *f, char *why, size_t cap)
{
    if (f->held) {
        say(why, cap, "%s", f->held);
        return ERR_BUSY;
    }
    // all would drop what it has issued already
    bool issues = f->record && !strcmp(f->in_use, f->record->next);
    if (f->record && f->record->step == CA_STEP_TRUST && !issues)
        return 0;
    say(why, cap, "no next CA is on its way that does not issue yet");
    return ERR_CONFLICT;
}

int ca_roll_may_drop(const struct ca_roll_facts *f, char *why, size_t cap)
{
    if (f->held) {
        say(why, cap, "%s", f->held);
        return ERR_BUSY;
    }
    if (!f->record || f->record->step != CA_STEP_USE || strcmp(f->in_use, f->record->next) != 0) {
        say(why, cap, "no CA has just taken over, so there is no old one to drop");
        return ERR_CONFLICT;
    }
    if (!f->spread) {
        say(why, cap, "the regions cannot be asked now");
        return ERR_BUSY;
    }
    // what answers would be shut out, though it needs only some time
    if (!f->spread->n_old && !f->spread->n_without)
        return 0;
    say(why, cap, "%s can be reached and still %s certificates of the old one: wait for that",
        f->spread->n_old ? f->spread->old : f->spread->without,
        f->spread->n_old == 1 ? "has" : "have");
    return ERR_CONFLICT;
}
