// SPDX-License-Identifier: Apache-2.0
// The record of a change of CAs, and what regions say of theirs; see ca_roll.h. Pure.
#include "fleet/ca_roll.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/json.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

static const char *const steps[] = {[CA_STEP_TRUST] = "trust",
                                    [CA_STEP_USE] = "use",
                                    [CA_STEP_DONE] = "done",
                                    [CA_STEP_CANCELLED] = "cancelled"};

const char *ca_step_name(enum ca_step s)
{
    return steps[s];
}

static bool fingerprint_ok(const char *s)
{
    return s && strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

// --- the record ---

int ca_record_format(const struct ca_record *r, struct buf *out)
{
    return json_text_add(json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b}", "step",
                                   steps[r->step], "old", r->old, "next", r->next, "certificate",
                                   r->certificate, "until", (json_int_t)r->until_ms, "made",
                                   (json_int_t)r->made_ms, "issue", (json_int_t)r->issue_ms, "used",
                                   (json_int_t)r->used_ms, "without_away", r->without_away),
                         out);
}

static bool step_parse(const char *text, enum ca_step *out)
{
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (strcmp(steps[i], text) != 0)
            continue;
        *out = (enum ca_step)i;
        return true;
    }
    return false;
}

int ca_record_parse(const char *json, struct ca_record *out)
{
    const char *step, *old, *next, *certificate;
    json_int_t until, made, issue, used;
    int without;
    struct ca_record r = {0};
    json_t *doc = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
    bool good =
        doc &&
        !json_unpack(doc, "{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:b}", "step", &step, "old",
                     &old, "next", &next, "certificate", &certificate, "until", &until, "made",
                     &made, "issue", &issue, "used", &used, "without_away", &without) &&
        step_parse(step, &r.step) && fingerprint_ok(old) && fingerprint_ok(next) &&
        strcmp(old, next) != 0 && strlen(certificate) < sizeof r.certificate && until >= 0 &&
        made >= 0 && issue >= 0 && used >= 0;
    if (good) {
        memcpy(r.old, old, sizeof r.old);
        memcpy(r.next, next, sizeof r.next);
        snprintf(r.certificate, sizeof r.certificate, "%s", certificate);
        r.until_ms = until;
        r.made_ms = made;
        r.issue_ms = issue;
        r.used_ms = used;
        r.without_away = without;
        *out = r;
    }
    json_decref(doc);
    if (good)
        return 0;
    return ERR_INVAL;
}

// --- a region's word ---

static json_t *list_json(const char list[][65], size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; a && i < n; i++)
        json_array_append_new(a, json_string(list[i]));
    return a;
}

int ca_word_format(const struct ca_word *w, struct buf *out)
{
    return json_text_add(json_pack("{s:o, s:o}", "trusts", list_json(w->trusts, w->n_trusts),
                                   "uses", list_json(w->uses, w->n_uses)),
                         out);
}

static bool list_parse(const json_t *a, char list[][65], size_t *out_n)
{
    if (!json_is_array(a) || json_array_size(a) > CA_ROLL_LIST)
        return false;
    for (size_t i = 0; i < json_array_size(a); i++) {
        const char *s = json_string_value(json_array_get(a, i));
        if (!fingerprint_ok(s))
            return false;
        memcpy(list[i], s, 65);
    }
    *out_n = json_array_size(a);
    return true;
}

int ca_word_parse(struct bytes json, struct ca_word *out)
{
    struct ca_word w = {0};
    json_t *doc = json_loadb((const char *)json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
    bool good = list_parse(json_object_get(doc, "trusts"), w.trusts, &w.n_trusts) &&
                list_parse(json_object_get(doc, "uses"), w.uses, &w.n_uses);
    json_decref(doc);
    if (!good)
        return ERR_INVAL;
    *out = w;
    return 0;
}

// --- all of them ---

static bool listed(const char list[][65], size_t n, const char *fingerprint)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i], fingerprint))
            return true;
    return false;
}

static void name_add(char *names, size_t cap, const char *region, const char *more)
{
    size_t n = strlen(names);
    snprintf(names + n, cap - n, "%s%s%s", n ? ", " : "", region, more);
}

static void word_count(struct ca_spread *x, const char *region, const char *more,
                       const struct ca_word *w, const struct ca_record *r)
{
    bool trusts = w && listed(w->trusts, w->n_trusts, r->next);
    if (trusts) {
        x->n_trust++;
    } else {
        x->n_without++;
        name_add(x->without, sizeof x->without, region, more);
    }
    // who cannot say what it uses, or has no certificate, does not hang on the old one
    if (w && (listed(w->uses, w->n_uses, r->old))) {
        x->n_old++;
        name_add(x->old, sizeof x->old, region, "");
    }
}

void ca_spread_judge(const char *us, const struct ca_word *own, const struct fleet_answers *answers,
                     const struct ca_record *r, struct ca_spread *out)
{
    struct ca_spread x = {.n_all = answers->n + 1};
    word_count(&x, us, "", own, r);
    for (size_t i = 0; i < answers->n; i++) {
        const struct fleet_one_answer *a = &answers->list[i];
        struct ca_word w;
        if (a->err) {
            x.n_away++;
            name_add(x.away, sizeof x.away, a->region, "");
            continue;
        }
        // it trusts nothing by this way
        const char *more = "";
        if (a->status == 404)
            more = " (an older version: upgrade meridiand there)";
        bool said = a->status == 200 && !ca_word_parse(bytes_of(a->body.p, a->body.n), &w);
        word_count(&x, a->region, more, said ? &w : NULL, r);
    }
    *out = x;
}
