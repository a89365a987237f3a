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

static int entry_of(const struct passwords *p, const struct principal *who, const char *password,
                    uint8_t out[SHA256_BYTES])
{
    AUTO_BUF struct buf b; // the zero bytes keep "ab"+"c" apart from "a"+"bc"
    buf_init(&b, 8192);
    buf_add(&b, who->name, strlen(who->name) + 1);
    buf_add(&b, who->password_hash, strlen(who->password_hash) + 1);
    buf_add(&b, password, strlen(password) + 1);
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

bool passwords_known(struct passwords *p, uint64_t generation, const struct principal *who,
                     const char *password)
{
    uint8_t entry[SHA256_BYTES];
    if (!who || !who->enabled || strlen(password) > PASSWORD_MAX_BYTES ||
        entry_of(p, who, password, entry))
        return false;
    pthread_mutex_lock(&p->lock);
    bool known = secret_equal(slot_of(p, generation, entry), SHA256_BYTES, entry, SHA256_BYTES);
    pthread_mutex_unlock(&p->lock);
    return known;
}

int passwords_verify(struct passwords *p, uint64_t generation, const struct principals *all,
                     const struct principal *who, const char *password)
{
    // An unknown user is checked against the first user's hash, so that the method and its cost are
    // those of real ones.
    const char *hash;
    if (who)
        hash = who->password_hash;
    else if (all->n_users)
        hash = all->users[0].password_hash;
    else
        hash = p->dummy;
    int rc = password_check(password, hash);
    if (rc == ERR_NOMEM)
        return rc;
    if (rc || !who || !who->enabled)
        return ERR_AUTH;
    uint8_t entry[SHA256_BYTES];
    // what cannot be remembered is checked again next time
    if (!entry_of(p, who, password, entry)) {
        pthread_mutex_lock(&p->lock);
        memcpy(slot_of(p, generation, entry), entry, SHA256_BYTES);
        pthread_mutex_unlock(&p->lock);
    }
    return 0;
}
