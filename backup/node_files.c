// SPDX-License-Identifier: Apache-2.0
// See node_files.h.
#include "backup/node_files.h"

#include "backup/bytes_copy.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define FILE_FLAGS (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
// Root's, and its daemon may pass through, not list.
#define DATA_FLAGS (O_PATH | O_DIRECTORY | O_CLOEXEC)
#define DEPTH_MAX 4
#define PATH_SIZE 512

struct walk {
    struct folder *f;
    struct arena *a;
    struct backup_form *form;
    // below the data folder, without a slash at its end
    char path[PATH_SIZE];
    unsigned depth;
};

// What says how much of others' entries the metadata has. The metadata of a backup is older than what
// is copied after it, and may not have all that such a file claims: then a registry would count as
// read whole that is not. Without them a region reads again.
static bool is_claim(const char *path)
{
    static const char joining[] = "state/joining-";
    return !strcmp(path, "state/replication.json") || !strncmp(path, joining, sizeof joining - 1);
}

// Not in a backup: made anew by whoever starts.
static bool is_made_anew(const char *path)
{
    static const char *const names[] = {"state/spare", "state/zones", "state/frame.yaml",
                                        "state/private-edge"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (!strcmp(path, names[i]))
            return true;
    return is_claim(path);
}

int node_files_add(struct backup_form *form, struct arena *a, const struct backup_file *file)
{
    struct backup_file *list = arena_array(a, form->n_files + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    if (form->n_files)
        memcpy(list, form->files, form->n_files * sizeof *list);
    list[form->n_files] = *file;
    list[form->n_files].path = arena_strdup(a, file->path);
    if (!list[form->n_files].path)
        return ERR_NOMEM;
    form->files = list;
    form->n_files++;
    return 0;
}

static int entry_take(void *ctx, int dir_fd, const char *name);

static int file_take(struct walk *w, int dir_fd, const char *name)
{
    struct stat st;
    struct backup_file file = {.path = w->path};
    AUTO_CLOSE int fd = openat(dir_fd, name, FILE_FLAGS);
    if (fd < 0 || fstat(fd, &st))
        return errno == ENOENT ? 0 : err_from_errno(errno);
    if (!S_ISREG(st.st_mode))
        return 0;
    file.mode = st.st_mode & 0777;
    int rc = folder_file_put(w->f, fd, &file.bytes, file.sha256);
    if (rc)
        return rc;
    return node_files_add(w->form, w->a, &file);
}

static int dir_take(struct walk *w, int dir_fd, const char *name)
{
    if (w->depth == DEPTH_MAX)
        return 0;
    AUTO_CLOSE int fd = openat(dir_fd, name, DIR_FLAGS);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_from_errno(errno);
    w->depth++;
    int rc = names_each(fd, entry_take, w);
    w->depth--;
    return rc;
}

// Names of ours have no dot at their beginning, and those of files that are being written have
// ".tmp." in the middle.
static int entry_take(void *ctx, int dir_fd, const char *name)
{
    struct walk *w = ctx;
    struct stat st;
    size_t n = strlen(w->path);
    if (name[0] == '.' || strstr(name, ".tmp.") || n + 1 + strlen(name) >= sizeof w->path)
        return 0;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? 0 : err_from_errno(errno);
    snprintf(w->path + n, sizeof w->path - n, "/%s", name);
    int rc = 0;
    if (!is_made_anew(w->path) && S_ISDIR(st.st_mode))
        rc = dir_take(w, dir_fd, name);
    else if (!is_made_anew(w->path) && S_ISREG(st.st_mode))
        rc = file_take(w, dir_fd, name);
    w->path[n] = '\0';
    return rc;
}

int node_files_take(struct folder *f, const char *data_dir, bool with_keys, struct arena *a,
                    struct backup_form *form)
{
    static const char *const dirs[] = {"state", "keys", "certs"};
    AUTO_CLOSE int data = open(data_dir, DATA_FLAGS);
    int rc = data < 0 ? err_from_errno(errno) : 0;
    for (size_t i = 0; i < (with_keys ? ARRAY_LEN(dirs) : 1) && !rc; i++) {
        struct walk w = {.f = f, .a = a, .form = form};
        snprintf(w.path, sizeof w.path, "%s", dirs[i]);
        rc = dir_take(&w, data, dirs[i]);
    }
    return rc;
}

// --- the way back ---

// The directory of a path, made; *out_name: the last word of the path.
static int parent_open(int data, const char *path, int *out_fd, const char **out_name)
{
    AUTO_CLOSE int at = openat(data, ".", DATA_FLAGS);
    const char *slash;
    while (at >= 0 && (slash = strchr(path, '/'))) {
        char word[PATH_SIZE];
        snprintf(word, sizeof word, "%.*s", (int)(slash - path), path);
        if (mkdirat(at, word, 0700) && errno != EEXIST)
            return err_from_errno(errno);
        int below = openat(at, word, DIR_FLAGS);
        fd_auto_close(&at);
        at = below;
        path = slash + 1;
    }
    if (at < 0)
        return err_from_errno(errno);
    *out_fd = fd_take(&at);
    *out_name = path;
    return 0;
}

static int file_restore(const struct folder *f, const struct backup_file *file, int data, bool keep,
                        bool *out_left)
{
    static const char tmp[] = ".restoring";
    AUTO_CLOSE int from = -1, dir = -1;
    const char *name;
    uint64_t n;
    int rc = folder_file_open(f, file->sha256, &from);
    if (!rc)
        rc = parent_open(data, file->path, &dir, &name);
    if (rc)
        return rc;
    if (keep && !faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW)) {
        *out_left = true;
        return 0;
    }
    (void)unlinkat(dir, tmp, 0);
    rc = bytes_copy_new(from, dir, tmp, file->mode, DIGEST_SHA256, &n, NULL);
    if (!rc && renameat(dir, tmp, dir, name))
        rc = err_from_errno(errno);
    if (!rc && fsync(dir))
        rc = err_from_errno(errno);
    return rc;
}

static bool is_key(const char *path)
{
    return !strncmp(path, "keys/", 5) || !strncmp(path, "certs/", 6);
}

static int claim_drop(void *ctx, int dir_fd, const char *name)
{
    char path[PATH_SIZE];
    (void)ctx;
    snprintf(path, sizeof path, "state/%s", name);
    if (is_claim(path) && unlinkat(dir_fd, name, 0) && errno != ENOENT)
        return err_from_errno(errno);
    return 0;
}

// Those of the metadata that was there before.
static int claims_drop(int data)
{
    AUTO_CLOSE int state = openat(data, "state", DIR_FLAGS);
    if (state < 0)
        return errno == ENOENT ? 0 : err_from_errno(errno);
    int rc = names_each(state, claim_drop, NULL);
    if (!rc && fsync(state))
        rc = err_from_errno(errno);
    return rc;
}

static bool is_restored(const char *path)
{
    return strcmp(path, BACKUP_META) != 0 && !is_claim(path);
}

int node_files_restore(const struct folder *f, const struct backup_form *form, const char *data_dir,
                       bool *out_left)
{
    AUTO_CLOSE int data = open(data_dir, DATA_FLAGS);
    int rc = data < 0 ? err_from_errno(errno) : claims_drop(data);
    for (size_t i = 0; i < form->n_files && !rc; i++)
        if (is_restored(form->files[i].path))
            rc = file_restore(f, &form->files[i], data, is_key(form->files[i].path), out_left);
    return rc;
}
