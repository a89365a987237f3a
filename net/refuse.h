// SPDX-License-Identifier: Apache-2.0
// How a request is refused: a status, a kind, a sentence. This room and the rooms above it say
// these three; how a refusal looks on the wire is the application's, which gives its server and its
// edge a `struct http_words` (the registry's are in registry/oci_error.h). Without words an answer
// is one line of text.
//
//   http_refuse(req, resp, 403, REFUSED_DENIED, "region %s holds no replica", name);
//   serve_refuse(req, resp, 503, "stopping");          // the kind and Retry-After by the status
//   serve_method(req, resp, "GET, HEAD", "/healthz takes GET and HEAD");          // 405
//   serve_json(req, resp, json_pack("{s:s}", "state", "up"));
//
// The log and the edge's access log get the code and the sentence of the last refusal
// (http_request_refused in net/http.h). All of it is pure; it runs on whatever thread owns the
// request, and everything that it makes hangs off the request's arena.
#ifndef MERIDIAN_NET_REFUSE_H
#define MERIDIAN_NET_REFUSE_H

#include "net/http.h"

enum refusal {
    // malformed, or nothing that is served here
    REFUSED_UNSUPPORTED,
    // a parameter is not what it must be
    REFUSED_INVALID,
    // the name of a repository in it is malformed
    REFUSED_NAME,
    // the caller is not authenticated
    REFUSED_UNAUTHORIZED,
    REFUSED_DENIED,
    // no such host name here
    REFUSED_HOST,
    REFUSED_NOT_FOUND,
    // the edge was led to a file that is not there any more
    REFUSED_FILE_GONE,
    REFUSED_TOO_LARGE,
    // too much at once
    REFUSED_BUSY,
    // not ready, or closed for a while
    REFUSED_UNAVAILABLE,
    // our own fault
    REFUSED_FAILED,
    N_REFUSALS
};

struct http_words {
    // static
    const char *content_type;
    // the code that clients and logs are told, static; any thread
    const char *(*code)(enum refusal kind);
    // Appends the body of an answer; an error when there is no memory. Any thread.
    int (*form)(struct buf *out, const char *code, const char *sentence);
    // the body without memory to form one; static
    const char *bare;
};

// the words of a request: its server's, or plain text
const struct http_words *http_words_of(const struct http_request *req);
const struct http_words *http_words_or_plain(const struct http_words *words);

void http_refuse(struct http_request *req, struct http_response *resp, int status,
                 enum refusal kind, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void serve_refuse(struct http_request *req, struct http_response *resp, int status,
                  const char *sentence);
void serve_method(struct http_request *req, struct http_response *resp, const char *allow,
                  const char *sentence);
// 200 with a json_t *, which it takes over; NULL, or no memory to format it: 500 in plain text
void serve_json(struct http_request *req, struct http_response *resp, void *root);

#endif
