// SPDX-License-Identifier: Apache-2.0
// The edge's own copies of certificates and keys; see edge_priv.h. Called by edge.c in the
// supervisor, which may be root while the originals belong to the daemon's user: nothing of theirs
// is opened on trust.
#include "net/edge_priv.h"

#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "pem-"

// O_NONBLOCK: a FIFO in the place of a certificate must not hold us up.
static int pem_read(const char *path, uid_t owner, struct buf *out, struct diag *diag)
{
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st)) {
        diag_add(diag, NULL, 0, "edge: %s: %s", path, strerror(errno));
        return ERR_INVAL;
    }
    if (!S_ISREG(st.st_mode) || st.st_size > EDGE_PEM_MAX) {
        diag_add(diag, NULL, 0, "edge: %s: not a file of at most %d bytes", path, EDGE_PEM_MAX);
        return ERR_INVAL;
    }
    if (st.st_uid != geteuid() && st.st_uid != owner) {
        diag_add(diag, NULL, 0, "edge: %s: belongs to user %u, who has no say here", path,
                 (unsigned)st.st_uid);
        return ERR_INVAL;
    }
    // at once: what grows leaves copies of a key behind
    char *room = buf_room(out, EDGE_PEM_MAX + 1);
    if (!room)
        return out->err;
    while (out->n <= EDGE_PEM_MAX) {
        ssize_t n = read(fd, room + out->n, EDGE_PEM_MAX + 1 - out->n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_from_errno(errno);
        if (n == 0)
            break;
        out->n += (size_t)n;
    }
    if (out->n > EDGE_PEM_MAX)
        return ERR_TOOBIG;
    return 0;
}

// Keys do not stay in the memory of a process that forks.
static void wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->cap);
    buf_done(b);
}

static int pem_copy(const char *dir, const char *from, uid_t owner, struct diag *diag, char **out)
{
    __attribute__((cleanup(wipe))) struct buf text;
    uint8_t sum[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    struct stat st;
    buf_init(&text, 2 * EDGE_PEM_MAX);
    int rc = pem_read(from, owner, &text, diag);
    if (rc)
        return rc;
    sha256(buf_cstr(&text), text.n, sum);
    hex_format(sum, sizeof sum, hex);
    AUTO_FREE char *to = mem_printf("%s/" PREFIX "%s.pem", dir, hex);
    if (!to)
        return ERR_NOMEM;
    if (lstat(to, &st) || (size_t)st.st_size != text.n)
        rc = file_write_atomic(to, buf_cstr(&text), text.n, 0600);
    if (rc)
        diag_add(diag, NULL, 0, "edge: %s: %s", to, err_text(rc));
    else
        *out = take_ptr(to);
    return rc;
}

int edge_pems_copy(const struct edge_config *c, struct diag *diag, struct edge_pems *out)
{
    const char *const from[EDGE_PEMS] = {c->region_pem, c->shared_pem, c->peer_pem, c->ca_pem};
    struct edge_pems p = {0};
    int rc = 0;
    for (size_t i = 0; i < EDGE_PEMS && !rc; i++) {
        if (from[i])
            rc = pem_copy(c->runtime_dir, from[i], c->pem_owner, diag, &p.path[i]);
        else
            rc = ERR_INVAL;
    }
    if (rc)
        edge_pems_free(&p);
    else
        *out = p;
    return rc;
}

void edge_pems_free(struct edge_pems *p)
{
    for (size_t i = 0; i < EDGE_PEMS; i++) {
        free(p->path[i]);
        p->path[i] = NULL;
    }
}

static bool kept(const struct edge_pems *keep, const char *name)
{
    for (size_t i = 0; i < EDGE_PEMS; i++) {
        const char *slash = NULL;
        if (keep->path[i])
            slash = strrchr(keep->path[i], '/');
        if (slash && !strcmp(slash + 1, name))
            return true;
    }
    return false;
}

void edge_pems_sweep(const char *runtime_dir, const struct edge_pems *keep)
{
    DIR *d = opendir(runtime_dir);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        if (!strncmp(e->d_name, PREFIX, strlen(PREFIX)) && !kept(keep, e->d_name))
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}
