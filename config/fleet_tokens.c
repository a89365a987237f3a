// SPDX-License-Identifier: Apache-2.0
// Named tokens of the fleet: those that have rights at the admin listener and no registry. See
// principals.h for the document, and named_tokens.c for what they share with the others.
//
// Such a token names the regions where it logs in, because each of them sees its password: one for
// each region is of no use to the others.
#include "config/principals_priv.h"

#include "base/err.h"
#include "base/mem.h"

#include <string.h>

const struct option_word admin_words[] = {
    {"admin/read", ADMIN_MAY_READ},
    {"admin/drain", ADMIN_MAY_DRAIN},
};
const size_t n_admin_words = ARRAY_LEN(admin_words);

int admin_word_parse(const char *word, unsigned *out)
{
    for (size_t i = 0; i < n_admin_words; i++)
        if (!strcmp(admin_words[i].word, word)) {
            *out = admin_words[i].value;
            return 0;
        }
    return ERR_INVAL;
}

void admin_words_format(unsigned rights, const char *between, struct buf *out)
{
    const char *first = "";
    for (size_t i = 0; i < n_admin_words; i++) {
        if (!(rights & admin_words[i].value))
            continue;
        buf_str(out, first);
        buf_str(out, admin_words[i].word);
        first = between;
    }
}

void fleet_token_build(struct option_ctx *ctx, const struct spec_token *in, struct named_token *out)
{
    if (in->registry || in->scope_map || in->n_repositories)
        options_error(ctx, in->node->line,
                      "token %s: admin stands in the place of registry, scope_map and repositories",
                      in->name);
    if (in->refresh)
        options_error(ctx, doc_key_line(in->node, "refresh"),
                      "token %s: refresh: a token of the fleet gets no refresh tokens", in->name);
    if (!in->n_regions)
        options_error(ctx, in->node->line,
                      "token %s: regions: missing; it says where the token logs in", in->name);
    out->registry = "";
    out->scope_map = "";
    out->n_repositories = 0;
    out->admin = in->admin;
    out->regions = in->regions;
    out->n_regions = in->n_regions;
}

void fleet_token_format(struct buf *b, const struct named_token *t)
{
    buf_str(b, "\n    admin: [");
    admin_words_format(t->admin, ", ", b);
    buf_str(b, "]\n    regions: ");
    patterns_format(b, t->regions, t->n_regions);
}

unsigned principal_admin_rights(const struct principal *p, const char *region)
{
    if (!p->enabled || !p->token)
        return 0;
    for (size_t i = 0; i < p->token->n_regions; i++)
        if (!strcmp(p->token->regions[i], region))
            return p->token->admin;
    return 0;
}
