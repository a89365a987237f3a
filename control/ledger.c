// SPDX-License-Identifier: Apache-2.0
// The ledger of the control feed; see ledger.h.
//
// Invariants
// 1. Keys are in order: those of the left subtree are lower, those of the right one higher.
// 2. No node has a lower priority than its children.
// 3. A node that more than one other refers to never changes.
#include "control/ledger.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/siphash.h"

#include <stdatomic.h>
#include <string.h>

struct row { // what nodes share
    _Atomic uint32_t refs;
    // in text
    size_t value_at, bytes;
    char text[];
};

struct node {
    _Atomic uint32_t refs;
    uint64_t priority;
    struct row *row;
    struct node *left, *right;
};

struct control_ledger {
    _Atomic uint32_t refs;
    struct node *root;
    size_t n, bytes;
};

// ---- rows and nodes ----

static const char *key_of(const struct node *n)
{
    return n->row->text;
}

static struct row *row_new(const char *key, const char *value)
{
    size_t n_key = strlen(key) + 1, n_value = strlen(value) + 1;
    struct row *r = mem_alloc(sizeof *r + n_key + n_value);
    if (!r)
        return NULL;
    atomic_init(&r->refs, 1);
    r->value_at = n_key;
    r->bytes = n_key + n_value;
    memcpy(r->text, key, n_key);
    memcpy(r->text + n_key, value, n_value);
    return r;
}

static bool drop(_Atomic uint32_t *refs)
{
    return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

static void keep(_Atomic uint32_t *refs)
{
    atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

static struct node *node_ref(struct node *n)
{
    if (n)
        keep(&n->refs);
    return n;
}

static void node_unref(struct node *n)
{
    if (!n || !drop(&n->refs))
        return;
    node_unref(n->left);
    node_unref(n->right);
    if (drop(&n->row->refs))
        free(n->row);
    free(n);
}

// Takes over the references that it is given, also when memory ends.
static struct node *node_new(uint64_t priority, struct row *row, struct node *left,
                             struct node *right)
{
    struct node *n = mem_alloc(sizeof *n);
    if (!n) {
        node_unref(left);
        node_unref(right);
        if (row && drop(&row->refs))
            free(row);
        return NULL;
    }
    atomic_init(&n->refs, 1);
    n->priority = priority;
    n->row = row;
    n->left = left;
    n->right = right;
    return n;
}

static struct node *node_copy(const struct node *n, struct node *left, struct node *right)
{
    keep(&n->row->refs);
    return node_new(n->priority, n->row, left, right);
}

static uint64_t priority_of(const char *key)
{
    static const struct siphash_key fixed = {0x6c65646765722031, 0x206d65726964696e};
    return siphash13(&fixed, key, strlen(key));
}

// ---- changing ----

// `n` is new and ours alone (invariant 3): rotates it under its left or right child, new as well.
static struct node *rotated(struct node *n, bool left)
{
    struct node *up;
    if (left) {
        up = n->left;
        n->left = up->right;
        up->right = n;
    } else {
        up = n->right;
        n->right = up->left;
        up->left = n;
    }
    return up;
}

// The tree with the row in it (takes it over); NULL: out of memory.
static struct node *put(const struct node *n, struct row *row, uint64_t priority)
{
    if (!n)
        return node_new(priority, row, NULL, NULL);
    int c = strcmp(row->text, key_of(n));
    if (!c)
        return node_new(priority, row, node_ref(n->left), node_ref(n->right));
    bool left = c < 0;
    struct node *child = put(left ? n->left : n->right, row, priority);
    if (!child)
        return NULL;
    struct node *copy;
    if (left)
        copy = node_copy(n, child, node_ref(n->right));
    else
        copy = node_copy(n, node_ref(n->left), child);
    if (copy && child->priority > copy->priority) // invariant 2
        return rotated(copy, left);
    return copy;
}

// All of both, those of `a` being lower. *ok turns false when memory ends.
static struct node *merged(struct node *a, struct node *b, bool *ok)
{
    if (!a)
        return node_ref(b);
    if (!b)
        return node_ref(a);
    struct node *n;
    if (a->priority >= b->priority)
        n = node_copy(a, node_ref(a->left), merged(a->right, b, ok));
    else
        n = node_copy(b, merged(a, b->left, ok), node_ref(b->right));
    if (!n)
        *ok = false;
    return n;
}

// The tree without the key, which is in it.
static struct node *without(const struct node *n, const char *key, bool *ok)
{
    int c = strcmp(key, key_of(n));
    if (!c)
        return merged(n->left, n->right, ok);
    struct node *copy;
    if (c < 0)
        copy = node_copy(n, without(n->left, key, ok), node_ref(n->right));
    else
        copy = node_copy(n, node_ref(n->left), without(n->right, key, ok));
    if (!copy)
        *ok = false;
    return copy;
}

static const struct row *find(const struct control_ledger *l, const char *key)
{
    const struct node *n = l->root;
    while (n) {
        int c = strcmp(key, key_of(n));
        if (!c)
            return n->row;
        n = c < 0 ? n->left : n->right;
    }
    return NULL;
}

static struct control_ledger *ledger_of(struct node *root, size_t n, size_t bytes)
{
    struct control_ledger *l = mem_alloc(sizeof *l);
    if (!l) {
        node_unref(root);
        return NULL;
    }
    atomic_init(&l->refs, 1);
    l->root = root;
    l->n = n;
    l->bytes = bytes;
    return l;
}

static int handed(struct control_ledger *l, struct control_ledger **out)
{
    if (!l)
        return ERR_NOMEM;
    *out = l;
    return 0;
}

static int remove_row(const struct control_ledger *l, const char *key, struct control_ledger **out)
{
    const struct row *had = find(l, key);
    bool ok = true;
    if (!had)
        return handed(ledger_of(node_ref(l->root), l->n, l->bytes), out);
    struct node *root = without(l->root, key, &ok);
    if (ok)
        return handed(ledger_of(root, l->n - 1, l->bytes - had->bytes), out);
    node_unref(root);
    return ERR_NOMEM;
}

static int put_row(const struct control_ledger *l, struct row *row, struct control_ledger **out)
{
    const struct row *had = find(l, row->text);
    size_t n = l->n + 1, bytes = l->bytes + row->bytes;
    if (had) {
        n--;
        bytes -= had->bytes;
    }
    if (bytes > CONTROL_LEDGER_MAX_BYTES) {
        free(row);
        return ERR_TOOBIG;
    }
    struct node *root = put(l->root, row, priority_of(row->text));
    if (root)
        return handed(ledger_of(root, n, bytes), out);
    return ERR_NOMEM;
}

int control_ledger_put(const struct control_ledger *l, const char *key, const char *value,
                       struct control_ledger **out)
{
    if (!value)
        return remove_row(l, key, out);
    struct row *row = row_new(key, value);
    if (row)
        return put_row(l, row, out);
    return ERR_NOMEM;
}

// ---- the value ----

struct control_ledger *control_ledger_new(void)
{
    return ledger_of(NULL, 0, 0);
}

struct control_ledger *control_ledger_ref(struct control_ledger *l)
{
    keep(&l->refs);
    return l;
}

void control_ledger_unref(struct control_ledger *l)
{
    if (!l || !drop(&l->refs))
        return;
    node_unref(l->root);
    free(l);
}

size_t control_ledger_count(const struct control_ledger *l)
{
    return l->n;
}

size_t control_ledger_bytes(const struct control_ledger *l)
{
    return l->bytes;
}

const char *control_ledger_get(const struct control_ledger *l, const char *key)
{
    const struct row *r = find(l, key);
    if (r)
        return r->text + r->value_at;
    return NULL;
}

struct visiting {
    const char *prefix;
    size_t n;
    control_ledger_visitor *visit;
    void *ctx;
};

static bool visit_tree(const struct visiting *v, const struct node *n)
{
    if (!n)
        return true;
    int c = strncmp(key_of(n), v->prefix, v->n);
    if (c >= 0 && !visit_tree(v, n->left))
        return false;
    if (!c && !v->visit(v->ctx, key_of(n), n->row->text + n->row->value_at))
        return false;
    return c > 0 || visit_tree(v, n->right);
}

void control_ledger_visit(const struct control_ledger *l, const char *prefix,
                          control_ledger_visitor *visit, void *ctx)
{
    const struct visiting v = {prefix, strlen(prefix), visit, ctx};
    visit_tree(&v, l->root);
}
