// SPDX-License-Identifier: Apache-2.0
// Opening and closing the metadata, and the readers' connections; see meta.h, meta_priv.h.
#include "store/meta.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "store/meta_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SKEW_MS 60000 // until the topology's is told

// Two writers would give one sequence away twice (invariant 8): the file beside the database is
// locked for our life.
static int lock_take(struct meta *m, struct diag *diag)
{
    AUTO_FREE char *path = mem_printf("%s.lock", m->o.path);
    if (!path)
        return ERR_NOMEM;
    m->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (m->lock_fd < 0) {
        int rc = err_from_errno(errno);
        diag_add(diag, path, 0, "cannot be opened: %s", err_text(rc));
        return rc;
    }
    if (flock(m->lock_fd, LOCK_EX | LOCK_NB)) {
        diag_add(diag, m->o.path, 0, "is in use by another process");
        return ERR_BUSY;
    }
    return 0;
}

// SQLite would make the file by the umask; its side files take the mode of this one.
static int file_make(struct meta *m, struct diag *diag)
{
    AUTO_CLOSE int fd = open(m->o.path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && fchmod(fd, 0600) == 0)
        return 0;
    int rc = err_from_errno(errno);
    diag_add(diag, m->o.path, 0, "cannot be opened: %s", err_text(rc));
    return rc;
}

static int options_copy(struct meta *m, const struct meta_options *o)
{
    m->o = *o;
    m->o.path = mem_strdup(o->path);
    m->o.region = mem_strdup(o->region);
    m->o.key_id = mem_strdup(o->key_id ? o->key_id : "");
    if (m->o.path && m->o.region && m->o.key_id)
        return 0;
    return ERR_NOMEM;
}

// SQLite does not say why it cannot make its side files: an attempt of our own does.
static int why_no_side_file(const struct meta *m)
{
    AUTO_FREE char *path = mem_printf("%s.try", m->o.path);
    AUTO_CLOSE int fd = -1;
    if (path)
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = 0;
    if (fd < 0)
        rc = err_from_errno(errno);
    if (path)
        unlink(path);
    if (rc)
        return rc;
    return ERR_IO;
}

static int database_open(struct meta *m, struct diag *diag)
{
    int rc = file_make(m, diag);
    if (!rc)
        rc = lock_take(m, diag);
    if (rc)
        return rc;
    rc = db_open(m->o.path, false, &m->w);
    if (rc == ERR_IO)
        rc = why_no_side_file(m);
    if (rc) {
        diag_add(diag, m->o.path, 0, "cannot be opened: %s",
                 rc == ERR_CORRUPT ? "damaged, or no database" : err_text(rc));
        return rc;
    }
    m->w.damaged = &m->damaged;
    rc = schema_open(&m->w, m->o.path, m->o.region, diag);
    if (!rc && (rc = feed_own_load(m)))
        diag_add(diag, m->o.path, 0, "the feed's head cannot be read: %s", err_text(rc));
    if (!rc && (rc = ended_load(m)))
        diag_add(diag, m->o.path, 0, "its state cannot be read: %s", err_text(rc));
    atomic_store(&m->clock_last, m->hlc.last);
    if (!rc)
        revoked_key_look(m);
    return rc;
}

int meta_open(const struct meta_options *o, struct diag *diag, struct meta **out)
{
    struct meta *m = mem_zalloc(sizeof *m);
    if (!m)
        return ERR_NOMEM;
    m->lock_fd = -1;
    meta_set_skew(m, SKEW_MS);
    pthread_mutex_init(&m->lock, NULL);
    pthread_mutex_init(&m->readers_lock, NULL);
    pthread_cond_init(&m->queued, NULL);
    pthread_cond_init(&m->finished, NULL);
    meta_gate_close(m, META_GATE_RECOVERY, "the store was just opened");
    int rc = options_copy(m, o);
    if (!rc)
        rc = database_open(m, diag);
    if (!rc)
        rc = writer_start(m);
    if (rc) {
        meta_close(m);
        return rc;
    }
    *out = m;
    return 0;
}

void meta_close(struct meta *m)
{
    if (!m)
        return;
    writer_stop(m);
    for (struct db *d; (d = m->idle_readers);) {
        m->idle_readers = d->next;
        db_close(d);
        free(d);
    }
    if (m->w.h && !m->handed_over)
        (void)db_exec(&m->w, "PRAGMA wal_checkpoint(TRUNCATE)");
    db_close(&m->w);
    fd_auto_close(&m->lock_fd);
    pthread_mutex_destroy(&m->lock);
    pthread_mutex_destroy(&m->readers_lock);
    pthread_cond_destroy(&m->queued);
    pthread_cond_destroy(&m->finished);
    free((char *)m->o.path);
    free((char *)m->o.region);
    free((char *)m->o.key_id);
    free(m);
}

// Could an entry be written? One is: with stamp, signature and row; then it is taken back.
static int mint_try(struct meta *m)
{
    struct feed_entry e = {.kind = ENTRY_TAG,
                           .registry = "probe",
                           .repository = "probe",
                           .tag = "probe",
                           .media_type = "",
                           .digest = {.alg = DIGEST_SHA256, .n = SHA256_BYTES}};
    struct feed_mark own = m->own;
    struct hlc hlc = m->hlc;
    bool notify = m->notify;
    int64_t id;
    int rc = db_exec(&m->w, "SAVEPOINT mint");
    if (rc)
        return rc;
    int mint_rc = feed_mint(m, 0, (struct bytes){0}, &e, &id);
    rc = db_exec(&m->w, "ROLLBACK TO mint; RELEASE mint");
    m->own = own;
    m->hlc = hlc;
    m->notify = notify;
    if (mint_rc)
        return mint_rc;
    return rc;
}

static int probe_run(struct meta *m, void *arg)
{
    (void)arg;
    int rc = mint_try(m);
    if (rc)
        return rc;
    return db_run(&m->w,
                  "INSERT INTO state(key,value) VALUES('probe',1) ON CONFLICT(key) DO UPDATE SET "
                  "value=value+1",
                  "");
}

int meta_probe(struct meta *m)
{
    if (atomic_load(&m->damaged))
        return ERR_CORRUPT;
    return writer_submit(m, probe_run, NULL, false);
}

bool meta_writable(struct meta *m)
{
    return meta_probe(m) == 0;
}

int meta_sign(struct meta *m, const void *p, size_t n, const char **out_key,
              uint8_t sig[ENTRY_SIG_BYTES])
{
    *out_key = m->o.key_id;
    if (m->o.sign)
        return m->o.sign(m->o.sign_ctx, p, n, sig);
    return ERR_CRYPTO;
}

int reader_take(struct meta *m, struct db **out)
{
    pthread_mutex_lock(&m->readers_lock);
    struct db *d = m->idle_readers;
    if (d)
        m->idle_readers = d->next;
    pthread_mutex_unlock(&m->readers_lock);
    if (!d) {
        d = mem_zalloc(sizeof *d);
        int rc = ERR_NOMEM;
        if (d)
            rc = db_open(m->o.path, true, d);
        if (rc) {
            free(d);
            return rc;
        }
        d->damaged = &m->damaged;
    }
    d->next = NULL;
    *out = d;
    return 0;
}

void reader_give(struct meta *m, struct db *d)
{
    pthread_mutex_lock(&m->readers_lock);
    d->next = m->idle_readers;
    m->idle_readers = d;
    pthread_mutex_unlock(&m->readers_lock);
}
