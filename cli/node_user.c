// SPDX-License-Identifier: Apache-2.0
// See node_user.h.
#include "cli/node_user.h"

#include "backup/folder.h"
#include "base/diag.h"
#include "base/err.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int node_user_settings(struct cli *c, const char *path, struct node **out)
{
    struct diag d;
    diag_init(&d);
    int rc = node_load(path, &d, out);
    diag_print(&d, stderr);
    diag_done(&d);
    if (rc)
        return cli_fail(EXIT_FAILED,
                        "%s: the settings of this node cannot be read; name them with --node",
                        path);
    (void)c;
    return EXIT_DONE;
}

int node_user_find(struct cli *c, const struct node *n, struct node_user *out)
{
    struct node_user u = {.uid = geteuid(), .gid = getegid(), .edge_gid = (gid_t)-1};
    (void)c;
    if (geteuid() == 0 && n->user && strcmp(n->user, "root") != 0) {
        const struct passwd *pw = getpwnam(n->user);
        if (!pw)
            return cli_fail(EXIT_FAILED, "user %s of the node's settings does not exist", n->user);
        u.switches = true;
        u.uid = pw->pw_uid;
        u.gid = pw->pw_gid;
        pw = getpwnam(n->edge_user);
        if (!pw)
            return cli_fail(EXIT_FAILED, "user %s of the node's settings does not exist",
                            n->edge_user);
        u.edge_gid = pw->pw_gid;
    }
    *out = u;
    return EXIT_DONE;
}

int node_user_become(struct cli *c, const struct node_user *u)
{
    (void)c;
    if (!u->switches)
        return EXIT_DONE;
    if (setgroups(1, &u->edge_gid) || setgid(u->gid) || setuid(u->uid))
        return cli_fail(EXIT_FAILED, "cannot become the daemon's user: %s", strerror(errno));
    return EXIT_DONE;
}

static int any_name(void *ctx, int dir_fd, const char *name)
{
    (void)ctx;
    (void)dir_fd;
    (void)name;
    return ERR_EXISTS;
}

int node_user_dir(struct cli *c, const struct node_user *u, const char *path)
{
    struct stat st;
    (void)c;
    if (!u->switches)
        return EXIT_DONE;
    if (mkdir(path, 0700) && errno != EEXIST)
        return cli_fail(EXIT_FAILED, "%s: cannot be made: %s", path, strerror(errno));
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st))
        return cli_fail(EXIT_FAILED, "%s: cannot be opened: %s", path, strerror(errno));
    if (st.st_uid == u->uid)
        return EXIT_DONE;
    if (names_each(fd, any_name, NULL))
        return cli_fail(EXIT_FAILED,
                        "%s: belongs to another user than the daemon's, and is not empty: name "
                        "another folder, or give it to the daemon's user",
                        path);
    if (fchown(fd, u->uid, u->gid) || fchmod(fd, 0700))
        return cli_fail(EXIT_FAILED, "%s: cannot be given to the daemon's user: %s", path,
                        strerror(errno));
    return EXIT_DONE;
}
