// SPDX-License-Identifier: Apache-2.0
// The thread that looks at files; see secret_reload.h. A file counts as changed when its identity,
// size or time did.
#include "resolver/serve/secret_reload.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "resolver/packet/cookies.h"
#include "resolver/serve/dot.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOOK_MS 1000 // unless told otherwise

struct file_stamp {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
    mode_t mode;
    // it could not be read for want of descriptors or memory: that says nothing of the file
    bool again;
};

struct secret_reload {
    const struct node_dns *settings;
    const char *pem_path;
    int look_ms;
    struct snapshot cookies, identity;
    struct file_stamp secret, pem;
    pthread_t thread;
    bool started;
    // eventfd
    int stop;
};

// Zero: it cannot be looked at.
static struct file_stamp stamp_of(const char *path)
{
    struct stat st;
    struct file_stamp f = {0};
    if (!stat(path, &st)) {
        f.dev = st.st_dev;
        f.ino = st.st_ino;
        f.size = st.st_size;
        f.changed = st.st_ctim;
        f.mode = st.st_mode;
    }
    return f;
}

static bool stamp_same(const struct file_stamp *a, const struct file_stamp *b)
{
    if (a->dev != b->dev || a->ino != b->ino || a->size != b->size || a->mode != b->mode)
        return false;
    return a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

static bool stamp_changed(struct file_stamp *f, const char *path)
{
    struct file_stamp now = stamp_of(path);
    now.again = f->again;
    if (stamp_same(f, &now))
        return false;
    *f = now;
    return true;
}

static int read_cookies(struct secret_reload *u, struct diag *diag)
{
    const struct node_dns_cookies *s = &u->settings->cookies;
    struct cookies *c;
    int rc;
    if (s->secret)
        rc = cookies_load(s->secret, diag, &c);
    else
        rc = cookies_new_random(&c);
    if (rc)
        return rc;
    c->required = s->required;
    snapshot_publish(&u->cookies, c);
    return 0;
}

static int read_identity(struct secret_reload *u, struct diag *diag)
{
    struct dot_identity *id;
    int rc = dot_identity_load(u->pem_path, diag, &id);
    if (!rc)
        snapshot_publish(&u->identity, id);
    return rc;
}

// Logs how it went, but not each time that it is tried again.
static void read_again(struct secret_reload *u, struct file_stamp *f,
                       int (*read_it)(struct secret_reload *, struct diag *), const char *what)
{
    struct diag d;
    diag_init(&d);
    int rc = read_it(u, &d);
    bool told = f->again;
    AUTO_FREE char *why = diag_text(&d);
    f->again = rc == ERR_NOFILES || rc == ERR_NOMEM || rc == ERR_IO;
    if (rc && told && f->again)
        log_debug("dns: %s still cannot be read", what);
    else if (rc)
        log_warn("dns: %s stays as it was: %s", what, why && *why ? why : err_text(rc));
    else
        log_info("dns: %s was read", what);
    diag_done(&d);
}

// Has the file changed, or could it not be read last time? `path` NULL: there is none.
static bool is_due(struct file_stamp *f, const char *path)
{
    if (!path)
        return false;
    bool changed = stamp_changed(f, path);
    return changed || f->again;
}

static void look(struct secret_reload *u)
{
    const struct node_dns_cookies *s = &u->settings->cookies;
    const char *secret = NULL;
    if (s->enabled)
        secret = s->secret;
    if (is_due(&u->secret, secret))
        read_again(u, &u->secret, read_cookies, "the cookie secret");
    if (is_due(&u->pem, u->pem_path))
        read_again(u, &u->pem, read_identity, "the certificate of DNS over TLS");
}

static void *secret_reload_main(void *arg)
{
    struct secret_reload *u = arg;
    struct pollfd p = {.fd = u->stop, .events = POLLIN};
    int n;
    while ((n = poll(&p, 1, u->look_ms)) <= 0) {
        if (n < 0 && errno != EINTR)
            clock_sleep_ms(u->look_ms); // for want of memory, say: that passes
        look(u);
    }
    return NULL;
}

int secret_reload_start(const struct node_dns *settings, const char *pem_path, unsigned look_ms,
                        struct diag *diag, struct secret_reload **out)
{
    struct secret_reload *u = mem_zalloc(sizeof *u);
    if (!u)
        return ERR_NOMEM;
    u->settings = settings;
    u->pem_path = pem_path;
    if (look_ms)
        u->look_ms = (int)look_ms;
    else
        u->look_ms = LOOK_MS;
    snapshot_init(&u->cookies);
    snapshot_init(&u->identity);
    u->stop = eventfd(0, EFD_CLOEXEC);
    int rc = 0;
    if (u->stop < 0)
        rc = err_from_errno(errno);
    if (settings->cookies.secret)
        // before it is read: a change in between is seen again
        u->secret = stamp_of(settings->cookies.secret);
    if (!rc && settings->cookies.enabled)
        rc = read_cookies(u, diag);
    if (!rc && pem_path) {
        u->pem = stamp_of(pem_path);
        read_again(u, &u->pem, read_identity, "the certificate of DNS over TLS");
    }
    if (!rc && pthread_create(&u->thread, NULL, secret_reload_main, u))
        rc = ERR_NOMEM;
    u->started = !rc;
    if (rc)
        secret_reload_stop(u);
    else
        *out = u;
    return rc;
}

void secret_reload_stop(struct secret_reload *u)
{
    if (!u)
        return;
    if (u->started) {
        if (eventfd_write(u->stop, 1))
            abort(); // an eventfd that never counted cannot be full
        pthread_join(u->thread, NULL);
    }
    if (u->stop >= 0)
        close(u->stop);
    snapshot_done(&u->cookies);
    snapshot_done(&u->identity);
    free(u);
}

struct snapshot *secret_reload_cookies(struct secret_reload *u)
{
    return &u->cookies;
}

struct snapshot *secret_reload_identity(struct secret_reload *u)
{
    return &u->identity;
}
