// SPDX-License-Identifier: Apache-2.0
// Asking who has stored what, at once; see peer_spread.h. Any thread; no state.
#include "fleet/peer_spread.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define PLACE_TARGET "/control/v1/place"
#define ASK_MS 2000
#define ANSWER_BYTES 1024

enum word { STORED, BEHIND, AWAY };

// The rule of heard.h, but for one thing: that one takes nobody's word who is further than this
// region. A writer asks so there, and nobody is further than the writer unless its disk is an old
// copy. Here any region asks, and on a busy feed another one is an entry further as a rule: its
// word counts, if it is of the epoch in force here.
static bool covers(const struct control_place *at, const struct peer_spread_from *from)
{
    struct heard_own own = from->own;
    if (!from->we_write && at->epoch == own.place.epoch && at->seq > own.place.seq)
        own.place = *at;
    return heard_covers(at, &from->place, &own);
}

static enum word word_of(const struct fleet_one_answer *a, const struct peer_spread_from *from)
{
    struct control_place at;
    if (a->err)
        return AWAY;
    if (a->status != 200)
        return BEHIND;
    json_t *doc = json_loadb(buf_cstr(&a->body), a->body.n, JSON_REJECT_DUPLICATES, NULL);
    bool has = !fleet_place_read(doc, &at) && covers(&at, from);
    json_decref(doc);
    if (has)
        return STORED;
    return BEHIND;
}

static void name_add(struct peer_spread *x, const char *region)
{
    size_t n = strlen(x->waits_for);
    snprintf(x->waits_for + n, sizeof x->waits_for - n, "%s%s", n ? ", " : "", region);
}

void peer_spread_judge(const struct fleet_answers *answers, const struct peer_spread_from *from,
                       struct peer_spread *out)
{
    struct peer_spread x = {0};
    size_t n_all = answers->n + 1;
    for (size_t i = 0; i < answers->n; i++) {
        enum word w = word_of(&answers->list[i], from);
        x.n_stored += w == STORED;
        x.n_behind += w == BEHIND;
        x.n_away += w == AWAY;
    }
    bool majority = 2 * (x.n_stored + 1) > n_all;
    for (size_t i = 0; i < answers->n; i++) {
        enum word w = word_of(&answers->list[i], from);
        if (w == BEHIND || (w == AWAY && !majority))
            name_add(&x, answers->list[i].region);
    }
    x.enough = majority && !x.n_behind;
    *out = x;
}

int peer_spread_ask(const struct fleet_caller *by, const struct topology *t,
                    const struct peer_spread_from *from, struct peer_spread *out)
{
    static const struct fleet_ask_limits limits = {.timeout_ms = ASK_MS, .max_bytes = ANSWER_BYTES};
    struct fleet_answers *answers = NULL;
    int rc = fleet_ask_all(by, t, PLACE_TARGET, &limits, &answers);
    if (rc)
        return rc;
    peer_spread_judge(answers, from, out);
    fleet_answers_free(answers);
    return 0;
}

// In the log in force: of its epoch, or before that began.
static bool is_in_force(const struct control_place *p, const struct heard_own *own)
{
    return p->epoch == own->applied.epoch || control_place_compare(p, &own->epoch_from) <= 0;
}

void peer_named_note(struct peer_named *n, const char *fingerprint, const struct heard_own *own)
{
    if (strcmp(n->fingerprint, fingerprint) == 0 && is_in_force(&n->place, own))
        return;
    snprintf(n->fingerprint, sizeof n->fingerprint, "%s", fingerprint);
    n->place = own->applied;
}
