// SPDX-License-Identifier: Apache-2.0
// Publication of frozen, reference-counted values behind one pointer: the topology, the health
// verdicts, the principals. Writers publish a whole new value; readers hold a reference for as long
// as they look.
//
//   struct topology *t = snapshot_get(&cell);     // +1 reference, any thread
//   …
//   snapshot_unref(t);
//
// A hot loop keeps a reader instead: one relaxed load per batch while nothing changes, the lock
// only when something did.
//
//   struct snapshot_reader r = {0};
//   for (;;) { struct topology *t = snapshot_reader_get(&r, &cell); …answer a batch with t… }
//   snapshot_reader_done(&r);
//
// A value embeds `struct snapshot_head` as its FIRST member, and nobody changes it after it was
// published.
//
// Invariants
// 1. Whoever has a pointer to a value holds a reference: its count is above 0.
// 2. A cell holds a reference to what is published.
// 3. The generation only grows.
#ifndef MERIDIAN_BASE_SNAPSHOT_H
#define MERIDIAN_BASE_SNAPSHOT_H

#include <pthread.h>
#include <stdint.h>

struct snapshot_head {
    _Atomic uint32_t refs;
    // called once, by the thread that drops the last reference
    void (*free)(void *self);
};

struct snapshot {
    pthread_mutex_t lock;
    // grows by one with every publish
    _Atomic uint64_t generation;
    void *current;
};

struct snapshot_reader {
    uint64_t generation;
    void *held;
};

// one reference, the caller's
void snapshot_head_init(struct snapshot_head *h, void (*free_fn)(void *self));
void *snapshot_ref(void *value);
void snapshot_unref(void *value); // NULL is fine
// 1: only the caller holds it, provided that it is published nowhere
uint32_t snapshot_refs(const void *value);

void snapshot_init(struct snapshot *s);
void snapshot_done(struct snapshot *s);                 // drops its reference
void snapshot_publish(struct snapshot *s, void *value); // takes over the caller's reference
// the cell is empty afterwards: readers get NULL
void snapshot_withdraw(struct snapshot *s);
void *snapshot_get(struct snapshot *s); // +1, or NULL if nothing is published
uint64_t snapshot_generation(const struct snapshot *s);

// What is published, or NULL; borrowed until the next call.
void *snapshot_reader_get(struct snapshot_reader *r, struct snapshot *s);
void snapshot_reader_done(struct snapshot_reader *r);

#endif
