// SPDX-License-Identifier: Apache-2.0
// The section `control`; see topology_control.h.
#include "config/topology_control.h"

#include "base/mem.h"
#include "config/topology_priv.h"

#include <string.h>

#define NAME_MAX_BYTES 63

static bool name_byte_ok(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// As control/request.h has it: it stands in requests.
static bool operator_name_ok(const char *s)
{
    size_t n = strlen(s);
    if (!n || n > NAME_MAX_BYTES || !name_byte_ok(s[0]) || !name_byte_ok(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!name_byte_ok(s[i]) && !strchr("._-", s[i]))
            return false;
    return true;
}

// ---- rows ----

static const struct option_word right_words[] = {
    {"all", CONTROL_RIGHTS_ALL},
    {"registries", CONTROL_RIGHT_REGISTRIES},
    {"principals", CONTROL_RIGHT_PRINCIPALS},
    {"regions", CONTROL_RIGHT_REGIONS},
    {"topology", CONTROL_RIGHT_TOPOLOGY},
    {"private-endpoints", CONTROL_RIGHT_PRIVATE_ENDPOINTS}};
static const struct option operator_rows[] = {
    {"name", OPT_STRING, OPT_AT(struct spec_operator, name), .required = true,
     .check = operator_name_ok,
     .expect = "1 to 63 lower-case letters, digits and inner dots, hyphens, underscores",
     .help = "who it is"},
    {"key", OPT_STRING, OPT_AT(struct spec_operator, key), .required = true,
     .check = topology_ed25519_ok,
     .expect = "base64 of the SubjectPublicKeyInfo of an Ed25519 public key",
     .help = "the public half of the operator's key (meridian operator create)"},
    {"rights", OPT_FLAGS, OPT_AT(struct spec_operator, rights), .required = true,
     OPT_WORDS(right_words), .help = "what the operator may ask for"},
    {"revoked", OPT_BOOL, OPT_AT(struct spec_operator, revoked), .def = "false",
     .help = "nothing is taken from the operator any more; final"},
};
static const struct option_set operator_set = {operator_rows, ARRAY_LEN(operator_rows),
                                               sizeof(struct spec_operator),
                                               offsetof(struct spec_operator, node)};

static const struct option control_rows[] = {
    {"root", OPT_STRING, OPT_AT(struct spec_control, root), .check = topology_ed25519_ok,
     .expect = "base64 of the SubjectPublicKeyInfo of an Ed25519 public key",
     .help = "the public half of the fleet's root key; it never changes"},
    {"writer", OPT_STRING, OPT_AT(struct spec_control, writer), .check = hostname_region_ok,
     .expect = "a region", .example = "eastus",
     .help = "the region that writes changes; only a takeover that the root key signed changes it"},
    {"operators", OPT_LIST, OPT_ARRAY_AT(struct spec_control, operators, n_operators),
     .max = CONTROL_OPERATORS_MAX, .sub = &operator_set,
     .help = "whose signed requests the writer takes"},
};
const struct option_set spec_control_set = {control_rows, ARRAY_LEN(control_rows),
                                            sizeof(struct spec_control),
                                            offsetof(struct spec_control, node)};

// ---- building ----

static void check_operator(struct topology_build *b, const struct spec_control *s, size_t i)
{
    const struct spec_operator *o = &s->operators[i];
    for (size_t k = 0; o->name && k < i; k++)
        if (s->operators[k].name && !strcmp(s->operators[k].name, o->name))
            options_error(b->ctx, doc_key_line(o->node, "name"),
                          "control: operator %s is given twice", o->name);
    if (o->key && s->root && !strcmp(o->key, s->root))
        options_error(b->ctx, doc_key_line(o->node, "key"),
                      "control: operator %s has the root key, which is for takeovers only",
                      o->name ? o->name : "?");
}

// Rows of a section that may be absent are never required.
static void check_given(struct topology_build *b, const char *key)
{
    const struct doc_node *control = doc_get(b->s->node, "control");
    if (control->kind == DOC_MAP && !doc_get(control, key))
        options_error(b->ctx, control->key_line, "control.%s: missing", key);
}

void topology_build_control(struct topology_build *b)
{
    const struct spec_control *s = &b->s->control;
    if (!doc_get(b->s->node, "control"))
        return;
    check_given(b, "root");
    check_given(b, "writer");
    int writer = build_find_region(b, doc_key_line(s->node, "writer"), "control.writer", s->writer);
    struct control_settings *c = build_array(b, 1, sizeof *c);
    struct control_operator *all = build_array(b, s->n_operators, sizeof *all);
    if (!c || !all)
        return;
    for (size_t i = 0; i < s->n_operators; i++) {
        const struct spec_operator *o = &s->operators[i];
        check_operator(b, s, i);
        all[i] = (struct control_operator){build_string(b, o->name), build_string(b, o->key),
                                           o->rights, o->revoked};
    }
    *c = (struct control_settings){build_string(b, s->root), 0, all, s->n_operators};
    if (writer >= 0)
        c->writer = (uint8_t)writer;
    if (writer >= 0 && b->t->regions[writer].sealed)
        options_error(b->ctx, doc_key_line(s->node, "writer"),
                      "control.writer: %s is sealed (identities)", b->t->regions[writer].name);
    b->t->control = c;
}

// ---- looking ----

const struct control_operator *topology_operator(const struct topology *t, const char *name)
{
    if (!t->control)
        return NULL;
    for (size_t i = 0; i < t->control->n_operators; i++)
        if (!strcmp(t->control->operators[i].name, name))
            return &t->control->operators[i];
    return NULL;
}

const struct region *topology_writer(const struct topology *t)
{
    if (t->control)
        return &t->regions[t->control->writer];
    return NULL;
}

// ---- following ----

static char *operator_change(const struct control_operator *old, const struct control_operator *new)
{
    if (!new)
        return mem_printf("control.operators: %s is missing; an operator is revoked by `revoked: "
                          "true`, and stays listed, so that nobody takes the name anew",
                          old->name);
    if (strcmp(old->key, new->key) != 0)
        return mem_printf("control.operators: %s has another key; give the new key another name, "
                          "and revoke this one",
                          old->name);
    return mem_printf("control.operators: %s was revoked, and would not be any more; a revocation "
                      "is final",
                      old->name);
}

bool control_may_follow(const struct topology *before, const struct topology *next, char **out_why)
{
    if (!before->control)
        return true;
    if (!next->control) {
        *out_why = mem_printf("control is missing: the document in force has it");
        return false;
    }
    if (strcmp(before->control->root, next->control->root) != 0) {
        *out_why = mem_printf("control.root is another key; the fleet's root never changes");
        return false;
    }
    for (size_t i = 0; i < before->control->n_operators; i++) {
        const struct control_operator *old = &before->control->operators[i];
        const struct control_operator *new = topology_operator(next, old->name);
        if (new && !strcmp(old->key, new->key) && (new->revoked || !old->revoked))
            continue;
        *out_why = operator_change(old, new);
        return false;
    }
    return true;
}
