// SPDX-License-Identifier: Apache-2.0
// What principals may not take back; see principals_follow.h.
#include "control/principals_follow.h"

#include "base/clock.h"

#define REFUSALS_TOLD 8

struct judging {
    const struct principals *before, *next;
    struct diag *diag;
    size_t n;
};

static bool counts(struct judging *j)
{
    return ++j->n <= REFUSALS_TOLD;
}

static void judge_generation(struct judging *j, const struct principal *old)
{
    const struct principal *now = principals_find(j->next, old->name);
    if (!now || now->generation >= old->generation || !counts(j))
        return;
    diag_add(
        j->diag, j->next->source, 0,
        "%s %s: generation %llu is below %llu, which is in force: its refresh tokens that were "
        "revoked would be good again. Set it to %llu or higher",
        old->token ? "token" : "user", old->name, (unsigned long long)now->generation,
        (unsigned long long)old->generation, (unsigned long long)old->generation);
}

static void judge_revoked(struct judging *j, const struct revoked_token *r, int64_t now_s)
{
    char end[CLOCK_TEXT_SIZE];
    if (r->expires_s <= now_s || principals_revoked(j->next, r->id) || !counts(j))
        return;
    diag_add(
        j->diag, j->next->source, 0,
        "revoked: the token %s is not listed any more, and ends by itself only at %s: it would "
        "be good again. Add {id: %s, expires: %s}",
        r->id, clock_format_s(r->expires_s, end), r->id, end);
}

bool principals_may_follow(const struct principals *before, const struct principals *next,
                           int64_t now_s, struct diag *diag)
{
    struct judging j = {before, next, diag, 0};
    for (size_t i = 0; i < before->n_users; i++)
        judge_generation(&j, &before->users[i]);
    for (size_t i = 0; i < before->n_tokens; i++)
        judge_generation(&j, &before->tokens[i]);
    for (size_t i = 0; i < before->n_revoked; i++)
        judge_revoked(&j, &before->revoked[i], now_s);
    if (j.n > REFUSALS_TOLD)
        diag_add(diag, next->source, 0, "and so of %zu more", j.n - REFUSALS_TOLD);
    return !j.n;
}
