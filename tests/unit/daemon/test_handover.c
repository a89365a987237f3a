// SPDX-License-Identifier: Apache-2.0
// daemon/handover and sockets: what a supervisor leaves to the next program comes out as it went
// in, anything else is refused; and listening sockets are found again by their addresses.
#include "daemon/handover.h"

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "daemon/sockets.h"
#include "tests/support/check_main.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int unix_socket(void)
{
    int fds[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    return fds[0];
}

START_TEST(a_record_comes_out_as_it_went_in)
{
    int fds[] = {unix_socket(), unix_socket()}, words[2], record;
    ck_assert_int_eq(pipe2(words, O_CLOEXEC), 0);
    const struct handover in = {.data_dir = (char *)(uintptr_t) "/var/lib/a \"quoted\" place",
                                .runtime_dir = (char *)(uintptr_t) "/run/m",
                                .lock_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
                                .worker = 4711,
                                .ipc_fd = unix_socket(),
                                .edge = {.pid = 4712,
                                         .life_fd = open("/dev/null", O_RDONLY | O_CLOEXEC),
                                         .log_write_fd = words[1],
                                         .log_read_fd = words[0],
                                         .own_space = true},
                                .fds = fds,
                                .n_fds = 2};
    struct handover out;
    struct diag d;
    char text[16];
    diag_init(&d);
    ck_assert_int_eq(handover_write(&in, &record), 0);
    ck_assert_int_eq(fcntl(record, F_GETFD), 0); // survives an exec
    handover_keep(&in, true);
    snprintf(text, sizeof text, "%d", record);
    setenv(HANDOVER_ENV, text, 1);
    ck_assert_int_eq(handover_from_env(&d, &out), 0);
    ck_assert_ptr_null(getenv(HANDOVER_ENV)); // no child sees it
    ck_assert_int_eq(fcntl(record, F_GETFD), -1);
    ck_assert_str_eq(out.data_dir, in.data_dir);
    ck_assert(out.worker == 4711 && out.edge.pid == 4712 && out.edge.own_space &&
              out.ipc_fd == in.ipc_fd);
    ck_assert(out.edge.log_write_fd == words[1] && out.edge.log_read_fd == words[0]);
    ck_assert(out.n_fds == 2 && out.fds[0] == fds[0] && out.fds[1] == fds[1]);
    ck_assert(fcntl(fds[1], F_GETFD) == FD_CLOEXEC &&
              fcntl(in.edge.life_fd, F_GETFD) == FD_CLOEXEC);
    ck_assert(fcntl(words[0], F_GETFD) == FD_CLOEXEC && fcntl(words[1], F_GETFD) == FD_CLOEXEC);
    const struct node n = {.data_dir = in.data_dir, .runtime_dir = "/run/m", .source = "x"};
    ck_assert_int_eq(handover_fits(&out, &n, &d), 0);
    const struct node moved = {.data_dir = "/elsewhere", .runtime_dir = "/run/m", .source = "x"};
    ck_assert_int_eq(handover_fits(&out, &moved, &d), ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(d.lines[0], "data_dir"));
    handover_keep(&out, true);
    ck_assert(fcntl(fds[0], F_GETFD) == 0 && fcntl(in.lock_fd, F_GETFD) == 0);
    handover_keep(&out, false);
    ck_assert(fcntl(fds[0], F_GETFD) == FD_CLOEXEC && fcntl(in.ipc_fd, F_GETFD) == FD_CLOEXEC);
    handover_done(&out);
    ck_assert_int_eq(handover_from_env(&d, &out), ERR_NOTFOUND);
    diag_done(&d);
}
END_TEST

static int read_text(const char *text)
{
    struct handover out;
    struct diag d;
    int fd = memfd_create("test", MFD_CLOEXEC);
    ck_assert_int_eq(fd_write_all(fd, text, strlen(text)), 0);
    diag_init(&d);
    int rc = handover_read(fd, &d, &out);
    if (rc)
        ck_assert_uint_gt(d.n, 0); // with a sentence
    else
        handover_done(&out);
    diag_done(&d);
    return rc;
}

START_TEST(anything_else_is_refused)
{
    char good[512], *p;
    int s = unix_socket();
    snprintf(good, sizeof good,
             "{\"version\":2,\"dataDir\":\"/d\",\"runtimeDir\":\"/"
             "r\",\"lock\":%d,\"worker\":5,\"link\":%d,\"edge\":0,"
             "\"edgeLife\":-1,\"edgeLogWrite\":-1,\"edgeLogRead\":-1,\"edgeOwnSpace\":false,"
             "\"listen\":[%d]}",
             s, s, s);
    ck_assert_int_eq(read_text(good), 0);
    ck_assert_int_eq(read_text(""), ERR_CORRUPT);
    ck_assert_int_eq(read_text("[]"), ERR_CORRUPT);
    ck_assert_int_eq(read_text("{\"version\":1}"), ERR_VERSION);
    ck_assert_int_eq(read_text("{\"version\":2}"), ERR_CORRUPT);
    for (size_t n = strlen(good) - 1; n; n--) { // cut anywhere
        char cut[512];
        snprintf(cut, sizeof cut, "%.*s", (int)n, good);
        ck_assert_int_eq(read_text(cut), ERR_CORRUPT);
    }
    p = strstr(good, "\"listen\":[");
    snprintf(p, 64, "\"listen\":[0]}"); // not ours to take
    ck_assert_int_eq(read_text(good), ERR_CORRUPT);
    snprintf(p, 64, "\"listen\":[%d]}", open("/dev/null", O_RDONLY)); // no socket
    ck_assert_int_eq(read_text(good), ERR_CORRUPT);
    snprintf(p, 64, "\"listen\":[999999]}");
    ck_assert_int_eq(read_text(good), ERR_CORRUPT);
    for (size_t i = 0; i < 3; i++) {
        static const char *const bad[] = {"x", "99999999999999999999", "-1"};
        struct handover out;
        struct diag d;
        diag_init(&d);
        setenv(HANDOVER_ENV, bad[i], 1);
        ck_assert_int_eq(handover_from_env(&d, &out), ERR_CORRUPT);
        diag_done(&d);
    }
}
END_TEST

static bool same_socket(int a, int b)
{
    struct stat x, y;
    return !fstat(a, &x) && !fstat(b, &y) && x.st_ino == y.st_ino && a != b;
}

START_TEST(sockets_are_found_again_by_their_addresses)
{
    char dir[] = "/tmp/meridian-sockets.XXXXXX";
    struct endpoint dns = {.port = 0}, more[2];
    struct node n = {.roles = ROLE_RESOLVER, .dns = &dns, .n_dns = 1, .resolver_workers = 2};
    const struct identity id = {0};
    struct paths p = {0};
    struct sockets a, b;
    struct diag d;
    diag_init(&d);
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(p.public_sock, sizeof p.public_sock, "%s/public.sock", dir);
    snprintf(p.peer_sock, sizeof p.peer_sock, "%s/peer.sock", dir);
    snprintf(p.tunnel_sock, sizeof p.tunnel_sock, "%s/tunnel.sock", dir);
    snprintf(p.admin_sock, sizeof p.admin_sock, "%s/admin.sock", dir);
    ck_assert(!ip_parse("127.0.0.1", &dns.ip));
    ck_assert_int_eq(sockets_open(&n, &p, &id, NULL, 0, 0, &d, &a), 0);
    ck_assert_int_eq(resolver_sockets_endpoint(a.dns, 0, &dns), 0);
    AUTO_FREE int *fds = mem_zalloc_array(sockets_count(&a), sizeof *fds);
    AUTO_FREE int *again = mem_zalloc_array(sockets_count(&a) + 4, sizeof *again);
    ck_assert_uint_eq(sockets_count(&a), 2 * 2 + 4);
    sockets_fds(&a, fds);
    n.resolver_workers = 1; // one would go unread: there are two again
    ck_assert_int_eq(sockets_open(&n, &p, &id, fds, 8, 0, &d, &b), 0);
    ck_assert_uint_eq(sockets_count(&b), 8);
    sockets_fds(&b, again);
    for (size_t i = 0; i < 8; i++)
        ck_assert(same_socket(fds[i], again[i]));
    sockets_close(&b);
    more[0] = dns; // another address is bound anew, the known one is the same
    more[1] = (struct endpoint){.port = 0};
    ck_assert(!ip_parse("127.0.0.2", &more[1].ip));
    n.dns = more;
    n.n_dns = 2;
    ck_assert_int_eq(sockets_open(&n, &p, &id, fds, 8, 0, &d, &b), 0);
    ck_assert_uint_eq(sockets_count(&b), 2 * 2 * 2 + 4);
    sockets_fds(&b, again);
    ck_assert(same_socket(fds[0], again[0]) && same_socket(fds[1], again[1]));
    sockets_close(&b);
    // one that this machine does not have: nothing is lost
    ck_assert(!ip_parse("192.0.2.1", &more[1].ip));
    more[1].port = 5353;
    ck_assert_int_ne(sockets_open(&n, &p, &id, fds, 8, 0, &d, &b), 0);
    struct stat st;
    ck_assert(!fstat(fds[0], &st) && !stat(p.admin_sock, &st) && (st.st_mode & 0777) == 0600);
    ck_assert(!stat(p.public_sock, &st) && (st.st_mode & 0777) == 0660);
    sockets_close(&a);
    sockets_close(&a); // nothing is open any more
    diag_done(&d);
    dir_remove_tree(dir);
}
END_TEST

CHECK_MAIN("daemon/handover", a_record_comes_out_as_it_went_in, anything_else_is_refused,
           sockets_are_found_again_by_their_addresses)
