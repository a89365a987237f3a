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

static enum word word_of(const struct fleet_one_answer *a, const struct control_place *p)
{
    if (a->err)
        return AWAY;
    json_t *o = NULL;
    if (a->status == 200)
        o = json_loadb(buf_cstr(&a->body), a->body.n, JSON_REJECT_DUPLICATES, NULL);
    json_int_t epoch = json_integer_value(json_object_get(o, "epoch")),
               seq = json_integer_value(json_object_get(o, "seq"));
    json_decref(o);
    if (epoch < 0 || seq < 0 || (uint64_t)epoch < p->epoch || (uint64_t)seq < p->seq)
        return BEHIND;
    return STORED;
}

static void name_add(struct peer_spread *x, const char *region)
{
    size_t n = strlen(x->waits_for);
    snprintf(x->waits_for + n, sizeof x->waits_for - n, "%s%s", n ? ", " : "", region);
}

void peer_spread_judge(const struct fleet_answers *answers, const struct control_place *p,
                       struct peer_spread *out)
{
    struct peer_spread x = {0};
    size_t n_all = answers->n + 1;
    for (size_t i = 0; i < answers->n; i++) {
        enum word w = word_of(&answers->list[i], p);
        x.n_stored += w == STORED;
        x.n_behind += w == BEHIND;
        x.n_away += w == AWAY;
    }
    bool majority = 2 * (x.n_stored + 1) > n_all;
    for (size_t i = 0; i < answers->n; i++) {
        enum word w = word_of(&answers->list[i], p);
        if (w == BEHIND || (w == AWAY && !majority))
            name_add(&x, answers->list[i].region);
    }
    x.enough = majority && !x.n_behind;
    *out = x;
}

int peer_spread_ask(const struct fleet_caller *by, const struct topology *t,
                    const struct control_place *p, struct peer_spread *out)
{
    static const struct fleet_ask_limits limits = {.timeout_ms = ASK_MS, .max_bytes = ANSWER_BYTES};
    struct fleet_answers *answers = NULL;
    int rc = fleet_ask_all(by, t, PLACE_TARGET, &limits, &answers);
    if (rc)
        return rc;
    peer_spread_judge(answers, p, out);
    fleet_answers_free(answers);
    return 0;
}
