// SPDX-License-Identifier: Apache-2.0
// The record of a hot restart; see handover.h. On the supervisor's only thread.
#include "daemon/handover.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_MAX_BYTES (1u << 20)
#define FDS_MAX 65536

int handover_write(const struct handover *h, int *out_fd)
{
    json_t *fds = json_array();
    for (size_t i = 0; fds && i < h->n_fds; i++)
        if (json_array_append_new(fds, json_integer(h->fds[i]))) {
            json_decref(fds);
            fds = NULL;
        }
    json_t *doc = NULL;
    if (fds)
        doc = json_pack("{s:i, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:o}", "version",
                        HANDOVER_VERSION, "dataDir", h->data_dir, "runtimeDir", h->runtime_dir,
                        "lock", h->lock_fd, "worker", (int)h->worker, "link", h->ipc_fd, "edge",
                        (int)h->edge.pid, "edgeLife", h->edge.life_fd, "edgeLogWrite",
                        h->edge.log_write_fd, "edgeLogRead", h->edge.log_read_fd, "edgeOwnSpace",
                        (int)h->edge.own_space, "listen", fds);
    AUTO_FREE char *text = NULL;
    if (doc)
        text = json_dumps(doc, JSON_COMPACT);
    json_decref(doc);
    if (!text)
        return ERR_NOMEM;
    int fd = memfd_create("meridian-handover", 0);
    if (fd < 0)
        return err_from_errno(errno);
    int rc = fd_write_all(fd, text, strlen(text));
    if (!rc && lseek(fd, 0, SEEK_SET) != 0)
        rc = err_from_errno(errno);
    if (rc)
        close(fd);
    else
        *out_fd = fd;
    return rc;
}

static int read_text(int fd, char *text)
{
    size_t n = 0;
    ssize_t got;
    while ((got = pread(fd, text + n, RECORD_MAX_BYTES - n, (off_t)n)) > 0)
        n += (size_t)got;
    text[n] = 0;
    if (got < 0 || n == RECORD_MAX_BYTES)
        return ERR_CORRUPT;
    return 0;
}

static bool is_socket(int fd)
{
    struct stat st;
    return fd > 2 && !fstat(fd, &st) && S_ISSOCK(st.st_mode);
}

static bool is_pipe(int fd)
{
    struct stat st;
    return fd > 2 && !fstat(fd, &st) && S_ISFIFO(st.st_mode);
}

static bool read_fds(const json_t *list, struct handover *h)
{
    h->n_fds = json_array_size(list);
    if (h->n_fds > FDS_MAX)
        return false;
    h->fds = mem_zalloc_array(h->n_fds + 1, sizeof *h->fds);
    for (size_t i = 0; h->fds && i < h->n_fds; i++) {
        h->fds[i] = (int)json_integer_value(json_array_get(list, i));
        if (!is_socket(h->fds[i]))
            return false;
    }
    return h->fds != NULL;
}

static void keep_one(int fd, bool keep)
{
    if (fd > 2)
        (void)fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

void handover_keep(const struct handover *h, bool keep)
{
    keep_one(h->lock_fd, keep);
    keep_one(h->ipc_fd, keep);
    const int edge[] = {h->edge.life_fd, h->edge.log_write_fd, h->edge.log_read_fd};
    for (size_t i = 0; h->edge.pid && i < ARRAY_LEN(edge); i++)
        keep_one(edge[i], keep);
    for (size_t i = 0; i < h->n_fds; i++)
        keep_one(h->fds[i], keep);
}

static int read_record(const char *text, struct diag *diag, struct handover *out)
{
    struct handover h = {0};
    int version = 0, worker = 0, edge = 0, own = 0;
    const char *data = NULL, *run = NULL;
    json_t *list = NULL, *doc = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    int rc = ERR_CORRUPT;
    if (doc && !json_unpack(doc, "{s:i}", "version", &version))
        rc = 0;
    if (!rc && version != HANDOVER_VERSION) {
        diag_add(diag, NULL, 0,
                 "the running program hands over in version %d, this one takes version %d", version,
                 HANDOVER_VERSION);
        rc = ERR_VERSION;
    }
    if (!rc && json_unpack(doc, "{s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:o}",
                           "dataDir", &data, "runtimeDir", &run, "lock", &h.lock_fd, "worker",
                           &worker, "link", &h.ipc_fd, "edge", &edge, "edgeLife", &h.edge.life_fd,
                           "edgeLogWrite", &h.edge.log_write_fd, "edgeLogRead", &h.edge.log_read_fd,
                           "edgeOwnSpace", &own, "listen", &list))
        rc = ERR_CORRUPT;
    if (!rc && (!read_fds(list, &h) || fcntl(h.lock_fd, F_GETFD) < 0 || !is_socket(h.ipc_fd) ||
                (edge && (fcntl(h.edge.life_fd, F_GETFD) < 0 || !is_pipe(h.edge.log_write_fd) ||
                          !is_pipe(h.edge.log_read_fd)))))
        rc = ERR_CORRUPT;
    h.worker = worker;
    h.edge.pid = edge;
    h.edge.own_space = own;
    if (rc) {
        h.data_dir = NULL;
        h.runtime_dir = NULL;
    } else {
        h.data_dir = mem_strdup(data);
        h.runtime_dir = mem_strdup(run);
    }
    if (!rc && (!h.data_dir || !h.runtime_dir))
        rc = ERR_NOMEM;
    json_decref(doc);
    if (rc == ERR_CORRUPT)
        diag_add(diag, NULL, 0,
                 HANDOVER_ENV ": what the running program handed over cannot be read");
    if (rc) {
        handover_done(&h);
        return rc;
    }
    handover_keep(&h, false);
    *out = h;
    return 0;
}

int handover_read(int fd, struct diag *diag, struct handover *out)
{
    AUTO_CLOSE int from = fd;
    AUTO_FREE char *text = mem_alloc(RECORD_MAX_BYTES + 1);
    int rc = ERR_NOMEM;
    if (text)
        rc = read_text(from, text);
    if (rc) {
        diag_add(diag, NULL, 0,
                 HANDOVER_ENV ": what the running program handed over cannot be read");
        return rc;
    }
    return read_record(text, diag, out);
}

int handover_from_env(struct diag *diag, struct handover *out)
{
    const char *text = getenv(HANDOVER_ENV);
    if (!text)
        return ERR_NOTFOUND;
    char *end;
    long fd = strtol(text, &end, 10);
    bool good = end != text && !*end && fd > 2 && fd < FDS_MAX;
    unsetenv(HANDOVER_ENV);
    return handover_read(good ? (int)fd : -1, diag, out);
}

int handover_fits(const struct handover *h, const struct node *n, struct diag *diag)
{
    const char *const pairs[][3] = {{"data_dir", h->data_dir, n->data_dir},
                                    {"runtime_dir", h->runtime_dir, n->runtime_dir}};
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        if (strcmp(pairs[i][1], pairs[i][2]) != 0) {
            diag_add(diag, n->source, 0,
                     "%s: the running node has %s; moving it needs a stop and a start", pairs[i][0],
                     pairs[i][1]);
            return ERR_CONFLICT;
        }
    return 0;
}

void handover_done(struct handover *h)
{
    free(h->data_dir);
    free(h->runtime_dir);
    free(h->fds);
    *h = (struct handover){0};
}
