// SPDX-License-Identifier: Apache-2.0
// daemon/link and daemon/paths: messages between the processes, directories and their modes.
#include "daemon/supervisor_ipc.h"

#include "base/err.h"
#include "base/fd.h"
#include "daemon/paths.h"
#include "tests/support/check_main.h"

#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(messages_arrive_whole_and_a_gone_peer_is_noticed)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    struct ipc_message m;
    ck_assert_int_eq(ipc_receive(fds[0], &m), ERR_BUSY);
    ck_assert_int_eq(ipc_send(fds[1], &(struct ipc_message){.kind = IPC_RELOAD}), 0);
    ck_assert_int_eq(ipc_receive(fds[0], &m), 0);
    ck_assert_int_eq(m.kind, IPC_RELOAD);
    struct ipc_message edge = {.kind = IPC_EDGE,
                               .edge = {.state = EDGE_BACKOFF, .pid = 42, .n_restarts = 3}};
    // no NUL: the receiver must put one
    memset(edge.edge.last_error, 'x', sizeof edge.edge.last_error);
    ck_assert_int_eq(ipc_send(fds[1], &edge), 0);
    ck_assert_int_eq(ipc_receive(fds[0], &m), 0);
    ck_assert_int_eq(m.edge.pid, 42);
    ck_assert_uint_eq(strlen(m.edge.last_error), sizeof m.edge.last_error - 1);
    ck_assert_int_eq((int)send(fds[1], "e", 1, 0), 1); // too short for its kind
    ck_assert_int_eq(ipc_receive(fds[0], &m), ERR_PROTO);
    close(fds[1]);
    ck_assert_int_eq(ipc_receive(fds[0], &m), ERR_CLOSED);
    close(fds[0]);
}
END_TEST

static unsigned mode_of(const char *dir, const char *name)
{
    char path[700];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    ck_assert_msg(stat(path, &st) == 0, "%s is missing", path);
    return st.st_mode & 07777;
}

START_TEST(directories_are_made_with_their_modes)
{
    char dir[] = "/tmp/meridian-paths.XXXXXX", data[64], run[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(data, sizeof data, "%s/data", dir);
    snprintf(run, sizeof run, "%s/data/run", dir);
    const struct node n = {.data_dir = data, .runtime_dir = run};
    struct diag d;
    diag_init(&d);
    struct paths p;
    struct identity id;
    ck_assert_int_eq(paths_of(&n, &d, &p), 0);
    ck_assert_int_eq(identity_of(&n, &d, &id), 0);
    ck_assert(!id.switches); // no users named
    ck_assert_int_eq(paths_prepare(&n, &p, &id, &(int){-1}, &d), 0);
    ck_assert_uint_eq(mode_of(data, "keys"), 0700);
    ck_assert_uint_eq(mode_of(data, "meta"), 0700);
    ck_assert_uint_eq(mode_of(data, "store/blobs"), 02750);
    ck_assert_uint_eq(mode_of(run, "edge"), 0755);
    diag_done(&d);
    dir_remove_tree(dir);
}
END_TEST

// --- root's view of what the worker could do ---

static char top[64], data[80], run_dir[90];
static struct node rooted = {
    .data_dir = data, .runtime_dir = run_dir, .user = "nobody", .edge_user = "nobody"};
static struct identity nobody;
static struct paths where;

// in a process of its own: the lock is held as long as it lives
static int prepare(const char *want)
{
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        struct diag d;
        diag_init(&d);
        int rc = paths_prepare(&rooted, &where, &nobody, &(int){-1}, &d);
        if (rc && want && (!d.n || !strstr(d.lines[0], want))) {
            fprintf(stderr, "want: %s, got: %s\n", want, d.n ? d.lines[0] : "nothing");
            _exit(2);
        }
        _exit(rc ? 1 : 0);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool rooted_setup(void)
{
    if (geteuid() != 0)
        return false; // only root has something to lose here
    snprintf(top, sizeof top, "/tmp/meridian-paths.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
    ck_assert_int_eq(chmod(top, 0755), 0);
    snprintf(data, sizeof data, "%s/data", top);
    snprintf(run_dir, sizeof run_dir, "%s/run", data);
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(paths_of(&rooted, &d, &where), 0);
    ck_assert_int_eq(identity_of(&rooted, &d, &nobody), 0);
    ck_assert(nobody.switches);
    diag_done(&d);
    ck_assert_int_eq(prepare(NULL), 0);
    return true;
}

// What the worker's user can and cannot do, as that user; true when all came out as wanted.
static bool as_worker(int (*act)(void))
{
    pid_t pid = fork();
    if (!pid) {
        gid_t groups[1] = {nobody.edge_gid};
        if (setgroups(1, groups) || setgid(nobody.gid) || setuid(nobody.uid))
            _exit(99);
        _exit(act());
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static char path_a[100], path_b[100];
static int do_rename(void)
{
    return rename(path_a, path_b) ? 1 : 0;
}
static int do_socket(void) // what the HTTP server does
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof sun.sun_path, "%.99s", path_a);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return fd >= 0 && !bind(fd, (struct sockaddr *)&sun, sizeof sun) && !rename(path_a, path_b) ? 0
                                                                                                : 1;
}

START_TEST(the_worker_cannot_swap_what_root_relies_on)
{
    if (!rooted_setup())
        return;
    const struct {
        const char *from, *to;
    } swaps[] = {{where.edge_dir, "/run/mine"},  {run_dir, "/elsewhere"},
                 {where.certs, "/elsewhere"},    {where.keys, "/elsewhere"},
                 {where.store, "/state/stolen"}, {data, "-elsewhere"}};
    for (size_t i = 0; i < sizeof swaps / sizeof swaps[0]; i++) {
        snprintf(path_a, sizeof path_a, "%.99s", swaps[i].from);
        snprintf(path_b, sizeof path_b, "%s%s", data, swaps[i].to);
        ck_assert_msg(!as_worker(do_rename), "%s could be renamed", path_a);
    }
    snprintf(path_a, sizeof path_a, "%.90s.new", where.public_sock);
    snprintf(path_b, sizeof path_b, "%.99s", where.public_sock);
    ck_assert(as_worker(do_socket)); // twice: over its own
    ck_assert(as_worker(do_socket));
    ck_assert_int_eq(prepare(NULL), 0); // and another user's leftovers are gone at the next start
    ck_assert_int_eq(access(where.public_sock, F_OK), -1);
    dir_remove_tree(top);
}
END_TEST

START_TEST(links_and_strangers_in_the_place_of_directories_are_refused)
{
    if (!rooted_setup())
        return;
    char blobs[200], victim[200];
    struct stat st;
    snprintf(blobs, sizeof blobs, "%s/store/blobs", data);
    snprintf(victim, sizeof victim, "%s/victim", top);
    ck_assert_int_eq(mkdir(victim, 0700), 0);
    ck_assert_int_eq(rmdir(blobs) || symlink(victim, blobs), 0); // as a worker gone bad could
    ck_assert_int_eq(prepare("store/blobs: must be a directory"), 1);
    ck_assert_int_eq(stat(victim, &st), 0);
    ck_assert_uint_eq(st.st_uid, 0); // not given away
    ck_assert_int_eq(unlink(blobs), 0);
    ck_assert_int_eq(prepare(NULL), 0);
    // as an earlier layout had it
    ck_assert_int_eq(chown(where.edge_dir, nobody.uid, nobody.gid), 0);
    ck_assert_int_eq(prepare("belongs to user"), 1);
    ck_assert_int_eq(chown(where.edge_dir, 0, 0), 0);
    ck_assert_int_eq(chown(top, nobody.uid, nobody.gid), 0); // a parent of all
    ck_assert_int_eq(prepare("let root own it"), 1);
    ck_assert_int_eq(chown(top, 0, 0) || chmod(top, 0777), 0);
    ck_assert_int_eq(prepare("let root own it"), 1);
    ck_assert_int_eq(chmod(top, 01777), 0);
    ck_assert_int_eq(prepare(NULL), 0);
    dir_remove_tree(top);
}
END_TEST

START_TEST(two_daemons_do_not_share_a_directory)
{
    char dir[] = "/tmp/meridian-paths.XXXXXX", own_run[80];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(own_run, sizeof own_run, "%s/run", dir);
    const struct node n = {.data_dir = dir, .runtime_dir = own_run};
    struct paths p;
    struct identity id;
    struct diag d;
    diag_init(&d);
    ck_assert_int_eq(paths_of(&n, &d, &p), 0);
    ck_assert_int_eq(identity_of(&n, &d, &id), 0);
    ck_assert_int_eq(paths_prepare(&n, &p, &id, &(int){-1}, &d), 0);
    // another descriptor is another daemon
    ck_assert_int_eq(paths_prepare(&n, &p, &id, &(int){-1}, &d), ERR_BUSY);
    ck_assert_ptr_nonnull(strstr(d.lines[0], "another meridiand"));
    diag_done(&d);
    dir_remove_tree(dir);
}
END_TEST

START_TEST(a_directory_too_long_for_a_socket_is_refused_with_a_sentence)
{
    char deep[300];
    memset(deep, 'd', sizeof deep - 1);
    deep[0] = '/';
    deep[sizeof deep - 1] = 0;
    const struct node n = {.data_dir = "/x", .runtime_dir = deep};
    struct diag d;
    diag_init(&d);
    struct paths p;
    ck_assert_int_eq(paths_of(&n, &d, &p), ERR_TOOBIG);
    ck_assert_uint_eq(diag_count(&d), 1);
    diag_done(&d);
}
END_TEST

START_TEST(an_unknown_user_is_named_with_what_to_do)
{
    if (geteuid() != 0)
        return;
    const struct node n = {
        .source = "meridiand.yaml", .user = "no-such-user-here", .edge_user = "neither"};
    struct diag d;
    diag_init(&d);
    struct identity id;
    ck_assert_int_eq(identity_of(&n, &d, &id), ERR_NOTFOUND);
    ck_assert_ptr_nonnull(strstr(d.lines[0], "useradd"));
    diag_done(&d);
}
END_TEST

CHECK_MAIN("daemon/link", messages_arrive_whole_and_a_gone_peer_is_noticed,
           directories_are_made_with_their_modes, the_worker_cannot_swap_what_root_relies_on,
           links_and_strangers_in_the_place_of_directories_are_refused,
           two_daemons_do_not_share_a_directory,
           a_directory_too_long_for_a_socket_is_refused_with_a_sentence,
           an_unknown_user_is_named_with_what_to_do)
