// SPDX-License-Identifier: Apache-2.0
// Principals: the file with password hashes. It must not be readable by group or others; the check
// is made on the descriptor that is then read. See principals.h.
#include "config/principals.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "config/hostname.h"
#include "config/options.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRINCIPALS_MAX_BYTES (16u << 20)

struct spec_grant {
    const struct doc_node *node;
    const char *registry;
    const char *const *repositories;
    size_t n_repositories;
    unsigned actions;
};

struct spec_user {
    const struct doc_node *node;
    const char *name, *password_hash;
    uint64_t generation;
    bool enabled;
    const struct spec_grant *grants;
    size_t n_grants;
};

struct spec_principals {
    uint64_t version;
    const struct spec_user *users;
    size_t n_users;
};

bool principal_name_ok(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (s[i] < 0x21 || s[i] > 0x7e || s[i] == ':')
            return false;
    return n >= 1 && n <= PRINCIPAL_NAME_MAX;
}

// crypt(5): yescrypt and bcrypt only, in the alphabet of their encodings.
static bool hash_ok(const char *s)
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

// A repository path (OCI distribution-spec, <name>), perhaps with a final "/*"; or "*".
static bool pattern_ok(const char *s)
{
    size_t n = strlen(s);
    if (!strcmp(s, "*"))
        return true;
    if (n > 2 && !strcmp(s + n - 2, "/*"))
        n -= 2;
    bool in_word = false;
    for (size_t i = 0; i < n; i++) {
        bool alnum = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9');
        bool sep = s[i] == '.' || s[i] == '_' || s[i] == '-' || s[i] == '/';
        if (!alnum && (!sep || (s[i] == '/' && !in_word)))
            return false;
        if (!alnum && i == 0)
            return false;
        in_word = alnum;
    }
    return n > 0 && n <= 255 && in_word;
}

static const struct option_word action_words[] = {{"pull", ACTION_PULL},
                                                  {"push", ACTION_PUSH},
                                                  {"delete", ACTION_DELETE},
                                                  {"catalog", ACTION_CATALOG}};

static const struct option grant_rows[] = {
    {"registry", OPT_STRING, OPT_AT(struct spec_grant, registry), .required = true,
     .check = hostname_registry_ok,
     .expect = "a registry name: 5 to 50 lower-case letters and digits", .example = "contoso",
     .help = "the registry"},
    {"repositories", OPT_STRINGS, OPT_ARRAY_AT(struct spec_grant, repositories, n_repositories),
     .required = true, .min = 1, .max = 1024, .check = pattern_ok, .example = "\"*\"",
     .expect = "a repository, a prefix that ends in \"/*\", or \"*\" alone",
     .help = "the repositories: names, prefixes with /*, or *"},
    {"actions", OPT_FLAGS, OPT_AT(struct spec_grant, actions), .required = true, .min = 1, .max = 4,
     OPT_WORDS(action_words), .example = "pull, push", .help = "what is allowed"},
};
static const struct option_set grant_set = {grant_rows, ARRAY_LEN(grant_rows),
                                            sizeof(struct spec_grant),
                                            offsetof(struct spec_grant, node)};

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

static const struct option principals_rows[] = {
    {"version", OPT_INT, OPT_AT(struct spec_principals, version), .def = "0", .max = INT64_MAX,
     .help = "the document's version, which only goes up; without one every edit is taken"},
    {"users", OPT_LIST, OPT_ARRAY_AT(struct spec_principals, users, n_users), .sub = &user_set,
     .help = "the users"},
};
static const struct option_set principals_set = {principals_rows, ARRAY_LEN(principals_rows),
                                                 sizeof(struct spec_principals), OPT_NO_NODE};

static void principals_free(void *self)
{
    struct principals *p = self;
    htab_free(p->by_name);
    arena_done(&p->arena);
    free(p);
}

static void *keep(struct option_ctx *ctx, size_t n, size_t size)
{
    void *p = arena_array(ctx->arena, n ? n : 1, size);
    if (!p)
        ctx->nomem = true;
    return p;
}

static void build_user(struct option_ctx *ctx, struct principals *p, const struct spec_user *in,
                       struct principal *u)
{
    struct grant *grants = keep(ctx, in->n_grants, sizeof *grants);
    for (size_t i = 0; grants && i < in->n_grants; i++)
        grants[i] = (struct grant){in->grants[i].registry, in->grants[i].repositories,
                                   in->grants[i].n_repositories, in->grants[i].actions};
    *u = (struct principal){in->name, in->password_hash, in->generation, in->enabled,
                            grants,   in->n_grants};
    // The value itself is never shown: it is a secret, even when it is not a hash.
    if (in->password_hash && !hash_ok(in->password_hash))
        options_error(ctx, doc_key_line(in->node, "password_hash"),
                      "user %s: password_hash: expected a yescrypt ($y$) or bcrypt ($2a$, $2b$, "
                      "$2y$) hash; meridian user "
                      "makes one",
                      in->name ? in->name : "?");
    if (!in->name)
        return;
    if (htab_get(p->by_name, in->name, strlen(in->name)))
        options_error(ctx, doc_key_line(in->node, "name"), "user %s is given twice", in->name);
    else if (htab_put(p->by_name, in->name, strlen(in->name), u))
        ctx->nomem = true;
}

static int build(struct option_ctx *ctx, const struct doc_node *root, struct principals *p)
{
    struct spec_principals spec = {0};
    options_apply(ctx, &principals_set, root, "", &spec);
    struct principal *users = keep(ctx, spec.n_users, sizeof *users);
    for (size_t i = 0; users && i < spec.n_users && !ctx->nomem; i++)
        build_user(ctx, p, &spec.users[i], &users[i]);
    p->version = spec.version;
    p->users = users;
    p->n_users = spec.n_users;
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
    p->source = arena_strdup(&p->arena, source);
    p->loaded_at_ms = clock_wall_ms();
    struct option_ctx ctx = {.source = source, .diag = diag, .arena = &p->arena};
    struct doc_node *root;
    int rc = ERR_NOMEM;
    if (p->by_name && p->source)
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

bool pattern_matches(const char *pattern, const char *repository)
{
    size_t n = strlen(pattern);
    if (!strcmp(pattern, "*"))
        return true;
    if (n >= 2 && !strcmp(pattern + n - 2, "/*"))
        return !strncmp(pattern, repository, n - 1) && repository[n - 1];
    return !strcmp(pattern, repository);
}

unsigned principal_actions(const struct principal *p, const char *registry, const char *repository)
{
    unsigned actions = 0;
    for (size_t i = 0; i < p->n_grants; i++) {
        const struct grant *g = &p->grants[i];
        if (strcmp(g->registry, registry))
            continue;
        actions |= g->actions & ACTION_CATALOG; // of the whole registry
        for (size_t k = 0; k < g->n_repositories; k++)
            if (pattern_matches(g->repositories[k], repository))
                actions |= g->actions;
    }
    return actions;
}

int action_parse(const char *word, size_t n, unsigned *out)
{
    for (size_t i = 0; i < ARRAY_LEN(action_words); i++)
        if (strlen(action_words[i].word) == n && !memcmp(action_words[i].word, word, n)) {
            *out = action_words[i].value;
            return 0;
        }
    return ERR_INVAL;
}

// Double-quoted YAML; the values are printable ASCII, so only two letters need care.
static void write_quoted(struct buf *b, const char *s)
{
    buf_u8(b, '"');
    for (; *s; s++) {
        if (*s == '"' || *s == '\\')
            buf_u8(b, '\\');
        buf_u8(b, (uint8_t)*s);
    }
    buf_u8(b, '"');
}

static void write_grant(struct buf *b, const struct grant *g)
{
    buf_printf(b, "      - registry: \"%s\"\n        repositories: [", g->registry);
    for (size_t i = 0; i < g->n_repositories; i++) {
        buf_str(b, i ? ", " : "");
        write_quoted(b, g->repositories[i]);
    }
    buf_str(b, "]\n        actions: [");
    const char *comma = "";
    for (size_t i = 0; i < ARRAY_LEN(action_words); i++)
        if (g->actions & action_words[i].value) {
            buf_printf(b, "%s%s", comma, action_words[i].word);
            comma = ", ";
        }
    buf_str(b, "]\n");
}

static void write_user(struct buf *b, const struct principal *u)
{
    buf_str(b, "  - name: ");
    write_quoted(b, u->name);
    buf_str(b, "\n    password_hash: ");
    write_quoted(b, u->password_hash);
    buf_printf(b, "\n    generation: %llu\n    enabled: %s\n", (unsigned long long)u->generation,
               u->enabled ? "true" : "false");
    buf_str(b, u->n_grants ? "    grants:\n" : "    grants: []\n");
    for (size_t i = 0; i < u->n_grants; i++)
        write_grant(b, &u->grants[i]);
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
