// SPDX-License-Identifier: Apache-2.0
// See token_cache.h. A table by a keyed hash of the text; the whole text is compared as well. Of a
// wrong token nothing is kept, and who guesses learns nothing by time: texts are compared only where
// 64 bits of the keyed hash are the same.
#include "auth/token_cache.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/siphash.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#define SLOTS 1024u
#define TEXT_MAX 2048
#define ENTRY_MAX 16384

// What an entry points to lies in its arena.
struct entry {
    struct arena arena;
    uint64_t hash;
    const char *token;
    struct token_known known;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct siphash_key secret;
static bool usable;
// under the lock
static struct entry *slots[SLOTS];
static uint64_t hits;

static void secret_make(void)
{
    uint8_t b[SIPHASH_KEY_BYTES];
    usable = random_bytes(b, sizeof b) == 0;
    secret = siphash_key_of(b);
}

// The place of a token; SLOTS: it is not remembered.
static unsigned slot_of(const char *token, uint64_t *out_hash)
{
    size_t n = strnlen(token, TEXT_MAX + 1);
    pthread_once(&once, secret_make);
    if (!usable || n > TEXT_MAX)
        return SLOTS;
    *out_hash = siphash24(&secret, token, n);
    return (unsigned)(*out_hash % SLOTS);
}

static void entry_free(struct entry *e)
{
    if (!e)
        return;
    if (e->token)
        explicit_bzero((char *)e->token, strlen(e->token));
    arena_done(&e->arena);
    free(e);
}

static bool grants_copy(const struct claims *from, struct arena *a, struct claims *to)
{
    struct access_grant *grants = arena_array(a, from->n_grants + 1, sizeof *grants);
    const char **visible = arena_array(a, from->n_visible + 1, sizeof *visible);
    if (!grants || !visible)
        return false;
    for (size_t i = 0; i < from->n_grants; i++) {
        grants[i] = from->grants[i];
        grants[i].repository = arena_strdup(a, from->grants[i].repository);
        if (!grants[i].repository)
            return false;
    }
    for (size_t i = 0; i < from->n_visible; i++) {
        visible[i] = arena_strdup(a, from->visible[i]);
        if (!visible[i])
            return false;
    }
    to->grants = grants;
    to->visible = visible;
    return true;
}

static bool known_copy(const struct token_known *from, struct arena *a, struct token_known *to)
{
    struct token_known k = *from;
    k.kid = arena_strdup(a, from->kid);
    k.spki = arena_strdup(a, from->spki);
    k.service = arena_strdup(a, from->service);
    k.claims.subject = arena_strdup(a, from->claims.subject);
    k.claims.id = arena_strdup(a, from->claims.id);
    if (!k.kid || !k.spki || !k.service || !k.claims.subject || !k.claims.id)
        return false;
    if (!grants_copy(&from->claims, a, &k.claims))
        return false;
    *to = k;
    return true;
}

static bool entry_is(const struct entry *e, uint64_t hash, const char *token,
                     const struct token_known *k)
{
    return e && e->hash == hash && strcmp(e->token, token) == 0 &&
           e->known.incarnation == k->incarnation && strcmp(e->known.service, k->service) == 0;
}

bool token_cache_find(const char *token, struct arena *a, struct token_known *k)
{
    uint64_t hash;
    unsigned at = slot_of(token, &hash);
    bool found = false;
    if (at == SLOTS)
        return false;
    pthread_mutex_lock(&lock);
    if (entry_is(slots[at], hash, token, k))
        found = known_copy(&slots[at]->known, a, k);
    hits += found;
    pthread_mutex_unlock(&lock);
    return found;
}

void token_cache_put(const char *token, const struct token_known *k)
{
    uint64_t hash;
    unsigned at = slot_of(token, &hash);
    if (at == SLOTS)
        return;
    struct entry *e = mem_zalloc(sizeof *e);
    if (!e)
        return;
    arena_init(&e->arena, ENTRY_MAX);
    e->hash = hash;
    e->token = arena_strdup(&e->arena, token);
    if (!e->token || !known_copy(k, &e->arena, &e->known)) {
        entry_free(e);
        return;
    }
    pthread_mutex_lock(&lock);
    struct entry *old = slots[at];
    slots[at] = e;
    pthread_mutex_unlock(&lock);
    entry_free(old);
}

uint64_t token_cache_hits(void)
{
    pthread_mutex_lock(&lock);
    uint64_t n = hits;
    pthread_mutex_unlock(&lock);
    return n;
}
