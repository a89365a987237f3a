// SPDX-License-Identifier: Apache-2.0
// Password checks; see passwords_priv.h. passwords_verify runs on the token service's own workers,
// passwords_known on HTTP threads.
#include "auth/passwords_priv.h"

#include "base/bytes.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/password.h"

#include <pthread.h>
#include <string.h>

#define SLOTS 2048 // a power of two; colliding entries replace each other

struct passwords {
    uint8_t key[32];
    char dummy[PASSWORD_HASH_SIZE];
    // guards what follows
    pthread_mutex_t lock;
    uint64_t generation;
    // all zero: empty
    uint8_t (*seen)[SHA256_BYTES];
};

int passwords_new(struct passwords **out)
{
    struct passwords *p = mem_zalloc(sizeof *p);
    if (!p)
        return ERR_NOMEM;
    char unguessable[33];
    p->seen = mem_zalloc_array(SLOTS, sizeof *p->seen);
    int rc = ERR_NOMEM;
    if (p->seen)
        rc = random_bytes(p->key, sizeof p->key);
    if (!rc)
        rc = random_hex(unguessable, 16);
    if (!rc)
        rc = password_hash(unguessable, p->dummy);
    if (rc) {
        free(p->seen);
        free(p);
        return rc;
    }
    pthread_mutex_init(&p->lock, NULL);
    *out = p;
    return 0;
}

void passwords_free(struct passwords *p)
{
    if (!p)
        return;
    pthread_mutex_destroy(&p->lock);
    explicit_bzero(p->seen, SLOTS * sizeof *p->seen);
    free(p->seen);
    explicit_bzero(p, sizeof *p);
    free(p);
}

// The hashes that these credentials may fit now: a user's, or those of a token's passwords that have
// not ended; of one that was made here, the one that it names.
static size_t hashes_of(const struct login *l, const char *out[TOKEN_PASSWORDS])
{
    size_t n = 0;
    if (!l->who)
        return 0;
    if (!l->who->token) {
        out[0] = l->who->password_hash;
        return 1;
    }
    unsigned id = token_password_id(l->password);
    for (size_t i = 0; i < l->who->token->n_passwords; i++) {
        const struct token_password *w = &l->who->token->passwords[i];
        bool ended = w->expires_s && w->expires_s <= l->now_s;
        if (!ended && (!id || id == w->id))
            out[n++] = w->hash;
    }
    return n;
}

static int entry_of(const struct passwords *p, const struct login *l, const char *hash,
                    uint8_t out[SHA256_BYTES])
{
    AUTO_BUF struct buf b; // the zero bytes keep "ab"+"c" apart from "a"+"bc"
    buf_init(&b, 8192);
    buf_add(&b, l->who->name, strlen(l->who->name) + 1);
    buf_add(&b, hash, strlen(hash) + 1);
    buf_add(&b, l->password, strlen(l->password) + 1);
    int rc = b.err;
    if (!rc)
        rc = hmac_sha256(p->key, sizeof p->key, b.p, b.n, out);
    if (b.p)
        explicit_bzero(b.p, b.n);
    return rc;
}

// The slot an entry goes to, the memory emptied first when the principals have changed. Called with
// the lock.
static uint8_t *slot_of(struct passwords *p, uint64_t generation, const uint8_t entry[SHA256_BYTES])
{
    if (generation != p->generation) {
        explicit_bzero(p->seen, SLOTS * sizeof *p->seen);
        p->generation = generation;
    }
    return p->seen[(entry[0] | (unsigned)entry[1] << 8) & (SLOTS - 1)];
}

static bool entry_known(struct passwords *p, uint64_t generation, const struct login *l,
                        const char *hash)
{
    uint8_t entry[SHA256_BYTES];
    if (entry_of(p, l, hash, entry))
        return false;
    pthread_mutex_lock(&p->lock);
    bool known = secret_equal(slot_of(p, generation, entry), SHA256_BYTES, entry, SHA256_BYTES);
    pthread_mutex_unlock(&p->lock);
    return known;
}

bool passwords_known(struct passwords *p, uint64_t generation, const struct login *l,
                     const char **out_hash)
{
    const char *hashes[TOKEN_PASSWORDS];
    if (!l->who || !l->who->enabled || strlen(l->password) > PASSWORD_MAX_BYTES)
        return false;
    size_t n = hashes_of(l, hashes);
    for (size_t i = 0; i < n; i++)
        if (entry_known(p, generation, l, hashes[i])) {
            *out_hash = hashes[i];
            return true;
        }
    return false;
}

// What is hashed against where there is nothing to hold it against: somebody's real hash, so that
// the method and its cost are those of real ones.
static const char *stand_in(const struct passwords *p, const struct principals *all)
{
    if (all->n_users)
        return all->users[0].password_hash;
    for (size_t i = 0; i < all->n_tokens; i++)
        if (all->tokens[i].token->n_passwords)
            return all->tokens[i].token->passwords[0].hash;
    return p->dummy;
}

// 0 with the hash that it fits.
static int hashes_try(const struct passwords *p, const struct principals *all,
                      const struct login *l, const char **out_hash)
{
    const char *hashes[TOKEN_PASSWORDS];
    size_t n = hashes_of(l, hashes), n_checks = 1;
    if (!token_password_id(l->password))
        n_checks = all->passwords_max;
    for (size_t i = 0; i < n_checks || i < n; i++) {
        const char *hash = stand_in(p, all);
        if (i < n)
            hash = hashes[i];
        int rc = password_check(l->password, hash);
        if (rc == ERR_NOMEM)
            return rc;
        if (!rc && i < n) {
            *out_hash = hash;
            return 0;
        }
    }
    return ERR_AUTH;
}

int passwords_verify(struct passwords *p, uint64_t generation, const struct principals *all,
                     const struct login *l, const char **out_hash)
{
    const char *hash;
    uint8_t entry[SHA256_BYTES];
    int rc = hashes_try(p, all, l, &hash);
    if (rc)
        return rc;
    if (!l->who->enabled)
        return ERR_AUTH;
    *out_hash = hash;
    // what cannot be remembered is checked again next time
    if (!entry_of(p, l, hash, entry)) {
        pthread_mutex_lock(&p->lock);
        memcpy(slot_of(p, generation, entry), entry, SHA256_BYTES);
        pthread_mutex_unlock(&p->lock);
    }
    return 0;
}
