// SPDX-License-Identifier: Apache-2.0
// See members_heard.h.
#include "daemon/members_heard.h"

#include "config/member_probe.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct heard {
    // the member's own region got an answer that is not the right one
    bool right, wrong;
    // of the first that did not get the right answer; the member's own region goes first
    const char *by, *error;
};

static bool text_is(const json_t *of, const char *member, const char *text)
{
    const char *is = json_string_value(json_object_get(of, member));
    return is && !strcmp(is, text);
}

static int64_t age_of(const json_t *of)
{
    json_int_t ms = json_integer_value(json_object_get(of, "ageMs"));
    if (ms < 0 || ms > MEMBERS_HEARD_MS)
        return MEMBERS_HEARD_MS + 1;
    return ms;
}

static void take(const json_t *one, const char *by, bool own, struct heard *h)
{
    const char *error = json_string_value(json_object_get(one, "error"));
    if (!error)
        return;
    if (!*error) {
        h->right = true;
        return;
    }
    if (!h->error || own) {
        h->by = by;
        h->error = error;
    }
    if (own && json_is_string(json_object_get(one, "region")))
        h->wrong = true;
}

static void take_report(const json_t *report, const struct topology *t, const char *endpoint,
                        const struct private_member *m, struct heard *h)
{
    const char *by = json_string_value(json_object_get(report, "region"));
    char ip[IP_TEXT_SIZE], key[MEMBER_KEY_SIZE];
    int64_t age_ms = age_of(report);
    size_t i;
    json_t *one;
    ip_format(&m->ip, ip);
    private_member_key(t, m, key);
    json_array_foreach(json_object_get(report, "members"), i, one)
    {
        bool is = text_is(one, "name", endpoint) && text_is(one, "member", key) &&
                  text_is(one, "address", ip);
        bool own = by && m->region != REGION_NONE && !strcmp(t->regions[m->region].name, by);
        if (by && is && age_ms + age_of(one) <= MEMBERS_HEARD_MS)
            take(one, by, own, h);
    }
}

// Without the letter at the end that was cut in two: what a region says is UTF-8, and goes into JSON.
static void letters_end(char *s)
{
    size_t n = strlen(s), at = n, size = 1;
    while (at && ((uint8_t)s[at - 1] & 0xc0) == 0x80)
        at--;
    if (!at)
        return;
    uint8_t lead = (uint8_t)s[at - 1];
    if (lead >= 0xf0)
        size = 4;
    else if (lead >= 0xe0)
        size = 3;
    else if (lead >= 0xc0)
        size = 2;
    if (n - (at - 1) < size)
        s[at - 1] = '\0';
}

static void say(const struct topology *t, const char *endpoint, const struct private_member *m,
                const struct heard *h, struct lifecycle_unheard *out)
{
    char ip[IP_TEXT_SIZE], key[MEMBER_KEY_SIZE];
    if (out->n++)
        return;
    ip_format(&m->ip, ip);
    private_member_key(t, m, key);
    if (h->error)
        snprintf(out->what, sizeof out->what, "%s (%s of %s), as region %s hears: %.100s", ip, key,
                 endpoint, h->by, h->error);
    else
        snprintf(out->what, sizeof out->what, "%s (%s of %s): no region has asked there yet", ip,
                 key, endpoint);
    letters_end(out->what);
}

void members_unheard(const void *reports, const struct topology *t, const char *endpoint,
                     struct lifecycle_unheard *out)
{
    const struct registry *r = NULL;
    const struct private_endpoint *pe = topology_private_endpoint(t, endpoint, &r);
    *out = (struct lifecycle_unheard){0};
    for (size_t k = 0; pe && r && k < pe->n_members; k++) {
        struct heard h = {0};
        size_t i;
        json_t *report;
        if (!private_member_waits(r, pe, &pe->members[k]))
            continue;
        json_array_foreach((const json_t *)reports, i, report)
            take_report(report, t, endpoint, &pe->members[k], &h);
        if (!h.right || h.wrong)
            say(t, endpoint, &pe->members[k], &h, out);
    }
}
