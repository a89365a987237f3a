// SPDX-License-Identifier: Apache-2.0
// `region forget NAME {withoutAway}`; see forget.h.
#include "lifecycle/forget.h"

#include "base/err.h"
#include "base/mem.h"
#include "config/topology_control.h"
#include "control/identity_list.h"
#include "control/sections.h"
#include "lifecycle/verbs.h"

#include <inttypes.h>
#include <string.h>

#define NAMED_MAX 10 // registries, in a sentence

// --- may it be? ---

static region_set bit_of(const struct region *r)
{
    return (region_set)1 << r->index;
}

// "eastus, westus"; NULL: out of memory.
static const char *names_of(const struct topology *t, region_set set, struct arena *a)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 4096);
    for (size_t i = 0; i < t->n_regions; i++)
        if (set & bit_of(&t->regions[i]))
            buf_printf(&b, "%s%s", b.n ? ", " : "", t->regions[i].name);
    if (b.err)
        return NULL;
    return arena_strdup(a, buf_cstr(&b));
}

// Registries that it alone holds: their content would be nowhere any more.
static const char *only_there(const struct topology *t, const struct region *r, struct arena *a)
{
    AUTO_BUF struct buf b;
    size_t n = 0;
    struct catalogue_iter it = {0};
    region_set living = ~topology_sealed(t) & ~bit_of(r);
    buf_init(&b, 4096);
    for (const struct registry *x; (x = topology_next(t, &it));) {
        if (!registry_replica(x, r->index) || x->replica_set & living)
            continue;
        if (n++ < NAMED_MAX)
            buf_printf(&b, "%s%s", n > 1 ? ", " : "", x->name);
    }
    if (!n)
        return NULL;
    return arena_printf(a, "%s%s", buf_cstr(&b), n > NAMED_MAX ? ", …" : "");
}

static int heard_refuse(const struct forget_facts *f, const struct region *r, region_set others,
                        struct arena *a, struct diag *diag)
{
    region_set hear = f->seen->hear & others;
    if (!(f->unheard & bit_of(r))) {
        refuse(
            diag,
            "%s is there: it said lately how far it is with the control feed. Only a region that "
            "never comes back is forgotten; one that lives is taken out by `meridian region "
            "remove %s`",
            r->name, r->name);
        return ERR_CONFLICT;
    }
    if (hear) {
        refuse(diag, "%s is there: %s heard it in the last seconds", r->name,
               names_of(f->t, hear, a));
        return ERR_CONFLICT;
    }
    return 0;
}

static size_t count(region_set set)
{
    return (size_t)__builtin_popcountll(set);
}

static int away_refuse(const struct forget_facts *f, const struct region *r, region_set others,
                       region_set away, struct arena *a, struct diag *diag)
{
    if (2 * count(others & ~away) <= count(others)) {
        refuse(
            diag,
            "of the %zu other regions %zu say what they hold of %s: more than half must. %s: not "
            "reached",
            count(others), count(others & ~away), r->name, names_of(f->t, away, a));
        return ERR_CONFLICT;
    }
    if (away && !f->without_away) {
        refuse(
            diag,
            "%s cannot be asked, and may hold more of what %s wrote than the others: wait for "
            "it, or ask with withoutAway (--without-away). Then what it alone holds counts only "
            "once it is back and `meridian region forget %s` is asked again; if it never is, that "
            "is lost",
            names_of(f->t, away, a), r->name, r->name);
        return ERR_CONFLICT;
    }
    return 0;
}

static int order(const struct feed_seal *a, const struct feed_seal *b)
{
    if (a->epoch != b->epoch)
        return a->epoch < b->epoch ? -1 : 1;
    if (a->seq != b->seq)
        return a->seq < b->seq ? -1 : 1;
    return 0;
}

// The highest entry that one of them holds.
static int highest(const struct forget_facts *f, const struct region *r, region_set said,
                   struct diag *diag, struct forget_verdict *out)
{
    for (size_t i = 0; i < f->t->n_regions; i++) {
        const struct region *x = &f->t->regions[i];
        const struct feed_seal *head = &f->seen->heads[x->index];
        if (!(said & bit_of(x)) || !head->seq)
            continue;
        int o = order(head, &out->seal);
        if (!o && memcmp(head->hash, out->seal.hash, sizeof head->hash) != 0) {
            refuse(
                diag,
                "%s and %s hold different entries of %s at %" PRIu64 " of epoch %" PRIu64
                ": its feed key signed two; revoke that key first (docs/replication-protocol.md)",
                out->holder->name, x->name, r->name, head->seq, head->epoch);
            return ERR_CONFLICT;
        }
        if (o > 0) {
            out->seal = *head;
            out->holder = x;
        }
    }
    return 0;
}

static int role_refuse(const struct topology *t, const struct region *r, struct arena *a,
                       struct diag *diag)
{
    if (topology_writer(t) == r) {
        refuse(diag,
               "%s is the writer: let another region take over first (`meridian control takeover`)",
               r->name);
        return ERR_CONFLICT;
    }
    const char *alone = only_there(t, r, a);
    if (alone) {
        refuse(
            diag,
            "these registries have a replica in %s and nowhere else, so all that they hold would "
            "be gone: %s. If that is meant, delete them first (`meridian registry delete`)",
            r->name, alone);
        return ERR_CONFLICT;
    }
    return 0;
}

int forget_judge(const struct forget_facts *f, struct arena *a, struct diag *diag,
                 struct forget_verdict *out)
{
    const struct topology *t = f->t;
    const struct region *r = topology_region(t, f->region);
    *out = (struct forget_verdict){.holder = NULL};
    if (!r) {
        refuse(diag, "there is no region %.40s", f->region);
        return ERR_NOTFOUND;
    }
    region_set all = ~(region_set)0 >> (TOPOLOGY_MAX_REGIONS - t->n_regions);
    region_set others = all & ~topology_sealed(t) & ~bit_of(r);
    out->away = others & ~f->seen->said;
    int rc = role_refuse(t, r, a, diag);
    if (!rc && !r->sealed)
        rc = heard_refuse(f, r, others, a, diag);
    if (!rc)
        rc = away_refuse(f, r, others, out->away, a, diag);
    if (!rc)
        rc = highest(f, r, others & f->seen->said, diag, out);
    if (!rc && r->sealed && order(&out->seal, r->sealed) <= 0)
        rc = ERR_EXISTS;
    return rc;
}

// --- the verb ---

static void note(struct plan *out, const char *text)
{
    if (text && out->n_notes < PLAN_NOTES_MAX)
        out->notes[out->n_notes++] = text;
}

static void notes_add(const struct plan_ctx *x, const struct region *r,
                      const struct forget_verdict *v, struct plan *out)
{
    if (v->holder)
        note(out, arena_printf(x->arena,
                               "what %s wrote counts up to entry %" PRIu64 " of epoch %" PRIu64
                               ", which %s holds; what it alone has on its disk does not",
                               r->name, v->seal.seq, v->seal.epoch, v->holder->name));
    else
        note(out,
             arena_printf(x->arena, "nobody holds anything that %s wrote: nothing of it counts",
                          r->name));
    if (v->away)
        note(out,
             arena_printf(x->arena,
                          "%s could not be asked: if it holds more, ask for the same again once it "
                          "is back",
                          names_of(x->t, v->away, x->arena)));
    note(out, "nothing waits for it any more, and when it comes back it takes no writes; its "
              "replicas and "
              "their names stay until `meridian replication delete` takes them away");
    if (x->t->ca_region && !strcmp(x->t->ca_region, r->name))
        note(out, "it answers for the CA: move that to another region (docs/runbooks)");
}

static int frame_set(const struct plan_ctx *x, const char *identities, struct plan *out,
                     struct diag *diag)
{
    AUTO_BUF struct buf was, now;
    buf_init(&was, 0);
    buf_init(&now, 0);
    if (!x->t->frame->text) {
        refuse(diag, "the topology's document cannot be edited: its keys do not begin lines of "
                     "their own");
        return ERR_UNSUPPORTED;
    }
    const struct edit_section s = {"identities", identities};
    buf_add(&was, x->t->frame->text, x->t->frame->text_n);
    edit_sections(buf_cstr(&was), &s, 1, 0, &now);
    if (was.err || now.err)
        return ERR_NOMEM;
    const uint8_t *copy = arena_copy(x->arena, now.p, now.n);
    if (!copy)
        return ERR_NOMEM;
    out->first.name = "frame";
    out->first.frame = bytes_of(copy, now.n);
    out->locks[out->n_locks++] = "frame";
    return 0;
}

static int seal_set(const struct plan_ctx *x, const struct feed_seal *seal, struct plan *out,
                    struct diag *diag)
{
    struct identity_list *l = arena_alloc(x->arena, sizeof *l);
    if (!l)
        return ERR_NOMEM;
    identity_list_init(l);
    int rc = identity_list_add_all(l, x->t);
    struct identity *had = identity_of_region(l, x->object);
    if (!rc && !had) {
        refuse(diag, "%s never joined: `meridian region remove %s` takes its row away", x->object,
               x->object);
        return ERR_CONFLICT;
    }
    if (rc)
        return rc;
    had->sealed = seal;
    // What it signs from now on counts for nothing: its machine may be in other hands.
    had->n[IDENTITY_TOKEN_KEY] = 0;
    had->n[IDENTITY_CONTROL_KEY] = 0;
    const char *text = identity_list_text(l, x->arena);
    if (!text)
        return ERR_NOMEM;
    return frame_set(x, text, out, diag);
}

static region_set unheard(const struct plan_ctx *x)
{
    struct control_place at;
    struct lifecycle_stored stored = {0};
    x->deps->place(x->deps->ctx, &at);
    if (x->deps->stored(x->deps->ctx, &at, &stored))
        return 0;
    return stored.unheard;
}

static int region_forget_plan(const struct plan_ctx *x, struct plan *out, struct diag *diag,
                              const char **out_code)
{
    static const char *const known[] = {"withoutAway"};
    struct lifecycle_origin *seen = arena_alloc(x->arena, sizeof *seen);
    struct forget_verdict *v = arena_alloc(x->arena, sizeof *v);
    struct forget_facts f = {.t = x->t, .region = x->object, .seen = seen};
    bool given;
    if (!seen || !v)
        return ERR_NOMEM;
    *seen = (struct lifecycle_origin){.said = 0};
    int rc = arguments_known(x->arguments, known, ARRAY_LEN(known), diag);
    if (!rc)
        rc = argument_switch(x->arguments, "withoutAway", &given, &f.without_away, diag);
    if (rc)
        return rc;
    if (topology_region(x->t, x->object) && x->deps->origin)
        rc = x->deps->origin(x->deps->ctx, x->t, x->object, seen);
    if (rc)
        return rc;
    f.unheard = unheard(x);
    rc = forget_judge(&f, x->arena, diag, v);
    if (rc == ERR_CONFLICT)
        *out_code = "Refused";
    if (rc)
        return rc;
    notes_add(x, topology_region(x->t, x->object), v, out);
    out->locks[out->n_locks++] = arena_printf(x->arena, "region/%s", x->object);
    if (!out->locks[0])
        return ERR_NOMEM;
    return seal_set(x, &v->seal, out, diag);
}

const struct verb verb_region_forget = {.noun = "region",
                                        .word = "forget",
                                        .right = CONTROL_RIGHT_REGIONS,
                                        .takes_away = true,
                                        .state = "Deleting",
                                        .plan = region_forget_plan};
