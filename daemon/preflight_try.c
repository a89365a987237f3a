// SPDX-License-Identifier: Apache-2.0
// Trying to get at files as another user, in a child of its own; see preflight.h. The child makes
// system calls only and leaves what it found in shared memory; the parent, who may look at
// everything, says whose a file is and what mends it.
#include "daemon/preflight_priv.h"

#include "base/err.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct finding {
    // 0: it went well
    int error;
    // others may read this secret
    bool open;
    // so many bytes of the path name a directory that could not be passed through; 0: the file
    // itself
    size_t dir;
};

// ---- in the child ----

static bool become(const struct try_as *as)
{
    const gid_t groups[1] = {as->more};
    return !as->switches || (!setgroups(1, groups) && !setgid(as->gid) && !setuid(as->uid));
}

// The first directory above the last component that cannot be passed through.
static bool parents_pass(const char *path, struct finding *f)
{
    char part[PATH_MAX];
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        f->dir = (size_t)(slash - path);
        if (f->dir >= sizeof part) {
            f->error = ENAMETOOLONG;
            return false;
        }
        memcpy(part, path, f->dir);
        part[f->dir] = 0;
        if (access(part, X_OK)) {
            f->error = errno;
            return false;
        }
    }
    f->dir = 0;
    return true;
}

static bool may_make(const char *path)
{
    char dir[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    if (slash && (size_t)(slash - path) < sizeof dir)
        snprintf(dir, sizeof dir, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    return !access(dir, W_OK | X_OK);
}

static void open_one(const struct attempt *t, struct finding *f)
{
    int flags = O_RDONLY;
    if (t->need == NEED_APPEND)
        flags = O_WRONLY | O_APPEND;
    int fd = open(t->path, flags | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    if (fd < 0)
        f->error = errno;
    else
        f->error = 0;
    if (t->need == NEED_APPEND && f->error == ENXIO)
        f->error = 0; // a pipe whose reader is not there yet
    if (t->need == NEED_APPEND && f->error == ENOENT) {
        if (may_make(t->path))
            f->error = 0;
        else
            f->error = EACCES;
    }
    f->open = fd >= 0 && t->need == NEED_SECRET && !fstat(fd, &st) && (st.st_mode & 077);
    if (fd >= 0)
        close(fd);
}

static void try_one(const struct attempt *t, struct finding *f)
{
    if (!parents_pass(t->path, f) || t->need == NEED_PARENTS)
        return;
    if (t->need != NEED_WRITE)
        open_one(t, f);
    else if (access(t->path, R_OK | W_OK | X_OK))
        f->error = errno;
}

static void child_main(const struct tries *t, const struct try_as *as, struct finding *out)
{
    if (!become(as))
        _exit(1);
    for (size_t i = 0; i < t->n; i++)
        try_one(&t->list[i], &out[i]);
    _exit(0);
}

// ---- in the parent ----

static void owner_of(const char *path, char *out, size_t cap)
{
    struct stat st;
    if (stat(path, &st)) {
        snprintf(out, cap, "%s", strerror(errno));
        return;
    }
    const struct passwd *pw = getpwuid(st.st_uid);
    char id[32];
    snprintf(id, sizeof id, "%u", (unsigned)st.st_uid);
    snprintf(out, cap, "it belongs to %s, mode %04o", pw ? pw->pw_name : id,
             (unsigned)(st.st_mode & 07777));
}

static bool same_dir(const struct tries *t, const struct finding *f, size_t a, size_t b)
{
    return f[a].error == EACCES && f[a].dir == f[b].dir &&
           !memcmp(t->list[a].path, t->list[b].path, f[b].dir);
}

// One directory stands in the way of all that is below it: it is said once.
static void say_parent(const struct tries *t, const struct try_as *as, const struct finding *f,
                       size_t i, struct diag *diag)
{
    char dir[PATH_MAX], owner[128];
    for (size_t j = 0; j < i; j++)
        if (same_dir(t, f, j, i))
            return;
    snprintf(dir, sizeof dir, "%.*s", (int)f[i].dir, t->list[i].path);
    owner_of(dir, owner, sizeof owner);
    diag_add(diag, NULL, 0,
             "%s: user %s may not pass through %s on the way to %s (%s); let it: chmod o+x %s, or "
             "choose another place",
             t->list[i].key, as->user, dir, t->list[i].path, owner, dir);
}

static void say_denied(const struct attempt *t, const struct try_as *as, struct diag *diag)
{
    char owner[128];
    owner_of(t->path, owner, sizeof owner);
    if (t->need == NEED_SECRET)
        diag_add(
            diag, NULL, 0,
            "%s: %s: user %s cannot read it (%s); it must be that user's alone: chown %s:%s %s && "
            "chmod 600 %s",
            t->key, t->path, as->user, owner, as->user, as->group, t->path, t->path);
    else if (t->need == NEED_READ)
        diag_add(diag, NULL, 0,
                 "%s: %s: user %s cannot read it (%s); let it: chgrp %s %s && chmod g+r %s", t->key,
                 t->path, as->user, owner, as->group, t->path, t->path);
    else
        diag_add(
            diag, NULL, 0,
            "%s: %s: user %s cannot write there (%s); it must be that user's: chown -R %s:%s %s",
            t->key, t->path, as->user, owner, as->user, as->group, t->path);
}

static bool say(const struct tries *all, const struct try_as *as, const struct finding *found,
                size_t i, struct diag *diag)
{
    const struct attempt *t = &all->list[i];
    const struct finding *f = &found[i];
    bool missing = f->error == ENOENT;
    if (!f->error && !f->open)
        return false;
    if (missing && t->optional)
        return false; // a start makes it, or goes without
    if (f->open)
        diag_add(diag, NULL, 0,
                 "%s: %s: others may read it; it must be user %s's alone: chmod 600 %s", t->key,
                 t->path, as->user, t->path);
    else if (missing)
        diag_add(diag, NULL, 0, "%s: %s: it is missing", t->key, t->path);
    else if (f->error == EACCES && f->dir)
        say_parent(all, as, found, i, diag);
    else if (f->error == EACCES)
        say_denied(t, as, diag);
    else
        diag_add(diag, NULL, 0, "%s: %s: user %s cannot use it: %s", t->key, t->path, as->user,
                 strerror(f->error));
    return true;
}

int tries_run(const struct tries *t, const struct try_as *as, struct diag *diag)
{
    size_t bytes = sizeof(struct finding) * (t->n + 1);
    struct finding *f =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (f == MAP_FAILED)
        return ERR_NOMEM;
    pid_t pid = fork();
    if (pid == 0)
        child_main(t, as, f);
    int status = 0, n = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    bool good = pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!good)
        diag_add(diag, NULL, 0,
                 "user %s: its files cannot be tried: no process can become that user", as->user);
    for (size_t i = 0; good && i < t->n; i++)
        n += say(t, as, f, i, diag);
    munmap(f, bytes);
    if (good)
        return n;
    return ERR_DENIED;
}
