// SPDX-License-Identifier: Apache-2.0
// What the files of registry/ share: the service, and one request on its way (`struct op`). An op
// hangs off its request's arena; nothing of the topology is kept in it, so that a reload in
// mid-request changes nothing.
#ifndef MERIDIAN_REGISTRY_REGISTRY_PRIV_H
#define MERIDIAN_REGISTRY_REGISTRY_PRIV_H

#include "config/policy.h"
#include "registry/ack.h"
#include "registry/busy.h"
#include "registry/oci_error.h"
#include "registry/open_uploads.h"
#include "registry/page.h"
#include "registry/registry.h"
#include "registry/routes.h"
#include "registry/signed_url.h"
#include "store/hot.h"

#define DIGEST_FORMS "sha256:<64 hex digits> or sha512:<128>"
// of the POST that starts an upload, and of its Locations
#define DIGEST_ALGORITHM_PARAMETER "digest-algorithm"

struct registry_service {
    char region[HOSTNAME_REGION_SIZE];
    struct blob_store *blobs;
    struct meta *meta;
    // what was read lately; owned
    struct hot *hot;
    struct space *space;
    const struct elsewhere *elsewhere;
    struct audit *audit;
    struct snapshot *principals;
    struct throttle *throttle;
    struct pool *pool, *waiting;
    uint8_t url_key[SIGNED_URL_KEY_BYTES];
    uint64_t manifest_max_bytes;
    struct upload_bounds uploads;
    unsigned upload_idle_s;
    void (*on_fault)(void *ctx, const char *label);
    void *on_fault_ctx;
    void (*on_lost)(void *ctx, const char *registry, const char *repository,
                    const struct digest *d);
    void *on_lost_ctx;
    // uploads between two requests
    struct open_uploads open_uploads;
    // and those in one
    struct busy busy;
    struct unacked unacked;
};

// Bytes on their way into an upload (upload_body.c).
struct upload_io {
    const char *id;
    // open while this request owns the upload
    struct blob_upload *u;
    struct space_charge charge;
    struct busy_mark mark;
    // this request is among those under way
    bool marked;
    // upload_enter was tried
    bool entered;
    // the body came whole, or was refused with an answer
    bool ran;
    // u ends at `acked`, or had more written to it
    bool begun;
    // of the digest that it will have, if that is known: its digest is in the query, or
    // DIGEST_ALGORITHM_PARAMETER; else 0
    enum digest_alg alg;
    // POST ?digest=: no row yet, and what remains is thrown away
    bool fresh;
    // Content-Range was given:
    bool ranged;
    // inclusive
    uint64_t from, to;
    // size at which this request began
    uint64_t acked;
    uint64_t received;
    // first failure; the rest of the body is discarded
    int err;
    // of ERR_QUOTA
    struct usage_over over;
    // err is ERR_BUSY because another request has the upload open
    bool in_use;
    // a PUT: op->digest is what it becomes
    bool ends;
    // the bytes have become a blob, in this request or an earlier one that could not link it
    bool committed;
    // under this name
    struct blob_name published;
    // and the upload is over
    bool linked;
    // a PUT that ended this upload before: nothing is left to do
    bool repeats;
    // acknowledged or recorded: u stays open for the next request
    bool rests;
    // of the blob that it ended as
    uint64_t blob_size;
};

// What the settings of registry and repository say of a write. A copy: the topology may change while
// the request is on its way.
struct op_policy {
    // an index may be stored while children are absent
    bool sparse;
    // patterns of create-only tags
    struct policy_globs immutable;
};

struct op {
    struct registry_service *s;
    struct http_request *req;
    void (*act)(struct op *op, struct http_response *resp);
    struct route route;
    // of the route table; NULL: no such method there, or no such path
    const struct route_row *row;
    // its key, by which the store and signatures know it; its name, for people; its login label
    const char *registry, *registry_name, *label;
    struct op_policy policy;
    // while `begin` runs, and no longer
    const struct topology *topology;
    // a reference, of handlers that need it on the pool (overview.c); else NULL
    struct topology *held;
    // no other region holds the registry
    bool sole_replica;
    // they are told of each blob that an upload brought here (config/policy.h)
    bool copies_ahead;
    // this region will not hold it much longer: no writes. False for reads, which it concerns not
    bool leaves;
    // so many other regions must have a write before it is acknowledged, and have so long; 0: none
    unsigned ack_peers;
    int64_t ack_timeout_ms;
    // what it wrote (ack.h); NULL: nothing that others must have
    struct op_ack *ack;
    // quotas of the registry and of the repository
    struct usage_limits limits;
    struct access access;
    // may add here, and neither read nor replace: tags are create-only, nothing is mounted
    bool adds_only;
    // who it is, by token or signature
    const char *principal;
    // what the audit log calls it, where it is not the row's event
    const char *event;
    // "https://<host called>[:port]"
    const char *here;
    // the same of the host on which uploads go on
    const char *upload_here;
    // its name alone
    const char *upload_host;
    // upload Locations carry a signature
    bool sign;
    // of the data host to which a GET of a blob is redirected; NULL: it is answered here
    const char *blob_host;
    // beside blob_host: the public port as URLs have it, ":8443"; "" for 443
    const char *port;
    // the client's next request may land in another region: it goes by the global name
    bool may_go_anywhere;
    // the other regions know, or will, that an upload has ended
    struct elsewhere_told *told;
    // a read of a blob that was being copied to here has waited for it
    bool has_waited;
    // of a blob that is answered: its size
    uint64_t blob_bytes;
    // a header could not be set: latched, judged once
    int failed;
    // of the query: ?digest=, ?mount=; n 0: none
    struct digest digest;
    // Of a manifest whose content is being gathered: until when, 0 at first; and how often.
    int64_t gather_until;
    unsigned n_gathers;
    // of a PUT of a manifest: the ?tag= parameters, each once
    const char **tags;
    size_t n_tags;
    // checked name, or NULL
    const char *mount_from;
    bool mount;
    struct upload_io io;
};

// answer.c: the only file that says what a failure means on the wire.
void answer_error(struct op *op, struct http_response *resp, int rc, const char *what);
void answer_fault(struct op *op, struct http_response *resp); // of the route
void answer_query(struct op *op, struct http_response *resp); // a query that cannot be decoded
void answer_header(struct op *op, struct http_response *resp, const char *name, const char *fmt,
                   ...) __attribute__((format(printf, 4, 5)));
void answer_header_text(struct op *op, struct http_response *resp, const char *name,
                        const char *value);
void answer_empty(struct http_response *resp, int status);
void answer_no_path(struct op *op, struct http_response *resp, const char *why); // 404
bool region_closed(struct op *op, struct http_response *resp); // 503 with the reason
// The same for a write that is acknowledged once others have it, also where too few are heard
// (ack.h).
bool writes_closed(struct op *op, struct http_response *resp);
// 403, naming use and limit.
void quota_refused(struct op *op, struct http_response *resp, const struct usage_over *over);
bool disk_short(struct op *op, struct http_response *resp); // 507: no content is taken; on the pool
// Does an If-Match or If-None-Match list name this digest? `*` does. Weak tags count only when
// `weak`.
bool etag_matches(const char *list, const struct digest *d, bool weak);
// Docker-Content-Digest and ETag; true when the request's If-None-Match makes it a 304 (then it is
// filled).
bool answer_validators(struct op *op, struct http_response *resp, const struct digest *d);

// The handlers in the route table (routes.h). `*_begin` runs on an HTTP thread and makes the plan,
// or answers; the others run on the pool.
void base_begin(struct op *op, struct http_plan *plan);
void referrers_begin(struct op *op, struct http_plan *plan);
void catalog_read(struct op *op, struct http_response *resp);
void tags_read(struct op *op, struct http_response *resp);
void manifest_read_begin(struct op *op, struct http_plan *plan);
void manifest_put_begin(struct op *op, struct http_plan *plan);
void manifest_delete_begin(struct op *op, struct http_plan *plan);
void blob_read_begin(struct op *op, struct http_plan *plan);
void upload_mount_read(struct op *op);
void upload_post_begin(struct op *op, struct http_plan *plan);
void upload_get_begin(struct op *op, struct http_plan *plan);
void upload_patch_begin(struct op *op, struct http_plan *plan);
void upload_put_begin(struct op *op, struct http_plan *plan);
void upload_delete_begin(struct op *op, struct http_plan *plan);
// below /registry/v1/
void extension_look(struct op *op);
void x_repositories_begin(struct op *op, struct http_plan *plan);
void x_usage_begin(struct op *op, struct http_plan *plan);
void x_repository_begin(struct op *op, struct http_plan *plan);
void x_repository_delete(struct op *op, struct http_response *resp);
void x_tags_read(struct op *op, struct http_response *resp);
void x_manifests_read(struct op *op, struct http_response *resp);
void x_history_read(struct op *op, struct http_response *resp);
void x_restore(struct op *op, struct http_response *resp);
void x_lock_read(struct op *op, struct http_response *resp);
void x_lock_put_begin(struct op *op, struct http_plan *plan);
void x_audit_read(struct op *op, struct http_response *resp);
void x_retention_begin(struct op *op, struct http_plan *plan);

// admit.c: may the caller do what the row is for? False: answered, with a challenge.
bool op_admitted(struct op *op, const struct topology *t, const struct registry *reg,
                 const struct hostname *host, struct http_response *resp);

// limits.c: is the caller within the registry's limits? False: answered, 429. Before any work.
bool op_within_limits(struct op *op, const struct registry *reg, struct http_response *resp);

// op.c. ERR_INVAL: the host is no endpoint of a registry; ERR_NOMEM.
int op_new(struct registry_service *s, struct http_request *req, const struct topology *t,
           const struct registry *reg, const struct hostname *host, struct op **out);
// the plan: run `act` on the pool
void op_plan(struct op *op, struct http_plan *plan, enum http_plan_kind kind,
             void (*act)(struct op *op, struct http_response *resp));

// overview.c: the plan is `act` on the pool, with the topology in op->held until it is done
void op_hold(struct op *op, struct http_plan *plan,
             void (*act)(struct op *op, struct http_response *resp));
// After the route has its repository. ERR_NOMEM.
int op_policy_set(struct op *op, const struct registry *reg);
bool op_tag_immutable(const struct op *op, const char *tag);

// ended.c: what it is of, for the metrics (net/traffic.h).
uint8_t op_traffic_kind(const struct op *op);
// ended.c: the answer is made; once for each request. Never blocks.
void op_ended(struct op *op, const struct http_response *resp);

// How the hot cache knows what the route names.
struct hot_key op_hot_key(const struct op *op);
// The manifest that the route names by tag or digest.
int op_manifest_get(struct op *op, struct manifest_row *out);
// manifest_put.c: what a put of a tag or manifest failed of
void put_refused(struct op *op, struct http_response *resp, int rc,
                 const struct put_result *result);

// The content of manifests and what is parsed from it hang off the request: its ceiling grows by
// what they may need.
void op_manifests_fit(struct op *op);

// May its run go on where it waits for other regions? Not while many wait for their turn there.
bool op_may_wait(const struct op *op);

// the digest in the query goes to op->digest; false: none, or malformed
bool op_query_digest(struct op *op, const char *key);
// DIGEST_ALGORITHM_PARAMETER goes to op->io.alg; false: it is none that is spoken here
bool op_query_algorithm(struct op *op);

// manifest_put.c: meta_manifest_put, with room for the entry on a short disk
int manifest_put_charged(struct op *op, const struct manifest_put *p, struct put_result *out);

// upload_answer.c
void upload_location(struct op *op, struct http_response *resp);
void upload_state(struct op *op, struct http_response *resp, uint64_t size); // Location, Range, id
void upload_unknown(struct op *op, struct http_response *resp);              // 404
void upload_in_use(struct op *op, struct http_response *resp);               // 409
void upload_error(struct op *op, struct http_response *resp);                // of io.err
void upload_created(struct op *op, struct http_response *resp, const struct digest *d); // 201
void upload_digest_refused(struct op *op, struct http_response *resp, const char *why); // 400
// upload_ahead.c: io.u had `before` bytes and has more now
void upload_grew(struct op *op, uint64_t before);
// upload_ahead.c: the upload is over, as op->digest; 201
void upload_ended(struct op *op, struct http_response *resp);
// uploads.c: the bytes are whole; a blob under the digest that was promised, and a link
void upload_finish(struct op *op, struct http_response *resp);

// upload_body.c
extern const struct http_sink upload_sink;
// ERR_NOTFOUND also in another repository
int upload_row_get(struct op *op, struct upload_row *out);
bool upload_complete(struct op *op); // body as long as announced; io.err otherwise
// plan.done: keeps what a broken connection left, lets go of the upload
void upload_done(struct http_request *req);

// upload_room.c: the uploads of a principal's that make room at a bound (upload_bounds in
// store/meta_uploads.h). Bytes of dropped uploads are removed on the way.
//   room_init(&r, s);
//   rc = meta_upload_…(…, &r.bounds);
//   n = room_done(&r);                      // how many were dropped
struct room {
    struct registry_service *s;
    struct busy_claims claims;
    struct upload_bounds bounds;
    size_t n_gone;
    // of claims
    const struct busy_claim *last;
};
void room_init(struct room *r, struct registry_service *s);
size_t room_done(struct room *r);

#endif
