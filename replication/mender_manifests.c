// SPDX-License-Identifier: Apache-2.0
// The mender's part for manifests, whose content stands in the metadata; see mender_priv.h. On the
// mender's thread.
#include "replication/mender_priv.h"

#include "base/err.h"
#include "base/log.h"
#include "store/meta_jobs.h"

#include <stdio.h>

static bool is_the_digests(struct bytes content, const struct digest *d)
{
    struct digest is;
    int rc = digest_of((enum digest_alg)d->alg, content.p, content.n, &is);
    return !rc && digest_equal(&is, d);
}

bool manifest_look(struct mender *m, const struct suspect *s)
{
    struct arena a;
    struct bytes content;
    const char *media_type;
    char text[DIGEST_TEXT_SIZE];
    arena_init(&a, 64 << 20);
    int rc = meta_manifest_content(m->o.meta, s->registry, s->repository, &s->digest, &a, &content,
                                   &media_type);
    bool damaged = !rc && !is_the_digests(content, &s->digest);
    arena_done(&a);
    if (!damaged)
        return false;
    if (damaged_manifests_add(&m->manifests, s->registry, s->repository, &s->digest))
        log_error("replication: manifest %s of %s/%s is damaged in the metadata: it is not served, "
                  "and is fetched anew from another region; look at the disk",
                  digest_format(&s->digest, text), s->registry, s->repository);
    return true;
}

static int fetch(struct mender *m, const struct topology *t, const struct damaged_manifest *x,
                 struct buf *out, char error[CONTENT_TEXT_SIZE])
{
    struct source *sources[TOPOLOGY_MAX_REGIONS];
    struct content_want want = {
        .registry = x->registry, .repository = x->repository, .digest = x->digest};
    struct content_outcome outcome = {0};
    const struct registry *reg = topology_registry_by_key(t, x->registry);
    if (!reg)
        return ERR_NOTFOUND;
    mender_want(m, t, reg, sources, &want);
    int rc = content_manifest(m->o.content, &want, out, &outcome);
    if (*outcome.error)
        snprintf(error, CONTENT_TEXT_SIZE, "%s", outcome.error);
    return rc;
}

// True: nothing is left to do for it.
static bool mend(struct mender *m, const struct topology *t, const struct damaged_manifest *x)
{
    AUTO_BUF struct buf body;
    char error[CONTENT_TEXT_SIZE] = "no region that has it can be asked", text[DIGEST_TEXT_SIZE];
    char said[CONTENT_TEXT_SIZE + 512]; // a long one is cut off where it is kept
    buf_init(&body, CONTENT_MANIFEST_MAX);
    int rc = fetch(m, t, x, &body, error);
    if (!rc)
        rc = meta_manifest_content_mend(m->o.meta, x->registry, x->repository, &x->digest,
                                        bytes_of(body.p, body.n));
    else if (rc == ERR_NOTFOUND)
        rc = ERR_UNREACHABLE;        // somebody may have it later
    if (!rc || rc == ERR_NOTFOUND) { // or it was deleted
        log_info("replication: manifest %s of %s/%s is whole again",
                 digest_format(&x->digest, text), x->registry, x->repository);
        pthread_mutex_lock(&m->lock);
        suspects_forget(&m->suspects, &x->digest);
        pthread_mutex_unlock(&m->lock);
        return true;
    }
    snprintf(said, sizeof said,
             "manifest %.19s of %s/%s is damaged here and not served: it is fetched anew; so far: "
             "%s",
             digest_format(&x->digest, text), x->registry, x->repository, error);
    mender_fault_add(m, x->registry, said);
    return false;
}

size_t manifests_mend(struct mender *m, const struct topology *t)
{
    for (size_t i = m->manifests.n; i-- > 0 && !*m->o.stop;)
        if (mend(m, t, &m->manifests.list[i]))
            damaged_manifests_drop(&m->manifests, i);
    return m->manifests.n;
}
