// SPDX-License-Identifier: Apache-2.0
// Principals: the file with password hashes. It must not be readable by group or others; the check
// is made on the descriptor that is then read. See principals.h; named_tokens.c reads the sections
// scope_maps and tokens.
#include "config/principals_priv.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/issuers.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRINCIPALS_MAX_BYTES (16u << 20)
#define REVOKED_MAX 65536

struct spec_user {
    const struct doc_node *node;
    const char *name, *password_hash;
    uint64_t generation;
    bool enabled;
    const struct spec_grant *grants;
    size_t n_grants;
};

struct spec_revoked {
    const struct doc_node *node;
    const char *id, *expires;
};

struct spec_principals {
    uint64_t version;
    const struct spec_user *users;
    size_t n_users;
    const struct spec_scope_map *scope_maps;
    size_t n_scope_maps;
    const struct spec_token *tokens;
    size_t n_tokens;
    const struct spec_issuer *issuers;
    size_t n_issuers;
    const struct spec_revoked *revoked;
    size_t n_revoked;
};

bool principal_name_ok(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (s[i] < 0x21 || s[i] > 0x7e || s[i] == ':')
            return false;
    return n >= 1 && n <= PRINCIPAL_NAME_MAX;
}

static bool is_printable(const char *s)
{
    for (; *s; s++)
        if (*s < 0x21 || *s > 0x7e)
            return false;
    return true;
}

bool principal_subject_ok(const char *s)
{
    size_t n = strlen(PRINCIPAL_OIDC);
    if (principal_name_ok(s))
        return true;
    if (strlen(s) > PRINCIPAL_SUBJECT_MAX || strncmp(s, PRINCIPAL_OIDC, n) != 0)
        return false;
    const char *colon = strchr(s + n, ':');
    return colon && colon > s + n && colon[1] && is_printable(s);
}

bool principal_hash_ok(const char *s)
{
    static const char crypt_letters[] =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz$=";
    size_t n = strlen(s);
    if (strspn(s, crypt_letters) != n)
        return false;
    if (!strncmp(s, "$2a$", 4) || !strncmp(s, "$2b$", 4) || !strncmp(s, "$2y$", 4))
        return n == 60 && s[4] >= '0' && s[4] <= '3' && s[5] >= '0' && s[5] <= '9' && s[6] == '$';
    return !strncmp(s, "$y$", 3) && n >= 40 && n <= 256;
}

static const struct option user_rows[] = {
    {"name", OPT_STRING, OPT_AT(struct spec_user, name), .required = true,
     .check = principal_name_ok, .example = "ada",
     .expect = "1 to 128 printable ASCII characters without blanks and colons",
     .help = "the user's name"},
    {"password_hash", OPT_STRING, OPT_AT(struct spec_user, password_hash), .required = true,
     .help = "a crypt(5) hash, yescrypt or bcrypt"},
    {"generation", OPT_INT, OPT_AT(struct spec_user, generation), .def = "1", .max = INT64_MAX,
     .help = "raising it revokes the user's refresh tokens"},
    {"enabled", OPT_BOOL, OPT_AT(struct spec_user, enabled), .def = "true",
     .help = "whether the user may log in"},
    {"grants", OPT_LIST, OPT_ARRAY_AT(struct spec_user, grants, n_grants), .max = 4096,
     .sub = &grant_set, .help = "what the user may do"},
};
static const struct option_set user_set = {
    user_rows, ARRAY_LEN(user_rows), sizeof(struct spec_user), offsetof(struct spec_user, node)};

static const struct option revoked_rows[] = {
    {"id", OPT_STRING, OPT_AT(struct spec_revoked, id), .required = true,
     .check = principal_name_ok, .expect = "a token's id: printable, without blanks and colons",
     .help = "the id of the token (jti)"},
    {"expires", OPT_STRING, OPT_AT(struct spec_revoked, expires), .required = true,
     .help = "when the token ends by itself: then the entry goes"},
};
static const struct option_set revoked_set = {revoked_rows, ARRAY_LEN(revoked_rows),
                                              sizeof(struct spec_revoked),
                                              offsetof(struct spec_revoked, node)};

static const struct option principals_rows[] = {
    {"version", OPT_INT, OPT_AT(struct spec_principals, version), .def = "0", .max = INT64_MAX,
     .help = "the document's version, which only goes up; without one every edit is taken"},
    {"users", OPT_LIST, OPT_ARRAY_AT(struct spec_principals, users, n_users), .sub = &user_set,
     .help = "the users"},
    {"scope_maps", OPT_LIST, OPT_ARRAY_AT(struct spec_principals, scope_maps, n_scope_maps),
     .sub = &scope_map_set, .help = "what named tokens may do"},
    {"tokens", OPT_LIST, OPT_ARRAY_AT(struct spec_principals, tokens, n_tokens), .sub = &token_set,
     .help = "named tokens: what machines log in with"},
    {"issuers", OPT_LIST, OPT_ARRAY_AT(struct spec_principals, issuers, n_issuers),
     .max = ISSUERS_MAX, .sub = &issuer_set,
     .help = "issuers of identities (OpenID Connect), whose tokens are exchanged for ours"},
    {"revoked", OPT_LIST, OPT_ARRAY_AT(struct spec_principals, revoked, n_revoked),
     .max = REVOKED_MAX, .sub = &revoked_set, .help = "tokens that are none any more"},
};
static const struct option_set principals_set = {principals_rows, ARRAY_LEN(principals_rows),
                                                 sizeof(struct spec_principals), OPT_NO_NODE};

static void principals_free(void *self)
{
    struct principals *p = self;
    htab_free(p->by_name);
    htab_free(p->revoked_by_id);
    arena_done(&p->arena);
    free(p);
}

void *spec_room(struct option_ctx *ctx, size_t n, size_t size)
{
    void *p = arena_array(ctx->arena, n ? n : 1, size);
    if (!p)
        ctx->nomem = true;
    return p;
}

void principal_index(struct option_ctx *ctx, struct principals *p, const char *what, int line,
                     const struct principal *one)
{
    size_t n = strlen(one->name);
    const struct principal *there = htab_get(p->by_name, one->name, n);
    if (there && !there->token == !one->token)
        options_error(ctx, line, "%s %s is given twice", what, one->name);
    else if (there)
        options_error(ctx, line, "%s %s: a user has this name", what, one->name);
    else if (htab_put(p->by_name, one->name, n, (void *)one))
        ctx->nomem = true;
}

static void build_user(struct option_ctx *ctx, struct principals *p, const struct spec_user *in,
                       struct principal *u)
{
    struct grant *grants = spec_room(ctx, in->n_grants, sizeof *grants);
    for (size_t i = 0; grants && i < in->n_grants; i++)
        grants[i] = (struct grant){in->grants[i].registry, in->grants[i].repositories,
                                   in->grants[i].n_repositories, in->grants[i].actions};
    *u = (struct principal){.name = in->name,
                            .password_hash = in->password_hash,
                            .generation = in->generation,
                            .enabled = in->enabled,
                            .grants = grants,
                            .n_grants = in->n_grants};
    // The value itself is never shown: it is a secret, even when it is not a hash.
    if (in->password_hash && !principal_hash_ok(in->password_hash))
        options_error(ctx, doc_key_line(in->node, "password_hash"),
                      "user %s: password_hash: expected a yescrypt ($y$) or bcrypt ($2a$, $2b$, "
                      "$2y$) hash; meridian user "
                      "makes one",
                      in->name ? in->name : "?");
    if (in->name)
        principal_index(ctx, p, "user", doc_key_line(in->node, "name"), u);
}

static void revoked_build(struct option_ctx *ctx, struct principals *p,
                          const struct spec_revoked *in, size_t n)
{
    struct revoked_token *list = spec_room(ctx, n, sizeof *list);
    for (size_t i = 0; list && i < n && !ctx->nomem; i++) {
        list[i].id = in[i].id;
        if (in[i].expires && clock_parse_s(in[i].expires, &list[i].expires_s))
            options_error(ctx, doc_key_line(in[i].node, "expires"),
                          "revoked: expires: expected a time in UTC, as in 2026-11-30T10:00:00Z");
        int rc = 0;
        if (in[i].id)
            rc = htab_put(p->revoked_by_id, in[i].id, strlen(in[i].id), &list[i]);
        if (rc == ERR_NOMEM) // one that stands there twice is revoked all the same
            ctx->nomem = true;
    }
    p->revoked = list;
    p->n_revoked = n;
}

static int build(struct option_ctx *ctx, const struct doc_node *root, struct principals *p)
{
    struct spec_principals spec = {0};
    options_apply(ctx, &principals_set, root, "", &spec);
    struct principal *users = spec_room(ctx, spec.n_users, sizeof *users);
    for (size_t i = 0; users && i < spec.n_users && !ctx->nomem; i++)
        build_user(ctx, p, &spec.users[i], &users[i]);
    p->version = spec.version;
    p->users = users;
    p->n_users = spec.n_users;
    scope_maps_build(ctx, p, spec.scope_maps, spec.n_scope_maps);
    tokens_build(ctx, p, spec.tokens, spec.n_tokens);
    issuers_build(ctx, p, spec.issuers, spec.n_issuers);
    revoked_build(ctx, p, spec.revoked, spec.n_revoked);
    return option_ctx_result(ctx);
}

int principals_parse(const char *text, size_t n, const char *source, struct diag *diag,
                     struct principals **out)
{
    if (n > PRINCIPALS_MAX_BYTES) {
        diag_add(diag, source, 0, "larger than %u bytes", PRINCIPALS_MAX_BYTES);
        return ERR_TOOBIG;
    }
    struct principals *p = mem_zalloc(sizeof *p);
    if (!p)
        return ERR_NOMEM;
    snapshot_head_init(&p->head, principals_free);
    arena_init(&p->arena, 0);
    p->by_name = htab_new();
    p->revoked_by_id = htab_new();
    p->passwords_max = 1;
    p->source = arena_strdup(&p->arena, source);
    p->loaded_at_ms = clock_wall_ms();
    struct option_ctx ctx = {.source = source, .diag = diag, .arena = &p->arena};
    struct doc_node *root;
    int rc = ERR_NOMEM;
    if (p->by_name && p->revoked_by_id && p->source)
        rc = doc_parse(text, n, source, &p->arena, diag, &root);
    if (!rc)
        rc = build(&ctx, root, p);
    if (rc == ERR_NOMEM)
        diag_add(diag, source, 0, "out of memory while reading it");
    if (rc)
        principals_free(p);
    else
        *out = p;
    return rc;
}

static int read_private(const char *path, struct diag *diag, struct buf *text)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st)) {
        int rc = err_from_errno(errno);
        diag_add(diag, path, 0, "cannot read the principals: %s", err_text(rc));
        return rc;
    }
    if (!S_ISREG(st.st_mode)) {
        diag_add(diag, path, 0, "the principals must be a regular file");
        return ERR_INVAL;
    }
    if (st.st_mode & 077) {
        diag_add(diag, path, 0,
                 "holds password hashes and may be read by its owner only, but its mode is %04o; "
                 "run: chmod 600 %s",
                 (unsigned)(st.st_mode & 07777), path);
        return ERR_DENIED;
    }
    for (;;) {
        char *to = buf_room(text, 16384);
        ssize_t r = 0;
        if (to)
            r = read(fd, to, 16384);
        if (r < 0 && errno == EINTR)
            continue;
        if (r > 0)
            text->n += (size_t)r;
        else {
            if (!to)
                return text->err;
            if (r < 0)
                return err_from_errno(errno);
            return 0;
        }
    }
}

int principals_load(const char *path, struct diag *diag, struct principals **out)
{
    struct buf text AUTO_BUF;
    buf_init(&text, PRINCIPALS_MAX_BYTES + 32768);
    int rc = read_private(path, diag, &text);
    if (rc) {
        if (rc != ERR_DENIED && !diag_count(diag))
            diag_add(diag, path, 0, "cannot read the principals: %s", err_text(rc));
    } else {
        rc = principals_parse(text.n ? text.p : "", text.n, path, diag, out);
    }
    if (text.p)
        explicit_bzero(text.p, text.cap);
    return rc;
}

const struct principal *principals_find(const struct principals *p, const char *name)
{
    return htab_get(p->by_name, name, strlen(name));
}

bool principals_revoked(const struct principals *p, const char *id)
{
    return p->n_revoked && htab_get(p->revoked_by_id, id, strlen(id));
}

unsigned principal_actions(const struct principal *p, const char *registry, const char *repository)
{
    unsigned actions = 0;
    for (size_t i = 0; i < p->n_grants; i++) {
        const struct grant *g = &p->grants[i];
        if (strcmp(g->registry, registry))
            continue;
        for (size_t k = 0; k < g->n_repositories; k++)
            if (pattern_matches(g->repositories[k], repository))
                actions |= g->actions;
    }
    return actions;
}

unsigned principal_registry_actions(const struct principal *p, const char *registry)
{
    unsigned actions = 0;
    for (size_t i = 0; i < p->n_grants; i++)
        if (p->grants[i].n_repositories && !strcmp(p->grants[i].registry, registry))
            actions |= p->grants[i].actions;
    return actions & ACTIONS_OF_REGISTRY;
}

uint32_t principal_lifetime_s(const struct principal *p)
{
    if (p->token)
        return p->token->lifetime_s;
    return ACCESS_LIFETIME_S;
}

bool principal_refreshes(const struct principal *p)
{
    return !p->token || p->token->refreshes;
}

static void write_grant(struct buf *b, const struct grant *g)
{
    buf_printf(b, "      - registry: \"%s\"\n        repositories: ", g->registry);
    patterns_format(b, g->repositories, g->n_repositories);
    buf_str(b, "\n        actions: [");
    grant_words_format(g->actions, ", ", b);
    buf_str(b, "]\n");
}

static void write_user(struct buf *b, const struct principal *u)
{
    buf_str(b, "  - name: ");
    yaml_quote(b, u->name);
    buf_str(b, "\n    password_hash: ");
    yaml_quote(b, u->password_hash);
    buf_printf(b, "\n    generation: %llu\n    enabled: %s\n", (unsigned long long)u->generation,
               u->enabled ? "true" : "false");
    buf_str(b, u->n_grants ? "    grants:\n" : "    grants: []\n");
    for (size_t i = 0; i < u->n_grants; i++)
        write_grant(b, &u->grants[i]);
}

static void write_revoked(struct buf *b, const struct principals *p)
{
    char text[CLOCK_TEXT_SIZE];
    if (p->n_revoked)
        buf_str(b, "revoked:\n");
    for (size_t i = 0; i < p->n_revoked; i++) {
        buf_str(b, "  - {id: ");
        yaml_quote(b, p->revoked[i].id);
        buf_printf(b, ", expires: \"%s\"}\n", clock_format_s(p->revoked[i].expires_s, text));
    }
}

int principals_format(const struct principals *p, struct buf *out)
{
    struct buf b;
    buf_init(&b, PRINCIPALS_MAX_BYTES);
    if (p->version)
        buf_printf(&b, "version: %llu\n", (unsigned long long)p->version);
    buf_str(&b, p->n_users ? "users:\n" : "users: []\n");
    for (size_t i = 0; i < p->n_users; i++)
        write_user(&b, &p->users[i]);
    scope_maps_format(p, &b);
    tokens_format(p, &b);
    issuers_format(p, &b);
    write_revoked(&b, p);
    if (b.err) {
        int rc = b.err;
        buf_done(&b);
        return rc;
    }
    *out = b;
    return 0;
}

int principals_write(const struct principals *p, const char *path)
{
    struct buf b;
    struct principals *again;
    int rc = principals_format(p, &b);
    if (rc)
        return rc;
    // What is written must read back: a struct that breaks the rules never replaces a good file.
    rc = principals_parse(b.p, b.n, path, NULL, &again);
    if (!rc) {
        snapshot_unref(again);
        rc = file_write_atomic(path, b.p, b.n, 0600);
    }
    explicit_bzero(b.p, b.cap);
    buf_done(&b);
    return rc;
}
