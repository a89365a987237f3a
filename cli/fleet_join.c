// SPDX-License-Identifier: Apache-2.0
// `meridian fleet join TOKEN`: a further region by one command. Private keys are made here and stay
// here; the writer gets public halves and a certificate request, and answers with the peer
// certificate and the topology (fleet/join.h). With that certificate this node asks the CA's region
// for its other certificates, and other regions for the secrets that all share. Then its settings
// are written and it runs; the control feed brings all else.
//
// Given again after an interruption it goes on as the same joiner, while the token lasts.
#include "cli/fleet.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "certs/certs.h"
#include "certs/joiner.h"
#include "certs/keys.h"
#include "config/principals.h"
#include "fleet/join_answer.h"
#include "fleet/join_request.h"
#include "fleet/secrets.h"
#include "net/edge.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ASK_MS 60000    // the CA's region may be another one
#define FOLLOW_MS 60000 // until regions know the new certificate
#define PAUSE_MS 500

struct joining {
    struct cli *cli;
    struct fleet_node n;
    struct join_token token;
    struct signing_key *token_key;
    struct region_keys *keys;
    struct topology *topology;
    char identity[65];
    struct buf body;
    struct join_answer answer;
    struct diag diag;
};

// --- the token ---

static int token_take(struct joining *x, const char *word)
{
    AUTO_BUF struct buf b;
    buf_init(&b, JOIN_TOKEN_MAX_BYTES + 64);
    if (!strcmp(word, "-")) {
        char line[JOIN_TOKEN_MAX_BYTES];
        size_t n = fread(line, 1, sizeof line, stdin);
        buf_add(&b, line, n);
        explicit_bzero(line, n);
    } else {
        buf_str(&b, word);
    }
    int rc = join_token_parse(b.p, b.n, &x->diag, &x->token);
    explicit_bzero(b.p, b.n);
    if (rc) {
        diag_print(&x->diag, stderr);
        return EXIT_USAGE;
    }
    if (clock_wall_ms() >= x->token.expires_ms)
        return cli_fail(EXIT_DENIED,
                        "the join token has expired; make another one with `meridian join-token "
                        "create %s` (or, if it should not have, compare this machine's clock)",
                        x->token.region);
    return EXIT_DONE;
}

// --- what is made here ---

static int keys_make(struct joining *x, struct buf *csr)
{
    int rc = region_keys_create(x->n.keys, x->token.region, &x->diag);
    if (!rc)
        rc = region_keys_open(x->n.keys, x->token.region, &x->diag, &x->keys);
    if (!rc)
        rc = join_token_key(&x->token, &x->token_key);
    if (!rc)
        rc = certs_join_request(x->n.certs, x->token.domain, x->token.region, &x->diag, csr);
    return rc;
}

static int request_make(struct joining *x)
{
    AUTO_BUF struct buf csr;
    buf_init(&csr, 0);
    int rc = keys_make(x, &csr);
    if (rc)
        return rc;
    const struct join_request q = {
        .domain = x->token.domain, .token = x->token.id, .row = x->n.row, .csr = buf_cstr(&csr)};
    struct join_request back;
    rc = join_request_format(&q, x->token_key, x->keys, &x->body);
    if (!rc)
        rc = join_request_parse(bytes_of(x->body.p, x->body.n), &x->cli->arena, &x->diag, &back);
    if (!rc)
        rc = join_request_identity(&back, x->identity);
    if (rc)
        return rc;
    // the CA of the token, by which the writer's listener is verified
    const char *ca = arena_printf(&x->cli->arena, "%s/ca.pem", x->n.certs);
    if (!ca)
        return ERR_NOMEM;
    return file_write_atomic(ca, x->token.ca, strlen(x->token.ca), 0644);
}

// --- the writer ---

static int ask_at(struct joining *x, const struct endpoint *at, struct fetch_result *r)
{
    struct arena *a = &x->cli->arena;
    static const char *const headers[] = {"Content-Type: application/json"};
    const struct fetch_request q = {
        .method = "POST",
        .url = arena_printf(a, "https://%s.peer.%s:%u" EDGE_JOIN_PATH, x->token.writer,
                            x->token.domain, at->port),
        .connect_to = at,
        .ca_file = arena_printf(a, "%s/ca.pem", x->n.certs),
        .headers = headers,
        .n_headers = ARRAY_LEN(headers),
        .body = bytes_of(x->body.p, x->body.n),
        .timeout_ms = ASK_MS,
        .max_bytes = JOIN_ANSWER_MAX_BYTES,
    };
    if (!q.url || !q.ca_file)
        return ERR_NOMEM;
    return fetch_run(x->cli->fetcher, &q, r);
}

static int refused(struct joining *x, const struct fetch_result *r)
{
    int status = EXIT_FAILED;
    if (r->status == 403)
        status = EXIT_DENIED;
    else if (r->status == 409)
        status = EXIT_CONFLICT;
    return cli_fail(status, "%s does not let %s join: %s", x->token.writer, x->token.region,
                    cli_refusal(x->cli, r));
}

// 503 is said to be over soon.
static int ask_writer(struct joining *x)
{
    char text[ENDPOINT_TEXT_SIZE];
    const char *why = "";
    int64_t until = clock_mono_ms() + FOLLOW_MS;
    for (;;) {
        for (size_t i = 0; i < x->token.n_at; i++) {
            struct fetch_result r;
            int rc = ask_at(x, &x->token.at[i], &r);
            bool whole = !rc && r.status == 200;
            if (whole)
                rc = join_answer_parse(bytes_of(r.body.p, r.body.n), &x->token, x->identity,
                                       &x->cli->arena, &x->diag, &x->answer);
            else if (!rc && r.status != 503)
                rc = refused(x, &r);
            else
                why = arena_printf(&x->cli->arena, "%s: %s", endpoint_format(&x->token.at[i], text),
                                   rc ? r.message : cli_refusal(x->cli, &r));
            bool ended = whole || (rc > 0);
            fetch_result_done(&r);
            if (whole && rc) {
                diag_print(&x->diag, stderr);
                return EXIT_DENIED;
            }
            if (ended)
                return rc;
        }
        if (clock_mono_ms() >= until)
            return cli_fail(
                EXIT_UNREACHABLE,
                "the writer %s did not answer in time (%s); give the same command again",
                x->token.writer, why ? why : "");
        clock_sleep_ms(PAUSE_MS);
    }
}

// --- what it says ---

static int answer_keep(struct joining *x)
{
    const char *topology = fleet_node_file(&x->n, "topology.yaml"),
               *principals = fleet_node_file(&x->n, "principals.yaml"), *text = x->answer.topology;
    if (!topology || !principals)
        return ERR_NOMEM;
    int rc = topology_parse(text, strlen(text), topology, &x->diag, &x->topology);
    if (!rc)
        rc =
            certs_join_install(x->n.certs, x->token.domain, x->token.region,
                               bytes_str(x->answer.ca), bytes_str(x->answer.certificate), &x->diag);
    if (!rc)
        rc = file_write_atomic(topology, text, strlen(text), 0644);
    // none are known yet: the feed brings them
    if (!rc && access(principals, F_OK))
        rc = principals_write(&(struct principals){.version = 1}, principals);
    return rc;
}

// --- certificates and secrets, once the other regions know this one ---

static int certificates_get(struct joining *x)
{
    static const enum cert_kind kinds[] = {CERT_REGION, CERT_SHARED};
    struct snapshot cell;
    snapshot_init(&cell);
    snapshot_publish(&cell, snapshot_ref(x->topology));
    const struct certs_options o = {.certs_dir = x->n.certs,
                                    .region = x->token.region,
                                    .topology = &cell,
                                    .fetcher = x->cli->fetcher,
                                    .keys = x->keys,
                                    .check_s = 86400};
    struct certs *certs = NULL;
    int rc = certs_start(&o, &x->diag, &certs);
    int64_t until = clock_mono_ms() + FOLLOW_MS;
    for (size_t i = 0; i < ARRAY_LEN(kinds) && !rc; i++) {
        for (;;) {
            struct cert_info info;
            struct diag own;
            diag_init(&own);
            rc = certs_inspect(x->n.certs, x->topology, x->token.region, kinds[i], &info);
            if (!rc && info.problem[0])
                rc = certs_renew(certs, &kinds[i], &own);
            bool late = clock_mono_ms() >= until;
            for (size_t k = 0; rc && late && k < own.n; k++)
                diag_add(&x->diag, NULL, 0, "%s", own.lines[k]);
            diag_done(&own);
            if (!rc || late)
                break;
            clock_sleep_ms(PAUSE_MS);
        }
    }
    certs_stop(certs);
    snapshot_done(&cell);
    return rc;
}

static int secrets_get(struct joining *x)
{
    struct arena *a = &x->cli->arena;
    const struct secrets_places at = {.dns_dir = arena_printf(a, "%s/dns", x->n.keys),
                                      .tsig_dir = arena_printf(a, "%s/tsig", x->n.keys),
                                      .cookies = arena_printf(a, "%s/cookies", x->n.keys)};
    const struct fleet_caller caller = {.fetcher = x->cli->fetcher,
                                        .ca_file = arena_printf(a, "%s/ca.pem", x->n.certs),
                                        .peer_pem = arena_printf(a, "%s/peer.pem", x->n.certs),
                                        .region = x->token.region};
    const struct secrets_asker by = {&caller, x->keys, &at};
    if (!at.dns_dir || !at.tsig_dir || !at.cookies || !caller.ca_file || !caller.peer_pem)
        return ERR_NOMEM;
    int64_t until = clock_mono_ms() + FOLLOW_MS;
    for (;;) {
        struct diag own;
        diag_init(&own);
        size_t n = 0;
        int rc = secrets_fetch(&by, x->topology, NULL, &own, &n);
        bool late = clock_mono_ms() >= until;
        for (size_t k = 0; rc && late && k < own.n; k++)
            diag_add(&x->diag, NULL, 0, "%s", own.lines[k]);
        diag_done(&own);
        if (!rc || late)
            return rc;
        clock_sleep_ms(PAUSE_MS);
    }
}

// --- all of it ---

static int join_all(struct joining *x)
{
    int rc = fleet_node_prepare(&x->n, x->token.region);
    if (rc)
        return rc;
    rc = cli_want_fetcher(x->cli);
    if (rc)
        return rc;
    rc = fleet_node_said(&x->diag, request_make(x), x->n.data);
    if (!rc)
        rc = ask_writer(x);
    if (rc)
        return rc;
    fprintf(stderr, "%s is a region of the fleet; certificates and shared secrets follow\n",
            x->token.region);
    int kept = answer_keep(x);
    if (!kept)
        kept = certificates_get(x);
    if (!kept)
        kept = secrets_get(x);
    rc = fleet_node_said(&x->diag, kept, "fleet join");
    if (!rc)
        rc = fleet_node_give(&x->n, NULL);
    if (!rc)
        rc = fleet_node_settings(&x->n, NULL);
    if (rc)
        return rc;
    certs_join_done(x->n.certs);
    printf("%s has joined the fleet of %s\n", x->token.region, x->token.domain);
    return EXIT_DONE;
}

int fleet_join(struct cli *c, int argc, char **argv)
{
    struct joining x = {.cli = c};
    bool name_server = false;
    const struct opt own[] = {{0, "name-server", NULL,
                               "its stamp is to answer for the domain, as an NS record says", NULL,
                               &name_server}};
    int rc = fleet_node_parse(c, &x.n, own, ARRAY_LEN(own), argc, argv, &argc);
    if (rc)
        return rc;
    x.n.row.name_server = name_server;
    diag_init(&x.diag);
    buf_init(&x.body, JOIN_REQUEST_MAX_BYTES);
    rc = token_take(&x, argv[1]);
    if (!rc)
        rc = join_all(&x);
    signing_key_free(x.token_key);
    region_keys_free(x.keys);
    snapshot_unref(x.topology);
    buf_done(&x.body);
    diag_done(&x.diag);
    explicit_bzero(&x.token, sizeof x.token);
    if (rc)
        return rc;
    return fleet_node_start(&x.n);
}
