// SPDX-License-Identifier: Apache-2.0
// How the CA's region asks a writer elsewhere for the next record, and which record may come after
// which; see ca_roll.h. Pure.
#include "fleet/ca_roll.h"

#include "base/err.h"
#include "certs/signed_text.h"

#include <jansson.h>
#include <string.h>

// --- the request ---

int ca_request_format(const struct topology *t, const char *region, const struct ca_record *record,
                      const struct control_place *place, struct region_keys *keys, struct buf *out)
{
    AUTO_BUF struct buf text;
    char at[CONTROL_PLACE_TEXT_SIZE];
    buf_init(&text, CA_ROLL_RECORD_BYTES);
    int rc = ca_record_format(record, &text);
    if (rc)
        return rc;
    return signed_text_format(CA_ROLL_PREFIX,
                              json_pack("{s:i, s:s, s:s, s:s, s:s}", "v", 1, "domain", t->domain,
                                        "region", region, "record", buf_cstr(&text), "place",
                                        control_place_format(place, at)),
                              keys, out);
}

int ca_request_parse(const struct topology *t, const char *from, struct bytes body,
                     struct diag *diag, struct ca_record *out, struct control_place *out_place)
{
    json_t *o;
    struct ca_record record;
    struct control_place place;
    if (!t->ca_region || strcmp(t->ca_region, from) != 0)
        return signed_text_refuse(diag, "the private CA is not that region's");
    int rc = signed_text_parse(t, from, CA_ROLL_PREFIX, body, diag, &o);
    if (rc)
        return rc;
    const char *text = signed_text_member(o, "record"), *at = signed_text_member(o, "place");
    bool good = text && at && !ca_record_parse(text, &record) &&
                !control_place_parse(at, strlen(at), &place);
    json_decref(o);
    if (!good)
        return signed_text_refuse(diag,
                                  "what was signed is no request of a form that is known here");
    *out = record;
    *out_place = place;
    return 0;
}

// --- which record may come next ---

static bool same_change(const struct ca_record *a, const struct ca_record *b)
{
    return !strcmp(a->old, b->old) && !strcmp(a->next, b->next) &&
           !strcmp(a->certificate, b->certificate) && a->until_ms == b->until_ms &&
           a->made_ms == b->made_ms && a->issue_ms == b->issue_ms;
}

static bool goes_back(const struct ca_record *now, const struct ca_record *next)
{
    return !strcmp(now->old, next->next) && !strcmp(now->next, next->old);
}

static bool fits(const struct ca_record *now, const struct ca_record *next)
{
    bool goes_on = now && same_change(now, next);
    switch (next->step) {
    case CA_STEP_TRUST:
        if (!now || now->step == CA_STEP_DONE || now->step == CA_STEP_CANCELLED)
            return true;
        return goes_on && now->step == CA_STEP_TRUST;
    case CA_STEP_USE:
        if (now && now->step == CA_STEP_USE)
            return goes_back(now, next);
        return goes_on && now->step == CA_STEP_TRUST;
    case CA_STEP_DONE:
        return goes_on && now->step == CA_STEP_USE;
    case CA_STEP_CANCELLED:
        return goes_on && now->step == CA_STEP_TRUST;
    }
    return false;
}

int ca_record_may_follow(const struct ca_record *now, const struct ca_record *next,
                         struct diag *diag)
{
    if (fits(now, next))
        return 0;
    diag_add(diag, NULL, 0,
             "the request is refused: step %s of the CA %.16s does not come after what is so (%s)",
             ca_step_name(next->step), next->next, now ? ca_step_name(now->step) : "none");
    return ERR_DENIED;
}
