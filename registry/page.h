// SPDX-License-Identifier: Apache-2.0
// Lists that come in pages: what a request asks for (`n`, `last`), and the Link (RFC 8288) that
// leads to the next page.
//
//   struct page_ask ask;
//   if (!page_ask_read(op, resp, PAGE_MAX, &ask))
//       return;                                        // answered
//   …
//   page_link(op, resp, &(struct page_next){.path = "/v2/app/tags/list", .n = ask.n, .last = name});
//
// Pure; any thread. Strings hang off the request.
#ifndef MERIDIAN_REGISTRY_PAGE_H
#define MERIDIAN_REGISTRY_PAGE_H

#include "net/http.h"

#define PAGE_MAX 1000 // entries in one page of a list

struct op;

struct page_ask {
    // wanted, at most the list's own bound
    size_t n;
    // the page begins behind it; NULL: from the start
    const char *last;
};

// False: `n` is no number, answered. Without `n` it is `max`.
bool page_ask_read(struct op *op, struct http_response *resp, size_t max, struct page_ask *out);

struct page_next {
    // with the parameters that every page has, in front of n and last; those names need no escaping
    const char *path;
    size_t n;
    const char *last;
    // a further parameter, whose value is escaped here; NULL: none
    const char *key, *value;
};
void page_link(struct op *op, struct http_response *resp, const struct page_next *next);

#endif
