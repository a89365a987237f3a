// SPDX-License-Identifier: Apache-2.0
// Certificates for tests, made by the openssl program in a test's own folder, and ports that are
// free just now. Header only: a few tests include it.
#ifndef MERIDIAN_TESTS_TLS_FILES_H
#define MERIDIAN_TESTS_TLS_FILES_H

#include "base/addr.h"
#include "base/clock.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static inline void tls_shell(const char *command)
{
    ck_assert_msg(system(command) == 0, "%s", command);
}

// dir/NAME.pem is the authority, dir/NAME.key its key.
static inline void tls_make_ca(const char *dir, const char *name, char *out_path, size_t cap)
{
    char c[1024];
    snprintf(c, sizeof c,
             "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days "
             "2 -subj /CN=%s "
             "-addext basicConstraints=critical,CA:TRUE -keyout %s.key -out %s.pem 2>/dev/null",
             dir, name, name, name);
    tls_shell(c);
    snprintf(out_path, cap, "%s/%s.pem", dir, name);
}

// dir/NAME.pem holds certificate and key; san as in "DNS:a.test,DNS:*.b.test".
static inline void tls_make_leaf(const char *dir, const char *ca, const char *name, const char *san,
                                 char *out_path, size_t cap)
{
    char c[2048];
    snprintf(c, sizeof c,
             "cd %s && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=%s "
             "-keyout %s.key "
             "-out %s.csr 2>/dev/null && printf 'subjectAltName=%s\\n' > %s.ext && openssl x509 "
             "-req -in %s.csr -CA "
             "%s.pem -CAkey %s.key -CAcreateserial -days 2 -extfile %s.ext -out %s.crt 2>/dev/null "
             "&& cat %s.crt "
             "%s.key > %s.pem.new && chmod 600 %s.pem.new && mv %s.pem.new %s.pem",
             dir, name, name, name, san, name, name, ca, ca, name, name, name, name, name, name,
             name, name);
    tls_shell(c);
    snprintf(out_path, cap, "%s/%s.pem", dir, name);
}

// As tls_make_leaf, but good from and until so many days from now (negative: before now).
static inline void tls_make_dated_leaf(const char *dir, const char *ca, const char *name,
                                       const char *san, int from_days, int until_days,
                                       char *out_path, size_t cap)
{
    char c[2048];
    snprintf(
        c, sizeof c,
        "cd %s && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=%s "
        "-keyout %s.key "
        "-out %s.csr 2>/dev/null && : > %s.index && printf "
        "'[ca]\ndefault_ca=d\n[d]\nnew_certs_dir=.\n"
        "database=%s.index\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName="
        "supplied\n[e]\n"
        "subjectAltName=%s\n' > %s.cnf && openssl ca -batch -config %s.cnf -extensions e -notext "
        "-cert %s.pem "
        "-keyfile %s.key -startdate $(date -u -d '%d days' +%%Y%%m%%d%%H%%M%%SZ) -enddate $(date "
        "-u -d '%d days' "
        "+%%Y%%m%%d%%H%%M%%SZ) -in %s.csr -out %s.crt 2>/dev/null && cat %s.crt %s.key > %s.pem",
        dir, name, name, name, name, name, san, name, name, ca, ca, from_days, until_days, name,
        name, name, name, name);
    tls_shell(c);
    snprintf(out_path, cap, "%s/%s.pem", dir, name);
}

static inline uint16_t tls_free_port(void)
{
    struct endpoint e;
    struct sockaddr_storage ss;
    ck_assert_int_eq(endpoint_parse("127.0.0.1:1", 0, &e), 0);
    e.port = 0; // any
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t n = endpoint_to_sockaddr(&e, &ss);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&ss, n), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
    ck_assert_int_eq(endpoint_from_sockaddr((struct sockaddr *)&ss, n, &e), 0);
    close(fd);
    return e.port;
}

static inline int tls_port_open(uint16_t port)
{
    char text[32];
    struct endpoint e;
    struct sockaddr_storage ss;
    snprintf(text, sizeof text, "127.0.0.1:%u", port);
    ck_assert_int_eq(endpoint_parse(text, 0, &e), 0);
    socklen_t n = endpoint_to_sockaddr(&e, &ss);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int open = !connect(fd, (struct sockaddr *)&ss, n);
    close(fd);
    return open;
}

static inline void tls_wait_port(uint16_t port)
{
    for (int i = 0; !tls_port_open(port); i++) {
        ck_assert_msg(i < 2000, "port %u did not open", port);
        clock_sleep_ms(5);
    }
}

#endif
