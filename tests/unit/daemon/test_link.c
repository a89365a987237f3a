// SPDX-License-Identifier: Apache-2.0
// daemon/link and daemon/paths: messages between the processes, directories and their modes.
#include "daemon/link.h"

#include "base/err.h"
#include "base/fd.h"
#include "daemon/paths.h"
#include "tests/support/check_main.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(messages_arrive_whole_and_a_gone_peer_is_noticed)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    struct link_message m;
    ck_assert_int_eq(link_receive(fds[0], &m), ERR_BUSY);
    ck_assert_int_eq(link_send(fds[1], &(struct link_message){.kind = LINK_RELOAD}), 0);
    ck_assert_int_eq(link_receive(fds[0], &m), 0);
    ck_assert_int_eq(m.kind, LINK_RELOAD);
    struct link_message edge = {.kind = LINK_EDGE, .edge = {.state = EDGE_BACKOFF, .pid = 42, .n_restarts = 3}};
    memset(edge.edge.last_error, 'x', sizeof edge.edge.last_error); // no NUL: the receiver must put one
    ck_assert_int_eq(link_send(fds[1], &edge), 0);
    ck_assert_int_eq(link_receive(fds[0], &m), 0);
    ck_assert_int_eq(m.edge.pid, 42);
    ck_assert_uint_eq(strlen(m.edge.last_error), sizeof m.edge.last_error - 1);
    ck_assert_int_eq((int)send(fds[1], "e", 1, 0), 1); // too short for its kind
    ck_assert_int_eq(link_receive(fds[0], &m), ERR_PROTO);
    close(fds[1]);
    ck_assert_int_eq(link_receive(fds[0], &m), ERR_CLOSED);
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
    ck_assert_int_eq(paths_prepare(&n, &p, &id, &d), 0);
    ck_assert_uint_eq(mode_of(data, "keys"), 0700);
    ck_assert_uint_eq(mode_of(data, "meta"), 0700);
    ck_assert_uint_eq(mode_of(data, "store/blobs"), 02750);
    ck_assert_uint_eq(mode_of(run, "edge"), 0755);
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
    const struct node n = {.source = "meridiand.yaml", .user = "no-such-user-here", .edge_user = "neither"};
    struct diag d;
    diag_init(&d);
    struct identity id;
    ck_assert_int_eq(identity_of(&n, &d, &id), ERR_NOTFOUND);
    ck_assert_ptr_nonnull(strstr(d.lines[0], "useradd"));
    diag_done(&d);
}
END_TEST

CHECK_MAIN("daemon/link", messages_arrive_whole_and_a_gone_peer_is_noticed, directories_are_made_with_their_modes,
           a_directory_too_long_for_a_socket_is_refused_with_a_sentence, an_unknown_user_is_named_with_what_to_do)
