// SPDX-License-Identifier: Apache-2.0
// Uploads that ended: under which digest, and by whom, for as long as the request that ended them
// may be repeated; see meta_uploads.h. Their age is counted in the time that this region ran
// (run_ms), so that nothing has to be written for those that only grow older: the monotonic clock
// since the store was opened, on top of what the sweep before noted.
#include "store/backend_uploads.h"

#include "base/err.h"
#include "store/meta_priv.h"

#define OF_PRINCIPAL_MAX 4096 // in one registry; the earliest go
#define TRIM_EVERY 64
#define FORGET_MAX 1000 // rows in one transaction

int ended_load(struct meta *m)
{
    struct tx *tx;
    int64_t before_ms;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = run_time_get(tx, &before_ms);
    tx_end(tx);
    if (rc)
        return rc;
    m->run_from_ms = clock_mono_ms() - before_ms;
    return 0;
}

static int64_t run_ms(const struct meta *m)
{
    return clock_mono_ms() - m->run_from_ms;
}

static struct ended_row row_of(const char *registry, const char *repository,
                               const struct upload_end *e, const struct digest *d)
{
    return (struct ended_row){.id = e->id,
                              .registry = registry,
                              .repository = repository,
                              .principal = e->principal,
                              .digest = *d};
}

int ended_note(struct meta *m, struct tx *tx, const char *registry, const char *repository,
               const struct upload_end *e, const struct digest *d)
{
    struct ended_row row = row_of(registry, repository, e, d);
    const struct upload_owner owner = {registry, e->principal};
    uint64_t n;
    row.run_ms = run_ms(m);
    int rc = ended_add(tx, &row, &n);
    if (rc || n % TRIM_EVERY)
        return rc;
    return ended_trim(tx, &owner, OF_PRINCIPAL_MAX);
}

int ended_has(struct tx *tx, const char *registry, const char *repository,
              const struct upload_end *e, const struct digest *d)
{
    const struct ended_row row = row_of(registry, repository, e, d);
    return ended_find(tx, &row);
}

int meta_upload_ended(struct meta *m, const char *registry, const char *repository,
                      const struct upload_end *e, const struct digest *d)
{
    const struct ended_row row = row_of(registry, repository, e, d);
    struct tx *tx;
    int rc = backend_read(m->b, &tx);
    if (rc)
        return rc;
    rc = ended_find(tx, &row);
    tx_end(tx);
    return rc;
}

struct forgetting {
    int64_t run_ms, idle_ms;
    size_t n;
};

static int forget_run(struct tx *tx, void *arg)
{
    struct forgetting *f = arg;
    int64_t noted_ms;
    int rc = ended_forget(tx, f->run_ms - f->idle_ms, FORGET_MAX, &f->n);
    if (rc)
        return rc;
    rc = run_time_get(tx, &noted_ms);
    if (rc || f->run_ms <= noted_ms) // another process, which has run for longer, noted more
        return rc;
    return run_time_set(tx, f->run_ms);
}

int meta_uploads_forget(struct meta *m, int64_t idle_ms)
{
    struct forgetting f = {.idle_ms = idle_ms, .n = FORGET_MAX};
    int rc = 0;
    while (!rc && f.n == FORGET_MAX) {
        f.run_ms = run_ms(m);
        rc = meta_write(m, forget_run, &f, false);
    }
    return rc;
}
