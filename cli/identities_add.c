// SPDX-License-Identifier: Apache-2.0
// `meridian identities add`: the public half of a region's next key comes into the topology, so that
// all regions trust it before its first use. The private half stays on that region's node, which
// made it. Peer certificates are not added here: with the control feed they come by themselves, and
// with files by `meridian init`.
#include "cli/edit.h"
#include "cli/identities.h"
#include "control/identity_list.h"

#include "base/err.h"
#include "base/mem.h"
#include "certs/signing_key.h"

#include <stdio.h>
#include <string.h>

struct adding {
    const char *region, *id;
    enum identity_kind kind;
};

// As certs/keys.h names keys.
static const char *key_use(enum identity_kind kind)
{
    switch (kind) {
    case IDENTITY_TOKEN_KEY:
        return "token";
    case IDENTITY_FEED_KEY:
        return "feed";
    case IDENTITY_CONTROL_KEY:
        return "ctl";
    default:
        return NULL;
    }
}

static bool outcome_holds(const struct topology *t, const void *ctx)
{
    const struct adding *x = ctx;
    struct identity_list l;
    identity_list_init(&l);
    if (identity_list_add_all(&l, t))
        return false;
    struct identity *of = identity_of_region(&l, x->region);
    return of && identity_find(of, x->kind, x->id);
}

static int add(struct cli *c, struct adding *x, const char *spki)
{
    struct identity_list *l = arena_alloc(&c->arena, sizeof *l);
    if (!l)
        return cli_fail(EXIT_FAILED, "out of memory");
    identity_list_init(l);
    if (identity_list_add_all(l, c->topo))
        return cli_fail(EXIT_FAILED, "%s: its identities cannot be taken", edit_name(c));
    int rc = identity_add(l, x->region, x->kind, (struct identity_item){.id = x->id, .key = spki});
    if (rc == ERR_TOOBIG)
        return cli_fail(EXIT_FAILED,
                        "%s has as many of these keys as a region may have: drop old ones with "
                        "`meridian identities retire`",
                        x->region);
    if (rc < 0)
        return cli_fail(EXIT_FAILED, "%s of %s: %s", x->id, x->region, err_text(rc));
    const char *now = "is in the topology already";
    if (rc) {
        const struct edit_section s = {"identities", identity_list_text(l, &c->arena)};
        if (!s.text)
            return cli_fail(EXIT_FAILED, "out of memory");
        rc = edit_commit(c, &s, 1, outcome_holds, x);
        now = "is in the topology: its region may use it once all regions have that";
    }
    if (rc)
        return rc;
    return cli_done(c,
                    json_pack("{s:s, s:s, s:s}", "region", x->region, "what",
                              identity_kind_name(x->kind), "id", x->id),
                    "%s %s of %s %s", identity_kind_name(x->kind), x->id, x->region, now);
}

int identities_add(struct cli *c, int argc, char **argv)
{
    const char *spki = NULL;
    struct adding x = {0};
    char hex[65];
    const struct opt rows[] = {
        {0, "public-key", "BASE64", "the public half, SubjectPublicKeyInfo", &spki, NULL}};
    int rc = opt_parse(c, rows, ARRAY_LEN(rows), argc, argv, &argc);
    if (rc)
        return rc;
    if (argc != 3 || !spki)
        return cli_fail(EXIT_USAGE, "identities add: name a region, what the key is for, and the "
                                    "key: REGION token-key|feed-key|control-key --public-key "
                                    "BASE64");
    if (identity_kind_parse(argv[2], &x.kind) || !key_use(x.kind))
        return cli_fail(EXIT_USAGE,
                        "identities add: %s: expected token-key, feed-key or control-key", argv[2]);
    if (strpbrk(spki, "\"\\\n ") || signing_key_fingerprint(spki, hex))
        return cli_fail(EXIT_USAGE,
                        "--public-key: expected a SubjectPublicKeyInfo in base64, on one line "
                        "(openssl pkey -pubout -outform DER | base64 -w0)");
    rc = edit_begin(c);
    if (!rc && !cli_region(c, argv[1]))
        rc = EXIT_FAILED;
    if (rc)
        return rc;
    x.region = argv[1];
    x.id = arena_printf(&c->arena, "%s-%s-%.8s", argv[1], key_use(x.kind), hex);
    if (!x.id)
        return cli_fail(EXIT_FAILED, "out of memory");
    return add(c, &x, spki);
}
