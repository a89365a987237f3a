// SPDX-License-Identifier: Apache-2.0
// The edge's access log: one line of JSON for each request that nginx answered, or for each refused
// one, with the request's id, which every answer carries as X-Meridian-Request-Id. nginx writes a
// record into its pipe (net/edge_log.h), never into a file: so its workers never wait for a disk. A
// record holds no query, Referer or Authorization. The reader of the pipe makes a line of it, keeps
// only bytes that paths, host names and user names consist of, and appends the line to the file.
//
//   {"time":"2026-11-29T09:20:55.123Z","id":"0a1b…","status":403,"reason":"DENIED","by":"daemon",
//    "method":"GET","host":"contoso.d.test","path":"/v2/team/app/manifests/1","client":"10.0.0.9",
//    "principal":"ada","region":"eastus","stamp":"eus-1","sent":117,"received":512,"seconds":0.004}
//
// `by`: "edge" when nginx alone refused it; then `reason` is nginx's own, of edge_own_reason.
// `region` and `stamp` answered. `private_endpoint` is there when the request came by one's address. `path` ends in "[cut]" before the first byte that a path of ours
// never has.
#ifndef MERIDIAN_NET_EDGE_ACCESS_H
#define MERIDIAN_NET_EDGE_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EDGE_ACCESS_LINE_MAX 2048
#define EDGE_ACCESS_MARK '\t' // how a record begins, and what stands between its fields
// The fields of a record in nginx's words, in the order in which edge_access_format expects them.
// nginx escapes what is not printable ASCII (\xXX) and writes "-" for what is empty; the maps of
// net/edge_render.c bound the lengths, so that a record stays within one packet of the pipe.
#define EDGE_ACCESS_FORMAT                                                                        \
    "\t$msec\t$status\t$body_bytes_sent\t$request_length\t$request_time\t$meridian_log_client\t$" \
    "meridian_"                                                                                   \
    "log_by\t"                                                                                    \
    "$meridian_request_id\t$meridian_log_reason\t$meridian_log_principal\t$meridian_log_region\t" \
    "$meridian_log_stamp\t$meridian_log_method\t$meridian_log_host\t$meridian_log_path\t"         \
    "$meridian_private"

// A record → a line with its end. False: not a record of that form; *out_n is untouched.
bool edge_access_format(const uint8_t *record, size_t n, char out[EDGE_ACCESS_LINE_MAX],
                        size_t *out_n);
// What nginx says of its own answers, by their status: "TOO_MANY_REQUESTS", …; NULL: nothing.
const char *edge_own_reason(int status);

// The file, in the process that reads the pipe. A file that reached `max_bytes` (0: never) becomes
// FILE.1 when it is opened again.
struct edge_access_file {
    // NULL: none
    const char *path;
    uint64_t max_bytes;
    // -1: not open
    int fd;
    // the file ends inside a line
    bool torn;
    uint64_t bytes;
    // in buf
    unsigned n_lines;
    size_t n;
    char buf[64 << 10];
};
// says in the log what fails
void edge_access_open(struct edge_access_file *f, const char *path, uint64_t max_bytes);
void edge_access_add(struct edge_access_file *f, const char *line, size_t n);
// what cannot be written is dropped and counted in the log
void edge_access_flush(struct edge_access_file *f);
bool edge_access_full(const struct edge_access_file *f); // it is time to open it again

#endif
