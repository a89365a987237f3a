// SPDX-License-Identifier: Apache-2.0
// net/fetch against our own server on a unix socket, and against `openssl s_server` for what
// concerns TLS.
#include "net/fetch.h"

#include "base/clock.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "net/http.h"
#include "tests/support/check_main.h"
#include "tests/support/tls_files.h"
#include "tests/support/wait_for.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], path[100];
static struct pool *pool;
static struct http_server *server;
static struct fetcher *f;
static _Atomic size_t sunk;
static _Atomic int hold, n_begun;

static int sink_write(struct http_request *req, const uint8_t *p, size_t n)
{
    (void)req, (void)p;
    atomic_fetch_add(&sunk, n);
    return 0;
}
static const struct http_sink sink = {sink_write};

static void run(struct http_request *req, struct http_response *resp)
{
    for (int i = 0; atomic_load(&hold) && strstr(req->path, "hold") && i < 5000; i++)
        clock_sleep_ms(2);
    if (strstr(req->path, "redirect"))
        (void)http_response_header(req, resp, "Location", "/other");
    if (strstr(req->path, "big")) {
        static char big[300000];
        http_response_bytes(resp, 200, "text/plain", bytes_of(big, sizeof big));
        return;
    }
    const char *type = http_header_get(req, "Content-Type"),
               *auth = http_header_get(req, "Authorization");
    (void)http_response_text(req, resp, strstr(req->path, "redirect") ? 307 : 200,
                             "%s %s sunk=%zu len=%lld type=%s auth=%s", req->method_text, req->path,
                             atomic_load(&sunk), (long long)req->content_length, type ? type : "-",
                             auth ? auth : "-");
}

static void begin(void *ctx, struct http_request *req, struct http_plan *plan)
{
    (void)ctx, (void)req;
    n_begun++;
    *plan = (struct http_plan){.kind = HTTP_PLAN_STREAM, .run = run, .sink = &sink};
}

static void up(void)
{
    snprintf(dir, sizeof dir, "/tmp/mer-fetch-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    pool = pool_new(&(struct pool_options){.name = "t", .n_threads = 2, .max_waiting = 64});
    struct http_server_options o = {.socket_path = path,
                                    .socket_mode = 0600,
                                    .socket_gid = -1,
                                    .pool = pool,
                                    .listener = LISTENER_ADMIN};
    struct http_app app = {.begin = begin};
    ck_assert_int_eq(http_server_start(&o, &app, &server), 0);
    ck_assert_int_eq(fetcher_new(&f), 0);
}

static void down(void)
{
    fetcher_free(f);
    http_server_stop(server, 1000);
    pool_free(pool);
    dir_remove_tree(dir);
}

START_TEST(test_basics)
{
    up();
    char text[128];
    struct fetch_result r;
    struct fetch_request q = {.url = "http://admin/x", .unix_socket = path, .timeout_ms = 5000};
    ck_assert_int_eq(fetch_run(f, &q, &r), 0);
    ck_assert_int_eq(r.status, 200);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&r.body), "GET /x sunk=0"));
    ck_assert_str_eq(fetch_result_header(&r, "Content-Type", text, sizeof text),
                     "text/plain; charset=utf-8");
    ck_assert_ptr_null(fetch_result_header(&r, "Nope", text, sizeof text));
    fetch_result_done(&r);
    q.method = "HEAD";
    ck_assert_int_eq(fetch_run(f, &q, &r), 0);
    ck_assert_uint_eq(r.body.n, 0);
    fetch_result_done(&r);
    q.method = "POST";
    q.user = "u", q.password = "p";
    ck_assert_int_eq(fetch_run(f, &q, &r), 0);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&r.body), "len=0 type=- auth=Basic dTpw"));
    fetch_result_done(&r);
    q.user = NULL;
    q.url = "http://admin/redirect"; // not followed
    ck_assert_int_eq(fetch_run(f, &q, &r), 0);
    ck_assert_int_eq(r.status, 307);
    fetch_result_done(&r);
    static uint8_t body[3000000];
    q = (struct fetch_request){.url = "http://admin/x",
                               .unix_socket = path,
                               .timeout_ms = 5000,
                               .method = "PATCH",
                               .body = bytes_of(body, sizeof body),
                               .chunked = true};
    ck_assert_int_eq(fetch_run(f, &q, &r), 0);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&r.body), "PATCH /x sunk=3000000 len=-1"));
    fetch_result_done(&r);
    q.chunked = false;
    ck_assert_int_eq(fetch_run(f, &q, &r), 0);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&r.body), "sunk=6000000 len=3000000"));
    fetch_result_done(&r);
    down();
}
END_TEST

static _Atomic bool is_held, is_released;

// Holds up the thread of its fetcher.
static int hold_on(void *ctx, struct fetch *of, const uint8_t *data, size_t n)
{
    (void)ctx, (void)of, (void)data, (void)n;
    is_held = true;
    WAIT_FOR(is_released, 20000);
    return 0;
}

static void note_done(void *ctx, struct fetch_result *r)
{
    (void)r;
    *(_Atomic bool *)ctx = true;
}

// Eight transfers whose thread does not come to them hold up no request of another fetcher.
START_TEST(a_fetcher_holds_up_no_other)
{
    up();
    _Atomic bool done[8] = {0};
    struct fetcher *probes;
    struct fetch_result r;
    ck_assert_int_eq(fetcher_new_named("probes", &probes), 0);
    for (size_t i = 0; i < ARRAY_LEN(done); i++) {
        const struct fetch_request big = {.url = "http://admin/big",
                                          .unix_socket = path,
                                          .idle_timeout_ms = 30000,
                                          .on_data = hold_on,
                                          .ctx = &done[i]};
        ck_assert_int_eq(fetch_start(f, &big, note_done, NULL), 0);
    }
    WAIT_FOR(is_held, 10000);
    const struct fetch_request q = {
        .url = "http://admin/x", .unix_socket = path, .timeout_ms = 10000};
    ck_assert_int_eq(fetch_run(probes, &q, &r), 0);
    ck_assert_int_eq(r.status, 200);
    fetch_result_done(&r);
    for (size_t i = 0; i < ARRAY_LEN(done); i++)
        ck_assert(!done[i]);
    is_released = true;
    for (size_t i = 0; i < ARRAY_LEN(done); i++)
        WAIT_FOR(done[i], 10000);
    fetcher_free(probes);
    down();
}
END_TEST

START_TEST(test_limits)
{
    up();
    struct fetch_result r;
    struct fetch_request q = {
        .url = "http://admin/big", .unix_socket = path, .timeout_ms = 5000, .max_bytes = 1000};
    ck_assert_int_eq(fetch_run(f, &q, &r), ERR_TOOBIG);
    fetch_result_done(&r);
    atomic_store(&hold, 1);
    q = (struct fetch_request){.url = "http://admin/hold", .unix_socket = path, .timeout_ms = 100};
    ck_assert_int_eq(fetch_run(f, &q, &r), ERR_TIMEOUT);
    ck_assert_str_ne(r.message, "");
    fetch_result_done(&r);
    q.timeout_ms = 0;
    ck_assert_int_eq(fetch_run(f, &q, &r), ERR_INVAL); // no limit at all
    q.idle_timeout_ms = 100;
    ck_assert_int_eq(fetch_run(f, &q, &r), ERR_TIMEOUT);
    fetch_result_done(&r);
    atomic_store(&hold, 0);
    // plain text over a network
    q = (struct fetch_request){.url = "http://localhost/", .timeout_ms = 100};
    ck_assert_int_eq(fetch_run(f, &q, &r), ERR_INVAL);
    q.url = "file:///etc/passwd";
    ck_assert_int_eq(fetch_run(f, &q, &r), ERR_INVAL);
    q.url = "https://nobody.test:1/";
    struct endpoint to;
    ck_assert_int_eq(endpoint_parse("127.0.0.1:1", 0, &to), 0);
    q.connect_to = &to;
    q.timeout_ms = 2000;
    ck_assert_int_eq(fetch_run(f, &q, &r), ERR_UNREACHABLE);
    fetch_result_done(&r);
    const char *bad = "A: b\r\nC: d";
    q.headers = &bad, q.n_headers = 1;
    ck_assert_int_eq(fetch_run(f, &q, &r), ERR_INVAL);
    down();
}
END_TEST

static _Atomic int canceled, pauses, headers_seen;
static _Atomic size_t got;
static struct fetch *handle;

static void on_done(void *ctx, struct fetch_result *r)
{
    (void)ctx;
    atomic_store(&canceled, r->err ? -r->err : 1000 + r->status);
}
static int on_data(void *ctx, struct fetch *h, const uint8_t *p, size_t n)
{
    (void)ctx, (void)h, (void)p;
    if (atomic_fetch_add(&pauses, 1) % 2 == 0)
        return ERR_BUSY; // the same bytes come again
    atomic_fetch_add(&got, n);
    return 0;
}
static void on_headers(void *ctx, struct fetch *h, int status)
{
    (void)ctx, (void)h;
    atomic_store(&headers_seen, status);
}

START_TEST(test_pause_and_cancel)
{
    up();
    struct fetch_request q = {.url = "http://admin/big",
                              .unix_socket = path,
                              .timeout_ms = 9000,
                              .on_data = on_data,
                              .on_headers = on_headers};
    ck_assert_int_eq(fetch_start(f, &q, on_done, &handle), 0);
    for (int i = 0, seen = 0; !atomic_load(&canceled); i++) {
        ck_assert_int_lt(i, 4000);
        if (atomic_load(&pauses) > seen && atomic_load(&got) < 300000) {
            seen = atomic_load(&pauses);
            if (seen % 2 == 1)
                fetch_resume(f, handle);
        }
        clock_sleep_ms(1);
    }
    ck_assert_int_eq(atomic_load(&canceled), 1200);
    ck_assert_int_eq(atomic_load(&headers_seen), 200);
    ck_assert_uint_eq(atomic_load(&got), 300000);
    atomic_store(&canceled, 0);
    atomic_store(&hold, 1);
    q = (struct fetch_request){.url = "http://admin/hold", .unix_socket = path, .timeout_ms = 9000};
    ck_assert_int_eq(fetch_start(f, &q, on_done, &handle), 0);
    fetch_cancel(f, handle);
    for (int i = 0; !atomic_load(&canceled); i++) {
        ck_assert_int_lt(i, 4000);
        clock_sleep_ms(1);
    }
    ck_assert_int_eq(atomic_load(&canceled), -ERR_CANCELED);
    ck_assert_int_eq(fetch_start(f, &q, on_done, NULL), 0);
    atomic_store(&canceled, 0);
    fetcher_free(f); // cancels what runs
    ck_assert_int_eq(atomic_load(&canceled), -ERR_CANCELED);
    atomic_store(&hold, 0);
    f = NULL;
    down();
}
END_TEST

static void *stop_soon(void *arg)
{
    clock_sleep_ms(50);
    atomic_store((_Atomic bool *)arg, true);
    return NULL;
}

// Whoever waits for an answer can be told to wait no longer.
START_TEST(test_run_ends_when_told_to)
{
    up();
    _Atomic bool stop = false;
    pthread_t t;
    struct fetch_result r;
    struct fetch_request q = {
        .url = "http://admin/hold", .unix_socket = path, .timeout_ms = 60000, .stop = &stop};
    atomic_store(&hold, 1);
    ck_assert_int_eq(pthread_create(&t, NULL, stop_soon, &stop), 0);
    int64_t began = clock_mono_ms();
    ck_assert_int_eq(fetch_run(f, &q, &r), ERR_CANCELED);
    ck_assert_int_lt(clock_mono_ms() - began, 20000);
    fetch_result_done(&r);
    ck_assert_int_eq(fetch_run(f, &q, &r), ERR_CANCELED); // told so before it begins
    fetch_result_done(&r);
    atomic_store(&hold, 0);
    pthread_join(t, NULL);
    down();
}
END_TEST

// SHA-256 of the certificate in a PEM file, hex.
static void leaf_fingerprint(const char *pem, char out[2 * SHA256_BYTES + 1])
{
    FILE *in = fopen(pem, "r");
    ck_assert_ptr_nonnull(in);
    X509 *x = PEM_read_X509(in, NULL, NULL, NULL);
    fclose(in);
    ck_assert_ptr_nonnull(x);
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned n;
    ck_assert_int_eq(X509_digest(x, EVP_sha256(), sum, &n), 1);
    X509_free(x);
    hex_format(sum, n, out);
}

static pid_t serve_tls(const char *leaf, uint16_t port)
{
    char port_text[8];
    snprintf(port_text, sizeof port_text, "%u", port);
    pid_t pid = fork();
    if (!pid) {
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd <= 2; fd++)
            if (dup2(null, fd) < 0)
                _exit(126);
        alarm(30);
        execlp("openssl", "openssl", "s_server", "-accept", port_text, "-cert", leaf, "-key", leaf,
               "-www", "-quiet", NULL);
        _exit(127);
    }
    return pid;
}

static void suspect_says(void *ctx, const char *peer, char *out, size_t cap)
{
    snprintf(out, cap, "%s %s is suspect", (const char *)ctx, peer ? peer : "nobody");
}

// A certificate of tomorrow, and one of yesterday: the message says which clock may be wrong.
START_TEST(a_date_that_does_not_fit_names_the_suspect_clock)
{
    up();
    char ca[100], leaf[100];
    tls_make_ca(dir, "ca", ca, sizeof ca);
    for (int early = 0; early <= 1; early++) {
        tls_make_dated_leaf(dir, "ca", early ? "early" : "late", "DNS:dated.example.test",
                            early ? 1 : -2, early ? 2 : -1, leaf, sizeof leaf);
        uint16_t port = tls_free_port();
        pid_t pid = serve_tls(leaf, port);
        tls_wait_port(port);
        char url[100];
        struct endpoint to;
        snprintf(url, sizeof url, "127.0.0.1:%u", port);
        ck_assert_int_eq(endpoint_parse(url, 0, &to), 0);
        struct fetch_result r;
        struct fetch_request q = {.url = "https://dated.example.test/",
                                  .connect_to = &to,
                                  .ca_file = ca,
                                  .timeout_ms = 5000,
                                  .peer = "westeurope"};
        fetcher_set_suspect(f, NULL, NULL);
        ck_assert_int_eq(fetch_run(f, &q, &r), ERR_CRYPTO);
        ck_assert_msg(strstr(r.message, early ? "not yet valid" : "expired") != NULL, "%s",
                      r.message);
        ck_assert_msg(strstr(r.message, "(by this machine's clock it is 20") != NULL, "%s",
                      r.message);
        ck_assert_msg((strstr(r.message, "set this machine's clock") != NULL) == early, "%s",
                      r.message);
        fetch_result_done(&r);
        fetcher_set_suspect(f, suspect_says, (void *)"the clock of");
        ck_assert_int_eq(fetch_run(f, &q, &r), ERR_CRYPTO);
        ck_assert_msg(strstr(r.message, "; the clock of westeurope is suspect") != NULL, "%s",
                      r.message);
        fetch_result_done(&r);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    down();
}
END_TEST

START_TEST(test_tls)
{
    up();
    char ca[100], other[100], leaf[100];
    tls_make_ca(dir, "ca", ca, sizeof ca);
    tls_make_ca(dir, "other", other, sizeof other);
    tls_make_leaf(dir, "ca", "leaf", "DNS:good.example.test", leaf, sizeof leaf);
    uint16_t port = tls_free_port();
    pid_t pid = serve_tls(leaf, port);
    tls_wait_port(port);
    char url[100];
    struct endpoint to;
    snprintf(url, sizeof url, "127.0.0.1:%u", port);
    ck_assert_int_eq(endpoint_parse(url, 0, &to), 0);
    struct fetch_result r;
    struct fetch_request q = {
        .url = "https://good.example.test/", .connect_to = &to, .ca_file = ca, .timeout_ms = 5000};
    ck_assert_msg(fetch_run(f, &q, &r) == 0, "%s", r.message);
    ck_assert_int_eq(r.status, 200);
    fetch_result_done(&r);
    // pinned: also on a connection that is open already; nothing of the response is taken otherwise
    char right[2 * SHA256_BYTES + 1], wrong[2 * SHA256_BYTES + 1];
    leaf_fingerprint(leaf, right);
    leaf_fingerprint(other, wrong);
    const char *pins[] = {wrong, right};
    q.pinned = true;
    q.pins = pins;
    q.n_pins = 2;
    ck_assert_msg(fetch_run(f, &q, &r) == 0, "%s", r.message);
    fetch_result_done(&r);
    for (q.n_pins = 0; q.n_pins < 2; q.n_pins++) {
        ck_assert_int_eq(fetch_run(f, &q, &r), ERR_DENIED);
        ck_assert_int_eq(r.status, 0);
        ck_assert_uint_eq(r.body.n, 0);
        ck_assert_ptr_nonnull(strstr(r.message, "pins"));
        fetch_result_done(&r);
    }
    q.pinned = false;
    q.ca_file = other;
    ck_assert_int_eq(fetch_run(f, &q, &r), ERR_CRYPTO);
    ck_assert_ptr_nonnull(strstr(r.message, "certificate"));
    fetch_result_done(&r);
    q.ca_file = ca;
    q.url = "https://wrong.example.test/"; // the name is checked, not the address
    ck_assert_int_eq(fetch_run(f, &q, &r), ERR_CRYPTO);
    fetch_result_done(&r);
    q.url = "https://good.example.test/";
    q.ca_file = NULL; // the system does not know our authority
    ck_assert_int_eq(fetch_run(f, &q, &r), ERR_CRYPTO);
    fetch_result_done(&r);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    down();
}
END_TEST

// --- peers that fall silent ---

struct running {
    _Atomic bool done;
    _Atomic int err, status;
};

static void running_done(void *ctx, struct fetch_result *r)
{
    struct running *x = ctx;
    x->err = r->err;
    x->status = r->status;
    x->done = true;
}

static void running_start(struct running *x, const char *peer, bool looks)
{
    struct fetch_request q = {.url = "http://x/hold",
                              .unix_socket = path,
                              .peer = peer,
                              .looks_for_peer = looks,
                              .timeout_ms = 30000,
                              .ctx = x};
    ck_assert_int_eq(fetch_start(f, &q, running_done, NULL), 0);
}

static bool done_within(const struct running *x, int64_t ms)
{
    for (int64_t until = clock_mono_ms() + ms; !x->done && clock_mono_ms() < until;)
        clock_sleep_ms(5);
    return x->done;
}

// Answers on one connection after the other until told to stop; counts them.
static _Atomic int n_accepted;

static void *counting_server(void *arg)
{
    int listener = *(int *)arg;
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
        char piece[2048];
        n_accepted++;
        static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        while (read(fd, piece, sizeof piece) > 0)
            if (write(fd, answer, sizeof answer - 1) < 0)
                break;
    }
    return NULL;
}

static int ask_counting(const char *socket)
{
    struct fetch_request q = {
        .url = "http://x/", .unix_socket = socket, .peer = "southeastasia", .timeout_ms = 10000};
    struct fetch_result r;
    int rc = fetch_run(f, &q, &r);
    fetch_result_done(&r);
    return rc;
}

START_TEST(a_lost_peer_ends_what_runs_and_what_was_kept)
{
    struct running lost = {0}, looks = {0}, other = {0}, later = {0};
    up();
    hold = 1;
    running_start(&lost, "westeurope", false);
    running_start(&looks, "westeurope", true);
    running_start(&other, "eastus", false);
    WAIT_FOR(n_begun == 3, 10000);
    fetcher_peer_lost(f, "westeurope");
    ck_assert(done_within(&lost, 5000));
    ck_assert_int_eq(lost.err, ERR_UNREACHABLE);
    running_start(&later, "westeurope", false); // it may be back
    WAIT_FOR(n_begun == 4, 10000);
    ck_assert(!looks.done && !other.done && !later.done);
    hold = 0;
    ck_assert(done_within(&looks, 10000) && done_within(&other, 10000) &&
              done_within(&later, 10000));
    ck_assert(!looks.err && !other.err && !later.err);

    char at[120];
    int listener = -1;
    pthread_t thread;
    snprintf(at, sizeof at, "%s/counting", dir);
    ck_assert_int_eq(http_socket_open(at, 0600, (uid_t)-1, (gid_t)-1, &listener), 0);
    ck_assert_int_eq(fcntl(listener, F_SETFL, 0), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, counting_server, &listener), 0);
    ck_assert(!ask_counting(at) && !ask_counting(at));
    ck_assert_int_eq(n_accepted, 1); // kept
    fetcher_peer_lost(f, "southeastasia");
    clock_sleep_ms(2500);
    ck_assert(!ask_counting(at));
    ck_assert_int_eq(n_accepted, 2); // but for a loss
    ck_assert(!ask_counting(at));
    ck_assert_int_eq(n_accepted, 2);
    shutdown(listener, SHUT_RDWR);
    fetcher_free(f); // closes what is kept, which the server waits on
    ck_assert_int_eq(fetcher_new(&f), 0);
    pthread_join(thread, NULL);
    close(listener);
    down();
}
END_TEST

CHECK_MAIN("net/fetch", test_basics, a_fetcher_holds_up_no_other, test_limits,
           test_pause_and_cancel, test_run_ends_when_told_to, test_tls,
           a_date_that_does_not_fit_names_the_suspect_clock,
           a_lost_peer_ends_what_runs_and_what_was_kept)
