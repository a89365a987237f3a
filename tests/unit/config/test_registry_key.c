// SPDX-License-Identifier: Apache-2.0
// config/registry_key: keys and back, what is no key, and that a key finds its registry only.
#include "config/registry_key.h"

#include "base/diag.h"
#include "base/err.h"
#include "base/mem.h"
#include "config/topology.h"
#include "tests/support/check_main.h"

#include <string.h>

START_TEST(keys_and_back)
{
    static const struct {
        const char *name;
        uint64_t incarnation;
        const char *key;
    } cases[] = {
        {"contoso", 0, "contoso"},
        {"contoso", 42, "contoso@42"},
        {"a1234", 1, "a1234@1"},
        {"abcdefghijklmnopqrstuvwxyz012345678901234567890123", INT64_MAX,
         "abcdefghijklmnopqrstuvwxyz012345678901234567890123@9223372036854775807"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[REGISTRY_KEY_SIZE];
        struct registry_key k;
        ck_assert_str_eq(registry_key_format(cases[i].name, cases[i].incarnation, text),
                         cases[i].key);
        ck_assert_int_eq(registry_key_parse(text, &k), 0);
        ck_assert_str_eq(k.name, cases[i].name);
        ck_assert_uint_eq(k.incarnation, cases[i].incarnation);
    }
}
END_TEST

START_TEST(what_is_no_key)
{
    static const char *const bad[] = {
        "",
        "abcd",
        "Contoso",
        "contoso@",
        "contoso@0",
        "contoso@042",
        "contoso@-1",
        "contoso@+1",
        "contoso@ 1",
        "contoso@1 ",
        "contoso@1@2",
        "contoso@x",
        "@1",
        "privatelink",
        "contoso@9223372036854775808",
        "contoso@18446744073709551617",
        "contoso@99999999999999999999999999",
        "abcdefghijklmnopqrstuvwxyz0123456789012345678901234",
        "contoso-abcdefgh01234567",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct registry_key k = {"kept", 7};
        ck_assert_msg(registry_key_parse(bad[i], &k) == ERR_INVAL, "%s", bad[i]);
        ck_assert_msg(!registry_key_ok(bad[i]), "%s", bad[i]);
        ck_assert_str_eq(k.name, "kept");
    }
}
END_TEST

static struct topology *topology_of(const char *registries)
{
    struct diag d;
    struct topology *t = NULL;
    char *text = mem_printf(
        "version: 50\ndomain: example.io\nregions:\n  - {name: eastus, stamps: [{name: eus-1, "
        "ipv4: [192.0.2.1]}]}\nname_servers: [eus-1.eastus]\nregistries:\n%s",
        registries);
    diag_init(&d);
    int rc = topology_parse(text, strlen(text), "t.yaml", &d, &t);
    ck_assert_msg(!rc, "%s", d.n ? d.lines[0] : "?");
    diag_done(&d);
    free(text);
    return t;
}

START_TEST(a_key_finds_its_registry_only)
{
    struct topology *t =
        topology_of("  - {name: contoso, incarnation: 42, replicas: [{region: eastus}]}\n"
                    "  - {name: fabrikam, hash: abcdefgh01234567, replicas: [{region: eastus}]}\n");
    const struct registry *c = topology_registry(t, "contoso"),
                          *f = topology_registry(t, "fabrikam");
    ck_assert_str_eq(c->key, "contoso@42");
    ck_assert_uint_eq(c->incarnation, 42);
    ck_assert_str_eq(f->key, "fabrikam"); // the name, whatever the label
    ck_assert_uint_eq(f->incarnation, 0);
    ck_assert_ptr_eq(topology_registry_by_key(t, "contoso@42"), c);
    ck_assert_ptr_eq(topology_registry_by_key(t, "fabrikam"), f);
    static const char *const others[] = {"contoso",    "contoso@41", "contoso@4",
                                         "fabrikam@1", "nobody",     "not a key"};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        ck_assert_msg(!topology_registry_by_key(t, others[i]), "%s", others[i]);
    ck_assert(topology_registry_replaced(t, "contoso"));
    ck_assert(topology_registry_replaced(t, "contoso@41"));
    static const char *const no[] = {"contoso@42", "contoso@43", "fabrikam", "fabrikam@1",
                                     "nobody",     "nobody@1",   "not a key"};
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        ck_assert_msg(!topology_registry_replaced(t, no[i]), "%s", no[i]);
    snapshot_unref(t);
}
END_TEST

CHECK_MAIN("config/registry_key", keys_and_back, what_is_no_key, a_key_finds_its_registry_only)
