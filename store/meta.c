// SPDX-License-Identifier: Apache-2.0
// Opening and closing the metadata, and the frame of its transactions; see meta.h, meta_priv.h.
#include "store/meta.h"

#include "base/err.h"
#include "base/mem.h"
#include "store/meta_priv.h"

#include <stdatomic.h>
#include <stdlib.h>

#define SKEW_MS 60000 // until the topology's is told

static int options_copy(struct meta *m, const struct meta_options *o)
{
    m->o = *o;
    m->o.region = mem_strdup(o->region);
    m->o.key_id = mem_strdup(o->key_id ? o->key_id : "");
    if (m->o.region && m->o.key_id)
        return 0;
    return ERR_NOMEM;
}

int meta_open(struct backend *b, const struct meta_options *o, struct diag *diag, struct meta **out)
{
    struct meta *m = mem_zalloc(sizeof *m);
    if (!m) {
        backend_close(b);
        return ERR_NOMEM;
    }
    m->b = b;
    meta_set_skew(m, SKEW_MS);
    meta_set_lease_grace(m, META_LEASE_GRACE_MS);
    pthread_mutex_init(&m->lock, NULL);
    meta_gate_close(m, META_GATE_RECOVERY, "the store was just opened");
    int rc = options_copy(m, o);
    if (!rc)
        rc = pulled_new(&m->pulled);
    if (!rc) {
        b->on_commit = o->on_commit;
        b->on_commit_ctx = o->on_commit_ctx;
        rc = ended_load(m);
        if (!rc)
            rc = unknown_adopt(m);
        if (rc)
            diag_add(diag, o->region, 0, "the state of its metadata cannot be read: %s",
                     err_text(rc));
    }
    if (rc) {
        meta_close(m);
        return rc;
    }
    revoked_key_look(m);
    *out = m;
    return 0;
}

void meta_close(struct meta *m)
{
    if (!m)
        return;
    backend_close(m->b);
    pulled_free(m->pulled);
    pthread_mutex_destroy(&m->lock);
    free((char *)m->o.region);
    free((char *)m->o.key_id);
    free(m);
}

void meta_hand_over(struct meta *m)
{
    backend_hand_over(m->b);
}

// --- writing ---

struct announcement {
    struct meta *m;
    tx_run *run;
    void *arg;
};

static int announce_run(struct tx *tx, void *arg)
{
    const struct announcement *a = arg;
    pthread_mutex_lock(&a->m->lock);
    bool closed = gates_closed(a->m);
    pthread_mutex_unlock(&a->m->lock);
    if (closed)
        return ERR_BUSY;
    if (!tx->mints)
        return ERR_CLOSED;
    return a->run(tx, a->arg);
}

int meta_write(struct meta *m, tx_run *run, void *arg, bool announces)
{
    struct announcement a = {m, run, arg};
    if (announces)
        return backend_write(m->b, announce_run, &a);
    return backend_write(m->b, run, arg);
}

// --- is it writable? ---

struct probe {
    struct meta *m;
    int mint_rc;
};

// Could an entry be written? One is: with stamp, signature and row; then it is taken back.
static int mint_run(struct tx *tx, void *arg)
{
    struct probe *p = arg;
    struct feed_entry e = {.kind = ENTRY_TAG,
                           .registry = "probe",
                           .repository = "probe",
                           .tag = "probe",
                           .media_type = "",
                           .digest = {.alg = DIGEST_SHA256, .n = SHA256_BYTES}};
    int64_t id;
    p->mint_rc = feed_mint(p->m, tx, 0, (struct bytes){0}, &e, &id);
    return ERR_CANCELED;
}

static int probe_run(struct tx *tx, void *arg)
{
    struct probe *p = arg;
    int rc = tx_attempt(tx, mint_run, p);
    if (rc != ERR_CANCELED)
        return rc;
    if (p->mint_rc)
        return p->mint_rc;
    return tx_probe(tx);
}

int meta_probe(struct meta *m)
{
    struct probe p = {.m = m};
    int rc = backend_check(m->b);
    if (rc)
        return rc;
    return meta_write(m, probe_run, &p, false);
}

void meta_commits_get(struct meta *m, struct meta_commits *out)
{
    out->n_writes = atomic_load(&m->b->n_writes);
    out->n_commits = atomic_load(&m->b->n_commits);
}

bool meta_writable(struct meta *m)
{
    return meta_probe(m) == 0;
}

int meta_sign(struct meta *m, const void *p, size_t n, const char **out_key,
              uint8_t sig[ENTRY_SIG_BYTES])
{
    *out_key = m->o.key_id;
    if (!m->o.sign)
        return ERR_CRYPTO;
    return m->o.sign(m->o.sign_ctx, p, n, sig);
}
