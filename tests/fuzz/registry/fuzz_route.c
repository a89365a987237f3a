// SPDX-License-Identifier: Apache-2.0
// A request line, "METHOD target": whatever it is, routing ends, and what it calls a name, tag or
// upload id is one.
#include "net/http_test.h"
#include "registry/route.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 16384)
        return 0;
    char *line = malloc(size + 1);
    if (!line)
        return 0;
    memcpy(line, data, size);
    line[size] = 0;
    char *target = strchr(line, ' '), *query;
    if (target)
        *target++ = 0;
    if (target && *target == '/' && !target[strcspn(target, " #\r\n\t")]) {
        struct http_request *req = http_request_test_new(line, "/", "contoso.meridian.test");
        struct route r;
        query = strchr(target, '?');
        if (query)
            *query++ = 0;
        req->path = target;
        req->query = query ? query : "";
        if (!route_parse(&req->arena, req->path, &r)) {
            if ((r.name && !repository_name_ok(r.name, strlen(r.name))) ||
                (r.tag && !tag_ok(r.tag)) || (r.upload_id && !upload_id_ok(r.upload_id)))
                abort();
            if (r.kind == ROUTE_UPLOAD && !r.fault && !r.upload_id)
                abort();
        }
        // what the query names, of a route that takes all of it
        struct route q = {0};
        route_query(&q, ROUTE_TAKES_REPOSITORY | ROUTE_TAKES_TAG | ROUTE_TAKES_DIGEST,
                    http_query_get(req, "repository", 0), http_query_get(req, "tag", 0),
                    http_query_get(req, "digest", 0));
        if ((q.name && !repository_name_ok(q.name, strlen(q.name))) || (q.tag && !tag_ok(q.tag)) ||
            (q.digest.n && !digest_ok(&q.digest)) || (!q.name && !q.fault))
            abort();
        static const char *const keys[] = {"digest", "mount", "from", "n", "last", "sig", "tag"};
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            (void)http_query_get(req, keys[i], i & 1);
        http_request_test_free(req);
    }
    free(line);
    return 0;
}
