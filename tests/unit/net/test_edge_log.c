// SPDX-License-Identifier: Apache-2.0
// net/edge_log: records as nginx 1.22 writes them, and as clients would like it to, come out
// without their secrets; and the process that reads them never holds nginx up, never logs without
// bound, and is started again.
#include "net/edge_log.h"

#include "base/clock.h"
#include "tests/support/check_main.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRONT "2026/11/29 09:20:55 [error] 31#31: *45 "
#define UPLOAD "/v2/team/app/blobs/uploads/eastus.0a1b"

static char line[EDGE_LOG_LINE_MAX];
static const struct edge_log_options none;

static const char *clean(const char *record)
{
    edge_log_clean((const uint8_t *)record, strlen(record), line);
    return line;
}

START_TEST(what_is_shown)
{
    static const char *const rows[][2] = {
        {FRONT "client sent invalid chunked body, client: 10.0.0.9, server: *.eastus.geo.d.test, "
               "request: \"PATCH " UPLOAD
               "?kid=1&exp=2&sig=SECRET HTTP/1.1\", host: \"contoso.eastus.geo.d.test\"\n",
         "[error] *45 client sent invalid chunked body, client: 10.0.0.9, server: "
         "*.eastus.geo.d.test, request: "
         "\"PATCH " UPLOAD "[cut]\", host: \"contoso.eastus.geo.d.test\""},
        {FRONT "connect() to unix:/run/m/public.sock failed (111: Connection refused) while "
               "connecting to upstream, "
               "client: ::1, server: x, request: \"GET /v2/ HTTP/1.1\", upstream: "
               "\"http://unix:/run/m/public.sock:/v2/?sig=SECRET\", host: \"[::1]:8443\", "
               "referrer: \"https://a/SECRET\"",
         "[error] *45 connect() to unix:/run/m/public.sock failed (111: Connection refused) while "
         "connecting to "
         "upstream, client: ::1, server: x, request: \"GET /v2/ HTTP/1.1\", upstream: "
         "\"http://unix:/run/m/public.sock:/v2/[cut]\", host: \"[::1]:8443\", referrer: \"[cut]\""},
        {"nginx: [emerg] unexpected \"}\" in /r/nginx.conf:3\n",
         "[emerg] unexpected \"}\" in /r/nginx.conf:3"},
        {"2026/11/29 09:20:55 [emerg] 1#1: bind() to 0.0.0.0:443 failed (98: Address already in "
         "use)",
         "[emerg] bind() to 0.0.0.0:443 failed (98: Address already in use)"},
        {"2026/11/29 09:20:55 [crit] 7#7: *1 SSL_do_handshake() failed (SSL: error:0A00010B:SSL "
         "routines::wrong "
         "version "
         "number) while SSL handshaking, client: 10.0.0.9, server: 10.0.0.1:443",
         "[crit] *1 SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version "
         "number) while SSL "
         "handshaking, client: 10.0.0.9, server: 10.0.0.1:443"},
        {"*** stack smashing detected ***: terminated",
         "*** stack smashing detected ***: terminated"},
        {"", ""},
        {"\n\n", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_str_eq(clean(rows[i][0]), rows[i][1]);
}
END_TEST

// Wherever a client can put a secret, and however it writes it.
START_TEST(no_secret_is_shown)
{
    static const char *const rows[] = {
        "request: \"GET /a?sig=SECRET HTTP/1.1\"",
        "request: \"GET /a?sig=SECRET", // nginx cuts at 2048 bytes
        "request: \"GET /a?x=\"&sig=SECRET HTTP/1.1\", host: \"h\"",
        "request: \"GET /a?x=\" HTTP/1.1&sig=SECRET\", host: \"h\"",
        "request: \"GET /a?x=\", b: \"SECRET\", host: \"h\"",
        "request: \"GET /a\"?sig=SECRET HTTP/1.1\"",
        "request: \"GET /a\" ?sig=SECRET HTTP/1.1\"",
        "request: \"GET /a%3Fsig%3DSECRET HTTP/1.1\"",
        "request: \"GET /a;sig=SECRET HTTP/1.1\"",
        "request: \"GET /a&sig=SECRET HTTP/1.1\"",
        "request: \"GET /a#access_token=SECRET HTTP/1.1\"",
        "request: \"GET /a\x01SECRET HTTP/1.1\"",
        "request: \"GET /a\xc3\xa9SECRET HTTP/1.1\"",
        "request: \"GET https://ada:SECRET@contoso.d.test/v2/ HTTP/1.1\"",
        "request: \"GET https://ada:a/SECRET@contoso.d.test/v2/ HTTP/1.1\"",
        "request: \"GET https://ada:a@b/SECRET@contoso.d.test/v2/ HTTP/1.1\"",
        "request: \"GET https://ada:SECRET?b@contoso.d.test/v2/ HTTP/1.1\"",
        "request: \"GET https://contoso.d.test/v2/?a=@SECRET HTTP/1.1\"",
        "request: \"GET https://SECRET@contoso.d.test/v2/ HTTP/1.1\"",
        "subrequest: \"/a?sig=SECRET\"",
        "upstream: \"https://10.0.0.2:8443/v2/x?sig=SECRET\"",
        "upstream: \"http://u:SECRET@unix:/r/a:/v2/x\"",
        "host: \"a?SECRET\"",
        "referrer: \"https://contoso.d.test/SECRET\"",
        "upstream sent invalid header: \"Location: https://contoso.d.test/v2/x?sig=SECRET\"",
        "client sent invalid header line: \"Authorization\\x20: Bearer SECRET\"",
        "client sent too long header line: \"X-Token: SECRET...\"",
        "client sent invalid header line: \"X_Token: SECRET\\x0d...\"",
        "open() \"/blobs/x?sig=SECRET\" failed (2: No such file or directory)",
        "something unquoted /a?sig=SECRET",
        "something with authorization: Basic SECRET",
        "something with a token eyJhbGciOiJFUzI1NiJ9.SECRET",
        "something with sig=SECRET",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static const char *const fronts[] = {
            FRONT "text, client: 1.2.3.4, server: s, ", FRONT, "", "nginx: [emerg] ",
            "2026/11/29 09:20:55 [emerg] 1#1: malloc() failed, client: 1.2.3.4, "};
        for (size_t k = 0; k < 5; k++) {
            char record[600];
            // of the configuration, where nobody writes such things
            if (k == 3 && !strstr(rows[i], "sig="))
                continue;
            snprintf(record, sizeof record, "%s%s", fronts[k], rows[i]);
            ck_assert_msg(!strstr(clean(record), "SECRET"), "%s\n→ %s", record, line);
            ck_assert_msg(strstr(line, "[cut]") != NULL, "%s\n→ %s", record, line);
        }
    }
}
END_TEST

START_TEST(what_stands_behind_a_cut_is_shown_again)
{
    clean(FRONT "text, client: 1.2.3.4, server: s, request: \"GET /a?x=1\"2 HTTP/1.1\", upstream: "
                "\"http://u/?b\", host: "
                "\"h.d.test\"");
    ck_assert_str_eq(
        line, "[error] *45 text, client: 1.2.3.4, server: s, request: \"GET /a[cut]\", upstream: "
              "\"http://u/[cut]\", host: \"h.d.test\"");
}
END_TEST

START_TEST(lines_are_bounded_and_printable)
{
    uint8_t record[EDGE_LOG_RECORD_MAX];
    for (int round = 0; round < 600; round++) {
        unsigned seed = (unsigned)round;
        size_t n = round < 300 ? (size_t)round * 13 : sizeof record;
        for (size_t i = 0; i < n; i++) {
            seed = seed * 1103515245 + 12345;
            // all that there is, and nothing to cut
            record[i] = round % 3 ? (uint8_t)(seed >> 16) : 'a';
        }
        edge_log_clean(record, n, line);
        ck_assert_uint_lt(strlen(line), sizeof line);
        for (const char *c = line; *c; c++)
            ck_assert_msg(*c >= ' ' && *c < 127 && *c != '?', "%d: \\x%02x", round, (uint8_t)*c);
    }
    ck_assert_str_eq(clean("a\nerror b\x1b[31m\\"), "a\\x0aerror b\\x1b[31m\\x5c");
    ck_assert_int_eq(edge_log_clean((const uint8_t *)"nginx: [alert] x", 16, line), LOG_ERROR);
    ck_assert_int_eq(edge_log_clean((const uint8_t *)"nginx: [warn] x", 15, line), LOG_WARN);
    ck_assert_int_eq(edge_log_clean((const uint8_t *)"nginx: [notice] x", 17, line), LOG_INFO);
}
END_TEST

// ---- the process ----

static int our_log[2]; // in the place of stderr

static void log_to_pipe(void)
{
    ck_assert_int_eq(pipe2(our_log, O_CLOEXEC), 0);
    ck_assert_int_eq(fcntl(our_log[0], F_SETFL, O_NONBLOCK), 0);
    ck_assert_int_ge(dup2(our_log[1], STDERR_FILENO), 0);
    close(our_log[1]);
}

// Appends what has been logged by now; how many lines in all.
static int said(char *text, size_t cap)
{
    size_t n = strlen(text);
    ssize_t got;
    while (n + 1 < cap && (got = read(our_log[0], text + n, cap - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = 0;
    int lines = 0;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    return lines;
}

static void speak(const struct edge_log *l, const char *words)
{
    ssize_t n = (ssize_t)strlen(words), put = -1;
    for (int i = 0; i < 5000 && (put = write(l->write_fd, words, (size_t)n)) < 0; i++)
        clock_sleep_ms(1); // full, after a flood: the reader makes room
    ck_assert_int_eq(put, n);
}

START_TEST(what_nginx_says_is_logged)
{
    static char text[1 << 16];
    char reason[200];
    struct edge_log l = EDGE_LOG_NONE;
    log_to_pipe();
    ck_assert_int_eq(edge_log_start(&l, &none), 0);
    speak(&l, FRONT "one\nerror forged, request: \"GET /x?sig=SECRET HTTP/1.1\"\n");
    speak(&l, "nginx: [emerg] two");
    speak(&l, "nginx: [emerg] three");
    edge_log_reason(&l, reason, sizeof reason); // all before it has been read
    ck_assert_str_eq(reason, "[emerg] two");
    ck_assert_int_eq(said(text, sizeof text), 3); // one write is one line
    ck_assert_ptr_nonnull(strstr(text, " warn meridian edge: nginx: [error] *45 one\\x0aerror "
                                       "forged, request: \"GET /x[cut]\"\n"));
    ck_assert_ptr_nonnull(strstr(text, " error meridian edge: nginx: [emerg] three\n"));
    ck_assert_ptr_null(strstr(text, "SECRET"));
    edge_log_reason(&l, reason, sizeof reason); // each is told once
    ck_assert_str_eq(reason, "");
    kill(l.reader, SIGKILL);
    pid_t first = l.reader;
    for (int i = 0; !l.reader || l.reader == first; i++) {
        ck_assert_int_lt(i, 4000);
        edge_log_tick(&l);
        clock_sleep_ms(5);
    }
    speak(&l, "four");
    pid_t second = l.reader;
    edge_log_stop(&l); // what was said is still written
    ck_assert_int_ge(said(text, sizeof text), 5);
    ck_assert_ptr_nonnull(strstr(text, "(signal 9); another is started"));
    ck_assert_ptr_nonnull(strstr(text, "edge: nginx: four\n"));
    ck_assert_int_eq(kill(second, 0), -1);
}
END_TEST

START_TEST(a_flood_is_cut_and_counted)
{
    static char text[1 << 18];
    char reason[200];
    struct edge_log l = EDGE_LOG_NONE;
    log_to_pipe();
    ck_assert_int_eq(edge_log_start(&l, &none), 0);
    for (int i = 0; i < 2000; i++)
        // full: nginx would leave the line out
        while (write(l.write_fd, FRONT "x", sizeof FRONT) < 0)
            clock_sleep_ms(1);
    speak(&l, "nginx: [emerg] trouble"); // and is seen among them
    edge_log_reason(&l, reason, sizeof reason);
    ck_assert_str_eq(reason, "[emerg] trouble");
    edge_log_stop(&l);
    int lines = said(text, sizeof text);
    ck_assert_msg(lines >= 100 && lines < 1000, "%d", lines);
    ck_assert_ptr_nonnull(strstr(text, "[emerg] trouble"));
    unsigned swallowed = 0;
    int shown = 0, more;
    for (const char *at = text; at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        const char *told = strstr(at, "edge: ");
        shown += told && !strncmp(told, "edge: nginx: [error]", 20);
        swallowed +=
            told && sscanf(told, "edge: %d more lines of nginx's are not shown", &more) == 1
                ? (unsigned)more
                : 0;
    }
    ck_assert_int_eq(shown + (int)swallowed, 2000);
}
END_TEST

// Nobody reads our log, so that the reader stands still: neither nginx nor the supervisor waits for
// it.
START_TEST(a_reader_that_stands_still_holds_nobody_up)
{
    char reason[200];
    struct edge_log l = EDGE_LOG_NONE;
    log_to_pipe();
    ck_assert_int_eq(edge_log_start(&l, &none), 0);
    kill(l.reader, SIGSTOP);
    int lost = 0, kept = 0;
    for (int i = 0; i < 3000; i++)
        *(write(l.write_fd, FRONT "x", sizeof FRONT) < 0 ? &lost : &kept) += 1;
    ck_assert_int_gt(lost, 0);
    ck_assert_int_ge(kept, 15);
    int64_t from = clock_mono_ms();
    edge_log_reason(&l, reason, sizeof reason);
    edge_log_stop(&l);
    ck_assert_int_lt(clock_mono_ms() - from, 10000);
    ck_assert_int_eq(l.reader, 0);
}
END_TEST

static int refuse(const void *ctx)
{
    return *(const int *)ctx;
}

START_TEST(a_reader_that_cannot_give_up_its_privileges_reads_nothing)
{
    static char text[1 << 16];
    static const int no = -1;
    struct edge_log l = EDGE_LOG_NONE;
    int status;
    log_to_pipe();
    ck_assert_int_eq(edge_log_start(&l, &(struct edge_log_options){.confine = refuse, .ctx = &no}),
                     0);
    speak(&l, "x");
    ck_assert_int_eq(waitpid(l.reader, &status, 0), l.reader);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    l.reader = 0;
    ck_assert_int_eq(said(text, sizeof text), 0);
    edge_log_stop(&l);
}
END_TEST

// The program before: its pipes go on with another reader.
START_TEST(pipes_outlive_their_reader)
{
    static char text[1 << 16];
    struct edge_log l = EDGE_LOG_NONE, next = EDGE_LOG_NONE;
    log_to_pipe();
    ck_assert_int_eq(edge_log_start(&l, &none), 0);
    edge_log_end_reader(&l);
    speak(&l, "said in between");
    ck_assert_int_eq(edge_log_adopt(&next, l.write_fd, l.read_fd, &none), 0);
    close(l.reason_fd);
    close(l.say_fd);
    edge_log_stop(&next);
    said(text, sizeof text);
    ck_assert_ptr_nonnull(strstr(text, "edge: nginx: said in between\n"));
}
END_TEST

// ---- the access log ----

#define RECORD(status, by, reason, path)                           \
    "\t1795392000.123\t" status "\t117\t512\t0.004\t10.0.0.9\t" by \
    "\t0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b\t" reason                  \
    "\tada\teastus\teus-1\tGET\tcontoso.d.test\t" path

static const char *access_line(const char *record)
{
    static char out[EDGE_ACCESS_LINE_MAX];
    size_t n = 0;
    if (!edge_access_format((const uint8_t *)record, strlen(record), out, &n))
        return NULL;
    out[n] = 0;
    return out;
}

START_TEST(a_request_is_a_line_of_json)
{
    ck_assert_str_eq(
        access_line(RECORD("403", "daemon", "DENIED", "/v2/team/app/manifests/1") "\n"),
        "{\"time\":\"2026-11-23T00:00:00.123Z\",\"id\":\"0a1b0a1b0a1b0a1b0a1b0a1b0a1b0a1b\","
        "\"status\":403,"
        "\"reason\":\"DENIED\",\"by\":\"daemon\",\"method\":\"GET\",\"host\":\"contoso.d.test\","
        "\"path\":"
        "\"/v2/team/app/manifests/"
        "1\",\"client\":\"10.0.0.9\",\"principal\":\"ada\",\"region\":\"eastus\","
        "\"stamp\":\"eus-1\",\"sent\":117,\"received\":512,\"seconds\":0.004}\n");
    ck_assert_ptr_nonnull(
        strstr(access_line(RECORD("429", "edge", "-", "/v2/")), "\"reason\":\"TOO_MANY_AT_ONCE\""));
    ck_assert_ptr_nonnull(
        strstr(access_line(RECORD("000", "edge", "-", "-")), "\"status\":0,\"by\""));
    // by the address of a private endpoint, or of none
    ck_assert_ptr_nonnull(strstr(access_line(RECORD("200", "daemon", "-", "/v2/") "\tcorp-pe\n"),
                                 "\"principal\":\"ada\",\"private_endpoint\":\"corp-pe\","));
    ck_assert_ptr_null(
        strstr(access_line(RECORD("200", "daemon", "-", "/v2/") "\t-\n"), "private"));
    static const char *const bad[] = {
        "", "\t", "x", "\t1\t2", RECORD("403", "daemon", "X", "/a") "\tcorp-pe\t", "\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_ptr_null(access_line(bad[i]));
}
END_TEST

START_TEST(no_secret_is_in_the_access_log)
{
    static const char *const paths[] = {
        "/a?sig=SECRET",      "/a%3Fsig%3DSECRET", "/a;sig=SECRET", "/a&x=SECRET",
        "/a#SECRET",          "/a\\x22SECRET",     "/a\"SECRET",    "/a\x01SECRET",
        "/a/eyJhbGci.SECRET", "/a\xc3\xa9SECRET",  "/a SECRET",     "/a,SECRET",
        "/SECRET@host/a",     "/a/SECRET@"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char record[600];
        snprintf(record, sizeof record, RECORD("404", "daemon", "X", "%s"), paths[i]);
        const char *out = access_line(record);
        ck_assert_ptr_nonnull(out);
        ck_assert_msg(!strstr(out, "SECRET") && strstr(out, "[cut]\""), "%s → %s", paths[i], out);
    }
}
END_TEST

static char access_path[64];

static void access_read(char *out, size_t cap, const char *suffix)
{
    char path[80];
    snprintf(path, sizeof path, "%s%s", access_path, suffix);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(out, 1, cap - 1, f) : 0;
    if (f)
        fclose(f);
    out[n] = 0;
}

static size_t access_lines(const char *suffix)
{
    static char text[4 << 20];
    size_t n = 0;
    access_read(text, sizeof text, suffix);
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        n++;
    return n;
}

static void access_start(struct edge_log *l, uint64_t max)
{
    char dir[] = "/tmp/access.XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(access_path, sizeof access_path, "%s/a.log", dir);
    ck_assert_int_eq(edge_log_start(l, &(struct edge_log_options){.access_file = access_path,
                                                                  .access_max_bytes = max}),
                     0);
}

static void access_remove(void)
{
    char path[80];
    snprintf(path, sizeof path, "%s.1", access_path);
    unlink(path);
    unlink(access_path);
    *strrchr(access_path, '/') = 0;
    rmdir(access_path);
}

static void tick_until(struct edge_log *l, pid_t before, bool another)
{
    for (int i = 0; another ? !l->reader || l->reader == before : access_lines("") == 0; i++) {
        ck_assert_int_lt(i, 2000);
        edge_log_tick(l);
        clock_sleep_ms(5);
    }
}

// As logrotate does it: rename, then SIGHUP. No line is lost, none is torn, and the daemon's log
// has none of them.
START_TEST(the_access_log_is_opened_again)
{
    static char text[1 << 16];
    struct edge_log l = EDGE_LOG_NONE;
    char old[80];
    log_to_pipe();
    access_start(&l, 0);
    for (int i = 0; i < 100; i++)
        speak(&l, RECORD("404", "daemon", "X", "/one"));
    speak(&l, FRONT "an error");
    speak(&l, "\tmalformed");
    tick_until(&l, 0, false);
    snprintf(old, sizeof old, "%s.1", access_path);
    ck_assert_int_eq(rename(access_path, old), 0);
    for (int i = 0; i < 100; i++) {
        speak(&l, RECORD("404", "daemon", "X", "/two"));
        if (i == 50)
            edge_log_reopen(&l);
    }
    tick_until(&l, l.reader, true);
    // the reader before may have read all of the others
    speak(&l, RECORD("404", "daemon", "X", "/three"));
    edge_log_stop(&l);
    ck_assert_uint_eq(access_lines(".1") + access_lines(""), 201);
    ck_assert_uint_ge(access_lines(""), 1);
    said(text, sizeof text);
    ck_assert(strstr(text, "an error") && strstr(text, "is malformed, and left out") &&
              !strstr(text, "/one"));
    ck_assert_ptr_null(strstr(text, "another is started")); // nothing went wrong
    access_remove();
}
END_TEST

START_TEST(the_access_log_is_bounded)
{
    struct edge_log l = EDGE_LOG_NONE;
    log_to_pipe();
    access_start(&l, 65536);
    size_t line_n = strlen(access_line(RECORD("404", "daemon", "X", "/one")));
    static const char one[] = RECORD("404", "daemon", "X", "/one");
    for (int i = 0, tries = 0; i < 2000;) {
        ck_assert_int_lt(++tries, 60000);
        if (write(l.write_fd, one, sizeof one - 1) > 0)
            i++;
        else
            clock_sleep_ms(1);
        edge_log_tick(&l); // a reader whose file is full has ended
    }
    edge_log_stop(&l);
    size_t both = access_lines("") + access_lines(".1");
    // A file ends with the batch that fills it.
    ck_assert_msg(both * line_n >= 65536 && both * line_n < (size_t)3 * 65536, "%zu", both);
    access_remove();
}
END_TEST

START_TEST(a_full_disk_costs_lines_and_nothing_else)
{
    static char text[1 << 16];
    struct edge_log l = EDGE_LOG_NONE;
    log_to_pipe();
    ck_assert_int_eq(edge_log_start(&l, &(struct edge_log_options){.access_file = "/dev/full"}), 0);
    for (int i = 0; i < 100; i++)
        speak(&l, RECORD("404", "daemon", "X", "/one"));
    speak(&l, FRONT "an error");
    edge_log_stop(&l);
    said(text, sizeof text);
    ck_assert(strstr(text, "/dev/full: ") &&
              strstr(text, "requests are not logged: No space left on device"));
    ck_assert(strstr(text, "an error") && !strstr(text, "another is started"));
}
END_TEST

START_TEST(a_file_that_cannot_be_opened_is_named)
{
    static char text[1 << 16];
    struct edge_log l = EDGE_LOG_NONE;
    log_to_pipe();
    ck_assert_int_eq(
        edge_log_start(&l, &(struct edge_log_options){.access_file = "/nowhere/a.log"}), 0);
    speak(&l, RECORD("404", "daemon", "X", "/one"));
    speak(&l, FRONT "an error");
    edge_log_stop(&l);
    said(text, sizeof text);
    ck_assert(strstr(text, "edge.access_log.file: /nowhere/a.log: No such file") &&
              strstr(text, "an error"));
}
END_TEST

CHECK_MAIN("net/edge_log", what_is_shown, no_secret_is_shown,
           what_stands_behind_a_cut_is_shown_again, lines_are_bounded_and_printable,
           what_nginx_says_is_logged, a_flood_is_cut_and_counted,
           a_reader_that_stands_still_holds_nobody_up,
           a_reader_that_cannot_give_up_its_privileges_reads_nothing, pipes_outlive_their_reader,
           a_request_is_a_line_of_json, no_secret_is_in_the_access_log,
           the_access_log_is_opened_again, the_access_log_is_bounded,
           a_full_disk_costs_lines_and_nothing_else, a_file_that_cannot_be_opened_is_named)
