// SPDX-License-Identifier: Apache-2.0
// The table of nonces; see nonces.h. Called by serve.c on HTTP threads and on the pool.
#include "certs/nonces.h"

#include "base/digest.h"
#include "base/err.h"

#include <stdio.h>
#include <string.h>

void nonces_init(struct nonces *n)
{
    memset(n->list, 0, sizeof n->list);
    pthread_mutex_init(&n->lock, NULL);
}

void nonces_done(struct nonces *n)
{
    pthread_mutex_destroy(&n->lock);
}

// Where a new one of this region goes: in the place of its oldest when it has all it may have, else
// in a free one.
static struct nonce *place_for(struct nonces *n, const char *region, int64_t mono_ms)
{
    struct nonce *oldest = NULL, *unused = NULL;
    unsigned n_own = 0;
    for (size_t i = 0; i < NONCES_MAX; i++) {
        struct nonce *x = &n->list[i];
        if (!x->region[0] || x->until_mono_ms <= mono_ms) {
            unused = x;
            continue;
        }
        if (strcmp(x->region, region) != 0)
            continue;
        n_own++;
        if (!oldest || x->until_mono_ms < oldest->until_mono_ms)
            oldest = x;
    }
    if (n_own >= NONCES_PER_REGION)
        return oldest;
    return unused;
}

int nonces_give(struct nonces *n, const char *region, int64_t mono_ms, char out[NONCE_TEXT_SIZE])
{
    struct nonce fresh = {.until_mono_ms = mono_ms + NONCE_LIFE_MS};
    snprintf(fresh.region, sizeof fresh.region, "%s", region);
    int rc = random_hex(fresh.text, (NONCE_TEXT_SIZE - 1) / 2);
    if (rc)
        return rc;
    pthread_mutex_lock(&n->lock);
    struct nonce *at = place_for(n, region, mono_ms);
    if (at)
        *at = fresh;
    pthread_mutex_unlock(&n->lock);
    if (!at)
        return ERR_BUSY;
    memcpy(out, fresh.text, sizeof fresh.text);
    return 0;
}

bool nonces_take(struct nonces *n, const char *region, const char *text, int64_t mono_ms)
{
    bool found = false;
    pthread_mutex_lock(&n->lock);
    for (size_t i = 0; i < NONCES_MAX && !found; i++) {
        struct nonce *x = &n->list[i];
        if (strcmp(x->region, region) != 0 || strcmp(x->text, text) != 0)
            continue;
        found = x->until_mono_ms > mono_ms;
        *x = (struct nonce){0};
    }
    pthread_mutex_unlock(&n->lock);
    return found;
}
