// SPDX-License-Identifier: Apache-2.0
// Operators in a document's text; see operators.h.
#include "control/operators.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/mem.h"
#include "control/request.h"

#include <string.h>

#define SECTION_MAX_BYTES (1u << 20)

static const struct {
    const char *word;
    unsigned bit;
} rights_known[] = {{"registries", CONTROL_RIGHT_REGISTRIES},
                    {"principals", CONTROL_RIGHT_PRINCIPALS},
                    {"regions", CONTROL_RIGHT_REGIONS},
                    {"topology", CONTROL_RIGHT_TOPOLOGY},
                    {"private-endpoints", CONTROL_RIGHT_PRIVATE_ENDPOINTS}};

bool control_right_parse(const char *word, unsigned *out)
{
    if (!strcmp(word, "all")) {
        *out = CONTROL_RIGHTS_ALL;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(rights_known); i++)
        if (!strcmp(word, rights_known[i].word)) {
            *out = rights_known[i].bit;
            return true;
        }
    return false;
}

const char *control_rights_text(unsigned rights, struct arena *a)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 256);
    if (rights == CONTROL_RIGHTS_ALL)
        return "all";
    for (size_t i = 0; i < ARRAY_LEN(rights_known); i++)
        if (rights & rights_known[i].bit)
            buf_printf(&b, "%s%s", b.n ? ", " : "", rights_known[i].word);
    return arena_strdup(a, buf_cstr(&b));
}

const char *control_section_text(const char *root, const char *writer,
                                 const struct control_operator *operators, size_t n,
                                 struct arena *a)
{
    AUTO_BUF struct buf b;
    buf_init(&b, SECTION_MAX_BYTES);
    buf_printf(&b, "control:\n  root: \"%s\"\n  writer: %s\n", root, writer);
    if (n)
        buf_str(&b, "  operators:\n");
    for (size_t i = 0; i < n; i++) {
        const struct control_operator *o = &operators[i];
        const char *rights = control_rights_text(o->rights, a);
        if (!rights)
            return NULL;
        buf_printf(&b, "    - { name: \"%s\", key: \"%s\", rights: [%s]%s }\n", o->name, o->key,
                   rights, o->revoked ? ", revoked: true" : "");
    }
    if (b.err)
        return NULL;
    return arena_strdup(a, buf_cstr(&b));
}

static int section_of(const struct topology *t, const struct control_operator *list, size_t n,
                      struct arena *a, const char **out_text)
{
    const struct region *writer = topology_writer(t);
    *out_text = control_section_text(t->control->root, writer->name, list, n, a);
    if (*out_text)
        return 0;
    return ERR_NOMEM;
}

static int control_judge(const struct topology *t, struct diag *diag)
{
    if (t->control)
        return 0;
    diag_add(diag, NULL, 0,
             "the topology has no section `control`: it is not the fleet's to change "
             "(see `meridian control adopt`)");
    return ERR_UNSUPPORTED;
}

int operators_add(const struct topology *t, const char *name, const char *key, unsigned rights,
                  struct arena *a, struct diag *diag, const char **out_text)
{
    int rc = control_judge(t, diag);
    if (rc)
        return rc;
    if (!control_operator_name_ok(name)) {
        diag_add(diag, NULL, 0,
                 "\"%.64s\" is no operator's name: lower-case letters and digits, and inner . _ -",
                 name);
        return ERR_INVAL;
    }
    if (!strcmp(name, "root")) {
        diag_add(diag, NULL, 0,
                 "no operator can be called root: that is who asks at the writer's own admin "
                 "socket, and "
                 "owns what was made there");
        return ERR_INVAL;
    }
    const struct control_operator *had = topology_operator(t, name);
    if (had) {
        diag_add(diag, NULL, 0, "there is an operator %s already%s", name,
                 had->revoked ? ", who was revoked for ever: take another name" : "");
        return ERR_EXISTS;
    }
    size_t n = t->control->n_operators;
    if (n == CONTROL_OPERATORS_MAX) {
        diag_add(diag, NULL, 0,
                 "there are %u operators, revoked ones included, which is all there "
                 "may be",
                 CONTROL_OPERATORS_MAX);
        return ERR_FULL;
    }
    struct control_operator *list = arena_array(a, n + 1, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    if (n)
        memcpy(list, t->control->operators, n * sizeof *list);
    list[n] = (struct control_operator){.name = name, .key = key, .rights = rights};
    return section_of(t, list, n + 1, a, out_text);
}

int operators_revoke(const struct topology *t, const char *name, struct arena *a, struct diag *diag,
                     const char **out_text)
{
    int rc = control_judge(t, diag);
    if (rc)
        return rc;
    const struct control_operator *had = topology_operator(t, name);
    if (!had) {
        diag_add(diag, NULL, 0, "there is no operator \"%.64s\"; see `meridian operator list`",
                 name);
        return ERR_NOTFOUND;
    }
    if (had->revoked) {
        diag_add(diag, NULL, 0, "operator %s is revoked already", name);
        return ERR_EXISTS;
    }
    size_t n = t->control->n_operators;
    struct control_operator *list = arena_array(a, n, sizeof *list);
    if (!list)
        return ERR_NOMEM;
    memcpy(list, t->control->operators, n * sizeof *list);
    list[had - t->control->operators].revoked = true;
    return section_of(t, list, n, a, out_text);
}
