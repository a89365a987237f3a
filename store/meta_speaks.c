// SPDX-License-Identifier: Apache-2.0
// Which version of entries is minted, and what regions said that they read; see meta_speaks.h.
#include "store/meta_speaks.h"

#include "base/err.h"
#include "store/backend_chain.h"
#include "store/meta_priv.h"

#include <stdio.h>

// The number by which it is remembered that version 2 has begun in a registry.
static void begun_name(const char *registry, char out[NUMBER_NAME_MAX + 1])
{
    snprintf(out, NUMBER_NAME_MAX + 1, "feed-v2:%s", registry);
}

static int begun_look(struct tx *tx, const char *registry, bool *out)
{
    char name[NUMBER_NAME_MAX + 1];
    uint64_t when;
    begun_name(registry, name);
    int rc = number_get(tx, name, &when);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = rc == 0;
    return 0;
}

int v2_begin(struct tx *tx, const char *registry)
{
    char name[NUMBER_NAME_MAX + 1];
    bool begun;
    int rc = begun_look(tx, registry, &begun);
    if (rc || begun)
        return rc;
    begun_name(registry, name);
    return number_set(tx, name, 1);
}

int mint_version(struct meta *m, struct tx *tx, const char *registry, unsigned *out)
{
    char region[HOSTNAME_REGION_SIZE];
    bool begun;
    int rc = begun_look(tx, registry, &begun);
    if (rc)
        return rc;
    if (!begun && meta_behind(m, registry, region)) {
        *out = 1;
        return 0;
    }
    *out = 2;
    return begun ? 0 : v2_begin(tx, registry);
}

void meta_set_behind(struct meta *m, meta_behind_fn *fn, void *ctx)
{
    m->behind = fn;
    m->behind_ctx = ctx;
}

bool meta_behind(struct meta *m, const char *registry, char out_region[HOSTNAME_REGION_SIZE])
{
    return m->behind && m->behind(m->behind_ctx, registry, out_region);
}

int meta_registry_version(struct meta *m, const char *registry, unsigned *out)
{
    bool begun;
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = begun_look(tx, registry, &begun);
    tx_end(tx);
    if (!rc)
        *out = begun ? 2 : 1;
    return rc;
}

// --- words ---

static void word_name(const char *region, char out[NUMBER_NAME_MAX + 1])
{
    snprintf(out, NUMBER_NAME_MAX + 1, "speaks:%s", region);
}

int meta_word_get(struct meta *m, const char *region, unsigned *out)
{
    char name[NUMBER_NAME_MAX + 1];
    uint64_t version = 0;
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    word_name(region, name);
    rc = number_get(tx, name, &version);
    tx_end(tx);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    *out = (unsigned)version;
    return 0;
}

struct word {
    char name[NUMBER_NAME_MAX + 1];
    unsigned version;
};

static int word_run(struct tx *tx, void *arg)
{
    const struct word *w = arg;
    return number_set(tx, w->name, w->version);
}

int meta_word_set(struct meta *m, const char *region, unsigned version)
{
    struct word w = {.version = version};
    unsigned was;
    int rc = meta_word_get(m, region, &was);
    if (rc || was == version)
        return rc;
    word_name(region, w.name);
    return meta_write(m, word_run, &w, false);
}
