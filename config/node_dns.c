// SPDX-License-Identifier: Apache-2.0
// Option rows of the `dns:` section; see node_dns.h.
#include "config/node_dns.h"

#include "base/mem.h"
#include "config/options.h"

#include <string.h>

#define DNS_AT(member) OPT_AT(struct node_dns, member)

static bool nsid_ok(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (s[i] < ' ' || s[i] > '~')
            return false;
    return n >= 1 && n <= 64;
}

static bool path_ok(const char *s)
{
    return *s && strlen(s) < 2048;
}

#define COOKIES_AT(member) OPT_AT(struct node_dns_cookies, member)
static const struct option cookie_rows[] = {
    {"enabled", OPT_BOOL, COOKIES_AT(enabled), .def = "true",
     .help = "DNS cookies (RFC 7873, 9018): a client that shows one is exempt from rate limits. "
             "Behind a proxy that "
             "caches (dnsdist with a packet cache): false"},
    {"required", OPT_BOOL, COOKIES_AT(required), .def = "false",
     .help = "over UDP a client that knows cookies is answered BADCOOKIE until it shows a valid "
             "one. Not behind a proxy "
             "that caches, or that asks from several addresses without the PROXY protocol "
             "(trusted_proxies): its "
             "clients would come by TCP, if at all"},
    {"secret", OPT_STRING, COOKIES_AT(secret), .check = path_ok, .expect = "a path", .open = true,
     .help = "file with the secret that a fleet behind one address shares: one or two lines of 32 "
             "hexadecimal digits, the "
             "current and the previous one, as `openssl rand -hex 16` writes them; mode 0600; read "
             "again when it changes. "
             "Without it each process has a random one"},
};

#define RRL_AT(member) OPT_AT(struct node_dns_rrl, member)
static const struct option rrl_rows[] = {
    {"answers", OPT_INT, RRL_AT(answers), .def = "0", .max = 1000000,
     .help = "the same answer, at most so often a second to one network (/24, /56) over UDP; 0: no "
             "limit"},
    {"absent", OPT_INT, RRL_AT(absent), .def = "0", .max = 1000000,
     .help = "NXDOMAIN and NODATA to one network; 0: no limit"},
    {"errors", OPT_INT, RRL_AT(errors), .def = "0", .max = 1000000,
     .help = "REFUSED, FORMERR and other errors to one network; 0: no limit"},
    {"burst", OPT_DURATION, RRL_AT(burst_s), .def = "5s", .unit_ms = 1000, .min = 1000,
     .max = 60000, .help = "a quiet network may use up so many seconds' answers at once"},
    {"slip", OPT_INT, RRL_AT(slip), .def = "2", .max = 10,
     .help = "of the answers over the limit every so-maniest is sent truncated, so that a real "
             "client comes by TCP; 0: "
             "none"},
    {"exempt", OPT_CIDRS, OPT_ARRAY_AT(struct node_dns_rrl, exempt, n_exempt), .max = 256,
     .help = "networks without a limit"},
};

#define TCP_AT(member) OPT_AT(struct node_dns_tcp, member)
static const struct option tcp_rows[] = {
    {"connections", OPT_INT, TCP_AT(connections), .def = "256", .min = 8, .max = 8192,
     .help = "most connections per worker, DNS over TLS included; then the one idle longest goes"},
    {"per_client", OPT_INT, TCP_AT(per_client), .def = "64", .min = 1, .max = 8192,
     .help = "most connections of one client (an address, in IPv6 a /56) per worker; then its own "
             "idle longest goes"},
    {"idle", OPT_DURATION, TCP_AT(idle_ms), .def = "10s", .unit_ms = 1, .min = 200, .max = 600000,
     .help =
         "a connection without a query for so long is closed; told to clients that ask (RFC 7828)"},
};

#define SIGNING_AT(member) OPT_AT(struct node_dns_signing, member)
static const struct option signing_rows[] = {
    {"keys_dir", OPT_STRING, SIGNING_AT(keys_dir), .max = 2000, .open = true,
     .help =
         "where the private keys of D and fe.D are, ID.pem each; default is keys/dns in data_dir"},
    {"threads", OPT_INT, SIGNING_AT(threads), .def = "2", .min = 1, .max = 16,
     .help = "threads that sign"},
    {"signatures", OPT_INT, SIGNING_AT(signatures), .def = "65536", .min = 1024, .max = 16777216,
     .help = "signatures kept, of 92 bytes each; an eighth more for names that are not there"},
    {"denials_per_second", OPT_INT, SIGNING_AT(denials_per_s), .def = "2000", .max = 1000000,
     .help = "most signatures for names that are not there; 0: no limit"},
};

#define LOG_AT(member) OPT_AT(struct node_dns_query_log, member)
static const struct option_word client_words[] = {
    {"full", CLIENT_FULL}, {"network", CLIENT_NETWORK}, {"none", CLIENT_NONE}};
static const struct option query_log_rows[] = {
    {"file", OPT_STRING, LOG_AT(file), .check = path_ok, .expect = "a path", .open = true,
     .help = "a line of JSON per query is appended to this file, which the daemon's account must "
             "be able to write; "
             "opened again on SIGHUP; off when not given"},
    {"sample", OPT_INT, LOG_AT(sample), .def = "1", .min = 1, .max = 1000000,
     .help = "one query in so many is logged"},
    {"client", OPT_ENUM, LOG_AT(client), .def = "full", OPT_WORDS(client_words),
     .help = "the client's address: whole, as its network (/24, /48), or not at all"},
    {"buffer", OPT_SIZE, LOG_AT(buffer_bytes), .def = "1MiB", .min = 65536, .max = 64u << 20,
     .help = "memory per worker for what is not written yet, rounded up to a power of two; when it "
             "is full, lines are "
             "dropped and counted"},
};

#define TAP_AT(member) OPT_AT(struct node_dns_dnstap, member)
static const struct option dnstap_rows[] = {
    {"socket", OPT_STRING, TAP_AT(socket), .check = path_ok, .expect = "a path", .open = true,
     .help = "unix socket of a dnstap collector (Frame Streams); off when not given"},
    {"sample", OPT_INT, TAP_AT(sample), .def = "1", .min = 1, .max = 1000000,
     .help = "one query in so many, with its response, is sent"},
    {"buffer", OPT_SIZE, TAP_AT(buffer_bytes), .def = "4MiB", .min = 262144, .max = 64u << 20,
     .help = "memory per worker for what is not sent yet; when it is full, messages are dropped "
             "and counted"},
};

static const struct option_set query_log_set = {query_log_rows, ARRAY_LEN(query_log_rows),
                                                sizeof(struct node_dns_query_log), OPT_NO_NODE},
                               dnstap_set = {dnstap_rows, ARRAY_LEN(dnstap_rows),
                                             sizeof(struct node_dns_dnstap), OPT_NO_NODE};
static const struct option_set cookie_set = {cookie_rows, ARRAY_LEN(cookie_rows),
                                             sizeof(struct node_dns_cookies), OPT_NO_NODE},
                               rrl_set = {rrl_rows, ARRAY_LEN(rrl_rows),
                                          sizeof(struct node_dns_rrl), OPT_NO_NODE},
                               tcp_set = {tcp_rows, ARRAY_LEN(tcp_rows),
                                          sizeof(struct node_dns_tcp), OPT_NO_NODE},
                               signing_set = {signing_rows, ARRAY_LEN(signing_rows),
                                              sizeof(struct node_dns_signing), OPT_NO_NODE};

static const struct option dns_rows[] = {
    {"nsid", OPT_STRING, DNS_AT(nsid), .check = nsid_ok, .expect = "1 to 64 printable characters",
     .open = true,
     .help = "how this server names itself to those who ask (RFC 5001); nothing when not given"},
    {"tsig_dir", OPT_STRING, DNS_AT(tsig_dir), .max = 2000, .open = true,
     .help = "where the secrets of TSIG keys are, NAME.key each; default is keys/tsig in data_dir"},
    {"certificate", OPT_STRING, DNS_AT(certificate), .check = path_ok, .expect = "a path",
     .open = true,
     .help = "file with certificate, chain and key for DNS over TLS, mode 0600, read again when it "
             "changes; default is the "
             "region's certificate, whose names cover <stamp>.<region>.fe.D"},
    {"trusted_proxies", OPT_CIDRS,
     OPT_ARRAY_AT(struct node_dns, trusted_proxies, n_trusted_proxies), .max = 256,
     .example = "192.0.2.80",
     .help = "load balancers in front of the DNS listeners, such as dnsdist: each datagram and "
             "connection from these "
             "begins "
             "with a PROXY protocol header (version 2) that names the client, and the view, the "
             "routing and all limits "
             "go by "
             "that. What these ask without a header is refused; a header from anybody else counts "
             "for nothing"},
    {"cookies", OPT_MAP, DNS_AT(cookies), .sub = &cookie_set, .help = "DNS cookies"},
    {"rate_limit", OPT_MAP, DNS_AT(rate_limit), .sub = &rrl_set,
     .help = "limits on answers over UDP to clients without a valid cookie"},
    {"signing", OPT_MAP, DNS_AT(signing), .sub = &signing_set,
     .help = "DNSSEC, when the topology has keys"},
    {"tcp", OPT_MAP, DNS_AT(tcp), .sub = &tcp_set, .help = "DNS over TCP and over TLS"},
    {"query_log", OPT_MAP, DNS_AT(query_log), .sub = &query_log_set, .help = "a log of queries"},
    {"dnstap", OPT_MAP, DNS_AT(dnstap), .sub = &dnstap_set,
     .help = "queries and responses for a dnstap collector"},
};

const struct option_set node_dns_set = {dns_rows, ARRAY_LEN(dns_rows), sizeof(struct node_dns),
                                        OPT_NO_NODE};

int node_dns_defaults(struct node_dns *out)
{
    static const struct doc_node none = {.kind = DOC_MAP};
    struct node_dns n = {0};
    struct arena arena;
    arena_init(&arena, 0);
    struct option_ctx ctx = {.source = "defaults", .arena = &arena};
    options_apply(&ctx, &node_dns_set, &none, "dns", &n);
    int rc = option_ctx_result(&ctx);
    arena_done(&arena); // no default of this section is a list or a string
    if (!rc)
        *out = n;
    return rc;
}
