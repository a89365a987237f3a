// SPDX-License-Identifier: Apache-2.0
// What the other members of a registry hold of one repository, for a caller who lacks it now: a
// push whose blobs went to another region. The registry's routes ask; replication/, which knows the
// other regions, answers. This header is the contract between the two.
//
//   struct elsewhere_item items[2] = {{.kind = CONTENT_BLOB, .digest = d, .size = n}, …};
//   struct elsewhere_want want = {.registry = "contoso", .repository = "app",
//                                 .items = items, .n_items = 2,
//                                 .until_mono = clock_mono_ms() + 50000};
//   char silent[CONTENT_TEXT_SIZE];
//   rc = e->ops->ask(e->ctx, &want, silent);        // items[i].held, .holder
//   if (!rc)
//       rc = e->ops->fetch(e->ctx, &want, error);   // items[i].rc, .body of manifests
//
// The other way round, a blob that an upload has brought here is copied by the other members ahead
// of any manifest, since the client's next request may land there:
//
//   e->ops->told(e->ops->tell(e->ctx, &running), 0);    // of a large one also while it comes
//   struct elsewhere_told *t = e->ops->tell(e->ctx, &want);         // does not wait
//   e->ops->told(t, clock_mono_ms() + 1000);                        // until they know of it
//   if (e->ops->coming(e->ctx, "contoso", "app", &digest))          // there: asks nobody
//       e->ops->wait(e->ctx, "contoso", "app", &digest, until_mono);
//
// And a write that is acknowledged only once other members have it too (config/policy.h):
//
//   if (e->ops->reachable(e->ctx, "contoso", away) < n) …refused early…
//   …it is written; registers[] are as it left them…
//   rc = e->ops->ack_begin(e->ctx, &want, &ack);       // asks the others; does not wait
//   e->ops->ack_look(ack, &view);                      // how many have it, and who has not
//   e->ops->ack_wake(ack, wake, ctx);                  // once, when there is more to see
//   e->ops->ack_end(ack);
//
// Who may have the content is judged by the caller, by what may be done in the repository. Nothing
// here writes a manifest, a tag or an entry.
//
// Ownership: the caller owns the items and frees the bodies (buf_done). Threads: any; all but `tell`
// and `coming` are for those that may wait, so not those of a work pool. They return soon after
// until_mono, or with ERR_CANCELED when this process stops or gives way to another. Of an ack nothing
// waits; all of one is called by one thread at a time, and `wake` on any.
//
// Invariants
//   1. An item is ELSEWHERE_NOWHERE only when every member that is asked said so in this call.
//   2. A blob whose rc is 0 is here, whole and verified, and under a lease in the repository.
#ifndef MERIDIAN_CONTENT_ELSEWHERE_H
#define MERIDIAN_CONTENT_ELSEWHERE_H

#include "base/bytes.h"
#include "base/register.h"
#include "content/source.h"

// An upload that has so many bytes is copied while it runs. The copy of a smaller one takes no
// longer than the word of it.
#define ELSEWHERE_UPLOAD_MIN (4u << 20)
// In one want; more is ERR_TOOBIG.
#define ELSEWHERE_ITEMS_MAX 2048

enum elsewhere_held {
    // every member that was asked has not got it
    ELSEWHERE_NOWHERE,
    // `holder` has it
    ELSEWHERE_HELD,
    // no member said that it has it, and one of an earlier version cannot be asked: `fetch` tries
    ELSEWHERE_PERHAPS,
};

struct elsewhere_item {
    enum content_kind kind;
    struct digest digest;
    // of a blob: as the manifest says, then as the holder says
    uint64_t size;

    // of `ask`
    enum elsewhere_held held;
    char holder[SOURCE_NAME_SIZE];

    // Of `fetch`: 0, ERR_NOTFOUND (the holder has lost it since), ERR_TIMEOUT (it is still being
    // fetched, and goes on), or why not.
    int rc;
    // of `fetch`: a manifest's bytes
    struct buf body;
};

struct elsewhere_want {
    const char *registry, *repository;
    struct elsewhere_item *items;
    size_t n_items;
    int64_t until_mono;
    // of `tell`: no client may be about to come to them for it
    bool later;
    // Of `tell`: the upload that brings it, or brought it. They may copy it while it runs. NULL: it
    // is not said.
    const char *upload;
};

// A register that was written, with its value.
struct written {
    // NULL: the presence of the manifest with that digest
    const char *tag;
    struct digest manifest;
    struct register_value value;
};
// In one ack; more is ERR_TOOBIG.
#define WRITTEN_MAX 128

struct elsewhere_ack;
struct elsewhere_ack_want {
    const char *registry, *repository;
    const struct written *list;
    size_t n;
    // so many members are waited for
    unsigned n_peers;
    int64_t until_mono;
};
struct elsewhere_ack_view {
    // members that have all of it, its content too, on their disks; their names; "" none
    unsigned n_stored;
    char stored[CONTENT_TEXT_SIZE];
    // those that have not, with the reason: "westeurope (it is not heard)"; "" none
    char lacking[CONTENT_TEXT_SIZE];
    // when to look again at the latest
    int64_t again_mono;
};

struct elsewhere_told;
struct elsewhere_ops {
    // Asks every other member of the registry that is heard, all at once, what it holds of the
    // items. `silent`: the members that could not be asked, "westeurope, southeastasia"; "" none.
    int (*ask)(void *ctx, struct elsewhere_want *w, char silent[CONTENT_TEXT_SIZE]);
    // Makes the items be here that are held elsewhere, blobs under a lease; waits for those that
    // another thread fetches. 0: all of them; else the worst rc, and its sentence in `error`.
    int (*fetch)(void *ctx, struct elsewhere_want *w, char error[CONTENT_TEXT_SIZE]);
    // Tells every other member of the registry that is heard that the want's first item is here, so
    // that it copies it now; without an item, that the upload runs and holds ELSEWHERE_UPLOAD_MIN
    // bytes at least. Does not block. NULL: nobody was told.
    struct elsewhere_told *(*tell)(void *ctx, const struct elsewhere_want *w);
    // Waits until all of them have answered, or until that time; frees it (NULL is ignored). They
    // copy on.
    void (*told)(struct elsewhere_told *t, int64_t until_mono);
    // Is the blob being copied to here for that repository? Does not block.
    bool (*coming)(void *ctx, const char *registry, const char *repository, const struct digest *d);
    // Waits until it is not any more: it is here, or did not come.
    void (*wait)(void *ctx, const char *registry, const char *repository, const struct digest *d,
                 int64_t until_mono);
    // How many other members are not known to be away. `away`: the names of those that are. Does
    // not block.
    unsigned (*reachable)(void *ctx, const char *registry, char away[CONTENT_TEXT_SIZE]);
    // Asks all other members whether they have what was written, and again those that could not say,
    // until until_mono. ERR_CANCELED, ERR_NOMEM, ERR_TOOBIG.
    int (*ack_begin)(void *ctx, const struct elsewhere_ack_want *w, struct elsewhere_ack **out);
    void (*ack_look)(struct elsewhere_ack *a, struct elsewhere_ack_view *out);
    // Calls `wake` once when something changed since the last look, at once if it has; NULL: not any
    // more. When this returns the one set before is not called.
    void (*ack_wake)(struct elsewhere_ack *a, void (*wake)(void *ctx), void *ctx);
    // Gives it up: nobody is asked any more. NULL is ignored.
    void (*ack_end)(struct elsewhere_ack *a);
};

struct elsewhere {
    const struct elsewhere_ops *ops;
    void *ctx;
};

#endif
