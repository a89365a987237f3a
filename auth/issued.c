// SPDX-License-Identifier: Apache-2.0
// The list of refresh tokens; see issued.h. A line is an event of an audit log of its own: the
// token's id is its reference, and its detail has what the token says of itself.
#include "auth/issued.h"

#include "auth/audit.h"
#include "auth/oidc_priv.h"
#include "auth/token_priv.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLUSH_MS 2000
#define DETAIL_SIZE 128

struct issued {
    struct audit *lines;
    char *region;
};

int issued_open(const char *dir, const char *region, struct diag *diag, struct issued **out)
{
    struct issued *i = mem_zalloc(sizeof *i);
    if (!i)
        return ERR_NOMEM;
    AUTO_FREE char *path = mem_printf("%s/issued-tokens.log", dir);
    i->region = mem_strdup(region);
    int rc = ERR_NOMEM;
    const struct audit_options o = {
        .path = path, .max_bytes = ISSUED_MAX_BYTES / 2, .keep = 1, .region = region, .stamp = ""};
    if (path && i->region)
        rc = audit_start(&o, diag, &i->lines);
    if (rc)
        issued_close(i);
    else
        *out = i;
    return rc;
}

void issued_close(struct issued *i)
{
    if (!i)
        return;
    audit_stop(i->lines);
    free(i->region);
    free(i);
}

void issued_note(struct issued *i, const struct issued_token *t)
{
    char detail[DETAIL_SIZE], until[CLOCK_TEXT_SIZE];
    if (!i)
        return;
    snprintf(detail, sizeof detail, "%s %" PRIu64 " %s", clock_format_s(t->expires_s, until),
             t->generation, t->password ? t->password : "-");
    audit_write(i->lines, &(struct audit_event){.what = "issued",
                                                .outcome = "done",
                                                .principal = t->principal,
                                                .client = t->client,
                                                .registry = t->registry,
                                                .reference = t->id,
                                                .detail = detail});
}

// --- reading ---

struct line { // of the list; strings hang off its JSON
    const char *id, *principal;
    int64_t expires_s;
    uint64_t generation;
    // "": none
    char password[REFRESH_PASSWORD_SIZE];
};

// "2026-12-30T10:00:00Z 3 9f86d081884c7d65"
static bool detail_read(const char *detail, struct line *out)
{
    char until[CLOCK_TEXT_SIZE];
    const char *generation = strchr(detail, ' '), *password = NULL;
    if (generation)
        password = strchr(++generation, ' ');
    if (!password || strlen(++password) >= sizeof out->password)
        return false;
    size_t digits = strspn(generation, "0123456789");
    if (!digits || digits > 19 || generation[digits] != ' ')
        return false;
    snprintf(until, sizeof until, "%.*s", (int)strcspn(detail, " "), detail);
    out->generation = strtoull(generation, NULL, 10);
    if (strcmp(password, "-") != 0)
        snprintf(out->password, sizeof out->password, "%s", password);
    return !clock_parse_s(until, &out->expires_s);
}

// False: it is none of ours, or cut.
static bool line_read(const json_t *o, struct line *out)
{
    const char *detail = json_string_value(json_object_get(o, "detail"));
    *out = (struct line){.id = json_string_value(json_object_get(o, "reference")),
                         .principal = json_string_value(json_object_get(o, "principal"))};
    return out->id && out->principal && detail && detail_read(detail, out);
}

// Somebody whom another issuer vouched for stands in no document, but in a rule.
static const struct principal *holder_of(const struct line *l, const struct principals *all,
                                         const char *registry, struct arena *a)
{
    if (!strncmp(l->principal, PRINCIPAL_OIDC, strlen(PRINCIPAL_OIDC)))
        return oidc_principal(all, registry, l->principal, l->generation, a);
    return principals_find(all, l->principal);
}

static const char *state_of(const struct line *l, const struct principals *all,
                            const struct principal *who, int64_t now_s)
{
    if (principals_revoked(all, l->id))
        return "revoked";
    if (l->expires_s <= now_s)
        return "expired";
    if (!who || !who->enabled || who->generation != l->generation || !principal_refreshes(who))
        return "ended";
    if (!refresh_password_holds(who, *l->password ? l->password : NULL, now_s))
        return "ended";
    return "valid";
}

// NULL: no memory.
static json_t *token_json(const json_t *o, const struct line *l, const char *state)
{
    char until[CLOCK_TEXT_SIZE];
    const char *at = json_string_value(json_object_get(o, "time"));
    const char *client = json_string_value(json_object_get(o, "client"));
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "id", l->id, "principal", l->principal,
                     "client", client ? client : "", "issued", at ? at : "", "expires",
                     clock_format_s(l->expires_s, until), "state", state);
}

// NULL: no memory.
static json_t *tokens_json(const json_t *lines, const struct issued_ask *ask,
                           const struct principals *all)
{
    json_t *list = json_array(), *o;
    size_t i;
    struct arena a;
    int64_t now_s = clock_wall_ms() / 1000;
    arena_init(&a, 0);
    json_array_foreach(lines, i, o)
    {
        struct line l;
        if (!line_read(o, &l) || (ask->principal && strcmp(ask->principal, l.principal) != 0))
            continue;
        const struct principal *who = holder_of(&l, all, ask->registry, &a);
        if (!json_array_append_new(list, token_json(o, &l, state_of(&l, all, who, now_s))))
            continue;
        json_decref(list);
        list = NULL;
        break;
    }
    arena_done(&a);
    return list;
}

static int page_json(const struct issued *i, const struct audit_page *page,
                     const struct issued_ask *ask, const struct principals *all, json_t **out)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 0);
    buf_u8(&text, '[');
    buf_add(&text, page->lines.p, page->lines.n);
    buf_u8(&text, ']');
    json_t *lines = NULL, *doc = NULL;
    if (!text.err)
        lines = json_loadb(text.p, text.n, 0, NULL);
    if (lines)
        doc = json_pack("{s:s, s:o, s:s}", "region", i->region, "tokens",
                        tokens_json(lines, ask, all), "next", page->next);
    json_decref(lines);
    if (!doc)
        return ERR_NOMEM;
    *out = doc;
    return 0;
}

int issued_read(struct issued *i, const struct issued_ask *ask, const struct principals *all,
                json_t **out)
{
    struct audit_page page;
    const struct audit_ask of = {.registry = ask->registry, .n = ask->n, .cursor = ask->cursor};
    audit_flush(i->lines, FLUSH_MS); // what is not written yet comes with a later question
    int rc = audit_read(i->lines, &of, &page);
    if (!rc)
        rc = page_json(i, &page, ask, all, out);
    audit_page_done(&page);
    return rc;
}
