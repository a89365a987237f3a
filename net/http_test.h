// SPDX-License-Identifier: Apache-2.0
// For tests only: requests without a socket, and an application that is driven on the test's own
// thread.
//
//   struct http_request *req = http_request_test_new("PUT", "/v2/a/manifests/1", "contoso.d.test");
//   http_request_test_header(req, "Content-Type", "application/json");
//   http_request_test_body(req, text, strlen(text));
//   http_app_test_run(&app, req, 7, &resp);
//   http_request_test_free(req);                    // resp is gone with it
//
// Without memory they abort: such a test has nothing to say.
#ifndef MERIDIAN_NET_HTTP_TEST_H
#define MERIDIAN_NET_HTTP_TEST_H

#include "net/http.h"

// `host` NULL: no Host header.
struct http_request *http_request_test_new(const char *method, const char *target,
                                           const char *host);
void http_request_test_header(struct http_request *req, const char *name, const char *value);
void http_request_test_body(struct http_request *req, const void *p, size_t n);
void http_request_test_free(struct http_request *req);
// Drives begin, sink (body in pieces of `piece` bytes; 0: one piece), run, done and finish. Frees
// nothing of req.
void http_app_test_run(const struct http_app *app, struct http_request *req, size_t piece,
                       struct http_response *out);
// Ends the stream that it is, if it is one: the server would, after its last byte.
void http_response_test_done(struct http_response *resp);

#endif
