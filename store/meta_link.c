// SPDX-License-Identifier: Apache-2.0
// Which blobs a repository has, and what that does to the blobs and to usage; see meta_links.h. Any
// thread.
//
// Invariants
//   1. A blob that a repository holds has a row, and is live.
//   2. A hold counts its blob's bytes once in its repository, and the first hold of a registry once
//      in the registry.
//   3. The bytes that were committed last serve: they were whole a moment ago, and those before them
//      may be damaged, or being removed. Whoever removes bytes removes a generation that no row
//      names.
#include "store/meta_priv.h"
#include "store/meta_uploads.h"

#include "base/err.h"

#include <assert.h>

// --- looks ---

static void age_set(struct blob_here *here, int64_t since_ms)
{
    if (!here->linked)
        here->age_ms = clock_mono_ms() - since_ms;
}

int meta_blob_look(struct meta *m, const char *registry, const char *repository,
                   const struct digest *d, struct blob_here *out)
{
    struct tx *tx;
    int64_t since_ms;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = hold_look(tx, registry, repository, d, out, &since_ms);
    tx_end(tx);
    if (!rc)
        age_set(out, since_ms);
    return rc;
}

int meta_blob_look_any(struct meta *m, const char *registry, const struct digest *d,
                       bool (*may)(void *ctx, const char *repository), void *ctx,
                       struct blob_here *out)
{
    struct tx *tx;
    int64_t since_ms;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = hold_look_any(tx, registry, d, may, ctx, out, &since_ms);
    tx_end(tx);
    if (!rc)
        age_set(out, since_ms);
    return rc;
}

int meta_blob_find(struct meta *m, const struct digest *d, struct blob_name *out,
                   uint64_t *out_size)
{
    struct tx *tx;
    struct blob_row row;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = blob_row_get(tx, d, &row);
    tx_end(tx);
    if (rc)
        return rc;
    if (row.state == BLOB_DELETED)
        return ERR_NOTFOUND;
    *out = row.name;
    *out_size = row.size;
    return 0;
}

int meta_links_of(struct meta *m, const struct digest *d, size_t max, struct arena *a,
                  struct link_row **out, size_t *out_n)
{
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = links_of(tx, d, max, a, out, out_n);
    tx_end(tx);
    return rc;
}

// --- holds and blobs, in a transaction ---

// The repository has one blob more, or less (2). Before it is added, after it was removed.
static int hold_usage(struct tx *tx, int64_t repo, const struct digest *d,
                      struct usage_delta *delta)
{
    int rc = held_in_registry(tx, repo, d);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (rc == ERR_NOTFOUND) {
        delta->registry_bytes = delta->bytes;
        delta->registry_blobs = delta->blobs;
    }
    return usage_add(tx, repo, delta);
}

int hold_drop(struct tx *tx, int64_t repo, const struct digest *d, uint64_t size)
{
    int rc = hold_remove(tx, repo, d);
    if (rc)
        return rc;
    struct usage_delta delta = {.bytes = -(int64_t)size, .blobs = -1};
    return hold_usage(tx, repo, d, &delta);
}

// The published bytes serve (3).
static int published_take(struct tx *tx, const struct lease_add *add, struct lease_result *r)
{
    struct blob_row row;
    const struct blob_row anew = {.name = *add->published, .size = add->size};
    int rc = blob_row_get(tx, &add->digest, &row);
    if (rc && rc != ERR_NOTFOUND)
        return rc;
    if (!rc && !blob_name_equal(&row.name, add->published)) {
        r->replaced = true;
        r->old = row.name;
    }
    return blob_row_set(tx, &anew);
}

// The blob's row as it stands for somebody who holds it from now on.
static int blob_take(struct tx *tx, const struct digest *d, struct lease_result *r)
{
    struct blob_row row;
    int rc = blob_row_get(tx, d, &row);
    if (rc)
        return rc;
    if (row.state == BLOB_DELETED)
        return ERR_NOTFOUND;
    r->serves = row.name;
    r->size = row.size;
    if (row.state == BLOB_LIVE)
        return 0;
    row.state = BLOB_LIVE; // 1
    return blob_row_set(tx, &row);
}

// --- leases ---

struct lease {
    struct meta *m;
    const struct lease_add *add;
    struct lease_result *result;
};

static int lease_make(struct tx *tx, int64_t repo, const struct lease *l)
{
    const struct lease_add *add = l->add;
    struct hold hold;
    const char *peer = "";
    if (add->peer)
        peer = add->peer;
    int rc = hold_get(tx, repo, &add->digest, &hold);
    if (!rc)
        return lease_set(tx, repo, &add->digest, hold.size, clock_mono_ms(), peer);
    if (rc != ERR_NOTFOUND)
        return rc;
    struct usage_delta delta = {.bytes = (int64_t)l->result->size, .blobs = 1};
    rc = hold_usage(tx, repo, &add->digest, &delta);
    if (rc)
        return rc;
    rc = lease_set(tx, repo, &add->digest, l->result->size, clock_mono_ms(), peer);
    if (rc)
        return rc;
    return quota_judge(tx, add->registry, add->repository, add->limits, &delta, &l->result->over);
}

// Bytes of an upload come to serve once. While a restart has two processes, its PUT may be repeated
// at the other one, which ended the upload meanwhile: what serves now may be newer.
static int published_once(struct tx *tx, const struct lease_add *add, struct lease_result *out)
{
    if (!add->published)
        return 0;
    if (!add->end)
        return published_take(tx, add, out);
    int rc = ended_has(tx, add->registry, add->repository, add->end, &add->digest);
    if (rc == ERR_NOTFOUND)
        return published_take(tx, add, out);
    return rc;
}

static int lease_run(struct tx *tx, void *arg)
{
    const struct lease *l = arg;
    const struct lease_add *add = l->add;
    int64_t repo;
    *l->result = (struct lease_result){0};
    int rc = repo_make(tx, add->registry, add->repository, &repo);
    if (rc)
        return rc;
    rc = published_once(tx, add, l->result);
    if (rc)
        return rc;
    rc = blob_take(tx, &add->digest, l->result);
    if (rc)
        return rc;
    rc = lease_make(tx, repo, l);
    if (rc || !add->end)
        return rc;
    return upload_end_as(l->m, tx, add->registry, add->repository, add->end, &add->digest);
}

int meta_lease_add(struct meta *m, const struct lease_add *add, struct lease_result *out)
{
    struct lease_result result = {0};
    struct lease l = {m, add, &result};
    assert(!add->published || digest_equal(&add->published->digest, &add->digest));
    int rc = meta_write(m, lease_run, &l, false);
    if (!rc)
        *out = result;
    else if (rc == ERR_QUOTA)
        out->over = result.over;
    return rc;
}

struct renewal {
    const char *registry, *repository;
    const struct digest *digest;
};

static int renew_run(struct tx *tx, void *arg)
{
    const struct renewal *r = arg;
    struct hold hold;
    int64_t repo;
    int rc = repo_find(tx, r->registry, r->repository, &repo);
    if (rc)
        return rc;
    rc = hold_get(tx, repo, r->digest, &hold);
    if (rc || hold.n_links)
        return rc;
    return lease_set(tx, repo, r->digest, hold.size, clock_mono_ms(), hold.peer);
}

int meta_lease_renew(struct meta *m, const char *registry, const char *repository,
                     const struct blob_here *here)
{
    struct renewal r = {registry, repository, &here->name.digest};
    if (here->linked || here->age_ms < meta_lease_grace(m) / 2)
        return 0;
    return meta_write(m, renew_run, &r, false);
}

void meta_set_lease_grace(struct meta *m, int64_t grace_ms)
{
    m->lease_grace_ms = grace_ms;
}

int64_t meta_lease_grace(struct meta *m)
{
    return m->lease_grace_ms;
}

// --- manifests that come and go ---

static int manifest_usage(struct tx *tx, int64_t repo, const struct digest *manifest, int64_t n)
{
    uint64_t size;
    int rc = manifest_size(tx, repo, manifest, &size);
    if (rc)
        return rc;
    int64_t bytes = n * (int64_t)size;
    return usage_add(
        tx, repo, &(struct usage_delta){.bytes = bytes, .registry_bytes = bytes, .manifests = n});
}

int links_manifest_live(struct tx *tx, int64_t repo, const struct digest *manifest,
                        struct digest *out_missing)
{
    int rc = links_count(tx, repo, manifest, out_missing);
    if (rc)
        return rc;
    return manifest_usage(tx, repo, manifest, 1);
}

int links_manifest_dead(struct tx *tx, int64_t repo, const struct digest *manifest)
{
    int rc = links_uncount(tx, repo, manifest, clock_mono_ms());
    if (rc)
        return rc;
    return manifest_usage(tx, repo, manifest, -1);
}
